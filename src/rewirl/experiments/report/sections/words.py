"""Numbers, intervals and units as the report shows them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.experiments.report import figures
from rewirl.experiments.report.aggregates import Estimate
from rewirl.experiments.report.coverage import RUNS, coverage
from rewirl.experiments.report.document import Block, Figure, Legend
from rewirl.experiments.report.welch import Test
from rewirl.printing import decimals, number

STEPS = (("millions", 1e6), ("thousands", 1e3))
TIMES = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
"""Units of an axis by their names, the largest first."""


def unit_of(name: str, top: float, units: Sequence[tuple[str, float]]) -> tuple[str, float]:
    """Return an axis with the largest unit of which it shows at least a quarter.

    Args:
        name: what the axis shows.
        top: the largest value on it, in units of 1.
        units: names and sizes to choose from, the largest first.

    Returns:
        The axis's label, and the size of the unit that its values are to be divided by.
    """
    word, unit = next((pair for pair in units if top >= 0.25 * pair[1]), units[-1])
    return f"{name} ({word})", unit


MANY = 6
"""From more groups on, figures share one legend, and what is not the first to be asked for is folded."""


def figure_of(draw: Callable[..., str], groups: int, title: str, alt: str) -> Figure:
    """Return a figure that leaves its legend to the page where it is of many groups; with it, it is drawn if asked for.

    Args:
        draw: returns it as an SVG element, with its legend or, given legend=False, without.
        groups: how many it shows.
        title: of the figure.
        alt: what one sees in it, in words.
    """
    return Figure(draw, title, alt, draw(legend=False)) if groups > MANY else Figure(draw(), title, alt)


def legend_of(labels: Sequence[str], style: figures.Style) -> list[Block]:
    """Return the legend of the figures of many groups; none where they are few.

    Args:
        labels: of the groups.
        style: numbers of their colours.
    """
    return [Legend([(label, figures.swatch(style[label])) for label in labels])] if len(labels) > MANY else []


Show = Callable[..., str]
"""Writes a number, as `number` does: the first one, with digits for those beside it too."""


def bounds(estimate: Estimate, runs: int, show: Show = number) -> str:
    """Return an interval, if there are enough runs to have one.

    Args:
        estimate: with its interval.
        runs: how many it is of; with 1 there is no interval.
        show: how a bound is written.
    """
    low, high = (shown(show, bound, estimate) for bound in (estimate.low, estimate.high))
    return f"{low} to {high}" if runs > 1 else "one run"


def both_intervals(estimate: Estimate, test: Test | None, runs: int, samples: int, show: Show) -> list[str]:
    """Return as cells an estimate, its bootstrap interval, how often such a one holds the true value, Welch's interval
    and p.

    Args:
        estimate: by bootstrap.
        test: of the same number; None where there is none.
        runs: of the sample with the fewest.
        samples: of which it is a sum of means; 0 if it is something else.
        show: how a number is written.
    """
    return [
        shown(show, estimate.value, estimate),
        bounds(estimate, runs, show),
        covers(runs, samples) if samples else "-",
        "-" if test is None else bounds(test.estimate, runs, show),
        "-" if test is None else p_value(test.p),
    ]


def covers(runs: int, samples: int) -> str:
    """Return how often a bootstrap interval holds the true value; arguments as for `coverage`."""
    share = coverage(runs, samples)
    if not math.isfinite(share):
        return "-"
    return f"{share:.0%}" if runs <= RUNS[-1] else f"over {share:.0%}"


def p_value(p: float) -> str:
    """Return a probability of an error of the first kind."""
    return f"{p:.3f}" if p >= 0.001 else "below 0.001"


def shown(show: Show, value: float, estimate: Estimate) -> str:
    """Return a number of an estimate, with the digits of its largest one."""
    return show(value, estimate.value, estimate.low, estimate.high)


def mean_and_deviation(values: NDArray[Any] | Sequence[float], show: Show = number) -> str:
    """Return mean and standard deviation of some numbers; one number alone has no deviation."""
    if len(values) == 1:
        return show(float(values[0]))
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


def signed_percent(value: float, *_: float) -> str:
    """Return a difference in units of something."""
    return f"{100 * value:+.1f}%"


def seconds_in_words(values: Sequence[float], alone: bool) -> str:
    """Return mean and deviation of some seconds, or nothing where they cannot be compared, see `same_speed`."""
    return mean_and_deviation(values) if alone else "-"


def mean_if_all(values: Sequence[float]) -> str:
    """Return the mean, if all of them are finite."""
    return number(float(np.mean(values))) if np.isfinite(values).all() else "not all reach it"
