"""SimBa, Static-SimBa and DS-SimBa: SAC on residual networks with layer norm (Lee et al. 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rewirl.agents.actor_critic import ACTOR, CRITICS
from rewirl.agents.architecture import Architecture
from rewirl.agents.cost import Cost
from rewirl.agents.networks import Networks
from rewirl.agents.policy import Policy
from rewirl.agents.soft import SoftActorCritic, SoftConfig
from rewirl.nn import Initialisation, LogStd, Operation, Tiles, empty_tiles, minimum, residual
from rewirl.nn.operations import Linear, named
from rewirl.replay import Batch, Replay


@dataclass(frozen=True)
class SimBaConfig(SoftConfig):
    """Hyper-parameters of SimBa; the defaults are the paper's, with gamma for episodes of 1,000 steps."""

    hidden_sizes: tuple[int, ...] = (512, 512)
    """Features of the residual blocks of the critics, a number for each block, all the same. Within a block there are
    four times as many. Typical: 512 512."""

    actor_hidden_sizes: tuple[int, ...] = (128,)
    """Features of the residual blocks of the actor. Typical: 128."""

    n_critics: int = 2
    """Critics, of whose values the smallest counts: 1, as the paper has it on the DeepMind Control Suite, or 2."""

    learning_rate: float = 1e-4

    weight_decay: float = 1e-2
    """Share of all weights, biases and scales that is taken away in every step, times the step size (AdamW). Typical:
    0 to 1e-2."""

    gamma: float = 0.995
    """Discount of future rewards per step; the paper's is clip((T/5 - 1) / (T/5), 0.95, 0.995), with T the steps of an
    episode. Typical: 0.95 to 0.995."""

    learning_starts: int = 5_000

    initial_temperature: float = 0.01

    normalise_observations: bool = True

    def __post_init__(self) -> None:
        """Validate."""
        super().__post_init__()
        for name in ("hidden_sizes", "actor_hidden_sizes"):
            sizes = getattr(self, name)
            self._require(name, len(set(sizes)) == 1, "the same size for every block")
        self._require("n_critics", self.n_critics in (1, 2), "1 or 2")


class SimBa(SoftActorCritic[SimBaConfig]):
    """SAC on SimBa's networks, of any density.

    Args:
        name: what to call it: simba, static-simba or ds-simba.
        config: hyper-parameters.
        observation_size: features of an observation.
        action_size: features of an action.
        seed: of every random stream of the agent.
        threads: 2 computes the critics side by side; the results are the same.

    Raises:
        ValueError: the sparsity is impossible for these sizes, or there is no such rule.
    """

    TARGETS: ClassVar[tuple[str, ...]] = CRITICS
    SQUARED_ERRORS: ClassVar[bool] = True
    COST = Cost(SoftActorCritic.ONLINE, numbers={"critic2": ("n_critics", 2)})

    def __init__(
        self, name: str, config: SimBaConfig, observation_size: int, action_size: int, seed: int, threads: int = 1
    ) -> None:
        critics = CRITICS[: config.n_critics]
        # Of the last update: y, and Q_i - y.
        self._y, *self._errors = (empty_tiles(config.batch_size, 1) for _ in range(1 + len(critics)))
        self._d_values = [empty_tiles(config.batch_size, 1) for _ in critics]
        architectures = {"actor": _architecture(observation_size, residual(config.actor_hidden_sizes, 2 * action_size))}
        critic = _architecture(observation_size + action_size, residual(config.hidden_sizes, 1))
        architectures |= dict.fromkeys(critics, critic)
        # log_std = -10 + 6 (1 + tanh output), and a target entropy of -|A| / 2
        log_std, entropy = LogStd(-10.0, 2.0, soft=True), -action_size / 2
        super().__init__(
            name, config, observation_size, action_size, architectures, log_std, entropy, "orthogonal", seed, threads
        )

    def _use(self, networks: Networks) -> Policy:
        policy = super()._use(networks)
        self._target_critics = networks.ensemble(*(f"target_{name}" for name in self._critic_names))
        return policy

    def update(self, replay: Replay) -> None:
        """Do one update, in the order of the paper's code: actor, temperature, critics, targets."""
        c = self.config
        self.updates += 1
        batch = self._sample(replay)
        self._fit_actor(batch)
        self._temperature.update(self._told["entropy"], self._learning_rate)
        self._fit_critics(batch, self._compute_targets(batch))
        # Q'_i <- tau Q_i + (1 - tau) Q'_i
        self._networks.update_targets(c.tau)

    def _fit_actor(self, batch: Batch) -> None:
        """Take a step of the actor down L = mean (alpha ln pi(a|s) - min_i Q_i(s, a)), a ~ pi(.|s)."""
        c, stored = self.config, batch.actions.copy()
        samples = self._draw_actions(self._actor, batch.states, batch.actions)
        values = np.stack(self._critics.forward(batch.states_actions))
        self._told["policy_value"] = float(np.vdot(values.min(axis=0), batch.weights))
        # dL/dQ_i = -1/batch for the smallest one; dL/da sums over the critics, no parameter of theirs is needed
        smallest = values.argmin(axis=0)
        for number, gradient in enumerate(self._d_values):
            np.multiply(smallest == number, -batch.weights, out=gradient)
        d_actions = self._critics.input_gradients(batch.states_actions, self._d_values, self.observation_size)
        d_raw = self._actor_gradient(batch, samples, d_actions, self._temperature.value)
        rate = self._actor_learning_rate
        self._actor.step(batch.states, [d_raw], rate, c.weight_decay, decoupled=True)
        self._networks.after_step(ACTOR, batch.states, batch.weights, self.updates)
        batch.actions[...] = stored  # the critics learn from what was done

    def _compute_targets(self, batch: Batch) -> Tiles:
        """Return y = r + gamma (1 - terminated) (min_i Q'_i(s', a') - alpha ln pi(a'|s')), a' ~ pi(.|s').

        Actor and temperature are those after their steps; y is float32 [tiles, 1, width].
        """
        c, y, alpha = self.config, self._y, self._temperature.value
        log_pi = self._draw_actions(self._actor, batch.next_states, batch.next_actions).log_probability
        next_values = self._target_critics.forward(batch.next_states_actions)
        minimum(next_values, c.gamma, batch.continues, batch.rewards, out=y)
        y -= np.float32(c.gamma * alpha) * batch.continues * log_pi
        return y

    def _fit_critics(self, batch: Batch, y: Tiles) -> None:
        """Take a step of every critic down L_i = mean (Q_i(s, a) - y)^2."""
        c = self.config
        self._critics.regress(
            batch.states_actions, y, batch.weights, self._errors, self._learning_rate, c.weight_decay, decoupled=True
        )
        self._networks.note_errors(self._errors, y, batch.weights)
        self._networks.after_step(self._critic_names, batch.states_actions, batch.weights, self.updates)
        errors = self._errors  # and not the agent: a circle of references would keep it when it is forgotten
        self._of_critics = lambda: (
            [float((e.astype(np.float64) ** 2 * batch.weights).sum()) for e in errors],
            float(np.vdot(y, batch.weights)),
        )


def _architecture(n_in: int, operations: list[Operation]) -> Architecture:
    """Return a network whose first and last weights begin orthogonal and those of its blocks as He et al. 2015 say."""
    names = [name for operation, name, _ in named(operations) if isinstance(operation, Linear)]
    starts: dict[str, Initialisation] = dict.fromkeys(names, "he")
    return Architecture(n_in, operations, {**starts, "embed": "orthogonal", "output": "orthogonal"})
