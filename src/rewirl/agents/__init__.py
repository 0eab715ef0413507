"""The agents, each a file that reads top to bottom like its paper's algorithm."""

from __future__ import annotations

from rewirl.agents.agent import Agent
from rewirl.agents.config import AgentConfig, ReplayConfig
from rewirl.agents.cost import Cost
from rewirl.agents.crossq import CrossQ, CrossQConfig
from rewirl.agents.dqn import DQN, DQNConfig
from rewirl.agents.policy import Policy
from rewirl.agents.ppo import PPO, PPOConfig
from rewirl.agents.pqn import PQN, PQNConfig
from rewirl.agents.registry import AGENTS, Entry, agent_entry, make_agent
from rewirl.agents.sac import SAC, SACConfig
from rewirl.agents.simba import SimBa, SimBaConfig
from rewirl.agents.stream_ac import StreamAC, StreamACConfig
from rewirl.agents.stream_q import StreamQ, StreamQConfig, StreamSARSA
from rewirl.agents.td3 import TD3, TD3Config
from rewirl.agents.xqc import XQC, XQCConfig

__all__ = [
    "AGENTS",
    "DQN",
    "PPO",
    "PQN",
    "SAC",
    "TD3",
    "XQC",
    "Agent",
    "AgentConfig",
    "Cost",
    "CrossQ",
    "CrossQConfig",
    "DQNConfig",
    "Entry",
    "PPOConfig",
    "PQNConfig",
    "Policy",
    "ReplayConfig",
    "SACConfig",
    "SimBa",
    "SimBaConfig",
    "StreamAC",
    "StreamACConfig",
    "StreamQ",
    "StreamQConfig",
    "StreamSARSA",
    "TD3Config",
    "XQCConfig",
    "agent_entry",
    "make_agent",
]
