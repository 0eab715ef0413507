"""What agents that learn from rollouts share: the steps of one policy, learnt from several times, then forgotten."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from rewirl.agents.architecture import Architecture
from rewirl.agents.config import AgentConfig
from rewirl.agents.learner import Learner
from rewirl.nn import Initialisation, Network, Tiles, mean_weights, pack, unpack
from rewirl.replay import Rollout
from rewirl.saved import fields


@dataclass(frozen=True)
class RolloutConfig(AgentConfig):
    """What an agent that learns from rollouts has besides.

    Raises:
        ValueError: a field is out of its range; the message names it.
    """

    rollout_steps: int = 2048
    """Steps of the run that are collected with one policy and then learnt from, over all environments together; a
    multiple of --batch-size. Typical: 2048."""

    batch_size: int = 64
    """Steps of a minibatch, from which one update is; a divisor of --rollout-steps. Typical: 64."""

    epochs: int = 10
    """How often every step of a rollout is learnt from. Typical: 3 to 20."""

    max_gradient_norm: float = 0.5
    """What the norm of all gradients together is cut to. Typical: 0.5 to 1."""

    adam_epsilon: float = 1e-5
    """What Adam adds to the root of its second moments. Typical: 1e-8 to 1e-5."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        self._require("batch_size", 1 <= self.batch_size < 2**31, "at least 1 and below 2^31")
        steps = self.rollout_steps
        self._require("rollout_steps", 1 <= steps < 2**31, "at least 1 and below 2^31")
        self._require("rollout_steps", steps % self.batch_size == 0, f"a multiple of batch_size {self.batch_size}")
        self._require("epochs", 1 <= self.epochs <= 1_000, "at least 1 and at most 1,000")
        for name in ("max_gradient_norm", "adam_epsilon"):
            self._require(name, 0 < getattr(self, name) < inf, "finite and positive")

    def updates_after(self, steps: int) -> int:
        """Return how many updates, of a minibatch each, there are in so many steps."""
        return steps // self.rollout_steps * self.epochs * (self.rollout_steps // self.batch_size)


Config = TypeVar("Config", bound=RolloutConfig)


class RolloutLearner(Learner[Config]):
    """An agent that collects a rollout with one policy, learns from it several times, and forgets it.

    An algorithm has an `explore` that begins steps of `_rollout`, a `_judged` and an `_update`.

    Args:
        name: what to call the agent.
        config: hyper-parameters.
        observation_size: features of an observation.
        action_size: features of an action, or how many actions there are to choose from.
        architectures: of the networks, by name.
        initialisation: of the weights.
        seed: of every random stream of the agent.
        threads: how many may compute; the results are the same.

    Raises:
        ValueError: the configuration is impossible for these sizes, or a rollout does not fit into memory.
    """

    STREAMS: ClassVar[Mapping[str, str]] = {"exploration": "exploration", "minibatches": "minibatches"}

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
        self._rollout = Rollout(config.rollout_steps, observation_size, action_size)
        self._weights = mean_weights(config.batch_size)
        super().__init__(name, config, observation_size, action_size, architectures, initialisation, seed, threads)

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
        """Keep a step, and learn from all of a rollout once there are `rollout_steps`; see `Agent`."""
        statistics = self.normalisation.observations  # which count the next observation when it is acted on
        after = next_observation if statistics is None else statistics.foreseen(next_observation)
        self._rollout.end(environment, reward, after, terminated, truncated)
        if not self._rollout.full:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # the norm of the gradients tells what is not finite
            try:
                steps = self._judged()
                for _ in range(self.config.epochs):
                    for minibatch in self._minibatches(steps):
                        self.updates += 1
                        self._update(minibatch)
            finally:  # a program may learn on after a fault
                self._begin_rollout()

    def _begin_rollout(self) -> None:
        """Begin another rollout, with the policy as it is now."""
        self._rollout.clear()

    @abstractmethod
    def _judged(self) -> NDArray[np.float32]:
        """Return the steps of the rollout as rows, float32 [steps, columns], with what an update needs of each."""

    @abstractmethod
    def _update(self, minibatch: Tiles) -> None:
        """Learn from a minibatch of such rows, float32 [tiles, columns, width]; `updates` counts it already."""

    def _advantages(
        self, values: NDArray[np.float32], next_values: NDArray[np.float32], lambda_: float
    ) -> NDArray[np.float64]:
        """Return the advantages of the steps of the rollout, by V(s) and V(s'), with rewards scaled alike."""
        rollout, returns = self._rollout, self.normalisation.returns
        rewards = rollout.rewards if returns is None else rollout.rewards * returns.affine[1]
        ends = rollout.terminated, rollout.over, rollout.environments
        return generalised_advantages(rewards, values, next_values, *ends, self.config.gamma, lambda_)

    def _minibatches(self, steps: NDArray[np.float32]) -> Iterator[Tiles]:
        """Yield all steps once, in random order, as batches, float32 [tiles, ..., width]."""
        order = self._streams["minibatches"].permutation(len(steps))
        for first in range(0, len(steps), self.config.batch_size):
            yield pack(steps[order[first : first + self.config.batch_size]])

    def cut(self, environment: int = 0) -> None:
        """Note that the episode in an environment is given up; see `Agent`."""
        super().cut(environment)
        self._rollout.cut(environment)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs: networks, moments, streams, counters, the rollout so far."""
        arrays, values = super().state()
        of_rollout, values["rollout"] = self._rollout.state()
        return {**arrays, **{f"rollout.{name}": array for name, array in of_rollout.items()}}, values

    def load_state(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: an array or value is missing or does not fit this agent; the message names it. Nothing has
                changed then.
        """
        saved = fields(values.get("rollout"), "the saved rollout")
        rollout = self._rollout.restored(arrays_of("rollout", arrays), saved)
        super().load_state(arrays, values)
        self._rollout = rollout


def outputs_of(network: Network, states: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a network says of states, float32 [steps, observation]: float32 [steps, outputs]."""
    return unpack(network.predict(pack(states)), len(states))


def arrays_of(part: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the arrays of a part of a state, without its name and the dot in front of theirs."""
    return {name.partition(".")[2]: array for name, array in arrays.items() if name.partition(".")[0] == part}


def generalised_advantages(
    rewards: NDArray[np.float32],
    values: NDArray[np.float32],
    next_values: NDArray[np.float32],
    terminated: NDArray[np.uint8],
    over: NDArray[np.uint8],
    environments: NDArray[np.int64],
    gamma: float,
    lambda_: float,
) -> NDArray[np.float64]:
    """Return the advantages of steps in the order in which they ended (Schulman et al. 2016, equation 16).

        delta_t = r_t + gamma (1 - terminated_t) V(s_{t+1}) - V(s_t)
        A_t = delta_t + gamma lambda (1 - over_t) A_{t+1}

    where t + 1 is the next step in the same environment. A time limit ends the sum, but V(s_{t+1}) stands for what
    would have come; so does the end of the steps.

    Args:
        rewards: r_t, [steps].
        values: V(s_t), [steps].
        next_values: V(s_{t+1}), [steps].
        terminated: 1 where the episode reached a terminal state, [steps].
        over: 1 where the episode ended, be it by a time limit, [steps].
        environments: in which of several each step was, [steps].
        gamma: discount per step.
        lambda_: between 0 and 1.

    Returns:
        float64 [steps].
    """
    deltas = rewards.astype(np.float64) + gamma * (1.0 - terminated) * next_values - values
    goes_on = gamma * lambda_ * (1.0 - over)
    advantages, later = np.empty(len(deltas)), dict.fromkeys(environments.tolist(), 0.0)
    steps = zip(deltas.tolist(), goes_on.tolist(), environments.tolist(), strict=True)
    for t, (delta, weight, environment) in reversed(list(enumerate(steps))):
        advantages[t] = later[environment] = delta + weight * later[environment]
    return advantages
