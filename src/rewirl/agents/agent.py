"""What the other rooms may ask of an agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from rewirl.agents.config import AgentConfig
from rewirl.agents.cost import Cost
from rewirl.agents.normalisation import Normalisation
from rewirl.agents.policy import Policy
from rewirl.nn import Network
from rewirl.replay import Replay

Action = NDArray[np.float32] | int
"""Of a Box: float32 [action], each in [-1, 1]. Of a Discrete space: the number of the choice, from 0 on."""


class Agent(Protocol):
    """An agent; it knows no environment.

    It says by `REPLAY` how it learns: by `update` from a replay memory, or by `learn` from every step as it comes.
    """

    ONLINE: ClassVar[tuple[str, ...]]
    """The networks that learn, by name."""

    TARGETS: ClassVar[tuple[str, ...]]
    """Those of them that have a target network."""

    COST: ClassVar[Cost]
    """What training costs."""

    ACTIONS: ClassVar[tuple[str, ...]]
    """The spaces of actions that it takes, as Gymnasium calls them: Box, Discrete."""

    REPLAY: ClassVar[bool]
    """Whether it learns from a replay memory. The settings of one that does are a `ReplayConfig`."""

    MOST_ENVIRONMENTS: ClassVar[int | None]
    """How many environments it may learn in at once; None is any number."""

    name: str
    observation_size: int
    action_size: int
    """Features of a Box action, or the number of Discrete ones."""
    updates: int
    normalisation: Normalisation
    """Whoever trains it tells it of observations before they are acted on, and of rewards."""

    def __init__(
        self, name: str, config: AgentConfig, observation_size: int, action_size: int, seed: int, threads: int
    ) -> None:
        """Make an agent; arguments as for `make_agent`."""

    @property
    def config(self) -> AgentConfig:
        """Its settings."""

    def explore(self, observation: NDArray[np.float32], environment: int = 0) -> Action:
        """Return an action with exploration noise.

        Args:
            observation: float32 [observation].
            environment: which of the run's it is for; noise that goes on from step to step does so in each of them.

        Returns:
            Of a Box float32 [action], each in [-1, 1]: noise is clipped. Of a Discrete space an integer from 0 on.
        """

    def predict(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Return actions without noise for float32 [batch, observation]; changes no state.

        Returns:
            float32 [batch, action] in [-1, 1], or int64 [batch] of a Discrete space.
        """

    def predict_noisily(self, observations: NDArray[np.float32], rng: np.random.Generator) -> NDArray[Any]:
        """Return actions with noise from this stream for float32 [batch, observation]; changes no state of the agent.

        Returns:
            As `predict`.

        Raises:
            ValueError: it chooses between numbered actions, and has no noise for them.
        """

    def update(self, replay: Replay) -> None:
        """Do one update, with the rewiring that falls on it.

        Raises:
            TypeError: it has no replay memory.
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
        """Learn from a step in the order in which steps end: do the updates that fall on it, with their rewiring.

        The action of a step is chosen after the updates of all steps that end before it.

        Args:
            observation: before the step, float32 [observation].
            action: as a replay memory would keep it, float32 [action].
            reward: of the step.
            next_observation: after it, float32 [observation].
            terminated: whether the episode reached a terminal state.
            truncated: whether it was cut by a time limit.
            environment: of which of the run's environments.

        Raises:
            TypeError: it learns from a replay memory.
        """

    def cut(self, environment: int = 0) -> None:
        """Note that the episode in an environment is given up: another one begins. A step in it that was begun is
        never handed over."""

    def diagnostics(self) -> dict[str, float]:
        """Return named scalars of the last update; empty before the first."""

    def networks(self) -> dict[str, Network]:
        """Return the networks by name, such as actor and critic1; a target is called target_ and the name."""

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs, as arrays and JSON values."""

    def load_state(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
        """Put back what `state` returned; ValueError names what does not fit."""

    def freeze(self) -> int:
        """End a task: hidden connections and biases in use never change or go again, as many new connections come, and
        the output layer begins again with random weights.

        Returns:
            The number of the task, from 1.

        Raises:
            ValueError: the settings do not allow it, or there is no free place.
            TypeError: it has no replay memory.
        """

    @property
    def tasks(self) -> int:
        """How many tasks have ended."""

    def policy_of(self, task: int) -> Policy:
        """Return the policy of the connections of a task and of those before it alone: what it was when the task ended.

        Args:
            task: its number, from 1.

        Raises:
            ValueError: no such task has ended.
        """

    def policy_state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return what `Policy.from_state` needs: the policy alone."""

    def use_threads(self, threads: int) -> None:
        """Compute with so many of the threads it was made with from now on; the results do not depend on it."""

    def close(self) -> None:
        """Join the worker threads; may be called again."""
