"""How long a sweep will take on this machine: every distinct setting is measured once, the rest is arithmetic."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Collection, Mapping

from rewirl.experiments.sweep.executor import Executor
from rewirl.experiments.sweep.measure import Rates
from rewirl.experiments.sweep.plan import PlannedRun, run_status
from rewirl.storage import strict_json
from rewirl.storage.values import to_values


def seconds_left(planned: PlannedRun, rates: Rates, step: int) -> float:
    """Return how long a run takes from a step on, without the time for saving.

    Args:
        planned: the run.
        rates: measured with its settings.
        step: the step it has reached.
    """
    config, starts = planned.config, planned.agent_config.learning_starts
    total = config.total_timesteps
    warm_up = max(min(starts, total) - step, 0)
    learning = max(total - max(step, starts), 0)
    evaluations = 0
    if config.eval_every and step < total:
        evaluations = total // config.eval_every - step // config.eval_every
        evaluations += (step == 0) + (total % config.eval_every > 0)
        # of an untrained agent only the first one of a process is played
        untrained = max(min(starts, total) // config.eval_every - step // config.eval_every, 0)
        evaluations -= untrained if step == 0 else max(untrained - 1, 0)
    played = evaluations * config.eval_episodes * rates["episode"]
    seconds: float = warm_up * rates["warm_up"] + learning * rates["learning"] + played * rates["evaluation"]
    return seconds


def estimate(runs: Mapping[str, PlannedRun], executor: Executor) -> tuple[dict[str, float], dict[str, str]]:
    """Return how many seconds each run of a sweep still takes, by name; 0 for finished ones.

    Each distinct setting is measured once, with as many workers at a time as the sweep will have.

    Args:
        runs: by name.
        executor: will execute them.

    Returns:
        The seconds; and of runs that cannot be measured, which count as 0, the reason.
    """
    statuses = {name: run_status(run) for name, run in runs.items()}
    unfinished = {name: run for name, run in runs.items() if statuses[name].state != "finished"}
    rates, failed = measured(unfinished.values(), executor)
    keys = {name: speed_key(run) for name, run in unfinished.items()}
    seconds = {
        name: seconds_left(run, rates[keys[name]], statuses[name].step) if keys.get(name) in rates else 0.0
        for name, run in runs.items()
    }
    return seconds, {name: failed[key] for name, key in keys.items() if key in failed}


def measured(runs: Collection[PlannedRun], executor: Executor) -> tuple[dict[bytes, Rates], dict[bytes, str]]:
    """Measure each distinct setting of some runs once.

    Returns:
        By `speed_key` the rates; and the reason for each that cannot be measured.
    """
    distinct: dict[bytes, PlannedRun] = {}
    for run in runs:
        distinct.setdefault(speed_key(run), run)
    return _measured(distinct, max(1, min(executor.workers, len(runs))), executor)  # a cluster may have no CPU yet


def makespan(runs: Mapping[str, PlannedRun], seconds: Mapping[str, float], workers: int) -> float:
    """Return how long the runs take together, each started as soon as a worker is free and its source run is done.

    Args:
        runs: by name, source runs before the runs that wait for them.
        seconds: that each takes, by name.
        workers: how many run at the same time.
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


def speed_key(run: PlannedRun) -> bytes:
    """Return the settings that decide how fast a run is; runs with the same key are equally fast."""
    config = dataclasses.replace(run.config, seed=0, total_timesteps=1, warm_up_policy=None)
    return strict_json.canonical([to_values(config), to_values(run.agent_config)], run.name)


def _measured(
    distinct: Mapping[bytes, PlannedRun], workers: int, executor: Executor
) -> tuple[dict[bytes, Rates], dict[bytes, str]]:
    # Workers slow each other down, so all of them are kept busy while one measures: with fewer settings than workers,
    # settings are measured more than once.
    waiting = list(itertools.islice(itertools.cycle(distinct.items()), max(len(distinct), workers)))
    waiting.reverse()
    running: dict[str, bytes] = {}
    rates_by_key: dict[bytes, list[Rates]] = {key: [] for key in distinct}
    failed: dict[bytes, str] = {}
    for number in itertools.count():
        if waiting and len(running) < workers:
            key, run = waiting.pop()
            running[str(number)] = key
            executor.start(str(number), run.values(), measure=True)
        elif not running:
            break
        else:
            for name, message in executor.wait(1.0):
                if "ended" in message:
                    key = running.pop(name)
                    if "rates" in message:
                        rates_by_key[key].append(message["rates"])
                    else:
                        failed[key] = str(message.get("reason"))
    rates = {
        key: {name: sum(rates[name] for rates in several) / len(several) for name in several[0]}
        for key, several in rates_by_key.items()
        if key not in failed
    }
    return rates, failed
