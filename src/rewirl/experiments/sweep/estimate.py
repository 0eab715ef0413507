"""How long a sweep will take on this machine: every distinct setting runs for a moment, the rest is arithmetic."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import time
from collections.abc import Collection, Mapping

from rewirl.experiments.sweep.plan import PlannedRun, standing
from rewirl.experiments.sweep.pool import Place
from rewirl.storage import strict_json
from rewirl.storage.values import to_values
from rewirl.training.progress import Silent
from rewirl.training.run import Run

_WARM_UP_STEPS = 500
_SECONDS = 0.4
_SETTLING_SECONDS = 0.2
_WITHOUT_LIMIT = 1000

Rates = dict[str, float]
"""Seconds per step of the warm-up, of learning and of an evaluation, and `episode`: steps of an evaluation episode."""


class Watch:
    """A stopwatch that stands still while other programs have the processor: they may be gone in a minute."""

    def __init__(self) -> None:
        """Start."""
        self._wall, self._own = time.perf_counter(), time.process_time()

    def seconds(self) -> float:
        """Return how long it has been; with several threads no more than the wall clock says."""
        return min(time.perf_counter() - self._wall, time.process_time() - self._own)


def measure(planned: PlannedRun) -> Rates:
    """Play and learn with a run's settings for about a second; nothing is written.

    Episodes of an evaluation are taken to last as long as the environment allows, which a good agent's may.
    """
    config = dataclasses.replace(planned.config, eval_every=0, checkpoint_every=0, warm_up_policy=None)
    starts = min(_WARM_UP_STEPS, planned.agent_config.learning_starts)
    with Run(config, dataclasses.replace(planned.agent_config, learning_starts=starts), Silent()) as run:
        watch = Watch()
        run.training.run(starts)
        warm_up = watch.seconds() / starts
        _learn_for(run, _SETTLING_SECONDS)
        steps, seconds = _learn_for(run, _SECONDS)
        rates = {"warm_up": warm_up, "learning": seconds / steps, "evaluation": 0.0, "episode": 0.0}
        if planned.config.eval_every:
            spec = run.environment.env.spec
            limit = None if spec is None else spec.max_episode_steps
            rates["evaluation"] = _evaluation_step(run, planned.config.eval_episodes)
            rates["episode"] = float(_WITHOUT_LIMIT if limit is None else limit)
    return rates


def seconds_left(planned: PlannedRun, rates: Rates, step: int) -> float:
    """Return how long a run takes from a step on; what it takes to save is left out.

    Args:
        planned: the run.
        rates: measured with its settings.
        step: where it is.
    """
    config, starts = planned.config, planned.agent_config.learning_starts
    total = config.total_timesteps
    warm_up = max(min(starts, total) - step, 0)
    learning = max(total - max(step, starts), 0)
    evaluations = 0
    if config.eval_every and step < total:
        evaluations = total // config.eval_every - step // config.eval_every
        evaluations += (step == 0) + (total % config.eval_every > 0)
    played = evaluations * config.eval_episodes * rates["episode"]
    seconds: float = warm_up * rates["warm_up"] + learning * rates["learning"] + played * rates["evaluation"]
    return seconds


def estimate(runs: Mapping[str, PlannedRun], place: Place) -> dict[str, float]:
    """Return how many seconds each run of a sweep still takes, by name; 0 for finished ones.

    Each distinct setting is measured once, as many side by side as runs will be.

    Args:
        runs: by name.
        place: where they will be made.

    Raises:
        RuntimeError: a setting cannot be measured; says why.
    """
    standings = {name: standing(run) for name, run in runs.items()}
    left = {name: run for name, run in runs.items() if standings[name].state != "finished"}
    rates = measured(left.values(), place)
    return {
        name: seconds_left(run, rates[setting(run)], standings[name].step) if name in left else 0.0
        for name, run in runs.items()
    }


def measured(runs: Collection[PlannedRun], place: Place) -> dict[bytes, Rates]:
    """Measure each distinct setting of some runs once; return what was found by `setting`.

    Raises:
        RuntimeError: a setting cannot be measured; says why.
    """
    distinct: dict[bytes, PlannedRun] = {}
    for run in runs:
        distinct.setdefault(setting(run), run)
    return _measured(distinct, min(place.workers, len(runs)), place)


def makespan(runs: Mapping[str, PlannedRun], seconds: Mapping[str, float], workers: int) -> float:
    """Return how long the runs take together, each started as soon as a worker is free and what it waits for is done.

    Args:
        runs: by name, those that others wait for before them.
        seconds: that each takes, by name.
        workers: how many run side by side.
    """
    free = [0.0] * workers
    ends: dict[str, float] = {}
    for name, run in runs.items():
        ready = ends[run.after] if run.after is not None else 0.0
        ends[name] = ready
        if seconds[name] > 0:
            ends[name] = max(heapq.heappop(free), ready) + seconds[name]
            heapq.heappush(free, ends[name])
    return max(ends.values(), default=0.0)


def setting(run: PlannedRun) -> bytes:
    """Return what decides how fast a run is."""
    config = dataclasses.replace(run.config, seed=0, total_timesteps=1, warm_up_policy=None)
    return strict_json.canonical([to_values(config), to_values(run.agent_config)], run.name)


def _measured(distinct: Mapping[bytes, PlannedRun], workers: int, place: Place) -> dict[bytes, Rates]:
    # Workers slow each other down, so all of them are kept busy while one measures: with too few settings, by
    # measuring them more than once.
    waiting = list(itertools.islice(itertools.cycle(distinct.items()), max(len(distinct), workers)))
    waiting.reverse()
    running: dict[str, bytes] = {}
    found: dict[bytes, list[Rates]] = {key: [] for key in distinct}
    for number in itertools.count():
        if waiting and len(running) < workers:
            key, run = waiting.pop()
            running[str(number)] = key
            place.start(str(number), run.values(), measure=True)
        elif not running:
            break
        else:
            for name, message in place.wait(1.0):
                if "ended" in message:
                    key = running.pop(name)
                    if "rates" not in message:
                        raise RuntimeError(f"{distinct[key].name} cannot be measured: {message.get('reason')}")
                    found[key].append(message["rates"])
    return {
        key: {name: sum(rates[name] for rates in several) / len(several) for name in several[0]}
        for key, several in found.items()
    }


def _learn_for(run: Run, seconds: float) -> tuple[int, float]:
    """Learn for a while; return how many steps that were and how long they took."""
    first, began, watch = run.training.step, time.perf_counter(), Watch()
    run.training.run(first + 10**9, lambda: time.perf_counter() - began >= seconds)
    return max(run.training.step - first, 1), watch.seconds()


def _evaluation_step(run: Run, episodes: int) -> float:
    evaluator = run.evaluator(episodes)
    try:
        evaluator.evaluate(run.agent.predict, "measuring", lambda: True)  # makes the environments
        began, turns, watch = time.perf_counter(), 0, Watch()

        def over() -> bool:
            nonlocal turns
            turns += 1
            return time.perf_counter() - began >= _SECONDS

        found = evaluator.evaluate(run.agent.predict, "measuring", over)
        steps = episodes * (turns - 1) if found is None else sum(found.lengths)
        return watch.seconds() / max(steps, 1)
    finally:
        evaluator.close()
