"""Statistics against closed forms, and against rliable."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rewirl.experiments.report import aggregates as st

SHAPES = [(1, 1), (3, 1), (2, 5), (5, 5), (10, 3), (7, 26)]


def scores(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).normal(100, 30, shape)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="module")
def rliable():
    pytest.importorskip("rliable")
    from rliable import library, metrics

    return library, metrics


def improvement(x, y):
    return st.estimate(st.IMPROVEMENT, x, y, rng=rng(), replicates=1).value


@pytest.mark.parametrize("shape", SHAPES)
def test_point_estimates_are_rliables(rliable, shape):
    library, metrics = rliable
    x, y = scores(shape), scores((shape[0] + 2, shape[1]), 1).round(-1)
    y[: shape[0]] = np.where(y[: shape[0]] > 110, x, y[: shape[0]])  # ties too
    assert st.mean(x) == pytest.approx(metrics.aggregate_mean(x), abs=1e-12, rel=1e-12)
    assert st.iqm(x) == pytest.approx(metrics.aggregate_iqm(x), abs=1e-12, rel=1e-12)
    assert improvement(x, y) == pytest.approx(metrics.probability_of_improvement(x, y), abs=1e-12)
    thresholds = np.array([*np.linspace(20, 180, 33), x[0, 0]])
    expected = library.score_distributions(x, thresholds)
    np.testing.assert_allclose(st.performance_profile(x, thresholds), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 4), (10, 1)])
def test_intervals_are_rliables_within_monte_carlo_error(rliable, shape):
    library, metrics = rliable
    x, y = scores(shape), scores(shape, 1)
    np.random.seed(0)  # rliable draws from there, whatever it is given
    reps = 2000
    for statistic, theirs, given in (
        (st.MEAN, metrics.aggregate_mean, (x,)),
        (st.IQM, metrics.aggregate_iqm, (x,)),
        # rliable draws the replicates. The statistic is ours, equal by the test above: theirs is far slower.
        (st.IMPROVEMENT, lambda one, other: st.IMPROVEMENT(list(one.T), list(other.T)), (x, y)),
    ):
        key = x if len(given) == 1 else [x, y]
        _, expected = library.get_interval_estimates(
            {"x": key}, lambda *s, theirs=theirs: np.array([theirs(*s)]), reps=reps
        )
        found = st.interval(statistic, *given, rng=rng(), replicates=20_000)
        spread = float(np.diff(expected["x"][:, 0])[0])
        # A 2.5% quantile of 2000 normal draws has a standard error of 0.06 deviations, 0.015 of the interval.
        np.testing.assert_allclose(np.ravel(found), expected["x"][:, 0], rtol=0, atol=0.06 * spread)


def test_by_hand():
    x = [np.array([1.0, 2.0, 3.0, 10.0]), np.array([4.0, 6.0])]
    assert st.mean(x) == 4.5  # (4 + 5) / 2: tasks weigh the same, however many runs they have
    assert st.iqm(x) == 3.75  # 1 and 10 go
    assert improvement([np.array([1.0, 3.0])], [np.array([1.0, 2.0])]) == 0.625  # tie, loss, win, win
    np.testing.assert_array_equal(st.performance_profile(x, np.array([0.0, 2.0, 10.0])), [1, 4 / 6, 0])


def test_the_interval_of_a_mean_of_two_runs_is_exact():
    # Means of replicates: 0 (1 in 4), 1/2 (2 in 4), 1 (1 in 4).
    x = np.array([[0.0], [1.0]])
    assert [*map(float, st.interval(st.MEAN, x, rng=rng()))] == [0.0, 1.0]
    assert [*map(float, st.interval(st.MEAN, x, rng=rng(), confidence=0.3))] == [0.5, 0.5]


def test_the_interval_of_a_mean_of_many_runs_is_the_normal_one():
    x = scores((400, 1))
    half = 1.959964 * x.std() / math.sqrt(len(x))
    low, high = st.interval(st.MEAN, x, rng=rng(), replicates=50_000)
    assert low == pytest.approx(x.mean() - half, abs=0.05 * half)
    assert high == pytest.approx(x.mean() + half, abs=0.05 * half)


def test_replicates_stay_within_their_task():
    x = np.array([[0.0, 1000.0]] * 4)  # no spread within a task
    assert [*map(float, st.interval(st.MEAN, x, rng=rng()))] == [500.0, 500.0]
    assert [*map(float, st.interval(st.difference_of(st.MEAN), x, x, rng=rng()))] == [0.0, 0.0]


def test_samples_are_drawn_independently():
    x = np.array([[0.0], [1.0], [2.0], [3.0]])
    assert st.interval(st.difference_of(st.MEAN), x, x, rng=rng())[0] < -1


def test_equal_seeds_give_equal_intervals():
    x = scores((5, 2))
    one, other = (st.estimate(st.IQM, x, rng=rng()) for _ in range(2))
    assert one == other and one.low < one.value < one.high


def test_a_profile_has_an_interval_at_every_threshold():
    thresholds = np.linspace(50, 150, 11)
    low, high = st.interval(st.profile_at(thresholds), scores((5, 2)), rng=rng(), replicates=500)
    profile = st.performance_profile(scores((5, 2)), thresholds)
    assert low.shape == (11,) and np.all((low <= profile) & (profile <= high))


def test_the_time_to_reach_a_level_is_by_the_mean_of_a_window():
    times, returns = np.arange(0, 60, 10.0), np.array([0, 9, 0, 6, 6, 9.0])
    assert st.time_to_reach(times, returns, 6, window=1) == 10
    assert st.time_to_reach(times, returns, 6, window=2) == 40
    assert st.time_to_reach(times, returns, 9, window=2) == math.inf
    assert st.time_to_reach(times, returns, 0, window=7) == math.inf  # too few evaluations


@pytest.mark.parametrize(
    ("bad", "message"),
    [([], "got none"), (np.zeros((0, 2)), "a run and a task"), (np.array([[1.0, math.nan]]), "not finite")],
)
def test_impossible_scores_are_refused(bad, message):
    for statistic in (st.mean, st.iqm):
        with pytest.raises(ValueError, match=message):
            statistic(bad)


def test_unequal_tasks_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        improvement(np.ones((2, 2)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="replicates must be at least 1"):
        st.interval(st.MEAN, np.ones((2, 2)), rng=rng(), replicates=0)
