"""Aggregates of scores over runs and tasks, with bootstrap intervals (Agarwal et al. 2021).

Scores are one number per run, in one array per task: a matrix [runs, tasks], or, where tasks have different numbers of
runs, a sequence over the tasks of arrays [runs of the task].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scores = NDArray[np.float64] | Sequence[NDArray[np.float64]]
Statistic = Callable[..., Floats]
"""Of one list or several of arrays [..., runs], one array per task; returns [...] or [..., k]."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% confidence interval."""

    value: float
    low: float
    high: float

    def in_units(self, unit: float) -> Estimate:
        """Return the same in units of a positive number."""
        return Estimate(self.value / unit, self.low / unit, self.high / unit)


def mean(scores: Scores) -> float:
    """Return the mean over tasks of the mean over runs.

    Args:
        scores: float64 [runs, tasks], or per task [runs].
    """
    return float(_mean(_tasks(scores)))


def iqm(scores: Scores) -> float:
    """Return the interquartile mean: of all scores of all tasks, a quarter (rounded down) is cut off at each end.

    Args:
        scores: float64 [runs, tasks], or per task [runs].
    """
    return float(_iqm(_tasks(scores)))


def performance_profile(scores: Scores, thresholds: Floats) -> Floats:
    """Return the share of all runs of all tasks with a score above each threshold.

    Args:
        scores: float64 [runs, tasks], or per task [runs].
        thresholds: float64 [k].

    Returns:
        Shares, float64 [k].
    """
    return _profile(np.asarray(thresholds, np.float64))(_tasks(scores))


def interval(
    statistic: Statistic,
    *samples: Scores,
    rng: np.random.Generator,
    replicates: int = 10_000,
    confidence: float = 0.95,
) -> tuple[Floats, Floats]:
    """Return the percentile interval of a statistic by stratified bootstrap.

    A replicate draws runs with replacement within each task and each sample, as many as there are. The interval goes
    from the (1 - confidence) / 2 to the (1 + confidence) / 2 quantile of the statistic over the replicates.

    Args:
        statistic: one of `MEAN`, `IQM`, `IMPROVEMENT`, `difference_of` and `profile_at`.
        samples: for each of its arguments the scores, float64 [runs, tasks], or per task [runs].
        rng: draws the runs.
        replicates: number of bootstrap samples.
        confidence: of the interval.

    Returns:
        Lower and upper bound, each of the statistic's shape.

    Raises:
        ValueError: replicates or confidence are out of range.
    """
    if replicates < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"replicates must be at least 1 and confidence between 0 and 1, got {replicates} and {confidence}"
        )
    drawn = [
        [task[rng.integers(len(task), size=(replicates, len(task)))] for task in _tasks(scores)] for scores in samples
    ]
    low, high = np.quantile(statistic(*drawn), [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return low, high


def estimate(statistic: Statistic, *samples: Scores, rng: np.random.Generator, replicates: int = 10_000) -> Estimate:
    """Return a statistic of one number with its 95% interval; see `interval`.

    Args:
        statistic: as for `interval`.
        samples: for each of its arguments the scores, float64 [runs, tasks], or per task [runs].
        rng: draws the runs.
        replicates: number of bootstrap samples.
    """
    low, high = interval(statistic, *samples, rng=rng, replicates=replicates)
    return Estimate(float(statistic(*map(_tasks, samples))), float(low), float(high))


def time_to_reach(times: Floats, returns: Floats, level: float, window: int = 10) -> float:
    """Return when the return of a run first reaches `level`, measured as its final return is.

    Args:
        times: steps or seconds of each evaluation, float64 [evaluations].
        returns: R(t), float64 [evaluations].
        level: of return.
        window: evaluations in a mean; the first mean is after as many evaluations.

    Returns:
        The time of the first evaluation at which the mean of the last `window` is at least `level`; infinity if there
        is none.
    """
    if len(returns) < window:
        return float("inf")
    means = np.lib.stride_tricks.sliding_window_view(np.asarray(returns, np.float64), window).mean(axis=1)
    reached = np.flatnonzero(means >= but_for_rounding(level))
    return float(times[reached[0] + window - 1]) if len(reached) else float("inf")


def but_for_rounding(level: Any) -> Any:
    """Return from where on a mean has a level: one of equal numbers may be below them in its last digits."""
    return level - 1e-12 * np.abs(level)


def _mean(tasks: Sequence[Floats]) -> Floats:
    return np.asarray(np.mean([task.mean(axis=-1) for task in tasks], axis=0))


def _iqm(tasks: Sequence[Floats]) -> Floats:
    every = np.sort(np.concatenate(tasks, axis=-1), axis=-1)
    cut = every.shape[-1] // 4
    return np.asarray(every[..., cut : every.shape[-1] - cut].mean(axis=-1))


def _probability_of_improvement(first: Sequence[Floats], second: Sequence[Floats]) -> Floats:
    shares = []
    for one, other in zip(first, second, strict=True):
        difference = np.sign(one[..., :, None] - other[..., None, :])
        shares.append((difference.mean(axis=(-2, -1)) + 1) / 2)
    return np.asarray(np.mean(shares, axis=0))


def _profile(thresholds: Floats) -> Statistic:
    def profile(tasks: Sequence[Floats]) -> Floats:
        every = np.concatenate(tasks, axis=-1)
        return np.stack([(every > threshold).mean(axis=-1) for threshold in thresholds], axis=-1)

    return profile


def difference_of(statistic: Statistic) -> Statistic:
    """Return the statistic that is the difference of a statistic of two samples, the first less the second."""
    return lambda first, second: statistic(first) - statistic(second)


def profile_at(thresholds: Floats) -> Statistic:
    """Return the performance profile at these thresholds, float64 [k], as a statistic for `interval`."""
    return _profile(np.asarray(thresholds, np.float64))


MEAN: Statistic = _mean
IQM: Statistic = _iqm
IMPROVEMENT: Statistic = _probability_of_improvement
"""The probability that a run of the first sample is better than one of the second, mean over tasks.

Per task the share of all pairs of runs in which the first has the higher score; a tie counts half."""


def _tasks(scores: Scores) -> list[Floats]:
    tasks = list(np.asarray(scores, np.float64).T) if isinstance(scores, np.ndarray) else list(scores)
    tasks = [np.asarray(task, np.float64) for task in tasks]
    if not tasks or any(task.ndim != 1 or not len(task) for task in tasks):
        shapes = ", ".join(str(task.shape) for task in tasks) or "none"
        raise ValueError(f"scores are [runs, tasks], or per task [runs], with a run and a task at least; got {shapes}")
    if not all(np.isfinite(task).all() for task in tasks):
        raise ValueError("a score is not finite")
    return tasks
