"""XQC, Static-XQC, DS-XQC: SAC with batch norm, unit-norm weights and categorical critics (Palenicek et al. 2026)."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar, Literal

import numpy as np

from rewirl.agents.actor_critic import ACTOR, CRITICS
from rewirl.agents.cost import Cost
from rewirl.agents.networks import Networks
from rewirl.agents.policy import Policy
from rewirl.agents.soft import SoftActorCritic, SoftConfig, architectures_of
from rewirl.nn import (
    Bins,
    LogStd,
    Samples,
    batch_normalised,
    cross_entropy,
    of_smaller_mean,
)
from rewirl.replay import Batch, Replay


@dataclass(frozen=True)
class XQCConfig(SoftConfig):
    """Hyper-parameters of XQC; the defaults are the paper's, with those for MuJoCo where tasks differ."""

    hidden_sizes: tuple[int, ...] = (512, 512, 512, 512)
    """Units of the hidden layers of the critics. Typical: 512 512 512 512."""

    actor_hidden_sizes: tuple[int, ...] = (256, 256, 256, 256)
    """Units of the hidden layers of the actor. Typical: 256 256 256 256."""

    learning_rate: float = 3e-4

    learning_rate_schedule: Literal["constant", "linear", "cosine"] = "linear"

    learning_rate_end: float = 3e-5

    learning_rate_updates: int | None = 2_000_000

    weight_decay: float = 0.0
    """Share of all weights, biases and scales that is taken away in every step, times the step size (AdamW). Typical:
    0, since weights have unit norm."""

    gamma: float = 0.995
    """Discount of future rewards per step; the paper's is clip((T/5 - 1) / (T/5), 0.95, 0.995), with T the steps of an
    episode. Typical: 0.95 to 0.995."""

    learning_starts: int = 5_000

    updates_per_step: int = 2

    policy_delay: int = 3
    """Critic updates per update of actor and temperature. Typical: 3."""

    bins: int = 101
    """Values that the critics' distributions are over, equally spaced. Typical: 101."""

    bound: float = 5.0
    """The bins are from minus this to this. Typical: 5, with scaled rewards."""

    initial_temperature: float = 0.01

    scale_rewards: bool = True

    def __post_init__(self) -> None:
        """Validate."""
        super().__post_init__()
        self._require("batch_size", self.batch_size >= 2, "at least 2 (the actor is normalised over it)")
        self._require("policy_delay", self.policy_delay >= 1, "at least 1")
        self._require("bins", 2 <= self.bins <= 10_000, "at least 2 and at most 10,000")
        self._require("bound", 0 < self.bound < inf, "finite and positive")
        if self.topology.initial_scale == "sparse":
            raise ValueError("initial_scale sparse changes nothing: the weights of a unit have norm 1; leave it out")


class XQC(SoftActorCritic[XQCConfig]):
    """XQC on networks of any density.

    Args:
        name: what to call it: xqc, static-xqc or ds-xqc.
        config: hyper-parameters.
        observation_size: features of an observation.
        action_size: features of an action.
        seed: of every random stream of the agent.
        threads: 2 computes the critics side by side; the results are the same.

    Raises:
        ValueError: the sparsity is impossible for these sizes, or there is no such rule.
    """

    TARGETS: ClassVar[tuple[str, ...]] = CRITICS
    COST = Cost(SoftActorCritic.ONLINE, {"actor": "policy_delay"}, {"critic1": 2, "critic2": 2})

    def __init__(
        self, name: str, config: XQCConfig, observation_size: int, action_size: int, seed: int, threads: int = 1
    ) -> None:
        self._bins = Bins(-config.bound, config.bound, config.bins)
        architectures = architectures_of(
            observation_size,
            action_size,
            batch_normalised(config.actor_hidden_sizes, 2 * action_size),
            batch_normalised(config.hidden_sizes, config.bins),
        )
        log_std, entropy = LogStd(-10.0, 2.0), -action_size / 2
        super().__init__(
            name, config, observation_size, action_size, architectures, log_std, entropy, "orthogonal", seed, threads
        )

    def _use(self, networks: Networks) -> Policy:
        # With the statistics of the batch, as the critics learn; and with running ones.
        self._target_critics = networks.ensemble("target_critic1", "target_critic2", batch_statistics=True)
        self._acting = networks.ensemble(*ACTOR, gradients=False, batch_statistics=False)
        self._judging = networks.ensemble(*CRITICS, gradients=True, batch_statistics=False)
        return super()._use(networks)

    def update(self, replay: Replay) -> None:
        """Do one update, in the order of the paper's code: critics, targets, actor, temperature."""
        c = self.config
        self.updates += 1
        batch = self._sample(replay)
        self._fit_critics(batch)
        # Q'_i <- tau Q_i + (1 - tau) Q'_i
        self._networks.update_targets(c.tau)
        (raw,) = self._actor.forward(batch.states, batch.size)
        self._actor.update_statistics()  # in every update, even where the actor takes no step
        if self.updates % c.policy_delay == 0:
            # a ~ pi(.|s) for a moment in place of the batch's actions, which have served
            stored = batch.actions.copy()
            self._fit_actor(batch, self._gaussian.sample(raw, batch.actions, self._streams["policy"]))
            batch.actions[...] = stored  # diagnostics are of these in every update
            self._temperature.update(self._told["entropy"], self._learning_rate)

    def _fit_critics(self, batch: Batch) -> None:
        """Take a step of both critics down L_i = -mean sum_j m_j ln p_ij(s, a), with m the target distribution."""
        c, tiles, bins = self.config, len(batch.states_actions), self._bins
        # a' ~ pi(.|s'), with the running statistics of the actor
        log_pi = self._draw_actions(self._acting, batch.next_states, batch.next_actions).log_probability
        # Critics and targets see (s, a) and (s', a') as one batch, so that both have the same statistics.
        logits = self._target_critics.forward(batch.joint, batch.size, parts=2)
        # Z' is the distribution of Q'_1(s', a') or of Q'_2(s', a'), whichever has the smaller mean
        smaller = of_smaller_mean(*(bins.of_logits(both[tiles:]) for both in logits))
        # m = projection of r + gamma (1 - terminated) (Z' - alpha ln pi(a'|s')) to the bins
        discount = np.float32(c.gamma) * batch.continues
        offset = batch.rewards - discount * np.float32(self._temperature.value) * log_pi
        m = bins.moved(smaller, offset, discount)
        # dL_i/dlogits = (p_i - m) / batch for (s, a), and 0 for (s', a'), which act through the statistics alone
        p, rate = [np.empty_like(m) for _ in CRITICS], self._learning_rate
        self._critics.classify(
            batch.joint, m, batch.weights, p, rate, c.weight_decay, decoupled=True, samples=batch.size, parts=2
        )
        self._critics.update_statistics()
        self._networks.after_step(CRITICS, batch.joint, batch.weights, self.updates)
        self._of_critics = lambda: (
            [cross_entropy(own, m, batch.weights) for own in p],
            float(np.vdot((m * bins.values).sum(axis=1, keepdims=True), batch.weights)),
        )

    def _fit_actor(self, batch: Batch, samples: Samples) -> None:
        """Take a step of the actor down L = mean (alpha ln pi(a|s) - min_i Q_i(s, a)), a ~ pi(.|s).

        Q_i is the mean of the distribution, with the running statistics of the critic.
        """
        c, bins = self.config, self._bins
        first, second = (bins.of_logits(logits) for logits in self._judging.forward(batch.states_actions))
        self._told["policy_value"] = float(np.vdot(np.minimum(first.mean, second.mean), batch.weights))
        # dL/dQ_i = -1/batch for the smaller one, and dQ_i/dlogits_j = p_ij (z_j - Q_i)
        is_first = first.mean <= second.mean
        d_logits = [
            bins.mean_gradient(first, np.where(is_first, -batch.weights, np.float32(0))),
            bins.mean_gradient(second, np.where(is_first, np.float32(0), -batch.weights)),
        ]
        d_actions = self._judging.input_gradients(batch.states_actions, d_logits, self.observation_size)
        d_raw = self._actor_gradient(batch, samples, d_actions, self._temperature.value)
        rate = self._actor_learning_rate
        self._actor.step(batch.states, [d_raw], rate, c.weight_decay, decoupled=True)
        self._networks.after_step(ACTOR, batch.states, batch.weights, self.updates)
