"""PPO, Static-PPO and DS-PPO (Schulman et al. 2017; advantages: 2016): they differ by topology alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, log, sqrt
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rewirl.agents.agent import Action
from rewirl.agents.architecture import Architecture
from rewirl.agents.cost import Cost
from rewirl.agents.distributions import Categorical, Normal, deviations
from rewirl.agents.free_vector import FreeVector
from rewirl.agents.networks import Networks
from rewirl.agents.policy import Head, Policy, drawn
from rewirl.agents.rollout_learner import RolloutConfig, RolloutLearner, arrays_of, outputs_of
from rewirl.nn import ReLU, Tanh, Tiles, mlp, names_of, normal, pack, unpack

ACTOR_CRITIC = ("actor", "critic")


@dataclass(frozen=True)
class PPOConfig(RolloutConfig):
    """Hyper-parameters of PPO."""

    hidden_sizes: tuple[int, ...] = (64, 64)
    """Units of the hidden layers of actor and critic. Typical: 64 64."""

    learning_rate: float = 3e-4

    normalise_observations: bool = True

    scale_rewards: bool = True

    activation: Literal["tanh", "relu"] = "tanh"
    """What follows on every hidden layer. Typical: tanh."""

    gae_lambda: float = 0.95
    """Lambda of the advantages: 0 trusts the values after one step, 1 sums the rewards to the end. Typical: 0.8 to
    0.98."""

    clip_range: float = 0.2
    """How far the probability of an action may move from what it was in the rollout before its gradient ends, epsilon
    in the paper. Typical: 0.1 to 0.3."""

    value_clip_range: float | None = None
    """How far a value may move from what it was in the rollout before its gradient ends; none lets it. Typical: none,
    or 0.2."""

    value_coefficient: float = 0.5
    """Weight of the squared errors of values in the loss, c1 in the paper. Typical: 0.25 to 1."""

    entropy_coefficient: float = 0.0
    """Weight of the entropy of the policy in the loss, c2 in the paper; more explores longer. Typical: 0 to 0.01."""

    initial_deviation: float = 1.0
    """Standard deviation of a Box of actions at the start, in units of [-1, 1]. Typical: 0.3 to 1."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        self._require("batch_size", self.batch_size >= 2, "at least 2 (advantages are normalised over it)")
        self._require("gae_lambda", 0 <= self.gae_lambda <= 1, "between 0 and 1")
        for name in ("clip_range", "initial_deviation"):
            self._require(name, 0 < getattr(self, name) < inf, "finite and positive")
        value_clip = self.value_clip_range
        self._require("value_clip_range", value_clip is None or 0 < value_clip < inf, "finite and positive, or none")
        for name in ("value_coefficient", "entropy_coefficient"):
            self._require(name, 0 <= getattr(self, name) < inf, "finite, 0 or more")


class PPO(RolloutLearner[PPOConfig]):
    """Proximal policy optimisation with an actor and a critic of any density.

    The actor gives the means of a normal distribution whose standard deviations are free parameters, or the logits of
    numbered actions; the critic gives V(s).

    Args:
        name: what to call it: ppo, static-ppo or ds-ppo.
        config: hyper-parameters.
        observation_size: features of an observation.
        action_size: features of an action, or how many actions there are to choose from.
        seed: of every random stream of the agent.
        threads: 2 computes actor and critic side by side; the results are the same.
        actions: the space of actions, Box or Discrete.

    Raises:
        ValueError: the sparsity is impossible for these sizes, or there is no such rule.
    """

    ONLINE: ClassVar[tuple[str, ...]] = ACTOR_CRITIC
    COST = Cost(ACTOR_CRITIC)
    ACTIONS: ClassVar[tuple[str, ...]] = ("Box", "Discrete")
    SQUARED_ERRORS: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        config: PPOConfig,
        observation_size: int,
        action_size: int,
        seed: int,
        threads: int = 1,
        actions: str = "Box",
    ) -> None:
        self.actions = actions
        """The space of actions: Box or Discrete."""
        architectures = {
            "actor": self.architecture("actor", config, observation_size, action_size),
            "critic": self.architecture("critic", config, observation_size, 1),
        }
        self._log_std = FreeVector(np.full(action_size, log(config.initial_deviation))) if actions == "Box" else None
        super().__init__(name, config, observation_size, action_size, architectures, "orthogonal", seed, threads)

    @classmethod
    def architecture(cls, network: str, config: PPOConfig, n_in: int, n_out: int) -> Architecture:
        """Return what a network is made of: a multilayer perceptron, unless a subclass says otherwise.

        Its weights are orthogonal, times sqrt(2) in hidden layers, 0.01 in the actor's output and 1 in the critic's.

        Args:
            network: its name: actor or critic.
            config: hyper-parameters.
            n_in: number of inputs.
            n_out: number of outputs.
        """
        sizes = (n_in, *config.hidden_sizes, n_out)
        gains = dict.fromkeys(names_of(len(sizes) - 1), sqrt(2)) | {"output": 0.01 if network == "actor" else 1.0}
        return Architecture(n_in, mlp(sizes, activation=Tanh if config.activation == "tanh" else ReLU), gains=gains)

    def _use(self, networks: Networks) -> Policy:
        self._last: _Last | None = None
        self._both = networks.ensemble(*ACTOR_CRITIC)
        head: Head = "softmax" if self._log_std is None else "clip"
        return Policy(networks.online["actor"], head=head, deviation=self._deviation())

    def _deviation(self) -> NDArray[np.float32] | None:
        """Return the standard deviations of a Box of actions, float32 [action]."""
        return None if self._log_std is None else deviations(self._log_std.values)

    # Algorithm 1, PPO, actor-critic style: for iteration = 1, 2, ...

    def explore(self, observation: NDArray[np.float32], environment: int = 0) -> Action:
        """Return a ~ pi_old(.|s), of a Box clipped to [-1, 1]; see `Agent`."""
        state, policy, rng = self._policy.seen(observation), self._policy, self._streams["exploration"]
        outputs = policy.actor.act(state)
        if policy.deviation is None:
            choice = int(drawn(outputs, rng))
            self._rollout.begin(environment, state, np.eye(1, self.action_size, choice, np.float32)[0])
            return choice
        action = outputs + policy.deviation * normal(rng, self.action_size)
        self._rollout.begin(environment, state, action)
        return np.clip(action, -1, 1)

    def _begin_rollout(self) -> None:
        super()._begin_rollout()
        self._policy.deviation = self._deviation()  # pi_old <- pi

    def _judged(self) -> NDArray[np.float32]:
        """Return the steps of the rollout as rows: state, action, ln pi_old(a|s), A, A + V_old(s), V_old(s)."""
        rollout, online = self._rollout, self._networks.online
        values, next_values = (outputs_of(online["critic"], x)[:, 0] for x in (rollout.states, rollout.next_states))
        advantages = self._advantages(values, next_values, self.config.gae_lambda)
        outputs = online["actor"].predict(pack(rollout.states))
        log_pi = unpack(self._distribution(outputs, pack(rollout.actions)).log_pi, len(values))
        spread = float((advantages + values).var())
        self._explained = 1 - float(advantages.var()) / spread if spread > 0 else 0.0
        columns = rollout.states, rollout.actions, log_pi, advantages, advantages + values, values
        return np.column_stack(columns).astype(np.float32)

    def _distribution(self, outputs: Tiles, actions: Tiles) -> Normal | Categorical:
        """Return pi(.|s) with the probabilities of actions, for outputs of the actor."""
        if self._log_std is None:
            return Categorical(outputs, actions)
        return Normal(outputs, self._log_std.values.astype(np.float32)[:, np.newaxis], actions)

    def _update(self, minibatch: Tiles) -> None:
        """Take a step up E[L_clip - c1 L_value + c2 S] of a minibatch (equation 9), and do what falls on it."""
        c, w = self.config, self._weights
        ends = np.cumsum([self.observation_size, self.action_size, 1, 1, 1])
        states, actions, old_log_pi, advantages, returns, old_values = np.split(minibatch, ends, axis=1)
        outputs, values = self._both.forward(states)
        policy = self._distribution(outputs, actions)

        # A <- (A - mean) / (standard deviation + 1e-8)
        advantages = advantages - (w * advantages).sum()
        variance = float((w * advantages**2).sum()) * c.batch_size / (c.batch_size - 1)
        advantages /= sqrt(variance) + 1e-8

        # r = pi(a|s) / pi_old(a|s);  L_clip = min(r A, clip(r, 1 - epsilon, 1 + epsilon) A)    (equation 7)
        # dL_clip/dln pi(a|s) = r A, but 0 where r has left the range to where A pulls it
        log_ratio = (policy.log_pi - old_log_pi) * (w > 0)  # padding has none
        ratio = np.exp(log_ratio)
        held = np.where(advantages > 0, ratio > 1 + c.clip_range, ratio < 1 - c.clip_range)
        of_outputs, *of_log_std = policy.gradients(-w * ratio * advantages * ~held, -c.entropy_coefficient * w)

        # L_value = (V(s) - G)^2 with G = A + V_old(s), before A is normalised;  dL_value/dV = 2 (V(s) - G)
        errors = values - returns
        of_values = 2 * c.value_coefficient * w * errors
        if c.value_clip_range is not None:
            # L_value = max of that and (V_old + clip(V - V_old, -epsilon, epsilon) - G)^2, which is flat beyond
            moved = values - old_values
            clipped = old_values + np.clip(moved, -c.value_clip_range, c.value_clip_range) - returns
            of_values *= (np.abs(moved) <= c.value_clip_range) | (errors**2 > clipped**2)

        # A step of Adam with gradients whose norm, of all of them together, is at most max_gradient_norm
        self._both.backward(states, [of_outputs, of_values])
        of_std = [each.sum(axis=(0, 2), dtype=np.float64) for each in of_log_std]
        factor = self._both.clip_together(c.max_gradient_norm, float(np.linalg.norm(of_std)))
        rate = c.learning_rate_at(self.updates)
        self._both.adam(rate, c.weight_decay, epsilon=c.adam_epsilon)
        if self._log_std is not None:
            self._log_std.adam(factor * of_std[0], rate, c.adam_epsilon)
        self._last = _Last(states, advantages, log_ratio, errors, policy.entropy)
        self._networks.note_errors([errors], returns, w)
        self._networks.after_step(ACTOR_CRITIC, states, w, self.updates)

    def diagnostics(self) -> dict[str, float]:
        """Return named scalars of the last update; empty before the first.

        -L_clip, L_value and entropy of its minibatch before the step; `kl`, E[r - 1 - ln r], and `clipped`, the share
        of r out of range; how much of the variance of the returns of the rollout the values explained; the mean
        standard deviation of a Box of actions; and those of `Networks.diagnostics` on the minibatch.
        """
        if self._last is None:
            return {}
        states, advantages, log_ratio, errors, entropy = self._last
        c, w, ratio = self.config, self._weights.astype(np.float64), np.exp(log_ratio.astype(np.float64))
        surrogate = np.minimum(ratio * advantages, np.clip(ratio, 1 - c.clip_range, 1 + c.clip_range) * advantages)
        told = {
            "actor_loss": -float((w * surrogate).sum()),
            "critic_loss": float((w * errors.astype(np.float64) ** 2).sum()),
            "entropy": float((w * entropy).sum()),
            "kl": float((w * (ratio - 1 - log_ratio)).sum()),
            "clipped": float((w * (np.abs(ratio - 1) > c.clip_range)).sum()),
            "explained_variance": self._explained,
        }
        if self._policy.deviation is not None:
            told["deviation"] = float(self._policy.deviation.mean())
        return {**told, **self._networks.diagnostics({ACTOR_CRITIC: states}, self._weights)}

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs; see `RolloutLearner`."""
        arrays, values = super().state()
        if self._log_std is not None:
            of_log_std, values["log_std"] = self._log_std.state()
            arrays |= {f"log_std.{name}": array for name, array in of_log_std.items()}
        return arrays, values

    def load_state(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: an array or value is missing or does not fit this agent; the message names it. Nothing has
                changed then.
        """
        log_std = self._log_std
        if log_std is not None:
            log_std = log_std.restored("log_std", arrays_of("log_std", arrays), values.get("log_std"))
            if not (log_std.values < _LARGEST_LOG_STD).all():
                raise ValueError(f"the saved log_std is {log_std.values.max():.3g}, beyond what float32 can hold")
        super().load_state(arrays, values)
        self._log_std = log_std
        self._policy.deviation = self._deviation()


_LARGEST_LOG_STD = log(np.finfo(np.float32).max)


class _Last(NamedTuple):
    """What diagnostics need of the last update, each float32 [tiles, ..., width]."""

    states: Tiles
    advantages: Tiles
    log_ratio: Tiles
    errors: Tiles
    entropy: Tiles
