"""The gradient of a loss for every weight of a sparse layer, connection or not, while a rule needs it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Variable

from rewirl.torch.functions import floats
from rewirl.torch.linear import SparseLinear


class DenseGradient:
    """What `values.grad` would be for a dense layer.

    Backward passes that add to `values.grad` add to it, and where that has been cleared it begins again. What
    `torch.autograd.grad` computes goes elsewhere, so it does not count.

    Args:
        layer: collects it until `close`.
    """

    def __init__(self, layer: SparseLinear) -> None:
        self._begin(layer, None)

    def _begin(self, layer: SparseLinear, total: Tensor | None) -> None:
        self._layer, self._sum = layer, total
        self._passes: dict[int, Tensor] = {}
        """Of backward passes that go on, by the numbers that PyTorch gives them."""
        self._left: tuple[int, int] | None = None
        """Which `values.grad` the last pass left, and its version."""
        self._hook: Any = None
        layer._observer.collectors.add(self)

    def __bool__(self) -> bool:
        """Tell whether anything has added to it."""
        return self._sum is not None

    @property
    def finite(self) -> bool:
        """Whether all its numbers are."""
        return self._sum is None or bool(torch.isfinite(self._sum).all())

    def total(self) -> NDArray[np.float32]:
        """Return it, float32 [out_features, in_features], an array of its own; zeros if nothing has added to it."""
        return np.zeros(self._layer.shape, np.float32) if self._sum is None else self._sum.numpy().copy()

    def close(self) -> None:
        """Collect no longer."""
        self._layer._observer.collectors.discard(self)
        if self._hook is not None:
            self._hook.remove()

    def collect(self, dy: Tensor, x: Tensor, address: int) -> None:
        """Add what a backward pass brings; see `Connections.observed`."""
        own = self._layer.values
        if address != own.data_ptr():  # others stand in for them, and their gradient goes elsewhere
            return
        number = torch._C._current_graph_task_id()

        def forget() -> None:
            self._passes.pop(number, None)

        with torch.no_grad():
            if number not in self._passes:
                if own.grad is None or (_version(own.grad) != self._left and not own.grad.any()):
                    self._sum = None  # it has been cleared; zeros that the last pass left are a gradient
                if self._hook is None:  # not before: values that are frozen take none
                    self._hook = own.register_post_accumulate_grad_hook(self._passed)  # type: ignore[no-untyped-call]
                self._passes[number] = floats(*self._layer.shape).zero_()
                # At the end of the pass, for it may add to no gradient.
                Variable._execution_engine.queue_callback(forget)
            self._passes[number].addmm_(dy.T, x)

    def _passed(self, values: Tensor) -> None:
        found = self._passes.pop(torch._C._current_graph_task_id(), None)
        if found is not None:
            self._sum = found if self._sum is None else self._sum + found
            self._left = None if values.grad is None else _version(values.grad)

    def __getstate__(self) -> tuple[SparseLinear, Tensor | None]:
        """Return what a copy is made from."""
        return self._layer, self._sum

    def __setstate__(self, state: tuple[SparseLinear, Tensor | None]) -> None:
        """Become a copy, which collects from the copy of the layer."""
        self._begin(*state)


def _version(gradient: Tensor) -> tuple[int, int]:
    """Return what changes when a gradient is written to or replaced."""
    return id(gradient), gradient._version
