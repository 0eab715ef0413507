"""Dense PyTorch networks with 0/1 masks, and the random numbers of an agent, for oracles written from the papers."""

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


class MaskedAgent:
    """What an oracle has before its algorithm: the networks, experience and random numbers of an agent.

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

    def standard_normal(self):
        """The agent draws its noise as tiles [tiles, action, width], padding included; this is [batch, action]."""
        batch = self.config.batch_size
        tiles, width = tile_shape(batch)
        noise = normal(self.noise, tiles * self.action_size * width).reshape(tiles, self.action_size, width)
        noise = noise.transpose(0, 2, 1).reshape(tiles * width, self.action_size)[:batch]
        return torch.tensor(noise, dtype=self.dtype)

    def sample(self):
        """State, action, reward, next state, terminated."""
        index = torch.tensor(self.indices.integers(len(self.data[0]), size=self.config.batch_size))
        return [part[index] for part in self.data]

    def descend(self, optimiser, loss, names):
        """Take a step down a loss and keep the gradients of these networks."""
        optimiser.zero_grad()
        loss.backward()
        self.gradients |= {name: gradients(self.networks[name]) for name in names}
        optimiser.step()

    def move_targets(self):
        with torch.no_grad():
            for name, network in self.networks.items():
                if name.startswith("target_"):
                    followed = self.networks[name.removeprefix("target_")]
                    for online, target in zip(followed.parameters(), network.parameters(), strict=True):
                        target.copy_(self.config.tau * online + (1 - self.config.tau) * target)


def gradients(network):
    """Of the weights and biases of every layer, float64."""
    pairs = zip(network.weights, network.biases, strict=True)
    return [(w.grad.double().numpy().copy(), b.grad.double().numpy().copy()) for w, b in pairs]
