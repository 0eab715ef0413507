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
    """Processes that wander slowly around 0 (Uhlenbeck and Ornstein 1930), one per environment, for long pushes.

    x <- x - theta dt x + sigma sqrt(dt) N(0, 1), with theta 0.15 and dt 0.01, so its standard deviation tends to
    sigma / sqrt(2 theta). Each goes on from one episode to the next.

    Args:
        size: features of an action.
        sigma: how strongly it is pushed.
    """

    def __init__(self, size: int, sigma: float) -> None:
        self._of_each = [np.zeros(size)]
        self._sigma = sigma

    def step(self, rng: np.random.Generator, environment: int = 0) -> NDArray[np.float32]:
        """Move the process of an environment by a step and return the noise, float32 [size]."""
        size = len(self._of_each[0])
        while len(self._of_each) <= environment:
            self._of_each.append(np.zeros(size))
        x = self._of_each[environment]
        x += self._sigma * _SCALE * rng.standard_normal(size) - _RATE * x
        return x.astype(np.float32)

    def state(self) -> list[Any]:
        """Return where it is, as JSON values: numbers of one process, or a list of them of each of several."""
        each = [[float(value) for value in x] for x in self._of_each]
        return each if len(each) > 1 else each[0]

    def load_state(self, saved: Any) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: it is not where such a process can be.
        """
        name, size, of_each = "the saved exploration noise", len(self._of_each[0]), []
        several = isinstance(saved, list) and saved and isinstance(saved[0], list)
        for one in saved if several else [saved]:
            values = [number(value, name) for value in listed(one, name)]
            if len(values) != size:
                raise ValueError(f"{name} has {len(values)} numbers, expected {size}")
            of_each.append(np.array(values, dtype=np.float64))
        self._of_each = of_each
