"""The process that memory.py measures: builds one agent, updates and rewires it, and prints its peak memory as JSON."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

from rewirl.agents import TD3Config
from rewirl.bench.synthetic import agent_of, connections_of, random_transitions, replay_of
from rewirl.topology import TopologyConfig

TRANSITIONS = 1000
UPDATES = 8
ADAPT_EVERY = 2
"""So that every network is rewired four times, and the targets' topologies differ from theirs."""


def peak_bytes() -> int:
    """Return the peak resident memory of this program."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # On Linux what getrusage says begins with the peak of the process that started this one.
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def train(width: int, sparsity: float, batch_size: int) -> dict[str, Any]:
    """Update and rewire a new agent; return its connections, the shapes of its layers and the peak in bytes."""
    topology = TopologyConfig(sparsity=sparsity, adapt_every=ADAPT_EVERY)
    config = TD3Config(hidden_sizes=(width, width), topology=topology, batch_size=batch_size)
    agent = agent_of("ds-td3", config, threads=1)
    replay = replay_of(random_transitions(TRANSITIONS))
    for _ in range(UPDATES):
        agent.update(replay)
    peak = peak_bytes()
    return {
        "connections": connections_of(agent),
        "rewired": agent.diagnostics()["rewired"],
        "shapes": {name: [layer.shape for layer in network.layers] for name, network in agent.networks().items()},
        "peak_bytes": peak,
    }


if __name__ == "__main__":
    print(json.dumps(train(**json.loads(sys.argv[1]))))
