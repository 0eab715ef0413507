"""Agents of the paper's HalfCheetah sizes, with synthetic experience to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rewirl.agents import AGENTS, Agent, AgentConfig, agent_entry, make_agent
from rewirl.options.resolve import papers_settings
from rewirl.presets.lookup import protocol
from rewirl.replay import Replay

OBSERVATION_SIZE = 17
ACTION_SIZE = 6
HIDDEN_SIZES = (256, 256)

PAPER_LAMBDAS = {0.51: (7.0, 64.0)}
"""The paper's lambda_1 and lambda_2 for HalfCheetah, by the sparsity they give hidden layers of `HIDDEN_SIZES`."""


class Transitions(NamedTuple):
    """Experience of steps that never terminate, float32 [steps, features] and rewards float32 [steps]."""

    observations: NDArray[np.float32]
    actions: NDArray[np.float32]
    rewards: NDArray[np.float32]
    next_observations: NDArray[np.float32]


def random_transitions(
    count: int, observation_size: int = OBSERVATION_SIZE, action_size: int = ACTION_SIZE
) -> Transitions:
    """Return random experience; the reward depends on it, so that the networks have something to learn.

    Args:
        count: of steps.
        observation_size: features of an observation.
        action_size: features of an action.
    """
    rng = np.random.default_rng(0)
    observations = rng.standard_normal((count, observation_size), dtype=np.float32)
    actions = rng.uniform(-1, 1, (count, action_size)).astype(np.float32)
    rewards = observations[:, 0] - np.square(actions).sum(1)
    next_observations = 0.9 * observations + 0.4 * rng.permutation(observations)
    return Transitions(observations, actions, rewards, next_observations.astype(np.float32, copy=False))


def replay_of(transitions: Transitions) -> Replay:
    """Return a replay memory full of these transitions."""
    observation_size, action_size = transitions.observations.shape[1], transitions.actions.shape[1]
    replay = Replay(len(transitions.rewards), observation_size, action_size, seed=0)
    for observation, action, reward, next_observation in zip(*transitions, strict=True):
        replay.add(observation, action, float(reward), next_observation, terminated=False)
    return replay


def settings(agent: str, sparsity: float | None, **others: Any) -> AgentConfig:
    """Return an agent's settings: the paper's, with its rule of rewiring and this sparsity.

    Args:
        agent: one of `rewirl.agents.AGENTS`.
        sparsity: share of absent connections; the paper's lambdas where they give just that. None is the agent's
            own for HalfCheetah.
        **others: further options by their names.
    """
    amount = amount_of(agent, sparsity, others.get("hidden_sizes", HIDDEN_SIZES))
    return papers_settings(agent, "HalfCheetah-v5", **amount, **others)


def amount_of(agent: str, sparsity: float | None, hidden_sizes: Sequence[int]) -> dict[str, Any]:
    """Return the options that make an agent so sparse; none for None.

    They are the paper's lambdas where they give just that: for its agents, at its sizes.
    """
    if sparsity is None:
        return {}
    papers = protocol(agent) and tuple(hidden_sizes) == HIDDEN_SIZES
    return {"lambdas": PAPER_LAMBDAS[sparsity]} if papers and sparsity in PAPER_LAMBDAS else {"sparsity": sparsity}


def refuse_agents(agents: Sequence[str], others_are: str = "") -> None:
    """Refuse agents that cannot be timed: their updates take a replay memory.

    Args:
        agents: their names.
        others_are: how agents without a replay memory are named there, if they can be.

    Raises:
        ValueError: there are none, or one is unknown or has no replay memory.
    """
    for agent in agents:
        if ":" in agent:
            agent_entry(agent)
    known = [name for name, entry in AGENTS.items() if entry.replay]
    others = [agent for agent in agents if agent not in known]
    if others or not agents:
        hint = f". {others_are}" if others_are and any(agent in AGENTS for agent in others) else ""
        raise ValueError(f"agents must be among {', '.join(known)}; got {', '.join(others) or 'none'}{hint}")


def is_dense(agent: str) -> bool:
    """Return whether an agent has every connection unless it is told otherwise."""
    return agent_entry(agent).dense


def agent_of(agent: str, config: AgentConfig, threads: int) -> Agent:
    """Return a new agent of HalfCheetah's sizes."""
    return make_agent(agent, config, OBSERVATION_SIZE, ACTION_SIZE, seed=0, threads=threads)


def connections_of(agent: Agent) -> int:
    """Return the connections of the networks that learn, the paper's number of parameters."""
    cost = agent.COST.of(vars(agent.config))
    return cost.parameters({name: [network.connections] for name, network in agent.networks().items()})
