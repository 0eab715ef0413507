"""The same as operators of PyTorch, which `torch.compile` takes as they are; elsewhere they cost more time."""

from __future__ import annotations

from itertools import count
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from rewirl.torch.functions import Connections, gradients, output

CONNECTIONS: WeakValueDictionary[int, Connections] = WeakValueDictionary()
"""Those that layers have now, by the numbers of the layers: a compiled graph knows a layer by its number."""

NUMBERS = count()


def _connections(indices: Tensor, layer: list[int]) -> Connections:
    """Return those of a layer, by n_out, n_in, height and its number.

    Or others, where it was given others, as by `functional_call`, or has stayed behind in the process that compiled it.
    """
    n_out, n_in, height, number = layer
    known = CONNECTIONS.get(number)
    if known is not None and known.are(indices) and (*known.shape, known.height) == (n_out, n_in, height):
        return known
    return Connections((n_out, n_in), indices, height, None if known is None else known.observer)


# Schemas are said, as torch 2.4 reads none from annotations that are text.
@torch.library.custom_op(
    "rewirl::sparse_linear",
    mutates_args=(),
    schema="(Tensor x, Tensor values, Tensor? bias, Tensor indices, int[] layer) -> Tensor",
)
def operator(x: Tensor, values: Tensor, bias: Tensor | None, indices: Tensor, layer: list[int]) -> Tensor:
    """Return W x + b, float32 [samples, n_out], for x, float32 [samples, n_in].

    Args:
        x: the input.
        values: float32 [connections].
        bias: float32 [n_out], or None.
        indices: int64 [connections].
        layer: n_out, n_in, height and the number of the layer.
    """
    return output(x, values, bias, _connections(indices, layer))


@operator.register_fake
def _(x: Tensor, values: Tensor, bias: Tensor | None, indices: Tensor, layer: list[int]) -> Tensor:
    return x.new_empty(x.shape[0], layer[0])


@torch.library.custom_op(
    "rewirl::sparse_linear_gradients",
    mutates_args=(),
    schema="(Tensor x, Tensor values, Tensor dy, Tensor indices, int[] layer, bool[] needs)"
    " -> (Tensor, Tensor, Tensor)",
)
def _gradients(
    x: Tensor, values: Tensor, dy: Tensor, indices: Tensor, layer: list[int], needs: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    connections = _connections(indices, layer)
    if needs[1]:
        connections.observed(dy, x, values.data_ptr())  # in another program the number may be another layer's
    found = gradients(x, values, dy, connections, (needs[0], needs[1], needs[2]))
    first, second, third = (x.new_empty(0) if each is None else each for each in found)
    return first, second, third


@_gradients.register_fake
def _(
    x: Tensor, values: Tensor, dy: Tensor, indices: Tensor, layer: list[int], needs: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    shapes = (x.shape, values.shape, dy.shape[1:])
    first, second, third = (x.new_empty(shape if need else 0) for shape, need in zip(shapes, needs, strict=True))
    return first, second, third


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None, Tensor, list[int]], output: Tensor) -> None:
    x, values, _, indices, ctx.layer = inputs
    ctx.save_for_backward(x, values, indices)


def _backward(ctx: Any, dy: Tensor) -> Any:
    needs = list(ctx.needs_input_grad[:3])
    x, values, indices = ctx.saved_tensors
    found = _gradients(x, values, dy, indices, ctx.layer, needs)
    return *(each if need else None for each, need in zip(found, needs, strict=True)), None, None


operator.register_autograd(_backward, setup_context=_keep)
