"""An agent of three networks that chooses between numbered actions, in a file of its own: SAC-Discrete (Christodoulou
2019). It shows what a new agent needs beside its line in the registry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rewirl.agents.architecture import Architecture
from rewirl.agents.config import ReplayConfig
from rewirl.agents.cost import Cost
from rewirl.agents.policy import Policy
from rewirl.agents.registry import Entry
from rewirl.agents.replay_learner import ReplayLearner
from rewirl.topology import TopologyConfig

VALUES, POLICY = ("q1", "q2"), ("policy",)


@dataclass(frozen=True)
class DiscreteSACConfig(ReplayConfig):
    temperature: float = 0.1
    """Weight of the entropy in the objective."""

    policy_every: int = 1
    """Updates of the values per update of the policy."""


class DiscreteSAC(ReplayLearner[DiscreteSACConfig]):
    ONLINE, TARGETS = (*POLICY, *VALUES), VALUES
    COST = Cost(ONLINE, {"policy": "policy_every"})
    STREAMS = {"exploration": "exploration"}  # noqa: RUF012
    ACTIONS = ("Discrete",)

    def __init__(self, name, config, observation_size, action_size, seed, threads=1):
        self._losses = {}
        mlp = Architecture.mlp(observation_size, *config.hidden_sizes, action_size)
        architectures = dict.fromkeys(self.ONLINE, mlp)
        super().__init__(name, config, observation_size, action_size, architectures, "fan-in", seed, threads)

    def _use(self, networks):
        self._losses = {}
        self._policies = networks.ensemble(*POLICY)
        self._values = networks.ensemble(*VALUES)
        self._target_values = networks.ensemble("target_q1", "target_q2")
        return Policy(networks.online["policy"], head="greedy")

    def _explore(self, observation):
        probabilities = np.exp(log_softmax(self._policy.actor.act(observation).astype(np.float64), axis=0))
        return int(self._networks.streams["exploration"].choice(self.action_size, p=probabilities))

    def update(self, replay):
        self.updates += 1
        batch, c = self._sample(replay), self.config
        # y = r + gamma (1 - terminated) sum_a pi(a|s') (min_i Q'_i(s', a) - alpha ln pi(a|s'))
        (logits,) = self._policies.forward(batch.next_states)
        log_pi = log_softmax(logits)
        soft = np.minimum(*self._target_values.forward(batch.next_states)) - np.float32(c.temperature) * log_pi
        value = (np.exp(log_pi) * soft).sum(axis=1, keepdims=True)
        y = batch.rewards + np.float32(c.gamma) * batch.continues * value
        # L_i = mean (Q_i(s, a) - y)^2, with a as 0s and a 1
        errors = [batch.actions * (q - y) for q in self._values.forward(batch.states)]
        gradients = [2 * batch.weights * error for error in errors]
        self._values.step(batch.states, gradients, c.learning_rate, c.weight_decay)
        self._networks.after_step(VALUES, batch.states, batch.weights, self.updates)
        losses = (float((error**2 * batch.weights).sum()) for error in errors)
        self._losses = dict(zip(("q1_loss", "q2_loss"), losses, strict=True))
        if self.updates % c.policy_every == 0:
            self._update_policy(batch)
            self._networks.update_targets(c.tau)

    def _update_policy(self, batch):
        # L = mean sum_a pi(a|s) (alpha ln pi(a|s) - min_i Q_i(s, a))
        c = self.config
        loss_of_choice = -np.minimum(*self._values.forward(batch.states))
        (logits,) = self._policies.forward(batch.states)
        log_pi = log_softmax(logits)
        pi = np.exp(log_pi)
        loss_of_choice += np.float32(c.temperature) * log_pi
        gradient = batch.weights * pi * (loss_of_choice - (pi * loss_of_choice).sum(axis=1, keepdims=True))
        self._policies.step(batch.states, [gradient], c.learning_rate, c.weight_decay)
        self._networks.after_step(POLICY, batch.states, batch.weights, self.updates)

    def diagnostics(self):
        if not self._losses:
            return {}
        inputs = {POLICY: self._batch.states, VALUES: self._batch.states}
        return {**self._losses, **self._networks.diagnostics(inputs, self._batch.weights)}


def log_softmax(logits, axis=1):
    shifted = logits - logits.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


ENTRY = Entry(
    "discrete-sac",
    DiscreteSAC,
    DiscreteSACConfig,
    TopologyConfig(sparsity=0.3, adapt_every=20),
    "DiscreteSAC",
    "SAC between numbered actions",
)
