"""Promises of the queue of all runs: in order, kept ones not made again, and saved when it is asked to end."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from long_run import newest_step
from waiting import until

from rewirl.experiments.sweep.file import read_sweep
from rewirl.experiments.sweep.plan import check, plan, run_status
from rewirl.storage.checkpoint import saved_step

ROOT = Path(__file__).parents[2]


def program(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "experiments" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


run_queue = program("run_queue")

FILE = """
envs = ["rewirl-tests/Drift-v0"]
env_module = "probe_environments"
hidden_sizes = [24, 16]
learning_starts = 60
eval_every = 0
agents = ["td3"]
seeds = [0, 1]
"""
RUN = """
import sys
import run_queue
sys.exit(run_queue.main(sys.argv[2:], [run_queue.Part(sys.argv[1], "part")]))
"""


def test_every_experiment_of_the_queue_gets_a_report():
    assert {part.directory for part in run_queue.QUEUE} <= program("write_results").REPORTS.keys()


def test_the_queue_holds_the_runs_of_the_paper_in_their_order_and_what_is_kept_fits(tmp_path):
    pytest.importorskip("minatar")
    runs = run_queue.planned(run_queue.QUEUE, tmp_path)
    names = list(runs)
    paper = plan(read_sweep("ds-drl/paper").requests, tmp_path)
    assert len(paper) == 65 + 6 + 18 and set(paper) <= set(names)
    first = [name for name in names if re.fullmatch(r"\w+-v5-(ds-|static-)?td3-[012]", name)][: 5 * 3 * 3]
    assert names[:45] == first
    assert [name.split("-")[0] for name in names[:45:9]] == ["HalfCheetah", "Hopper", "Walker2d", "Ant", "Humanoid"]
    screening = len(plan(read_sweep("ds-drl/why-ds-sac").requests, tmp_path))
    assert {runs[name].config.total_timesteps for name in names[45 : 45 + screening]} == {500_000}
    assert [name[-1] for name in names[45 + screening :][:26]] == [*"333444" * 3, *"3344" * 2]
    run_queue.take_over(runs, run_queue.QUEUE, ROOT / "results")
    box2d = ("BipedalWalker", "LunarLander")  # an extra
    check(run for name, run in runs.items() if run.path.exists() and not name.startswith(box2d))
    finished = [name for name, run in runs.items() if run_status(run).state == "finished"]
    folders = {part.directory for part in run_queue.QUEUE}
    kept = {path.parent.name for folder in folders for path in (ROOT / "results" / folder).glob("*/config.json")}
    assert set(finished) == kept & set(names) and len(finished) == len(kept)


def test_kept_runs_are_not_made_again_and_the_status_lists_what_is_left(tmp_path, capsys):
    file = tmp_path / "sweep.toml"
    file.write_text(FILE + "total_timesteps = 100\n")
    parts = [run_queue.Part(str(file), "one", seeds=(1,)), run_queue.Part(str(file), "two")]
    options = ["--directory", str(tmp_path / "runs"), "--workers", "2"]
    second, first = run_queue.planned(parts, tmp_path / "runs").values()
    assert (first.path.parent.name, second.path.parent.name) == ("two", "one")
    assert run_queue.main([*options, "--status"], parts, tmp_path / "kept") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"one/{second.name}: new, step 0 of 100",
        f"two/{first.name}: new, step 0 of 100",
        "2 runs, 0 finished, 2 left",
    ]
    assert run_queue.main(options, parts, tmp_path / "kept") == 0
    shutil.copytree(tmp_path / "runs" / "one", tmp_path / "kept" / "one")
    shutil.rmtree(tmp_path / "runs" / "one")
    before = {path: path.read_bytes() for path in (tmp_path / "kept").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert run_queue.main([*options, "--hours", "1"], parts, tmp_path / "kept") == 0
    out = capsys.readouterr().out
    assert "2 runs: 2 finished" in out and "started" not in out
    assert all(
        (tmp_path / "runs" / path.relative_to(tmp_path / "kept")).read_bytes() == before[path] for path in before
    )
    with pytest.raises(SystemExit):
        run_queue.main([*options, "--hours", "0"], parts)


def test_a_signal_saves_all_runs_and_the_same_command_goes_on(tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text(
        FILE.replace("eval_every = 0", "eval_every = 100") + "total_timesteps = 100_000_000\ncheckpoint_every = 0\n"
    )
    path = [str(ROOT / "experiments"), str(ROOT / "tests" / "training"), os.environ.get("PYTHONPATH", "")]
    queue = subprocess.Popen(
        [sys.executable, "-c", RUN, str(file), "--directory", str(tmp_path / "runs"), "--workers", "2"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
    )
    runs = list(run_queue.planned([run_queue.Part(str(file), "part")], tmp_path / "runs").values())
    until(lambda: all(newest_step(run.path / "metrics.jsonl") > 0 for run in runs), queue)
    assert not any(saved_step(run.path) for run in runs)
    queue.send_signal(signal.SIGTERM)
    out, _ = queue.communicate(timeout=300)
    assert queue.returncode == 128 + signal.SIGTERM and "2 runs: 2 stopped" in out
    assert all((saved_step(run.path) or 0) > 0 for run in runs)
