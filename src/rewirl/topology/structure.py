"""Structure: where the connections of a layer may be; the options, and the structures by name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rewirl.exact import make_exact
from rewirl.topology.blocks import HEIGHTS, Blocks
from rewirl.topology.fan_in import FanIn

UNSTRUCTURED, CONSTANT_FAN_IN = "unstructured", "constant-fan-in"

Structure = FanIn | Blocks


@dataclass(frozen=True)
class StructureConfig:
    """How the connections of a layer are arranged over its units."""

    structure: str = UNSTRUCTURED
    """How connections are arranged: unstructured, constant-fan-in (all units of a layer have equally many inputs), N:M
    such as 2:4 (N of every M neighbouring inputs, which fixes the sparsity too), or blocks, 4x1 or 8x1 (4 or 8
    neighbouring outputs have the same inputs, which computes faster)."""

    ablate_below: float = 0.0
    """With constant fan-in: an event takes all inputs from a hidden unit that has fewer salient connections than this
    share of the fan-in, and gives them to the others (SRigL). A unit comes back when it has enough. Salient are the
    connections worth keeping or growing. 0 ablates none. Typical: 0 or 0.3."""

    def __post_init__(self) -> None:
        """Turn each value into its type exactly; check each option, and that ablation has the structure it needs."""
        make_exact(self, StructureConfig)
        structure_of(self.structure)
        if not 0 <= self.ablate_below <= 1:
            raise ValueError(f"ablate_below must be between 0 (no ablation) and 1, got {self.ablate_below}")
        if self.ablate_below and self.structure != CONSTANT_FAN_IN:
            raise ValueError(f"ablate_below needs structure {CONSTANT_FAN_IN}, not {self.structure}")

    @property
    def spread(self) -> Structure | None:
        """The structure; None for unstructured."""
        return structure_of(self.structure)

    def block_height(self, shape: tuple[int, int]) -> int:
        """Return how many neighbouring outputs of a layer share their inputs: the height of its blocks, 1 for none.

        Args:
            shape: (n_out, n_in).
        """
        return self.spread.height_in(shape) if isinstance(self.spread, Blocks) else 1

    def structure_in(self, shape: tuple[int, int]) -> str:
        """Return the name of the structure of a sparse layer; one too small for blocks is unstructured.

        Args:
            shape: (n_out, n_in).
        """
        too_small = isinstance(self.spread, Blocks) and self.block_height(shape) == 1
        return UNSTRUCTURED if too_small else self.structure


def structure_of(name: str) -> Structure | None:
    """Return the structure of this name.

    Args:
        name: unstructured, constant-fan-in, N:M such as 2:4 (N connections from every M inputs), or the size of a
            block, 4x1 or 8x1 (outputs x inputs).

    Returns:
        The structure; None for unstructured.

    Raises:
        ValueError: there is no such structure.
    """
    if name == UNSTRUCTURED:
        return None
    if name == CONSTANT_FAN_IN:
        return FanIn()
    blocks = {f"{height}x1": height for height in HEIGHTS}
    if name in blocks:
        return Blocks(blocks[name])
    match = re.fullmatch(r"(\d{1,6}):(\d{1,6})", name)
    if not match or not 1 <= int(match[1]) < int(match[2]):
        raise ValueError(
            f"structure must be {UNSTRUCTURED}, {CONSTANT_FAN_IN}, N:M with 1 <= N < M such as 2:4, or blocks of "
            f"{' or '.join(blocks)} (outputs x inputs), got {name!r}"
        )
    return FanIn(int(match[2]), int(match[1]))
