"""Promises of runs that normalise observations and scale rewards: what is counted, saved, resumed and evaluated."""

from __future__ import annotations

import dataclasses
import json
import signal

import gymnasium
import numpy as np
import probe_environments as probes
import pytest
from sameness import metrics, same_to_the_bit
from test_run import AGENT, KILL_AT, config, train_and_kill, trained

import rewirl
from rewirl.cli.main import main
from rewirl.environments.environment import Environment
from rewirl.environments.memory import memory_of
from rewirl.printing import number
from rewirl.storage.checkpoint import load_latest
from rewirl.training import run as runs
from rewirl.training.evaluation_process import ParallelEvaluations
from rewirl.training.progress import Silent
from rewirl.training.resume import resume
from rewirl.training.trained_policy import TrainedPolicy

NORMALISED = dataclasses.replace(AGENT, normalise_observations=True, scale_rewards=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("whole") / "run", agent=NORMALISED)


def test_every_observation_acted_on_and_every_reward_is_counted_before_it_is_used(monkeypatch):
    settings = config(eval_every=0, total_timesteps=95)  # three episodes of 30 steps, and warm-up until step 60
    with runs.Run(settings, NORMALISED, Silent()) as run:
        agent, replay = run.agent, run.training.replay
        used, plain = [], type(agent)._sample

        def sample(self, memory):
            count = len(memory)
            statistics = self.normalisation.observations
            expected = memory.observations[:count].astype(np.float64)
            assert statistics.count == self.normalisation.returns.count == count
            assert np.allclose(statistics.mean, expected.mean(axis=0), rtol=1e-9, atol=1e-12)
            assert np.allclose(statistics.variance, expected.var(axis=0), rtol=1e-9)
            used.append(count)
            return plain(self, memory)

        explored = []
        monkeypatch.setattr(type(agent), "_sample", sample)
        monkeypatch.setattr(
            type(agent),
            "explore",
            lambda self, o, at: explored.append((o, self.normalisation.observations.count)) or np.zeros(2, np.float32),
        )
        assert run.train().finished
        assert used == list(range(61, 96)) and [count for _, count in explored] == used
        assert np.array_equal([o for o, _ in explored], replay.observations[60:95])
        returns, discounted = [], 0.0
        for number, reward in enumerate(replay.rewards[:95, 0].astype(np.float64)):
            discounted = reward + (0.99 * discounted if number % 30 else 0.0)
            returns.append(discounted)
        assert np.allclose(agent.normalisation.returns.variance, np.var(returns), rtol=1e-6)


@pytest.mark.parametrize("at", [97, 215])
def test_killed_and_resumed_is_the_uninterrupted_run_to_the_bit(tmp_path, whole, at):
    path = tmp_path / "run"
    options = ["--normalise-observations", "--scale-rewards"]
    killed = train_and_kill(path, at, signal.SIGKILL, KILL_AT, *options)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with resume(path, Silent()) as run:
        assert run.train().finished
    same_to_the_bit(path, whole)
    assert metrics(path) == metrics(whole)


def test_evaluating_here_or_in_a_process_or_not_at_all_moves_no_statistics(tmp_path, whole, monkeypatch):
    begun = []
    monkeypatch.setattr(
        ParallelEvaluations,
        "begin",
        (lambda begin: lambda self, *a: begun.append(1) or begin(self, *a))(ParallelEvaluations.begin),
    )
    beside = trained(tmp_path / "beside", config(threads=2), NORMALISED)
    assert begun
    same_to_the_bit(beside, whole)
    assert metrics(beside) == metrics(whole)
    never = trained(tmp_path / "never", config(eval_every=0), NORMALISED)
    one, other = (load_latest(path / "checkpoints", pytest.fail) for path in (never, whole))
    assert all(one.arrays[name].tobytes() == array.tobytes() for name, array in other.arrays.items())
    assert one.values["agent"] == other.values["agent"]


def test_the_policy_of_a_run_acts_by_its_statistics_wherever_it_is_used(whole, capsys):
    with resume(whole, Silent(), 401) as run:
        agent = run.agent
        x = 3 * np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
        policy = rewirl.load(whole)
        assert np.array_equal(policy.predict(x), run.environment.actions.to_user(agent.predict(x)))
        assert np.array_equal(TrainedPolicy.load(whole).act(x), agent.predict(x))
    evaluated = [line for line in metrics(whole) if line["event"] == "evaluation"][-1]
    assert list(policy.evaluate(2).returns) == evaluated["returns"]
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(whole), "--episodes", "2", "--json"])
    assert ended.value.code == 0 and json.loads(capsys.readouterr().out)["returns"] == evaluated["returns"]


def test_inspect_shows_the_statistics(whole, capsys):
    saved = load_latest(whole / "checkpoints", pytest.fail)
    with pytest.raises(SystemExit):
        main(["inspect", str(whole), "--json"])
    shown = json.loads(capsys.readouterr().out)["normalisation"]
    assert shown["observations"]["count"] == shown["returns"]["count"] == 400
    assert shown["observations"]["mean"] == saved.arrays["agent/observations.mean"].tolist()
    assert np.square(shown["observations"]["std"]) == pytest.approx(saved.arrays["agent/observations.variance"])
    with pytest.raises(SystemExit):
        main(["inspect", str(whole)])
    out = capsys.readouterr().out
    least, most = (number(end(shown["observations"]["std"])) for end in (min, max))
    assert f"normalised 400 observations: standard deviation {least} to {most}\n" in out
    deviation = number(shown["returns"]["std"])
    assert f"normalised 400 rewards, of the discounted return: standard deviation {deviation}\n" in out
    with pytest.raises(SystemExit):
        main(["inspect", "--env", "Pendulum-v1", "--normalise-observations", "--scale-rewards"])
    out = capsys.readouterr().out
    assert "normalised no observations so far\n" in out and "normalised no rewards so far\n" in out


def test_the_first_actions_of_a_policy_are_by_its_own_statistics(tmp_path, whole):
    settings = config(warm_up_policy=str(whole), eval_every=0, total_timesteps=61)
    with runs.start(settings, AGENT, tmp_path / "run", Silent()) as run:
        assert run.train().finished
        replay, policy = run.training.replay, TrainedPolicy.load(whole)
        noise = replay.actions[:60] - policy.act(replay.observations[:60])
        assert np.abs(noise).max() < 0.5 and run.agent.normalisation.observations is None


def test_python_learns_in_pieces_as_at_once():
    def agent():
        return rewirl.DSTD3(
            probes.Drift,
            seed=1,
            hidden_sizes=(8,),
            learning_starts=20,
            batch_size=8,
            normalise_observations=True,
            scale_rewards=True,
        )

    with agent() as pieces, agent() as whole:
        for steps in (13, 30, 17):
            pieces.learn(steps)
        whole.learn(60)
        x = np.ones((2, 3), np.float32)
        assert np.array_equal(pieces.predict(x), whole.predict(x))


def test_wrappers_that_normalise_are_answered_with_the_option():
    observations = gymnasium.wrappers.NormalizeObservation(probes.Drift())
    both = Environment(gymnasium.wrappers.NormalizeReward(observations), "both")
    assert "with normalise_observations (--normalise-observations) and scale_rewards (--scale-rewards)" in str(
        memory_of(both)
    )
