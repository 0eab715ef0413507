"""Stream Q(lambda) and Stream SARSA(lambda), dense, static and rewired (Elsayed et al. 2024, Algorithms 8 and 9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rewirl.agents.cost import Cost
from rewirl.agents.epsilon_greedy import EpsilonGreedy
from rewirl.agents.networks import Networks
from rewirl.agents.policy import Policy
from rewirl.agents.streaming import StreamConfig, Streaming, finite
from rewirl.exact import exactly
from rewirl.saved import count

VALUES = "q"


@dataclass(frozen=True)
class StreamQConfig(StreamConfig, EpsilonGreedy):
    """Hyper-parameters of Stream Q(lambda) and Stream SARSA(lambda)."""

    hidden_sizes: tuple[int, ...] = (32, 32)

    epsilon_start: float = 1.0
    """Probability of a random action at the first step. Typical: 1."""

    epsilon_end: float = 0.01
    """The same from --epsilon-steps steps later on; in between it falls in a straight line. Typical: 0.01 to 0.05."""

    epsilon_steps: int = 25_000
    """Steps in which the probability of a random action gets from --epsilon-start to --epsilon-end. Typical: a
    twentieth of the run."""


class StreamQ(Streaming[StreamQConfig]):
    """Q-learning between numbered actions from every step once, with Watkins's traces, on a network of any density.

    The network q has an output for each action, its value Q(s, a). The policy takes the action of the largest.

    Args:
        name: what to call it: stream-q, static-stream-q or ds-stream-q.
        config: hyper-parameters.
        observation_size: features of an observation.
        action_size: how many actions there are to choose from.
        seed: of every random stream of the agent.
        threads: a step is computed by one thread, so more change nothing.

    Raises:
        ValueError: the topology is impossible for these sizes, or nothing for networks that see one sample at a time.
    """

    ONLINE: ClassVar[tuple[str, ...]] = (VALUES,)
    STREAMS: ClassVar[Mapping[str, str]] = {"exploration": "exploration"}
    COST = Cost(ONLINE)
    ACTIONS: ClassVar[tuple[str, ...]] = ("Discrete",)

    def __init__(
        self, name: str, config: StreamQConfig, observation_size: int, action_size: int, seed: int, threads: int = 1
    ) -> None:
        self._chosen = np.eye(action_size, dtype=np.float32)
        self._greedy = True
        super().__init__(name, config, observation_size, action_size, {VALUES: action_size}, seed, threads)

    def _use(self, networks: Networks) -> Policy:
        self._values = self._streams_of()[VALUES]
        return Policy(networks.online[VALUES], head="greedy")

    def explore(self, observation: NDArray[np.float32], environment: int = 0) -> int:
        """Return argmax_a Q(s, a), or a random action with probability epsilon; see `Agent`."""
        best = int(self._values.forward(self._met(observation)).argmax())
        action = self._explored(best, self.updates)
        self._greedy = action == best
        return action

    def _explored(self, best: int, step: int) -> int:
        """Return the best action, or at a step a random one with the probability epsilon of then."""
        rng = self._streams["exploration"]
        if rng.random() < self.config.epsilon_at(step):
            return int(rng.integers(self.action_size))
        return best

    def predict_noisily(self, observations: NDArray[np.float32], rng: np.random.Generator) -> NDArray[Any]:
        """Return actions of which each is a random one with probability `epsilon_end`; see `Agent`."""
        return self._policy.explore(observations, rng, self.config.epsilon_end)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs, of a step that has begun too; see `Streaming`."""
        arrays, values = super().state()
        return arrays, {**values, "greedy": self._greedy}

    def load_state(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: an array or value is missing or does not fit this agent; the message names it. Nothing has
                changed then.
        """
        greedy = exactly(bool, values.get("greedy", True), "the saved greedy")  # earlier ones had none
        super().load_state(arrays, values)
        self._greedy = greedy

    def _update(
        self,
        state: NDArray[np.float32],
        action: Any,
        reward: float,
        after: NDArray[np.float32],
        discount: float,
        over: bool,
    ) -> float:
        """Learn from a step (Elsayed et al. 2024, Algorithm 8, the body of the loop); see `Streaming`."""
        # delta = r + gamma max_a' Q(s', a') - Q(s, a); z <- 0 after an action that was not greedy
        next_value = float(self._values.forward(after).max())
        return self._learn(state, int(action.argmax()), reward + discount * next_value, over or not self._greedy)

    def _learn(self, state: NDArray[np.float32], action: int, target: float, reset: bool) -> float:
        """Take a step of ObGD for Q(s, a) towards a target, and return delta."""
        c = self.config
        value = float(self._values.forward(state)[action])
        delta = finite(target - value)
        # z <- gamma lambda z + grad Q(s, a)
        rate = c.learning_rate_at(self.updates)
        step = self._values.step(self._chosen[action], delta, rate, c.kappa, self._decay, reset)
        self._told = {"value": value, "q_step": step, "epsilon": c.epsilon_at(self.updates)}
        return delta


class StreamSARSA(StreamQ):
    """SARSA between numbered actions from every step once: it learns what it does, random actions included.

    Arguments as of StreamQ; its names are stream-sarsa, static-stream-sarsa and ds-stream-sarsa.
    """

    def __init__(
        self, name: str, config: StreamQConfig, observation_size: int, action_size: int, seed: int, threads: int = 1
    ) -> None:
        self._next_action: int | None = None
        super().__init__(name, config, observation_size, action_size, seed, threads)

    def explore(self, observation: NDArray[np.float32], environment: int = 0) -> int:
        """Return the action that the last update has chosen, or the first of an episode; see `Agent`."""
        action, self._next_action = self._next_action, None
        return super().explore(observation, environment) if action is None else action

    def _update(
        self,
        state: NDArray[np.float32],
        action: Any,
        reward: float,
        after: NDArray[np.float32],
        discount: float,
        over: bool,
    ) -> float:
        """Learn from a step (Elsayed et al. 2024, Algorithm 9, the body of the loop); see `Streaming`."""
        # delta = r + gamma Q(s', a') - Q(s, a), with the a' that is taken next
        values = self._values.forward(after)
        self._next_action = None if over else self._explored(int(values.argmax()), self.updates)
        best = int(values.argmax()) if self._next_action is None else self._next_action
        return self._learn(state, int(action.argmax()), reward + discount * float(values[best]), over)

    def cut(self, environment: int = 0) -> None:
        """Note that the episode is given up; see `Streaming`."""
        super().cut(environment)
        self._next_action = None

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs; see `Streaming`."""
        arrays, values = super().state()
        return arrays, {**values, "next_action": self._next_action}

    def load_state(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: an array or value is missing or does not fit this agent; the message names it. Nothing has
                changed then.
        """
        action = values.get("next_action")
        if action is not None and count(action, "the saved next action") >= self.action_size:
            raise ValueError(f"the saved next action is {action}, and there are {self.action_size}")
        super().load_state(arrays, values)
        self._next_action = action
