"""Multilayer perceptrons: lists of linear operations with an activation between them."""

from __future__ import annotations

from collections.abc import Sequence

from rewirl.nn.operations import Linear, Operation, ReLU


def names_of(depth: int) -> list[str]:
    """Return the names of the linear operations of a multilayer perceptron: hidden1, hidden2, ..., output."""
    return [*(f"hidden{i}" for i in range(1, depth)), *["output"][:depth]]


def mlp(
    sizes: Sequence[int], heights: Sequence[int] | None = None, activation: type[Operation] = ReLU
) -> list[Operation]:
    """Return a multilayer perceptron: an activation after every linear operation but the last.

    Args:
        sizes: number of units of each layer, inputs first.
        heights: of the blocks of each layer, see `Linear`; None for no blocks.
        activation: ReLU, or another operation that needs no settings.
    """
    operations: list[Operation] = []
    depth = len(sizes) - 1
    for name, n_out, height in zip(names_of(depth), sizes[1:], heights or [1] * depth, strict=True):
        operations += [Linear(name, n_out=int(n_out), height=int(height)), activation()]
    return operations[:-1]
