"""TD3's update written from Fujimoto et al. 2018, Algorithm 1, on dense PyTorch networks with 0/1 masks."""

from __future__ import annotations

import numpy as np
import torch

from rewirl import seeding
from rewirl.nn import normal, tile_shape


class MaskedMLP(torch.nn.Module):
    """A dense network whose absent connections are multiplied by zero."""

    def __init__(self, network, dtype):
        super().__init__()
        self.weights, self.biases, self.masks = torch.nn.ParameterList(), torch.nn.ParameterList(), []
        for layer in network.layers:
            mask = np.zeros(layer.shape).reshape(-1)
            mask[layer.places()] = 1.0
            self.masks.append(torch.tensor(mask.reshape(layer.shape), dtype=dtype))
            self.weights.append(torch.nn.Parameter(torch.tensor(layer.weights(), dtype=dtype)))
            self.biases.append(torch.nn.Parameter(torch.tensor(np.array(layer.bias), dtype=dtype)))

    def forward(self, x):
        for index, (weight, bias, mask) in enumerate(zip(self.weights, self.biases, self.masks, strict=True)):
            x = torch.nn.functional.linear(x, weight * mask, bias)
            x = torch.relu(x) if index + 1 < len(self.weights) else x
        return x


class Oracle:
    """TD3 without rewiring, from the starting point of an agent and with its random numbers.

    Args:
        agent: a new one.
        transitions: observations, actions, rewards, next observations, terminated; in the order of the replay.
        seed: of agent and replay memory.
        dtype: of all arithmetic.
    """

    def __init__(self, agent, transitions, seed, dtype):
        self.config, self.dtype = agent.config, dtype
        self.networks = {name: MaskedMLP(network, dtype) for name, network in agent.networks().items()}
        self.data = [torch.tensor(np.float32(part), dtype=dtype) for part in transitions]
        self.action_size = agent.action_size
        self.indices = seeding.generator(seed, "replay")
        self.noise = seeding.generator(seed, "policy noise")
        adam = {"lr": agent.config.learning_rate, "weight_decay": agent.config.weight_decay}
        self.actor_optimiser = torch.optim.Adam(self.networks["actor"].parameters(), **adam)
        critics = [*self.networks["critic1"].parameters(), *self.networks["critic2"].parameters()]
        self.critic_optimiser = torch.optim.Adam(critics, **adam)
        self.updates = 0
        self.gradients = {}

    def parameters(self, name, layer):
        """Weights and biases of a layer, float64."""
        network = self.networks[name]
        return [p[layer].detach().double().numpy() for p in (network.weights, network.biases)]

    def smoothing_noise(self):
        """The agent draws its noise as tiles [tiles, action, width], padding included."""
        batch = self.config.batch_size
        tiles, width = tile_shape(batch)
        noise = normal(self.noise, tiles * self.action_size * width).reshape(tiles, self.action_size, width)
        noise = noise.transpose(0, 2, 1).reshape(tiles * width, self.action_size)[:batch]
        return torch.tensor(noise, dtype=self.dtype) * self.config.policy_noise

    def update(self):
        c, n = self.config, self.networks
        self.updates += 1
        index = torch.tensor(self.indices.integers(len(self.data[0]), size=c.batch_size))
        state, action, reward, next_state, terminated = (part[index] for part in self.data)

        with torch.no_grad():
            noise = self.smoothing_noise().clamp(-c.noise_clip, c.noise_clip)
            next_action = (torch.tanh(n["target_actor"](next_state)) + noise).clamp(-1, 1)
            next_input = torch.cat([next_state, next_action], 1)
            target_q = torch.min(n["target_critic1"](next_input), n["target_critic2"](next_input))
            target_q = reward + (1 - terminated) * c.gamma * target_q
        critic_input = torch.cat([state, action], 1)
        losses = [torch.nn.functional.mse_loss(n[f"critic{i}"](critic_input), target_q) for i in (1, 2)]
        self.critic_losses = [loss.item() for loss in losses]
        self.target_mean = target_q.mean().item()
        self.critic_optimiser.zero_grad()
        sum(losses).backward()
        self.gradients |= {f"critic{i}": gradients(n[f"critic{i}"]) for i in (1, 2)}
        self.critic_optimiser.step()

        if self.updates % c.policy_delay == 0:
            loss = -n["critic1"](torch.cat([state, torch.tanh(n["actor"](state))], 1)).mean()
            self.policy_value = -loss.item()
            self.actor_optimiser.zero_grad()
            loss.backward()
            self.gradients["actor"] = gradients(n["actor"])
            self.actor_optimiser.step()
            with torch.no_grad():
                for name in ("actor", "critic1", "critic2"):
                    pairs = zip(n[name].parameters(), n[f"target_{name}"].parameters(), strict=True)
                    for online, target in pairs:
                        target.copy_(c.tau * online + (1 - c.tau) * target)


def gradients(network):
    """Of the weights and biases of every layer, float64."""
    pairs = zip(network.weights, network.biases, strict=True)
    return [(w.grad.double().numpy().copy(), b.grad.double().numpy().copy()) for w, b in pairs]
