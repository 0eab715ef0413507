"""Promises of evaluation: the same episodes each time, one prediction per step, and no trace left behind."""

from __future__ import annotations

import numpy as np
import probe_environments as probes
import pytest
from stand_in import StandInAgent

from rewirl import seeding
from rewirl.environments.environment import Environment, FaultyEnvironmentError
from rewirl.training import evaluation
from rewirl.training.evaluation import Evaluator


class Lengths:
    """Makes environments whose episodes last 3, 5, 4 ... steps."""

    def __init__(self, *lengths: int) -> None:
        self.lengths = list(lengths)

    def __call__(self) -> Environment:
        return Environment(probes.Drift(self.lengths.pop(0)), "Drift")


def test_side_by_side_equals_one_after_the_other():
    agent = StandInAgent(3, 2)
    together = Evaluator(Lengths(3, 5, 4), 3, seed=7).evaluate(agent.predict, "now")
    for episode, length in enumerate((3, 5, 4)):
        environment = Environment(probes.Drift(length), "Drift")
        observation = environment.reset(seeding.episode_seed(7, "evaluation", episode))
        total, over = 0.0, False
        while not over:
            step = environment.step(environment.actions.to_environment(agent.predict(observation[None])[0]))
            observation, total, over = step.observation, total + step.reward, step.truncated
        assert together.returns[episode] == pytest.approx(total, rel=1e-6)
        assert together.lengths[episode] == length
    assert together.mean == np.mean(together.returns) and together.std == np.std(together.returns)


def test_finished_episodes_drop_out_of_the_batch():
    agent = StandInAgent(3, 2)
    Evaluator(Lengths(3, 5, 4), 3, seed=0).evaluate(agent.predict, "now")
    assert agent.predicted == [3, 3, 3, 2, 1]


def test_evaluating_again_gives_the_same_to_the_bit():
    agent, evaluator = StandInAgent(3, 2), Evaluator(Lengths(9, 9), 2, seed=0)
    first, second = evaluator.evaluate(agent.predict, "now"), evaluator.evaluate(agent.predict, "now")
    assert first.returns == second.returns
    assert first.returns[0] != first.returns[1]


def test_faults_name_the_episode_and_its_step():
    evaluator = Evaluator(lambda: Environment(probes.Faulty(lambda o, r: (o, np.nan), at=4), "Faulty-v0"), 2, seed=0)
    with pytest.raises(
        FaultyEnvironmentError, match=r"Faulty-v0: the reward is nan.*, at evaluation after step 50, episode 0, step 4$"
    ):
        evaluator.evaluate(StandInAgent(3, 2).predict, "evaluation after step 50")


def test_who_waits_is_told_once_that_no_end_is_in_sight(monkeypatch, capsys):
    monkeypatch.setattr(evaluation, "NO_END_IN_SIGHT", 4)
    evaluator = Evaluator(Lengths(3, 9, 7), 3, seed=0)
    for _ in range(2):
        evaluator.evaluate(StandInAgent(3, 2).predict, "evaluation after step 50")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Drift: evaluation after step 50: 2 of 3 episodes are not over after 4 steps")


def test_a_stop_gives_the_evaluation_up():
    asked = iter([False, False, True])
    agent = StandInAgent(3, 2)
    assert Evaluator(Lengths(9), 1, seed=0).evaluate(agent.predict, "now", lambda: next(asked)) is None
    assert len(agent.predicted) == 2


def test_closing_closes_every_environment():
    closed = []

    def make() -> Environment:
        env = probes.Drift(2)
        env.close = lambda: closed.append(env)
        return Environment(env, "Drift")

    evaluator = Evaluator(make, 3, seed=0)
    evaluator.evaluate(StandInAgent(3, 2).predict, "now")
    evaluator.close()
    evaluator.close()
    assert len(closed) == 3
