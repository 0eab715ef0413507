"""Promises of a sweep on a Ray cluster: a lost node costs nothing but the time since the last checkpoints."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sameness import metrics, same_to_the_bit
from waiting import until

from rewirl.cli.main import main
from rewirl.experiments.sweep.cluster import Cluster
from rewirl.experiments.sweep.file import read_sweep
from rewirl.experiments.sweep.plan import plan, run_status
from rewirl.experiments.sweep.pool import ProcessPool
from rewirl.experiments.sweep.worker import make_run
from rewirl.storage.checkpoint import saved_step
from rewirl.training.progress import Silent

PROBES = str(Path(__file__).parents[1] / "training")
# The variable keeps Ray's idea of this machine's address on the loopback device.
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([PROBES, os.environ.get("PYTHONPATH", "")]),
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
SWEEP = """
agents = ["td3", "ds-td3", "ds-sac"]
envs = ["rewirl-tests/Drift-v0"]
seeds = [0]
env_module = "probe_environments"
hidden_sizes = [24, 16]
batch_size = 20
learning_starts = 60
buffer_size = 300
total_timesteps = 3000
eval_every = 1000
eval_episodes = 2
checkpoint_every = 300
"""


@contextlib.contextmanager
def nodes(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a cluster of two nodes beside its head; the first line it prints has its address."""
    with (folder / "ray.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("ray_nodes.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=ENVIRONMENT,
        )
        try:
            yield process
        finally:
            process.communicate(timeout=60)


def parent(process: int) -> int:
    return int(re.search(r"PPid:\s+(\d+)", Path(f"/proc/{process}/status").read_text())[1])


def test_a_sweep_that_loses_a_node_with_all_its_processes_is_that_of_an_undisturbed_one(tmp_path, monkeypatch):
    file = tmp_path / "sweep.toml"
    file.write_text(SWEEP)
    made = plan(read_sweep(str(file)).requests, tmp_path / "runs")
    with nodes(tmp_path) as cluster:
        line = cluster.stdout.readline()
        assert line, (tmp_path / "ray.log").read_text()
        address = json.loads(line)["address"]
        assert address.startswith("127.0.0.1:")
        sweep = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "rewirl",
                "sweep",
                str(file),
                "--directory",
                str(tmp_path / "runs"),
                "--ray",
                address,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=ENVIRONMENT,
        )
        two = list(made.values())[:2]
        until(lambda: all((saved_step(run.path) or 0) >= 300 for run in two), sweep)
        run = next(run for run in two if run_status(run).state == "begun")
        process = int((run.path / "lock").read_text())
        worker = parent(process)
        node = parent(worker)
        for each in (process, worker):
            os.kill(each, signal.SIGSTOP)  # or one would see the end of the other, and tell or save
        for each in (node, worker, process):
            os.kill(each, signal.SIGKILL)
        out, _ = sweep.communicate(timeout=100)
    assert sweep.returncode == 0, out
    assert "3 runs: 3 finished" in out
    assert re.search(rf"{re.escape(run.name)}: lost with its node .*; it continues from step", out), out
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    for run in plan(read_sweep(str(file)).requests, tmp_path / "undisturbed").values():
        assert make_run(run, Silent(), lambda: False) == {"ended": "finished"}
        same_to_the_bit(run.path, made[run.name].path)
        assert metrics(run.path) == metrics(made[run.name].path)


@pytest.mark.parametrize("address, message", [("127.0.0.1:1", "refused"), ("here", "host:port")])
def test_a_cluster_that_cannot_be_reached_is_refused(tmp_path, capsys, address, message):
    file = tmp_path / "sweep.toml"
    file.write_text(SWEEP)
    with pytest.raises(SystemExit) as exit_:
        main(["sweep", str(file), "--directory", str(tmp_path / "runs"), "--ray", address])
    assert exit_.value.code == 2
    err = capsys.readouterr().err
    assert f"--ray {address}: no such cluster can be reached" in err and message in err
    assert not (tmp_path / "runs").exists()


def test_without_ray_its_extra_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    file = tmp_path / "sweep.toml"
    file.write_text(SWEEP)
    with pytest.raises(SystemExit) as exit_:
        main(["sweep", str(file), "--directory", str(tmp_path / "runs"), "--ray", "local"])
    assert exit_.value.code == 2 and "pip install 'rewirl[ray]'" in capsys.readouterr().err


@pytest.mark.parametrize("make", [lambda: ProcessPool(2), lambda: Cluster("local", 2)], ids=["processes", "cluster"])
def test_one_run_is_left_while_another_goes_on_and_is_begun_again(tmp_path, monkeypatch, make):
    monkeypatch.syspath_prepend(PROBES)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "sweep.toml"
    file.write_text(SWEEP)
    one, other = (
        dataclasses.replace(run, config=dataclasses.replace(run.config, total_timesteps=10**7, checkpoint_every=0))
        for run in list(plan(read_sweep(str(file)).requests, tmp_path / "runs").values())[:2]
    )
    executor = make()
    ended: list[tuple[str, str]] = []
    begun: list[str] = []

    def until_that(what: Callable[[], bool]) -> None:
        end = time.monotonic() + 120
        while not what():
            assert time.monotonic() < end
            for name, message in executor.wait(0.2):
                if "ended" in message:
                    ended.append((name, message["ended"]))
                elif "begin" in message:
                    begun.append(name)

    try:
        for run in (one, other):
            executor.start(run.name, run.values())
        until_that(lambda: len(begun) == 2)
        executor.stop(one.name)
        until_that(lambda: bool(ended))
        assert ended == [(one.name, "stopped")] and saved_step(one.path) is not None
        executor.start(one.name, one.values())
        until_that(lambda: len(begun) == 3)
        executor.stop()
        until_that(lambda: len(ended) == 3)
        assert sorted(ended[1:]) == sorted((run.name, "stopped") for run in (one, other))
    finally:
        executor.close()
