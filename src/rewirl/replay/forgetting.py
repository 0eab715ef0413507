"""Forgetting before the memory is full: what the policy would not do any more, or what an earlier policy saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewirl.replay.ring import Replay

# Dynamic-capacity buffer of RLx2 (Tan et al. 2023): updates between two looks at the oldest transitions, and how many.
CHECK_EVERY, CHECK_AT_ONCE = 10_000, 2048

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""The actions of the policy without noise, float32 [batch, action], for observations float32 [batch, observation]."""


@dataclass(frozen=True)
class Forgetting:
    """When transitions go, the oldest first, and how many stay in any case."""

    distance: float | None
    """Forget while the oldest actions are further than this from the policy's, half the mean squared difference; None
    keeps them (the dynamic-capacity buffer of Tan et al. 2023)."""

    empty_every: int
    """Updates after which all but the newest are forgotten (PlaD); 0 never does."""

    minimum: int
    """Transitions that stay."""

    def __call__(self, replay: Replay, update: int, predict: Predict) -> None:
        """Forget what is due before an update.

        Args:
            replay: the memory.
            update: number of the update, from 1.
            predict: the policy as it is now.
        """
        if self.distance is not None and update % CHECK_EVERY == 0:
            self._forget_foreign(replay, self.distance, predict)
        if self.empty_every and update % self.empty_every == 0:
            replay.forget(max(0, len(replay) - self.minimum))

    def _forget_foreign(self, replay: Replay, distance: float, predict: Predict) -> None:
        while len(replay) > self.minimum:
            states, actions = replay.oldest(CHECK_AT_ONCE)
            if np.square(predict(states) - actions).mean() / 2 <= distance:
                return
            replay.forget(min(CHECK_AT_ONCE, len(replay) - self.minimum))
