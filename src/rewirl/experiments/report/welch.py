"""Welch's t test and interval for means of runs, and Holm's correction for several tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewirl.experiments.report.aggregates import Estimate

Floats = NDArray[np.float64]

_ROUNDING = 1e-12
"""Share of a number below which a difference from it may be one of rounding alone."""

_QUANTILES = 64
"""Of the spread of each sample, over which the power of a test is a mean."""


@dataclass(frozen=True)
class Test:
    """What Welch's test says of a weighted sum of means."""

    __test__ = False  # pytest takes classes of this name for its own

    estimate: Estimate
    """The sum with its 95% interval."""
    p: float
    """Probability of a sum at least as far from 0 if the true one is 0."""


def welch(samples: Sequence[Floats], weights: Sequence[float] = (1.0, -1.0), confidence: float = 0.95) -> Test:
    """Test whether sum_i w_i mean_i is 0, for normal samples whose variances may differ.

    With v_i = w_i^2 s_i^2 / n_i the variance of a term, the sum over its standard error has Student's t distribution
    with (sum v_i)^2 / sum(v_i^2 / (n_i - 1)) degrees of freedom, approximately (Welch 1947, Satterthwaite 1946).

    Args:
        samples: independent ones, float64 [runs] each, with two runs at least.
        weights: one per sample; (1, -1) is the difference of two means, (1,) Student's interval of one.
        confidence: of the interval.

    Raises:
        ValueError: a sample has fewer than two runs, or not each has a weight.
    """
    if len(samples) != len(weights) or not samples:
        raise ValueError(f"each sample needs a weight, got {len(samples)} samples and {len(weights)} weights")
    if min(map(len, samples)) < 2:
        raise ValueError("a sample of one run has no spread; give each two runs or more")
    value = math.fsum(w * float(np.mean(sample)) for sample, w in zip(samples, weights, strict=True))
    terms = [w * w * float(np.var(sample, ddof=1)) / len(sample) for sample, w in zip(samples, weights, strict=True)]
    error, freedom = _error_and_freedom(terms, samples)
    if error == 0:
        largest = max(abs(w) * float(np.abs(sample).max()) for sample, w in zip(samples, weights, strict=True))
        value = 0.0 if abs(value) <= _ROUNDING * largest else value
        return Test(Estimate(value, value, value), 1.0 if value == 0 else 0.0)
    from scipy import stats  # type: ignore[import-untyped]  # half a second, which a sweep need not wait for

    reach = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    return Test(Estimate(value, value - reach, value + reach), float(2 * stats.t.sf(abs(value) / error, freedom)))


def detectable(samples: Sequence[Floats], power: float = 0.8, level: float = 0.05) -> float:
    """Return the true difference of two means that Welch's test would find with a probability.

    Spreads and degrees of freedom of the test differ from one set of runs to the next. Given them, the difference of
    the means is normal, and the test finds it beyond t times the standard error. The probability is the mean of that
    over what two independent chi-square distributions have for the spreads.

    Args:
        samples: two, float64 [runs] each, with two runs at least, whose numbers and spreads are taken as the true ones.
        power: the probability.
        level: of the test.
    """
    terms = [float(np.var(each, ddof=1)) / len(each) for each in samples]
    if _error_and_freedom(terms, samples)[0] == 0:
        return 0.0
    from scipy import optimize, special, stats

    shares = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    one, other = (
        term * stats.chi2.ppf(shares, len(s) - 1) / (len(s) - 1) for term, s in zip(terms, samples, strict=True)
    )
    one, other = one[:, None], other[None, :]
    freedom = (one + other) ** 2 / (one**2 / (len(samples[0]) - 1) + other**2 / (len(samples[1]) - 1))
    spread = math.sqrt(math.fsum(terms))
    least = special.stdtrit(freedom, 1 - level / 2) * np.sqrt(one + other) / spread  # in true standard errors

    def missing(centre: float) -> float:
        return power - float(special.ndtr(centre - least).mean())

    highest = 1.0
    while missing(highest) > 0:
        highest *= 2
    return spread * float(optimize.brentq(missing, 0, highest))


def _error_and_freedom(terms: Sequence[float], samples: Sequence[Floats]) -> tuple[float, float]:
    """Return the standard error of a sum of means and its degrees of freedom; arguments are v_i of `welch` and what
    they are of. Numbers that differ by their rounding alone have no spread."""
    variance = math.fsum(terms)
    largest = max(float(np.abs(sample).max()) for sample in samples)
    if variance <= (_ROUNDING * largest) ** 2:
        return 0.0, math.inf
    shares = [(term / variance) ** 2 / (len(sample) - 1) for term, sample in zip(terms, samples, strict=True)]
    return math.sqrt(variance), 1 / math.fsum(shares)


def holm(p_values: Sequence[float], tests: int | None = None) -> list[float]:
    """Return p-values adjusted so that the chance of any false rejection among all tests stays below the level.

    Sorted, the k-th smallest of m is multiplied by m - k + 1; none is below the one before it or above 1 (Holm 1979).

    Args:
        p_values: of the tests that were made.
        tests: how many belong together; those that were not made count as p = 1. By default those that were made.

    Returns:
        Adjusted p-values in the same order.
    """
    count = len(p_values) if tests is None else max(tests, len(p_values))
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
