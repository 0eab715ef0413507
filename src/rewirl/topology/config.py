"""What the user says about topology: which connections exist at the start, and how that changes."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal, get_args

Distribution = Literal["erdos-renyi", "uniform"]
Drop = Literal["paper", "halves", "code", "magnitude", "sensitivity", "random"]
Grow = Literal["paper", "random", "gradient"]
Anneal = Literal["constant", "cosine"]


@dataclass(frozen=True)
class TopologyConfig:
    """Which connections exist and how they are rewired (Sokar et al. 2022, section 4).

    Raises:
        ValueError: a field is out of its range; the message names the field. What depends on the sizes of a network,
            such as the number of lambdas, is checked by `rewirl.topology.densities`.
    """

    sparsity: float | None = 0.5
    """Share of absent connections in a whole network, spread over its layers by `distribution`; 0 is dense.
    Given instead of `lambdas`. Typical: 0.5 to 0.95."""

    lambdas: tuple[float, ...] | None = None
    """The paper's lambda_l per layer: a connection of layer l exists with probability
    lambda_l (n_l + n_{l-1}) / (n_l n_{l-1}). One for each hidden layer, and the output layer is dense; or one for every
    layer. Typical: 7 64."""

    distribution: Distribution = "erdos-renyi"
    """How `sparsity` is spread over the layers: erdos-renyi keeps small layers denser, uniform gives all the same."""

    rule: str = "set"
    """How connections are rewired: static (never), set (drop the weakest, grow at random), rigl (drop the weakest, grow
    where the gradient is largest), or package.module:Class."""

    drop: Drop = "paper"
    """Which connections set and rigl drop: paper (as the rule's paper: halves for set, magnitude for rigl), halves
    (half of them the smallest positive, half the largest negative weights), code (the fraction of the positive and of
    the negative weights, and every exact zero), magnitude (smallest absolute value), sensitivity (smallest
    |weight * gradient|), random."""

    grow: Grow = "paper"
    """Where set and rigl grow connections: paper (as the rule's paper: random for set, gradient for rigl), random,
    gradient (where that of the loss is largest)."""

    regrow_dropped: bool = False
    """Whether a connection dropped in an event may be grown again in the same event (the published code allows it)."""

    adapt_every: int = 1000
    """Updates between two rewiring events, e in the paper. Typical: 500 to 10000."""

    adapt_fraction: float = 0.05
    """Fraction of a layer's connections rewired in an event, eta in the paper. Typical: 0.05 to 0.3."""

    anneal: Anneal = "constant"
    """How that fraction changes: constant, or cosine from --adapt-fraction at the start to 0 at --adapt-end."""

    adapt_offset: int = 0
    """An event falls on update u when u % adapt_every == adapt_offset (the published code has 2)."""

    adapt_end: int | None = None
    """Last update on which an event may fall; none means until the end of training."""

    def __post_init__(self) -> None:
        """Refuse what no network could have."""
        if self.sparsity is not None and not 0 <= self.sparsity < 1:
            raise ValueError(f"sparsity must be at least 0 (dense) and below 1, got {self.sparsity}")
        if self.lambdas is not None and not all(0 < value < inf for value in self.lambdas):
            raise ValueError(f"every one of lambdas must be positive and finite, got {self.lambdas}")
        _one_of("distribution", self.distribution, get_args(Distribution))
        _one_of("drop", self.drop, get_args(Drop))
        _one_of("grow", self.grow, get_args(Grow))
        _one_of("anneal", self.anneal, get_args(Anneal))
        if self.anneal == "cosine" and not self.adapt_end:
            raise ValueError("anneal cosine needs adapt_end, the update at which nothing is rewired any more")
        if self.adapt_every < 1:
            raise ValueError(
                f"adapt_every must be at least 1 update, got {self.adapt_every}; the rule static never adapts"
            )
        if not 0 <= self.adapt_fraction <= 1:
            raise ValueError(f"adapt_fraction must be between 0 and 1, got {self.adapt_fraction}")
        if not 0 <= self.adapt_offset < self.adapt_every:
            raise ValueError(
                f"adapt_offset must be at least 0 and below adapt_every ({self.adapt_every}), got {self.adapt_offset}"
            )
        if self.adapt_end is not None and self.adapt_end < 0:
            raise ValueError(f"adapt_end must be an update, 0 or later, or none, got {self.adapt_end}")


def _one_of(field: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{field} must be one of {', '.join(choices)}; got {value!r}")
