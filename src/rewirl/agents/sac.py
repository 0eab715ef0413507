"""SAC, Static-SAC and DS-SAC (Haarnoja et al. 2018; Sokar et al. 2022, appendix A): they differ by topology alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from rewirl.agents.actor_critic import ActorCritic
from rewirl.agents.config import LayersConfig
from rewirl.agents.cost import Cost
from rewirl.agents.networks import Networks
from rewirl.agents.policy import Policy
from rewirl.agents.temperature import Temperature
from rewirl.nn import LOG_STD_BOUNDS, LogStd, Samples, SquashedGaussian, Tiles, empty_tiles, minimum, sample_one
from rewirl.replay import Batch, Replay


@dataclass(frozen=True)
class SACConfig(LayersConfig):
    """Hyper-parameters of SAC."""

    learning_rate: float = 3e-4

    tau: float = 1.0
    """Share of the online networks that the targets take over per target update; 1 copies them, which the presets
    ds-drl/sac and ds-drl/ds-sac do every 1000 updates. Typical: 0.001 to 0.01, or 1."""

    target_update_interval: int = 1000
    """Updates between two updates of the targets. Typical: 1 with a small tau, 1000 with 1."""

    temperature: float | Literal["auto"] = 0.2
    """Weight of the entropy in the objective, alpha in the paper; auto learns the one that keeps the entropy of the
    policy at its target. Larger explores more. Typical: 0.05 to 0.2, or auto."""

    target_entropy: float | None = None
    """Entropy that --temperature auto aims at, in nats; none is minus the number of action dimensions."""

    initialisation: Literal["xavier", "fan-in"] = "xavier"
    """How weights start: xavier is uniform within sqrt(6 / (inputs + outputs)), biases zero, as in the SAC code that
    the paper names; fan-in is uniform within 1 / sqrt(inputs), biases too, as DS-TD3 and PyTorch do."""

    log_std_min: float = LOG_STD_BOUNDS[0]
    """Least logarithm of the policy's standard deviation; outputs below count as it. Typical: -20 to -5."""

    log_std_max: float = LOG_STD_BOUNDS[1]
    """Largest logarithm of the policy's standard deviation. Typical: 0 to 2."""

    n_step_entropy: bool = False
    """Whether targets over several steps have the entropy at the states between too, of the policy as it is now, as in
    RLx2; else only that at the last state. Costs a pass of the actor for each state between. Typical: given together
    with --n-steps 3."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        if self.n_step_entropy and self.n_steps == 1:
            raise ValueError("n_step_entropy is of the states between the steps of a target; give n_steps of 2 or more")
        self._require("target_update_interval", self.target_update_interval >= 1, "at least 1")
        low, high = LOG_STD_BOUNDS
        self._require("log_std_min", low <= self.log_std_min < self.log_std_max, f"at least {low:g}, below log_std_max")
        self._require("log_std_max", self.log_std_max <= high, f"at most {high:g}")
        alpha, entropy = self.temperature, self.target_entropy
        fine = alpha == "auto" or (not isinstance(alpha, str) and 0 <= alpha < inf)
        self._require("temperature", fine, "auto, or finite and 0 or more")
        self._require("target_entropy", entropy is None or -inf < entropy < inf, "finite, or none")
        if entropy is not None and alpha != "auto":
            raise ValueError(f"target_entropy is what temperature auto aims at; the temperature is {alpha}")


class SAC(ActorCritic[SACConfig]):
    """Soft actor-critic on networks of any density.

    The policy is a tanh-Gaussian: the actor's outputs are mean and log_std of a normal distribution for each dimension
    of the action, whose tanh is taken. The mean is the deterministic policy.

    Args:
        name: what to call it: sac, static-sac or ds-sac.
        config: hyper-parameters.
        observation_size: features of an observation.
        action_size: features of an action.
        seed: of every random stream of the agent.
        threads: 2 computes the critics side by side; the results are the same.

    Raises:
        ValueError: the sparsity is impossible for these sizes, or there is no such rule.
    """

    TARGETS: ClassVar[tuple[str, ...]] = ("critic1", "critic2")
    COST = Cost(ActorCritic.ONLINE)
    STREAMS: ClassVar[Mapping[str, str]] = {"exploration": "exploration noise", "policy": "policy noise"}

    def __init__(
        self, name: str, config: SACConfig, observation_size: int, action_size: int, seed: int, threads: int = 1
    ) -> None:
        self._temperature = Temperature(config.temperature, config.target_entropy, action_size)
        self._log_std = LogStd(config.log_std_min, config.log_std_max)
        self._gaussian = SquashedGaussian(config.batch_size, action_size, self._log_std)
        self._d_values = [empty_tiles(config.batch_size, 1) for _ in range(2)]
        super().__init__(
            name, config, observation_size, action_size, 2 * action_size, config.initialisation, seed, threads
        )
        # Of the last update: min_i Q_i(s, a) of the policy's actions, and the entropy of the policy.
        self._policy_values, self._entropy = empty_tiles(config.batch_size, 1), 0.0
        if config.n_step_entropy:
            self._batch.keep_between(config.n_steps - 1)

    def _use(self, networks: Networks) -> Policy:
        policy = super()._use(networks)
        policy.log_std = self._log_std
        return policy

    def _explore(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a ~ pi(.|s).

        Args:
            observation: float32 [observation], as networks see it.

        Returns:
            float32 [action] in [-1, 1].
        """
        return sample_one(self._policy.actor.act(observation), self._streams["exploration"], self._log_std)

    def update(self, replay: Replay) -> None:
        """Do one update (Sokar et al. 2022, appendix A, the body of the loop after a transition is stored)."""
        c, alpha = self.config, self._temperature.value
        self.updates += 1
        batch = self._sample(replay)
        y = self._compute_targets(batch, alpha)
        self._fit_critics(batch, y)
        d_raw, entropy = self._policy_gradient(batch, alpha)
        self._step_actor(batch, d_raw)
        self._temperature.update(entropy, c.learning_rate_at(self.updates))
        if self.updates % c.target_update_interval == 0:
            self._networks.update_targets(c.tau)

    def _draw_actions(self, states: Tiles, out: Tiles) -> Samples:
        """Draw a ~ pi(.|s) for every state of a batch, and write the actions where they belong."""
        (raw,) = self._actor.forward(states)
        return self._gaussian.sample(raw, out, self._streams["policy"])

    def _compute_targets(self, batch: Batch, alpha: float) -> Tiles:
        """Return y, what the critics are to say of the batch, float32 [tiles, 1, width]."""
        c, y = self.config, self._y
        # a' ~ pi(.|s')
        log_pi = self._draw_actions(batch.next_states, batch.next_actions).log_probability
        # y = r + gamma (1 - terminated) (min_i Q'_i(s', a') - alpha ln pi(a'|s'))
        # with n_steps, r and gamma are those of windows
        next_values = self._target_critics.forward(batch.next_states_actions)
        minimum(next_values, c.gamma, batch.continues, batch.rewards, out=y)
        y -= np.float32(c.gamma * alpha) * batch.continues * log_pi
        if batch.steps > 1:
            # y -= alpha gamma^k ln pi(a_k|s_k), a_k ~ pi(.|s_k), for the states between; a_k in place of a'
            for between in batch.between:
                states, discounts = between[:, : self.observation_size], between[:, self.observation_size :]
                log_pi = self._draw_actions(states, batch.next_actions).log_probability
                y -= np.float32(alpha) * discounts * log_pi
        return y

    def _policy_gradient(self, batch: Batch, alpha: float) -> tuple[Tiles, float]:
        """Return the gradient of L = mean (alpha ln pi(a|s) - min_i Q_i(s, a)) for the outputs of the actor.

        Returns:
            The gradient, float32 [tiles, 2 * action, width], and the entropy of the policy, the mean of -ln pi(a|s).
        """
        # a ~ pi(.|s) in place of the batch's actions, which have served
        samples = self._draw_actions(batch.states, batch.actions)
        q1, q2 = self._critics.forward(batch.states_actions)
        self._policy_values = np.minimum(q1, q2)
        entropy = self._entropy = -float(np.vdot(samples.log_probability, batch.weights))
        # dL/dQ_i = -1/batch for the smaller one; dL/da sums over both critics, no parameter of theirs is needed
        first, share = q1 <= q2, -batch.weights
        d_q1, d_q2 = d_values = self._d_values
        np.multiply(first, share, out=d_q1)
        np.multiply(~first, share, out=d_q2)
        d_actions, of_second = self._critics.input_gradients(batch.states_actions, d_values, self.observation_size)
        d_actions += of_second
        # through a = tanh(mean + exp(log_std) N(0, 1)) and through ln pi(a|s), dL/dln pi = alpha / batch
        return self._gaussian.gradient(samples, d_actions, np.float32(alpha) * batch.weights), entropy

    def diagnostics(self) -> dict[str, float]:
        """Return the scalars of `ActorCritic.diagnostics`; and of the policy the mean min_i Q_i(s, a) of its actions,
        its entropy in nats, and the temperature."""
        result = super().diagnostics()
        if result:
            result["policy_value"] = float(np.vdot(self._policy_values, self._batch.weights))
            result["entropy"] = self._entropy
            result["temperature"] = self._temperature.value
        return result

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs: networks, moments, targets, streams, counters, temperature."""
        arrays, values = super().state()
        return arrays, {**values, "temperature": self._temperature.state()}

    def load_state(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: an array or value is missing or does not fit this agent; the message names it. Nothing has
                changed then.
        """
        temperature = Temperature(self.config.temperature, self.config.target_entropy, self.action_size)
        temperature.load_state(values.get("temperature"))
        super().load_state(arrays, values)
        self._temperature = temperature
