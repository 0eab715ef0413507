"""Small agents that learn by DQN, and random experience of numbered actions for them."""

from __future__ import annotations

import numpy as np

from rewirl.agents import DQNConfig, make_agent
from rewirl.replay import Replay
from rewirl.topology import TopologyConfig

SEED, OBSERVATION, CHOICES = 5, 9, 4
TOPOLOGIES = {
    "dense": TopologyConfig(sparsity=0.0, rule="static"),
    "unstructured": TopologyConfig(sparsity=0.6, rule="static"),
    "8x1": TopologyConfig(sparsity=0.6, rule="static", structure="8x1"),
}


def make(topology="unstructured", seed=SEED, threads=1, **changes):
    settings = {"hidden_sizes": (40, 33), "batch_size": 40, "topology": TOPOLOGIES.get(topology, topology), **changes}
    return make_agent("ds-dqn", DQNConfig(**settings), OBSERVATION, CHOICES, seed, threads)


def experience(count=300, seed=SEED):
    """Random transitions, with episodes that end in a terminal state or by a time limit, and a replay memory of them.

    Rewards are far apart, so that the losses are on either side of 1.
    """
    rng = np.random.default_rng(3)
    terminated, cut = rng.random((count, 1)) < 0.1, rng.random((count, 1)) < 0.1
    transitions = (
        rng.normal(size=(count, OBSERVATION)),
        np.eye(CHOICES)[rng.integers(CHOICES, size=count)],
        rng.normal(0, 1.5, size=(count, 1)),
        rng.normal(size=(count, OBSERVATION)),
        terminated,
        terminated | cut,
    )
    replay = Replay(1000, OBSERVATION, CHOICES, seed)
    for state, action, (reward,), after, (end,), (over,) in zip(*transitions, strict=True):
        replay.add(state, action, reward, after, bool(end), bool(over))
    return replay, transitions
