"""What every agent that learns from a replay memory does in the same way."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from rewirl.agents.agent import Action
from rewirl.agents.architecture import Architecture
from rewirl.agents.config import ReplayConfig
from rewirl.agents.learner import Learner
from rewirl.nn import Initialisation
from rewirl.replay import Batch, Forgetting, Replay

Config = TypeVar("Config", bound=ReplayConfig)


class ReplayLearner(Learner[Config]):
    """An agent with a batch, which is sampled from a replay memory.

    An algorithm has an `_explore` and an `update`. What both get of observations and rewards is normalised, if the
    settings say so.

    Args:
        name: what to call the agent.
        config: hyper-parameters.
        observation_size: features of an observation.
        action_size: features of an action, or how many actions there are to choose from.
        architectures: of the networks that learn, by name.
        initialisation: of the weights.
        seed: of every random stream of the agent.
        threads: how many may compute; the results are the same.

    Raises:
        ValueError: the configuration is impossible for these sizes.
    """

    REPLAY: ClassVar[bool] = True

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
        if config.buffer_distance is not None and self.ACTIONS != ("Box",):
            raise ValueError(f"buffer_distance compares actions that are real numbers; those of {name} are choices")
        super().__init__(name, config, observation_size, action_size, architectures, initialisation, seed, threads)
        self._batch = Batch(config.batch_size, observation_size, action_size, self._pool)
        self._forgetting = Forgetting(config.buffer_distance, config.buffer_empty_every, config.buffer_minimum)

    @abstractmethod
    def _explore(self, observation: NDArray[np.float32]) -> Action:
        """Return an action for training, for an observation as networks see it; see `Agent.explore`."""

    @abstractmethod
    def update(self, replay: Replay) -> None:
        """Do one update; see `Agent`."""

    def explore(self, observation: NDArray[np.float32], environment: int = 0) -> Action:
        """Return an action for training; see `Agent`."""
        return self._explore(self._policy.seen(observation))

    def freeze(self) -> int:
        """End a task; see `Agent`."""
        if self.updates == 0 and self.config.topology.initial_topology == "predictive":
            raise ValueError(
                "a task ended before the first update, with which initial_topology predictive makes the networks; "
                "learn first, or leave initial_topology out"
            )
        return self._networks.freeze()

    def _sample(self, replay: Replay) -> Batch:
        """Draw the batch of an update, of windows of `n_steps` once `n_steps_after` updates are done."""
        c = self.config
        if self.updates == 1 and c.topology.initial_topology == "predictive":
            self._take(self._networks.predictive(*replay.steps()), self.normalisation)
        if self.updates - 1 in c.topology.freeze_after:
            self.freeze()
        self._forgetting(replay, self.updates, self.predict)
        steps = c.n_steps if self.updates > c.n_steps_after else 1
        batch = replay.sample(self._batch, steps, c.gamma)
        self.normalisation.apply(batch)
        return batch
