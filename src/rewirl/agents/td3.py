"""TD3, Static-TD3 and DS-TD3 (Fujimoto et al. 2018; Sokar et al. 2022, Algorithm 1): they differ by topology alone."""

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
from rewirl.agents.exploration import OrnsteinUhlenbeck
from rewirl.agents.networks import Networks
from rewirl.agents.policy import Policy
from rewirl.nn import Tiles, empty_tiles, minimum, squash, squash_gradient
from rewirl.replay import Batch, Replay


@dataclass(frozen=True)
class TD3Config(LayersConfig):
    """Hyper-parameters of TD3."""

    weight_decay: float = 2e-4
    batch_size: int = 100
    learning_starts: int = 25_000

    policy_delay: int = 2
    """Critic updates per update of actor and targets, d in the paper. Typical: 1 to 2."""

    policy_noise: float = 0.2
    """Standard deviation of the noise that smooths the target policy, in units of [-1, 1]. Typical: 0.1 to 0.2."""

    noise_clip: float = 0.5
    """Bound of that noise. Typical: 0.5."""

    exploration_noise: float = 0.1
    """Standard deviation of the noise on actions while training, in units of [-1, 1]. Typical: 0.1 to 0.3."""

    exploration: Literal["normal", "ornstein-uhlenbeck"] = "normal"
    """What that noise is: normal, drawn anew at every step; or ornstein-uhlenbeck, which wanders slowly and which
    --exploration-noise pushes, for tasks that take a long push in one direction. It wanders while training alone: what
    `predict` adds is drawn anew. Typical: normal."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        self._require("policy_delay", self.policy_delay >= 1, "at least 1")
        self._require("policy_noise", 0 <= self.policy_noise < inf, "finite, 0 or more")
        self._require("noise_clip", 0 <= self.noise_clip < inf, "finite, 0 or more (1e9 clips nothing)")
        self._require("exploration_noise", 0 <= self.exploration_noise < inf, "finite, 0 or more")


class TD3(ActorCritic[TD3Config]):
    """Twin delayed deep deterministic policy gradient on networks of any density.

    Args:
        name: what to call it: td3, static-td3 or ds-td3.
        config: hyper-parameters.
        observation_size: features of an observation.
        action_size: features of an action.
        seed: of every random stream of the agent.
        threads: 2 computes the critics side by side; the results are the same.

    Raises:
        ValueError: the sparsity is impossible for these sizes, or there is no such rule.
    """

    TARGETS: ClassVar[tuple[str, ...]] = ("actor", "critic1", "critic2")
    COST = Cost(ActorCritic.ONLINE, {"actor": "policy_delay"})
    STREAMS: ClassVar[Mapping[str, str]] = {"exploration": "exploration noise", "smoothing": "policy noise"}

    def __init__(
        self, name: str, config: TD3Config, observation_size: int, action_size: int, seed: int, threads: int = 1
    ) -> None:
        # Of the last update of the actor: Q_1(s, pi(s)) / batch.
        self._policy_values = empty_tiles(config.batch_size, 1)
        self._wandering: OrnsteinUhlenbeck | None = None
        if config.exploration == "ornstein-uhlenbeck":
            self._wandering = OrnsteinUhlenbeck(action_size, config.exploration_noise)
        super().__init__(name, config, observation_size, action_size, action_size, "fan-in", seed, threads)
        self._d_values = -self._batch.weights

    def _use(self, networks: Networks) -> Policy:
        policy = super()._use(networks)
        self._first_critic = self._critics.subset(0)
        self._target_actor = networks.ensemble("target_actor")
        return policy

    def explore(self, observation: NDArray[np.float32], environment: int = 0) -> NDArray[np.float32]:
        """Return an action for training; see `Agent`."""
        action = self._explore(self._policy.seen(observation))
        if self._wandering is not None:
            action += self._wandering.step(self._streams["exploration"], environment)
            np.clip(action, -1, 1, out=action)
        return action

    def _explore(self, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return pi(s) + N(0, exploration_noise), clipped, or pi(s) where what is added wanders.

        Args:
            observation: float32 [observation], as networks see it.

        Returns:
            float32 [action] in [-1, 1].
        """
        actor = self._policy.actor
        if self._wandering is not None:
            return actor.act_squashed(observation)
        return actor.act_squashed(observation, self._streams["exploration"], self.config.exploration_noise)

    def update(self, replay: Replay) -> None:
        """Do one update (Sokar et al. 2022, Algorithm 1, the body of the loop after a transition is stored)."""
        self.updates += 1
        batch = self._sample(replay)
        y = self._compute_targets(batch)
        self._fit_critics(batch, y)
        if self.updates % self.config.policy_delay == 0:
            d_raw = self._policy_gradient(batch)
            self._step_actor(batch, d_raw)
            self._networks.update_targets(self.config.tau)

    def _compute_targets(self, batch: Batch) -> Tiles:
        """Return y, what the critics are to say of the batch, float32 [tiles, 1, width]."""
        c, y, next_actions = self.config, self._y, batch.next_actions
        # a' = clip(pi'(s') + clip(N(0, policy_noise), -noise_clip, noise_clip), -1, 1), with pi' = tanh of the outputs
        (raw,) = self._target_actor.forward(batch.next_states)
        squash(raw, next_actions, self._streams["smoothing"], c.policy_noise, c.noise_clip)
        # y = r + gamma (1 - terminated) min_i Q'_i(s', a'); with n_steps, r and gamma are those of windows
        next_values = self._target_critics.forward(batch.next_states_actions)
        minimum(next_values, c.gamma, batch.continues, batch.rewards, out=y)
        return y

    def _policy_gradient(self, batch: Batch) -> Tiles:
        """Return the gradient of L = -mean Q_1(s, pi(s)) for the outputs of the actor."""
        # pi(s) = tanh of the outputs; the actions of the batch have served, so it takes their place
        (raw,) = self._actor.forward(batch.states)
        actions = batch.actions
        squash(raw, actions)
        (values,) = self._first_critic.forward(batch.states_actions)
        np.multiply(values, batch.weights, out=self._policy_values)
        # dL/da = -(1/batch) dQ_1/da; only the action columns of the first layer are needed, no parameter of Q_1 is
        (gradient,) = self._first_critic.input_gradients(batch.states_actions, [self._d_values], self.observation_size)
        # through a = tanh(z): dL/dz = dL/da (1 - a^2), in place
        squash_gradient(actions, gradient)
        return gradient

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return everything an exact continuation needs: networks, moments, targets, streams, counters, noise."""
        arrays, values = super().state()
        return arrays, values if self._wandering is None else {**values, "wandering": self._wandering.state()}

    def load_state(self, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: an array or value is missing or does not fit this agent; the message names it. Nothing has
                changed then.
        """
        wandering = self._wandering
        if wandering is not None:
            wandering = OrnsteinUhlenbeck(self.action_size, self.config.exploration_noise)
            wandering.load_state(values.get("wandering"))
        super().load_state(arrays, values)
        self._wandering = wandering

    def diagnostics(self) -> dict[str, float]:
        """Return the scalars of `ActorCritic.diagnostics`, and the mean Q_1(s, pi(s)) once the actor has learnt."""
        result = super().diagnostics()
        if "actor" in self._learnt:
            result["policy_value"] = float(self._policy_values.sum(dtype=np.float64))
        return result
