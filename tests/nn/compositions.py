"""Networks of every operation, and of compositions of them."""

from __future__ import annotations

import numpy as np

from rewirl.nn import (
    Add,
    BatchNorm,
    BatchRenorm,
    LayerNorm,
    LeakyReLU,
    Linear,
    Multiply,
    Network,
    Parameter,
    ReLU,
    Tanh,
)
from rewirl.nn.operations import named

COMPOSITIONS = {
    "linear": [Linear(n_out=7)],
    "linear without bias": [Linear(n_out=40, bias=False), ReLU(), Linear(n_out=3, bias=False)],
    "relu first": [ReLU(), Linear(n_out=5)],
    "relu last": [Linear(n_out=9), ReLU()],
    "relu read twice": [Linear("a", n_out=9), ReLU("b"), Linear("c", n_out=9), Add(of=("b", "c"))],
    "linear read beside its relu": [Linear("a", n_out=9), ReLU("b"), Add(of=("a", "b"))],
    "leaky relu": [Linear(n_out=9), LeakyReLU(slope=0.2), Linear(n_out=4)],
    "tanh": [Tanh(), Linear(n_out=9), Tanh(), Linear(n_out=4), Tanh()],
    "add": [Linear("a", n_out=9), Linear("b", n_out=9, of=("input",)), Add(of=("a", "b"))],
    "add to itself": [Linear("a", n_out=9), Add(of=("a", "a"))],
    "multiply": [Linear("a", n_out=9), Linear("b", n_out=9, of=("input",)), Multiply(of=("b", "a"))],
    "multiply by itself": [Linear("a", n_out=9), Multiply(of=("a", "a"))],
    "layer norm": [LayerNorm(), Linear(n_out=4)],
    "layer norm without affine": [Linear(n_out=9), LayerNorm(affine=False, eps=0.3)],
    "norm before the activation": [Linear(n_out=30), LayerNorm(), ReLU(), Linear(n_out=4)],
    "norm after the activation": [Linear(n_out=30), ReLU(), LayerNorm(), Linear(n_out=4)],
    "parameter": [Linear("a", n_out=9), Parameter("p", size=9), Add(of=("a", "p"))],
    "parameter as a factor": [Parameter("p", size=9), Linear("a", n_out=9, of=("input",)), Multiply(of=("a", "p"))],
    "residual block": [
        Linear("in", n_out=20),
        LayerNorm("norm"),
        Linear("wide", n_out=50),
        ReLU(),
        Linear("narrow", n_out=20),
        Add("sum", of=("in", "narrow")),
        LayerNorm("last"),
        Linear("out", n_out=2),
    ],
    "two residual blocks about the input": [
        Linear("a", n_out=11),
        ReLU(),
        Linear("b", n_out=11),
        Add("first", of=("input", "b")),
        Tanh("c"),
        Linear("d", n_out=11),
        Add("second", of=("first", "d")),
    ],
    "batch norm": [BatchNorm(), Linear(n_out=4)],
    "batch norm without affine": [Linear(n_out=9), BatchNorm(affine=False, eps=0.3)],
    "batch norm before the activation": [Linear(n_out=30), BatchNorm(), ReLU(), Linear(n_out=20), BatchNorm(), ReLU()],
    "batch norm read beside its relu": [BatchNorm("a"), ReLU("b"), Add(of=("a", "b"))],
    "batch norm read twice": [BatchNorm("a"), Linear("b", n_out=11), Add(of=("a", "b")), Linear(n_out=3)],
    "batch renorm": [
        BatchRenorm(warm_up=0, eps=0.3),
        Linear(n_out=20),
        BatchRenorm(warm_up=0, r_max=1.2, d_max=0.3),
        ReLU(),
    ],
    "batch renorm at first": [BatchRenorm(affine=False), Linear(n_out=4)],
    "batch norm in a residual block": [
        Linear("in", n_out=20),
        BatchNorm("norm"),
        ReLU(),
        Linear("back", n_out=20),
        Add("sum", of=("in", "back")),
        Linear("out", n_out=2),
    ],
}
N_IN = 11


def network_of(operations, rng, density=0.5):
    """A network of random arrays; every second linear operation is sparse."""
    places, arrays, features, sparse = {}, {}, [N_IN], True
    for operation, name, reads in named(operations):
        n_in = features[reads[0]] if reads else 0
        features.append(operation.made(n_in))
        if isinstance(operation, Linear):
            shape = (operation.n_out, n_in)
            # Every unit has an input: statistics of a unit without one are those of rounding errors.
            exists = (rng.random(shape) < density) | (np.arange(n_in) == rng.integers(n_in, size=(shape[0], 1)))
            places[name] = rng.permutation(np.flatnonzero(exists)) if sparse else None
            count = len(places[name]) if sparse else operation.n_out * n_in
            arrays[f"{name}.values"] = rng.normal(size=count, scale=0.5).astype(np.float32)
            if operation.bias:
                arrays[f"{name}.bias"] = rng.normal(size=operation.n_out).astype(np.float32)
            sparse = not sparse
        elif isinstance(operation, LayerNorm | BatchNorm) and operation.affine:
            arrays[f"{name}.scale"], arrays[f"{name}.shift"] = rng.normal(size=(2, n_in)).astype(np.float32)
        elif isinstance(operation, Parameter):
            arrays[f"{name}.values"] = rng.normal(size=operation.size).astype(np.float32)
        if isinstance(operation, BatchNorm):
            arrays[f"{name}.mean"] = rng.normal(size=n_in).astype(np.float32)
            arrays[f"{name}.variance"] = rng.uniform(0.5, 2, size=n_in).astype(np.float32)
            if isinstance(operation, BatchRenorm):
                arrays[f"{name}.moves"] = np.float32([7])
    return Network(N_IN, operations, places, arrays)
