"""One update each of SimBa, XQC and CrossQ, written from the papers' formulas on PyTorch's autograd."""

from __future__ import annotations

import torch
from composed import ComposedAgent


class SimBaOracle(ComposedAgent):
    """Lee et al. 2025: SAC with one or two critics, soft targets, AdamW, and log_std = -10 + 6 (1 + tanh)."""

    def policy(self, state):
        return self.drawn(self.networks["actor"](state), lambda x: -10 + 6 * (1 + torch.tanh(x)))

    def least(self, values):
        return torch.cat(values, 1).min(1, keepdim=True).values

    def update(self):
        c, n = self.config, self.networks
        state, action, reward, next_state, terminated = self.sample()
        # actor
        mine, log_pi = self.policy(state)
        critics = range(1, 1 + c.n_critics)
        value = self.least([n[f"critic{i}"](torch.cat([state, mine], 1)) for i in critics])
        self.told |= {"policy_value": value.mean().item(), "entropy": -log_pi.mean().item()}
        self.descend((self.alpha * log_pi - value).mean(), "actor")
        # temperature
        self.temper(log_pi, -self.action_size / 2)
        # critics
        with torch.no_grad():
            next_action, next_log_pi = self.policy(next_state)
            both = torch.cat([next_state, next_action], 1)
            value = self.least([n[f"target_critic{i}"](both) for i in critics])
            y = reward + c.gamma * (1 - terminated) * (value - self.alpha * next_log_pi)
        self.told["target_mean"] = y.mean().item()
        for i in critics:
            loss = ((n[f"critic{i}"](torch.cat([state, action], 1)) - y) ** 2).mean()
            self.told[f"critic{i}_loss"] = loss.item()
            self.descend(loss, f"critic{i}")
        self.move_targets()


class XQCOracle(ComposedAgent):
    """Palenicek et al. 2026: joint batches through batch norm, categorical critics, weights of unit norm.

    `judges` are critics after their step, by name, that the policy is judged by in place of the oracle's own.
    """

    judges = None

    def policy(self, state, training):
        return self.drawn(self.networks["actor"](state, training), lambda x: x.clamp(-10, 2))

    def update(self):
        c, n = self.config, self.networks
        bins = torch.linspace(-c.bound, c.bound, c.bins, dtype=self.dtype)
        state, action, reward, next_state, terminated = self.sample()
        progress = min((self.updates - 1) / c.learning_rate_updates, 1)
        rate = c.learning_rate + progress * (c.learning_rate_end - c.learning_rate)
        # critics
        half = len(state)
        with torch.no_grad():
            next_action, log_pi = self.policy(next_state, training=False)
            joint = torch.cat([torch.cat([state, action], 1), torch.cat([next_state, next_action], 1)])
            p = [torch.softmax(n[f"target_critic{i}"](joint)[half:], 1) for i in (1, 2)]
            smaller = (p[0] @ bins <= p[1] @ bins)[:, None]
            least = torch.where(smaller, *p)
            places = reward + c.gamma * (1 - terminated) * (bins - self.alpha * log_pi)
            # a mass at a place between two bins is shared in proportion to the distances from them
            step = bins[1] - bins[0]
            share = (1 - (places.clamp(-c.bound, c.bound)[:, :, None] - bins).abs() / step).clamp(min=0)
            m = (least[:, :, None] * share).sum(1)
        self.told["target_mean"] = (m @ bins).mean().item()
        for i in (1, 2):
            logits = n[f"critic{i}"](joint)[:half]
            loss = -(m * torch.log_softmax(logits, 1)).sum(1).mean()
            self.told[f"critic{i}_loss"] = loss.item()
            self.descend(loss, f"critic{i}", rate=rate)
            n[f"critic{i}"].update_statistics()
        self.move_targets()
        # actor and temperature
        outputs = n["actor"](state)
        if self.updates % c.policy_delay == 0:
            mine, log_pi = self.drawn(outputs, lambda x: x.clamp(-10, 2))
            both = torch.cat([state, mine], 1)
            judges = self.judges or n
            value = torch.min(*(torch.softmax(judges[f"critic{i}"](both, False), 1) @ bins for i in (1, 2)))[:, None]
            self.told |= {"policy_value": value.mean().item(), "entropy": -log_pi.mean().item()}
            self.descend((self.alpha * log_pi - value).mean(), "actor", rate=rate)
            self.temper(log_pi, -self.action_size / 2, rate)
        n["actor"].update_statistics()


class CrossQOracle(ComposedAgent):
    """Bhatt et al. 2024: joint batches through batch renormalisation, no targets, Adam with beta1 = 0.5."""

    def __init__(self, agent, transitions, seed, dtype):
        super().__init__(agent, transitions, seed, dtype, beta1=0.5)

    def update(self):
        c, n = self.config, self.networks
        state, action, reward, next_state, terminated = self.sample()
        half = len(state)
        with torch.no_grad():
            next_action, log_pi = self.drawn(n["actor"](next_state, False), lambda x: x.clamp(-20, 2))
            joint = torch.cat([torch.cat([state, action], 1), torch.cat([next_state, next_action], 1)])
        values = [n[f"critic{i}"](joint) for i in (1, 2)]
        least = torch.min(*(value[half:] for value in values)).detach()
        y = reward + c.gamma * (1 - terminated) * (least - self.alpha * log_pi)
        self.told["target_mean"] = y.mean().item()
        for i, value in enumerate(values, 1):
            loss = ((value[:half] - y) ** 2).mean()
            self.told[f"critic{i}_loss"] = loss.item()
            self.descend(loss, f"critic{i}")
            n[f"critic{i}"].update_statistics()
        if self.updates % c.policy_delay == 0:
            mine, log_pi = self.drawn(n["actor"](state), lambda x: x.clamp(-20, 2))
            n["actor"].update_statistics()
            both = torch.cat([state, mine], 1)
            value = torch.min(*(n[f"critic{i}"](both, False) for i in (1, 2)))
            self.told |= {"policy_value": value.mean().item(), "entropy": -log_pi.mean().item()}
            self.descend((self.alpha * log_pi - value).mean(), "actor")
            self.temper(log_pi, -float(self.action_size))
