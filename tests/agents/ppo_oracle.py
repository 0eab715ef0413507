"""PPO written from Schulman et al. 2017 and 2016 on dense PyTorch networks with 0/1 masks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from composed import Composed

from rewirl import seeding
from rewirl.nn import normal


class Experience(NamedTuple):
    """Steps in the order in which they end; each array [steps, ...]."""

    observations: np.ndarray
    rewards: np.ndarray
    next_observations: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    environments: np.ndarray


class PPOOracle:
    """PPO without rewiring, from the starting point of an agent and with its random numbers.

    Args:
        agent: a new one, with a Box of actions if it has standard deviations.
        seed: of the agent.
        dtype: of all arithmetic.
    """

    def __init__(self, agent, seed, dtype):
        c = self.config = agent.config
        self.dtype, self.action_size = dtype, agent.action_size
        self.networks = {name: Composed(network, dtype) for name, network in agent.networks().items()}
        weights = [p for network in self.networks.values() for p in network.parameters.values()]
        self.parameters = list(weights)
        groups = [{"params": weights, "weight_decay": c.weight_decay}]
        self.log_std = None
        if agent._log_std is not None:
            start = torch.full((self.action_size,), float(np.log(c.initial_deviation)), dtype=dtype)
            self.log_std = start.requires_grad_(True)
            self.parameters.append(self.log_std)
            groups.append({"params": [self.log_std], "weight_decay": 0.0})
        self.optimiser = torch.optim.Adam(groups, lr=c.learning_rate, eps=c.adam_epsilon)
        self.exploration, self.order = (seeding.generator(seed, name) for name in ("exploration", "minibatches"))
        self.updates, self.clipped, self.norms = 0, 0, []

    def seen(self, x):
        return torch.tensor(np.float32(x), dtype=self.dtype)

    def policy(self, states):
        outputs = self.networks["actor"](states)
        if self.log_std is None:
            return torch.distributions.Categorical(logits=outputs)
        normals = torch.distributions.Normal(outputs, self.log_std.exp())
        return torch.distributions.Independent(normals, 1)

    def value(self, states):
        return self.networks["critic"](states)[:, 0]

    def act(self, state):
        """The action that the agent draws, from its random numbers."""
        with torch.no_grad():
            if self.log_std is None:
                logits = self.networks["actor"](state[None])[0].double().numpy()
                return torch.tensor(int(np.argmax(logits + self.exploration.gumbel(size=self.action_size))))
            noise = torch.tensor(normal(self.exploration, self.action_size), dtype=self.dtype)
            return self.networks["actor"](state[None])[0] + self.log_std.exp() * noise

    def learn(self, experience, states, next_states, actions, rewards):
        """Do all updates of a rollout.

        Args:
            experience: for its ends and environments.
            states: as networks saw them, [steps, observation].
            next_states: the same.
            actions: as they were drawn, [steps, ...].
            rewards: scaled, [steps].
        """
        c = self.config
        with torch.no_grad():
            values, next_values = self.value(states).double(), self.value(next_states).double()
            old = self.policy(states).log_prob(actions)
            deltas = rewards + c.gamma * (1 - torch.tensor(experience.terminated, dtype=torch.float64)) * next_values
            deltas -= values
            advantages = torch.tensor([self.sum(deltas, experience, t) for t in range(len(deltas))])
            returns = (advantages + values).to(self.dtype)
            self.explained = 1 - (advantages.var() / (advantages + values).var()).item()
            values, advantages = values.to(self.dtype), advantages.to(self.dtype)
        for _ in range(c.epochs):
            order = torch.tensor(self.order.permutation(len(states)))
            for i in order.split(c.batch_size):
                self.update(states[i], actions[i], old[i], advantages[i], returns[i], values[i])

    def sum(self, deltas, experience, t):
        """sum_l (gamma lambda)^l delta_{t+l}, over the steps of one episode in one environment."""
        total, weight = 0.0, 1.0
        for later in range(t, len(deltas)):
            if experience.environments[later] == experience.environments[t]:
                total += weight * float(deltas[later])
                weight *= self.config.gamma * self.config.gae_lambda
                if experience.terminated[later] or experience.truncated[later]:
                    break
        return total

    def update(self, states, actions, old, advantages, returns, old_values):
        c, policy, values = self.config, self.policy(states), self.value(states)
        self.updates += 1
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        ratio = (policy.log_prob(actions) - old).exp()
        bounded = ratio.clamp(1 - c.clip_range, 1 + c.clip_range)
        surrogate = torch.minimum(ratio * advantages, bounded * advantages)
        errors = (values - returns) ** 2
        if c.value_clip_range is not None:
            near = old_values + (values - old_values).clamp(-c.value_clip_range, c.value_clip_range)
            errors = torch.maximum(errors, (near - returns) ** 2)
        entropy = policy.entropy().mean()
        loss = -surrogate.mean() + c.value_coefficient * errors.mean() - c.entropy_coefficient * entropy
        self.told = {
            "actor_loss": -surrogate.mean().item(),
            "critic_loss": ((values - returns) ** 2).mean().item(),
            "entropy": entropy.item(),
            "kl": (ratio - 1 - ratio.log()).mean().item(),
            "explained_variance": self.explained,
            "clipped": ((ratio - 1).abs() > c.clip_range).double().mean().item(),
        }
        self.clipped += (ratio * advantages > bounded * advantages).sum().item()
        self.optimiser.zero_grad()
        loss.backward()
        self.norms.append(torch.nn.utils.clip_grad_norm_(self.parameters, c.max_gradient_norm).item())
        for group in self.optimiser.param_groups:
            group["lr"] = c.learning_rate_at(self.updates)
        self.optimiser.step()

    def arrays(self):
        """All that is learnt by name, float64."""
        found = {f"{name}.{key}": a for name, net in self.networks.items() for key, a in net.arrays().items()}
        return found | ({} if self.log_std is None else {"log_std": self.log_std.detach().double().numpy()})


def arrays_of(agent):
    """The same of an agent, dense."""
    found = {}
    for name, network in agent.networks().items():
        for layer in network.layers:
            found[f"{name}.{layer.name}.values"] = layer.weights().astype(np.float64)
            found[f"{name}.{layer.name}.bias"] = np.array(layer.bias, np.float64)
    return found | ({} if agent._log_std is None else {"log_std": agent._log_std.values})
