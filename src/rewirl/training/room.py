"""Whether a run has room in memory."""

from __future__ import annotations

import contextlib
import os
from itertools import pairwise
from pathlib import Path

from rewirl.agents import agent_entry
from rewirl.agents.config import AgentConfig
from rewirl.topology.config import TopologyConfig
from rewirl.topology.structure import UNSTRUCTURED

_BYTES_LEARNT, _BYTES_VALUE = 12, 4  # a value with two moments; float32


def memory() -> int | None:
    """Return the bytes of memory that this process may have, or None if nobody says."""
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError):
        return None
    with contextlib.suppress(OSError, ValueError):
        there = min(there, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return there


def refuse_sizes_beyond_memory(agent: str, config: AgentConfig, observation_size: int) -> None:
    """Refuse layers and batches that cannot be held, before any of them is allocated.

    Args:
        agent: its name.
        config: of the agent.
        observation_size: features of an observation.

    Raises:
        ValueError: they need more than there is by a lower bound: biases of all units, weights of dense hidden layers,
            of the networks that have them, and the values of a batch in one network.
    """
    there = memory()
    sizes = (observation_size, *config.hidden_sizes)
    learnt = sum(config.hidden_sizes)
    if _is_dense(config.topology):
        learnt += sum(n_in * n_out for n_in, n_out in pairwise(sizes))
    batch_size = getattr(config, "batch_size", 1)  # an agent without a memory may learn from one step at a time
    networks = agent_entry(agent).cost.of(vars(config)).networks
    own_sizes = ("actor",) if hasattr(config, "actor_hidden_sizes") else ()
    number = sum(name not in own_sizes for name in networks)
    needed = number * _BYTES_LEARNT * learnt + _BYTES_VALUE * batch_size * sum(sizes)
    if there is not None and needed > there:
        raise ValueError(
            f"hidden_sizes {' '.join(map(str, config.hidden_sizes))} with batch_size {batch_size:,} need "
            f"at least {needed / 2**30:,.1f} GiB of memory, and there are {there / 2**30:,.1f} GiB; choose smaller ones"
        )


def _is_dense(topology: TopologyConfig) -> bool:
    others = (topology.lambdas, topology.layer_sparsities, topology.actor_sparsity, topology.critic_sparsity)
    unstructured = topology.structure == UNSTRUCTURED and topology.initial_sparsity is None
    return topology.sparsity == 0 and unstructured and not any(others)
