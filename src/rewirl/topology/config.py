"""What the user says about topology: which connections exist at the start, and how that changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TopologyConfig:
    """Which connections exist and how they are rewired (Sokar et al. 2022, section 4)."""

    sparsity: float | None = 0.5
    """Share of absent connections in a whole network, spread over its layers by `distribution`; 0 is dense.
    Ignored when `lambdas` is given. Typical: 0.5 to 0.95."""

    lambdas: tuple[float, ...] | None = None
    """The paper's lambda_l per layer: a connection of layer l exists with probability lambda_l (n_l + n_{l-1}) / (n_l n_{l-1}).
    One for each hidden layer; the output layer is then dense. Typical: 7 64."""

    distribution: Literal["erdos-renyi", "uniform"] = "erdos-renyi"
    """How `sparsity` is spread over the layers: erdos-renyi keeps small layers denser, uniform gives all the same."""

    rule: str = "set"
    """How connections are rewired: static (never), set (drop the weakest, grow at random), or package.module:Class."""

    drop: Literal["paper", "code", "magnitude"] = "paper"
    """Which connections SET drops: paper (half of them the smallest positive, half the largest negative weights),
    code (the fraction of the positive and of the negative weights, and every exact zero), magnitude (smallest absolute value)."""

    regrow_dropped: bool = False
    """Whether a connection dropped in an event may be grown again in the same event (the published code allows it)."""

    adapt_every: int = 1000
    """Updates between two rewiring events, e in the paper. Typical: 500 to 10000."""

    adapt_fraction: float = 0.05
    """Fraction of a layer's connections rewired in an event, eta in the paper. Typical: 0.05 to 0.3."""

    adapt_offset: int = 0
    """An event falls on update u when u % adapt_every == adapt_offset (the published code has 2)."""

    adapt_end: int | None = None
    """Last update on which an event may fall; none means until the end of training."""
