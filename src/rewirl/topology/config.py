"""What the user says about topology: which connections exist at the start, and how that changes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import inf
from typing import Literal, get_args

from rewirl.topology.structure import CONSTANT_FAN_IN, Structure

Distribution = Literal["erdos-renyi", "uniform", "global", "connectivity"]
Drop = Literal["paper", "halves", "code", "magnitude", "sensitivity", "random"]
Grow = Literal["paper", "random", "gradient"]
Anneal = Literal["constant", "cosine"]
InitialScale = Literal["dense", "sparse", "largest"]


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

    layer_sparsities: tuple[float, ...] | None = None
    """Sparsity of each layer of every network, inputs first, in place of `sparsity` or `lambdas`; 0 is a dense layer.
    Typical: 0.8 0 0, which is sparse where the inputs come in, and none."""

    actor_sparsity: float | None = None
    """Sparsity of the actor alone, in place of `sparsity` or `lambdas`; none is as those say. Typical: 0.5 to 0.97."""

    critic_sparsity: float | None = None
    """Sparsity of the critics alone, in place of `sparsity` or `lambdas`; none is as those say. Typical: 0.5 to
    0.95."""

    initial_sparsity: float | None = None
    """Sparsity that all networks start with, if it is to change: from there to the one above, by events between updates
    --sparsity-start and --sparsity-end. 0 starts dense and prunes. None does not change. Typical: 0."""

    sparsity_start: int = 0
    """Update at which the sparsity begins to change, if there is an initial one. Typical: 20% of all updates."""

    sparsity_end: int = 800_000
    """Update from which on it is the final one. It changes as a cubic, fast at first. Typical: 80% of all updates."""

    distribution: Distribution = "erdos-renyi"
    """How `sparsity` is spread over the layers: erdos-renyi keeps small layers denser, uniform gives all the same,
    global lets the scores to drop by decide over all layers of a network together, which starts dense (SNIP),
    connectivity starts as erdos-renyi and spreads what is added to a growing sparsity by how many connections layers
    lack to be connected (topology-aware revival)."""

    structure: str = "unstructured"
    """How connections have to be spread: unstructured, constant-fan-in (every unit of a layer has as many inputs), or
    N:M such as 2:4 (N of every M neighbouring inputs, which says the sparsity too)."""

    ablate_below: float = 0.0
    """With constant fan-in: a unit of a hidden layer loses its inputs to the others when an event finds fewer of its
    places worth keeping or growing than this share of the fan-in (SRigL); it comes back when there are more. 0 ablates
    none. Typical: 0 or 0.3."""

    initial_scale: InitialScale = "dense"
    """What the random weights at the start are scaled for: dense (the inputs a unit would have in a dense layer, as the
    papers' codes do), sparse (those it has, Evci et al. 2020, which keeps the size of activations), or largest (as if
    of dense weights those of the largest magnitude were kept, as in RLx2)."""

    rule: str = "set"
    """How connections are rewired: static (never), set (drop the weakest, grow at random), rigl (drop the weakest, grow
    where the gradient is largest), prune (only follow a changing sparsity: drop the smallest weights), or
    package.module:Class, which is looked for in the working directory too."""

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
        for name in ("sparsity", "actor_sparsity", "critic_sparsity", "initial_sparsity"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"{name} must be at least 0 (dense) and below 1, got {value}")
        if not all(0 <= value < 1 for value in self.layer_sparsities or ()):
            raise ValueError(
                f"every one of layer_sparsities must be at least 0 (dense) and below 1, got {self.layer_sparsities}"
            )
        if self.layer_sparsities is not None and (self.actor_sparsity, self.critic_sparsity) != (None, None):
            raise ValueError("layer_sparsities say how dense actor and critics are; leave their own sparsities out")
        if self.lambdas is not None and not all(0 < value < inf for value in self.lambdas):
            raise ValueError(f"every one of lambdas must be positive and finite, got {self.lambdas}")
        _one_of("distribution", self.distribution, get_args(Distribution))
        _one_of("initial_scale", self.initial_scale, get_args(InitialScale))
        _one_of("drop", self.drop, get_args(Drop))
        _one_of("grow", self.grow, get_args(Grow))
        _one_of("anneal", self.anneal, get_args(Anneal))
        if Structure.named(self.structure) and self.initial_sparsity is not None:
            raise ValueError("a sparsity that changes has no structure; leave initial_sparsity or structure out")
        if self.distribution == "global":
            self._require_comparable_scores()
        if self.distribution == "connectivity":
            self._require_growth()
        if not 0 <= self.ablate_below <= 1:
            raise ValueError(f"ablate_below must be between 0 (no ablation) and 1, got {self.ablate_below}")
        if self.ablate_below and (self.structure != CONSTANT_FAN_IN or self.rule == "static"):
            raise ValueError("ablate_below needs structure constant-fan-in and a rule that rewires")
        if not 0 <= self.sparsity_start < self.sparsity_end:
            raise ValueError(
                "the sparsity changes from update sparsity_start, 0 or later, to a later sparsity_end, got "
                f"{self.sparsity_start} and {self.sparsity_end}"
            )
        if self.initial_sparsity is not None and self.rule == "static":
            raise ValueError("initial_sparsity needs a rule by which it changes: prune, set, rigl or one of your own")
        if self.rule == "prune" and self.initial_sparsity is None:
            raise ValueError("the rule prune needs an initial_sparsity to start from; 0 is dense")
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

    def _require_comparable_scores(self) -> None:
        """Refuse settings by which the connections of different layers could not be ranked together."""
        if self.initial_sparsity != 0:
            raise ValueError("distribution global ranks the connections of a dense network; give initial_sparsity 0")
        if self.lambdas is not None or self.layer_sparsities is not None:
            raise ValueError("distribution global spreads a sparsity; leave lambdas and layer_sparsities out")
        if self.drop in ("halves", "code") or (self.drop == "paper" and self.rule == "set"):
            raise ValueError(
                "distribution global compares the scores of different layers, which are ranks within a layer for drop "
                "halves and code; give drop magnitude, sensitivity or random"
            )

    def _require_growth(self) -> None:
        """Refuse settings in which no connections are added that could be spread by need."""
        if self.lambdas is not None or self.layer_sparsities is not None:
            raise ValueError("distribution connectivity spreads a sparsity; leave lambdas and layer_sparsities out")
        given = (self.sparsity, self.actor_sparsity, self.critic_sparsity)
        final = max(value for value in given if value is not None)
        if self.initial_sparsity is None or self.initial_sparsity <= final:
            raise ValueError(
                f"distribution connectivity spreads what is added; give an initial_sparsity of more than {final}"
            )

    @property
    def at_start(self) -> TopologyConfig:
        """What the networks start with."""
        if self.initial_sparsity is None:
            return self
        return replace(
            self,
            sparsity=self.initial_sparsity,
            distribution="erdos-renyi" if self.distribution == "connectivity" else self.distribution,
            lambdas=None,
            layer_sparsities=None,
            actor_sparsity=None,
            critic_sparsity=None,
        )

    def summary(self) -> str:
        """Return how many connections there are and how they are rewired, in a few words."""
        if self.layer_sparsities is not None:
            how = "layers " + " ".join(f"{value:g}" for value in self.layer_sparsities)
        elif self.lambdas is not None:
            how = "lambdas " + " ".join(f"{value:g}" for value in self.lambdas)
        elif self.sparsity == 0 and self.initial_sparsity is None:
            return "dense"
        else:
            how = f"sparsity {self.sparsity:g}"
        if self.distribution in ("global", "connectivity"):
            how += f", {self.distribution}"
        if self.structure != "unstructured":
            how = self.structure if ":" in self.structure else f"{how}, {self.structure}"
        own = (("actor", self.actor_sparsity), ("critics", self.critic_sparsity), ("at first", self.initial_sparsity))
        return ", ".join([how, *(f"{name} {value:g}" for name, value in own if value is not None), self.rule])

    @property
    def spread(self) -> Structure | None:
        """The structure; None for none."""
        return Structure.named(self.structure)

    def of(self, network: str) -> TopologyConfig:
        """Return the configuration of one network, with its own sparsity in place of `sparsity` or `lambdas`.

        Args:
            network: such as actor or critic1.
        """
        own = self.actor_sparsity if network == "actor" else self.critic_sparsity
        return self if own is None else replace(self, sparsity=own, lambdas=None)


def making_room(base: TopologyConfig, asked: Collection[str]) -> TopologyConfig:
    """Return a configuration in which what was asked for can be put, without what it had in its stead.

    Args:
        base: the defaults.
        asked: names of fields that are to be given a value other than none.

    Raises:
        ValueError: two of them say how many connections there are, or one spreads what is not asked for.
    """
    ways = [name for name in ("sparsity", "lambdas", "layer_sparsities") if name in asked]
    if len(ways) > 1:
        raise ValueError(f"{' and '.join(ways)} both say how many connections there are; give one of them")
    if "distribution" in asked and not ways and (base.lambdas, base.layer_sparsities) != (None, None):
        raise ValueError(
            "distribution spreads a sparsity over the layers, but lambdas or layer_sparsities are the default here; "
            "give sparsity too"
        )
    return replace(base, lambdas=None, layer_sparsities=None) if "sparsity" in ways else base


def _one_of(field: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{field} must be one of {', '.join(choices)}; got {value!r}")
