"""Multilayer perceptrons: lists of linear operations with ReLU between them."""

from __future__ import annotations

from collections.abc import Sequence

from rewirl.nn.operations import Linear, Operation, ReLU


def names_of(depth: int) -> list[str]:
    """Return the names of the linear operations of a multilayer perceptron: hidden1, hidden2, ..., output."""
    return [*(f"hidden{i}" for i in range(1, depth)), "output"]


def mlp(sizes: Sequence[int]) -> list[Operation]:
    """Return a multilayer perceptron: ReLU after every linear operation but the last.

    Args:
        sizes: number of units of each layer, inputs first.
    """
    operations: list[Operation] = []
    for name, n_out in zip(names_of(len(sizes) - 1), sizes[1:], strict=True):
        operations += [Linear(name, n_out=int(n_out)), ReLU()]
    return operations[:-1]
