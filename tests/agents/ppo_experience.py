"""Small agents that learn by PPO, and experience for them."""

from __future__ import annotations

import numpy as np
from ppo_oracle import Experience

from rewirl.agents import PPOConfig, make_agent
from rewirl.topology import TopologyConfig

SEED, OBSERVATION = 5, 7
ACTIONS = {"Box": 3, "Discrete": 4}
TOPOLOGIES = {
    "dense": TopologyConfig(sparsity=0.0, rule="static"),
    "unstructured": TopologyConfig(sparsity=0.6, rule="static", initial_scale="sparse"),
    "8x1": TopologyConfig(sparsity=0.6, rule="static", structure="8x1"),
}


def make(kind="Box", topology="unstructured", seed=SEED, threads=1, **changes):
    settings = {
        **{"hidden_sizes": (24, 17), "rollout_steps": 96, "batch_size": 32, "epochs": 3, "learning_rate": 1e-2},
        **{"topology": TOPOLOGIES.get(topology, topology), **changes},
    }
    return make_agent("ds-ppo", PPOConfig(**settings), OBSERVATION, ACTIONS[kind], seed, threads, kind)


def experience(steps, environments=1, seed=3):
    """Random steps in environments that take turns, with episodes that end in a terminal state or by a time limit."""
    rng = np.random.default_rng(seed)
    before, after = (rng.normal(2, 3, size=(steps, OBSERVATION)).astype(np.float32) for _ in range(2))
    terminated = rng.random(steps) < 0.1
    truncated = ~terminated & (rng.random(steps) < 0.1)
    for t in range(environments, steps):
        if not (terminated[t - environments] or truncated[t - environments]):
            before[t] = after[t - environments]
    return Experience(before, rng.normal(0, 20, steps), after, terminated, truncated, np.arange(steps) % environments)


def play(agent, experience, start=0):
    """Let an agent act and learn as the loop does, with the actions that it chose; from a step of the experience on."""
    chosen = []
    for step in range(start, len(experience.rewards)):
        observation, reward, after, terminated, truncated, environment = (part[step] for part in experience)
        agent.normalisation.observe(observation)
        action = agent.explore(observation, int(environment))
        chosen.append(action)
        agent.normalisation.reward(float(reward), bool(terminated or truncated), int(environment))
        row = np.zeros(agent.action_size, np.float32)
        agent.learn(observation, row, float(reward), after, bool(terminated), bool(truncated), int(environment))
    return chosen
