"""Values as distributions over equally spaced bins (Bellemare et al. 2017), which a critic's outputs are logits of.

All are functions of tiles, float32 [tiles, bins, width], a sample's distribution along the second axis.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rewirl import _core
from rewirl.nn.tiles import Tiles


class Distributions(NamedTuple):
    """A distribution for every sample of a batch."""

    probability: Tiles
    """Of each bin, float32 [tiles, bins, width]."""

    mean: Tiles
    """float32 [tiles, 1, width]."""


class Bins:
    """Equally spaced values, the first and the last included.

    Args:
        low: the first.
        high: the last, more than `low`.
        count: how many, at least 2.
    """

    def __init__(self, low: float, high: float, count: int) -> None:
        self.low, self.count = low, count
        self.step = (high - low) / (count - 1)
        self.values = np.linspace(low, high, count, dtype=np.float32)[:, np.newaxis]
        """float32 [bins, 1]."""

    def of_logits(self, logits: Tiles) -> Distributions:
        """Return softmax(logits) and its mean, arrays of their own.

        Args:
            logits: float32 [tiles, bins, width].

        Raises:
            ValueError: shapes do not fit.
        """
        made = Distributions(np.empty_like(logits), np.empty_like(logits[:, :1]))
        _core.categorical(logits, self.low, self.step, *made)
        return made

    def moved(self, probability: Tiles, offset: Tiles, scale: Tiles) -> Tiles:
        """Return the distribution of offset + scale * value over the same bins (C51, Algorithm 1).

        What falls beyond the bins counts as the last of them; what falls between two is shared out.

        Args:
            probability: float32 [tiles, bins, width].
            offset: of each sample, float32 [tiles, 1, width].
            scale: of each sample, the same shape.

        Raises:
            ValueError: shapes do not fit.
        """
        out = np.empty_like(probability)
        _core.project_categorical(probability, self.low, self.step, offset, scale, out)
        return out

    def mean_gradient(self, of: Distributions, d_mean: Tiles) -> Tiles:
        """Return the gradient of a loss with respect to logits, p_j (z_j - mean) dL/dmean.

        Args:
            of: made of the logits.
            d_mean: dL/dmean, float32 [tiles, 1, width].
        """
        gradient: Tiles = self.values - of.mean
        gradient *= of.probability
        gradient *= d_mean
        return gradient


def of_smaller_mean(first: Distributions, second: Distributions) -> Tiles:
    """Return of every sample the distribution of the smaller mean, float32 [tiles, bins, width]; NaN is least."""
    smaller = (first.mean <= second.mean) | np.isnan(first.mean)
    return np.where(smaller, first.probability, second.probability)


def cross_entropy(probability: Tiles, target: Tiles, weights: Tiles) -> float:
    """Return L = -sum over samples of weight * sum_j m_j ln p_j.

    Args:
        probability: the p, float32 [tiles, bins, width].
        target: the m, the same shape.
        weights: of the samples, 0 for padding, float32 [tiles, 1, width].
    """
    smallest = np.finfo(np.float32).tiny
    return -float(np.sum(weights * target * np.log(np.maximum(probability, smallest)), dtype=np.float64))
