"""What every agent does in the same way, whatever its networks and its algorithm."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from rewirl.agents.agent import Action
from rewirl.agents.architecture import Architecture
from rewirl.agents.config import AgentConfig
from rewirl.agents.cost import Cost
from rewirl.agents.networks import Networks
from rewirl.agents.normalisation import Normalisation
from rewirl.agents.policy import Policy
from rewirl.nn import Initialisation, Network, Pool
from rewirl.replay import Replay
from rewirl.saved import count

Config = TypeVar("Config", bound=AgentConfig)


class Learner(ABC, Generic[Config]):
    """An agent of named networks, with a policy, and a state that files keep.

    An algorithm says which networks there are and makes of them what it computes with (`_use`). `ReplayLearner` has
    what agents with a replay memory share; one without has `explore` and `learn` of its own.

    Args:
        name: what to call the agent.
        config: hyper-parameters.
        observation_size: features of an observation.
        action_size: features of an action, or how many actions there are to choose from.
        architectures: of the networks that learn, by name; some of `ONLINE` may be missing.
        initialisation: of the weights.
        seed: of every random stream of the agent.
        threads: how many may compute; the results are the same.

    Raises:
        ValueError: the configuration is impossible for these sizes.
    """

    ONLINE: ClassVar[tuple[str, ...]]
    """The networks that learn."""

    TARGETS: ClassVar[tuple[str, ...]] = ()
    """Which of them have a target."""

    STREAMS: ClassVar[Mapping[str, str]] = {}
    """The purpose of each random stream, by its name."""

    COST: ClassVar[Cost]
    """What training costs."""

    ACTIONS: ClassVar[tuple[str, ...]] = ("Box",)
    """The spaces of actions that it takes."""

    REPLAY: ClassVar[bool] = False
    """Whether it learns from a replay memory; see `Agent`."""

    MOST_ENVIRONMENTS: ClassVar[int | None] = None
    """How many environments it may learn in at once; see `Agent`."""

    SQUARED_ERRORS: ClassVar[bool] = False
    """Whether it tells `Networks.note_errors` how far its values are from their targets."""

    NORMALISATION: ClassVar[type[Normalisation]] = Normalisation
    """How observations and rewards are normalised."""

    def __init__(
        self,
        name: str,
        config: Config,
        observation_size: int,
        action_size: int,
        architectures: Mapping[str, Architecture],
        initialisation: Initialisation,
        seed: int,
        threads: int,
    ) -> None:
        if config.topology.initial_topology == "predictive" and not self.REPLAY:
            raise ValueError(f"initial_topology predictive needs a warm-up, and {name} learns from the first step on")
        if config.topology.freeze_after and not self.REPLAY:
            raise ValueError(f"freeze_after needs an agent with a replay memory, and {name} has none")
        if config.topology.adaptive and not self.SQUARED_ERRORS:
            raise ValueError(f"sparsity_schedule adaptive goes by squared errors of values, and {name} has none")
        topology = config.topology
        if "actor" not in self.ONLINE and (topology.actor_sparsity is not None or not topology.adapt_actor):
            raise ValueError(f"actor_sparsity and adapt_actor are of an actor, and {name} has none; leave them out")
        self.name, self.config = name, config
        self.observation_size, self.action_size = observation_size, action_size
        self.updates = 0
        self._pool = Pool(threads)
        normalisation = self.NORMALISATION(
            observation_size, config.normalise_observations, config.scale_rewards, config.gamma
        )
        # An agent whose settings leave out some networks, such as a second critic, has no architectures of them.
        online = {name: architectures[name] for name in self.ONLINE if name in architectures}
        targets = [name for name in self.TARGETS if name in online]
        self._take(Networks(online, targets, self.STREAMS, config, initialisation, seed, self._pool), normalisation)

    def _take(self, networks: Networks, normalisation: Normalisation) -> None:
        self._networks, self._streams, self.normalisation = networks, networks.streams, normalisation
        self._policy = self._use(networks)
        self._policy.statistics = normalisation.observations

    @abstractmethod
    def _use(self, networks: Networks) -> Policy:
        """Take networks to compute with, at the start and whenever a state is loaded; return the policy they make."""

    @abstractmethod
    def explore(self, observation: NDArray[np.float32], environment: int = 0) -> Action:
        """Return an action for training; see `Agent`."""

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
        """Learn from a step; see `Agent`. An agent with a replay memory does so by `update`."""
        raise TypeError(f"{self.name} learns from a replay memory: add the step there, and call update")

    def update(self, replay: Replay) -> None:
        """Do one update; see `Agent`. An agent without a replay memory does so in `learn`."""
        raise TypeError(f"{self.name} has no replay memory: hand it every step, by learn")

    def cut(self, environment: int = 0) -> None:
        """Note that the episode in an environment is given up; see `Agent`."""
        self.normalisation.cut(environment)

    @abstractmethod
    def diagnostics(self) -> dict[str, float]:
        """Return named scalars of the last update; see `Agent`."""

    def predict(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Return the policy's actions without noise for float32 [batch, observation]; see `Policy.predict`."""
        return self._policy.predict(observations)

    def predict_noisily(self, observations: NDArray[np.float32], rng: np.random.Generator) -> NDArray[Any]:
        """Return the policy's actions with exploration noise from another stream than training's; see `Agent`."""
        return self._policy.explore(observations, rng, getattr(self.config, "exploration_noise", 0.0))

    def networks(self) -> dict[str, Network]:
        """Return the networks by name, targets last."""
        return self._networks.all()

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs: networks, moments, targets, streams, counters, statistics."""
        arrays, values = self._networks.state()
        of_statistics, statistics = self.normalisation.state()
        if statistics:
            values["normalisation"] = statistics
        return {**arrays, **of_statistics}, {"updates": self.updates, **values}

    def load_state(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: an array or value is missing or does not fit this agent; the message names it. Nothing has
                changed then.
        """
        networks = self._networks.restored(arrays, values)
        normalisation = self.normalisation.restored(arrays, values.get("normalisation", {}))
        self.updates = count(values.get("updates"), "the saved number of updates")
        self._take(networks, normalisation)

    def freeze(self) -> int:
        """End a task; see `Agent`. An agent without a replay memory has none."""
        raise TypeError(f"{self.name} has no replay memory, and its connections cannot be frozen")

    @property
    def tasks(self) -> int:
        """How many tasks have ended; see `Agent`."""
        return self._networks.frozen.tasks

    def policy_of(self, task: int) -> Policy:
        """Return the policy of a task that has ended; see `Agent`."""
        policy = copy.copy(self._policy)
        name = next(name for name, network in self._networks.online.items() if network is policy.actor)
        policy.actor = self._networks.frozen.network_of(name, policy.actor, task)
        return policy

    def policy_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return what `Policy.from_state` needs."""
        return self._policy.state()

    def use_threads(self, threads: int) -> None:
        """Compute with so many of the threads it was made with from now on; the results do not depend on it.

        Raises:
            ValueError: there are not so many.
        """
        self._pool.use(threads)

    def close(self) -> None:
        """Join the worker threads; may be called again."""
        self._pool.close()
