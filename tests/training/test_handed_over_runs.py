"""Promises of runs in environments that a program handed over: nothing goes on in another one without a word."""

from __future__ import annotations

import json
import re

import gymnasium
import numpy as np
import pytest

import rewirl
from rewirl.cli.main import main
from rewirl.environments.source import environment_source
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.experiments.report.run_data import read_run
from rewirl.experiments.report.run_groups import command, group_runs
from rewirl.storage.policy_file import load_policy
from rewirl.training.progress import Silent
from rewirl.training.resume import resume
from rewirl.training.warm_up import load_warm_up_policy

SMALL = {"hidden_sizes": [16, 16], "learning_starts": 50, "batch_size": 10, "buffer_size": 500, "threads": 1}
QUICK = {"eval_every": 100, "eval_episodes": 1}


class Own(gymnasium.Wrapper):
    """A wrapper as people write it."""


def heavy():
    return gymnasium.make("Pendulum-v1", g=2.0)


def wrapped():
    return gymnasium.wrappers.ClipReward(heavy(), -1.0, 1.0)


def learn(env, path, **options):
    with rewirl.DSTD3(env, **{**SMALL, **options}) as agent:
        agent.learn(150, run_dir=path, **QUICK)
    return json.loads((path / "config.json").read_text())["config"]


@pytest.mark.parametrize("env", [heavy, heavy(), wrapped, wrapped()])
def test_resumed_it_goes_on_in_the_same_environment_to_the_bit(tmp_path, env):
    learn(env, tmp_path / "run")
    with resume(tmp_path / "run", Silent(), 300) as run:
        assert run.environment.env.unwrapped.g == 2.0
        run.train()
    with rewirl.DSTD3(env, **SMALL) as agent:
        agent.learn(300, run_dir=tmp_path / "whole", **QUICK)
    ours, whole = (load_policy(tmp_path / name / "policy") for name in ("run", "whole"))
    for name, array in ours[0].items():
        np.testing.assert_array_equal(array, whole[0][name])
    assert ours[1] == whole[1]


def tighter():
    return gymnasium.wrappers.ClipReward(heavy(), -0.5, 0.5)


def owned():
    return Own(heavy())


@pytest.mark.parametrize(
    ("env", "others"),
    [
        ("Pendulum-v1", [heavy, heavy(), owned]),
        (heavy, [lambda: gymnasium.make("Pendulum-v1"), gymnasium.make("Pendulum-v1", g=3.0), owned]),
        (wrapped, [tighter, tighter(), heavy, "Pendulum-v1"]),
        (owned, [heavy, heavy(), wrapped, "Pendulum-v1"]),
    ],
)
def test_it_is_not_resumed_in_one_of_other_arguments_or_wrappers(tmp_path, env, others):
    with rewirl.DSTD3(env, **SMALL) as agent:
        agent.learn(50, run_dir=tmp_path / "run", eval_every=0)
    for other in others:
        with pytest.raises(rewirl.UnsuitableEnvironmentError, match="give the same one"):
            rewirl.resume(tmp_path / "run", env=other)
    with rewirl.resume(tmp_path / "run", env=env) as agent:
        assert agent.steps == 50


def test_an_id_stands_for_what_the_run_was_given_with_it(tmp_path):
    with rewirl.DSTD3("Pendulum-v1", env_kwargs={"g": 2.0}, **SMALL) as agent:
        agent.learn(50, run_dir=tmp_path / "run", eval_every=0)
    for env in ("Pendulum-v1", heavy()):
        with rewirl.resume(tmp_path / "run", env=env) as agent:
            assert agent._run.environment.env.unwrapped.g == 2.0


def test_the_same_options_whether_by_id_object_or_function():
    agents = [
        rewirl.DSTD3(env, buffer_size=10)
        for env in ("HalfCheetah-v5", gymnasium.make("HalfCheetah-v5"), lambda: gymnasium.make("HalfCheetah-v5"))
    ]
    connections = [[layer.connections for layer in agent.topology["actor"]] for agent in agents]
    assert connections[0] == connections[1] == connections[2]
    for agent in agents:
        agent.close()


def shell(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def changed():
    env = gymnasium.make("Pendulum-v1")
    env.unwrapped.g = 2.0
    return env


@pytest.mark.parametrize("env", [changed, Own(gymnasium.make("Pendulum-v1")), lambda: Own(heavy())])
def test_what_only_its_program_can_make_is_refused_with_the_reason(tmp_path, env):
    config = learn(env, tmp_path / "run") if callable(env) else None
    if config is None:
        with rewirl.DSTD3(env, **SMALL) as agent:
            agent.learn(150, run_dir=tmp_path / "run")
        config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert config["train"]["env"].startswith("Pendulum-v1 (") and config["environment"]["recipe"] is None
    with pytest.raises(UnsuitableEnvironmentError, match=r"only that program can make it again: .*(PendulumEnv.g|Own)"):
        resume(tmp_path / "run", Silent(), 300)
    policy = rewirl.load(tmp_path / "run")
    assert policy.predict(np.zeros(3)).shape == (1,)
    with pytest.raises(UnsuitableEnvironmentError, match="only that program"):
        policy.evaluate()


@pytest.mark.parametrize("env", [changed(), lambda: Own(heavy())], ids=["object", "function"])
def test_it_is_inspected_without_its_environment_and_evaluated_where_that_is_handed_over(tmp_path, capsys, env):
    with rewirl.DSTD3(env, **SMALL) as agent:
        agent.learn(150, run_dir=tmp_path / "run", eval_every=0)
        layers = [layer.connections for layer in agent.topology["actor"]]
    assert shell("inspect", tmp_path / "run", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [layer["connections"] for layer in shown["networks"]["actor"]["layers"]] == layers
    assert shown["env"] == f"Pendulum-v1 ({'function' if callable(env) else 'object'})" and shown["agent"] == "ds-td3"
    for verb in ("evaluate", "resume"):
        assert shell(verb, tmp_path / "run", *(["--total-timesteps", 200] if verb == "resume" else [])) == 2
        assert "rewirl.load(run_dir).evaluate(env=...)" in capsys.readouterr().err
    if callable(env):
        assert rewirl.load(tmp_path / "run").evaluate(1, env=env).mean < 0
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_bytes((tmp_path / "run" / "config.json").read_bytes())
    assert shell("inspect", tmp_path / "bare") == 2, "nothing says how large its networks are"
    assert "only that program can make it again" in capsys.readouterr().err


def test_inspecting_a_run_makes_no_environment(tmp_path, capsys, monkeypatch):
    learn("Pendulum-v1", tmp_path / "run")
    monkeypatch.setattr(gymnasium, "make", pytest.fail)
    assert shell("inspect", tmp_path / "run") == 0 and "connections" in capsys.readouterr().out


def test_an_attribute_set_after_make_is_said_and_not_evaluated_without(tmp_path, capsys):
    with rewirl.DSTD3(changed(), **SMALL) as agent:
        agent.learn(150, run_dir=tmp_path / "run")
        assert "Pendulum-v1 (object) is not evaluated in: PendulumEnv.g differ" in capsys.readouterr().err
        with pytest.raises(UnsuitableEnvironmentError, match=r"PendulumEnv\.g"):
            agent.evaluate()
    assert '"evaluation"' not in (tmp_path / "run" / "metrics.jsonl").read_text()


def test_a_wrapped_instance_of_the_users_own_learns_with_a_record(tmp_path, capsys):
    with rewirl.DSTD3(Own(gymnasium.make("Pendulum-v1")), **SMALL) as agent:
        agent.learn(60, run_dir=tmp_path / "run")
    assert "RecordConstructorArgs" in capsys.readouterr().err
    assert (tmp_path / "run" / "policy").is_dir()


def test_a_policy_is_evaluated_where_it_was_trained(tmp_path):
    with rewirl.DSTD3(wrapped(), **SMALL) as agent:
        agent.learn(60)
        agent.save(tmp_path / "policy")
        there = agent.evaluate(2)
    here = rewirl.load(tmp_path / "policy").evaluate(2)
    assert here.returns == there.returns and min(here.returns) >= -200  # rewards are clipped to [-1, 1]


def test_a_warm_up_policy_of_another_wrapping_is_refused(tmp_path):
    learn(wrapped(), tmp_path / "run")
    same, plain = (environment_source(make).examine(True) for make in (wrapped, heavy))
    load_warm_up_policy(tmp_path / "run", same.make_training(), same)
    with pytest.raises(UnsuitableEnvironmentError, match="was trained in Pendulum-v1 in ClipReward"):
        load_warm_up_policy(tmp_path / "run", plain.make_training(), plain)
    other = environment_source(lambda: gymnasium.wrappers.ClipReward(heavy(), -2.0, 2.0)).examine(True)
    with pytest.raises(UnsuitableEnvironmentError, match="in another Pendulum-v1 in ClipReward"):
        load_warm_up_policy(tmp_path / "run", other.make_training(), other)


def test_the_report_keeps_them_apart_and_prints_only_commands_that_make_them_again(tmp_path):
    learn("Pendulum-v1", tmp_path / "plain")
    learn(heavy(), tmp_path / "heavy")
    learn(wrapped, tmp_path / "wrapped")
    learn(lambda: gymnasium.wrappers.ClipReward(heavy(), -2.0, 2.0), tmp_path / "other")
    learn(changed, tmp_path / "changed")
    runs = [read_run(tmp_path / name) for name in ("plain", "heavy", "wrapped", "other", "changed")]
    groups, left_out = group_runs(runs)
    assert len(groups) == 5 and not left_out
    commands = [command(run) for run in runs]
    assert "--env-kwargs '{\"g\": 2.0}'" in commands[1]
    assert [text.startswith("rewirl train") for text in commands] == [True, True, False, False, False]


@pytest.mark.parametrize("recorded", [3, {}, {"made_by": "x"}, {"made_by": "an object", "recipe": {"id": "x"}}])
def test_an_impossible_record_is_refused_by_name(recorded, tmp_path):
    from rewirl.options.train import TrainConfig
    from rewirl.storage.run_directory import RunDirectory, RunDirectoryError
    from rewirl.storage.values import to_values
    from rewirl.training.resume import source_of

    config = {"train": to_values(TrainConfig()), "environment": recorded}
    with (
        RunDirectory.create(tmp_path / "run", config, instruction_set="x") as directory,
        pytest.raises(RunDirectoryError, match=r"config\.json: .*environment"),
    ):
        source_of(directory, TrainConfig())


class Bent(gymnasium.Wrapper):
    """A wrapper of the user's own with an argument that Gymnasium does not record."""

    def __init__(self, env, by=1.0):
        super().__init__(env)
        self.by = by


class Measured:
    """Something in an attribute that no record can hold."""

    def __init__(self, weight):
        self.weight = weight


def in_own(g=2.0, by=1.0, limit=100, weight=1.0):
    env = gymnasium.make("Pendulum-v1", g=g, max_episode_steps=limit)
    env.unwrapped.body = Measured(weight)
    return Bent(env, by)


CHANGED = [
    ({"g": 3.0}, r"g was 2\.0, and is 3\.0"),
    ({"limit": 50}, "max_episode_steps was 100, and is 50"),
    ({"by": 1.5}, r"Bent\.by was 1\.0, and is 1\.5"),
    ({"weight": 2.0}, "PendulumEnv.body was something else, and is something else"),
]


@pytest.mark.parametrize(("changes", "says"), CHANGED)
def test_another_one_made_by_a_function_in_a_wrapper_of_the_users_own_is_refused(tmp_path, changes, says):
    with rewirl.DSTD3(in_own, **SMALL) as agent:
        agent.learn(50, run_dir=tmp_path / "run", eval_every=0)
        agent.save(tmp_path / "policy")
    with pytest.raises(rewirl.UnsuitableEnvironmentError, match=f"{says}.*give the same one"):
        rewirl.resume(tmp_path / "run", env=lambda: in_own(**changes))
    with pytest.raises(
        rewirl.UnsuitableEnvironmentError, match=r"it was PendulumEnv in .*, and is PendulumEnv in .*Own"
    ):
        rewirl.resume(tmp_path / "run", env=lambda: Own(in_own()))
    rewirl.resume(tmp_path / "run", env=lambda: in_own()).close()
    policy = rewirl.load(tmp_path / "policy")
    with pytest.warns(UserWarning, match=says):
        policy.evaluate(1, env=lambda: in_own(**changes))
    policy.evaluate(1, env=lambda: in_own())  # without a warning


@pytest.mark.parametrize(("changes", "says"), CHANGED)
def test_of_another_object_what_cannot_have_changed_is_refused_and_the_rest_is_said(tmp_path, changes, says, capsys):
    with rewirl.DSTD3(in_own(), **SMALL) as agent:
        agent.learn(50, run_dir=tmp_path / "run")
    if {"g", "limit"} & changes.keys():
        with pytest.raises(rewirl.UnsuitableEnvironmentError, match=says):
            rewirl.resume(tmp_path / "run", env=in_own(**changes))
        return
    capsys.readouterr()
    rewirl.resume(tmp_path / "run", env=in_own(**changes)).close()
    found = capsys.readouterr().err
    assert "warning" in found and re.search(says, found)


def test_an_object_that_has_been_played_meanwhile_is_the_same(tmp_path, capsys):
    env = in_own()
    with rewirl.DSTD3(env, **SMALL) as agent:
        agent.learn(50, run_dir=tmp_path / "run")
    for each in (env, in_own()):
        each.reset()
        each.step(each.action_space.sample())
        capsys.readouterr()
        rewirl.resume(tmp_path / "run", env=each).close()
        assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize("play", ["nothing", "step", "reset"])
def test_an_object_that_the_program_plays_between_two_calls_begins_a_new_episode(play, capsys):
    env = gymnasium.make("Pendulum-v1")
    with rewirl.DSTD3(env, seed=3, learning_starts=20, hidden_sizes=(8,), n_steps=3, threads=1) as agent:
        agent.learn(25)
        if play == "reset":
            env.reset()
        if play != "nothing":
            env.step(np.zeros(1, np.float32))
        agent.learn(25)
        memory = agent.replay
        follows = (memory.next_observations[:-1] == memory.observations[1:]).all(axis=1)
    assert np.flatnonzero(~follows).tolist() == ([] if play == "nothing" else [24])
    said = "somebody has played it since the agent last learnt; give a function that makes one. A new episode begins"
    assert (said in capsys.readouterr().err) == (play != "nothing")


def test_what_was_not_checked_is_compared_all_the_same(tmp_path):
    with rewirl.DSTD3(heavy, **SMALL) as agent:
        agent.learn(50, run_dir=tmp_path / "run", eval_every=0, check=False)
    with pytest.raises(rewirl.UnsuitableEnvironmentError, match=r"g was 2\.0, and is 3\.0"):
        rewirl.resume(tmp_path / "run", env=lambda: gymnasium.make("Pendulum-v1", g=3.0))
    rewirl.resume(tmp_path / "run", env=heavy).close()


def test_words_of_an_environment_are_not_written_down(tmp_path):
    def make():
        env = in_own()
        env.unwrapped.password = "sesame"
        return env

    assert "sesame" not in json.dumps(learn(make, tmp_path / "run"))


def test_the_report_keeps_what_only_programs_can_make_apart(tmp_path):
    for name, options in {"one": {}, "other": {"g": 3.0}, "short": {"limit": 50}}.items():
        learn(lambda options=options: in_own(**options), tmp_path / name)
    groups, _ = group_runs([read_run(tmp_path / name) for name in ("one", "other", "short")])
    assert len(groups) == 3


@pytest.mark.parametrize("like", [3, {"layers": 5}, {"layers": ["PendulumEnv"], "arguments": 3}, {"attributes": []}])
def test_an_impossible_likeness_is_refused(like, tmp_path):
    learn(in_own, tmp_path / "run")
    file = tmp_path / "run" / "config.json"
    record = json.loads(file.read_text())
    if isinstance(like, dict):
        like = {**record["config"]["environment"]["likeness"], **like}
    record["config"]["environment"]["likeness"] = like
    file.write_text(json.dumps(record))
    with pytest.raises(
        (rewirl.RunDirectoryError, rewirl.UnsuitableEnvironmentError), match=r"likeness|arguments|attributes|it was"
    ):
        rewirl.resume(tmp_path / "run", env=in_own)


def test_a_function_that_makes_one_environment_alone_is_learnt_in(tmp_path):
    made = []

    def robot():
        if made:
            raise OSError("the robot is in use")
        made.append(gymnasium.make("Pendulum-v1"))
        return made[0]

    with rewirl.TD3(robot, **SMALL) as agent:
        agent.learn(20, run_dir=tmp_path / "run", eval_every=0)
        assert agent.steps == 20 and (tmp_path / "run" / "policy").is_dir()
        with pytest.raises(UnsuitableEnvironmentError, match=r"evaluation after step 30 .* the robot is in use"):
            agent.learn(20, eval_every=30, eval_episodes=1)


@pytest.mark.parametrize("make", [heavy, wrapped])
@pytest.mark.parametrize("handed_over", ["an object", "a function"])
def test_a_run_is_saved_where_an_environment_for_evaluation_cannot_be_made_any_more(
    tmp_path, monkeypatch, make, handed_over
):
    def refuse(*args, **kwargs):
        raise OSError("the robot is in use")

    with rewirl.TD3(make() if handed_over == "an object" else make, **SMALL) as agent:
        agent.learn(20, run_dir=tmp_path / "run", eval_every=0)
        monkeypatch.setattr(gymnasium, "make", refuse)
        with pytest.raises(UnsuitableEnvironmentError, match=r"evaluation after step 30 .* the robot is in use"):
            agent.learn(20, eval_every=30, eval_episodes=1)
    assert (tmp_path / "run" / "checkpoints" / "step-000000030").is_dir()


def by_bare_id():
    return gymnasium.make("rewirl-tests/Drift-v0", length=30)


@pytest.mark.parametrize("prefixed", [False, True])  # as the run was given it, and then the other way round
def test_an_id_with_its_module_is_what_gymnasium_makes_of_it(tmp_path, prefixed, recwarn, monkeypatch):
    ids = ["probe_environments:rewirl-tests/Drift-v0", "rewirl-tests/Drift-v0"]
    first, then = ids if prefixed else reversed(ids)
    module = None if prefixed else "probe_environments"
    with rewirl.DSTD3(first, env_kwargs={"length": 30}, env_module=module, **SMALL) as agent:
        agent.learn(60, run_dir=tmp_path / "run", eval_every=0)
    for env in (then, by_bare_id, by_bare_id()):
        with rewirl.resume(tmp_path / "run", env=env) as again:
            assert again.steps == 60
    policy = rewirl.load(tmp_path / "run")
    assert policy.evaluate(1, env=by_bare_id).lengths == (30,)
    assert not [warning for warning in recwarn if "trained in" in str(warning.message)]
    for env in (then, by_bare_id):
        source = environment_source(env, {"length": 30} if env == then else None)
        load_warm_up_policy(tmp_path / "run", source.make_training(), source)
    with pytest.raises(UnsuitableEnvironmentError, match="'length': 20"):
        rewirl.resume(tmp_path / "run", env=gymnasium.make("rewirl-tests/Drift-v0", length=20))
    (tmp_path / "other_module.py").write_text("import probe_environments")
    monkeypatch.syspath_prepend(tmp_path)
    other = "other_module:rewirl-tests/Drift-v0"  # of which the run's module knows nothing
    with pytest.raises(UnsuitableEnvironmentError, match="the environment given is other_module:"):
        rewirl.resume(tmp_path / "run", env=other)
    with pytest.warns(UserWarning, match="the environment given is other_module:"):
        policy.evaluate(1, env=other)
    with pytest.raises(UnsuitableEnvironmentError, match="not in other_module:"):
        source = environment_source(other, {"length": 30})
        load_warm_up_policy(tmp_path / "run", source.make_training(), source)
    with pytest.warns(UserWarning, match="'length': 20"):
        policy.evaluate(1, env=gymnasium.make("rewirl-tests/Drift-v0", length=20))
