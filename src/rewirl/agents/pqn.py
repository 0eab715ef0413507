"""PQN, Static-PQN and DS-PQN (Gallici et al. 2025): they differ by topology alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rewirl.agents.architecture import Architecture
from rewirl.agents.cost import Cost
from rewirl.agents.epsilon_greedy import EpsilonGreedy
from rewirl.agents.networks import Networks
from rewirl.agents.policy import Policy
from rewirl.agents.rollout_learner import RolloutConfig, RolloutLearner, outputs_of
from rewirl.nn import HiddenLayers, Tiles, layered
from rewirl.saved import count

VALUES = ("q",)


@dataclass(frozen=True)
class PQNConfig(RolloutConfig, EpsilonGreedy):
    """Hyper-parameters of PQN."""

    learning_rate: float = 5e-4
    """Step size of RAdam. Typical: 1e-4 to 5e-4."""

    hidden_layers: HiddenLayers = "layernorm-relu"
    """What a hidden layer makes of its inputs h: a layer norm between W h and relu (layernorm-relu), which keeps values
    from diverging without a target network; or relu, tanh, hadamard-relu, hadamard-tanh, as for DQN. Typical:
    layernorm-relu."""

    rollout_steps: int = 2_048

    batch_size: int = 128

    epochs: int = 4
    """How often every step of a rollout is learnt from. Typical: 2 to 4."""

    return_lambda: float = 0.65
    """Lambda of the returns that are learnt: 0 trusts the values after one step, 1 sums the rewards to the end.
    Typical: 0.65 to 0.95."""

    max_gradient_norm: float = 10.0
    """What the norm of the gradient is cut to. Typical: 10."""

    adam_epsilon: float = 1e-8
    """What RAdam adds to the root of its second moments. Typical: 1e-8."""

    epsilon_start: float = 1.0
    """Probability of a random action at the first step. Typical: 1."""

    epsilon_end: float = 0.05
    """The same from --epsilon-steps steps later on; in between it falls in a straight line. Typical: 0.05 to 0.2."""

    epsilon_steps: int = 20_000
    """Steps in which the probability of a random action gets from --epsilon-start to --epsilon-end. Typical: a tenth
    to a fifth of the run."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        self._require("return_lambda", 0 <= self.return_lambda <= 1, "between 0 and 1")


class PQN(RolloutLearner[PQNConfig]):
    """Q-learning between numbered actions without replay memory and target, on a network of any density.

    The network q has an output for each action, its value Q(s, a). The policy takes the action of the largest.

    Args:
        name: what to call it: pqn, static-pqn or ds-pqn.
        config: hyper-parameters.
        observation_size: features of an observation.
        action_size: how many actions there are to choose from.
        seed: of every random stream of the agent.
        threads: one network is computed by one thread, so more change nothing.

    Raises:
        ValueError: the sparsity is impossible for these sizes, or there is no such rule.
    """

    ONLINE: ClassVar[tuple[str, ...]] = VALUES
    COST = Cost(VALUES)
    ACTIONS: ClassVar[tuple[str, ...]] = ("Discrete",)
    SQUARED_ERRORS: ClassVar[bool] = True

    def __init__(
        self, name: str, config: PQNConfig, observation_size: int, action_size: int, seed: int, threads: int = 1
    ) -> None:
        self._explored = 0
        architectures = {"q": self.architecture("q", config, observation_size, action_size)}
        super().__init__(name, config, observation_size, action_size, architectures, "he", seed, threads)

    @classmethod
    def architecture(cls, network: str, config: PQNConfig, n_in: int, n_out: int) -> Architecture:
        """Return what the network is made of: a chain of layers, unless a subclass says otherwise.

        Its weights are normal with the variance 2 / inputs, in the output layer 1 / inputs.

        Args:
            network: its name: q.
            config: hyper-parameters.
            n_in: number of inputs.
            n_out: number of outputs.
        """
        operations = layered(n_in, config.hidden_sizes, n_out, config.hidden_layers)
        return Architecture(n_in, operations, gains={"output": sqrt(1 / 2)})

    def _use(self, networks: Networks) -> Policy:
        self._last: tuple[Tiles, Tiles, Tiles] | None = None
        self._values = networks.ensemble(*VALUES)
        return Policy(networks.online["q"], head="greedy")

    def explore(self, observation: NDArray[np.float32], environment: int = 0) -> int:
        """Return argmax_a Q(s, a), or a random action with probability epsilon; see `Agent`."""
        state, rng = self._policy.seen(observation), self._streams["exploration"]
        epsilon = self.config.epsilon_at(self._explored)
        self._explored += 1
        if rng.random() < epsilon:
            choice = int(rng.integers(self.action_size))
        else:
            choice = int(self._policy.actor.act(state).argmax())
        self._rollout.begin(environment, state, np.eye(1, self.action_size, choice, np.float32)[0])
        return choice

    def predict_noisily(self, observations: NDArray[np.float32], rng: np.random.Generator) -> NDArray[Any]:
        """Return actions of which each is a random one with probability `epsilon_end`; see `Agent`."""
        return self._policy.explore(observations, rng, self.config.epsilon_end)

    # Algorithm 1: once a rollout is full, its returns are computed, and learnt from in minibatches, several times.

    def _judged(self) -> NDArray[np.float32]:
        """Return the steps of the rollout as rows: state, action, G."""
        rollout, q = self._rollout, self._networks.online["q"]
        # G_t = r_t + gamma ((1 - lambda) max_a Q(s_{t+1}, a) + lambda G_{t+1}), which is max_a Q(s_t, a) plus the
        # generalised advantage with V(s) = max_a Q(s, a). Actions that were not greedy do not cut it.
        best, next_best = (outputs_of(q, states).max(axis=1) for states in (rollout.states, rollout.next_states))
        latest: dict[int, int] = {}
        for t, environment in enumerate(rollout.environments.tolist()):
            before = latest.get(environment)
            if before is not None and not rollout.over[before]:
                # The state is s' of the step before, which was normalised before it was counted: one V(s) for both.
                best[t] = next_best[before]
            latest[environment] = t
        returns = best + self._advantages(best, next_best, self.config.return_lambda)
        return np.column_stack([rollout.states, rollout.actions, returns]).astype(np.float32)

    def _update(self, minibatch: Tiles) -> None:
        """Take a step down L = mean (Q(s, a) - G)^2 / 2 of a minibatch, and do what falls on it."""
        c, w = self.config, self._weights
        ends = np.cumsum([self.observation_size, self.action_size])
        states, chosen, returns = np.split(minibatch, ends, axis=1)
        (values,) = self._values.forward(states)
        # Q(s, a), with a as 0s and a 1;  dL/dQ(s, a) = (Q(s, a) - G) / batch, 0 for all other actions
        errors = (chosen * values).sum(axis=1, keepdims=True) - returns
        self._values.backward(states, [chosen * (w * errors)])
        self._values.clip_together(c.max_gradient_norm)
        rate, epsilon = rectified(c.learning_rate_at(self.updates), c.adam_epsilon, self.updates)
        self._values.adam(rate, c.weight_decay, epsilon=epsilon)
        self._last = states, errors, returns
        self._networks.note_errors([errors], returns, w)
        self._networks.after_step(VALUES, states, w, self.updates)

    def diagnostics(self) -> dict[str, float]:
        """Return named scalars of the last update; empty before the first, of a resumed agent epsilon alone.

        The loss of its minibatch before the step, the mean G, epsilon of the next step of the environment, and
        those of `Networks.diagnostics` on the minibatch.
        """
        if self._last is None:  # epsilon goes on at once where the agent is resumed
            return {"epsilon": self.config.epsilon_at(self._explored)} if self.updates else {}
        states, errors, returns = self._last
        weights = self._weights.astype(np.float64)
        told = {
            "q_loss": float((weights * errors.astype(np.float64) ** 2).sum() / 2),
            "target_mean": float((weights * returns).sum()),
            "epsilon": self.config.epsilon_at(self._explored),
        }
        return {**told, **self._networks.diagnostics({VALUES: states}, self._weights)}

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs; see `RolloutLearner`."""
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


_BETA2 = 0.999
_HUGE = 2.0**30
_LARGEST = 3e38
"""Step sizes are float32; with such a one an agent diverges, and is refused for that."""


def rectified(learning_rate: float, epsilon: float, step: int) -> tuple[float, float]:
    """Return with which step size and epsilon a step of Adam is one of RAdam (Liu et al. 2020, Algorithm 2).

        rho = 2 / (1 - beta2) - 1;  rho_t = rho - 2 t beta2^t / (1 - beta2^t)
        rho_t >= 5: the step size times sqrt((rho_t - 4) (rho_t - 2) rho / ((rho - 4) (rho - 2) rho_t))
        otherwise: the step size times the first moment, which is not divided by the root of the second

    5 is the threshold of Optax's radam.

    Beside a huge epsilon that root is nothing, and a step size as many times as large makes up for it.

    Args:
        learning_rate: step size of RAdam.
        epsilon: what it adds to the root of the second moments.
        step: t, from 1.
    """
    power = _BETA2**step
    rho = 2 / (1 - _BETA2) - 1
    rho_t = rho - 2 * step * power / (1 - power)
    if rho_t < 5:
        return min(learning_rate * _HUGE, _LARGEST), _HUGE
    factor = sqrt((rho_t - 4) * (rho_t - 2) * rho / ((rho - 4) * (rho - 2) * rho_t))
    return learning_rate * factor, epsilon
