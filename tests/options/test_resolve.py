"""Promises of the resolver: whoever asks, the same request gives the same settings, or the same refusal."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

import rewirl
from rewirl import learners
from rewirl.agents import AGENTS, PPOConfig
from rewirl.cli.errors import UsageError
from rewirl.cli.parse import parse_run
from rewirl.exact import from_values
from rewirl.experiments.sweep.error import SweepError
from rewirl.experiments.sweep.file import read_sweep
from rewirl.experiments.sweep.plan import plan
from rewirl.learners import learner
from rewirl.options.option import all_options, options
from rewirl.options.resolve import AMOUNTS, agent_settings, beneath, changed, differing, overruled, resolve
from rewirl.options.train import TrainConfig
from rewirl.presets.lookup import names, preset
from rewirl.storage.values import to_values
from rewirl.topology.rules.set import SET


def of_the_command_line(agent: str, env: str, request: dict[str, Any]) -> Any:
    arguments = ["--agent", agent, "--env", env]
    for name, value in request.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            arguments.append(option if value else f"--no-{option[2:]}")
        elif isinstance(value, dict):
            arguments += [option, json.dumps(value)]
        else:
            arguments += [option, *map(str, value if isinstance(value, (list, tuple)) else [value])]
    parsed = parse_run("train", arguments)
    return parsed.run, parsed.agent


def of_a_sweep(agent: str, env: str, request: dict[str, Any], directory: Any) -> Any:
    lines = [f'agents = ["{agent}"]', f'envs = ["{env}"]', "seeds = [0]"]
    for name, value in request.items():
        if isinstance(value, dict):
            lines.append(f"{name} = {{ {', '.join(f'{key} = {json.dumps(item)}' for key, item in value.items())} }}")
        else:
            lines.append(f"{name} = {json.dumps(value)}")
    file = directory / "sweep.toml"
    file.write_text("\n".join(lines))
    (run,) = plan(read_sweep(str(file)).requests, directory).values()
    return run.config, run.agent_config


def of_python(agent: str, env: str, request: dict[str, Any], monkeypatch: Any) -> Any:
    """Return the settings of the agent alone: the class takes no options of the run but its own parameters."""

    class Settled(Exception):  # noqa: N818
        pass

    def stop(run: Any, settings: Any, *_: Any) -> None:
        raise Settled(run, settings)

    monkeypatch.setattr(learner, "Run", stop)
    with pytest.raises(Settled) as settled:
        getattr(rewirl, AGENTS[agent].python)(env, threads=1, **request)
    return settled.value.args[1]


REQUESTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "nothing": ("ds-td3", "HalfCheetah-v5", {}),
    "nothing elsewhere": ("static-sac", "Pendulum-v1", {}),
    "dense": ("td3", "Ant-v5", {}),
    "numbers": ("ds-td3", "Ant-v5", {"gamma": 0.9, "batch_size": 64, "learning_rate": 1, "adapt_every": 500}),
    "whole numbers as powers of ten": ("sac", "Ant-v5", {"learning_starts": 5e1, "buffer_size": 1e5}),
    "a sparsity for lambdas": ("ds-td3", "Hopper-v5", {"sparsity": 0.8}),
    "a sparsity that is the default elsewhere": ("ds-td3", "Hopper-v5", {"sparsity": 0.5}),
    "other lambdas": ("ds-sac", "Hopper-v5", {"lambdas": [3, 4.5]}),
    "lambdas for a sparsity": ("ds-sac", "Pendulum-v1", {"lambdas": [3.0, 4.5]}),
    "layers": ("static-td3", "Hopper-v5", {"layer_sparsities": [0.5, 0.0, 0]}),
    "lists": ("ds-td3", "Ant-v5", {"hidden_sizes": [32, 16, 8]}),
    "choices": ("ds-td3", "Ant-v5", {"drop": "code", "rule": "rigl", "sparsity": 0.9, "distribution": "uniform"}),
    "the distribution there is": ("ds-td3", "Ant-v5", {"distribution": "erdos-renyi"}),
    "truth": ("ds-td3", "Ant-v5", {"regrow_dropped": True}),
    "no truth": ("ds-sac", "Ant-v5", {"regrow_dropped": False, "n_step_entropy": False}),
    "a number or a word": ("ds-sac", "Ant-v5", {"temperature": "auto", "target_entropy": -3}),
    "a word or a number": ("ds-sac", "Ant-v5", {"temperature": 1}),
    "optional": ("ds-td3", "Ant-v5", {"adapt_end": 5000, "anneal": "cosine", "buffer_distance": 0.2}),
}


@pytest.mark.parametrize(("agent", "env", "request_"), REQUESTS.values(), ids=REQUESTS.keys())
def test_the_same_request_gives_the_same_settings_whoever_asks(agent, env, request_, tmp_path, monkeypatch):
    run, settings = resolve({"agent": agent, "env": env, "threads": 1, **request_})
    assert of_the_command_line(agent, env, {"threads": 1, **request_}) == (run, settings)
    assert of_a_sweep(agent, env, request_, tmp_path) == (run, settings)
    assert of_python(agent, env, request_, monkeypatch) == settings
    for one in (settings, settings.topology):
        for field in fields(one):
            value, option = getattr(one, field.name), options(agent).get(field.name)
            assert option is None or repr(option.value(value)) == repr(value)


OF_RUNS: list[dict[str, Any]] = [
    {"total_timesteps": 1e6},
    {"total_timesteps": 5_000, "eval_every": 0, "eval_episodes": 4},
    {"env_kwargs": {"a": 1, "b": "two"}, "env_module": "rewirl.noisy"},
    {"warm_up_policy": "somewhere", "checkpoint_every": 70, "keep_checkpoints": 1},
]


@pytest.mark.parametrize("request_", OF_RUNS)
def test_options_of_the_run_are_resolved_alike_too(request_, tmp_path):
    run, settings = resolve({"agent": "td3", "env": "Ant-v5", "threads": 1, **request_})
    assert of_the_command_line("td3", "Ant-v5", {"threads": 1, **request_}) == (run, settings)
    assert of_a_sweep("td3", "Ant-v5", request_, tmp_path) == (run, settings)
    for name, value in request_.items():
        assert getattr(run, name) == value and type(getattr(run, name)) is not float


IMPOSSIBLE: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "sparsity and lambdas": ("ds-td3", "Ant-v5", {"sparsity": 0.5, "lambdas": [7, 64]}, "sparsity and lambdas both"),
    "what to spread": ("ds-td3", "Ant-v5", {"distribution": "uniform"}, "give sparsity too"),
    "what is bounded": ("ds-td3", "Ant-v5", {"sparsity_schedule": "adaptive"}, "is bounded by a .*give sparsity too"),
    "range": ("ds-td3", "Ant-v5", {"gamma": 2}, "gamma must be between 0 and 1, got 2.0"),
    "half a step": ("ds-td3", "Ant-v5", {"learning_starts": 0.5}, "learning_starts must be a whole number, got 0.5"),
    "another agent's": ("ds-td3", "Ant-v5", {"temperature": 0.1}, "ds-td3 has no option 'temperature'"),
    "an actor's": ("ds-dqn", "CartPole-v1", {"adapt_actor": False}, "ds-dqn has no option 'adapt_actor'; .* no actor"),
    "a memory's": ("ds-ppo", "Pendulum-v1", {"freeze_after": 3}, "has no option 'freeze_after'; .* no replay memory"),
    "choice": ("ds-td3", "Ant-v5", {"drop": "cod"}, "drop must be 'paper' or .*, got 'cod'"),
    "items": ("ds-td3", "Ant-v5", {"hidden_sizes": [8, 0.5]}, "hidden_sizes must be a list of which each is a whole"),
}


@pytest.mark.parametrize(("agent", "env", "request_", "message"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_the_same_request_is_refused_alike_whoever_asks(agent, env, request_, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        resolve({"agent": agent, "env": env, **request_})
    with pytest.raises(UsageError, match=message):
        of_the_command_line(agent, env, request_)
    if request_.get("hidden_sizes") is None:  # two values of it, in a sweep
        with pytest.raises(SweepError, match=message):
            of_a_sweep(agent, env, request_, tmp_path)
    with pytest.raises(ValueError, match=message):
        getattr(rewirl, AGENTS[agent].python)(env, **request_)


def test_a_preset_is_its_options_whoever_asks():
    for number, name in enumerate(names()):
        there = preset(name)
        by_name = resolve({"preset": name, "seed": 3})
        assert by_name == resolve({"agent": there.agent, "env": there.env, "seed": 3, **there.options})
        if number % 10 == 0:
            parsed = parse_run("train", ["--preset", name, "--seed", "3"])
            assert (parsed.run, parsed.agent) == by_name


def test_a_request_goes_before_its_preset():
    name = "rlx2/td3/Ant-v5"
    settings = resolve({"preset": name, "lambdas": (7, 64), "total_timesteps": 5, "regrow_dropped": False})
    assert settings.agent.topology.lambdas == (7.0, 64.0)
    assert settings.agent.topology.regrow_dropped is False
    assert settings.agent.topology.anneal == "cosine" and settings.run.total_timesteps == 5
    assert resolve({"preset": "anf/td3/Hopper-v5", "lambdas": (7, 64)}).agent.topology.layer_sparsities is None
    with pytest.raises(ValueError, match="preset rlx2/td3/Ant-v5 is for agent ds-td3, not td3; leave one out"):
        resolve({"preset": name, "agent": "td3"})
    with pytest.raises(ValueError, match="no preset 'rlx2/td3/An-v5'; did you mean rlx2/td3/Ant-v5"):
        resolve({"preset": "rlx2/td3/An-v5"})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tau = 0.1", "crossq has no option 'tau'; it has no target networks"),
        ("gamma = 2", "gamma must be between 0 and 1, got 2"),
        ('gamma = "a"', "gamma must be a number, got 'a'"),
        ("sparsity = 0.5\nlambdas = [7, 64]", "sparsity and lambdas both"),
    ],
)
def test_a_mistake_in_a_preset_file_names_the_file_and_others_do_not(tmp_path, line, message):
    file = tmp_path / "d.toml"
    file.write_text(f'agent = "crossq"\nenv = "Pendulum-v1"\n{line}\n')
    with pytest.raises(ValueError, match=f"^the preset .*d.toml: {message}") as mistake:
        resolve({"preset": str(file), "seed": 1})
    assert isinstance(mistake.value, TypeError) == ("no option" in message)
    with pytest.raises(UsageError, match=r"the preset .*d\.toml: "):
        parse_run("train", ["--preset", str(file)])
    file.write_text('agent = "crossq"\nenv = "Pendulum-v1"\n')
    with pytest.raises(ValueError, match=r"^gamma must be between"):
        resolve({"preset": str(file), "gamma": 2.0})


def test_names_of_the_wrong_kind_are_refused_by_name():
    for name in ("agent", "env", "preset"):
        with pytest.raises(ValueError, match=f"{name} must be a word, got 3"):
            resolve({name: 3})
    with pytest.raises(ValueError, match="unknown agent 'ds-td4'; did you mean ds-td3"):
        resolve({"agent": "ds-td4"})


@pytest.mark.parametrize(("typed", "meant"), [("DSTD3", "ds-td3"), ("StaticSimBa", "static-simba"), ("PPO", "ppo")])
def test_an_agent_by_its_name_in_python_is_hinted_at(typed, meant):
    with pytest.raises(ValueError, match=rf"unknown agent '{typed}'; did you mean {meant}\?"):
        resolve({"agent": typed, "env": "Pendulum-v1"})


def test_numbers_of_numpy_train_and_go_on_as_pythons(tmp_path):
    """What is saved is what was trained with, to the bit: a resumed run has equal settings."""
    from rewirl.storage.run_directory import RunDirectory
    from rewirl.training.resume import settings_of

    request = {
        "hidden_sizes": np.array([8, 8]),
        "learning_starts": 5e1,
        "batch_size": np.int64(10),
        "learning_rate": np.float32(0.001),
        "regrow_dropped": np.bool_(True),
        "sparsity": np.float64(0.5),
        "drop": np.str_("code"),
    }
    with rewirl.DSTD3("Pendulum-v1", np.int32(3), threads=np.int8(1), **request) as agent:
        agent.learn(6e1, tmp_path / "run", eval_every=np.int64(0), checkpoint_every=0)
        assert agent.steps == 60
    with RunDirectory.open(tmp_path / "run", lock=False) as directory:
        run, settings = settings_of(directory)
    assert settings == agent_settings("ds-td3", "Pendulum-v1", **{**request, "learning_starts": 50})
    assert (settings.learning_starts, settings.learning_rate) == (50, float(np.float32(0.001)))
    assert (run.seed, run.threads, run.total_timesteps) == (3, 1, 60)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"learning_starts": "50"}, "learning_starts must be a whole number, got '50'"),
        ({"gamma": np.array(0.9)}, r"gamma must be a number, got array\(0.9\)"),
        ({"gamma": None}, "gamma must be a number, got None"),
        ({"hidden_sizes": 16}, "hidden_sizes must be a list of which each is a whole number, got 16"),
        ({"regrow_dropped": 1}, "regrow_dropped must be true or false, got 1"),
        ({"rule": 3}, "rule must be a word, got 3"),
        ({"rule": SET}, "rule must be a word, got a class; give its name: rule='rewirl.topology.rules.set:SET'"),
        ({"lambdas": "7 64"}, "lambdas must be a list of which each is a number, got '7 64'"),
        ({"seed": 0.5}, "seed must be a whole number, got 0.5"),
        ({"seed": "0"}, "seed must be a whole number, got '0'"),
        ({"threads": 1.5}, "threads must be a whole number, got 1.5"),
        ({"env_kwargs": [1]}, "env_kwargs must be a table"),
        ({"env_kwargs": {"a": np.ones(2)}}, "env_kwargs.a is a ndarray"),
        ({"env_module": 3}, "env_module must be a word, got 3"),
    ],
)
def test_python_refuses_values_of_other_types_by_name(request_, message):
    with pytest.raises(ValueError, match=message):
        rewirl.DSTD3("Pendulum-v1", **request_)


def test_learning_and_evaluating_refuse_by_name_too():
    with rewirl.TD3("Pendulum-v1", hidden_sizes=(4,), buffer_size=10) as agent:
        for call, message in (
            (lambda: agent.learn("5"), "total_timesteps must be a whole number, got '5'"),
            (lambda: agent.learn(2.5), "total_timesteps must be a whole number, got 2.5"),
            (lambda: agent.learn(5, eval_every="x"), "eval_every must be a whole number, got 'x'"),
            (lambda: agent.learn(5, keep_checkpoints=True), "keep_checkpoints must be a whole number, got True"),
            (lambda: agent.evaluate("x"), "episodes must be a whole number, got 'x'"),
            (lambda: agent.evaluate(0), "episodes must be at least 1, got 0"),
        ):
            with pytest.raises(ValueError, match=message):
                call()
        assert agent.steps == 0


def test_every_option_is_documented_and_belongs_to_one_part():
    for agent in AGENTS:
        for name, option in options(agent).items():
            assert option.name == name and len(option.help) > 10, name
    assert {"agent", "env", "seed", "sparsity", "temperature", "policy_delay"} <= set(all_options())


def test_changed_settings_go_through_the_same_door():
    config = TrainConfig()
    assert changed(config, total_timesteps=1e3).total_timesteps == 1000
    with pytest.raises(ValueError, match=r"eval_every must be a whole number, got 0\.5"):
        changed(config, eval_every=0.5)


@pytest.mark.parametrize(("agent", "env"), [("ds-td3", "Pendulum-v1"), ("ds-td3", "Ant-v5"), ("td3", "Pendulum-v1")])
@pytest.mark.parametrize("way", [{"sparsity": 0.8}, {"lambdas": (7.0, 20.0)}, {"layer_sparsities": (0.5, 0.0, 0.0)}])
def test_what_is_said_of_the_connections_takes_the_place_of_any_default(agent, env, way):
    topology = agent_settings(agent, env, **way).topology
    assert {name: getattr(topology, name) for name in AMOUNTS} == {**dict.fromkeys(AMOUNTS), **way}


def test_an_earlier_layer_says_no_more_of_the_connections_than_a_later_one_leaves():
    file = {"lambdas": (7, 20), "gamma": 0.9, "tau": 0.1}
    assert beneath(file, {"sparsity": 0.8, "tau": 0.2}) == {"gamma": 0.9}
    assert beneath(file, {"sparsity": None}) == file
    assert overruled({"sparsity": 0.5, "lambdas": (7, 20)}) == ("sparsity",)
    assert overruled({"sparsity": 0.5, "layer_sparsities": (0.5,)}) == ("sparsity", "lambdas")
    assert overruled({"sparsity": 0.5, "lambdas": None}) == () == overruled({})


def test_what_differs_from_the_paper_is_what_was_asked_for():
    run, agent = resolve({"preset": "ds-drl/ds-td3/Ant-v5", "gamma": 0.9, "total_timesteps": 5, "sparsity": 0.8})
    assert differing(run, agent) == {"total_timesteps": 5, "gamma": 0.9, "sparsity": 0.8}
    run, agent = resolve({"agent": "ds-td3", "env": "Ant-v5"})
    assert differing(run, agent) == {"learning_starts": 1_000}


def test_both_flags_of_a_truth_value_contradict_each_other():
    with pytest.raises(UsageError, match="--regrow-dropped and --no-regrow-dropped contradict each other"):
        parse_run("train", ["--regrow-dropped", "--no-regrow-dropped"])


def test_the_classes_are_those_of_the_registry():
    assert sorted(learners.__all__) == sorted(entry.python for entry in AGENTS.values())
    for entry in AGENTS.values():
        assert getattr(rewirl, entry.python).name == entry.name


@pytest.mark.parametrize(
    ("agent", "choice", "companion"),
    [
        ("xqc", {"learning_rate_schedule": "constant"}, {"learning_rate_end": 1e-5}),
        ("ds-dqn", {"rule": "wast"}, {"drop": "magnitude"}),
    ],
)
def test_what_an_agent_has_beside_its_own_choice_gives_way_to_another_one(agent, choice, companion):
    """XQC's usual schedule has an end and a length, and DS-DQN's usual rule a criterion, that nobody has asked for."""
    (name, value) = next(iter(choice.items()))
    settings = resolve({"agent": agent, "env": "Pendulum-v1", **choice}).agent
    assert getattr(settings if hasattr(settings, name) else settings.topology, name) == value
    with pytest.raises(ValueError, match=r"leave drop and grow out|belong to a learning_rate_schedule"):
        resolve({"agent": agent, "env": "Pendulum-v1", **choice, **companion})


@pytest.mark.parametrize(
    ("agent", "name", "value", "rounded"),
    [
        ("td3", "learning_rate", 1e39, "inf"),
        ("td3", "learning_rate", 1e-50, "0.0"),
        ("td3", "weight_decay", 1e39, "inf"),
        ("sac", "target_entropy", -1e300, "-inf"),
        ("ppo", "max_gradient_norm", 1e100, "inf"),
    ],
)
def test_a_number_that_float32_does_not_have_is_refused_before_anything_is_trained_with_it(agent, name, value, rounded):
    with pytest.raises(ValueError, match=f"{name} is .*, which is {rounded} in float32"):
        resolve({"agent": agent, "env": "Pendulum-v1", name: value})
    for fine in (1e-45, 3.4028235e38):  # as NumPy prints the smallest and the largest one
        assert resolve({"agent": "td3", "env": "Pendulum-v1", "weight_decay": fine}).agent.weight_decay == fine


def test_an_old_record_with_a_number_that_float32_does_not_have_is_read():
    settings = from_values(PPOConfig, {**to_values(PPOConfig()), "max_gradient_norm": 1e100})
    assert settings.max_gradient_norm == 1e100
