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


def _connections(indices: Tensor, number: int) -> Connections:
    """Return those of a layer, or others where the layer was given others, as `functional_call` does."""
    known = CONNECTIONS[number]
    return known if known.are(indices) else Connections(known.shape, indices, known.height, known.observer)


# Schemas are said, as torch 2.4 reads none from annotations that are text.
@torch.library.custom_op(
    "rewirl::sparse_linear",
    mutates_args=(),
    schema="(Tensor x, Tensor values, Tensor? bias, Tensor indices, int number) -> Tensor",
)
def numbered(x: Tensor, values: Tensor, bias: Tensor | None, indices: Tensor, number: int) -> Tensor:
    """Return W x + b of the layer of this number, float32 [samples, n_out], for x, float32 [samples, n_in]."""
    return output(x, values, bias, _connections(indices, number))


@numbered.register_fake
def _(x: Tensor, values: Tensor, bias: Tensor | None, indices: Tensor, number: int) -> Tensor:
    return x.new_empty(x.shape[0], CONNECTIONS[number].shape[0])


@torch.library.custom_op(
    "rewirl::sparse_linear_gradients",
    mutates_args=(),
    schema="(Tensor x, Tensor values, Tensor dy, Tensor indices, int number, bool[] needs) -> (Tensor, Tensor, Tensor)",
)
def _gradients(
    x: Tensor, values: Tensor, dy: Tensor, indices: Tensor, number: int, needs: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    connections = _connections(indices, number)
    if needs[1]:
        connections.observed(values, dy, x)
    found = gradients(x, values, dy, connections, (needs[0], needs[1], needs[2]))
    first, second, third = (x.new_empty(0) if each is None else each for each in found)
    return first, second, third


@_gradients.register_fake
def _(
    x: Tensor, values: Tensor, dy: Tensor, indices: Tensor, number: int, needs: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    shapes = (x.shape, values.shape, dy.shape[1:])
    first, second, third = (x.new_empty(shape if need else 0) for shape, need in zip(shapes, needs, strict=True))
    return first, second, third


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None, Tensor, int], output: Tensor) -> None:
    x, values, _, indices, ctx.number = inputs
    ctx.save_for_backward(x, values, indices)


def _backward(ctx: Any, dy: Tensor) -> Any:
    needs = list(ctx.needs_input_grad[:3])
    x, values, indices = ctx.saved_tensors
    found = _gradients(x, values, dy, indices, ctx.number, needs)
    return *(each if need else None for each, need in zip(found, needs, strict=True)), None, None


numbered.register_autograd(_backward, setup_context=_keep)
