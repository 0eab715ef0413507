"""Exploration noise that is alike from one step to the next."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.saved import listed, number

_RATE = 0.15 * 0.01
"""Share of itself that the process loses per step, theta dt; it forgets within some 1/_RATE = 667 steps."""

_SCALE = math.sqrt(0.01)
"""sqrt(dt)."""


class OrnsteinUhlenbeck:
    """A process that wanders slowly around 0 (Uhlenbeck and Ornstein 1930), for tasks that take a long push.

    x <- x - theta dt x + sigma sqrt(dt) N(0, 1), with theta 0.15 and dt 0.01, so its standard deviation tends to
    sigma / sqrt(2 theta). It goes on from one episode to the next.

    Args:
        size: features of an action.
        sigma: how strongly it is pushed.
    """

    def __init__(self, size: int, sigma: float) -> None:
        self._x = np.zeros(size)
        self._sigma = sigma

    def step(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Move by a step and return the noise, float32 [size]."""
        self._x += self._sigma * _SCALE * rng.standard_normal(len(self._x)) - _RATE * self._x
        return self._x.astype(np.float32)

    def state(self) -> list[float]:
        """Return where it is, as JSON values."""
        return [float(value) for value in self._x]

    def load_state(self, saved: Any) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: it is not where such a process can be.
        """
        values = [
            number(value, "the saved exploration noise") for value in listed(saved, "the saved exploration noise")
        ]
        if len(values) != len(self._x):
            raise ValueError(f"the saved exploration noise has {len(values)} numbers, expected {len(self._x)}")
        self._x = np.array(values, dtype=np.float64)
