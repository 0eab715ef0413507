"""What an agent says about its last update."""

from __future__ import annotations

import numpy as np

from rewirl.agents import TD3Config, make_agent
from rewirl.replay import Replay
from rewirl.topology import TopologyConfig


def test_the_policy_value_is_that_of_the_last_actor_update() -> None:
    rng = np.random.default_rng(0)
    replay = Replay(50, 3, 2, seed=0)
    for _ in range(50):
        replay.add(rng.standard_normal(3), rng.uniform(-1, 1, 2), rng.normal(), rng.standard_normal(3), False)
    config = TD3Config(hidden_sizes=(20, 20), batch_size=16, topology=TopologyConfig(sparsity=0.5))
    agent = make_agent("ds-td3", config, 3, 2, seed=0)
    assert agent.diagnostics() == {}
    agent.update(replay)
    assert "policy_value" not in agent.diagnostics()
    agent.update(replay)
    value = agent.diagnostics()["policy_value"]
    agent.update(replay)  # critics only: their forward passes use the same memory
    assert agent.diagnostics()["policy_value"] == value
    agent.update(replay)
    assert agent.diagnostics()["policy_value"] != value
    agent.close()
