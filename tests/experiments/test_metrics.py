from __future__ import annotations

import math

import pytest

from rewirl.experiments.report.metrics import final_return, learning_curve_area


def test_learning_curve_area_is_the_mean_over_evaluations():
    assert learning_curve_area([0.0, 100.0, 800.0]) == 300.0


def test_final_return_is_the_mean_of_the_last_evaluations():
    assert final_return(list(range(100))) == 94.5
    assert final_return([1.0, 2.0, 6.0], last=2) == 4.0
    assert final_return([1.0, 2.0, 6.0]) == 3.0


@pytest.mark.parametrize("returns", [[], [1.0, math.nan], [math.inf]])
def test_returns_that_say_nothing_are_refused(returns):
    for summary in (learning_curve_area, final_return):
        with pytest.raises(ValueError, match="evaluation"):
            summary(returns)
    with pytest.raises(ValueError, match="last"):
        final_return([1.0], last=0)
