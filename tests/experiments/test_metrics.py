from __future__ import annotations

import math

import pytest

from rewirl.experiments.report.metrics import final_return, learning_curve_area, parameters, training_flops
from rewirl.presets import lookup as presets
from rewirl.seeding import generator
from rewirl.topology import densities, random_topology

ACTOR = [(256, 17), (256, 256), (6, 256)]
CRITIC = [(256, 23), (256, 256), (1, 256)]


def connections(agent):
    """The connections of a TD3 agent on HalfCheetah."""
    config = presets.topology(agent, "HalfCheetah-v5")
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
    assert parameters(dense) == 214_784
    assert training_flops(dense, updates=1_000_000, batch_size=100) == 107_443_200_000_000
    assert f"{training_flops(dense, updates=1_000_000):.2e}" == "1.07e+14"


@pytest.mark.parametrize("agent", ["static-td3", "ds-td3"])
def test_sparse_td3_on_halfcheetah_has_0_49_of_both(agent):
    dense, sparse = connections("td3"), connections(agent)
    assert round(parameters(sparse) / parameters(dense), 2) == 0.49
    assert round(training_flops(sparse, 1_000_000) / training_flops(dense, 1_000_000), 2) == 0.49


def test_flops_of_a_hand_worked_example():
    net = {"actor": [10, 1], "critic1": [20], "critic2": [3, 4]}
    # 5 updates of 2 samples: critics 5 * 2 * 6 * 27, actor at updates 2 and 4: 2 * 2 * 6 * 11
    assert training_flops(net, updates=5, batch_size=2, policy_delay=2) == 1620 + 264
    assert training_flops(net, updates=5, batch_size=2, policy_delay=1) == 1620 + 660
    assert training_flops(net, updates=0) == 0


def test_a_missing_network_or_an_impossible_number_is_refused():
    with pytest.raises(ValueError, match="critic2 are missing"):
        parameters({"actor": [1], "critic1": [1]})
    net = {"actor": [1], "critic1": [1], "critic2": [1]}
    for arguments in ((-1, 100, 2), (1, 0, 2), (1, 100, 0)):
        with pytest.raises(ValueError, match="at least"):
            training_flops(net, *arguments)


def test_learning_curve_area_is_the_mean_over_evaluations():
    assert learning_curve_area([0.0, 100.0, 800.0]) == 300.0


def test_final_return_is_the_mean_of_the_last_evaluations():
    assert final_return(list(range(100))) == 94.5
    assert final_return([1.0, 2.0, 6.0], last=2) == 4.0
    assert final_return([1.0, 2.0, 6.0]) == 3.0


@pytest.mark.parametrize("returns", [[], [1.0, math.nan], [math.inf]])
def test_returns_that_say_nothing_are_refused(returns):
    for summary in (learning_curve_area, final_return):
        with pytest.raises(ValueError, match="evaluation"):
            summary(returns)
    with pytest.raises(ValueError, match="last"):
        final_return([1.0], last=0)
