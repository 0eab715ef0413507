"""What agents with an actor and twin critics have in common: their networks and diagnostics, not how they learn."""

from __future__ import annotations

from typing import ClassVar, TypeVar

import numpy as np

from rewirl.agents.architecture import Architecture
from rewirl.agents.config import LayersConfig
from rewirl.agents.networks import Networks
from rewirl.agents.policy import Policy
from rewirl.agents.replay_learner import ReplayLearner
from rewirl.nn import Initialisation, Tiles, empty_tiles
from rewirl.replay import Batch

ACTOR, CRITICS = ("actor",), ("critic1", "critic2")

Config = TypeVar("Config", bound=LayersConfig)


class ActorCritic(ReplayLearner[Config]):
    """An actor, twin critics, and targets of some of them, all of any density.

    Args:
        name: what to call the agent.
        config: hyper-parameters.
        observation_size: features of an observation.
        action_size: features of an action.
        actor_outputs: outputs of the actor, the first `action_size` of them the deterministic policy before its tanh.
        initialisation: of the weights.
        seed: of every random stream of the agent.
        threads: 2 computes the critics side by side; the results are the same.

    Raises:
        ValueError: the sparsity is impossible for these sizes, or there is no such rule.
    """

    ONLINE: ClassVar[tuple[str, ...]] = (*ACTOR, *CRITICS)
    SQUARED_ERRORS: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        config: Config,
        observation_size: int,
        action_size: int,
        actor_outputs: int,
        initialisation: Initialisation,
        seed: int,
        threads: int,
    ) -> None:
        # Of the last update: y, and Q_i - y.
        self._y, *self._errors = (empty_tiles(config.batch_size, 1) for _ in range(3))
        self._learnt: set[str] = set()
        architectures = {"actor": self.architecture("actor", config, observation_size, actor_outputs)}
        for critic in CRITICS:
            architectures[critic] = self.architecture(critic, config, observation_size + action_size, 1)
        super().__init__(name, config, observation_size, action_size, architectures, initialisation, seed, threads)

    @classmethod
    def architecture(cls, network: str, config: Config, n_in: int, n_out: int) -> Architecture:
        """Return what a network is made of: a chain of layers, unless a subclass says otherwise.

        Args:
            network: its name: actor, critic1 or critic2.
            config: hyper-parameters.
            n_in: number of inputs.
            n_out: number of outputs.
        """
        return Architecture.layered(n_in, config, n_out)

    def _use(self, networks: Networks) -> Policy:
        self._learnt.clear()
        self._actor = networks.ensemble(*ACTOR)
        self._critics = networks.ensemble(*CRITICS)
        self._target_critics = networks.ensemble("target_critic1", "target_critic2")
        return Policy(networks.online["actor"], self.action_size)

    def _fit_critics(self, batch: Batch, y: Tiles) -> None:
        """Take a step of both critics down L_i = mean (Q_i(s, a) - y)^2, and do what falls on it."""
        c = self.config
        rate = c.learning_rate_at(self.updates)
        self._critics.regress(batch.states_actions, y, batch.weights, self._errors, rate, c.weight_decay)
        self._learnt.add("critics")
        self._networks.note_errors(self._errors, y, batch.weights)
        self._networks.after_step(CRITICS, batch.states_actions, batch.weights, self.updates)

    def _step_actor(self, batch: Batch, gradient: Tiles) -> None:
        """Take a step of the actor down a loss with this gradient of its outputs, and do what falls on it."""
        c = self.config
        self._actor.step(batch.states, [gradient], c.learning_rate_at(self.updates), c.weight_decay)
        self._learnt.add("actor")
        self._networks.after_step(ACTOR, batch.states, batch.weights, self.updates)

    def diagnostics(self) -> dict[str, float]:
        """Return named scalars of the last update; empty before the first.

        The critics' losses, the mean target, and those of `Networks.diagnostics` on the last batch.
        """
        if not self._learnt:
            return {}
        batch, w = self._batch, self._batch.weights.astype(np.float64)
        result = {f"critic{i}_loss": float((e**2 * w).sum()) for i, e in enumerate(self._errors, 1)}
        result["target_mean"] = float((self._y * w).sum())
        inputs = {ACTOR: batch.states, CRITICS: batch.states_actions}
        return {**result, **self._networks.diagnostics(inputs, batch.weights)}
