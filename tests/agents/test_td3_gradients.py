"""TD3's explicit gradients against finite differences of its losses, computed in float64 by the reference."""

from __future__ import annotations

import numpy as np
import pytest

from rewirl import seeding
from rewirl.agents import TD3, TD3Config
from rewirl.nn import normal, reference, tile_shape
from rewirl.replay import Replay
from rewirl.topology import TopologyConfig

SEED, BATCH, OBSERVATION, ACTION = 1, 20, 4, 2
STEP = 1e-5


def parameters(network):
    weights = [reference.matrix(layer.shape, layer.places(), layer.values) for layer in network.layers]
    return weights, [layer.bias.astype(np.float64) for layer in network.layers]


def run(parameters, x):
    return reference.forward(*parameters, x)[-1]


@pytest.fixture
def problem():
    """An agent after an update that changed no weight, as the learning rate is next to nothing, and its batch."""
    config = TD3Config(
        hidden_sizes=(8, 6),
        topology=TopologyConfig(sparsity=0.3, rule="static"),
        batch_size=BATCH,
        policy_delay=1,
        learning_rate=1e-30,
        weight_decay=0.0,
        policy_noise=0.6,
    )
    agent = TD3("static-td3", config, OBSERVATION, ACTION, SEED)
    rng = np.random.default_rng(0)
    replay = Replay(50, OBSERVATION, ACTION, SEED)
    rows = []
    for i in range(50):
        row = (rng.normal(size=4), rng.uniform(-1, 1, 2), rng.normal(), rng.normal(size=4), i % 5 == 0)
        rows.append([np.atleast_1d(np.float32(part)).astype(np.float64) for part in row])
        replay.add(*row)
    index = seeding.generator(SEED, "replay").integers(50, size=BATCH)
    batch = [np.array([rows[i][part] for i in index]) for part in range(5)]
    tiles, width = tile_shape(BATCH)
    noise = normal(seeding.generator(SEED, "policy noise"), tiles * ACTION * width).reshape(tiles, ACTION, width)
    agent.update(replay)
    return agent, batch, reference.unpack(noise, BATCH)


def finite_differences(ensemble, number, found, loss):
    """Compare a network's gradients with differences of a loss, at every connection and bias."""
    weights, biases = found
    for layer, w, b in zip(ensemble.networks[number].layers, weights, biases, strict=True):
        for parameter, gradient, places in (
            (w, ensemble.gradient(number, f"{layer.name}.values"), layer.places()),
            (b, ensemble.gradient(number, f"{layer.name}.bias"), range(len(b))),
        ):
            flat = parameter.reshape(-1)
            for place, value in zip(places, gradient, strict=True):
                kept = flat[place]
                flat[place] = kept + STEP
                up = loss()
                flat[place] = kept - STEP
                down = loss()
                flat[place] = kept
                assert value == pytest.approx((up - down) / (2 * STEP), rel=1e-4, abs=2e-7)


def test_critics(problem):
    agent, (states, actions, rewards, next_states, terminated), noise = problem
    config, networks = agent.config, agent.networks()
    smoothed = np.tanh(run(parameters(networks["target_actor"]), next_states)) + np.clip(
        config.policy_noise * noise, -config.noise_clip, config.noise_clip
    )
    next_inputs = np.hstack([next_states, np.clip(smoothed, -1, 1)])
    values = [run(parameters(networks[f"target_critic{i}"]), next_inputs) for i in (1, 2)]
    y = rewards + config.gamma * (1 - terminated) * np.minimum(*values)
    for number, name in enumerate(("critic1", "critic2")):
        own = parameters(networks[name])
        finite_differences(
            agent._critics, number, own, lambda own=own: ((run(own, np.hstack([states, actions])) - y) ** 2).mean()
        )


def test_actor(problem):
    agent, (states, *_), _ = problem
    own, critic = parameters(agent.networks()["actor"]), parameters(agent.networks()["critic1"])

    def loss():
        return -run(critic, np.hstack([states, np.tanh(run(own, states))])).mean()

    finite_differences(agent._actors, 0, own, loss)
