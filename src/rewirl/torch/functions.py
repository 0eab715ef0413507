"""The products of a sparse layer as functions that PyTorch differentiates, any number of times.

y = W x + b, and its gradients dx = W^T dy, dw_k = dy[row k] . x[column k] and db, are linear in each of their
arguments. So the gradients of the gradients are the same three products of other arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Protocol
from weakref import WeakSet

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function

from rewirl._core import Product
from rewirl.nn import tile_shape
from rewirl.torch.uncompiled import uncompiled


class Collector(Protocol):
    """Who is shown a backward pass."""

    def collect(self, dy: Tensor, x: Tensor, address: int) -> None:
        """See `Connections.observed`."""


class Observer:
    """What looks on at the backward passes of a layer, where a rule asks for it."""

    def __init__(self) -> None:
        self.collectors: WeakSet[Collector] = WeakSet()
        """Each gets dy and x, whose product dy^T x is the gradient by W; see `Connections.observed`."""


class Connections:
    """Which connections a layer has, as the core computes with them; never changed.

    Args:
        shape: (n_out, n_in).
        indices: of the connections, row * n_in + column, int64 [connections], distinct, in the order of the values.
        height: neighbouring outputs that share their inputs; 1 for no blocks.
        observer: of the layer; None for one of its own.

    Raises:
        ValueError: an index is outside of the matrix or there twice, or blocks are not whole.
    """

    @uncompiled
    def __init__(self, shape: tuple[int, int], indices: Tensor, height: int, observer: Observer | None = None) -> None:
        places = indices.numpy().copy()
        if len(np.unique(places)) < len(places):
            raise ValueError("a connection is there twice")
        self.shape, self.height, self._places = shape, height, places
        self.product = Product(*shape, height, places)
        self.order = self.product.order()
        """The order of the connections that is fastest, uint32 [connections]; others are sorted in every pass."""
        self.observer = observer or Observer()
        self.replaced = False
        """Whether the layer has other connections now, and other values with them."""

    def are(self, indices: Tensor) -> bool:
        """Tell whether these are the indices they were made of.

        Numbers are compared, as PyTorch does not tell what was written through `.data`, through NumPy or in inference
        mode.
        """
        return np.array_equal(indices.numpy(), self._places)

    def observed(self, dy: Tensor, x: Tensor, address: int) -> None:
        """Show a backward pass to those who collect.

        Args:
            dy: of the outputs, float32 [samples, n_out].
            x: the inputs, float32 [samples, n_in].
            address: of the values that were computed with, which may not be the layer's own.
        """
        for collector in list(self.observer.collectors):
            collector.collect(dy, x, address)

    def refuse_if_replaced(self) -> None:
        """Refuse a backward pass whose gradients would go to other connections.

        PyTorch refuses it only where nobody saves tensors in a way of their own, as `saved_tensors_hooks` do.

        Raises:
            RuntimeError: the layer has other connections than at the forward pass.
        """
        if self.replaced:
            raise RuntimeError(
                "this backward pass goes through a forward pass from before the connections of a SparseLinear changed "
                "(Rewiring.step or load_state_dict); compute the loss again, and call backward before they change"
            )


def floats(*shape: int) -> Tensor:
    """Return numbers to be written to, float32 on the CPU whatever PyTorch's defaults are."""
    return torch.empty(shape, dtype=torch.float32, device="cpu")


def sparse_linear(x: Tensor, values: Tensor, bias: Tensor | None, connections: Connections) -> Tensor:
    """Return W x + b, float32 [samples, n_out], for x, float32 [samples, n_in]."""
    y: Tensor = _forward(x, values, bias, connections)
    return y


def output(x: Tensor, values: Tensor, bias: Tensor | None, connections: Connections) -> Tensor:
    """Return what `sparse_linear` does; PyTorch does not differentiate it."""
    y = x.new_empty(len(x), connections.shape[0])
    connections.product.forward(
        torch.get_num_threads(),
        _array(values),
        None if bias is None else _array(bias),
        _array(x),
        y.numpy(),
        _width(len(x)),
    )
    return y


def _array(tensor: Tensor) -> NDArray[np.float32]:
    """Return the numbers of a vector, or of rows whose numbers are side by side."""
    if tensor.dtype != torch.float32:  # of an exported layer, whose forward does not look
        raise TypeError(f"SparseLinear computes in float32, and got {tensor.dtype}; convert with .float()")
    if tensor.stride(-1) != 1 or tensor.stride(0) < 0 or tensor.is_neg():
        tensor = tensor.resolve_neg().contiguous()
    try:
        array: NDArray[np.float32] = tensor.detach().numpy()
    except RuntimeError as error:
        raise RuntimeError(
            "SparseLinear takes no tensors of vmap, so neither vectorize=True nor is_grads_batched=True; compute one "
            "after the other"
        ) from error
    return array


def gradients(
    x: Tensor | None, values: Tensor, dy: Tensor, connections: Connections, needs: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return dx = W^T dy, dw = (dy x^T at the connections) and db = the sum of dy; None for what is not needed."""
    n_out, n_in = connections.shape
    dx = dy.new_empty(len(dy), n_in) if needs[0] else None
    d_values = torch.empty_like(values) if needs[1] else None
    d_bias = dy.new_empty(n_out) if needs[2] else None
    connections.product.backward(
        torch.get_num_threads(),
        _array(values),
        _array(x) if x is not None and needs[1] else None,
        _array(dy),
        None if dx is None else dx.numpy(),
        None if d_values is None else d_values.numpy(),
        None if d_bias is None else d_bias.numpy(),
        _width(len(dy)),
    )
    return dx, d_values, d_bias


@cache
def _width(samples: int) -> int:
    """Return how many samples lie side by side where the core computes."""
    return tile_shape(max(samples, 1))[1]


class _Forward(Function):
    """y = W x + b."""

    # A setup_context apart from forward, which torch.func needs, would double the time of a small layer.
    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, bias: Tensor | None, connections: Connections) -> Tensor:
        ctx.connections = connections
        # Not what stands in for them in a derivative; later they may be a copy, as `saved_tensors_hooks` make.
        ctx.observed = values.data_ptr() if ctx.needs_input_grad[1] and values.is_leaf else None
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, values)
        return output(x, values, bias, connections)

    @staticmethod
    @uncompiled
    def backward(ctx: Any, dy: Tensor) -> Any:
        connections: Connections = ctx.connections
        connections.refuse_if_replaced()
        x, values = ctx.saved_tensors
        if ctx.observed is not None:
            connections.observed(dy, x, ctx.observed)
        compute = _backward if torch.is_grad_enabled() else gradients
        return *compute(x, values, dy, connections, ctx.needs_input_grad[:3]), None


class _Backward(Function):
    """The gradients, where they are to be differentiated again."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor | None, values: Tensor, dy: Tensor, connections: Connections, needs: tuple[bool, bool, bool]
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        ctx.connections = connections
        ctx.observed = values.data_ptr() if ctx.needs_input_grad[1] and values.is_leaf else None
        ctx.save_for_backward(x, values, dy)
        ctx.set_materialize_grads(False)
        return gradients(x, values, dy, connections, needs)

    @staticmethod
    @uncompiled
    def backward(ctx: Any, ddx: Tensor | None, dd_values: Tensor | None, dd_bias: Tensor | None) -> Any:
        connections: Connections = ctx.connections
        connections.refuse_if_replaced()
        x, values, dy = ctx.saved_tensors
        of_x = of_values = None
        terms = []
        if ddx is not None:
            if ctx.observed is not None:
                connections.observed(dy, ddx, ctx.observed)
            of_values = _backward(ddx, values, dy, connections, (False, True, False))[1]
            terms.append(sparse_linear(ddx, values, None, connections))
        if dd_values is not None:
            of_x = _backward(x, dd_values, dy, connections, (True, False, False))[0]
            terms.append(sparse_linear(x, dd_values, None, connections))
        if dd_bias is not None:
            terms.append(dd_bias.expand_as(dy))
        return of_x, of_values, sum(terms[1:], terms[0]) if terms else None, None, None


_forward: Callable[..., Any] = _Forward.apply
_backward: Callable[..., Any] = _Backward.apply
