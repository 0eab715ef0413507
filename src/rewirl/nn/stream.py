"""Networks that learn from one sample at a time: eligibility traces, steps of bounded size, normal distributions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rewirl import _core
from rewirl.nn.heads import normal
from rewirl.nn.network import Network

Vector = NDArray[np.float32]


class Stream:
    """A network that learns from one sample at a time, by eligibility traces and ObGD (Elsayed et al. 2024).

    The traces take the place of Adam's first moments: they come and go with the connections, and files keep them there.

    Args:
        network: trainable; its linear operations are dense or stored row by row (`Linear.by_row`).

    Raises:
        ValueError: it is not trainable, or an operation cannot learn from a single sample; names the operation.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self._core = _core.Stream(network.core)
        self._output = self._core.output()

    def forward(self, x: Vector) -> Vector:
        """Run a sample through the network, and keep what `step` needs.

        Args:
            x: float32 [n_in].

        Returns:
            float32 [n_out], a view that the next call overwrites.
        """
        self._core.forward(x)
        return self._output

    def step(
        self, output_gradient: Vector, error: float, learning_rate: float, kappa: float, decay: float, reset: bool
    ) -> float:
        """Move the traces and take a step, for the sample of the last `forward` (Elsayed et al. 2024, Algorithm 3).

            z <- decay z + the gradient of what is to grow
            M = learning_rate kappa max(|error|, 1) ||z||_1
            w <- w + min(learning_rate, learning_rate / M) error z

        Args:
            output_gradient: of what is to grow where the error is positive, for the outputs; float32 [n_out].
            error: delta.
            learning_rate: alpha.
            kappa: what the step is kept from overshooting by.
            decay: gamma lambda.
            reset: whether the traces are 0 afterwards.

        Returns:
            The size of the step, min(learning_rate, learning_rate / M).

        Raises:
            ValueError: a shape does not fit, a number but the error cannot be, or a rewired layer cannot learn from a
                single sample.
        """
        return self._core.step(output_gradient, error, learning_rate, kappa, decay, reset)


class SoftplusNormal:
    """A normal distribution of each of some numbers: outputs mean and raw, with the deviation softplus(raw).

    Args:
        size: how many numbers.
    """

    def __init__(self, size: int) -> None:
        self._drawn, self._gradient = np.zeros(size, np.float32), np.zeros(2 * size, np.float32)

    def sample(self, outputs: Vector, rng: np.random.Generator) -> Vector:
        """Return mean + softplus(raw) N(0, 1).

        Args:
            outputs: means, then raw ones; float32 [2 size].
            rng: of the noise.

        Returns:
            float32 [size], an array that the next call overwrites.
        """
        _core.sample_softplus(outputs, normal(rng, len(self._drawn)), self._drawn)
        return self._drawn

    def gradient(self, outputs: Vector, drawn: Vector, entropy_weight: float) -> Vector:
        """Return the gradient of ln p(drawn) + entropy_weight H(p) for the outputs.

        Args:
            outputs: as for `sample`.
            drawn: float32 [size].
            entropy_weight: of the entropy H.

        Returns:
            float32 [2 size], an array that the next call overwrites.
        """
        _core.softplus_gradient(outputs, drawn, entropy_weight, self._gradient)
        return self._gradient


def begin_sparsely(network: Network, zeros: float, rng: np.random.Generator, per_connection: bool = False) -> None:
    """Give a network the weights of stream-x (Elsayed et al. 2024, Algorithm 1): most of them 0.

    Of each unit's n_in inputs ceil(zeros n_in) begin with a weight of 0, those without a connection among them. The
    others are uniform within 1 / sqrt(n_in), the biases are 0.

    Args:
        network: any.
        zeros: share of zeros, in [0, 1].
        rng: what is drawn from.
        per_connection: whether a bound counts the connections of the unit for n_in.
    """
    for layer in network.layers:
        n_out, n_in = layer.shape
        rows = layer.places() // n_in
        # The first so many of each unit, in a random order.
        order = np.lexsort((rng.random(len(rows)), rows))
        fan_in = np.bincount(rows, minlength=n_out)
        number = np.arange(len(rows)) - np.repeat(np.cumsum(fan_in) - fan_in, fan_in)
        first = order[number < n_in - np.ceil(zeros * n_in)]
        bound = 1 / np.sqrt(np.maximum(fan_in, 1)[rows[first]] if per_connection else float(n_in))
        values = np.zeros(len(rows), np.float32)
        values[first] = rng.uniform(-bound, bound, len(first))
        layer.set_values(values)
        if f"{layer.name}.bias" in dict(network.arrays()):
            layer.bias[:] = 0
