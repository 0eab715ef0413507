"""Growing by gradient in an agent, against the dense gradient of an autograd framework."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_oracles import KINDS, SEED, random_transitions

from rewirl.replay import Replay
from rewirl.topology import TopologyConfig

OBSERVATION, ACTION = 9, 2
SETTINGS = {
    "td3": {"policy_delay": 1, "batch_size": 40, "hidden_sizes": (50, 40)},
    "sac": {"batch_size": 140, "hidden_sizes": (50, 40)},
}


def made(kind):
    agent_class, config_class, _ = KINDS[kind]
    topology = TopologyConfig(sparsity=0.7, rule="rigl", adapt_every=1, adapt_fraction=0.2)
    agent = agent_class(kind, config_class(topology=topology, **SETTINGS[kind]), OBSERVATION, ACTION, SEED)
    transitions = random_transitions(OBSERVATION, ACTION)
    replay = Replay(1000, OBSERVATION, ACTION, SEED)
    for observation, action, (reward,), next_observation, (terminated,) in zip(*transitions, strict=True):
        replay.add(observation, action, reward, next_observation, terminated)
    return agent, replay, transitions


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["critic1", "critic2", "actor"])
def test_rigl_grows_where_autograd_has_the_largest_gradient(kind, name):
    agent, replay, transitions = made(kind)
    if name == "actor":
        after_step = agent._networks.after_step  # the oracle's actor learns from critics that have not been rewired
        agent._networks.after_step = lambda names, *step: after_step(names, *step) if names == ("actor",) else None
    network = agent.networks()[name]
    before = [layer.places() for layer in network.layers]
    dense = [layer.dense for layer in network.layers]
    # The oracle's network of this name multiplies by no mask, so its gradient is that of all places.
    oracle = KINDS[kind][2](agent, transitions, SEED, torch.float64)
    oracle.networks[name].masks = [torch.ones_like(mask) for mask in oracle.networks[name].masks]
    agent.update(replay)
    oracle.update()
    assert dense == [False, False, True]
    for old, layer, (gradient, _) in zip(before[:2], network.layers, oracle.gradients[name], strict=False):
        strength = np.abs(gradient).reshape(-1)
        grown = np.setdiff1d(layer.places(), old)
        free = np.setdiff1d(np.arange(strength.size), np.concatenate([old, grown]))
        assert len(grown) == int(0.2 * len(old)) > 10
        assert strength[grown].min() >= strength[free].max() * (1 - 1e-4)
