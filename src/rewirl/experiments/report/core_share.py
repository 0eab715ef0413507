"""How much of a core's time a run had, by its record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.saved import number

ALONE = 0.95
"""Share of a core's time from which on a run counts as having had it to itself."""

ONE_CORE = 1.1
"""Share from which on a run had more than one core: its environment has threads of its own."""


def share_of_a_core(evaluations: Sequence[dict[str, Any]], seconds: NDArray[np.float64]) -> float | None:
    """Return the share of a core's time that a run had: the mean of what it recorded, weighed by the seconds between.

    Raises:
        ValueError: a share is no number that it can be.
    """
    shares = [line.get("core_share") for line in evaluations]
    if any(share is None for share in shares):
        return None
    numbers = [number(share, "the share of a core's time") for share in shares]
    weights = np.diff(seconds, prepend=0.0)
    share = float(np.sum(np.asarray(numbers, np.float64) * weights) / max(float(weights.sum()), 1e-9))
    if min(numbers) < 0 or not 0 <= share < np.inf:
        raise ValueError("the share of a core's time is impossible")
    return share
