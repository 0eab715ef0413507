"""Stream-x written from Elsayed et al. 2024 on dense PyTorch networks with 0/1 masks: each step by autograd."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional


class Masked(torch.nn.Module):
    """LeakyReLU of layer norms; absent connections are multiplied by zero. With traces and ObGD."""

    def __init__(self, network):
        super().__init__()
        self.layers = [layer.name for layer in network.layers]
        self.weights = torch.nn.ParameterList(double(layer.weights()) for layer in network.layers)
        self.biases = torch.nn.ParameterList(double(np.array(layer.bias)) for layer in network.layers)
        self.masks = [mask_of(layer) for layer in network.layers]
        self.traces = [torch.zeros_like(each) for each in self.parameters()]

    def forward(self, x):
        for index, (weight, bias, mask) in enumerate(zip(self.weights, self.biases, self.masks, strict=True)):
            x = functional.linear(x, weight * mask, bias)
            if index + 1 < len(self.weights):
                x = functional.leaky_relu(functional.layer_norm(x, x.shape, eps=1e-5), 0.01)
        return x

    def obgd(self, what, delta, alpha, kappa, decay, reset):
        """z <- decay z + grad what;  w <- w + min(alpha, alpha / (alpha kappa max(|delta|, 1) ||z||_1)) delta z."""
        gradients = torch.autograd.grad(what, list(self.parameters()))
        self.traces = [decay * z + g for z, g in zip(self.traces, gradients, strict=True)]
        bound = alpha * kappa * max(abs(delta), 1.0) * sum(float(z.abs().sum()) for z in self.traces)
        with torch.no_grad():
            for w, z in zip(self.parameters(), self.traces, strict=True):
                w += min(alpha, alpha / bound) * delta * z
        if reset:
            self.traces = [torch.zeros_like(z) for z in self.traces]


class Normaliser:
    """Observations and rewards by the means and deviations of all that was seen, computed anew each time."""

    def __init__(self, gamma):
        self.gamma, self.seen, self.returns, self.running = gamma, [], [], 0.0

    def state(self, observation):
        self.seen.append(np.float64(observation))
        spread = np.var(self.seen, axis=0, ddof=1) if len(self.seen) > 1 else 1.0
        return torch.tensor((self.seen[-1] - np.mean(self.seen, axis=0)) / np.sqrt(spread + 1e-8))

    def reward(self, reward, over):
        self.returns.append(self.gamma * self.running + reward)
        self.running = 0.0 if over else self.returns[-1]
        return reward / np.sqrt((np.var(self.returns, ddof=1) if len(self.returns) > 1 else 1.0) + 1e-8)


class StreamOracle:
    """An agent of stream-x from the starting point of one, with its actions.

    Args:
        agent: a new one, which is asked for the action before each step and has learnt from it before `learn`.
    """

    def __init__(self, agent):
        self.config, self.normaliser = agent.config, Normaliser(agent.config.gamma)
        self.networks = {name: Masked(network) for name, network in agent.networks().items()}
        self.state, self.updates = None, 0

    def learn(self, observation, reward, after, terminated, truncated, learn):
        """Learn from a step; `learn` gets s, r, s', gamma or 0, and whether the episode is over."""
        c, over = self.config, terminated or truncated
        self.updates += 1
        state = self.normaliser.state(observation) if self.state is None else self.state
        following = self.normaliser.state(after)
        final = terminated or (truncated and c.truncated_is_terminal)
        delta = learn(state, self.normaliser.reward(reward, over), following, 0.0 if final else c.gamma, over)
        self.state = None if over else following
        return delta

    def actor_critic(self, action):
        def learn(state, reward, after, discount, over):
            c, actor, critic = self.config, self.networks["actor"], self.networks["critic"]
            value, decay = critic(state)[0], c.gamma * c.trace_decay
            delta = reward + discount * critic(after)[0].item() - value.item()
            rate = c.learning_rate_at(self.updates)
            critic.obgd(value, delta, rate, c.kappa, decay, over)
            mean, raw = actor(state).chunk(2)
            normal = torch.distributions.Normal(mean, functional.softplus(raw))
            grows = normal.log_prob(double(action)) + c.entropy * np.sign(delta) * normal.entropy()
            actor.obgd(grows.sum(), delta, rate, c.actor_kappa, decay, over)
            return delta

        return learn

    def q(self, action, next_action, reset):
        """next_action: None is the best one (Q); else a' (SARSA)."""

        def learn(state, reward, after, discount, over):
            c, q = self.config, self.networks["q"]
            values, value = q(after).detach(), q(state)[action]
            delta = reward + discount * float(values.max() if next_action is None else values[next_action])
            delta -= value.item()
            rate = c.learning_rate_at(self.updates)
            q.obgd(value, delta, rate, c.kappa, c.gamma * c.trace_decay, over or reset)
            return delta

        return learn


def double(array):
    return torch.tensor(array, dtype=torch.float64)


def mask_of(layer):
    mask = np.zeros(layer.shape).reshape(-1)
    mask[layer.places()] = 1.0
    return double(mask.reshape(layer.shape))
