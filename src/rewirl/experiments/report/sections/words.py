"""Numbers, intervals and units as the report shows them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.experiments.report.aggregates import Estimate
from rewirl.experiments.report.run_data import RunData

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


def bounds(estimate: Estimate, runs: int, show: Callable[[float], str] = lambda value: f"{value:,.0f}") -> str:
    """Return an interval, if there are enough runs to have one.

    Args:
        estimate: with its interval.
        runs: how many it is of; with 1 there is no interval.
        show: how a bound is written.
    """
    return f"{show(estimate.low)} to {show(estimate.high)}" if runs > 1 else "one run"


def sure(estimate: Estimate, runs: int, show: Callable[[float], str]) -> str:
    """Return an estimate with its interval, if there are enough runs to have one; arguments as for `bounds`."""
    return interval(estimate, show) if runs > 1 else f"{show(estimate.value)} (one run)"


def interval(estimate: Estimate, show: Callable[[float], str] = lambda value: f"{value:,.0f}") -> str:
    """Return an estimate with its interval; arguments as for `bounds`."""
    return f"{show(estimate.value)} ({show(estimate.low)} to {show(estimate.high)})"


def area(value: float) -> str:
    """Return a learning-curve area or a score."""
    return f"{value:.3f}"


def probability(value: float) -> str:
    """Return a probability."""
    return f"{value:.2f}"


def signed(value: float) -> str:
    """Return a difference of returns."""
    return f"{value:+,.0f}"


def signed_area(value: float) -> str:
    """Return a difference of areas."""
    return f"{value:+.3f}"


def percent(value: float) -> str:
    """Return a share; one that is infinite is never reached."""
    return f"{value:.0%}" if math.isfinite(value) else "never"


def runs_in_words(count: int) -> str:
    """Return how many runs."""
    return "1 run" if count == 1 else f"{count} runs"


def mean_if_all(values: Sequence[float]) -> str:
    """Return the mean, if all of them are finite."""
    return f"{np.mean(values):,.0f}" if np.isfinite(values).all() else "not all reach it"
