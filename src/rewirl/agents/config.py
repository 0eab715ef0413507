"""The hyper-parameters that all agents have, and those of agents with a replay memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import cos, inf, pi
from typing import Any, ClassVar, Literal

from rewirl.exact import make_exact
from rewirl.nn import HiddenLayers
from rewirl.topology import TopologyConfig

UNIT_REPLACEMENT = (
    *("redo_every", "redo_threshold"),
    *("cbp_replacement_rate", "cbp_maturity_threshold", "cbp_decay_rate", "cbp_utility"),
)
"""Fields about ReDo and continual backprop, for agents on other networks than multilayer perceptrons to leave out."""


@dataclass(frozen=True)
class AgentConfig:
    """Networks, topology and optimiser; each agent has defaults of its own.

    Raises:
        ValueError: a field is out of its range; the message names it.
    """

    WITHOUT: ClassVar[Mapping[str, str]] = {}
    """Fields, of the topology too, that agents of this kind have no use for, and why: no options of theirs, and refused
    where given."""

    hidden_sizes: tuple[int, ...] = (256, 256)
    """Units of the hidden layers of every network. Typical: 128 128 to 256 256."""

    topology: TopologyConfig = field(default_factory=TopologyConfig)
    """Which connections exist and how they are rewired."""

    learning_rate: float = 1e-3
    """Step size of Adam. Larger learns faster until it diverges. Typical: 3e-4 to 1e-3."""

    learning_rate_schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How the step size of every network changes with the updates: constant, or from --learning-rate to
    --learning-rate-end over --learning-rate-updates in a straight line or in half a cosine, and constant afterwards."""

    learning_rate_end: float = 0.0
    """Step size at the end of the schedule. Typical: 0 to a tenth of --learning-rate."""

    learning_rate_updates: int | None = None
    """Updates that the schedule takes; none only goes with a constant one. It never depends on the steps of the run.
    Typical: all updates of the run."""

    weight_decay: float = 0.0
    """L2 penalty added to Adam's gradients, biases included; 0 is none. Typical: 0 to 1e-3."""

    bias_correction: Literal["network", "connection"] = "network"
    """What Adam's bias correction counts: the steps of the network, which gives grown connections long first steps, or
    those of each connection since it was grown or begun anew."""

    gamma: float = 0.99
    """Discount of future rewards per step. Typical: 0.98 to 0.995."""

    redo_every: int = 0
    """Updates between two looks for dormant units, which are then begun anew (ReDo); 0 never does. Typical: 0, or 1000
    to 100000."""

    redo_threshold: float = 0.1
    """Units are dormant whose mean magnitude is at most this share of their layer's. Typical: 0 to 0.1."""

    cbp_replacement_rate: float = 0.0
    """Share of a hidden layer's mature units that continual backprop replaces per update, those of least utility; 0
    never does. Typical: 0, or 1e-5 to 1e-4."""

    cbp_maturity_threshold: int = 10_000
    """Updates of its network after which a unit is mature: a new one is safe until then. Typical: 1000 to 10000."""

    cbp_decay_rate: float = 0.99
    """Share of the running averages of utility and activation that is left one update later. Typical: 0.99."""

    cbp_utility: Literal["adaptable-contribution", "contribution"] = "adaptable-contribution"
    """What a unit is worth: contribution is its mean activation times its outgoing weights; adaptable-contribution
    takes the deviation from the mean instead, and divides by the incoming weights, since units that these hold fast
    adapt slowly. Typical: adaptable-contribution."""

    normalise_observations: bool = False
    """Whether the networks see each observation less the mean, divided by the standard deviation, of all observations
    acted on so far (RSNorm of SimBa). A replay memory keeps them as they are. Typical: for features of very different
    scales."""

    scale_rewards: bool = False
    """Whether rewards are divided by the standard deviation of the discounted return so far in an episode, over all
    steps so far. A replay memory keeps them as they are. Typical: for returns far from 1 to 1000."""

    def __post_init__(self) -> None:
        """Turn each value into its type exactly, and refuse what cannot work."""
        make_exact(self)
        for each in fields(self):
            if each.name in self.WITHOUT and getattr(self, each.name) != each.default:
                why = self.WITHOUT[each.name]
                raise ValueError(f"{type(self).__name__} has no use for {each.name}: {why}; leave it out")
        self._require("hidden_sizes", min(self.hidden_sizes, default=0) >= 1, "at least one size, each at least 1")
        self._require("learning_rate", 0 < self.learning_rate < inf, "finite and positive")
        end, horizon = self.learning_rate_end, self.learning_rate_updates
        self._require("learning_rate_end", 0 <= end < inf, "finite, 0 or more")
        self._require("learning_rate_updates", horizon is None or horizon >= 1, "at least 1, or none")
        if self.learning_rate_schedule == "constant" and (end, horizon) != (0.0, None):
            raise ValueError(
                "learning_rate_end and learning_rate_updates belong to a learning_rate_schedule that is linear or "
                "cosine; it is constant"
            )
        if self.learning_rate_schedule != "constant" and horizon is None:
            raise ValueError(
                f"learning_rate_schedule {self.learning_rate_schedule} needs learning_rate_updates, the updates that "
                "it takes"
            )
        self._require("weight_decay", 0 <= self.weight_decay < inf, "finite, 0 or more")
        self._require("gamma", 0 <= self.gamma <= 1, "between 0 and 1")
        self._require("redo_every", self.redo_every >= 0, "0 or more")
        self._require("redo_threshold", 0 <= self.redo_threshold < inf, "finite, 0 or more")
        self._require("cbp_replacement_rate", 0 <= self.cbp_replacement_rate <= 1, "between 0 and 1")
        self._require("cbp_maturity_threshold", self.cbp_maturity_threshold >= 0, "0 or more")
        self._require("cbp_decay_rate", 0 <= self.cbp_decay_rate < 1, "0 or more and below 1")
        if self.redo_every and self.cbp_replacement_rate:
            raise ValueError(
                "redo_every and cbp_replacement_rate both replace units, and neither would know of the other; give one"
            )

    @property
    def learning_starts(self) -> int:
        """Steps before the first update with the actions of a warm-up: none without a replay memory to fill."""
        return 0

    def learning_rate_at(self, update: int) -> float:
        """Return the step size of an update.

        With x = min((update - 1) / learning_rate_updates, 1), a linear schedule has
        start + x (end - start), and half a cosine has end + (start - end) (1 + cos(pi x)) / 2.

        Args:
            update: its number, from 1.
        """
        start, end, horizon = self.learning_rate, self.learning_rate_end, self.learning_rate_updates
        if horizon is None:
            return start
        x = min((update - 1) / horizon, 1.0)
        if self.learning_rate_schedule == "linear":
            return start + x * (end - start)
        return end + (start - end) * (1 + cos(pi * x)) / 2

    def updates_after(self, steps: int) -> int:
        """Return how many updates there are in so many steps: one each, unless a subclass says otherwise."""
        return steps

    def _require(self, name: str, fine: bool, rule: str) -> None:
        if not fine:
            raise ValueError(f"{name} must be {rule}, got {getattr(self, name)}")


def setting(config: Any, name: str, default: Any = None) -> Any:
    """Return a setting that Rewirl's own agents have.

    Args:
        config: of any agent.
        name: of the setting.
        default: what it is where the agent has none. One of the user's own may be called so, and mean something else.
    """
    rewirls = (kind for kind in type(config).__mro__ if kind.__module__.startswith("rewirl."))
    there = any(name in vars(kind).get("__annotations__", {}) for kind in rewirls)
    return getattr(config, name) if there else default


@dataclass(frozen=True)
class ReplayConfig(AgentConfig):
    """What an agent that learns from a replay memory has besides.

    Raises:
        ValueError: a field is out of its range; the message names it.
    """

    batch_size: int = 256
    """Transitions per update. Typical: 100 to 256."""

    n_steps: int = 1
    """Rewards that a target sums before it bootstraps; the window ends where its episode does. More learn faster from
    sparse networks, and are off-policy. Typical: 1 to 3."""

    n_steps_after: int = 0
    """Updates until then have targets of one step. Typical: 0 to 300000."""

    tau: float = 0.005
    """Share of the online networks that the targets take over per target update; 1 copies them. Typical: 0.001 to
    0.01."""

    updates_per_step: int = 1
    """Updates per step of the environment, once --learning-starts steps are done. Typical: 1 to 2."""

    learning_starts: int = 10_000
    """Steps with uniformly random actions before the first update. Typical: 1000 to 25000."""

    buffer_size: int = 1_000_000
    """Transitions the replay memory holds. Typical: 100000 to 1000000."""

    buffer_distance: float | None = None
    """Forget the oldest transitions while the actions in them are further than this from the policy's, half the mean
    squared difference in units of [-1, 1]; none forgets only when the memory is full. Typical: 0.2."""

    buffer_empty_every: int = 0
    """Updates after which all transitions but the newest --buffer-minimum are forgotten, again and again, so that what
    an earlier policy saw does not stay (PlaD); 0 never does. Typical: 0 or 200000."""

    buffer_minimum: int = 100_000
    """Transitions that --buffer-distance and --buffer-empty-every leave in any case. Typical: a tenth of the memory."""

    resample_noise_from: int | None = None
    """Observation features from this one on (counted from 0, so the number of real ones) are noise that is drawn anew
    from N(0, 1) whenever a transition is sampled from the memory, so that none can be learnt by heart; none takes
    transitions as they were. For environments such as rewirl/Noisy-v0. Typical: 17 for HalfCheetah."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        self._require("batch_size", 1 <= self.batch_size < 2**31, "at least 1 and below 2^31")
        self._require("n_steps", 1 <= self.n_steps <= 10_000, "at least 1 and at most 10,000")
        self._require("n_steps_after", self.n_steps_after >= 0, "0 or more")
        self._require("tau", 0 < self.tau <= 1, "above 0 and at most 1")
        self._require("updates_per_step", 1 <= self.updates_per_step <= 1_000, "at least 1 and at most 1,000")
        self._require("learning_starts", self.learning_starts >= 1, "at least 1 (the first update needs a transition)")
        self._require("buffer_size", self.buffer_size >= 1, "at least 1")
        distance = self.buffer_distance
        self._require("buffer_distance", distance is None or 0 <= distance < inf, "finite and 0 or more, or none")
        self._require("buffer_empty_every", self.buffer_empty_every >= 0, "0 or more")
        self._require("buffer_minimum", self.buffer_minimum >= 1, "at least 1")
        noise = self.resample_noise_from
        self._require("resample_noise_from", noise is None or noise >= 0, "0 or more, or none")

    def updates_at(self, step: int) -> int:
        """Return how many updates follow a step, counted from 0 at `learning_starts`."""
        return self.updates_per_step

    def updates_after(self, steps: int) -> int:
        """Return how many updates there are in so many steps from `learning_starts` on."""
        return steps * self.updates_per_step


@dataclass(frozen=True)
class LayersConfig(ReplayConfig):
    """What such an agent has besides whose hidden layers may be chosen.

    Raises:
        ValueError: a field is out of its range; the message names it.
    """

    hidden_layers: HiddenLayers = "relu"
    """What a hidden layer makes of its inputs h: relu or tanh of W h; layernorm-relu, with a layer norm between; or the
    product of two such, number by number, f(W1 h) * f(W2 h), with twice the connections (hadamard-relu, hadamard-tanh;
    Kooi et al. 2024). Typical: relu."""
