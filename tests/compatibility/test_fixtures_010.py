"""What 0.1.0 wrote is understood: its runs go on to the bit, its policies act alike, its settings mean the same.

The files are in tests/fixtures/0.1.0, made by make_fixtures.py with that release.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import adapter
import numpy as np
import pytest
import rewirl_fixtures
from make_fixtures import PENDULUM, RUNS, SPRINGS

import rewirl
from rewirl.cli.parse import parse_run
from rewirl.options.resolve import resolve
from rewirl.presets.lookup import protocol
from rewirl.storage.values import to_values

RELEASE = adapter.FIXTURES / "0.1.0"
EXPECTED = json.loads((RELEASE / "expected.json").read_text())
OBSERVATIONS = {int(size): np.array(rows, np.float32) for size, rows in EXPECTED["observations"].items()}
SAME_ROUNDING = adapter.arithmetic() == EXPECTED["here"]["arithmetic"]

EVERYWHERE = ("td3", "ds-td3", "ds-sac", "rlx2-sac", "srigl-td3", "ages-prune-sac")
"""The runs that go on with every instruction set; all of them do with the portable one."""

TRIALS = [
    pytest.param(name, each, id=f"{name}-{each}")
    for name in RUNS
    for each in adapter.instruction_sets()
    if each == "portable" or name in EVERYWHERE
]


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def copied(tmp_path):
    """Copy something of the release, so that it stays what it is."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(RELEASE / name, tmp_path / Path(name).name))

    return copy


def skip_elsewhere(instruction_set: str) -> None:
    reason = adapter.comparable(instruction_set, EXPECTED["here"])
    if reason:
        pytest.skip(reason)


def still_there(before: Any, now: Any, where: str = "") -> list[str]:
    """Return where something that was there before is not, or has another value; more may have been added."""
    if isinstance(before, dict) and isinstance(now, dict):
        missing = [f"{where}.{key} is missing" for key in before if key not in now]
        return missing + [
            p for key in before if key in now for p in still_there(before[key], now[key], f"{where}.{key}")
        ]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = enumerate(zip(before, now, strict=True))
        return [p for index, (one, other) in pairs for p in still_there(one, other, f"{where}[{index}]")]
    return [] if before == now and type(before) is type(now) else [f"{where} was {before}, is {now}"]


def predicted(policy: Any) -> Any:
    return policy.predict(OBSERVATIONS[policy.topology["actor"][0].shape[1]])


def acts_alike(policy: Any, before: Any) -> None:
    actions, expected = predicted(policy), np.array(before, np.float32)
    assert actions.dtype == np.float32
    np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-6)
    if SAME_ROUNDING:
        assert actions.tobytes() == expected.tobytes()


# --- Runs ----------------------------------------------------------------


@pytest.mark.parametrize("name", RUNS)
def test_the_files_of_a_run_are_those_that_the_release_wrote(name):
    assert adapter.of_run(RELEASE / "begun" / name) == EXPECTED["runs"][f"begun/{name}"]["here"]


@pytest.mark.parametrize(("name", "instruction_set"), TRIALS)
def test_a_run_goes_on_to_the_bit(name, instruction_set, copied):
    skip_elsewhere(instruction_set)
    path = copied(f"begun/{name}")
    with adapter.instruction_set(instruction_set):
        code, printed = adapter.command("resume", path)
    assert code == 0 and "not to the bit" not in printed, printed
    now, before = adapter.of_run(path), EXPECTED["runs"][f"begun/{name}"]["resumed"][instruction_set]
    assert adapter.metrics(path)[-1]["event"] == "end"
    exact = RUNS[name][1] is not PENDULUM and not adapter.depends_on_rounding(RUNS[name][0])
    for part in adapter.PARTS if SAME_ROUNDING else adapter.EXACT_PARTS if exact else ():
        assert now[part] == before[part], part


@pytest.mark.parametrize(("name", "instruction_set"), TRIALS)
def test_its_policy_acts_and_scores_as_it_did(name, instruction_set):
    skip_elsewhere(instruction_set)
    path, before = RELEASE / "begun" / name, EXPECTED["runs"][f"begun/{name}"]
    with adapter.instruction_set(instruction_set):
        acts_alike(rewirl.load(path), before["actions"][instruction_set])
        scored = adapter.answer("evaluate", path, "--episodes", 3, "--json")
    expected = before["evaluation"][instruction_set]
    if SAME_ROUNDING:
        assert still_there(expected, scored) == []
    assert scored["lengths"] == expected["lengths"]
    assert scored["returns"] == pytest.approx(expected["returns"], rel=1e-3)


@pytest.mark.parametrize("name", RUNS)
def test_it_is_inspected(name, copied):
    path = copied(f"begun/{name}")
    found = adapter.answer("inspect", path, "--json")
    before = dict(EXPECTED["runs"][f"begun/{name}"]["inspect"])
    flops = before.pop("flops")
    if not any(way in name for way in ("prune", "snip", "revival", "expansion")):
        # Since 0.2.0 the steps of the warm-up, which have no updates, are not counted, and a sparsity that changes is
        # counted by its whole schedule.
        config = json.loads((path / "config.json").read_text())["config"]
        steps, warm_up = config["train"]["total_timesteps"], config["agent"]["learning_starts"]
        assert found["flops"] == pytest.approx(flops * (steps - warm_up) / steps, rel=0.02)
    if "ages" in name:  # since 0.2.0 dense layers and biases have them too
        assert found["memory_bytes"]["agent"] > before["memory_bytes"].pop("agent")
    assert still_there(before, found) == []


def test_a_finished_run_is_left_as_it_is_or_goes_on_further(copied):
    path = copied("finished/ds-td3-0")
    before = adapter.of_run(path)
    code, printed = adapter.command("resume", path)
    assert code == 0 and "finished" in printed and adapter.of_run(path) == before
    code, printed = adapter.command("resume", path, "--total-timesteps", 700)
    assert code == 0, printed
    assert adapter.metrics(path)[-1]["event"] == "end" and adapter.metrics(path)[-1]["step"] == 700


def test_a_run_is_not_begun_again_in_its_directory(copied):
    path = copied("begun/ds-td3")
    code, printed = adapter.command("train", "--agent", "td3", *SPRINGS, "--run-dir", path)
    assert code == 2 and "already holds a run" in printed


def test_the_report_reads_runs(tmp_path):
    pytest.importorskip("matplotlib")
    text = tmp_path / "report.md"
    files = ("--output", tmp_path / "report.html", "--markdown", text)
    code, printed = adapter.command("report", RELEASE / "finished", *files)
    assert code == 0 and "left out" not in printed, printed
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.read_text().splitlines()]
    for agent in ("td3", "ds-td3"):
        runs = [adapter.metrics(RELEASE / "finished" / f"{agent}-{seed}") for seed in (0, 1)]
        evaluations = [[line for line in run if line["event"] == "evaluation"] for run in runs]
        finals = [np.mean([line["return_mean"] for line in run]) for run in evaluations]  # of the last ten, so all
        final = f"{np.mean(finals):,.0f} ± {np.std(finals):,.0f}"
        assert any(row[0] == agent and "600" in row and final in row for row in rows), (agent, final)


def test_every_run_can_be_reported_on():
    found, problems = adapter.runs_for_the_report([RELEASE / name for name in ("begun", "finished", "sweeps")])
    assert problems == []
    assert len(found) == len(RUNS) + 4 + len(names()["mine.toml"])
    assert {run.agent for run in found} == set(AGENTS)


# --- Policies --------------------------------------------------------------


@pytest.mark.parametrize("instruction_set", adapter.instruction_sets())
@pytest.mark.parametrize("name", ["ds-td3", "sac"])
def test_a_policy_saved_from_python_acts_as_it_did(name, instruction_set, tmp_path):
    skip_elsewhere(instruction_set)
    with adapter.instruction_set(instruction_set):  # layers are laid out for it when they are made
        policy = rewirl.load(RELEASE / "policies" / name)
    assert (policy.about["agent"], policy.about["step"]) == (name, 120)
    assert policy.about["environment"]["id"] == rewirl_fixtures.ENVIRONMENT
    with adapter.instruction_set(instruction_set):
        acts_alike(policy, EXPECTED["policies"][name][instruction_set])
        one = policy.predict(OBSERVATIONS[5][0])
        assert one.shape == (2,)
        np.testing.assert_allclose(one, EXPECTED["policies"][name][instruction_set][0], rtol=1e-4, atol=1e-5)
        assert len(policy.evaluate(2).returns) == 2


def test_a_policy_fills_the_memory_of_a_new_run(tmp_path):
    policy = RELEASE / "policies" / "ds-td3"
    options = [
        "--total-timesteps",
        60,
        "--learning-starts",
        50,
        "--batch-size",
        8,
        "--hidden-sizes",
        8,
        "--eval-every",
        0,
    ]
    path = tmp_path / "run"
    code, printed = adapter.command(
        "train", "--agent", "ds-td3", *SPRINGS, *options, "--warm-up-policy", policy, "--run-dir", path
    )
    assert code == 0, printed
    assert json.loads((path / "config.json").read_text())["config"]["warm_up_policy"]["step"] == 120


# --- Sweeps ----------------------------------------------------------------


def names() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads((RELEASE / "sweeps" / "names.json").read_text())["names"]
    return found


def as_it_was(source: str, directory: Path) -> Path:
    """Return a sweep file with the line that it needs, since 0.2.0 has other defaults, to mean what it meant."""
    file = directory / f"as-it-was-{source}"
    file.write_text('paper = "ds-drl"\n' + (RELEASE / "sweeps" / source).read_text())
    return file


def test_the_runs_of_every_sweep_are_found_in_the_directories_they_had(tmp_path):
    for number, (source, before) in enumerate(names().items()):
        directory = tmp_path / str(number)
        for name in before:
            (directory / name).mkdir(parents=True)
        named = str(as_it_was(source, tmp_path)) if source.endswith(".toml") else source, directory
        assert adapter.sweep_names(*named) == before, source


def test_a_sweep_finds_the_runs_it_made_and_finishes_them(copied, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(adapter.FIXTURES))
    sweeps = copied("sweeps")
    file, directory = as_it_was("mine.toml", sweeps), sweeps / "mine"
    expected = sorted(names()["mine.toml"])
    assert sorted(path.name for path in directory.iterdir()) == expected
    code, printed = adapter.command("sweep", file, "--directory", directory, "--dry-run")
    assert code == 0 and f"{len(expected)} runs, {len(expected) - 1} finished" in printed, printed
    assert "at step 70" in printed
    before = {path.name: (path / "metrics.jsonl").read_bytes() for path in directory.iterdir()}
    code, printed = adapter.command("sweep", file, "--directory", directory)
    assert code == 0, printed
    after = [path for path in directory.iterdir() if path.is_dir()]
    assert sorted(path.name for path in after) == expected
    changed = [path.name for path in after if (path / "metrics.jsonl").read_bytes() != before[path.name]]
    assert len(changed) == 1
    assert adapter.metrics(directory / changed[0])[-1]["event"] == "end"


# --- Settings --------------------------------------------------------------


CORRECTED: dict[str, dict[str, Any]] = {
    r"anf/(dense-)?sac/": {"learning_rate": 1e-3, "weight_decay": 2e-4, "batch_size": 100},
    "obando-ceron/wide-prune-sac/": {"learning_starts": 1_000, "weight_decay": 1e-4},
}
"""Settings of 0.1.0 that were not those of the papers."""


def test_every_preset_means_the_same():
    before, now = json.loads((RELEASE / "presets.json").read_text()), adapter.answer("presets", "--json")
    problems = []
    for name, preset in before["presets"].items():
        usual, own = before["first"][preset["agent"]], preset["settings"]
        topology = {**usual["topology"], **own.get("topology", {})}
        if topology["layer_sparsities"] is not None:  # a default beside them counted for nothing, and is none now
            topology |= {"sparsity": None, "lambdas": None}
        corrected = next((better for begin, better in CORRECTED.items() if re.match(begin, name)), {})
        full = {**preset, "settings": {**usual, **own, **corrected, "topology": topology}}
        problems += still_there(full, now.get(name), name)
    assert problems == []


def settings(agent: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RELEASE / "defaults.json").read_text())[agent]
    return found


AGENTS = {
    "td3": rewirl.TD3,
    "static-td3": rewirl.StaticTD3,
    "ds-td3": rewirl.DSTD3,
    "sac": rewirl.SAC,
    "static-sac": rewirl.StaticSAC,
    "ds-sac": rewirl.DSSAC,
}


def config(path: Path) -> Any:
    return json.loads((path / "config.json").read_text())["config"]


@pytest.mark.parametrize("agent", AGENTS)
def test_the_papers_settings_are_the_defaults_of_then_and_every_option_is_taken_by_its_name(agent):
    before = settings(agent)
    usual = resolve(
        {**protocol(agent), "agent": agent, "env": rewirl_fixtures.ENVIRONMENT, "env_module": "rewirl_fixtures"}
        | {"total_timesteps": 1, "eval_every": 0}
    )
    assert still_there(before, {"train": to_values(usual.run), "agent": to_values(usual.agent)}) == []
    of_agent = {name: value for name, value in before["agent"].items() if name != "topology"}
    arguments = []
    for name, value in {**before["train"], **of_agent, **before["agent"]["topology"]}.items():
        if value is not False:
            words = value if isinstance(value, list) else [json.dumps(value) if isinstance(value, dict) else value]
            arguments += [f"--{name.replace('_', '-')}", *words]
    said = parse_run("train", [str(word) for word in arguments])
    assert still_there(before, {"train": to_values(said.run), "agent": to_values(said.agent)}) == []


@pytest.mark.parametrize("agent", AGENTS)
def test_every_option_is_taken_by_its_name_from_python(agent, tmp_path):
    before = settings(agent)
    options = {name: value for name, value in before["agent"].items() if name != "topology"}
    env = {"env": rewirl_fixtures.ENVIRONMENT, "env_module": "rewirl_fixtures"}
    with AGENTS[agent](**env, seed=0, threads=1, **options, **before["agent"]["topology"]) as made:
        made.learn(1, run_dir=tmp_path / "run", eval_every=0)
    assert still_there(before, config(tmp_path / "run")) == []
