"""Whether a run has room in memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from rewirl.agents import agent_entry
from rewirl.agents.config import AgentConfig, setting
from rewirl.topology.config import TopologyConfig
from rewirl.topology.fan_in import FanIn

_BYTES_LEARNT, _BYTES_VALUE = 12, 4  # a value with two moments; float32
_GROUPS, _MOUNTED = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def memory() -> int | None:
    """Return the bytes of memory that this process may have, or None if nobody says."""
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError, AttributeError):
        return None
    return min([there, *_limits()])


def _limits() -> Iterator[int]:
    """Yield the limits of this process's control groups and of those above them, of both versions of the kernel's."""
    groups = [("", "/")]
    with contextlib.suppress(OSError, ValueError):
        groups += [(kinds, own) for _, kinds, own in (line.split(":", 2) for line in _GROUPS.read_text().splitlines())]
    for kinds, own in groups:
        root, file = (_MOUNTED / "memory", "memory.limit_in_bytes") if kinds else (_MOUNTED, "memory.max")
        if kinds in ("", "memory"):
            group = root / own.lstrip("/")
            for each in (group, *group.parents):  # a container may see its own group as the root
                with contextlib.suppress(OSError, ValueError):
                    yield int((each / file).read_text())


def refuse_sizes_beyond_memory(agent: str, config: AgentConfig, observation_size: int) -> None:
    """Refuse layers and batches that cannot be held, before any of them is allocated.

    Args:
        agent: its name.
        config: of the agent.
        observation_size: features of an observation.

    Raises:
        ValueError: they need more than there is by a lower bound: biases of all units, the weights that hidden layers
            begin with, of the networks that have them, and the values of a batch in one network.
    """
    there = memory()
    sizes = (observation_size, *config.hidden_sizes)
    places = sum(n_in * n_out for n_in, n_out in pairwise(sizes))
    batch_size = setting(config, "batch_size", 1)  # an agent without a memory may learn from one step at a time
    networks = agent_entry(agent).cost.of(vars(config)).networks
    own_sizes = ("actor",) if setting(config, "actor_hidden_sizes") else ()
    learnt = sum(
        sum(config.hidden_sizes) + int(_density_at_least(config.topology.of(name)) * places)
        for name in networks
        if name not in own_sizes
    )
    needed = _BYTES_LEARNT * learnt + _BYTES_VALUE * batch_size * sum(sizes)
    if there is not None and needed > there:
        raise ValueError(
            f"hidden_sizes {' '.join(map(str, config.hidden_sizes))} with batch_size {batch_size:,} need "
            f"at least {needed / 2**30:,.1f} GiB of memory, and there are {there / 2**30:,.1f} GiB; choose smaller ones"
        )


def _density_at_least(topology: TopologyConfig) -> float:
    """Return which share of its places a network has connections in when it begins, at least; 0 where it is unsaid."""
    counted = isinstance(topology.spread, FanIn) and topology.spread.count is not None
    if counted or topology.layer_sparsities is not None:
        return 0.0
    if topology.initial_sparsity is not None:
        return 1 - topology.initial_sparsity
    return 0.0 if topology.sparsity is None or topology.lambdas is not None else 1 - topology.sparsity
