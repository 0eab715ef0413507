"""SAC's update written from Haarnoja et al. 2018b, Algorithm 1, on dense PyTorch networks with 0/1 masks."""

from __future__ import annotations

import torch
from masked import MaskedAgent
from torch.distributions import Normal, TanhTransform, TransformedDistribution


class SACOracle(MaskedAgent):
    """SAC without rewiring, from the starting point of an agent and with its random numbers."""

    def __init__(self, agent, transitions, seed, dtype):
        super().__init__(agent, transitions, seed, dtype)
        automatic = self.config.temperature == "auto"
        self.log_alpha = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
        self.alpha = 1.0 if automatic else self.config.temperature
        self.alpha_optimiser = torch.optim.Adam([self.log_alpha], lr=self.config.learning_rate) if automatic else None
        entropy = self.config.target_entropy
        self.target_entropy = -self.action_size if entropy is None else entropy

    def policy(self, state):
        """Actions and the logarithms of their probability density, [batch, action] and [batch, 1]."""
        mean, log_std = self.networks["actor"](state).chunk(2, dim=1)
        normal = Normal(mean, log_std.clamp(-20, 2).exp())
        before = normal.loc + normal.scale * self.standard_normal()
        transform = TanhTransform(cache_size=1)
        action = transform(before)
        return action, TransformedDistribution(normal, transform).log_prob(action).sum(1, keepdim=True)

    def update(self):
        c, n = self.config, self.networks
        self.updates += 1
        state, action, reward, next_state, terminated = self.sample()

        with torch.no_grad():
            next_action, log_probability = self.policy(next_state)
            next_input = torch.cat([next_state, next_action], 1)
            target_q = torch.min(n["target_critic1"](next_input), n["target_critic2"](next_input))
            target_q = reward + (1 - terminated) * c.gamma * (target_q - self.alpha * log_probability)
        critic_input = torch.cat([state, action], 1)
        losses = [torch.nn.functional.mse_loss(n[f"critic{i}"](critic_input), target_q) for i in (1, 2)]
        self.critic_losses = [loss.item() for loss in losses]
        self.target_mean = target_q.mean().item()
        self.descend(self.critic_optimiser, sum(losses), ("critic1", "critic2"))

        action, log_probability = self.policy(state)
        critic_input = torch.cat([state, action], 1)
        value = torch.min(n["critic1"](critic_input), n["critic2"](critic_input))
        self.policy_value, self.entropy = value.mean().item(), -log_probability.mean().item()
        self.descend(self.actor_optimiser, (self.alpha * log_probability - value).mean(), ("actor",))

        if self.alpha_optimiser is not None:
            loss = -self.log_alpha * (log_probability.detach().double() + self.target_entropy).mean()
            self.alpha_optimiser.zero_grad()
            loss.backward()
            self.alpha_optimiser.step()
            self.alpha = self.log_alpha.exp().item()
        if self.updates % c.target_update_interval == 0:
            self.move_targets()
