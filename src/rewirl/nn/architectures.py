"""The networks of papers, as lists of operations: chains of layers or of their products, residual blocks, norms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rewirl.nn.mlp import mlp, names_of
from rewirl.nn.operations import (
    INPUT,
    Add,
    BatchNorm,
    BatchRenorm,
    LayerNorm,
    LeakyReLU,
    Linear,
    Multiply,
    Operation,
    ReLU,
    Tanh,
)

HiddenLayers = Literal["relu", "tanh", "layernorm-relu", "hadamard-relu", "hadamard-tanh"]
"""Kinds of hidden layers, see `layered`."""


def layered(n_in: int, sizes: Sequence[int], n_out: int, hidden: HiddenLayers) -> list[Operation]:
    """Return a network of one kind of hidden layers, as a chain.

        relu, tanh         h = f(W h + b)
        layernorm-relu     h = ReLU(LayerNorm(W h + b))  (Ba et al. 2016)
        hadamard-relu ...  h = f(W1 h + b1) * f(W2 h + b2), number by number (Kooi et al. 2024, section 4)

    Args:
        n_in: inputs.
        sizes: units of each hidden layer.
        n_out: outputs.
        hidden: the kind of all hidden layers.
    """
    activation = Tanh if hidden.endswith("tanh") else ReLU
    if hidden in ("relu", "tanh"):
        return mlp((n_in, *sizes, n_out), activation=activation)
    operations: list[Operation] = []
    if hidden == "layernorm-relu":
        for number, (name, size) in enumerate(zip(names_of(len(sizes) + 1), sizes, strict=False), 1):
            operations += [Linear(name, n_out=size), LayerNorm(f"norm{number}"), ReLU(f"relu{number}")]
        return [*operations, Linear("output", n_out=n_out)]
    before = INPUT
    for name, size in zip(names_of(len(sizes) + 1), sizes, strict=False):
        first, second = f"{name}a", f"{name}b"
        operations += [
            Linear(first, n_out=size, of=(before,)),
            activation(f"{first}_{activation.kind}"),
            Linear(second, n_out=size, of=(before,)),
            activation(f"{second}_{activation.kind}"),
            Multiply(name, of=(f"{first}_{activation.kind}", f"{second}_{activation.kind}")),
        ]
        before = name
    return [*operations, Linear("output", n_out=n_out)]


def residual(sizes: Sequence[int], n_out: int) -> list[Operation]:
    """Return SimBa's network: residual blocks, each with a layer norm first (Lee et al. 2025, section 4).

        h = W0 x + b0
        h = h + W2 ReLU(W1 LayerNorm(h) + b1) + b2    for each block; W1 makes 4 H features of H
        y = V LayerNorm(h) + c

    Args:
        sizes: H of each block, the same for all.
        n_out: outputs.

    Raises:
        ValueError: the sizes differ.
    """
    width = sizes[0]
    if any(size != width for size in sizes):
        raise ValueError(f"residual blocks add what they make to what they read: give one size, not {[*sizes]}")
    operations: list[Operation] = [Linear("embed", n_out=width)]
    before = "embed"
    for block in range(1, len(sizes) + 1):
        operations += [
            LayerNorm(f"norm{block}", eps=1e-6),
            Linear(f"wide{block}", n_out=4 * width),
            ReLU(f"relu{block}"),
            Linear(f"narrow{block}", n_out=width),
            Add(f"block{block}", of=(before, f"narrow{block}")),
        ]
        before = f"block{block}"
    return [*operations, LayerNorm("norm", eps=1e-6), Linear("output", n_out=n_out)]


def batch_normalised(sizes: Sequence[int], n_out: int) -> list[Operation]:
    """Return XQC's network: batch norm before each activation, weights of unit norm (Palenicek et al. 2026, section 4).

        h = BatchNorm(x)
        h = ReLU(BatchNorm(W h))    for each hidden layer
        y = V h + c

    The weights of each output of W and V have norm 1.

    Args:
        sizes: units of each hidden layer.
        n_out: outputs.
    """
    operations: list[Operation] = [BatchNorm("norm0", eps=1e-3, momentum=0.01)]
    for number, (name, size) in enumerate(zip(names_of(len(sizes) + 1), sizes, strict=False), 1):
        operations += [
            Linear(name, n_out=size, bias=False, unit_norm=True),
            BatchNorm(f"norm{number}", eps=1e-3, momentum=0.01),
            ReLU(f"relu{number}"),
        ]
    return [*operations, Linear("output", n_out=n_out, unit_norm=True)]


def batch_renormalised(sizes: Sequence[int], n_out: int) -> list[Operation]:
    """Return CrossQ's network: batch renormalisation of the input and after each activation (Bhatt et al. 2024).

        h = BatchRenorm(x)
        h = BatchRenorm(ReLU(W h + b))    for each hidden layer
        y = V h + c

    Args:
        sizes: units of each hidden layer.
        n_out: outputs.
    """
    operations: list[Operation] = [BatchRenorm("norm0", eps=1e-3, momentum=0.01)]
    for number, (name, size) in enumerate(zip(names_of(len(sizes) + 1), sizes, strict=False), 1):
        operations += [
            Linear(name, n_out=size),
            ReLU(f"relu{number}"),
            BatchRenorm(f"norm{number}", eps=1e-3, momentum=0.01),
        ]
    return [*operations, Linear("output", n_out=n_out)]


def layer_normalised(sizes: Sequence[int], n_out: int) -> list[Operation]:
    """Return the network of stream-x: layer norm before each activation (Elsayed et al. 2024, section 3).

        h = LeakyReLU(LayerNorm(W h + b))    for each hidden layer; the norm has no scale and shift
        y = V h + c

    Weights are stored row by row, for one sample at a time.

    Args:
        sizes: units of each hidden layer.
        n_out: outputs.
    """
    operations: list[Operation] = []
    for number, (name, size) in enumerate(zip(names_of(len(sizes) + 1), sizes, strict=False), 1):
        operations += [
            Linear(name, n_out=size, by_row=True),
            LayerNorm(f"norm{number}", affine=False),
            LeakyReLU(f"leaky_relu{number}"),
        ]
    return [*operations, Linear("output", n_out=n_out, by_row=True)]
