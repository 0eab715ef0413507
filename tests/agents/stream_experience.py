"""Small agents of stream-x, and random steps for them."""

from __future__ import annotations

import numpy as np

from rewirl.agents import StreamACConfig, StreamQConfig, make_agent
from rewirl.topology import TopologyConfig

OBSERVATION, ACTION, CHOICES = 9, 3, 4
TOPOLOGIES = {
    "dense": TopologyConfig(sparsity=0.0, rule="static"),
    "rows": TopologyConfig(sparsity=0.5, rule="static"),
    "sparser": TopologyConfig(sparsity=0.8, rule="static"),
    "set": TopologyConfig(sparsity=0.5, rule="set", drop="magnitude", adapt_every=10, adapt_fraction=0.2),
}
NAMES = ("stream-ac", "stream-q", "stream-sarsa")


def make(name="stream-ac", topology="rows", seed=5, threads=1, **changes):
    kind = StreamACConfig if name == "stream-ac" else StreamQConfig
    settings = {"hidden_sizes": (24, 19), "topology": TOPOLOGIES.get(topology, topology), **changes}
    size = ACTION if name == "stream-ac" else CHOICES
    return make_agent(f"ds-{name}", kind(**settings), OBSERVATION, size, seed, threads)


def steps(count, seed=3):
    """Observation, reward, next observation, terminated and truncated of steps, of episodes that end either way."""
    rng = np.random.default_rng(seed)
    observation = rng.normal(size=OBSERVATION).astype(np.float32)
    for _ in range(count):
        after = (0.8 * observation + rng.normal(1.0, 0.6, OBSERVATION)).astype(np.float32)
        terminated, truncated = bool(rng.random() < 0.08), bool(rng.random() < 0.08)
        yield observation, float(rng.normal(0.5, 3)), after, terminated, truncated
        over = terminated or truncated
        observation = rng.normal(size=OBSERVATION).astype(np.float32) if over else after


def play(agent, step):
    """Let an agent act and learn as the training loop does; return its action."""
    observation, reward, after, terminated, truncated = step
    agent.normalisation.observe(observation)
    action = agent.explore(observation)
    row = np.eye(CHOICES, dtype=np.float32)[action] if isinstance(action, int) else action
    agent.normalisation.reward(reward, terminated or truncated)
    agent.learn(observation, row, reward, after, terminated, truncated)
    return action
