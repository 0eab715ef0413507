"""Numbers, intervals and units as the report shows them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.experiments.report.aggregates import Estimate
from rewirl.experiments.report.run_data import RunData
from rewirl.printing import decimals, number

STEPS = (("millions", 1e6), ("thousands", 1e3))
TIMES = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
"""Units of an axis by their names, the largest first."""


def unit_of(
    name: str, top: float, of: Callable[[RunData], NDArray[Any]], units: Sequence[tuple[str, float]]
) -> tuple[str, Callable[[RunData], NDArray[Any]], float]:
    """Return an axis with the largest unit of which it shows at least a quarter.

    Args:
        name: what the axis shows.
        top: the largest value on it, in units of 1.
        of: the values of a run, float64 [evaluations], in units of 1.
        units: names and sizes to choose from, the largest first.

    Returns:
        The axis's label, `of`, and the size of the unit that its values are to be divided by.
    """
    word, unit = next((pair for pair in units if top >= 0.25 * pair[1]), units[-1])
    return f"{name} ({word})", of, unit


Show = Callable[..., str]
"""Writes a number, as `returns` does: the first one, with digits for those beside it too."""


def bounds(estimate: Estimate, runs: int, show: Show = number) -> str:
    """Return an interval, if there are enough runs to have one.

    Args:
        estimate: with its interval.
        runs: how many it is of; with 1 there is no interval.
        show: how a bound is written.
    """
    low, high = (_shown(show, bound, estimate) for bound in (estimate.low, estimate.high))
    return f"{low} to {high}" if runs > 1 else "one run"


def sure(estimate: Estimate, runs: int, show: Show) -> str:
    """Return an estimate with its interval, if there are enough runs to have one; arguments as for `bounds`."""
    return interval(estimate, show) if runs > 1 else f"{_shown(show, estimate.value, estimate)} (one run)"


def interval(estimate: Estimate, show: Show = number) -> str:
    """Return an estimate with its interval; arguments as for `bounds`."""
    return f"{_shown(show, estimate.value, estimate)} ({bounds(estimate, 2, show)})"


def _shown(show: Show, value: float, estimate: Estimate) -> str:
    return show(value, estimate.value, estimate.low, estimate.high)


def mean_and_deviation(values: NDArray[Any] | Sequence[float], show: Show = number) -> str:
    """Return mean and standard deviation of some numbers."""
    mean, deviation = float(np.mean(values)), float(np.std(values))
    return f"{show(mean, deviation)} ± {show(deviation, mean)}"


def area(value: float, *beside: float) -> str:
    """Return a learning-curve area or a score."""
    return number(value, *beside, least=3)


def probability(value: float, *_: float) -> str:
    """Return a probability."""
    return f"{value:.2f}"


def signed(value: float, *beside: float) -> str:
    """Return a difference of returns."""
    return f"{value:+,.{decimals(value, *beside)}f}"


def signed_area(value: float, *beside: float) -> str:
    """Return a difference of areas."""
    return f"{value:+,.{decimals(value, *beside, least=3)}f}"


def percent(value: float, *_: float) -> str:
    """Return a share; one that is infinite is never reached."""
    return f"{value:.0%}" if math.isfinite(value) else "never"


def runs_in_words(count: int) -> str:
    """Return how many runs."""
    return "1 run" if count == 1 else f"{count} runs"


def mean_if_all(values: Sequence[float]) -> str:
    """Return the mean, if all of them are finite."""
    return number(float(np.mean(values))) if np.isfinite(values).all() else "not all reach it"
