"""DQN, Static-DQN and DS-DQN (Mnih et al. 2015; double Q of van Hasselt et al. 2016): they differ by topology alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from rewirl.agents.architecture import Architecture
from rewirl.agents.config import LayersConfig
from rewirl.agents.cost import Cost
from rewirl.agents.epsilon_greedy import EpsilonGreedy
from rewirl.agents.networks import Networks
from rewirl.agents.policy import Policy
from rewirl.agents.replay_learner import ReplayLearner
from rewirl.nn import Tiles, empty_tiles, refuse_nonfinite
from rewirl.replay import Batch, Replay
from rewirl.saved import count

VALUES = ("q",)


@dataclass(frozen=True)
class DQNConfig(LayersConfig, EpsilonGreedy):
    """Hyper-parameters of DQN."""

    learning_rate: float = 2.5e-4

    batch_size: int = 128

    tau: float = 1.0
    """Share of the online network that the target takes over per target update; 1 copies it. Typical: 1."""

    learning_starts: int = 1_000

    buffer_size: int = 100_000

    adam_epsilon: float = 1e-8
    """What Adam adds to the root of its second moments; larger makes smaller steps where gradients are small. Typical:
    1e-8 to 3e-4."""

    update_every: int = 1
    """Steps of the environment per --updates-per-step updates. Typical: 1 to 4."""

    target_update_interval: int = 500
    """Updates between two updates of the target. Typical: 100 to 8000."""

    double_q: bool = True
    """Whether the online network chooses the action whose value the target says (double Q); else the target does both,
    which overestimates. Typical: true."""

    loss: Literal["huber", "squared"] = "huber"
    """Of a difference e between a value and its target: squared is e^2; huber is e^2 / 2 up to 1 and |e| - 1/2 beyond,
    so that no transition has a large gradient. Typical: huber."""

    epsilon_start: float = 1.0
    """Probability of a random action at the first step after --learning-starts. Typical: 1."""

    epsilon_end: float = 0.05
    """The same from --epsilon-steps steps later on; in between it falls in a straight line. Typical: 0.01 to 0.05."""

    epsilon_steps: int = 10_000
    """Steps in which the probability of a random action gets from --epsilon-start to --epsilon-end. Typical: a tenth
    of the run."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        self._require("adam_epsilon", 0 < self.adam_epsilon < inf, "finite and positive")
        self._require("update_every", self.update_every >= 1, "at least 1")
        self._require("target_update_interval", self.target_update_interval >= 1, "at least 1")

    def updates_at(self, step: int) -> int:
        """Return how many updates follow a step, counted from 0 at `learning_starts`."""
        return self.updates_per_step if step % self.update_every == 0 else 0

    def updates_after(self, steps: int) -> int:
        """Return how many updates there are in so many steps from `learning_starts` on."""
        return -(-steps // self.update_every) * self.updates_per_step


class DQN(ReplayLearner[DQNConfig]):
    """Q-learning between numbered actions on a network of any density.

    The network q has an output for each action, its value Q(s, a). The policy takes the action of the largest.

    Args:
        name: what to call it: dqn, static-dqn or ds-dqn.
        config: hyper-parameters.
        observation_size: features of an observation.
        action_size: how many actions there are to choose from.
        seed: of every random stream of the agent.
        threads: one network is computed by one thread, so more change nothing.

    Raises:
        ValueError: the sparsity is impossible for these sizes, or there is no such rule.
    """

    ONLINE: ClassVar[tuple[str, ...]] = VALUES
    TARGETS: ClassVar[tuple[str, ...]] = VALUES
    SQUARED_ERRORS: ClassVar[bool] = True
    STREAMS: ClassVar[Mapping[str, str]] = {"exploration": "exploration"}
    COST = Cost(VALUES)
    ACTIONS: ClassVar[tuple[str, ...]] = ("Discrete",)

    def __init__(
        self, name: str, config: DQNConfig, observation_size: int, action_size: int, seed: int, threads: int = 1
    ) -> None:
        self._explored = 0
        # Of the last update: y, and Q(s, a) - y.
        self._y, self._errors = (empty_tiles(config.batch_size, 1) for _ in range(2))
        architectures = {"q": self.architecture("q", config, observation_size, action_size)}
        super().__init__(name, config, observation_size, action_size, architectures, "fan-in", seed, threads)

    @classmethod
    def architecture(cls, network: str, config: DQNConfig, n_in: int, n_out: int) -> Architecture:
        """Return what the network is made of: a chain of layers, unless a subclass says otherwise.

        Args:
            network: its name: q.
            config: hyper-parameters.
            n_in: number of inputs.
            n_out: number of outputs.
        """
        return Architecture.layered(n_in, config, n_out)

    def _use(self, networks: Networks) -> Policy:
        self._learnt = False
        self._values = networks.ensemble(*VALUES)
        self._target_values = networks.ensemble("target_q")
        return Policy(networks.online["q"], head="greedy")

    def _explore(self, observation: NDArray[np.float32]) -> int:
        """Return argmax_a Q(s, a), or a random action with probability epsilon.

        Args:
            observation: float32 [observation], as networks see it.

        Returns:
            The number of the action, from 0 on.
        """
        epsilon, rng = self.config.epsilon_at(self._explored), self._streams["exploration"]
        self._explored += 1
        if rng.random() < epsilon:
            return int(rng.integers(self.action_size))
        return int(self._policy.actor.act(observation).argmax())

    def predict_noisily(self, observations: NDArray[np.float32], rng: np.random.Generator) -> NDArray[Any]:
        """Return actions of which each is a random one with probability `epsilon_end`; see `Agent`."""
        return self._policy.explore(observations, rng, self.config.epsilon_end)

    def update(self, replay: Replay) -> None:
        """Do one update (Mnih et al. 2015, Algorithm 1, the body of the loop after a transition is stored)."""
        c = self.config
        self.updates += 1
        batch = self._sample(replay)
        y = self._compute_targets(batch)
        self._fit(batch, y)
        if self.updates % c.target_update_interval == 0:
            self._networks.update_targets(c.tau)

    def _compute_targets(self, batch: Batch) -> Tiles:
        """Return y, what the network is to say of the actions of the batch, float32 [tiles, 1, width]."""
        c, y = self.config, self._y
        # a' = argmax_a Q(s', a), or argmax_a Q'(s', a) without double Q
        (values,) = self._target_values.forward(batch.next_states)
        (judges,) = self._values.forward(batch.next_states) if c.double_q else (values,)
        next_actions = judges.argmax(axis=1, keepdims=True)
        # y = r + gamma (1 - terminated) Q'(s', a'); with n_steps, r and gamma are those of windows
        np.multiply(batch.continues, np.take_along_axis(values, next_actions, axis=1), out=y)
        y *= np.float32(c.gamma)
        y += batch.rewards
        return y

    def _fit(self, batch: Batch, y: Tiles) -> None:
        """Take a step down L = mean loss(Q(s, a) - y), and do what falls on it."""
        c, chosen, errors = self.config, batch.actions, self._errors
        (values,) = self._values.forward(batch.states)
        # Q(s, a), with a as 0s and a 1
        np.subtract((chosen * values).sum(axis=1, keepdims=True), y, out=errors)
        refuse_nonfinite([errors], "the difference from its target")
        # dL/dQ(s, a) = clip(e, -1, 1) / batch, or 2 e / batch; 0 for all other actions
        slopes = np.clip(errors, -1, 1) if c.loss == "huber" else 2 * errors
        gradient = chosen * (slopes * batch.weights)
        rate = c.learning_rate_at(self.updates)
        self._values.step(batch.states, [gradient], rate, c.weight_decay, epsilon=c.adam_epsilon)
        self._learnt = True
        self._networks.note_errors([errors], y, batch.weights)
        self._networks.after_step(VALUES, batch.states, batch.weights, self.updates)

    def diagnostics(self) -> dict[str, float]:
        """Return named scalars of the last update; empty before the first, of a resumed agent epsilon alone.

        The loss, the mean target, epsilon of the next step, and those of `Networks.diagnostics` on the last batch.
        """
        if not self._learnt:  # epsilon goes on at once where the agent is resumed
            return {"epsilon": self.config.epsilon_at(self._explored)} if self.updates else {}
        c, batch = self.config, self._batch
        weights, size = batch.weights.astype(np.float64), np.abs(self._errors.astype(np.float64))
        losses = np.where(size <= 1, size**2 / 2, size - 0.5) if c.loss == "huber" else size**2
        told = {
            "q_loss": float((losses * weights).sum()),
            "target_mean": float((self._y * weights).sum()),
            "epsilon": c.epsilon_at(self._explored),
        }
        return {**told, **self._networks.diagnostics({VALUES: batch.states}, batch.weights)}

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs: network, moments, target, streams, counters."""
        arrays, values = super().state()
        return arrays, {**values, "explored": self._explored}

    def load_state(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: an array or value is missing or does not fit this agent; the message names it. Nothing has
                changed then.
        """
        explored = count(values.get("explored"), "the saved number of steps explored")
        super().load_state(arrays, values)
        self._explored = explored
