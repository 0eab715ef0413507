from __future__ import annotations

import pytest

from rewirl.agents import AGENTS, Cost
from rewirl.agents.changing_cost import ChangingCost
from rewirl.options.resolve import agent_settings
from rewirl.seeding import generator
from rewirl.topology import TopologyConfig, densities, random_topology

ACTOR = [(256, 17), (256, 256), (6, 256)]
CRITIC = [(256, 23), (256, 256), (1, 256)]
TD3 = AGENTS["td3"].cost
PAPER = {"batch_size": 100, "policy_delay": 2}


def connections(agent):
    """The connections of a TD3 agent on HalfCheetah."""
    config = agent_settings(agent, "HalfCheetah-v5").topology
    result = {}
    for network, shapes in {"actor": ACTOR, "critic1": CRITIC, "critic2": CRITIC, "target_actor": ACTOR}.items():
        topology = random_topology(shapes, densities(config, shapes), generator(0, network))
        result[network] = [
            n_out * n_in if places is None else len(places)
            for (n_out, n_in), places in zip(shapes, topology, strict=True)
        ]
    return result


def test_dense_td3_on_halfcheetah_has_the_papers_size_and_cost():
    dense = connections("td3")
    assert TD3.parameters(dense) == 214_784
    assert TD3.training_flops(dense, 1_000_000, PAPER) == 107_443_200_000_000
    assert f"{TD3.training_flops(dense, 1_000_000, PAPER):.2e}" == "1.07e+14"


@pytest.mark.parametrize("agent", ["static-td3", "ds-td3"])
def test_sparse_td3_on_halfcheetah_has_0_49_of_both(agent):
    dense, sparse = connections("td3"), connections(agent)
    assert round(TD3.parameters(sparse) / TD3.parameters(dense), 2) == 0.49
    assert round(TD3.training_flops(sparse, 1_000_000, PAPER) / TD3.training_flops(dense, 1_000_000, PAPER), 2) == 0.49


def test_flops_of_a_hand_worked_example():
    net = {"actor": [10, 1], "critic1": [20], "critic2": [3, 4]}
    # 5 updates of 2 samples: critics 5 * 2 * 6 * 27, actor at updates 2 and 4: 2 * 2 * 6 * 11
    assert TD3.training_flops(net, 5, {"batch_size": 2, "policy_delay": 2}) == 1620 + 264
    assert TD3.training_flops(net, 5, {"batch_size": 2, "policy_delay": 1}) == 1620 + 660
    assert TD3.training_flops(net, 0, PAPER) == 0


def test_a_missing_network_or_an_impossible_number_is_refused():
    with pytest.raises(ValueError, match="critic2 are missing"):
        TD3.parameters({"actor": [1], "critic1": [1]})
    net = {"actor": [1], "critic1": [1], "critic2": [1]}
    for updates, batch_size, delay in ((-1, 100, 2), (1, 0, 2), (1, 100, 0)):
        with pytest.raises(ValueError, match="updates must be at least 0, batch_size, policy_delay at least 1"):
            TD3.training_flops(net, updates, {"batch_size": batch_size, "policy_delay": delay})


def test_a_network_without_a_delay_learns_with_every_update():
    net = {"actor": [10, 1], "critic1": [20], "critic2": [3, 4]}
    assert AGENTS["sac"].cost.training_flops(net, 5, {"batch_size": 2}) == 5 * 2 * 6 * 38
    cost = Cost(("q", "model"), {"model": "model_every"})
    assert cost.training_flops({"q": [3], "model": [7]}, 5, {"batch_size": 1, "model_every": 2}) == 6 * (5 * 3 + 2 * 7)


@pytest.mark.parametrize(("adapt_end", "at_end"), [(None, 20), (2000, 20), (1999, 27)])
def test_a_changing_sparsity_gets_to_its_end_with_the_first_event_after_its_schedule(adapt_end, at_end):
    """Of events on 1000 and 2000 the first leaves 200 * (0.1 + 0.9 / 3^3) connections, as the schedule ends at 1500."""
    topology = TopologyConfig(
        sparsity=0.9, distribution="uniform", initial_sparsity=0.0, sparsity_end=1500, adapt_end=adapt_end
    )
    changing = ChangingCost(Cost(("critic",)), topology, {"batch_size": 10}, {"critic": [(10, 20)]}, 3000)
    assert [changing.connections(update)["critic"] for update in (0, 999, 1500, 3000)] == [200, 200, 27, at_end]
    assert changing.training_flops([3000]) == [6 * 10 * 1000 * (200 + 27 + at_end)]


@pytest.mark.parametrize(
    ("adapt_every", "adapt_offset", "actor_from", "critic_from"),
    [(1000, 0, 1000, 1000), (1001, 0, 2002, 1001), (1000, 1, 3500, 1)],
)
def test_a_network_changes_with_the_events_on_its_own_updates(adapt_every, adapt_offset, actor_from, critic_from):
    """The actor learns with every second update; the events on 1001 and 3003, or on 1, 1001 ..., are the critic's."""
    topology = TopologyConfig(
        sparsity=0.9,
        distribution="uniform",
        initial_sparsity=0.0,
        sparsity_end=1,
        adapt_every=adapt_every,
        adapt_offset=adapt_offset,
    )
    cost, shape = Cost(("actor", "critic"), {"actor": "policy_delay"}), [(10, 20)]
    changing = ChangingCost(cost, topology, {"policy_delay": 2}, {"actor": shape, "critic": shape}, 3500)
    assert changing.connections(3500) == {"actor": 200 if actor_from == 3500 else 20, "critic": 20}
    actor = (200 * actor_from + 20 * (3500 - actor_from)) // 2
    assert changing.training_flops([3500]) == [6 * (actor + 200 * critic_from + 20 * (3500 - critic_from))]
