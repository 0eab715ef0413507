"""What the random weights at the start are scaled for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rewirl.topology.choices import require_choice

InitialScale = Literal["dense", "sparse", "largest"]


@dataclass(frozen=True)
class InitialConfig:
    """How the random weights of sparse layers are drawn at the start."""

    initial_scale: InitialScale = "dense"
    """What the random weights at the start are scaled for: dense (the inputs a unit would have in a dense layer, as in
    the papers' codes), sparse (the inputs it has, which keeps the size of activations, Evci et al. 2020), or largest
    (as if the largest magnitudes of a dense layer were kept, as in RLx2)."""

    def __post_init__(self) -> None:
        """Check the option."""
        require_choice("initial_scale", self.initial_scale, InitialScale)
