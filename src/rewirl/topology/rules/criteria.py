"""Which rule rewires, and which criteria it drops and grows by: the options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rewirl.exact import make_exact

Drop = Literal["paper", "halves", "code", "magnitude", "relative", "l2", "sensitivity", "random"]
Grow = Literal["paper", "random", "gradient"]

BY_SIGN = ("halves", "code")
"""Criteria that rank positive and negative weights apart; a block has no sign."""


@dataclass(frozen=True)
class CriteriaConfig:
    """How connections are rewired."""

    rule: str = "set"
    """How connections are rewired: static (never), set (drop the weakest, grow at random), rigl (drop the weakest, grow
    where the gradient is largest), prune (only follow a changing sparsity: drop the smallest weights),
    wast (drop weak connections of unimportant inputs, grow at important ones), or package.module:Class, which is looked
    for in the working directory too; settings of its own follow as in Python, 'my_rules:Class(decay=0.9)'."""

    drop: Drop = "paper"
    """Which connections set, rigl and prune drop: paper (halves for set, magnitude for rigl and prune), halves
    (half of them the smallest positive, half the largest negative weights), code (the fraction of the positive and of
    the negative weights, and every exact zero), magnitude (smallest absolute value), relative (smallest compared with
    the root mean square of its unit's weights, of which the strongest stays unless fewer are to be left than there
    are units; for layers whose output does not depend on the scale of a unit, as before a batch norm), l2 (smallest
    square), sensitivity (smallest |weight * gradient|), random. In blocks the mean over the connections of a block
    decides: magnitude is its L1 norm, l2 its L2 norm; a block has no sign, so paper is magnitude for set too."""

    grow: Grow = "paper"
    """Where set, rigl and prune grow connections: paper (random for set and prune, gradient for rigl), random, gradient
    (where that of the loss is largest; in blocks, where the sum of its absolute values is)."""

    regrow_dropped: bool = False
    """Whether a connection dropped in an event may be grown again in the same event (the published code allows it)."""

    def __post_init__(self) -> None:
        """Turn each value into its type exactly; the rule itself is looked up when an agent is made."""
        make_exact(self, CriteriaConfig)
