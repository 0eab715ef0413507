"""Welch's test and Holm's correction by hand and against SciPy, and the simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rewirl.experiments.report.coverage import COVERAGE, RUNS, coverage, simulate
from rewirl.experiments.report.welch import detectable, holm, welch


def test_a_difference_by_hand():
    # Means 2 and 5, variances 1 and 4 of 3 and 3 runs: error sqrt(1/3 + 4/3), freedom (5/3)^2 / ((1/9 + 16/9) / 2).
    test = welch([np.array([1.0, 2.0, 3.0]), np.array([3.0, 5.0, 7.0])])
    assert test.estimate.value == -3
    half = stats.t.ppf(0.975, 25 / 9 / (17 / 18)) * math.sqrt(5 / 3)
    assert (test.estimate.low, test.estimate.high) == pytest.approx((-3 - half, -3 + half))


@pytest.mark.parametrize("sizes", [(2, 2), (2, 9), (5, 5), (3, 40)])
def test_a_difference_is_scipys(sizes):
    rng = np.random.default_rng(sizes)
    one, other = rng.normal(100, 30, sizes[0]), rng.normal(110, 3, sizes[1])
    test, expected = welch([one, other]), stats.ttest_ind(one, other, equal_var=False)
    interval = expected.confidence_interval()
    assert test.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert (test.estimate.low, test.estimate.high) == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_the_interval_of_one_mean_is_students():
    sample = np.array([1.0, 4.0, 9.0, 16.0])
    test, interval = welch([sample], [1.0]), stats.ttest_1samp(sample, 0).confidence_interval()
    assert (test.estimate.low, test.estimate.high) == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_a_mean_over_tasks_weighs_them_the_same():
    tasks = [(np.array([2.0, 4.0]), np.array([1.0, 1.5, 2.0])), (np.array([10.0, 12.0]), np.array([1.0, 3.0]))]
    test = welch([sample for task in tasks for sample in task], [0.5, -0.5, 0.5, -0.5])
    assert test.estimate.value == pytest.approx((1.5 + 9) / 2)
    # Variances of the terms: a quarter of 2/2, 0.25/3, 2/2 and 2/2.
    terms = [0.25, 0.25 / 12, 0.25, 0.25]
    freedom = sum(terms) ** 2 / (terms[0] ** 2 + terms[1] ** 2 / 2 + terms[2] ** 2 + terms[3] ** 2)
    assert test.estimate.high - test.estimate.value == pytest.approx(
        stats.t.ppf(0.975, freedom) * math.sqrt(sum(terms))
    )


def test_welchs_interval_of_few_runs_holds_the_true_value():
    rng = np.random.default_rng(1)
    held = [
        (low := welch([rng.normal(0, 1, 3), rng.normal(0, 2, 3)]).estimate).low <= 0 <= low.high for _ in range(2000)
    ]
    assert 0.93 < np.mean(held) < 0.98


@pytest.mark.parametrize("sizes", [(10, 10), (4, 8), (2, 2), (3, 3), (2, 6)])
def test_what_is_detectable_is_found_four_times_of_five(sizes):
    rng = np.random.default_rng(3)
    samples = [np.arange(size) / np.std(np.arange(size), ddof=1) for size in sizes]
    least, (one, other) = detectable(samples), (sample.std(ddof=1) for sample in samples)
    found = [welch([rng.normal(least, one, sizes[0]), rng.normal(0, other, sizes[1])]).p < 0.05 for _ in range(2000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)
    assert detectable(samples, power=0.9) > least > detectable(samples, level=0.1)


def test_what_is_detectable_is_that_of_tables():
    """Cohen 1988, table 2.4.1: 17 runs each find a difference of one standard deviation in 80%."""
    sample = np.tile([-1.0, 1.0], 9)[:17]
    sample = (sample - sample.mean()) / sample.std(ddof=1)
    assert detectable([sample, sample]) == pytest.approx(1.0, abs=0.01)


def test_no_spread_is_certain():
    same = np.array([3.0, 3.0])
    assert welch([same, same]).p == 1 and welch([same, same - 1]).p == 0
    assert detectable([same, same - 1]) == 0
    assert welch([same, same - 1]).estimate.low == welch([same, same - 1]).estimate.high == 1


@pytest.mark.parametrize("number", [0.95, 0.1, 1e-9, -3e7])
def test_equal_numbers_differ_in_nothing_whatever_their_rounding(number):
    """Means of 0.95 are below it by some 1e-16, for some numbers of runs."""
    for runs in range(2, 30):
        test = welch([np.full(runs, number), np.full(11, number)])
        assert (test.p, test.estimate.value) == (1.0, 0.0)
        assert detectable([np.full(runs, number), np.full(11, number)]) == 0
        assert welch([np.full(runs, number), np.full(11, 2 * number)]).p == 0


@pytest.mark.parametrize(
    ("samples", "weights"), [([np.ones(1), np.ones(3)], (1, -1)), ([np.ones(3)], (1, -1)), ([], ())]
)
def test_what_cannot_be_tested_is_refused(samples, weights):
    with pytest.raises(ValueError, match=r"one run|weight"):
        welch(samples, weights)


def test_holm_by_hand():
    # 0.01 * 4, 0.02 * 3, max(0.03 * 2, 0.06), 0.9
    assert holm([0.03, 0.01, 0.9, 0.02]) == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert holm([0.01, 0.3], tests=5) == pytest.approx([0.05, 1.0])
    assert holm([]) == [] and holm([0.2, 0.2]) == pytest.approx([0.4, 0.4])


def test_the_table_of_coverage_is_what_is_simulated():
    for samples, runs in ((1, 2), (2, 3), (2, 5), (4, 2)):
        again = simulate(samples, runs, np.random.default_rng(9), cases=4000, replicates=2000)
        assert again == pytest.approx(coverage(runs, samples), abs=0.03)
    assert all(np.all(np.diff(row) > -0.01) and len(row) == len(RUNS) for row in COVERAGE.values())
    # Of two runs the bootstrap of a mean reaches from one to the other: the true mean is between them half the time.
    assert coverage(2, 1) == pytest.approx(0.5, abs=0.02)
    assert math.isnan(coverage(1)) and coverage(99, 2) == coverage(10, 2) and coverage(2, 12) == coverage(2, 10)
