"""Distributions over actions, for policy gradients: probabilities, entropies, and gradients through both."""

from __future__ import annotations

from math import e, log, pi

import numpy as np
from numpy.typing import NDArray

from rewirl.nn import Tiles


class Normal:
    """pi(a|s) = N(mean, sigma^2) for each feature of an action, with sigma = exp(log_std).

    Args:
        mean: float32 [tiles, action, width].
        log_std: float32 [action, 1].
        actions: of which the probabilities are, float32 [tiles, action, width].
    """

    def __init__(self, mean: Tiles, log_std: NDArray[np.float32], actions: Tiles) -> None:
        self._precision = np.exp(-log_std)
        self._z = (actions - mean) * self._precision
        # ln pi = sum over features of -((a - mean) / sigma)^2 / 2 - ln sigma - ln(2 pi) / 2
        each = -(self._z**2) / 2 - log_std - log(2 * pi) / 2
        self.log_pi: Tiles = each.sum(axis=1, keepdims=True)
        """float32 [tiles, 1, width]."""
        # S = sum over features of ln sigma + ln(2 pi e) / 2
        self.entropy: Tiles = np.full_like(self.log_pi, (log_std + log(2 * pi * e) / 2).sum())
        """In nats, float32 [tiles, 1, width]."""

    def gradients(self, of_log_pi: Tiles, of_entropy: Tiles) -> list[Tiles]:
        """Return those of a loss with respect to mean and log_std, for each sample, from those of ln pi and S."""
        # dln pi/dmean = (a - mean) / sigma^2,  dln pi/dln sigma = ((a - mean) / sigma)^2 - 1,  dS/dln sigma = 1
        return [of_log_pi * self._z * self._precision, of_log_pi * (self._z**2 - 1) + of_entropy]


def deviations(log_std: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return sigma = exp(log_std), float32.

    Raises:
        FloatingPointError: one is beyond float32.
    """
    with np.errstate(over="ignore"):
        sigma = np.exp(log_std).astype(np.float32)
    if not np.isfinite(sigma).all():
        raise FloatingPointError(f"a standard deviation of the policy is exp({log_std.max():.3g})")
    return sigma


class Categorical:
    """pi(a|s) = softmax(logits).

    Args:
        logits: float32 [tiles, choices, width].
        actions: 1 for the choice of which the probability is, 0 for the others; float32 [tiles, choices, width].
    """

    def __init__(self, logits: Tiles, actions: Tiles) -> None:
        shifted = logits - logits.max(axis=1, keepdims=True)
        self._log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        self._p, self._actions = np.exp(self._log_p), actions
        self.log_pi: Tiles = (actions * self._log_p).sum(axis=1, keepdims=True)
        # S = -sum over choices of p ln p
        self.entropy: Tiles = -(self._p * self._log_p).sum(axis=1, keepdims=True)

    def gradients(self, of_log_pi: Tiles, of_entropy: Tiles) -> list[Tiles]:
        """Return that of a loss with respect to the logits, from those of ln pi and S."""
        # dln pi/dlogits = a - p,  dS/dlogits = -p (ln p + S)
        of_choice = of_log_pi * (self._actions - self._p)
        return [of_choice - of_entropy * self._p * (self._log_p + self.entropy)]
