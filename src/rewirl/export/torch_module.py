"""A policy as a torch.nn.Module. Needs the package torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rewirl.export.plan import (
    Box,
    ConstantStep,
    LayerNormStep,
    LinearStep,
    NormalStep,
    PairStep,
    Plan,
    Precision,
    ReLUStep,
    Step,
    TanhStep,
)


class TorchPolicy(nn.Module):
    """What a plan computes.

    Parameters and actions are float32. The network is computed in float64 between them: PyTorch adds products in an
    order of its own, and in float32 that alone took actions up to 2.4e-5 of half their range away. Weights, biases, and
    what layer norm has learnt are parameters; statistics, batch norms, connections and bounds are buffers.

    Args:
        plan: the policy, with float32 weights.
        precision: what the network is computed in; with float32 it is in that of observations and parameters.
    """

    centre: Tensor
    half_range: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, plan: Plan, precision: Precision = "float64") -> None:
        super().__init__()
        self._float64 = precision == "float64"
        self.steps = nn.ModuleList(_module(step, self._float64) for step in plan.steps)
        self._reads = [step.reads for step in plan.steps]
        self._n_in, self._n_out = plan.n_in, plan.n_out
        self._box = isinstance(plan.head, Box)
        if isinstance(plan.head, Box):
            head = plan.head
            bounds = {"centre": head.centre, "half_range": head.half, "low": head.low, "high": head.high}
            for name, array in bounds.items():
                self.register_buffer(name, _tensor(array))
            self._squashed = head.squashed
        else:
            self._start = plan.head.start

    def outputs(self, observations: Tensor) -> Tensor:
        """Return what actions are made of, before tanh or choice: [..., action] for [..., observation].

        Both are of one floating type; observations of whole numbers or truth values give float32.
        """
        return self._computed(observations).to(_kind(observations))

    def _computed(self, observations: Tensor) -> Tensor:
        """Return the outputs in the type that they are computed in."""
        if not isinstance(observations, Tensor):
            raise TypeError(
                f"observations must be a tensor, got {type(observations).__name__}; torch.as_tensor makes one"
            )
        if observations.shape[-1:] != (self._n_in,):
            raise ValueError(f"observations must be [..., {self._n_in}], got {list(observations.shape)}")
        values = [observations.to(torch.float64 if self._float64 else _kind(observations))]
        for step, reads in zip(self.steps, self._reads, strict=True):
            values.append(step(*(values[read] for read in reads)))
        return values[-1][..., : self._n_out]

    def forward(self, observations: Tensor) -> Tensor:
        """Return actions for observations, float32 [..., observation].

        Returns:
            float32 [..., action] within the environment's bounds; or int64 [...], its numbers of the choices.

        Raises:
            TypeError: they are no tensor.
            ValueError: the observations have another number of features.
        """
        if not self._box:
            values = self._computed(observations)  # before they are rounded, which would make ties
            return torch.where(values.isnan().any(dim=-1), -1, values.argmax(dim=-1)) + self._start
        raw = self.outputs(observations)
        mapped = self.centre + self.half_range * (torch.tanh(raw) if self._squashed else raw)
        return torch.minimum(torch.maximum(mapped, self.low), self.high)


def _kind(observations: Tensor) -> torch.dtype:
    return observations.dtype if observations.is_floating_point() else torch.float32


class SparseWeights(nn.Module):
    """y = W x + b with a parameter for each connection; W is made dense for each batch.

    Args:
        step: with float32 weights.
    """

    places: Tensor

    def __init__(self, step: LinearStep) -> None:
        super().__init__()
        rows, columns, values = step.weights.stored()
        self._shape = step.weights.shape
        self.values = nn.Parameter(_tensor(values))
        self.bias = _parameter(step.bias)
        self.register_buffer("places", torch.from_numpy(rows * self._shape[1] + columns))

    def forward(self, x: Tensor) -> Tensor:
        """Return y, float [..., n_out], for x, float [..., n_in]."""
        n_out, n_in = self._shape
        zeros = x.new_zeros(n_out * n_in)
        matrix = zeros.index_copy(0, self.places, self.values.to(x.dtype)).view(n_out, n_in)
        return nn.functional.linear(x, matrix, _like(self.bias, x))


class DenseWeights(nn.Module):
    """y = W x + b.

    Args:
        step: with dense weights, float32.
    """

    def __init__(self, step: LinearStep) -> None:
        super().__init__()
        self.weight = nn.Parameter(_tensor(step.weights.dense))
        self.bias = _parameter(step.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return y, float [..., n_out], for x, float [..., n_in]."""
        return nn.functional.linear(x, self.weight.to(x.dtype), _like(self.bias, x))


class LayerNorm(nn.Module):
    """Layer norm over the features."""

    def __init__(self, step: LayerNormStep) -> None:
        super().__init__()
        self._eps = step.eps
        self.scale, self.shift = _parameter(step.scale), _parameter(step.shift)

    def forward(self, x: Tensor) -> Tensor:
        """Return y for x, float [..., features]."""
        return nn.functional.layer_norm(x, x.shape[-1:], _like(self.scale, x), _like(self.shift, x), self._eps)


class Normal(nn.Module):
    """y = (x - mean) * factor + shift, by statistics that stay what they are.

    Args:
        step: with the statistics.
        float64: whether the factor is kept so; there are devices that cannot hold it.
    """

    mean: Tensor
    factor: Tensor
    shift: Tensor

    def __init__(self, step: NormalStep, float64: bool) -> None:
        super().__init__()
        self.register_buffer("mean", _tensor(step.mean))
        self.register_buffer("factor", _tensor(step.factor if float64 else step.factor_float32))
        self.register_buffer("shift", _tensor(np.zeros_like(step.mean) if step.shift is None else step.shift))

    def forward(self, x: Tensor) -> Tensor:
        """Return y for x, float [..., features]."""
        return (x - self.mean) * self.factor.to(x.dtype) + self.shift


class Constant(nn.Module):
    """A vector that depends on nothing."""

    def __init__(self, step: ConstantStep) -> None:
        super().__init__()
        self.values = nn.Parameter(_tensor(step.values))

    def forward(self) -> Tensor:
        """Return it, float [features]."""
        return self.values.clone()


class Pair(nn.Module):
    """y = a + b, or a * b."""

    def __init__(self, step: PairStep) -> None:
        super().__init__()
        self._times = step.times

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return y for two values, float [..., features]."""
        return a * b if self._times else a + b


def _module(step: Step, float64: bool) -> nn.Module:
    match step:
        case LinearStep():
            return SparseWeights(step) if step.weights.dense is None else DenseWeights(step)
        case NormalStep():
            return Normal(step, float64)
        case LayerNormStep():
            return LayerNorm(step)
        case ReLUStep():
            return nn.LeakyReLU(step.slope) if step.slope else nn.ReLU()
        case TanhStep():
            return nn.Tanh()
        case PairStep():
            return Pair(step)
        case ConstantStep():
            return Constant(step)
    raise TypeError(f"no step {type(step).__name__}")


def _like(parameter: nn.Parameter | None, x: Tensor) -> Tensor | None:
    """Return what a layer has learnt, with the dtype of what it is computed with."""
    return None if parameter is None else parameter.to(x.dtype)


def _parameter(array: NDArray[Any] | None) -> nn.Parameter | None:
    return None if array is None else nn.Parameter(_tensor(array))


def _tensor(array: NDArray[Any] | None) -> Tensor:
    """Return a copy of an array as a tensor."""
    return torch.from_numpy(np.array(array))
