"""Promises of run directories: short names, found again under any name they have had, explained by an index."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rewirl.cli.main import main
from rewirl.experiments.report.labels import options_of
from rewirl.experiments.report.run_data import find_runs, read_run
from rewirl.experiments.sweep.file import experiments, read_sweep
from rewirl.experiments.sweep.index import INDEX, index_of, index_text, write_index
from rewirl.experiments.sweep.names import Directories, RunNames, names_of
from rewirl.experiments.sweep.plan import PlannedRun, check, plan, run_status
from rewirl.experiments.sweep.worker import make_run
from rewirl.storage.run_directory import RunDirectory, hash_of
from rewirl.training.progress import Silent
from rewirl.training.resume import settings_of

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
NAMES: dict[str, str] = json.loads(Path(__file__).with_name("run_names.json").read_text())
"""For the runs of all experiments with seed 0: their names by those of version 0.1, or by themselves if it had none."""

SMALL = """
envs = ["rewirl-tests/Drift-v0"]
env_module = "probe_environments"
hidden_sizes = [24, 16]
learning_starts = 60
eval_every = 50
total_timesteps = 100
agents = ["ds-td3"]
seeds = [0]
"""
OLD = "rewirl-tests-Drift-v0-ds-td3-total-timesteps=100-eval-every=50-hidden-sizes=24,16-learning-starts=60-0"


Planner = Callable[[str], dict[str, PlannedRun]]


@pytest.fixture
def planned(tmp_path: Path) -> Planner:
    def planned(text: str) -> dict[str, PlannedRun]:
        file = tmp_path / "sweep.toml"
        file.write_text(text)
        return plan(read_sweep(str(file)).requests, tmp_path / "runs")

    return planned


def sweep(tmp_path: Path, *options: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["sweep", str(tmp_path / "sweep.toml"), "--directory", str(tmp_path / "runs"), "--workers", "2", *options])
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


def test_every_run_of_an_experiment_keeps_its_name():
    names = set()
    for name in experiments():
        names |= {run for run in plan(read_sweep(name).requests, Path("runs")) if run.endswith("-0")}
    # A run that two experiments share may have a label in only one of them; its hash is the same.
    hashes = {name.rpartition("-0")[0].rpartition("-")[2] for name in NAMES.values()}
    assert {name for name in names if name.rpartition("-0")[0].rpartition("-")[2] not in hashes} == set()
    assert set(NAMES.values()) <= names
    assert max(map(len, names)) < 60


@pytest.mark.parametrize("name", experiments())
def test_runs_of_every_experiment_are_found_under_their_names_of_version_0_1(tmp_path, name):
    old = [(path, re.sub("-0$", f"-{seed}", path)) for path in NAMES for seed in range(10)]
    for _, path in old:
        (tmp_path / path).mkdir()
    assert {run.path.name for run in plan(read_sweep(name).requests, tmp_path).values()} <= {path for _, path in old}


def test_a_label_names_a_run_that_differs_from_the_defaults_and_no_other(planned):
    defaults = 'paper = "ds-drl"\nagents = ["td3"]\nenvs = ["Ant-v5"]\nseeds = [3]\nlabel = "mine"\n'
    assert list(planned(defaults)) == ["Ant-v5-td3-3"]
    (name,) = planned(defaults + "gamma = 0.9")
    assert re.fullmatch(r"Ant-v5-mine-[0-9a-f]{8}-3", name)
    (agent,) = planned(defaults.replace('label = "mine"\n', "") + "gamma = 0.9")
    assert agent == name.replace("mine", "td3")
    (preset,) = planned('presets = ["rlx2/td3/Ant-v5"]\nseeds = [3]')
    assert re.fullmatch(r"Ant-v5-rlx2-td3-[0-9a-f]{8}-3", preset)


def test_a_run_that_is_asked_for_under_two_labels_is_made_once(planned):
    runs = planned(SMALL + '[[runs]]\nlabel = "one"\n[[runs]]\nlabel = "two"\n[[runs]]\n')
    (name,) = runs
    assert re.fullmatch(r"rewirl-tests-Drift-v0-one-[0-9a-f]{8}-0", name)


def test_different_settings_have_different_names(planned):
    runs = planned(SMALL + 'env_kwargs = [{ a = "/" }, { a = ":" }, { a = 1 }]\ngamma = [0.9, 0.8]')
    assert len(runs) == 6
    olds = {names_of(run.config, run.agent_config).old for run in runs.values()}
    assert len(olds) == 4  # which version 0.1 refused


@pytest.mark.parametrize("name", [OLD, "rewirl-tests-Drift-v0-another-label-{hash}-0", None])
def test_a_run_is_continued_in_its_directory_whatever_the_name_of_that_is(tmp_path, planned, capsys, name):
    (run,) = planned(SMALL).values()
    hash_of_settings = run.name.split("-")[-2]
    new = tmp_path / "runs" / run.name
    if name is not None:
        new = tmp_path / "runs" / name.format(hash=hash_of_settings)
    assert make_run(run, Silent(), lambda: False) == {"ended": "finished"}
    if new != run.path:
        run.path.rename(new)
    before = {path: path.stat().st_mtime_ns for path in new.rglob("*")}
    (found,) = planned(SMALL).values()
    assert found.path == new and run_status(found).state == "finished"
    check([found])
    assert sweep(tmp_path) == 0
    out = capsys.readouterr().out
    assert "1 run: 1 finished" in out and f"rewirl report {tmp_path}" in out
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [INDEX, new.name]
    assert {path: path.stat().st_mtime_ns for path in new.rglob("*")} == before
    (tmp_path / "runs" / ("x" + OLD)).mkdir()
    shutil.copytree(new, tmp_path / "copy" / "run")
    runs, problems = find_runs([tmp_path / "runs", tmp_path / "copy"])
    assert [data.path for data in runs] == [new, tmp_path / "copy" / "run"] and problems == []


def test_a_source_may_be_renamed_after_it_was_used(tmp_path, planned):
    text = SMALL + 'warm_up_policy = { agent = "td3", total_timesteps = 70 }\n'
    source, run = planned(text).values()
    for each in (source, run):
        assert make_run(each, Silent(), lambda: False) == {"ended": "finished"}
    old = OLD.replace("ds-td3", "td3").replace("100", "70")
    source.path.rename(source.path.with_name(old))
    renamed, same = planned(text).values()
    assert (renamed.path.name, same.path.name) == (old, run.name)
    check([renamed, same])
    assert run_status(same).state == "finished"


def test_a_run_is_the_same_whose_record_has_a_default_beside_what_was_asked_for(tmp_path, planned):
    """As the records of before have it: a sparsity, where lambdas say how many connections there are."""
    text = SMALL + "lambdas = [[3.0, 4.0]]\n"
    (run,) = planned(text).values()
    assert make_run(run, Silent(), lambda: False) == {"ended": "finished"}
    file = run.path / "config.json"
    record = json.loads(file.read_text())
    assert record["config"]["agent"]["topology"]["sparsity"] is None
    record["config"]["agent"]["topology"]["sparsity"] = 0.5
    new = read_run(run.path)
    record["config_hash"] = hash_of(record["config"])
    file.write_text(json.dumps(record))
    (same,) = planned(text).values()
    old = read_run(run.path)
    assert same.path == run.path and run_status(same).state == "finished"
    check([same])
    assert options_of(old) == options_of(new) and "topology.sparsity" not in options_of(old)


def test_a_directory_of_another_environment_is_never_taken_for_a_run(tmp_path, planned):
    (run,) = planned(SMALL).values()
    hash_and_seed = "-".join(run.name.split("-")[-2:])
    for name in (f"other-td3-{hash_and_seed}", f"x{run.name}", run.name[:-1] + "1"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert Directories(tmp_path / "runs").find(names_of(run.config, run.agent_config)) == run.name


def test_the_index_of_a_sweep_explains_every_name(tmp_path, planned, capsys):
    text = SMALL + '[[runs]]\n[[runs]]\nlabel = "fast"\nlearning_rate = 0.01\n'
    usual, fast = planned(text)
    assert sweep(tmp_path) == 0
    index = json.loads((tmp_path / "runs" / INDEX).read_text())
    assert set(index) == {usual, fast}
    assert index[fast]["settings"] == {**index[usual]["settings"], "learning_rate": 0.01}
    assert (index[fast]["agent"], index[fast]["env"], index[fast]["seed"]) == ("ds-td3", "rewirl-tests/Drift-v0", 0)
    record = json.loads((tmp_path / "runs" / fast / "config.json").read_text())
    assert index[fast]["revision"] == record["git_revision"]
    shutil.rmtree(tmp_path / "runs" / fast)
    write_index(tmp_path / "runs", planned(text).values())
    assert json.loads((tmp_path / "runs" / INDEX).read_text())[fast] == {**index[fast], "revision": None}


def test_the_index_keeps_what_another_sweep_planned_there(tmp_path, planned):
    (first,) = planned(SMALL).values()
    (second,) = planned(SMALL + "learning_rate = 0.01\n").values()
    for run in (first, second):
        write_index(tmp_path / "runs", [run])
    both = json.loads((tmp_path / "runs" / INDEX).read_text())
    assert list(both) == sorted([first.name, second.name])
    (tmp_path / "runs" / INDEX).write_text(json.dumps({**both, "gone": {**both[first.name], "revision": "a"}, "x": 1}))
    write_index(tmp_path / "runs", [first])
    assert json.loads((tmp_path / "runs" / INDEX).read_text()) == both  # what had begun and is gone is not in it
    os.truncate(tmp_path / "runs" / INDEX, 50 * 2**30)
    write_index(tmp_path / "runs", [first])
    assert json.loads((tmp_path / "runs" / INDEX).read_text()).keys() == {first.name}
    write_index(tmp_path / "runs")
    assert json.loads((tmp_path / "runs" / INDEX).read_text()) == {}  # where nothing is planned, what is there


def test_an_index_that_cannot_be_written_stops_no_sweep(tmp_path, planned, capsys):
    planned(SMALL)
    (tmp_path / "runs" / INDEX).mkdir(parents=True)
    assert sweep(tmp_path) == 0
    captured = capsys.readouterr()
    assert "1 run: 1 finished" in captured.out and f"{INDEX} cannot be written" in captured.err


@pytest.mark.parametrize("experiment", sorted({path.parents[1].name for path in RESULTS.glob("*/*/config.json")}))
def test_the_index_of_results_is_current_and_a_sweep_finds_every_run(experiment):
    directory = RESULTS / experiment
    index = index_of(directory)
    assert (directory / INDEX).read_text() == index_text(index), "run: python experiments/write_results.py --index"
    assert set(index) == {path.parent.name for path in directory.glob("*/config.json")}
    directories = Directories(directory)

    def names_in(name: str) -> RunNames:
        with RunDirectory.open(directory / name, lock=False) as run:
            config, agent_config = settings_of(run)
        source = config.warm_up_policy and names_in(Path(config.warm_up_policy).name)
        return names_of(config, agent_config, source=source or None)

    for name in index:
        assert directories.find(names_in(name)) == name
        assert "=" not in name and len(name) < 60


def test_the_report_of_noise_is_current(tmp_path):
    pytest.importorskip("matplotlib")
    specification = importlib.util.spec_from_file_location("write_results", ROOT / "experiments" / "write_results.py")
    assert specification is not None and specification.loader is not None
    write_results = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(write_results)
    write_results.write_report(tmp_path, [RESULTS / "noise"])
    assert (tmp_path / "report.md").read_text() == (RESULTS / "noise" / "report.md").read_text(), (
        "run: python experiments/write_results.py"
    )
    figures = {path.name for path in (tmp_path / "figures").iterdir()}
    assert figures == {path.name for path in (RESULTS / "noise" / "figures").iterdir()}


def test_a_run_of_a_policy_that_comes_with_rewirl_is_found_again(tmp_path, planned):
    text = SMALL.replace("rewirl-tests/Drift-v0", "Pendulum-v1") + 'warm_up_policy = "Pendulum-v1/small"\n'
    (run,) = planned(text).values()
    assert make_run(run, Silent(), lambda: False) == {"ended": "finished"}
    (same,) = planned(text).values()
    check([same])
    (entry,) = index_of(tmp_path / "runs").values()
    assert same.path == run.path and entry["settings"]["warm_up_policy"] == "Pendulum-v1/small"
