from __future__ import annotations

import pytest

from rewirl.experiments.presets import names, preset, td3_topology
from rewirl.topology import TopologyConfig, densities

# observation and action sizes of gymnasium's v5 tasks; the paper's lambda_1, lambda_2
TASKS = {
    "HalfCheetah-v5": (17, 6, (7, 64)),
    "Hopper-v5": (11, 3, (7, 64)),
    "Walker2d-v5": (17, 6, (7, 64)),
    "Ant-v5": (105, 8, (40, 64)),
    "Humanoid-v5": (348, 17, (61, 64)),
}


def test_there_is_a_preset_for_every_agent_and_task_of_the_paper():
    assert len(names()) == len(set(names())) == 15
    assert "ds-drl/ds-td3/HalfCheetah-v5" in names()


@pytest.mark.parametrize("name", names())
def test_every_preset_gives_possible_networks_at_the_papers_sparsity(name):
    agent, env_id, config = preset(name)
    assert name == f"ds-drl/{agent}/{env_id}"
    obs, act, lambdas = TASKS[env_id]
    for shapes in ([(256, obs), (256, 256), (act, 256)], [(256, obs + act), (256, 256), (1, 256)]):
        result = densities(config, shapes)
        assert result[2] == 1
        if agent == "td3":
            assert result == [1, 1, 1]
        else:
            assert config.lambdas == lambdas
            assert result[:2] == [lambdas[0] * sum(shapes[0]) / (shapes[0][0] * shapes[0][1]), 0.5]


def test_the_agents_differ_in_density_and_rule_only():
    assert td3_topology("td3", "Ant-v5") == TopologyConfig(sparsity=0.0, lambdas=None, rule="static")
    assert td3_topology("static-td3", "Ant-v5") == TopologyConfig(sparsity=None, lambdas=(40, 64), rule="static")
    assert td3_topology("ds-td3", "Ant-v5") == TopologyConfig(sparsity=None, lambdas=(40, 64), rule="set")


def test_lambdas_go_by_the_name_of_the_task_and_not_by_its_version():
    assert td3_topology("ds-td3", "Humanoid-v4") == td3_topology("ds-td3", "Humanoid-v5")


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "HumanoidStandup-v5", "my_package/Ant-v5", "Ant"])
def test_any_other_environment_is_half_sparse(env_id):
    assert td3_topology("ds-td3", env_id) == TopologyConfig(sparsity=0.5, distribution="erdos-renyi", lambdas=None)
    assert td3_topology("static-td3", env_id).rule == "static"
    assert td3_topology("td3", env_id) == td3_topology("td3", "Ant-v5")


def test_unknown_names_are_refused_with_what_is_near():
    with pytest.raises(ValueError, match="did you mean ds-td3"):
        td3_topology("dstd3", "Ant-v5")
    with pytest.raises(ValueError, match="did you mean ds-drl/ds-td3/Hopper-v5"):
        preset("ds-drl/ds-td3/Hoper-v5")
