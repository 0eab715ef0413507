"""What fuzzing has found in the parsers of outside data, each by hand."""

from __future__ import annotations

import hashlib
import json
import time

import numpy as np
import pytest
from parsers import small_run

from rewirl.agents import SACConfig
from rewirl.agents.adaptation import Adaptation, sparse_network
from rewirl.exact import from_values
from rewirl.experiments.report.run_data import read_run
from rewirl.experiments.sweep.error import SweepError
from rewirl.experiments.sweep.file import read_sweep
from rewirl.experiments.sweep.plan import plan
from rewirl.nn import mlp
from rewirl.storage import strict_json
from rewirl.storage.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from rewirl.storage.policy_file import PolicyError, load_policy, save_policy
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError
from rewirl.topology import TopologyConfig
from rewirl.training.progress import Silent
from rewirl.training.resume import resume, settings_of
from rewirl.training.trained_policy import TrainedPolicy

SMALL = 'agents = ["ds-td3"]\nenvs = ["Pendulum-v1"]\nseeds = [0]\n'


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("torture") / "run"
    small_run(path, "ds-td3", 33)
    return path


@pytest.fixture
def signed(tmp_path):
    """Write a config.json with its hash."""

    def write(config):
        canonical = json.dumps(config, sort_keys=True, separators=(",", ":")).encode()
        record = {"format": 1, "config": config, "config_hash": hashlib.sha256(canonical).hexdigest()}
        (tmp_path / "config.json").write_text(json.dumps(record))
        return tmp_path

    return write


def test_a_key_that_occurs_twice_among_many_is_found_at_once():
    text = json.dumps({str(number): 0 for number in range(200_000)})[:-1] + ',"199999":0}'
    before = time.process_time()
    with pytest.raises(ValueError, match="'199999' occurs twice"):
        strict_json.decode(text.encode())
    assert time.process_time() - before < 10


def test_a_record_nested_deeper_than_any_that_is_written_is_refused(signed):
    deep = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(RunDirectoryError, match="nested deeper"):
        RunDirectory.open(signed({"train": {"env_kwargs": {"a": deep}}, "agent": {}}))


@pytest.mark.parametrize(
    ("name", "value"),
    [("batch_size", 8.5), ("learning_rate", 10**400), ("hidden_sizes", [8, 2.5]), ("gamma", True), ("topology", 3)],
)
def test_settings_of_other_kinds_are_refused(signed, finished, name, value):
    config = json.loads((finished / "config.json").read_text())["config"]
    config["agent"][name] = value
    with (
        RunDirectory.open(signed(config), lock=False) as opened,
        pytest.raises(RunDirectoryError, match=f"{name} must be .*, got"),
    ):
        settings_of(opened)


def test_settings_of_the_right_kinds_are_taken():
    kind = SACConfig
    values = {"hidden_sizes": [4, 5], "temperature": 1, "target_entropy": None, "topology": {"lambdas": [7, 64.0]}}
    made = from_values(kind, values)
    assert (made.hidden_sizes, made.temperature, type(made.temperature)) == ((4, 5), 1.0, float)
    assert made.topology.lambdas == (7, 64.0)
    assert from_values(kind, {"temperature": "auto"}).temperature == "auto"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actor": 3}, "actor is 3"),
        ({"observation_size": 10**12}, "sizes do not fit"),
        ({"observation_size": 3.0}, "observation_size is 3.0"),
        ({"bounds": {"low": [-(10**400)], "high": [1], "dtype": "float32"}}, "a bound of low"),
        ({"environment": {"name": "x", "id": None}}, "is missing"),
        ({"environment": "x"}, "not a policy"),
        ({"seed": "0"}, "seed"),
        ({"step": -1}, "step"),
        ({"agent": None}, "agent"),
    ],
)
def test_policies_of_other_kinds_are_refused(tmp_path, finished, change, message):
    arrays, values = load_policy(finished / "policy")
    save_policy(tmp_path / "policy", arrays, {**values, **change})
    with pytest.raises(PolicyError, match=message):
        TrainedPolicy.load(tmp_path / "policy")


def changed(values, path, value):
    """Return nested dicts with one value replaced, or left out if it is ..."""
    first, *rest = path
    new = dict(values)
    if rest:
        new[first] = changed(values[first], rest, value)
    elif value is ...:
        del new[first]
    else:
        new[first] = value
    return new


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["step"], -5),
        (["step"], 32),
        (["total_timesteps"], ...),
        (["total_timesteps"], "40"),
        (["metrics_offset"], ...),
        (["metrics_offset"], [1]),
        (["evaluated"], ...),
        (["evaluated"], 1.5),
        (["agent"], []),
        (["replay"], 3),
        (["episode", "number"], None),
        (["episode", "length"], -1),
        (["episode"], ...),
        (["diagnostics"], 3),
    ],
)
def test_checkpoints_with_impossible_values_are_refused(tmp_path, finished, path, value):
    saved = load_checkpoint(finished / "checkpoints" / "step-000000033")
    refused_on_resuming(tmp_path, finished, saved.arrays, changed(saved.values, path, value))


@pytest.mark.parametrize("shape", [(33, 2), (32, 1), (33,)])
def test_an_episode_of_other_actions_is_refused(tmp_path, finished, shape):
    saved = load_checkpoint(finished / "checkpoints" / "step-000000033")
    refused_on_resuming(
        tmp_path, finished, {**saved.arrays, "episode/actions": np.zeros(shape, np.float32)}, saved.values
    )


def refused_on_resuming(path, finished, arrays, values):
    (path / "config.json").write_bytes((finished / "config.json").read_bytes())
    (path / "metrics.jsonl").write_bytes((finished / "metrics.jsonl").read_bytes())
    save_checkpoint(path / "checkpoints", 33, arrays, values)
    with pytest.raises(CheckpointError, match="does not fit the run"):
        resume(path, Silent(), 40)


def test_weights_that_are_not_finite_at_a_rewiring_are_divergence():
    network = sparse_network(4, mlp([4, 3, 1]), TopologyConfig(), 0, "actor")
    network.layers[0].set_values(np.full(network.layers[0].connections, np.nan, np.float32))
    with pytest.raises(FloatingPointError, match="weights that are not finite"):
        Adaptation(TopologyConfig(), 0).adapt("actor", network, 1000, lambda layer: np.zeros(0, np.float32))


def test_a_topology_without_layers_is_refused(tmp_path, finished):
    network = {"shapes": [], "connections": [], "initial_alive": [], "input_connections": [1]}
    numbers = {"return_mean": 1.0, "seconds": 1.0, "updates": 0}
    connections = {"actor": 1, "critic1": 1, "critic2": 1}
    lines = [
        {"event": "evaluation", "step": 0, "connections": connections, **numbers},
        {"event": "topology", "step": 0, "networks": {"actor": network}},
    ]
    (tmp_path / "config.json").write_bytes((finished / "config.json").read_bytes())
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ValueError, match="other layers in its shapes"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    "change", [{"updates": 1e308}, {"connections": {"actor": 1, "critic1": -(10**30), "critic2": 1}}]
)
def test_evaluations_with_impossible_counts_are_refused(tmp_path, finished, change):
    numbers = {
        "return_mean": 1.0,
        "seconds": 1.0,
        "updates": 0,
        "connections": {"actor": 1, "critic1": 1, "critic2": 1},
    }
    lines = [
        {"event": "evaluation", "step": 0, **numbers},
        {"event": "evaluation", "step": 1, **numbers, **change},
    ]
    (tmp_path / "config.json").write_bytes((finished / "config.json").read_bytes())
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ValueError, match=r"are impossible|is 1e.308, which is not a number"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * 3000, "nested too deeply"),
        (SMALL + "learning_rate = 1" + "0" * 400, "learning_rate must be a number"),
        (SMALL + "warm_up_policy = {agent = []}", "agent must be a word"),
        (
            SMALL + "\n".join(f"{name} = {list(range(1, 300))}" for name in ("n_steps", "batch_size", "eval_every")),
            "more than 10,000 runs",
        ),
    ],
)
def test_sweeps_that_cannot_be_are_refused_at_once(tmp_path, text, message):
    (tmp_path / "sweep.toml").write_text(text)
    before = time.process_time()
    with pytest.raises(SweepError, match=message):
        read_sweep(str(tmp_path / "sweep.toml"))
    assert time.process_time() - before < 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("eval_episodes = 9007199254740992", "eval_episodes must be at most 10,000"),
        ("env_kwargs = {a = inf}", "env_kwargs.a is inf, which JSON cannot hold"),
        ("env_kwargs = {a = 1979-05-27}", "env_kwargs.a is .*, which JSON cannot hold"),
        ("n_steps = 9223372036854775807", "n_steps must be at least 1 and at most 10,000"),
    ],
)
def test_sweeps_of_runs_that_cannot_be_recorded_or_computed_are_refused(tmp_path, text, message):
    (tmp_path / "sweep.toml").write_text(SMALL + text)
    with pytest.raises(SweepError, match=message):
        plan(read_sweep(str(tmp_path / "sweep.toml")).requests, tmp_path / "runs")
