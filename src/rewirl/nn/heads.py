"""What is made of the output of a network: actions, samples and targets, and the gradients through them.

All are functions of tiles, float32 [tiles, features, width], and know no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rewirl import _core
from rewirl.nn.tiles import Tiles, empty_tiles

LOG_STD_BOUNDS = (-20.0, 2.0)
"""The logarithm of a standard deviation beyond these counts as the bound."""


def squash(
    raw: Tiles, out: Tiles, noise: np.random.Generator | None = None, scale: float = 1.0, bound: float = 1.0
) -> None:
    """Write clip(tanh(raw) + clip(scale * N(0, 1), -bound, bound), -1, 1).

    Args:
        raw: float32 [tiles, features, width].
        out: of the same shape; may be a slice of the features of larger tiles.
        noise: the stream to draw the normal numbers from, as `normal` does; None for no noise.
        scale: of the noise.
        bound: of the scaled noise.

    Raises:
        ValueError: shapes do not fit.
    """
    _core.squash(raw, out, None if noise is None else noise.bit_generator, scale, bound)


def squash_gradient(squashed: Tiles, gradient: Tiles) -> None:
    """Turn the gradient of y = tanh(z) into that of z, in place: gradient *= 1 - y^2.

    Args:
        squashed: y, float32 [tiles, features, width].
        gradient: with respect to y, of the same shape.

    Raises:
        ValueError: shapes do not fit.
    """
    _core.squash_gradient(squashed, gradient)


def minimum(outputs: Sequence[Tiles], factor: float, scale: Tiles, offset: Tiles, out: Tiles) -> None:
    """Write offset + factor * scale * min_i outputs[i]; a NaN counts as the least.

    Args:
        outputs: at least one, float32 [tiles, features, width].
        factor: one number for all.
        scale: of the same shape; may be a slice of larger tiles.
        offset: the same.
        out: the same; is written to.

    Raises:
        ValueError: shapes do not fit.
    """
    _core.minimum(list(outputs), factor, scale, offset, out)


class LogStd(NamedTuple):
    """How outputs of a network become logarithms of standard deviations."""

    low: float = LOG_STD_BOUNDS[0]
    """The least, no less than the first of LOG_STD_BOUNDS."""

    high: float = LOG_STD_BOUNDS[1]
    """The most, no more than the second of them."""

    soft: bool = False
    """Whether they are low + (high - low) / 2 * (1 + tanh(output)); else outputs are clipped."""

    @property
    def usual(self) -> bool:
        """Whether they are what the core makes of outputs by itself."""
        return self == LogStd()

    def of(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return them for outputs of any shape, float32."""
        if self.soft:
            half = np.float32((self.high - self.low) / 2)
            return np.float32(self.low) + half * (1 + np.tanh(outputs))
        return np.clip(outputs, self.low, self.high)

    def slope(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the derivative where `of` made these values, float32.

        Of clipped ones it is 0 at the bounds.
        """
        if self.soft:
            half = np.float32((self.high - self.low) / 2)
            place = (values - np.float32(self.low)) / half - 1  # the tanh
            return half * (1 - place**2)
        inside: NDArray[np.float32] = ((values > self.low) & (values < self.high)).astype(np.float32)
        return inside


class Samples(NamedTuple):
    """One sample y = tanh(mean + exp(log_std) * noise) for every row of a batch, and what it was made of."""

    raw: Tiles
    """mean and log_std, float32 [tiles, 2 * features, width]."""

    noise: Tiles
    """Standard normal numbers, float32 [tiles, features, width]."""

    values: Tiles
    """y, float32 [tiles, features, width]."""

    log_probability: Tiles
    """ln p(y), over all features, float32 [tiles, 1, width]."""


class SquashedGaussian:
    """Samples y = tanh(mean + exp(log_std) * N(0, 1)); mean and log_std are the halves of a network's output.

    Args:
        batch: number of samples.
        features: of y; the network has twice as many outputs.
        log_std: how the second half of the outputs becomes log_std.
    """

    def __init__(self, batch: int, features: int, log_std: LogStd | None = None) -> None:
        self._log_std, self._features = log_std or LogStd(), features
        self._usual = self._log_std.usual
        self._noise = empty_tiles(batch, features)
        self._gradient = empty_tiles(batch, 2 * features)
        self._log_probability = empty_tiles(batch, 1)

    def sample(self, raw: Tiles, out: Tiles, rng: np.random.Generator) -> Samples:
        """Draw one sample for every row of a batch.

        With u = mean + exp(log_std) * e and y = tanh(u), element by element,

            ln p(y) = sum over features of -e^2 / 2 - log_std - ln(2 pi) / 2 - ln(1 - tanh(u)^2)

        (Haarnoja et al. 2018, appendix C), computed without cancellation where tanh(u) is near 1.

        Args:
            raw: mean and log_std, float32 [tiles, 2 * features, width].
            out: where y goes, float32 [tiles, features, width]; may be a slice of the features of larger tiles.
            rng: the stream to draw the normal numbers from, as `normal` does.

        Returns:
            The samples; noise and log_probability are valid until the next call.

        Raises:
            ValueError: shapes do not fit.
        """
        if not self._usual:
            outputs, raw = raw, raw.copy()
            raw[:, self._features :] = self._log_std.of(outputs[:, self._features :])
        _core.sample_squashed_gaussian(raw, out, self._noise, self._log_probability, rng.bit_generator)
        return Samples(raw, self._noise, out, self._log_probability)

    def gradient(self, samples: Samples, d_values: Tiles, d_log_probability: Tiles) -> Tiles:
        """Return the gradient of a loss with respect to the network's outputs, mean and log_std, through samples.

        Reparameterised, the noise being held: d ln p / du = 2 y, and a log_std beyond its bounds has none.

        Args:
            samples: as `sample` returned them.
            d_values: of the loss with respect to y, float32 [tiles, features, width].
            d_log_probability: of the loss with respect to ln p(y), float32 [tiles, 1, width]; 0 for padding.

        Returns:
            float32 [tiles, 2 * features, width], valid until the next call.

        Raises:
            ValueError: shapes do not fit.
        """
        raw, noise, values, _ = samples
        _core.squashed_gaussian_gradient(raw, values, noise, d_values, d_log_probability, self._gradient)
        if not self._usual:
            self._gradient[:, self._features :] *= self._log_std.slope(raw[:, self._features :])
        return self._gradient


def sample_one(
    output: NDArray[np.float32], rng: np.random.Generator, log_std: LogStd | None = None
) -> NDArray[np.float32]:
    """Return a sample for one row, float32 [features].

    Args:
        output: of the network for it, float32 [2 * features].
        rng: the stream to draw the normal numbers from.
        log_std: as for `SquashedGaussian`.
    """
    features = len(output) // 2
    std = np.exp((log_std or LogStd()).of(output[features:]))
    return np.tanh(output[:features] + std * normal(rng, features))


def normal(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Draw independent standard normal numbers, several times as fast as NumPy.

    Args:
        rng: the stream to draw from.
        count: how many.

    Returns:
        float32 [count].
    """
    return _core.normal(rng.bit_generator, count)
