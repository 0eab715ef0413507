"""Samples of a tanh-Gaussian distribution whose parameters a network computes, and their gradient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rewirl import _core
from rewirl.nn.mlp import SparseMLP, normal
from rewirl.nn.tiles import Tiles, empty_tiles

LOG_STD_BOUNDS = (-20.0, 2.0)
"""The logarithm of a standard deviation beyond these counts as the bound."""


class SquashedGaussian:
    """Samples y = tanh(mean + exp(log_std) * N(0, 1)); mean and log_std are the halves of a network's output.

    Args:
        batch: number of samples.
        features: of y; the network has twice as many outputs.
    """

    def __init__(self, batch: int, features: int) -> None:
        """See the class."""
        self._noise = empty_tiles(batch, features)
        self._gradient = empty_tiles(batch, 2 * features)
        self.log_probability = empty_tiles(batch, 1)
        """ln p(y) of the last samples, over all features, float32 [tiles, 1, width]."""

    def sample(self, network: SparseMLP, out: Tiles, rng: np.random.Generator) -> None:
        """Draw one sample for every row of the batch of the network's last forward.

        With u = mean + exp(log_std) * e and y = tanh(u), element by element,

            ln p(y) = sum over features of -e^2 / 2 - log_std - ln(2 pi) / 2 - ln(1 - tanh(u)^2)

        (Haarnoja et al. 2018, appendix C), computed without cancellation where tanh(u) is near 1.

        Args:
            network: with twice as many outputs as y has features.
            out: where y goes, float32 [tiles, features, width]; may be a slice of the features of larger tiles.
            rng: the stream to draw the normal numbers from, as `normal` does.

        Raises:
            ValueError: shapes do not fit.
        """
        _core.sample_squashed_gaussian(network.core, out, self._noise, self.log_probability, rng.bit_generator)

    def gradient(self, network: SparseMLP, samples: Tiles, d_samples: Tiles, d_log_probability: Tiles) -> Tiles:
        """Return the gradient of a loss with respect to the network's output, through the last samples.

        Reparameterised, the noise being held: d ln p / du = 2 y, and a log_std beyond its bounds has none.

        Args:
            network: that the samples came from.
            samples: y, as written by `sample`.
            d_samples: of the loss with respect to y, float32 [tiles, features, width].
            d_log_probability: of the loss with respect to ln p(y), float32 [tiles, 1, width]; 0 for padding.

        Returns:
            float32 [tiles, 2 * features, width], valid until the next call.

        Raises:
            ValueError: shapes do not fit.
        """
        _core.squashed_gaussian_gradient(
            network.core, samples, self._noise, d_samples, d_log_probability, self._gradient
        )
        return self._gradient


def sample_one(output: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a sample for one row, float32 [features], given the network's output for it, float32 [2 * features]."""
    features = len(output) // 2
    std = np.exp(np.clip(output[features:], *LOG_STD_BOUNDS))
    return np.tanh(output[:features] + std * normal(rng, features))
