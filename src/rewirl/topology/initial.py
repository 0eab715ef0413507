"""What a network starts with: a random topology, and what its random weights are scaled for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewirl.exact import make_exact
from rewirl.topology.indices import random_indices
from rewirl.topology.structure import Structure

InitialScale = Literal["dense", "sparse", "largest"]
InitialTopology = Literal["random", "predictive"]


@dataclass(frozen=True)
class InitialConfig:
    """Which connections networks start with, and how their random weights are drawn."""

    initial_scale: InitialScale = "dense"
    """What the random weights at the start are scaled for: dense (the inputs a unit would have in a dense layer, as in
    the papers' codes), sparse (the inputs it has, which keeps the size of activations, Evci et al. 2020), or largest
    (as if the largest magnitudes of a dense layer were kept, as in RLx2; in blocks each connection for itself)."""

    initial_topology: InitialTopology = "random"
    """Which connections networks start with: random, or predictive (the first layer is chosen at the first update, from
    the transitions of the warm-up: each unit gets features that predict the same feature one step later, and features
    that predict nothing get none). The number of connections is the same. Typical: random."""

    def __post_init__(self) -> None:
        """Turn each value into its type exactly."""
        make_exact(self, InitialConfig)


def random_topology(
    shapes: Sequence[tuple[int, int]],
    densities: Sequence[float],
    rng: np.random.Generator,
    structure: Structure | None = None,
) -> list[NDArray[np.int64] | None]:
    """Draw the first topology of a network (Sokar et al. 2022, section 4, "Sparse topology initialization").

    Args:
        shapes: (n_out, n_in) of every layer.
        densities: density of every layer, from `rewirl.topology.densities`.
        rng: the random stream; one layer draws after the other.
        structure: how connections are arranged; None for unstructured.

    Returns:
        Per layer the indices of its connections, int64 [connections], sorted; None for a dense layer.

    Raises:
        ValueError: by chance a layer got no connection at all, which only happens to a layer of a few weights.
    """
    topology: list[NDArray[np.int64] | None] = []
    for number, (shape, density) in enumerate(zip(shapes, densities, strict=True), start=1):
        if density >= 1:
            topology.append(None)
            continue
        indices = random_indices(shape, density, rng) if structure is None else structure.draw(shape, density, rng)
        if not len(indices):
            raise ValueError(
                f"layer {number}, {shape[0]} x {shape[1]} at density {density:.4g}, got no connection at all; "
                "use a lower sparsity (a larger lambda), wider layers or another seed"
            )
        topology.append(indices)
    return topology
