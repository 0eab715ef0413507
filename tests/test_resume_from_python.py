"""Promises of training on from Python: a run goes on to the bit, its environment handed over again if need be."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import shutil
import signal
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import rewirl

SMALL: dict[str, Any] = {
    **{"hidden_sizes": (12, 8), "learning_starts": 40, "batch_size": 8},
    **{"buffer_size": 300, "adapt_every": 20, "threads": 1},
}
_OF_THE_CLOCK = ("seconds", "core_share", "sha256")  # the last is of a checkpoint with its seconds
OFTEN: dict[str, Any] = {"eval_every": 50, "eval_episodes": 1, "checkpoint_every": 60}


class Heavier(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A wrapper that no record can name."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        env.unwrapped.m = 1.2  # type: ignore[attr-defined]


def pendulum() -> gymnasium.Env[Any, Any]:
    return Heavier(gymnasium.make("Pendulum-v1"))


def lines(path: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in _OF_THE_CLOCK} for line in found]


def arrays(agent: Any) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in agent._run.training.state()[0].items()}


class Stop:
    def __init__(self, at: int) -> None:
        self.at = at

    def on_step(self, moment: rewirl.Moment) -> bool:
        return moment.step < self.at


def test_a_run_goes_on_to_the_steps_that_were_asked_for_last(tmp_path):
    path = tmp_path / "run"
    with rewirl.DSTD3("Pendulum-v1", seed=3, **SMALL) as first:
        first.learn(100, run_dir=path, **OFTEN)
        first.learn(100, callback=Stop(130))
    with rewirl.resume(path) as second:
        assert second.steps == 130
        second.learn()
        assert second.steps == 200


class Fails:
    def on_training_end(self, moment: rewirl.Moment) -> None:
        raise RuntimeError("no room for a copy")


class Interrupts:
    def on_step(self, moment: rewirl.Moment) -> None:
        if moment.step == 100:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("cut", [Interrupts(), Fails()])
def test_a_run_without_its_last_evaluation_or_its_end_is_completed(tmp_path, cut, live):
    path = tmp_path / "run"
    for directory, callback in ((tmp_path / "whole", None), (path, Stop(70))):
        with rewirl.DSTD3("Pendulum-v1", seed=3, **SMALL) as first:
            first.learn(100, run_dir=directory, callback=callback, **OFTEN)
    second = rewirl.resume(path)
    with pytest.raises(RuntimeError if isinstance(cut, Fails) else SystemExit):
        second.learn(callback=cut)
    assert second.steps == 100 and lines(path)[-1]["event"] != "end"
    if not live:
        second.close()
        second = rewirl.resume(path)
    with second:
        second.learn()
        with pytest.raises(ValueError, match="the run is at its end, at step 100"):
            second.learn()
    told = [[line for line in lines(tmp_path / name) if line["event"] != "checkpoint"] for name in ("run", "whole")]
    assert told[0] == told[1]
    assert rewirl.load(path).about["step"] == 100
    with rewirl.resume(path) as third:
        third.learn(30)
    evaluations = [line["step"] for line in lines(path) if line["event"] == "evaluation"]
    assert 100 in evaluations and evaluations == sorted(set(evaluations))  # what was completed stays


def test_a_run_that_was_killed_before_its_policy_is_completed(tmp_path, monkeypatch):
    path = tmp_path / "run"

    def killed_there(*args: Any, **settings: Any) -> None:
        raise RuntimeError("killed")

    with rewirl.DSTD3("Pendulum-v1", seed=3, **SMALL) as agent:
        agent.learn(60, run_dir=path, eval_every=0)
        monkeypatch.setattr("rewirl.storage.recorder.save_policy", killed_there)
        with pytest.raises(RuntimeError, match="killed"):
            agent.learn(40)
    monkeypatch.undo()
    assert rewirl.load(path).about["step"] == 60
    with rewirl.resume(path) as again:
        assert again.steps == 100
        again.learn()
    assert rewirl.load(path).about["step"] == 100 and lines(path)[-1]["event"] == "end"


def test_a_run_whose_checkpoints_were_removed_is_not_begun_anew(tmp_path):
    path = tmp_path / "run"
    with rewirl.DSTD3("Pendulum-v1", seed=3, **SMALL) as agent:
        agent.learn(100, run_dir=path, **OFTEN)
    shutil.rmtree(path / "checkpoints")
    before = {file.name: file.read_bytes() for file in (path / "metrics.jsonl", *(path / "policy").iterdir())}
    with pytest.raises(rewirl.CheckpointError, match="has no checkpoints any more, so it cannot go on"):
        rewirl.resume(path)
    assert before == {file.name: file.read_bytes() for file in (path / "metrics.jsonl", *(path / "policy").iterdir())}


class StopAtOnce(rewirl.Callback):
    def on_training_start(self, moment: rewirl.Moment) -> bool:
        return False


def killed(agent: Any) -> None:
    """Let go of the run as a kill would: nothing more is written."""
    agent._run.training.recorder._directory.close()


def test_what_was_learnt_before_is_in_a_new_directory_at_once(tmp_path):
    with rewirl.DSTD3("Pendulum-v1", seed=3, **SMALL) as agent:
        agent.learn(60)
        agent.learn(60, run_dir=tmp_path / "one", callback=StopAtOnce())
        agent._run.record_in(tmp_path / "two")
        killed(agent)
        for name in ("one", "two"):
            with rewirl.resume(tmp_path / name) as again:
                assert again.steps == 60 and arrays(again) == arrays(agent)
                again.learn()  # to the end that was asked for
                assert again.steps == 120
            rewirl.load(tmp_path / name)


def test_a_run_at_its_end_is_finished_after_a_task_has_ended_too(tmp_path):
    with rewirl.DSTD3("Pendulum-v1", seed=3, sparsity=0.6, **SMALL) as agent:
        agent.learn(60, run_dir=tmp_path / "run")
        agent.freeze()
    assert [line["event"] for line in lines(tmp_path / "run")][-3:] == ["freeze", "checkpoint", "end"]


def test_a_task_that_has_ended_is_saved_at_once(tmp_path):
    path = tmp_path / "run"
    with rewirl.DSTD3("Pendulum-v1", seed=3, sparsity=0.6, **SMALL) as agent:
        agent.learn(60, run_dir=path)
        agent.freeze()
        killed(agent)
        expected = arrays(agent)
    for tasks in (1, 2):  # of an agent that goes on with the run too
        with rewirl.resume(path) as again:
            assert again.tasks == tasks and arrays(again) == expected
            assert again.freeze() == tasks + 1
            killed(again)
            expected = arrays(again)
    assert [line["tasks"] for line in lines(path) if line["event"] == "freeze"] == [1, 2, 3]
    rewirl.load(path)


def test_a_directory_that_cannot_be_used_leaves_the_agent_in_its_old_one(tmp_path, monkeypatch):
    from rewirl.storage import metrics_log

    def full(path: Path) -> None:
        raise OSError("no space left")

    with rewirl.DSTD3("Pendulum-v1", seed=3, **SMALL) as agent:
        agent.learn(60, run_dir=tmp_path / "old")
        with monkeypatch.context() as patched:
            patched.setattr(metrics_log, "sync_directory", full)
            with pytest.raises(rewirl.RunDirectoryError, match="cannot be written"):
                agent.learn(20, run_dir=tmp_path / "new")
        with pytest.raises(rewirl.RunInUseError):
            rewirl.resume(tmp_path / "old")
        agent.learn(20)
        agent.learn(20, run_dir=tmp_path / "new")
    with rewirl.resume(tmp_path / "old") as old, rewirl.resume(tmp_path / "new") as new:
        assert (old.steps, new.steps) == (80, 100)


def test_a_run_that_was_evaluated_goes_on_without_where_its_environment_cannot_be_made_again(tmp_path):
    path = tmp_path / "run"
    with rewirl.DSTD3(pendulum, seed=3, **SMALL) as agent:
        agent.learn(60, run_dir=path, **OFTEN)
    with rewirl.resume(path, env=pendulum()) as again:
        with pytest.raises(rewirl.UnsuitableEnvironmentError, match="or eval_every=0"):
            again.learn(20)
        again.learn(20, eval_every=0)
        assert again.steps == 80


@pytest.mark.parametrize("env", ["Pendulum-v1", pendulum], ids=["id", "function"])
@pytest.mark.parametrize("kind", [rewirl.DSTD3, rewirl.DSSAC])
def test_a_run_goes_on_to_the_bit(kind, env, tmp_path):
    again = None if isinstance(env, str) else env
    with kind(env, seed=3, **SMALL) as whole:
        whole.learn(150, run_dir=tmp_path / "whole", **OFTEN)
        expected = arrays(whole)
    with kind(env, seed=3, **SMALL) as first:
        first.learn(150, run_dir=tmp_path / "parts", callback=Stop(83), **OFTEN)
        assert first.steps == 83
    with rewirl.resume(tmp_path / "parts", env=again) as second:
        assert type(second) is kind and second.steps == 83
        second.learn(callback=Stop(120))
    with kind.load(tmp_path / "parts", env=again) as third:
        third.learn()
        assert third.steps == 150 and arrays(third) == expected
        with pytest.raises(ValueError, match="the run is at its end, at step 150"):
            third.learn()

    def learnt(path: Path) -> list[dict[str, Any]]:
        return [line for line in lines(path) if line["event"] != "checkpoint"]

    assert learnt(tmp_path / "parts") == learnt(tmp_path / "whole")


def test_looking_at_a_finished_run_changes_nothing_and_it_can_be_trained_further(tmp_path):
    path = tmp_path / "run"
    with rewirl.TD3("Pendulum-v1", **SMALL) as agent:
        agent.learn(60, run_dir=path, eval_every=0)
        action = agent.predict(np.zeros(3, np.float32))
        told = agent.diagnostics
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "lock"}
    with rewirl.resume(path) as agent:
        assert agent.predict(np.zeros(3, np.float32)).tobytes() == action.tobytes()
        assert agent.diagnostics == told != {}
        with pytest.raises(rewirl.RunInUseError):
            rewirl.resume(path)
    assert {file: file.read_bytes() for file in before} == before
    with rewirl.resume(path) as agent:
        agent.learn(20)
    ends = [line["step"] for line in lines(path) if line["event"] == "end"]
    assert ends == [80]


def test_what_cannot_be_resumed_is_refused_in_words(tmp_path):
    with rewirl.TD3(pendulum, **SMALL) as agent:
        agent.learn(50, run_dir=tmp_path / "run", eval_every=0)
    with pytest.raises(rewirl.UnsuitableEnvironmentError, match=r"rewirl\.resume\(run_dir, env=\.\.\.\)"):
        rewirl.resume(tmp_path / "run")
    with pytest.raises(rewirl.UnsuitableEnvironmentError, match="give the same one"):
        rewirl.resume(tmp_path / "run", env=lambda: gymnasium.make("MountainCarContinuous-v0"))
    with pytest.raises(rewirl.RunDirectoryError, match=r"is a run of td3, not of ds-td3; rewirl\.resume"):
        rewirl.DSTD3.load(tmp_path / "run", env=pendulum)
    with pytest.raises(rewirl.RunDirectoryError, match="holds no run"):
        rewirl.resume(tmp_path / "none")
    with rewirl.resume(tmp_path / "run", env=pendulum) as agent:  # every refusal has let go of the directory
        assert agent.steps == 50
    with rewirl.resume(tmp_path / "run", env=pendulum()) as agent:
        assert agent.learn(5, eval_every=0).steps == 55


def test_a_policy_of_such_a_run_is_evaluated_where_its_environment_is_given(tmp_path):
    with rewirl.DSTD3(pendulum, seed=1, **SMALL) as agent:
        agent.learn(50, run_dir=tmp_path / "run", eval_every=0)
        expected = agent.evaluate(2)
    policy = rewirl.load(tmp_path / "run")
    assert isinstance(policy, rewirl.Policy)
    assert policy.evaluate(2, env=pendulum).returns == expected.returns
    with pytest.raises(rewirl.UnsuitableEnvironmentError):
        policy.evaluate(2)
    with pytest.raises(rewirl.UnsuitableEnvironmentError, match="observations"):
        policy.evaluate(2, env="MountainCarContinuous-v0")


def test_an_agent_shows_what_it_is_and_looking_cannot_change_it():
    with rewirl.DSSAC(
        "Pendulum-v1", seed=2, learning_rate_schedule="linear", learning_rate_updates=9, **SMALL
    ) as agent:
        assert agent.diagnostics == {} and len(agent.replay.rewards) == 0
        agent.learn(70)
        assert agent.config["learning_rate_updates"] == 9 and agent.config["rule"] == "set"
        agent.config["gamma"] = 0  # a copy
        assert agent.config["gamma"] == 0.99
        assert agent.observation_space.shape == (3,) and agent.action_space.shape == (1,)
        assert {"critic1_loss", "critic2_loss", "temperature"} <= agent.diagnostics.keys()
        replay = agent.replay
        assert [part.shape for part in replay] == [(70, 3), (70, 1), (70,), (70, 3), (70,)]
        with pytest.raises(ValueError, match="read-only"):
            replay.rewards[0] = 1
        layer, before = agent.topology["actor"][0], arrays(agent)
        weights = layer.weights
        assert weights.shape == layer.shape and weights.nnz == layer.connections
        assert (weights.astype(bool) + layer.mask).nnz == layer.connections
        hidden = np.maximum(weights @ np.ones(3, np.float32) + layer.bias, 0)
        assert hidden.shape == (12,)
        weights.data[:] = 0
        layer.bias[:] = 9
        assert arrays(agent) == before


@pytest.mark.parametrize("kind", [rewirl.TD3, rewirl.SAC])
def test_exploring_actions_differ_and_disturb_no_training(kind, tmp_path):
    agents = [kind("Pendulum-v1", seed=4, **SMALL) for _ in range(2)]
    observation = np.array([1.0, 0.0, 0.0], np.float32)
    for number, agent in enumerate(agents):
        agent.learn(50)
        if number:
            noisy = [agent.predict(observation, deterministic=False) for _ in range(8)]
            assert len({action.tobytes() for action in noisy}) > 1
            assert all(action.shape == (1,) and agent.action_space.contains(action) for action in noisy)
            batch = agent.predict(np.stack([observation] * 5), deterministic=False)
            assert batch.shape == (5, 1)
        assert agent.predict(observation).tobytes() == agent.predict(observation, deterministic=True).tobytes()
        agent.learn(20)
    assert arrays(agents[0]) == arrays(agents[1])
    agents[0].save(tmp_path / "policy")
    policy = rewirl.load(tmp_path / "policy")
    assert policy.predict(observation).tobytes() == agents[0].predict(observation).tobytes()
    assert len({policy.predict(observation, deterministic=False).tobytes() for _ in range(8)}) > 1
    for agent in agents:
        agent.close()


def test_an_observation_that_is_not_finite_gives_no_action():
    with rewirl.TD3("Pendulum-v1", **SMALL) as agent:
        for wrong in (np.nan, np.inf):
            with pytest.raises(ValueError, match="not a finite"):
                agent.predict(np.array([0.0, wrong, 0.0], np.float32))


def test_agents_are_neither_pickled_nor_copied(tmp_path):
    with rewirl.TD3("Pendulum-v1", **SMALL) as agent:
        agent.save(tmp_path / "policy")
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match=r"TD3 can be neither pickled nor copied; save its policy with save"):
                attempt(agent)
            with pytest.raises(TypeError, match=r"rewirl\.load reads"):
                attempt(rewirl.load(tmp_path / "policy"))


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda: rewirl.TD3("MlpPolicy", "Pendulum-v1"), "leave it out: there is one kind of policy"),
        (lambda: rewirl.TD3("Pendulum-v1", "MlpPolicy"), "leave it out: there is one kind of policy"),
        (lambda: rewirl.TD3("Pendulum-v1", policy_kwargs={}), "net_arch is hidden_sizes"),
        (lambda: rewirl.PPO("Pendulum-v1", max_episode_steps=100), "env_kwargs={'max_episode_steps': ...}"),
        (lambda: rewirl.SAC("Pendulum-v1", ent_coef="auto"), 'here: temperature="auto"'),
        (lambda: rewirl.CrossQ("Pendulum-v1", ent_coef="auto_0.1"), "initial_temperature, for SimBa, XQC and CrossQ"),
        (lambda: rewirl.TD3("Pendulum-v1", train_freq=1), "for others updates follow every step"),
        (lambda: rewirl.TD3("Pendulum-v1", gradient_steps=2), "updates_per_step, after every step"),
        (lambda: rewirl.TD3("Pendulum-v1", **SMALL).learn(5, progress_bar=True), "here: progress=True"),
        (
            lambda: rewirl.TD3("Pendulum-v1", **SMALL).learn(5, sparsity=1),
            r"no argument 'sparsity'; .* TD3\(env, sparsity=\.\.\.\)",
        ),
        (lambda: rewirl.TD3("Pendulum-v1", **SMALL).replay_buffer, r"here: agent\.replay"),
        (lambda: rewirl.TD3("Pendulum-v1", **SMALL).num_timesteps, r"here: agent\.steps"),
        (lambda: rewirl.TD3("Pendulum-v1", **SMALL).nothing, "no attribute 'nothing'$"),
        (lambda: rewirl.TD3("Pendulum-v1", **SMALL).evaluate(n_eval_episodes=2), "n_eval_episodes is here: episodes"),
        (
            lambda: rewirl.TD3("Pendulum-v1", **SMALL).evaluate(2, deterministic=True),
            "evaluation is without exploration",
        ),
        (lambda: rewirl.load("Pendulum-v1/small").evaluate(eval_env="x"), "eval_env is here: env"),
        (lambda: rewirl.load("Pendulum-v1/small").learn(5), r"rewirl\.resume\(run_dir\)"),
        (lambda: rewirl.load("Pendulum-v1/small").nothing, "no attribute 'nothing'$"),
    ],
)
def test_the_names_of_stable_baselines3_get_the_right_hint(attempt, words):
    with pytest.raises((TypeError, ValueError, AttributeError), match=words):
        attempt()


@pytest.mark.parametrize("kind", [rewirl.TD3, rewirl.SAC])
def test_exploring_actions_see_observations_normalised_as_others_do(kind, tmp_path):
    quiet = {"exploration_noise": 0.0} if kind is rewirl.TD3 else {}
    with kind("Pendulum-v1", normalise_observations=True, **quiet, **SMALL) as agent:
        agent.learn(60)
        observation = np.array([0.6, -0.8, 7.0], np.float32)
        for acting in (agent, rewirl.load(_saved(agent, tmp_path))):
            still = acting.predict(observation)
            noisy = np.stack([acting.predict(observation, deterministic=False) for _ in range(400)])
            if kind is rewirl.TD3:
                assert (noisy == still).all()
            else:  # tanh of a normal distribution about the output: as often above as below
                assert abs((noisy > still).mean() - 0.5) < 0.12


def _saved(agent: Any, path: Path) -> Path:
    agent.save(path / "policy")
    return path / "policy"


def test_an_agent_of_an_object_is_evaluated_where_the_program_makes_it_again(tmp_path):
    with rewirl.DSTD3(pendulum(), seed=3, **SMALL) as agent:
        agent.learn(60)
        with pytest.raises(rewirl.UnsuitableEnvironmentError, match=r"or evaluate\(env=make_env\), or eval_every=0"):
            agent.evaluate(1)
        there = agent.evaluate(2, env=pendulum)
        agent.save(tmp_path / "policy")
        assert rewirl.load(tmp_path / "policy").evaluate(2, env=pendulum).returns == there.returns
        with pytest.raises(rewirl.UnsuitableEnvironmentError, match="give a function that makes it"):
            agent.evaluate(1, env=pendulum())
        with pytest.warns(UserWarning, match="the policy was trained in"):
            agent.evaluate(1, env="Pendulum-v1")
    for read in (rewirl.resume, rewirl.DSTD3.load):
        with pytest.raises(rewirl.RunDirectoryError, match=r"it is a saved policy, which rewirl\.load reads"):
            read(tmp_path / "policy")
        with pytest.raises(rewirl.RunDirectoryError, match="there is no such directory"):
            read(tmp_path / "nowhere")
    with pytest.raises(rewirl.UnsuitableEnvironmentError, match=r"rewirl\.load\(run_dir\)\.evaluate\(env="):
        rewirl.load(tmp_path / "policy").evaluate(1)


class Counting(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Keeps how often it was reset, and offers that; knows how many of its kind are open."""

    resets, opened = 0, 0

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        Counting.opened += 1

    def reset(self, **given: Any) -> Any:
        self.resets += 1
        return super().reset(**given)

    def close(self) -> None:
        Counting.opened -= 1
        super().close()

    def rewirl_state(self) -> int:
        return self.resets

    def load_rewirl_state(self, values: int) -> None:
        self.resets = values


def counting() -> gymnasium.Env[Any, Any]:
    return Counting(gymnasium.make("Pendulum-v1"))


def test_a_policy_is_evaluated_where_less_is_kept_between_episodes_with_a_warning(tmp_path):
    with rewirl.DSTD3(counting, seed=3, **SMALL) as agent:
        agent.learn(30)
        agent.save(tmp_path / "policy")
    for env, layers in (("Pendulum-v1", 0), (lambda: Counting(counting()), 2)):
        with pytest.warns(UserWarning, match=f"is left out: the one given has {layers} layers that keep .*, not 1"):
            assert len(rewirl.load(tmp_path / "policy").evaluate(1, env=env).returns) == 1


def test_no_environment_of_a_function_stays_open():
    gc.collect()
    before = Counting.opened
    with rewirl.DSTD3(counting, seed=3, **SMALL) as agent:
        agent.learn(30)
        for _ in range(2):
            agent.evaluate(2, env=counting)
    with pytest.raises(ValueError, match="seed"):
        rewirl.DSTD3(counting, seed=-1, **SMALL)
    gc.collect()
    assert Counting.opened == before


def test_an_agent_without_a_replay_memory_has_no_such_attribute():
    with rewirl.PPO("Pendulum-v1", hidden_sizes=(8,), rollout_steps=20, batch_size=10) as agent:
        assert not hasattr(agent, "replay")
        with pytest.raises(AttributeError, match="no replay memory: it learns from its latest steps"):
            _ = agent.replay


@pytest.mark.parametrize("more", [{}, {"threads": 2}, {"n_envs": 2, "env_processes": True}], ids=str)
def test_a_closed_agent_learns_no_more_and_does_all_else(more, tmp_path):
    """Its directory may be another agent's by then, whose newer checkpoints it would delete."""
    observation = np.zeros(3, np.float32)
    kept, unkept = (rewirl.DSTD3("Pendulum-v1", seed=1, **{**SMALL, **more}) for _ in range(2))
    kept.learn(60, run_dir=tmp_path / "run", **OFTEN)
    unkept.learn(60)
    for agent in (kept, unkept):
        before = agent.predict(observation)
        agent.close()
        agent.close()
        assert agent.predict(observation).tobytes() == before.tobytes()
        assert len(agent.evaluate(1).returns) == 1 and len(agent.topology) == 6 and agent.steps == 60
        agent.save(tmp_path / "policy")
    with pytest.raises(RuntimeError, match=r"closed and learns no more; rewirl\.resume\('.*run'\) goes on"):
        kept.learn(50)
    with pytest.raises(RuntimeError, match="closed and learns no more; close it later, or give the first learn a run"):
        unkept.learn(50)
    with pytest.raises(RuntimeError, match="closed and learns no more"):
        unkept.freeze()
    if more:
        return
    with rewirl.resume(tmp_path / "run") as other:
        other.learn(40)
        checkpoints = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
        with pytest.raises(RuntimeError, match="is closed"):
            kept.learn(10)
        assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == checkpoints
    untouched = rewirl.resume(tmp_path / "run")
    untouched.close()
    with pytest.raises(RuntimeError, match=r"rewirl\.resume"):
        untouched.learn(10)
