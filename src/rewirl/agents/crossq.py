"""CrossQ, Static-CrossQ and DS-CrossQ: SAC with batch renormalisation and no target networks (Bhatt et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rewirl.agents.actor_critic import ACTOR, CRITICS
from rewirl.agents.cost import Cost
from rewirl.agents.networks import Networks
from rewirl.agents.policy import Policy
from rewirl.agents.soft import SoftActorCritic, SoftConfig, architectures_of
from rewirl.nn import LogStd, Samples, Tiles, batch_renormalised, empty_tiles, minimum, refuse_nonfinite
from rewirl.replay import Batch, Replay

BETA1 = 0.5
"""Decay of Adam's first moments, of actor and critics."""


@dataclass(frozen=True)
class CrossQConfig(SoftConfig):
    """Hyper-parameters of CrossQ; the defaults are the paper's."""

    WITHOUT: ClassVar[Mapping[str, str]] = {**SoftConfig.WITHOUT, "tau": "it has no target networks"}

    hidden_sizes: tuple[int, ...] = (2048, 2048)
    """Units of the hidden layers of the critics. Typical: 2048 2048, or 256 256 to 1024 1024 to save time."""

    learning_starts: int = 5_000

    policy_delay: int = 3
    """Critic updates per update of actor and temperature. Typical: 3."""

    weight_decay: float = 0.0
    """Share of all weights, biases and scales that is taken away in every step, times the step size (AdamW). Typical:
    0."""

    def __post_init__(self) -> None:
        """Validate."""
        super().__post_init__()
        self._require("batch_size", self.batch_size >= 2, "at least 2 (the actor is normalised over it)")
        self._require("policy_delay", self.policy_delay >= 1, "at least 1")


class CrossQ(SoftActorCritic[CrossQConfig]):
    """CrossQ on networks of any density.

    Args:
        name: what to call it: crossq, static-crossq or ds-crossq.
        config: hyper-parameters.
        observation_size: features of an observation.
        action_size: features of an action.
        seed: of every random stream of the agent.
        threads: 2 computes the critics side by side; the results are the same.

    Raises:
        ValueError: the sparsity is impossible for these sizes, or there is no such rule.
    """

    TARGETS: ClassVar[tuple[str, ...]] = ()
    SQUARED_ERRORS: ClassVar[bool] = True
    COST = Cost(SoftActorCritic.ONLINE, {"actor": "policy_delay"}, {"critic1": 2, "critic2": 2})

    def __init__(
        self, name: str, config: CrossQConfig, observation_size: int, action_size: int, seed: int, threads: int = 1
    ) -> None:
        self._y = empty_tiles(config.batch_size, 1)
        architectures = architectures_of(
            observation_size,
            action_size,
            batch_renormalised(config.actor_hidden_sizes, 2 * action_size),
            batch_renormalised(config.hidden_sizes, 1),
        )
        log_std, entropy = LogStd(), -float(action_size)
        super().__init__(
            name, config, observation_size, action_size, architectures, log_std, entropy, "he", seed, threads
        )

    def _use(self, networks: Networks) -> Policy:
        # With running statistics; the critics and the actor learn with those of the batch.
        self._acting = networks.ensemble(*ACTOR, gradients=False, batch_statistics=False)
        self._judging = networks.ensemble(*CRITICS, gradients=True, batch_statistics=False)
        return super()._use(networks)

    def update(self, replay: Replay) -> None:
        """Do one update: critics, then now and then actor and temperature."""
        self.updates += 1
        batch = self._sample(replay)
        self._fit_critics(batch)
        if self.updates % self.config.policy_delay == 0:
            stored = batch.actions.copy()
            samples = self._draw_actions(self._actor, batch.states, batch.actions)
            self._actor.update_statistics()
            self._fit_actor(batch, samples)
            batch.actions[...] = stored  # diagnostics are of these in every update
            self._temperature.update(self._told["entropy"], self._learning_rate)

    def _fit_critics(self, batch: Batch) -> None:
        """Take a step of both critics down L_i = mean (Q_i(s, a) - y)^2."""
        c, tiles, y = self.config, len(batch.states_actions), self._y
        # a' ~ pi(.|s'), with the running statistics of the actor
        log_pi = self._draw_actions(self._acting, batch.next_states, batch.next_actions).log_probability
        # [Q_i(s, a); Q_i(s', a')] in one pass, so that both have the same statistics
        values = self._critics.forward(batch.joint, batch.size, parts=2)
        # y = r + gamma (1 - terminated) (min_i Q_i(s', a') - alpha ln pi(a'|s')), a constant for the gradient
        minimum([both[tiles:] for both in values], c.gamma, batch.continues, batch.rewards, out=y)
        y -= np.float32(c.gamma * self._temperature.value) * batch.continues * log_pi
        # dL_i/dQ_i = 2 (Q_i - y) / batch for (s, a), and 0 for (s', a'), which act through the statistics alone
        errors = [both[:tiles] - y for both in values]
        refuse_nonfinite(errors, "the difference from its target")
        gradients: list[Tiles] = [np.zeros_like(both) for both in values]
        for gradient, error in zip(gradients, errors, strict=True):
            np.multiply(error, 2 * batch.weights, out=gradient[:tiles])
        rate = self._learning_rate
        self._critics.step(batch.joint, gradients, rate, c.weight_decay, decoupled=True, beta1=BETA1)
        self._critics.update_statistics()
        self._networks.note_errors(errors, y, batch.weights)
        self._networks.after_step(CRITICS, batch.joint, batch.weights, self.updates)
        self._of_critics = lambda: (
            [float((e.astype(np.float64) ** 2 * batch.weights).sum()) for e in errors],
            float(np.vdot(y, batch.weights)),
        )

    def _fit_actor(self, batch: Batch, samples: Samples) -> None:
        """Take a step of the actor down L = mean (alpha ln pi(a|s) - min_i Q_i(s, a)), a ~ pi(.|s).

        The critics have their running statistics.
        """
        c = self.config
        q1, q2 = self._judging.forward(batch.states_actions)
        self._told["policy_value"] = float(np.vdot(np.minimum(q1, q2), batch.weights))
        # dL/dQ_i = -1/batch for the smaller one
        first, none = q1 <= q2, np.float32(0)
        d_values = [np.where(first, -batch.weights, none), np.where(first, none, -batch.weights)]
        d_actions = self._judging.input_gradients(batch.states_actions, d_values, self.observation_size)
        d_raw = self._actor_gradient(batch, samples, d_actions, self._temperature.value)
        rate = self._actor_learning_rate
        self._actor.step(batch.states, [d_raw], rate, c.weight_decay, decoupled=True, beta1=BETA1)
        self._networks.after_step(ACTOR, batch.states, batch.weights, self.updates)
