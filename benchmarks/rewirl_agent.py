"""Rewirl's agents of the paper's HalfCheetah sizes, with made-up experience to learn from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rewirl.agents import Agent, TD3Config, make_agent
from rewirl.replay import Replay
from rewirl.topology import TopologyConfig

OBSERVATION_SIZE = 17
ACTION_SIZE = 6


class Transitions(NamedTuple):
    """Experience of steps that never terminate, float32 [steps, features] and rewards float32 [steps]."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    next_observations: np.ndarray


def random_transitions(count: int) -> Transitions:
    """Return random experience; the reward depends on it, so that the networks have something to learn."""
    rng = np.random.default_rng(0)
    observations = rng.standard_normal((count, OBSERVATION_SIZE), dtype=np.float32)
    actions = rng.uniform(-1, 1, (count, ACTION_SIZE)).astype(np.float32)
    rewards = observations[:, 0] - np.square(actions).sum(1)
    return Transitions(observations, actions, rewards, 0.9 * observations + 0.4 * rng.permutation(observations))


def replay_of(transitions: Transitions) -> Replay:
    """Return a replay memory full of these transitions."""
    replay = Replay(len(transitions.rewards), OBSERVATION_SIZE, ACTION_SIZE, seed=0)
    for observation, action, reward, next_observation in zip(*transitions, strict=True):
        replay.add(observation, action, float(reward), next_observation, terminated=False)
    return replay


def agent_of(
    topology: TopologyConfig, batch_size: int, threads: int, hidden_sizes: tuple[int, int] = (256, 256)
) -> Agent:
    """Return a new TD3 of this topology, with the paper's other settings."""
    config = TD3Config(hidden_sizes=hidden_sizes, topology=topology, batch_size=batch_size)
    return make_agent("ds-td3", config, OBSERVATION_SIZE, ACTION_SIZE, seed=0, threads=threads)


def connections_of(agent: Agent) -> int:
    """Return the connections of actor and both critics, the paper's number of parameters."""
    return sum(network.connections for network in agent.networks().values() if network.trainable)
