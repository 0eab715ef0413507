"""What the paper's tables measure (Sokar et al. 2022, section 5): return and learning-curve area."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, isfinite


def learning_curve_area(returns: Sequence[float]) -> float:
    """Return the area under the learning curve, LCA = (1 / Delta) * sum over the evaluations t of R(t).

    Delta is the number of evaluations, so the LCA is their mean. The paper's tables show it divided by 5,000.

    Args:
        returns: R(t), the mean undiscounted return of every evaluation of one run, [evaluations].

    Returns:
        The area, in units of return.

    Raises:
        ValueError: there is no evaluation, or one is not finite.
    """
    _check_returns(returns)
    return fsum(returns) / len(returns)


def final_return(returns: Sequence[float], last: int = 10) -> float:
    """Return the final return of a run, (1 / last) * sum over its last evaluations of R(t).

    Args:
        returns: R(t), the mean undiscounted return of every evaluation of one run, in order, [evaluations].
        last: how many evaluations count; all, if there are fewer. The paper takes 10.

    Returns:
        Their mean.

    Raises:
        ValueError: there is no evaluation, one is not finite, or last is below 1.
    """
    if last < 1:
        raise ValueError(f"last must be at least 1 evaluation, got {last}")
    return learning_curve_area(returns[-last:])


def _check_returns(returns: Sequence[float]) -> None:
    if not len(returns):
        raise ValueError("there is no evaluation to summarise")
    bad = [number for number, value in enumerate(returns) if not isfinite(value)]
    if bad:
        raise ValueError(f"evaluation {bad[0]} has a return that is not finite, {returns[bad[0]]}")
