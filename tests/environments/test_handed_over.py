"""Promises about environments that a program hands over: what is written down of them is what they are."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from rewirl.environments.identity import said_in, same_identity
from rewirl.environments.likeness import likeness, unlike
from rewirl.environments.portrait import differing, portrait
from rewirl.environments.recipe import Recipe
from rewirl.environments.source import environment_source, recorded_source
from rewirl.environments.spaces import UnsuitableEnvironmentError

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
import probe_environments as probes

import rewirl


class Own(gymnasium.Wrapper):
    """A wrapper as people write it: it says nothing of what it was made with."""

    def __init__(self, env, shift=0.5):
        super().__init__(env)
        self.shift = shift


class Said(gymnasium.Wrapper, gymnasium.utils.RecordConstructorArgs):
    """One that does, but that only this program finds."""

    def __init__(self, env, shift=0.5):
        gymnasium.utils.RecordConstructorArgs.__init__(self, shift=shift)
        gymnasium.Wrapper.__init__(self, env)
        self.shift = shift


def examined(env, spare=True):
    source = environment_source(env)
    assert source.examine is not None
    return source.examine(spare)


def rescaled(env):
    return gymnasium.wrappers.RescaleAction(env, np.float32(0), np.float32(1))


@pytest.mark.parametrize(
    "made",
    [
        lambda **more: gymnasium.make("Pendulum-v1", **more),
        lambda **more: lambda: gymnasium.make("Pendulum-v1", **more),
    ],
)
@pytest.mark.parametrize("more", [{}, {"g": 2.0}, {"g": 3.0, "max_episode_steps": 50}, {"max_episode_steps": -1}])
def test_an_object_and_a_function_are_their_id_and_arguments(made, more):
    source = examined(made(**more))
    assert (source.id, source.kwargs, source.name) == ("Pendulum-v1", more, "Pendulum-v1")
    assert source.values() == {}


def test_how_it_is_drawn_is_no_argument():
    assert examined(gymnasium.make("Pendulum-v1", render_mode="rgb_array")).kwargs == {}


@pytest.mark.filterwarnings("ignore:.*precision lowered")
def test_wrappers_of_gymnasium_are_part_of_the_recipe_and_made_again():
    source = examined(rescaled(gymnasium.make("Pendulum-v1", g=2.0)))
    assert source.id is None and source.task == "Pendulum-v1" and source.name == "Pendulum-v1 in RescaleAction"
    again = recorded_source(source.name, source.values(), None)
    env = again.make_training().env
    assert env.unwrapped.g == 2.0
    np.testing.assert_array_equal(env.action_space.low, [0])
    assert again.values() == source.values()


def test_a_wrapper_of_the_users_own_module_is_found_there_only(tmp_path, monkeypatch):
    (tmp_path / "shifting_wrapper.py").write_text(
        "import gymnasium\n"
        "class Shifted(gymnasium.Wrapper, gymnasium.utils.RecordConstructorArgs):\n"
        "    def __init__(self, env, by=1):\n"
        "        gymnasium.utils.RecordConstructorArgs.__init__(self, by=by)\n"
        "        gymnasium.Wrapper.__init__(self, env)\n"
        "def run(env, by): raise SystemExit('ran')\n"
    )
    monkeypatch.chdir(tmp_path)
    import_path = str(tmp_path)
    monkeypatch.syspath_prepend(import_path)
    import shifting_wrapper  # type: ignore[import-not-found]

    env = shifting_wrapper.Shifted(gymnasium.make("Pendulum-v1"), by=3)
    source = environment_source(env, module="shifting_wrapper").examine(True)
    assert source.recipe is not None and source.recipe.wrappers[0].kwargs == {"by": 3}
    recorded_source(source.name, source.values(), "shifting_wrapper").make_training()
    with pytest.raises(UnsuitableEnvironmentError, match="not the env_module"):
        recorded_source(source.name, source.values(), None).make_training()
    assert examined(env).recipe is None  # nobody who reads the record would find it


@pytest.mark.parametrize("entry_point", ["subprocess:Popen", "os:system", "gymnasium.wrappers:os", "gymnasium:make"])
def test_a_record_names_wrappers_and_nothing_else(entry_point):
    recorded = Recipe("Pendulum-v1").values()
    recorded["wrappers"] = [{"name": "Innocent", "entry_point": entry_point, "kwargs": {}}]
    with pytest.raises(UnsuitableEnvironmentError, match="cannot be put into the wrapper Innocent"):
        recorded_source("x", {"made_by": "an object", "recipe": recorded}, None).make_training()


def test_an_id_that_wraps_itself_is_not_wrapped_twice():
    gymnasium.register(
        "rewirl-tests/Wrapped-v0",
        entry_point=lambda: gymnasium.wrappers.ClipReward(probes.Drift(), -1.0, 1.0),
        max_episode_steps=20,
    )
    source = examined(gymnasium.make("rewirl-tests/Wrapped-v0"))
    assert source.id == "rewirl-tests/Wrapped-v0" and source.values() == {}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda env: setattr(env.unwrapped, "g", 3.0), "PendulumEnv.g"),
        (lambda env: setattr(env.unwrapped, "wind", [1, 2]), "PendulumEnv.wind"),
        (lambda env: setattr(env, "_max_episode_steps", 7), "TimeLimit._max_episode_steps"),
    ],
)
def test_an_attribute_set_after_make_is_named_and_not_lost(change, named):
    env = gymnasium.make("Pendulum-v1")
    env.reset(seed=1)
    env.step(env.action_space.sample())
    assert examined(env).id == "Pendulum-v1"  # what it was played for is no difference
    change(env)
    source = examined(env)
    assert source.make_another is None and source.id is None and named in source.why
    assert source.name == "Pendulum-v1 (object)" and source.changes == (named,)
    made = examined(lambda: copy.deepcopy(env))
    assert made.make_another is not None and made.id is None and made.name == "Pendulum-v1 (function)"


def test_a_changed_model_of_mujoco_is_noticed():
    env = gymnasium.make("HalfCheetah-v5")
    env.reset(seed=1)
    assert examined(env).id == "HalfCheetah-v5"
    env.unwrapped.model.opt.gravity[2] = -3
    assert examined(env).changes == ("HalfCheetahEnv.model",)


def test_a_function_that_makes_another_one_each_time_is_no_id():
    gravity = iter([2.0, 3.0, 4.0, 5.0])
    source = examined(lambda: gymnasium.make("Pendulum-v1", g=next(gravity)))
    assert source.id is None and "each time" in source.why and source.changes == ("PendulumEnv.g",)


def test_a_wrapper_of_the_users_own_is_learnt_in_but_not_made_again():
    source = examined(Own(gymnasium.make("Pendulum-v1")))
    assert source.make_another is None and "Own does not say what it was made with" in source.why
    source = examined(lambda: Own(gymnasium.make("Pendulum-v1")))
    assert source.make_another is not None and source.recipe is None


def test_what_only_this_program_finds_is_made_again_here_and_nowhere_else():
    source = examined(Said(gymnasium.make("Pendulum-v1"), shift=2.0))
    assert source.recipe is None and source.make_another().env.shift == 2.0
    with pytest.raises(UnsuitableEnvironmentError, match="only that program can make it again"):
        recorded_source(source.name, source.values(), None)


def test_without_a_spare_one_nothing_is_certain_but_what_was_said():
    made = []

    def counted():
        made.append(gymnasium.make("Pendulum-v1"))
        return made[-1]

    source = examined(counted, spare=False)
    assert len(made) == 1 and source.recipe is None and "not checked" in source.why
    env = gymnasium.make("Pendulum-v1")
    assert examined(env, spare=False).make_another is None


class Broken(dict):
    """What an environment may keep: a store that is closed."""

    def items(self):
        raise OSError("the store is closed")


def test_portraits_leave_out_what_is_large_all_told_or_cannot_be_looked_at():
    env = probes.Drift()
    env.few, env.many = [[1.0] * 1_000] * 100, [[1.0] * 1_000] * 300
    env.arrays, env.store = [np.zeros(90_000)] * 3, Broken(a=1)
    taken = {name for _, _, name in portrait(env)}
    assert "few" in taken and not {"many", "arrays", "store"} & taken


def test_portraits_tell_what_can_be_compared():
    one, other = portrait(gymnasium.make("Pendulum-v1")), portrait(gymnasium.make("Pendulum-v1", g=1.0))
    assert differing(one, one) == []
    assert [f"{kind}.{name}" for _, kind, name in differing(one, other)] == ["PendulumEnv.g"]


def test_a_time_limit_is_told_where_nothing_but_its_wrapper_knows_it():
    limited = [gymnasium.wrappers.TimeLimit(probes.Drift(), limit) for limit in (200, 50)]
    taken = [likeness(env, env.spec, portrait(env, generators=False), steady=True) for env in limited]
    assert unlike(*taken) == ("TimeLimit._max_episode_steps was 200, and is 50", "")
    assert unlike(taken[0], taken[0]) == ("", "")


def test_a_function_that_returns_the_same_environment_again_is_refused():
    env = gymnasium.make("Pendulum-v1")
    for function in (lambda: env, lambda: gymnasium.wrappers.TransformReward(env, abs)):
        agent = rewirl.DSTD3(function)
        with pytest.raises(rewirl.UnsuitableEnvironmentError, match="let it make a new one whenever it is called"):
            agent.learn(10, eval_every=5)
        agent.learn(10, eval_every=0)  # which needs one alone
    assert env.reset(seed=0)[0].shape == (3,)  # nobody has closed it


def test_ids_are_of_one_environment_unless_their_modules_differ():
    assert same_identity("envs:Reach-v0", "Reach-v0") and same_identity("Reach-v0", "envs:Reach-v0")
    assert said_in("envs", "Reach-v0") == "envs:Reach-v0" and said_in("envs", "others:Reach-v0") == "others:Reach-v0"
    assert not same_identity("envs:Reach-v0", "others:Reach-v0") and not same_identity("envs:Reach-v0", "Reach-v1")
