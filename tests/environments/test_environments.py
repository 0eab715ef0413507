"""Promises of the door: what may not pass it, and what a person reads when something is refused."""

from __future__ import annotations

import json
import sys

import gymnasium
import numpy as np
import probe_environments as probes
import pytest
from gymnasium.spaces import Box

from rewirl.environments.environment import Environment, FaultyEnvironmentError
from rewirl.environments.identity import nearest_environment
from rewirl.environments.source import environment_source
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.noisy import NoisyObservations


def test_actions_fill_each_dimensions_own_bounds():
    environment = Environment(probes.Drift(low=(-1.0, -2.0), high=(1.0, 6.0)), "Drift")
    actions = np.array([[-1, -1], [0, 0], [1, 1], [0.5, -0.5]], np.float32)
    mapped = environment.actions.to_environment(actions)
    assert mapped.dtype == np.float64
    np.testing.assert_array_equal(mapped, [[-1, -2], [0, 2], [1, 6], [0.5, 0]])
    assert environment.actions.contains(mapped)
    for outside in ([-1.1, 0.0], [1.0, 6.1]):
        assert not environment.actions.contains(np.array([outside, [0.0, 0.0]]))
    for low, high in ((-2.0, 6.0), (-3.0, 6.0), (-2.0, 7.0)):
        space = Box(np.array([-1.0, low]), np.array([1.0, high]), dtype=np.float64)
        assert environment.actions.same_as(space) == ((low, high) == (-2, 6))
    assert not environment.actions.same_as(Box(np.array([[-1.0, -2.0]]), np.array([[1.0, 6.0]]), dtype=np.float64))


def test_rounding_never_leaves_the_bounds():
    # 0.1 and -0.3 have no exact float32: the nearest ones lie outside of [-0.3, 0.1].
    bounds = Environment(probes.Drift(low=(-0.3, -0.3), high=(0.1, 0.1)), "Drift").actions
    for sign in (-1, 1):
        mapped = bounds.to_user(np.full((1, 2), sign, np.float32))
        assert mapped.dtype == np.float32
        assert ((mapped.astype(np.float64) >= -0.3) & (mapped.astype(np.float64) <= 0.1)).all()


def test_symmetric_bounds_leave_actions_as_they_are_to_the_bit():
    bounds = Environment(probes.Spaces(), "Spaces").actions
    action = np.array([1e-12, -0.3333333], np.float32)
    assert bounds.to_environment(action).tobytes() == action.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_observations_are_copies_of_what_the_environment_writes_to_again(dtype):
    environment = Environment(probes.Drift(dtype=dtype), "Drift")
    first = environment.reset(seed=0)
    kept = first.copy()
    second = environment.step(np.zeros(2, dtype)).observation
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, kept)
    assert not np.array_equal(first, second)


def test_an_environment_that_writes_into_the_action_leaves_the_callers_alone():
    environment = Environment(probes.Drift(), "Drift")
    environment.reset(seed=0)
    action = np.array([0.5, 0.25])
    environment.step(action)
    np.testing.assert_array_equal(action, [0.5, 0.25])


@pytest.mark.parametrize("reward", [np.float32(1.5), np.array(1.5), np.array([1.5]), 1.5, np.float64(1.5)])
def test_rewards_of_any_numeric_kind_become_floats(reward):
    environment = Environment(probes.Faulty(lambda o, r: (o, reward), at=1), "Faulty")
    environment.reset(seed=0)
    got = environment.step(np.zeros(2)).reward
    assert type(got) is float and got == 1.5


def raising(observation, reward):
    raise ZeroDivisionError("no wind")


def leaving(observation, reward):
    raise SystemExit(2)


def misreading(observation, reward):
    json.loads("{")


FAULTS = {
    "nan reward": (lambda o, r: (o, float("nan")), "the reward is nan"),
    "infinite reward": (lambda o, r: (o, -np.inf), "the reward is -inf"),
    "reward beyond float32": (lambda o, r: (o, 1e39), r"the reward is 1e\+39"),
    "reward beyond a float": (lambda o, r: (o, 10**400), r"the reward is too large for a float \(int\)"),
    "reward vector": (lambda o, r: (o, np.zeros(2)), r"the reward must be one number, got an array of shape \(2,\)"),
    "no reward": (lambda o, r: (o, "high"), r"the reward is not a number \(str\)"),
    "nan observation": (lambda o, r: ([0.0, np.nan, 0.0], r), r"observation\[1\] is nan"),
    "observation beyond float32": (lambda o, r: (np.array([0.0, 0.0, 1e39]), r), r"observation\[2\] is 1e\+39"),
    "short observation": (lambda o, r: (o[:2], r), r"the observation has shape \(2,\) but .* says \(3,\)"),
    "wide observation": (lambda o, r: (o[None], r), r"the observation has shape \(1, 3\)"),
    "dict observation": (lambda o, r: ({"place": o}, r), r"the observation is not an array of numbers \(dict"),
    "exit": (leaving, r"step\(\) raised SystemExit: 2 \(.*test_environments.py, line \d+\)"),
    "exception": (raising, r"step\(\) raised ZeroDivisionError: no wind \(.*test_environments.py, line \d+\)"),
    "exception of a library": (misreading, r"step\(\) raised JSONDecodeError: .* \(.*test_environments.py, line \d+\)"),
}


@pytest.mark.parametrize("fault, message", FAULTS.values(), ids=FAULTS.keys())
def test_faults_name_the_environment_the_field_and_the_step(fault, message):
    environment = Environment(probes.Faulty(fault, at=2), "Faulty-v3")
    environment.where = lambda: "training step 77"
    environment.reset(seed=0)
    environment.step(np.zeros(2))
    with pytest.raises(FaultyEnvironmentError, match=f"^Faulty-v3: {message}.*, at training step 77$"):
        environment.step(np.zeros(2))


def test_a_reset_of_the_old_gym_is_told_what_it_must_take():
    env = probes.Drift()
    env.reset = lambda: np.zeros(3)
    with pytest.raises(FaultyEnvironmentError, match=r"it must take one: def reset\(self, \*, seed=None, options=None"):
        Environment(env, "Old-v0").reset(seed=0)


@pytest.mark.parametrize(
    "misspelt, meant",
    [
        ("HalfCheeta-v5", "HalfCheetah-v5"),
        ("halfcheetah-v5", "HalfCheetah-v5"),
        ("Pendulum", "Pendulum-v1"),
        ("Humanoid-v9", "Humanoid-v5"),
    ],
)
def test_a_misspelt_environment_gets_the_nearest_name(misspelt, meant):
    with pytest.raises(UnsuitableEnvironmentError, match=rf"unknown environment '{misspelt}': did you mean {meant}\?"):
        environment_source(misspelt)


def test_nothing_near_is_nothing_suggested():
    assert nearest_environment("qqqqqq", gymnasium.registry) is None


def test_versions_compare_as_numbers():
    assert nearest_environment("Antt", {"Ant-v9": 0, "Ant-v10": 0, "Bee-v11": 0}) == "Ant-v10"


def test_the_users_module_is_imported_from_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "my_own_envs.py").write_text(
        "import gymnasium\ngymnasium.register('Mine-v0', entry_point='probe_environments:Drift')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    source = environment_source("Mine-v0", {"length": 3}, "my_own_envs")
    assert source.make_training().env.unwrapped.length == 3
    assert (source.id, source.module) == ("Mine-v0", "my_own_envs")


def test_a_module_that_cannot_be_imported_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UnsuitableEnvironmentError, match="cannot import env_module 'no_such_module'"):
        environment_source("Pendulum-v1", None, "no_such_module")
    (tmp_path / "broken_envs.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnsuitableEnvironmentError, match="importing env_module 'broken_envs' raised ZeroDivisionError"):
        environment_source("Pendulum-v1", None, "broken_envs")
    (tmp_path / "leaving_envs.py").write_text("import sys\nsys.exit('no licence')\n")
    with pytest.raises(UnsuitableEnvironmentError, match="importing env_module 'leaving_envs' raised SystemExit"):
        environment_source("Pendulum-v1", None, "leaving_envs")


def test_wrong_arguments_are_reported_with_the_environment():
    with pytest.raises(
        UnsuitableEnvironmentError, match=r"Pendulum-v1 could not be made with env_kwargs .*colour.*colour"
    ):
        environment_source("Pendulum-v1", {"colour": "red"}).make_training()


def test_an_instance_is_used_as_it_is_and_made_again_from_its_spec():
    env = gymnasium.make("rewirl-tests/Drift-v0", length=7)
    source = environment_source(env)
    training, another = source.make_training(), source.make_another()
    assert training.env is env and another.env is not env and another.env.unwrapped.length == 7
    assert environment_source(probes.Drift()).make_another is None
    closed = []
    for each in (training, another):
        each.env.close = lambda each=each: closed.append(each)
        each.close()
    assert closed == [another]  # the instance is its owner's


def test_every_layer_that_changes_is_told_how_far_the_run_is():
    env = gymnasium.make("Pendulum-v1")
    for every in (10, 20):
        env = NoisyObservations(env, 0.5, permute_every=every)
    Environment(env, "Noisy").reset(0, 45)
    assert (env.rewirl_steps, env.env.rewirl_steps) == (45, 45)


def test_a_factory_makes_as_many_as_needed():
    source = environment_source(probes.Drift)
    assert source.make_training().env is not source.make_another().env
    with pytest.raises(UnsuitableEnvironmentError, match=r"must return a gymnasium.Env, it returned 3"):
        environment_source(lambda: 3).make_training()


@pytest.mark.parametrize("odd", [3, None])
def test_anything_else_is_refused(odd):
    with pytest.raises(UnsuitableEnvironmentError, match="given by its id"):
        environment_source(odd)


def test_mujoco_leaves_no_log_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environment_source("HalfCheetah-v5").make_training().close()
    assert list(tmp_path.iterdir()) == []


def test_games_whose_package_is_missing_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "minatar.gym", None)
    monkeypatch.delitem(sys.modules, "rewirl.minatar", raising=False)
    with pytest.raises(UnsuitableEnvironmentError, match=r"need the package minatar: pip install 'rewirl\[minatar\]'"):
        environment_source("MinAtar/Breakout-v1", module="rewirl.minatar")


def test_tasks_whose_package_is_missing_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "dm_control", None)
    monkeypatch.delitem(sys.modules, "rewirl.dm_control", raising=False)
    with pytest.raises(UnsuitableEnvironmentError, match=r"^dm_control/dog-run-v0: .*install 'rewirl\[dm-control\]'"):
        environment_source("dm_control/dog-run-v0")


def test_a_module_that_the_user_names_goes_before_rewirls_own(tmp_path, monkeypatch):
    (tmp_path / "my_suite.py").write_text(
        "import gymnasium\ngymnasium.register('dm_control/dog-sit-v0', entry_point='probe_environments:Drift')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    source = environment_source("dm_control/dog-sit-v0", module="my_suite")
    assert isinstance(source.make_training().env.unwrapped, probes.Drift)


def test_games_are_found_by_name_alone():
    pytest.importorskip("minatar")
    assert environment_source("MinAtar/Breakout-v1").id == "MinAtar/Breakout-v1"
