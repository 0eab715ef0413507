"""PQN written from Gallici et al. 2025 (Algorithm 1) on dense PyTorch networks with 0/1 masks."""

from __future__ import annotations

import numpy as np
import torch
from composed import Composed

from rewirl import seeding


class PQNOracle:
    """PQN without rewiring, from the starting point of an agent and with its random numbers.

    Args:
        agent: a new one.
        seed: of the agent.
        dtype: of all arithmetic.
    """

    def __init__(self, agent, seed, dtype):
        c = self.config = agent.config
        self.dtype, self.action_size = dtype, agent.action_size
        self.q = Composed(agent.networks()["q"], dtype)
        self.parameters = list(self.q.parameters.values())
        self.optimiser = torch.optim.RAdam(
            self.parameters, lr=c.learning_rate, weight_decay=c.weight_decay, eps=c.adam_epsilon
        )
        self.exploration, self.order = (seeding.generator(seed, name) for name in ("exploration", "minibatches"))
        self.explored, self.updates, self.random, self.norms = 0, 0, 0, []

    def act(self, observation):
        """The action that the agent chooses, from its random numbers."""
        c = self.config
        share = min(self.explored / c.epsilon_steps, 1)
        self.explored += 1
        if self.exploration.random() < c.epsilon_start + share * (c.epsilon_end - c.epsilon_start):
            self.random += 1
            return int(self.exploration.integers(self.action_size))
        with torch.no_grad():
            return int(self.q(torch.tensor(observation[None], dtype=self.dtype)).argmax())

    def learn(self, experience, actions):
        """Do all updates of a rollout; actions are numbers, [steps]."""
        c = self.config
        states, after = (
            torch.tensor(x, dtype=self.dtype) for x in (experience.observations, experience.next_observations)
        )
        with torch.no_grad():
            bootstraps = self.q(after).max(dim=1).values.double()
        returns = torch.tensor([self.summed(experience, bootstraps, t) for t in range(len(states))])
        actions, returns = torch.tensor(actions)[:, None], returns.to(self.dtype)
        for _ in range(c.epochs):
            for i in torch.tensor(self.order.permutation(len(states))).split(c.batch_size):
                self.updates += 1
                loss = 0.5 * ((self.q(states[i]).gather(1, actions[i])[:, 0] - returns[i]) ** 2).mean()
                self.told = {"q_loss": loss.item(), "target_mean": returns[i].mean().item()}
                self.optimiser.zero_grad()
                loss.backward()
                self.norms.append(torch.nn.utils.clip_grad_norm_(self.parameters, c.max_gradient_norm).item())
                for group in self.optimiser.param_groups:
                    group["lr"] = c.learning_rate_at(self.updates)
                self.optimiser.step()

    def summed(self, experience, bootstraps, t):
        """G_t = r + gamma (1 - d) ((1 - lambda) max_a Q(s', a) + lambda G_{t+1}); what cuts an episode bootstraps."""
        c, reward = self.config, float(experience.rewards[t])
        if experience.terminated[t]:
            return reward
        value = float(bootstraps[t])
        same = np.flatnonzero(experience.environments[t + 1 :] == experience.environments[t])
        if experience.truncated[t] or not len(same):
            return reward + c.gamma * value
        later = self.summed(experience, bootstraps, t + 1 + int(same[0]))
        return reward + c.gamma * ((1 - c.return_lambda) * value + c.return_lambda * later)

    def arrays(self):
        """All that is learnt by name, copied, float64."""
        return {name: array.copy() for name, array in self.q.arrays().items()}
