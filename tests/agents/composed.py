"""Networks of any operations in PyTorch, dense with 0/1 masks, for oracles of agents with norms."""

from __future__ import annotations

import numpy as np
import torch

from rewirl import seeding
from rewirl.nn import Add, BatchNorm, BatchRenorm, LayerNorm, Linear, ReLU, Tanh, normal, tile_shape
from rewirl.nn.operations import named


class Composed:
    """A network with the arrays of one of ours, and running statistics that move when they are told to."""

    def __init__(self, network, dtype):
        self.operations = named(network.operations)
        self.parameters, self.statistics, self.masks, self.moving = {}, {}, {}, {}
        learnt = {f"{operation}.{array}" for operation, array in network.core.learnables()}
        for name, array in network.arrays():
            values = np.array(array)
            if name.endswith(".values"):
                layer = network.layer(name.removesuffix(".values"))
                values, mask = layer.weights(), np.zeros(layer.shape[0] * layer.shape[1])
                mask[layer.places()] = 1
                self.masks[name] = torch.tensor(mask.reshape(layer.shape), dtype=dtype)
            tensor = torch.tensor(values, dtype=dtype)
            if name in learnt:
                self.parameters[name] = tensor.requires_grad_(network.trainable)
            else:
                self.statistics[name] = tensor

    def __call__(self, x, training=True):
        values = [x]
        for operation, name, reads in self.operations:
            of = [values[i] for i in reads]
            own = {n.partition(".")[2]: p for n, p in {**self.parameters, **self.statistics}.items()
                   if n.partition(".")[0] == name}  # fmt: skip
            match operation:
                case Linear():
                    weight = own["values"] * self.masks[f"{name}.values"]
                    made = torch.nn.functional.linear(of[0], weight, own.get("bias"))
                case ReLU():
                    made = torch.relu(of[0])
                case Tanh():
                    made = torch.tanh(of[0])
                case Add():
                    made = of[0] + of[1]
                case LayerNorm():
                    size = of[0].shape[1:]
                    made = torch.nn.functional.layer_norm(of[0], size, own["scale"], own["shift"], operation.eps)
                case BatchNorm():
                    made = self.batch_norm(operation, name, own, of[0], training)
                case _:
                    raise TypeError(operation.kind)
            values.append(made)
        return values[-1]

    def batch_norm(self, operation, name, own, x, training):
        mean, variance = own["mean"], own["variance"]
        running, r, d = mean, 1.0, 0.0
        if training:
            mean, variance = x.mean(0), x.var(0, correction=0)
            unbiased = x.var(0).detach()
            self.moving[name] = operation.momentum, mean.detach(), unbiased
            if isinstance(operation, BatchRenorm) and own["moves"] >= operation.warm_up:
                sigma = (own["variance"] + operation.eps).sqrt()
                r = ((variance + operation.eps).sqrt() / sigma).clamp(1 / operation.r_max, operation.r_max).detach()
                d = ((mean - running) / sigma).clamp(-operation.d_max, operation.d_max).detach()
        return ((x - mean) / (variance + operation.eps).sqrt() * r + d) * own["scale"] + own["shift"]

    def update_statistics(self):
        for name, (momentum, mean, variance) in self.moving.items():
            for array, new in (("mean", mean), ("variance", variance)):
                old = self.statistics[f"{name}.{array}"]
                self.statistics[f"{name}.{array}"] = old + momentum * (new - old)
            if f"{name}.moves" in self.statistics:
                self.statistics[f"{name}.moves"] = self.statistics[f"{name}.moves"] + 1

    def divide_by_norms(self):
        """After every step, the weights of every unit of layers that have unit norm."""
        with torch.no_grad():
            for operation, name, _ in self.operations:
                if isinstance(operation, Linear) and operation.unit_norm:
                    weight = self.parameters[f"{name}.values"]
                    weight *= self.masks[f"{name}.values"]
                    norms = weight.norm(dim=1, keepdim=True)
                    weight /= torch.where(norms > 0, norms, 1.0)

    def arrays(self):
        """All arrays by name, as float64 matrices and vectors."""
        masked = {n: p * self.masks[n] if n in self.masks else p for n, p in self.parameters.items()}
        return {name: tensor.detach().double().numpy() for name, tensor in {**masked, **self.statistics}.items()}


class ComposedAgent:
    """What an oracle has before its algorithm: the networks, experience and random numbers of an agent.

    Args:
        agent: a new one.
        transitions: observations, actions, rewards, next observations, terminated; in the order of the replay.
        seed: of agent and replay memory.
        dtype: of all arithmetic.
        beta1: of Adam.
    """

    def __init__(self, agent, transitions, seed, dtype, beta1=0.9):
        c = self.config = agent.config
        self.dtype, self.action_size = dtype, agent.action_size
        self.networks = {name: Composed(network, dtype) for name, network in agent.networks().items()}
        self.data = [torch.tensor(np.float32(part), dtype=dtype) for part in transitions]
        self.indices, self.noise = seeding.generator(seed, "replay"), seeding.generator(seed, "policy noise")
        self.optimisers = {
            name: torch.optim.AdamW(
                self.networks[name].parameters.values(), c.learning_rate, (beta1, 0.999), 1e-8, c.weight_decay
            )
            for name in self.networks
            if not name.startswith("target_")
        }
        self.log_alpha = torch.tensor(np.log(c.initial_temperature), dtype=torch.float64, requires_grad=True)
        self.alpha_optimiser = torch.optim.Adam([self.log_alpha], c.learning_rate)
        self.updates, self.gradients, self.told = 0, {}, {}

    @property
    def alpha(self):
        return float(self.log_alpha.detach().exp())

    def sample(self):
        """State, action, reward, next state, terminated, as the networks see them."""
        self.updates += 1
        index = torch.tensor(self.indices.integers(len(self.data[0]), size=self.config.batch_size))
        state, action, reward, next_state, terminated = (part[index] for part in self.data)
        if self.config.normalise_observations:
            seen = self.data[0].double()
            mean, variance = seen.mean(0), seen.var(0, correction=0)
            state, next_state = ((s - mean) / (variance + 1e-8).sqrt() for s in (state, next_state))
        if self.config.scale_rewards:
            reward = reward / self.deviation_of_returns()
        return state.to(self.dtype), action, reward.to(self.dtype), next_state.to(self.dtype), terminated

    def deviation_of_returns(self):
        """The standard deviation of the discounted returns so far in each episode, over all steps."""
        returns, running = [], 0.0
        for reward, terminated in zip(self.data[2].flatten().tolist(), self.data[4].flatten().tolist(), strict=True):
            running = self.config.gamma * running + reward
            returns.append(running)
            running = 0.0 if terminated else running
        return float(np.sqrt(np.var(returns) + 1e-8))

    def standard_normal(self):
        """The agent draws its noise as tiles [tiles, action, width], padding included; this is [batch, action]."""
        batch = self.config.batch_size
        tiles, width = tile_shape(batch)
        noise = normal(self.noise, tiles * self.action_size * width).reshape(tiles, self.action_size, width)
        noise = noise.transpose(0, 2, 1).reshape(tiles * width, self.action_size)[:batch]
        return torch.tensor(noise, dtype=self.dtype)

    def drawn(self, outputs, log_std):
        """Actions and the logarithms of their probability density, [batch, action] and [batch, 1]."""
        mean, of_std = outputs.chunk(2, dim=1)
        ls, noise = log_std(of_std), self.standard_normal()
        u = mean + ls.exp() * noise
        density = torch.distributions.Normal(mean, ls.exp()).log_prob(u)
        # ln(1 - tanh(u)^2) = 2 (ln 2 - u - softplus(-2 u))
        volume = 2 * (np.log(2) - u - torch.nn.functional.softplus(-2 * u))
        return torch.tanh(u), (density - volume).sum(1, keepdim=True)

    def descend(self, loss, *names, rate=None):
        """Take a step down a loss with these networks, and keep their gradients; the actor at a rate of its own."""
        for name in names:
            self.optimisers[name].zero_grad()
        loss.backward()
        own = self.config.actor_learning_rate if names == ("actor",) else None
        share = 1 if own is None else own / self.config.learning_rate
        for name in names:
            network = self.networks[name]
            self.gradients[name] = {n: p.grad.double().numpy().copy() for n, p in network.parameters.items()}
            for group in self.optimisers[name].param_groups:
                group["lr"] = share * (self.config.learning_rate if rate is None else rate)
            self.optimisers[name].step()
            network.divide_by_norms()

    def temper(self, log_probability, target, rate=None):
        """alpha goes down alpha * (entropy - target)."""
        entropy = -log_probability.detach().double().mean()
        self.alpha_optimiser.zero_grad()
        (self.log_alpha.exp() * (entropy - target)).backward()
        for group in self.alpha_optimiser.param_groups:
            group["lr"] = self.config.learning_rate if rate is None else rate
        self.alpha_optimiser.step()

    def move_targets(self):
        tau = self.config.tau
        with torch.no_grad():
            for name, target in self.networks.items():
                if not name.startswith("target_"):
                    continue
                online = self.networks[name.removeprefix("target_")]
                for mine, theirs in ((target.parameters, online.parameters), (target.statistics, online.statistics)):
                    for name in mine:
                        mine[name] = (tau * theirs[name] + (1 - tau) * mine[name]).detach()
