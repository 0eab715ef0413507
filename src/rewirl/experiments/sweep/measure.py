"""How fast a run is on this machine: it plays and learns for a moment, and its steps are timed."""

from __future__ import annotations

import dataclasses
import time

from rewirl.environments.environment import Environment
from rewirl.experiments.sweep.plan import PlannedRun
from rewirl.training.progress import Silent
from rewirl.training.run import Run

_WARM_UP_STEPS = 500
_SECONDS = 0.4
_SETTLING_SECONDS = 0.2
_WITHOUT_LIMIT = 1000
"""Steps of an evaluation episode of an environment that has no limit of its own."""

Rates = dict[str, float]
"""Seconds per step of the warm-up, of learning and of an evaluation, and `episode`: steps of an evaluation episode."""


class Stopwatch:
    """Counts time only while this process computes: other programs that hold the processor may soon be gone."""

    def __init__(self) -> None:
        """Start."""
        self._wall, self._own = time.perf_counter(), time.process_time()

    def seconds(self) -> float:
        """Return the processor time since the start; with several threads at most the wall-clock time."""
        return min(time.perf_counter() - self._wall, time.process_time() - self._own)


def measure(planned: PlannedRun) -> Rates:
    """Play and learn with a run's settings for about a second, or two rollouts; nothing is written.

    Evaluation episodes are taken to last as long as the environment allows, as a good agent's may.
    """
    config = dataclasses.replace(
        planned.config,
        eval_every=0,
        checkpoint_every=0,
        warm_up_policy=None,
        env_processes=False,  # whose time nobody here would see
    )
    agent_config, starts = planned.agent_config, min(_WARM_UP_STEPS, planned.agent_config.learning_starts)
    if starts:  # an agent without a replay memory has no warm-up
        agent_config = dataclasses.replace(agent_config, learning_starts=starts)  # type: ignore[call-arg]
    with Run(config, agent_config, Silent()) as run:
        stopwatch = Stopwatch()
        run.training.run(starts)
        warm_up = stopwatch.seconds() / max(starts, 1)
        if steps := getattr(agent_config, "rollout_steps", 0):  # it learns in one go at the end of each
            run.training.run(steps)
            stopwatch = Stopwatch()
            run.training.run(2 * steps)
            seconds = stopwatch.seconds()
        else:
            _learn_for(run, _SETTLING_SECONDS)
            steps, seconds = _learn_for(run, _SECONDS)
        rates = {"warm_up": warm_up, "learning": seconds / steps, "evaluation": 0.0, "episode": 0.0}
        if planned.config.eval_every:
            assert isinstance(run.environment, Environment)  # in this process, where its time is seen
            spec = run.environment.env.spec
            limit = None if spec is None else spec.max_episode_steps
            rates["evaluation"] = _evaluation_step(run, planned.config.eval_episodes)
            rates["episode"] = float(_WITHOUT_LIMIT if limit is None else limit)
    return rates


def _learn_for(run: Run, seconds: float) -> tuple[int, float]:
    """Learn for a while; return the number of steps and the seconds they took."""
    first, began, stopwatch = run.training.step, time.perf_counter(), Stopwatch()
    run.training.run(first + 10**9, lambda: time.perf_counter() - began >= seconds)
    return max(run.training.step - first, 1), stopwatch.seconds()


def _evaluation_step(run: Run, episodes: int) -> float:
    evaluator = run.evaluator(episodes)
    try:
        evaluator.evaluate(run.agent.predict, "measuring", lambda: True)  # makes the environments
        began, turns, stopwatch = time.perf_counter(), 0, Stopwatch()

        def over() -> bool:
            nonlocal turns
            turns += 1
            return time.perf_counter() - began >= _SECONDS

        evaluation = evaluator.evaluate(run.agent.predict, "measuring", over)
        steps = episodes * (turns - 1) if evaluation is None else sum(evaluation.lengths)
        return stopwatch.seconds() / max(steps, 1)
    finally:
        evaluator.close()
