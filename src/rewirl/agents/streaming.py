"""What the agents of stream-x share (Elsayed, Vasan, Mahmood 2024): every step is learnt from once, as it comes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from rewirl import seeding
from rewirl.agents.architecture import Architecture
from rewirl.agents.config import UNIT_REPLACEMENT, AgentConfig
from rewirl.agents.learner import Learner
from rewirl.agents.normalisation import Normalisation, OnlineNormalisation
from rewirl.nn import Stream, begin_sparsely, layer_normalised, mean_weights, pack
from rewirl.saved import count, saved_array
from rewirl.topology import make_rule
from rewirl.topology.blocks import Blocks
from rewirl.topology.rules import drop, grow
from rewirl.topology.rules.by_criteria import ByCriteria


@dataclass(frozen=True)
class StreamConfig(AgentConfig):
    """Hyper-parameters that all agents of stream-x have."""

    WITHOUT: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("weight_decay", "bias_correction", *UNIT_REPLACEMENT),
        "it does not learn by Adam and from batches, which this option is about",
    )

    hidden_sizes: tuple[int, ...] = (128, 128)

    learning_rate: float = 1.0
    """Step size of ObGD before it is bounded, alpha. Typical: 0.3 to 1."""

    normalise_observations: bool = True
    """Whether the networks see each observation less the mean, divided by the standard deviation, of all observations
    met so far, itself included. Typical: true."""

    scale_rewards: bool = True
    """Whether rewards are divided by the standard deviation of the discounted return so far in an episode, over all
    steps so far. Typical: true."""

    trace_decay: float = 0.8
    """How much of an eligibility trace is left one step later, besides --gamma: lambda. Typical: 0.8."""

    kappa: float = 2.0
    """How far a step of the value function is kept from overshooting its target; larger makes smaller steps. Typical: 2
    to 3."""

    initial_zeros: float = 0.9
    """Share of the inputs of every unit whose weights begin at 0, rounded up; inputs without a connection are among
    them. Typical: 0.9."""

    truncated_is_terminal: bool = True
    """Whether an episode that is cut by a time limit has no future, as one that reaches a terminal state has none.
    Typical: true where the time is observed."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        self._require("trace_decay", 0 <= self.trace_decay <= 1, "between 0 and 1")
        self._require("kappa", 0 < self.kappa < inf, "finite and positive")
        self._require("initial_zeros", 0 <= self.initial_zeros < 1, "0 or more and below 1")
        topology = self.topology
        if isinstance(topology.spread, Blocks):
            raise ValueError(
                f"structure {topology.structure} has blocks, which pay in batches, and streams have one step at a "
                "time; leave structure out"
            )
        if topology.initial_scale == "largest":
            raise ValueError(
                "initial_scale largest is of dense weights, and those of stream-x are mostly 0; give dense or sparse"
            )


Config = TypeVar("Config", bound=StreamConfig)

_REMEMBERED = 256
"""Latest states that are kept for `diagnostics`."""


class Streaming(Learner[Config]):
    """An agent that learns from every step once, with eligibility traces, and keeps no step.

    An algorithm has an `explore` and an `_update`. Observations are normalised when they are met, and rewards scaled,
    if the settings say so.

    Args:
        name: what to call the agent.
        config: hyper-parameters.
        observation_size: features of an observation.
        action_size: features of an action, or how many actions there are to choose from.
        outputs: of each network, by its name.
        seed: of every random stream of the agent.
        threads: a step is computed by one thread, so more change nothing.

    Raises:
        ValueError: the topology is impossible for these sizes, or nothing for networks that see one sample at a time.
    """

    MOST_ENVIRONMENTS: ClassVar[int | None] = 1
    NORMALISATION: ClassVar[type[Normalisation]] = OnlineNormalisation

    def __init__(
        self,
        name: str,
        config: Config,
        observation_size: int,
        action_size: int,
        outputs: Mapping[str, int],
        seed: int,
        threads: int,
    ) -> None:
        _refuse_gradients(name, config)
        self._decay = config.gamma * config.trace_decay
        self._told: dict[str, float] = {}
        self._state: NDArray[np.float32] | None = None  # what the next action is for, as networks see it
        self._latest = np.zeros((_REMEMBERED, observation_size), np.float32)  # of which as many as were seen
        self._seen = 0
        architectures = {
            network: self.architecture(network, config, observation_size, n_out) for network, n_out in outputs.items()
        }
        super().__init__(name, config, observation_size, action_size, architectures, "fan-in", seed, threads)
        for network, online in self._networks.online.items():
            rng = seeding.generator(seed, f"{network} sparse weights")
            begin_sparsely(online, config.initial_zeros, rng, config.topology.initial_scale == "sparse")

    @classmethod
    def architecture(cls, network: str, config: Config, n_in: int, n_out: int) -> Architecture:
        """Return what a network is made of: layer norm before each activation, unless a subclass says otherwise.

        Args:
            network: its name.
            config: hyper-parameters.
            n_in: number of inputs.
            n_out: number of outputs.
        """
        return Architecture(n_in, layer_normalised(config.hidden_sizes, n_out))

    def _streams_of(self) -> dict[str, Stream]:
        """Return what the networks learn by, by their names."""
        return {name: Stream(network) for name, network in self._networks.online.items()}

    def _met(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the state that the next action is for: an observation as networks see it, counted if it is new."""
        if self._state is None:
            assert isinstance(self.normalisation, OnlineNormalisation)
            self._state = self.normalisation.met(observation)
        return self._state

    @abstractmethod
    def _update(
        self,
        state: NDArray[np.float32],
        action: Any,
        reward: float,
        after: NDArray[np.float32],
        discount: float,
        over: bool,
    ) -> float:
        """Learn from a step.

        Args:
            state: s, as networks see it, float32 [observation].
            action: a, as `learn` got it.
            reward: r, scaled.
            after: s', as networks see it.
            discount: gamma, or 0 where s' has no future.
            over: whether the episode ends with s'.

        Returns:
            delta, the error of the value function.
        """

    def learn(
        self,
        observation: NDArray[np.float32],
        action: NDArray[np.float32],
        reward: float,
        next_observation: NDArray[np.float32],
        terminated: bool,
        truncated: bool,
        environment: int = 0,
    ) -> None:
        """Learn from a step; see `Agent`.

        Raises:
            FloatingPointError: the error of the value function is not finite.
        """
        c = self.config
        self.updates += 1
        state = self._met(observation)
        self._latest[self._seen % _REMEMBERED] = state
        self._seen += 1
        self._state = None
        after = self._met(next_observation)
        final = terminated or (truncated and c.truncated_is_terminal)
        over = terminated or truncated
        factor = self.normalisation.reward_factor
        try:
            delta = self._update(state, action, reward * factor, after, 0.0 if final else c.gamma, over)
        except FloatingPointError:
            if over:  # a program may learn on: state and traces end with the episode all the same
                self.cut(environment)
            raise
        for name in self.ONLINE:
            self._networks.rewire(name, self.updates)
        if over:
            self._state = None
        self._told["td_error"], self._told["reward_factor"] = delta, factor

    def cut(self, environment: int = 0) -> None:
        """Note that the episode is given up: traces are 0, and the next observation is the first of an episode."""
        super().cut(environment)
        self._state = None
        for network in self._networks.online.values():
            for trace in network.first_moments().values():
                trace[:] = 0

    def diagnostics(self) -> dict[str, float]:
        """Return named scalars of the last step; empty before the first.

        td_error and reward_factor, what a reward was multiplied by; of each network NAME_step, the size of its step;
        those of `Networks.diagnostics` on the latest 256 states.
        """
        if not self._told:
            return {}
        states = self._latest[: self._seen]
        return {**self._told, **self._networks.diagnostics({self.ONLINE: pack(states)}, mean_weights(len(states)))}

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs: networks, traces, streams, counters, statistics, the state."""
        arrays, values = super().state()
        if self._state is not None:
            arrays["state"] = self._state.copy()
        arrays["latest"] = self._latest[: self._seen].copy()
        return arrays, {**values, "seen": self._seen}

    def load_state(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: an array or value is missing or does not fit this agent; the message names it. Nothing has
                changed then.
        """
        seen = count(values.get("seen", 0), "the saved number of states seen")  # earlier ones had none
        state = saved_vectors(arrays, "state", (self.observation_size,))
        latest = saved_vectors(arrays, "latest", (min(seen, _REMEMBERED), self.observation_size))
        if seen and latest is None:
            raise ValueError("the array latest is missing")
        super().load_state(arrays, values)
        self._state, self._seen = state, seen
        if latest is not None:
            self._latest[: len(latest)] = latest
        self._told = {}


def saved_vectors(arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """Return a copy of a saved array of numbers, None if there is none; ValueError if it is impossible."""
    return saved_array(arrays, name, np.float32, shape).copy() if name in arrays else None


def finite(delta: float) -> float:
    """Return the error of a value function.

    Raises:
        FloatingPointError: it is not finite.
    """
    if not isfinite(delta):
        raise FloatingPointError(f"the error of the value function is {delta}")
    return delta


def _refuse_gradients(name: str, config: StreamConfig) -> None:
    """Refuse a rule that asks for the gradient of a batch."""
    topology = config.topology
    rule = make_rule(topology.rule, topology)
    if not rule.uses_gradient:
        return
    given: dict[str, str] = {}
    if isinstance(rule, ByCriteria):  # one that decides by itself need not look at these options
        given |= {"drop": "magnitude"} if topology.drop in drop.USING_GRADIENT else {}
        given |= {"grow": "random"} if topology.grow in grow.USING_GRADIENT else {}
    asking = [f"{each} {getattr(topology, each)}" for each in given] or [f"the rule {topology.rule}"]
    remedy = ", ".join(["give rule set, prune or static", *(f"{each} {other}" for each, other in given.items())])
    raise ValueError(
        f"{' and '.join(asking)} {'asks' if len(asking) == 1 else 'ask'} for the gradient of a batch, and {name} "
        f"learns from one step at a time; {remedy}"
    )
