from __future__ import annotations

import pytest

from rewirl.agents import SACConfig, TD3Config
from rewirl.experiments.presets import agent_config, names, preset, topology
from rewirl.topology import TopologyConfig, densities

# observation and action sizes of gymnasium's v5 tasks; the paper's lambda_1, lambda_2 for TD3 and SAC
TASKS = {
    "HalfCheetah-v5": (17, 6, (7, 64), (12, 80)),
    "Hopper-v5": (11, 3, (7, 64), (7, 20)),
    "Walker2d-v5": (17, 6, (7, 64), (12, 80)),
    "Ant-v5": (105, 8, (40, 64), (30, 64)),
    "Humanoid-v5": (348, 17, (61, 64), (61, 64)),
}


def test_there_is_a_preset_for_every_agent_and_task_of_the_paper():
    assert len(names()) == len(set(names())) == 35
    assert {"ds-drl/ds-td3/HalfCheetah-v5", "ds-drl/ds-sac/Ant-v5", "ds-drl/sac-soft/Hopper-v5"} < set(names())


@pytest.mark.parametrize("name", names())
def test_every_preset_gives_possible_networks_at_the_papers_sparsity(name):
    found = preset(name)
    assert name.replace("-soft", "") == f"ds-drl/{found.agent}/{found.env}"
    obs, act, *lambdas = TASKS[found.env]
    first, second = lambdas["sac" in name]
    outputs = 2 * act if "sac" in name else act
    for shapes in ([(256, obs), (256, 256), (outputs, 256)], [(256, obs + act), (256, 256), (1, 256)]):
        result = densities(found.config.topology, shapes)
        assert result[2] == 1
        if found.agent in ("td3", "sac"):
            assert result == [1, 1, 1]
        else:
            assert found.config.topology.lambdas == (first, second)
            assert result[:2] == [min(1, first * sum(shapes[0]) / (shapes[0][0] * shapes[0][1])), second / 128]


def test_the_agents_differ_in_density_and_rule_only():
    assert topology("td3", "Ant-v5") == TopologyConfig(sparsity=0.0, lambdas=None, rule="static")
    assert topology("static-td3", "Ant-v5") == TopologyConfig(sparsity=None, lambdas=(40, 64), rule="static")
    assert topology("ds-td3", "Ant-v5") == TopologyConfig(sparsity=None, lambdas=(40, 64), rule="set")
    assert topology("sac", "Ant-v5") == topology("td3", "Ant-v5")
    assert topology("static-sac", "Ant-v5") == TopologyConfig(sparsity=None, lambdas=(30, 64), rule="static")
    rewired = TopologyConfig(sparsity=None, lambdas=(30, 64), rule="set", adapt_fraction=0.1)
    assert topology("ds-sac", "Ant-v5") == rewired


def test_an_agents_settings_are_the_papers():
    td3 = agent_config("ds-td3", "Hopper-v5")
    assert isinstance(td3, TD3Config)
    assert (td3.learning_rate, td3.weight_decay, td3.batch_size, td3.tau) == (1e-3, 2e-4, 100, 0.005)
    assert (td3.learning_starts, td3.policy_delay) == (25_000, 2)
    sac = agent_config("ds-sac", "Hopper-v5")
    assert isinstance(sac, SACConfig)
    assert (sac.learning_rate, sac.weight_decay, sac.batch_size, sac.temperature) == (3e-4, 0.0, 256, 0.2)
    assert (sac.tau, sac.target_update_interval, sac.learning_starts) == (1.0, 1000, 10_000)
    soft = preset("ds-drl/sac-soft/Hopper-v5").config
    assert isinstance(soft, SACConfig)
    assert (soft.tau, soft.target_update_interval) == (0.005, 1)
    assert agent_config("ds-td3", "Hopper-v5", gamma=0.9).gamma == 0.9


def test_lambdas_go_by_the_name_of_the_task_and_not_by_its_version():
    assert topology("ds-td3", "Humanoid-v4") == topology("ds-td3", "Humanoid-v5")


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "HumanoidStandup-v5", "my_package/Ant-v5", "Ant"])
def test_any_other_environment_is_half_sparse(env_id):
    assert topology("ds-td3", env_id) == TopologyConfig(sparsity=0.5, distribution="erdos-renyi", lambdas=None)
    assert topology("static-td3", env_id).rule == "static"
    assert topology("td3", env_id) == topology("td3", "Ant-v5")


def test_unknown_names_are_refused_with_what_is_near():
    with pytest.raises(ValueError, match="did you mean ds-td3"):
        topology("dstd3", "Ant-v5")
    with pytest.raises(ValueError, match="did you mean ds-drl/ds-td3/Hopper-v5"):
        preset("ds-drl/ds-td3/Hoper-v5")
