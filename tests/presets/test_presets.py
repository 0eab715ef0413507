from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from rewirl.agents import SACConfig, TD3Config, agent_entry, make_agent
from rewirl.exact import from_values
from rewirl.experiments.report.published_curves import PAPERS_WIDTH, published_curves
from rewirl.options.option import options
from rewirl.options.resolve import agent_settings, resolve
from rewirl.options.train import TrainConfig
from rewirl.presets import lookup
from rewirl.presets.lookup import names
from rewirl.topology import TopologyConfig, densities

# observation and action sizes of gymnasium's v5 tasks; the paper's lambda_1, lambda_2 for TD3 and SAC
TASKS = {
    "HalfCheetah-v5": (17, 6, (7, 64), (12, 80)),
    "Hopper-v5": (11, 3, (7, 64), (7, 20)),
    "Walker2d-v5": (17, 6, (7, 64), (12, 80)),
    "Ant-v5": (105, 8, (40, 64), (30, 64)),
    "Humanoid-v5": (348, 17, (61, 64), (61, 64)),
}


def preset(name):
    """A preset, the settings that it stands for, and its options of the run."""
    found = lookup.preset(name)
    train = {key: value for key, value in found.options.items() if options(found.agent)[key].part == "run"}
    return SimpleNamespace(agent=found.agent, env=found.env, config=resolve({"preset": name}).agent, train=train)


def topology(agent, env):
    return agent_settings(agent, env).topology


OF_THE_PAPER = [name for name in names() if name.startswith("ds-drl/")]


def test_there_is_a_preset_for_every_agent_and_task_of_the_paper():
    assert len(OF_THE_PAPER) == len(set(OF_THE_PAPER)) == 35
    assert {"ds-drl/ds-td3/HalfCheetah-v5", "ds-drl/ds-sac/Ant-v5", "ds-drl/sac-soft/Hopper-v5"} < set(OF_THE_PAPER)


@pytest.mark.parametrize("name", OF_THE_PAPER)
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


DISCRETE = {
    "CartPole-v1": (4, 2),
    "Acrobot-v1": (6, 3),
    "MountainCar-v0": (2, 3),
    "MinAtar/Asterix-v1": (400, 5),
    "MinAtar/Breakout-v1": (400, 3),
    "MinAtar/Freeway-v1": (700, 3),
    "MinAtar/Seaquest-v1": (1000, 6),
    "MinAtar/SpaceInvaders-v1": (600, 4),
}
"""Sizes of observations, and how many actions there are to choose from."""
CLASSIC = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0")
OTHERS = {"InvertedPendulum-v5": (4, 1), "rewirl/SlipperyAnt-v0": (105, 8), "dm_control/cheetah-run-v0": (17, 6)}

LARGE = ("simba/", "xqc/", "crossq/")
"""Presets of networks that take long to begin: one of each stands for all tasks and topologies."""


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in names()
        if not name.startswith(("ds-drl/", "small/"))
        and (not name.startswith(LARGE) or re.search("(ds|small)-.*(Hopper|cheetah)", name))
    ],
)
def test_every_other_preset_gives_an_agent_that_can_be_built(name):
    found = preset(name)
    sizes = (
        TASKS.get(found.env)
        or DISCRETE.get(found.env)
        or OTHERS.get(found.env)
        or (10 * TASKS[name.rpartition("/")[2]][0], TASKS[name.rpartition("/")[2]][1])
    )
    config = replace(found.config, buffer_size=1) if agent_entry(found.agent).replay else found.config
    kind = "Discrete" if found.env in DISCRETE else "Box"
    agent = make_agent(found.agent, config, *sizes[:2], seed=0, actions=kind)
    TrainConfig(agent=found.agent, env=found.env, **found.train)
    topology = found.config.topology
    if name.startswith(("rlx2", "graesser")) and topology.initial_sparsity is None:
        critic = "critic" if "ppo" in name else "critic1"
        of_networks = (("actor", topology.actor_sparsity), (critic, None))
        for network, wanted in (("q", None),) if found.env in DISCRETE else of_networks:
            layers = agent.networks()[network].layers
            places = sum(layer.shape[0] * layer.shape[1] for layer in layers)
            sparsity = 1 - sum(layer.connections for layer in layers) / places
            assert sparsity == pytest.approx(topology.sparsity if wanted is None else wanted, abs=0.01)
    agent.close()


def test_dqn_has_the_settings_of_its_papers():
    found = preset("graesser/rigl-dqn/Acrobot-v1")
    config, topology = found.config, found.config.topology
    assert (found.agent, topology.summary(), topology.anneal) == ("ds-dqn", "sparsity 0.9, rigl", "cosine")
    assert (topology.adapt_every, topology.adapt_fraction, topology.adapt_end) == (1_000, 0.5, 75_000)
    assert (config.hidden_sizes, config.batch_size, config.learning_rate) == ((512, 512), 128, 1e-3)
    assert (config.target_update_interval, config.tau, config.double_q, config.loss) == (100, 1.0, False, "squared")
    assert {config.epsilon_at(step) for step in (0, 10, 10**6)} == {0.01}
    pruned = preset("graesser/prune-dqn/CartPole-v1").config.topology
    assert (pruned.rule, pruned.initial_sparsity, pruned.sparsity) == ("prune", 0.0, 0.9)
    assert (pruned.sparsity_start, pruned.sparsity_end, pruned.adapt_every) == (20_000, 75_000, 1_000)
    assert preset("graesser/dqn/CartPole-v1").config.topology.summary() == "dense"
    game = preset("dopamine/dqn/Breakout-v1")
    config, train = game.config, game.train
    assert (game.env, train["env_module"], train["total_timesteps"]) == (
        "MinAtar/Breakout-v1",
        "rewirl.minatar",
        10_000_000,
    )
    assert (config.learning_rate, config.adam_epsilon, config.batch_size) == (2.5e-4, 3.125e-4, 32)
    assert (config.update_every * config.target_update_interval, config.learning_starts) == (1_000, 1_000)
    assert (config.epsilon_at(0), config.epsilon_at(250_000), config.buffer_size) == (1.0, 0.01, 100_000)
    wide = preset("obando-ceron/wide-prune-dqn/Breakout-v1").config
    updates = wide.updates_after(10_000_000)
    assert (wide.topology.sparsity_start, wide.topology.sparsity_end) == (updates // 5, 4 * updates // 5)
    assert (wide.topology.sparsity, wide.hidden_sizes) == (0.95, (768, 768))


def test_ppo_has_the_settings_of_its_papers():
    found = preset("graesser/rigl-ppo/HalfCheetah-v5")
    config, topology = found.config, found.config.topology
    assert (found.agent, topology.summary(), topology.anneal) == ("ds-ppo", "sparsity 0.9, rigl", "cosine")
    assert (topology.adapt_every, topology.adapt_fraction, topology.adapt_end) == (250, 0.3, 120_000)
    assert (config.weight_decay, config.initial_deviation, topology.initial_scale) == (1e-4, 0.35, "sparse")
    assert config.updates_after(found.train["total_timesteps"]) == config.learning_rate_updates == 156_480
    pruned = preset("graesser/prune-ppo/Hopper-v5").config.topology
    assert (pruned.sparsity_start, pruned.sparsity_end, pruned.adapt_every) == (32_000, 120_000, 500)
    assert preset("graesser/ppo/Ant-v5").config.topology.summary() == "dense"
    cheetah, pole = (preset(f"cleanrl/ppo/{env}") for env in ("HalfCheetah-v5", "CartPole-v1"))
    usual = ("hidden_sizes", "rollout_steps", "batch_size", "epochs", "learning_rate", "gae_lambda", "clip_range")
    assert [getattr(cheetah.config, name) for name in usual] == [(64, 64), 2048, 64, 10, 3e-4, 0.95, 0.2]
    assert [getattr(pole.config, name) for name in usual] == [(64, 64), 512, 128, 4, 2.5e-4, 0.95, 0.2]
    for found in (cheetah, pole):
        c = found.config
        assert c.updates_after(found.train["total_timesteps"]) == c.learning_rate_updates
        assert (c.value_clip_range, c.max_gradient_norm, c.adam_epsilon) == (0.2, 0.5, 1e-5)
    assert pole.train["n_envs"] == 4 and not pole.config.normalise_observations and cheetah.config.scale_rewards


def test_tasks_of_the_suite_have_the_papers_protocol():
    """Two control steps a decision, two updates each: a million control steps are 500,000 decisions."""
    for name in ("simba/simba/dog-run-v0", "xqc/ds-xqc/dog-run-v0"):
        found = preset(name)
        c = found.config
        assert found.env == "dm_control/dog-run-v0"
        assert found.train["env_kwargs"] == {"action_repeat": 2} and found.train["total_timesteps"] == 500_000
        assert (c.gamma, c.updates_per_step, c.learning_starts) == (0.99, 2, 5_000)
        if found.agent == "simba":
            assert (c.n_critics, c.topology.sparsity, c.normalise_observations) == (1, 0.0, True)
        else:
            assert c.learning_rate_updates == c.updates_after(495_000) and c.topology.sparsity == 0.8
    assert preset("simba/ds-simba/walker-run-v0").train["total_timesteps"] == 250_000
    assert preset("xqc/ds-xqc/walker-run-v0").config.learning_rate_updates == 990_000
    assert preset("simba/simba/Humanoid-v5").config.n_critics == 2


def test_tasks_of_the_suite_are_trained_as_long_as_published():
    """XQC's step size falls to the end of a run."""
    ends = {
        f"{curve.agent}/{curve.agent}/{curve.task}-v0": curve.steps[-1] / 2
        for curve in published_curves()
        if curve.agent in ("simba", "xqc") and "-v" not in curve.task and curve.width in (None, PAPERS_WIDTH)
    }
    assert len(ends) == 22
    assert {name: preset(name).train["total_timesteps"] for name in ends} == ends


@pytest.mark.parametrize("name", [name for name in names() if "learning_rate_updates" in lookup.preset(name).options])
def test_the_step_size_of_a_preset_falls_until_its_run_ends(name):
    settings = resolve({"preset": name})
    steps = settings.run.total_timesteps - settings.agent.learning_starts
    assert settings.agent.learning_rate_updates == settings.agent.updates_after(steps)


_GRAESSER = {"regrow_dropped": True, "drop": "magnitude", "initial_scale": "sparse", "anneal": "cosine"}
_CBP = {"cbp_replacement_rate": 1e-4, "cbp_maturity_threshold": 10_000, "bias_correction": "connection"}
_PRUNED = {"rule": "prune", "sparsity": 0.9, "initial_sparsity": 0.0}
SETTINGS = {
    "graesser/sac/Ant-v5": {"learning_starts": 1_000, "weight_decay": 1e-4, "eval_every": 10_000, "eval_episodes": 30},
    "graesser/dqn/Acrobot-v1": {
        **{"weight_decay": 1e-6, "epsilon_start": 0.01, "epsilon_end": 0.01, "double_q": False, "loss": "squared"},
        **{"total_timesteps": 101_000, "learning_starts": 1_000, "eval_every": 2_000, "eval_episodes": 20},
    },
    "graesser/static-dqn/Acrobot-v1": {"sparsity": 0.9, "initial_scale": "sparse", "rule": "static"},
    "graesser/prune-dqn/Acrobot-v1": {**_PRUNED, "weight_decay": 1e-6, "sparsity_start": 20_000},
    "graesser/set-dqn/Acrobot-v1": {**_GRAESSER, "rule": "set", "sparsity": 0.9, "weight_decay": 1e-6},
    "graesser/rigl-dqn/Acrobot-v1": {**_GRAESSER, "rule": "rigl", "weight_decay": 1e-6},
    "graesser/ppo/Hopper-v5": {
        **{"weight_decay": 1e-6, "learning_rate_schedule": "linear", "learning_rate_end": 0.0},
        **{"total_timesteps": 1_001_472, "eval_every": 14_336, "eval_episodes": 20},
    },
    "graesser/static-ppo/Hopper-v5": {"sparsity": 0.9, "weight_decay": 1e-4, "initial_scale": "sparse"},
    "graesser/prune-ppo/Hopper-v5": {**_PRUNED, "weight_decay": 1e-6, "initial_scale": "dense"},
    "graesser/set-ppo/Hopper-v5": {**_GRAESSER, "rule": "set", "sparsity": 0.9, "weight_decay": 1e-4},
    "graesser/rigl-ppo/Hopper-v5": {**_GRAESSER, "rule": "rigl", "sparsity": 0.9},
    "cleanrl/ppo/Hopper-v5": {
        **{"learning_rate_schedule": "linear", "value_coefficient": 0.25, "entropy_coefficient": 0.0},
        **{"total_timesteps": 1_000_000, "n_envs": 1, "eval_every": 20_000},
    },
    "cleanrl/ppo/CartPole-v1": {
        **{"learning_rate_schedule": "linear", "value_coefficient": 0.25, "entropy_coefficient": 0.01},
        **{"total_timesteps": 500_000, "scale_rewards": False, "eval_every": 20_000},
    },
    "gallici/pqn/Breakout-v1": {
        **{"n_envs": 128, "rollout_steps": 128 * 32, "epochs": 2, "batch_size": 128, "learning_rate": 5e-4},
        **{"learning_rate_schedule": "linear", "return_lambda": 0.65, "epsilon_end": 0.05, "epsilon_steps": 1_000_000},
        **{"total_timesteps": 10_000_000, "env_kwargs": {"max_episode_steps": 1_000}, "scale_rewards": False},
        **{"eval_every": 100_000, "checkpoint_every": 500_000, "env_module": "rewirl.minatar"},
    },
    "gallici/ds-pqn/CartPole-v1": {
        **{"n_envs": 32, "rollout_steps": 32 * 64, "epochs": 4, "batch_size": 128, "learning_rate": 1e-4},
        **{"learning_rate_schedule": "linear", "return_lambda": 0.95, "epsilon_end": 0.2, "epsilon_steps": 100_000},
        **{"total_timesteps": 500_000, "scale_rewards": True, "sparsity": 0.8, "eval_every": 20_000},
    },
    "dopamine/ds-dqn/Breakout-v1": {
        **{"update_every": 4, "target_update_interval": 250, "double_q": False, "loss": "squared", "sparsity": 0.8},
        **{"eval_every": 100_000, "checkpoint_every": 500_000},
    },
    "obando-ceron/wide-prune-dqn/Breakout-v1": {**_PRUNED, "sparsity": 0.95, "adam_epsilon": 3.125e-4},
    "simba/small-simba/Ant-v5": {
        **{"hidden_sizes": (256, 256), "actor_hidden_sizes": (128,), "learning_rate": 3e-4},
        "total_timesteps": 1_000_000,
    },
    "crossq/ds-crossq/Ant-v5": {"total_timesteps": 1_000_000, "sparsity": 0.8, "rule": "set"},
    "xqc/static-xqc/Ant-v5": {"total_timesteps": 1_000_000, "learning_rate_updates": 1_990_000, "rule": "static"},
    "simba/simba/dog-run-v0": {"eval_every": 12_500},
    "fast/sac/Ant-v5": {"sparsity": 0.8, "structure": "4x1", "normalise_observations": True, "temperature": 0.2},
    "cbp/td3/Ant-v5": _CBP,
    "cbp/sac/Ant-v5": {**_CBP, "learning_rate": 3e-4, "temperature": "auto"},
    "slippery-ant/cbp-td3/Ant-v5": {
        **{**_CBP, "env_kwargs": {"every": 250_000}, "env_module": "rewirl.changing"},
        **{"total_timesteps": 1_000_000, "eval_every": 10_000},
    },
    "slippery-ant/redo-ds-td3/Ant-v5": {"redo_every": 1_000, "redo_threshold": 0.1, "lambdas": (40.0, 64.0)},
    "spacenet/td3/Hopper-v5": {
        **{"layer_sparsities": (0.8, 0.8, 0.0), "rule": "set", "drop": "magnitude", "adapt_fraction": 0.2},
        **{"learning_starts": 1_000, "buffer_size": 50_000, "total_timesteps": 1_000_000, "env_module": "rewirl.noisy"},
        "env_kwargs": {"env": "Hopper-v5", "fraction": 0.0, "permute_every": 250_000},
    },
    "spacenet/sac/Hopper-v5": {"tau": 0.005, "target_update_interval": 1, "buffer_size": 50_000},
    "stream-x/stream-ac/Hopper-v5": {"eval_every": 20_000},
    "stream-x/ds-stream-q/CartPole-v1": {
        **{"wrapper": ("rewirl.timed:Timed",), "total_timesteps": 500_000, "eval_every": 10_000, "sparsity": 0.8},
    },
    "stream-x/stream-q/Breakout-v1": {
        **{"hidden_sizes": (128, 128), "wrapper": (), "total_timesteps": 5_000_000, "eval_every": 100_000},
        **{"checkpoint_every": 500_000, "env_module": "rewirl.minatar"},
    },
    "small/pendulum": {
        **{"gamma": 0.98, "buffer_size": 200_000, "weight_decay": 0.0},
        **{"total_timesteps": 20_000, "eval_every": 1_000},
    },
    "small/mountain-car": {"exploration_noise": 0.5, "buffer_size": 100_000, "total_timesteps": 100_000},
    "small/lunar-lander": {
        **{"learning_rate": 3e-4, "batch_size": 256, "buffer_size": 300_000, "learning_starts": 10_000},
        **{"total_timesteps": 200_000, "weight_decay": 0.0, "eval_every": 5_000},
    },
    "small/bipedal-walker": {
        **{"gamma": 0.98, "tau": 0.02, "learning_rate": 7e-4, "batch_size": 256, "buffer_size": 300_000},
        **{"learning_starts": 10_000, "total_timesteps": 200_000, "temperature": "auto"},
    },
    "small/swimmer": {"gamma": 0.9999, "learning_starts": 10_000, "total_timesteps": 200_000},
    "small/cartpole": {
        **{"learning_rate": 1e-3, "batch_size": 64, "n_steps": 3, "update_every": 2, "target_update_interval": 100},
        **{"epsilon_end": 0.04, "epsilon_steps": 8_000, "total_timesteps": 50_000, "eval_every": 2_500},
    },
    "small/pusher": {"weight_decay": 0.0, "total_timesteps": 100_000, "eval_every": 5_000},
}
"""Of presets that version 0.1 did not have, whose own `test_fixtures_010` compares: what papers, code or docs/ say."""


@pytest.mark.parametrize("name", SETTINGS)
def test_a_preset_has_the_settings_that_its_page_says(name):
    run, agent = resolve({"preset": name})
    everything = {**vars(run), **vars(agent), **vars(agent.topology)}
    assert {option: everything[option] for option in SETTINGS[name]} == SETTINGS[name]


def test_all_tasks_of_a_method_have_its_settings():
    """But for what a task brings with it, so that one of them may stand for all."""
    papers = ("graesser", "cleanrl", "fast", "gallici", "dopamine", "crossq", "cbp", "stream-x", "slippery-ant")
    of: dict[tuple[str, bool], set[str]] = {}
    for name in (name for name in names() if name.startswith(papers)):
        found = lookup.preset(name)
        of.setdefault((name.rpartition("/")[0], found.env in CLASSIC), set()).add(repr(sorted(found.options.items())))
    assert {key: len(options) for key, options in of.items() if len(options) > 1} == {}


def test_rlx2_has_its_papers_settings():
    found = preset("rlx2/td3/Ant-v5")
    config, topology = found.config, found.config.topology
    assert found.train == {"total_timesteps": 3_000_000}
    assert (topology.actor_sparsity, topology.sparsity, topology.rule, topology.anneal) == (
        0.96,
        0.88,
        "rigl",
        "cosine",
    )
    assert (config.n_steps, config.n_steps_after, config.buffer_minimum) == (3, 300_000, 100_000)
    assert (config.learning_rate, config.batch_size, config.weight_decay) == (3e-4, 256, 0.0)
    soft = preset("rlx2/sac/Ant-v5").config
    assert (soft.topology.actor_sparsity, soft.topology.sparsity) == (0.90, 0.75)
    assert (soft.temperature, soft.tau, soft.buffer_size) == ("auto", 0.005, 3_000_000)
    assert soft.n_step_entropy


def test_anf_is_sparse_where_the_noise_comes_in():
    found = preset("anf/td3/HalfCheetah-v5")
    assert found.env == "rewirl/Noisy-v0"
    assert found.train == {"env_module": "rewirl.noisy", "env_kwargs": {"env": "HalfCheetah-v5", "fraction": 0.9}}
    assert densities(found.config.topology, [(256, 170), (256, 256), (6, 256)]) == pytest.approx([0.2, 1, 1])
    assert found.config.topology.summary() == "layers 0.8 0 0, set"
    dense = preset("anf/dense-td3/HalfCheetah-v5").config
    assert dense.topology.summary() == "dense"
    assert found.config.resample_noise_from == dense.resample_noise_from == 17
    for name in (name for name in names() if name.startswith("anf/")):
        assert preset(name).config.resample_noise_from == TASKS[name.rpartition("/")[2]][0]


def test_every_method_has_a_preset_with_its_own_settings():
    summaries = {
        "srigl/td3": "sparsity 0.9, constant-fan-in, rigl",
        "rnm/2-of-4-td3": "2:4, set",
        "rnm/1-of-4-td3": "1:4, set",
        "snip/td3": "sparsity 0.95, global, at first 0, prune",
        "snip/sac": "sparsity 0.95, global, at first 0, prune",
        "tar/td3": "sparsity 0.95, connectivity, at first 0.96, set",
        "tar/sac": "sparsity 0.95, connectivity, at first 0.96, set",
        "ne/td3": "sparsity 0.25, at first 0.8, rigl",
        "redo/sac": "dense",
        "obando-ceron/wide-prune-sac": "sparsity 0.95, at first 0, prune",
    }
    for method, summary in summaries.items():
        for env in TASKS:
            assert preset(f"{method}/{env}").config.topology.summary() == summary
            changing = preset(f"{method}/{env}").config.topology
            if changing.initial_sparsity is not None:  # there is an event at which the final sparsity is reached
                assert changing.sparsity_end % changing.adapt_every == 0
                assert changing.adapt_end is None or changing.adapt_end >= changing.sparsity_end
    assert preset("srigl/td3/Ant-v5").config.topology.ablate_below == 0.3
    assert preset("redo/sac/Ant-v5").config.redo_every == 1000
    assert preset("obando-ceron/wide-prune-sac/Ant-v5").config.hidden_sizes == (1280, 1280)
    for agent, update in (("td3", 2), ("sac", 1)):  # the first update of the actor
        config = preset(f"snip/{agent}/Ant-v5").config
        assert (config.topology.adapt_every, config.topology.adapt_end, config.topology.sparsity_end) == (update,) * 3
        assert update == getattr(config, "policy_delay", 1)


def test_sac_of_every_method_has_soft_targets_and_but_for_anf_a_temperature_that_is_learnt():
    """As docs/methods.md says; the paper's own presets are the only ones with hard targets."""
    papers = ("rlx2/", "graesser/", "anf/", "snip/", "tar/", "redo/", "cbp/", "obando-ceron/")
    of_sac = [lookup.preset(name) for name in names() if name.startswith(papers) and "sac/" in name]
    assert len(of_sac) > 50
    for each in of_sac:
        anf = each.env == "rewirl/Noisy-v0"
        assert (each.options["tau"], each.options["target_update_interval"]) == (0.005, 1)
        assert each.options["temperature"] == (0.2 if anf else "auto")


def test_a_topology_says_in_a_few_words_what_it_is():
    assert topology("td3", "Ant-v5").summary() == "dense"
    assert topology("ds-td3", "Ant-v5").summary() == "lambdas 40 64, set"
    assert preset("rlx2/td3/Hopper-v5").config.topology.summary() == "sparsity 0.95, actor 0.98, rigl"
    assert preset("graesser/prune-sac/Hopper-v5").config.topology.summary() == "sparsity 0.9, at first 0, prune"


def test_the_agents_differ_in_density_and_rule_only():
    assert topology("td3", "Ant-v5") == TopologyConfig(sparsity=0.0, lambdas=None, rule="static")
    assert topology("static-td3", "Ant-v5") == TopologyConfig(sparsity=None, lambdas=(40, 64), rule="static")
    assert topology("ds-td3", "Ant-v5") == TopologyConfig(sparsity=None, lambdas=(40, 64), rule="set")
    assert topology("sac", "Ant-v5") == topology("td3", "Ant-v5")
    assert topology("static-sac", "Ant-v5") == TopologyConfig(sparsity=None, lambdas=(30, 64), rule="static")
    rewired = TopologyConfig(sparsity=None, lambdas=(30, 64), rule="set", adapt_fraction=0.1)
    assert topology("ds-sac", "Ant-v5") == rewired


def test_the_papers_presets_have_the_papers_settings():
    td3 = preset("ds-drl/ds-td3/Hopper-v5").config
    assert isinstance(td3, TD3Config)
    assert (td3.learning_rate, td3.weight_decay, td3.batch_size, td3.tau) == (1e-3, 2e-4, 100, 0.005)
    assert (td3.learning_starts, td3.policy_delay) == (25_000, 2)
    sac = preset("ds-drl/ds-sac/Hopper-v5").config
    assert isinstance(sac, SACConfig)
    assert (sac.learning_rate, sac.weight_decay, sac.batch_size, sac.temperature) == (3e-4, 0.0, 256, 0.2)
    assert (sac.tau, sac.target_update_interval, sac.learning_starts) == (1.0, 1000, 10_000)
    soft = preset("ds-drl/sac-soft/Hopper-v5").config
    assert isinstance(soft, SACConfig)
    assert (soft.tau, soft.target_update_interval) == (0.005, 1)


@pytest.mark.parametrize("env", ["Hopper-v5", "Pendulum-v1"])
def test_without_a_preset_learning_starts_early_and_sac_has_soft_targets_and_learns_its_temperature(env):
    td3, sac = agent_settings("ds-td3", env), agent_settings("ds-sac", env)
    assert td3.learning_starts == sac.learning_starts == 1_000
    assert isinstance(sac, SACConfig)
    assert (sac.tau, sac.target_update_interval, sac.temperature) == (0.005, 1, "auto")
    papers = resolve({"preset": "ds-drl/ds-sac/Hopper-v5"}).agent
    usual = replace(papers, learning_starts=1_000, tau=0.005, target_update_interval=1, temperature="auto")
    assert agent_settings("ds-sac", "Hopper-v5") == usual
    assert agent_settings("ds-td3", "Hopper-v5", gamma=0.9).gamma == 0.9


def test_a_record_without_an_option_means_what_it_meant():
    assert from_values(TD3Config, {}).learning_starts == 25_000
    sac = from_values(SACConfig, {})
    assert (sac.learning_starts, sac.tau, sac.target_update_interval, sac.temperature) == (10_000, 1.0, 1_000, 0.2)


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


SMALL_TASKS = {
    "small/pendulum": (3, 1),
    "small/mountain-car": (2, 1),
    "small/lunar-lander": (8, 2),
    "small/bipedal-walker": (24, 4),
    "small/swimmer": (8, 2),
    "small/cartpole": (4, 2),
    "small/pusher": (23, 7),
}


def test_small_tasks_have_presets_which_the_tool_names():
    assert {name for name in names() if name.startswith("small/")} == SMALL_TASKS.keys()
    for name, sizes in SMALL_TASKS.items():
        run, agent = resolve({"preset": name})
        make_agent(run.agent, replace(agent, buffer_size=1), *sizes, seed=0).close()
        assert lookup.suggestion(run.env) == name and agent.learning_starts < run.total_timesteps / 10
    assert lookup.suggestion("some_package:Pendulum-v7") == "small/pendulum"
    assert lookup.suggestion("HalfCheetah-v5") is None and lookup.suggestion("mine") is None
    assert resolve({"preset": "small/swimmer"}).agent.gamma == 0.9999
    assert resolve({"preset": "small/mountain-car"}).agent.exploration == "ornstein-uhlenbeck"


def test_spacenet_freezes_when_the_features_are_permuted():
    found = preset("spacenet/td3/HalfCheetah-v5")
    settings = resolve({"preset": "spacenet/td3/HalfCheetah-v5"})
    every = settings.run.env_kwargs["permute_every"]
    ends = [update + settings.agent.learning_starts for update in settings.agent.topology.freeze_after]
    assert ends == [every, 2 * every, 3 * every] and settings.run.total_timesteps == 4 * every
    assert found.agent == "ds-td3" and preset("spacenet/sac/Ant-v5").agent == "ds-sac"
