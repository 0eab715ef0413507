"""Sizes that the memory cannot hold are refused before anything is allocated."""

from __future__ import annotations

import pytest

from rewirl.cli.main import main
from rewirl.options.resolve import agent_settings
from rewirl.training import room

SMALL = ["--env", "Pendulum-v1", "--total-timesteps", "2000", "--eval-every", "0", "--threads", "1"]


@pytest.mark.parametrize(
    "options",
    [
        ["--batch-size", "1000000000"],
        ["--hidden-sizes", "2000000000", "8"],
        ["--agent", "td3", "--hidden-sizes", "300000", "300000"],
        ["--agent", "ds-td3", "--hidden-sizes", "100000", "100000", "--sparsity", "0.9"],
        ["--agent", "ds-xqc", "--batch-size", "2000000000"],
    ],
)
def test_sizes_beyond_memory_are_refused(options, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(room, "memory", lambda: 24 * 2**30)
    with pytest.raises(SystemExit) as ended:
        main(["train", *SMALL, *options, "--run-dir", str(tmp_path / "run")])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and "GiB of memory" in said and "choose smaller ones" in said


def test_the_bound_by_hand(monkeypatch):
    dense = agent_settings("td3", "Pendulum-v1", hidden_sizes=(8, 4), batch_size=10)
    # 3 networks of 8 + 4 biases and 3 * 8 + 8 * 4 weights, with two moments each; 10 samples of 3 + 8 + 4 values
    needed = 3 * 12 * (12 + 56) + 4 * 10 * 15
    monkeypatch.setattr(room, "memory", lambda: needed)
    room.refuse_sizes_beyond_memory("td3", dense, 3)
    monkeypatch.setattr(room, "memory", lambda: needed - 1)
    with pytest.raises(ValueError, match="hidden_sizes 8 4 with batch_size 10 need at least"):
        room.refuse_sizes_beyond_memory("td3", dense, 3)


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ({"sparsity": 0.5}, 3 * 28),
        ({"sparsity": 0.75, "structure": "8x1"}, 3 * 14),
        ({"actor_sparsity": 0.75, "critic_sparsity": 0.5}, 14 + 2 * 28),
        ({"sparsity": 0.9, "initial_sparsity": 0.0, "rule": "prune"}, 3 * 56),
        ({"sparsity": 0.5, "structure": "2:4"}, 0),  # the bound holds, whatever they are
        ({"lambdas": (3.0, 3.0)}, 0),
        ({"layer_sparsities": (0.5, 0.5, 0.0)}, 0),
    ],
)
def test_the_bound_has_the_connections_that_a_network_begins_with(monkeypatch, settings, weights):
    config = agent_settings("td3", "Pendulum-v1", hidden_sizes=(8, 4), batch_size=10, **settings)
    needed = 12 * (3 * 12 + weights) + 4 * 10 * 15
    monkeypatch.setattr(room, "memory", lambda: needed)
    room.refuse_sizes_beyond_memory("td3", config, 3)
    monkeypatch.setattr(room, "memory", lambda: needed - 1)
    with pytest.raises(ValueError, match="need at least"):
        room.refuse_sizes_beyond_memory("td3", config, 3)


@pytest.mark.parametrize(
    ("agent", "settings", "networks"),
    [
        ("dqn", {}, 1),
        ("ppo", {"rollout_steps": 2000}, 2),
        ("crossq", {"actor_hidden_sizes": (2,)}, 2),  # the actor has sizes of its own
        ("xqc", {"actor_hidden_sizes": (2,)}, 2),
    ],
)
def test_the_bound_counts_the_networks_that_an_agent_has(monkeypatch, agent, settings, networks):
    config = agent_settings(agent, "Pendulum-v1", hidden_sizes=(8, 4), batch_size=10, sparsity=0, **settings)
    needed = networks * 12 * (12 + 56) + 4 * 10 * 15
    monkeypatch.setattr(room, "memory", lambda: needed)
    room.refuse_sizes_beyond_memory(agent, config, 3)
    monkeypatch.setattr(room, "memory", lambda: needed - 1)
    with pytest.raises(ValueError, match="need at least"):
        room.refuse_sizes_beyond_memory(agent, config, 3)


@pytest.mark.parametrize(
    ("groups", "limits", "least"),
    [
        ("", {"memory.max": "3000"}, 3000),
        ("0::/\n", {"memory.max": "max"}, None),
        ("0::/job/step\n", {"job/memory.max": "2000", "job/step/memory.max": "max"}, 2000),
        ("0::/outside/of/here\n", {"memory.max": "1000"}, 1000),
        (
            "2:cpu:/job\n1:memory:/job\n0::/\n",
            {"memory/memory.limit_in_bytes": "9223372036854771712", "memory/job/memory.limit_in_bytes": "4000"},
            4000,
        ),
        ("no such line\n", {}, None),
    ],
)
def test_the_memory_is_what_the_control_groups_leave(tmp_path, monkeypatch, groups, limits, least):
    (tmp_path / "cgroup").write_text(groups)
    monkeypatch.setattr(room, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(room, "_MOUNTED", tmp_path / "fs")
    machine = room.memory()
    for name, text in limits.items():
        (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs" / name).write_text(f"{text}\n")
    assert room.memory() == (least or machine)


def test_nobody_is_refused_where_the_memory_is_not_known(monkeypatch):
    monkeypatch.setattr(room, "memory", lambda: None)
    room.refuse_sizes_beyond_memory("td3", agent_settings("td3", "Pendulum-v1", batch_size=2**30), 3)
