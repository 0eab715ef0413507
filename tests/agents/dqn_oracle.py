"""DQN's update written from Mnih et al. 2015 and van Hasselt et al. 2016 on dense PyTorch networks with 0/1 masks."""

from __future__ import annotations

import torch
from masked import MaskedMLP, gradients

from rewirl import seeding


class DQNOracle:
    """DQN without rewiring, from the starting point of an agent and with its random numbers.

    Args:
        agent: a new one.
        transitions: observations, actions as 0s and a 1, rewards, next observations, terminated, and whether an episode
            ends here; in the order of the replay, whose memory is not full.
        seed: of agent and replay memory.
        dtype: of all arithmetic.
    """

    def __init__(self, agent, transitions, seed, dtype):
        self.config, self.dtype = agent.config, dtype
        self.networks = {name: MaskedMLP(network, dtype) for name, network in agent.networks().items()}
        self.data = [torch.tensor(part, dtype=torch.float32).to(dtype) for part in transitions]
        self.indices = seeding.generator(seed, "replay")
        c = self.config
        self.optimiser = torch.optim.Adam(
            self.networks["q"].parameters(), lr=c.learning_rate, weight_decay=c.weight_decay, eps=c.adam_epsilon
        )
        self.updates = 0

    def window(self, first):
        """State, action, discounted reward, next state, discount of its value, of the window that begins there."""
        states, actions, rewards, next_states, terminated, ends = self.data
        reward, discount, at = 0.0, 1.0, int(first)
        for step in range(self.config.n_steps):
            at = int(first) + step
            reward = reward + discount * rewards[at]
            discount *= self.config.gamma
            if ends[at] or at + 1 == len(states):
                break
        return states[first], actions[first], reward, next_states[at], discount * (1 - terminated[at])

    def update(self):
        c, q, target = self.config, self.networks["q"], self.networks["target_q"]
        self.updates += 1
        drawn = self.indices.integers(len(self.data[0]), size=c.batch_size)
        state, action, reward, next_state, discount = (
            torch.stack(part) for part in zip(*(self.window(first) for first in drawn), strict=True)
        )
        with torch.no_grad():
            judge = q if c.double_q else target
            best = judge(next_state).argmax(1, keepdim=True)
            y = reward + discount * target(next_state).gather(1, best)
        value = q(state).gather(1, action.argmax(1, keepdim=True))
        loss_of = torch.nn.functional.huber_loss if c.loss == "huber" else torch.nn.functional.mse_loss
        loss = loss_of(value, y)
        self.loss, self.target_mean = loss.item(), y.mean().item()
        self.optimiser.zero_grad()
        loss.backward()
        self.gradients = gradients(q)
        for group in self.optimiser.param_groups:
            group["lr"] = c.learning_rate_at(self.updates)
        self.optimiser.step()
        if self.updates % c.target_update_interval == 0:
            with torch.no_grad():
                for online, theirs in zip(q.parameters(), target.parameters(), strict=True):
                    theirs.copy_(c.tau * online + (1 - c.tau) * theirs)
