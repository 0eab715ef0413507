"""TD3's update written from Fujimoto et al. 2018, Algorithm 1, on dense PyTorch networks with 0/1 masks."""

from __future__ import annotations

import torch
from masked import MaskedAgent


class TD3Oracle(MaskedAgent):
    """TD3 without rewiring, from the starting point of an agent and with its random numbers."""

    def update(self):
        c, n = self.config, self.networks
        self.updates += 1
        state, action, reward, next_state, terminated = self.sample()

        with torch.no_grad():
            noise = (self.standard_normal() * c.policy_noise).clamp(-c.noise_clip, c.noise_clip)
            next_action = (torch.tanh(n["target_actor"](next_state)) + noise).clamp(-1, 1)
            next_input = torch.cat([next_state, next_action], 1)
            target_q = torch.min(n["target_critic1"](next_input), n["target_critic2"](next_input))
            target_q = reward + (1 - terminated) * c.gamma * target_q
        critic_input = torch.cat([state, action], 1)
        losses = [torch.nn.functional.mse_loss(n[f"critic{i}"](critic_input), target_q) for i in (1, 2)]
        self.critic_losses = [loss.item() for loss in losses]
        self.target_mean = target_q.mean().item()
        self.descend(self.critic_optimiser, sum(losses), ("critic1", "critic2"))

        if self.updates % c.policy_delay == 0:
            loss = -n["critic1"](torch.cat([state, torch.tanh(n["actor"](state))], 1)).mean()
            self.policy_value = -loss.item()
            self.descend(self.actor_optimiser, loss, ("actor",))
            self.move_targets()
