"""Promises of a sweep on one machine: killed, failed, stopped or shared, it ends as an undisturbed one."""

from __future__ import annotations

import importlib
import io
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sameness import metrics, same_to_the_bit
from waiting import Ends, children, until

from rewirl.agents import AGENTS
from rewirl.cli.main import main
from rewirl.experiments.sweep import schedule
from rewirl.experiments.sweep.error import SweepError
from rewirl.experiments.sweep.file import read_sweep
from rewirl.experiments.sweep.plan import PlannedRun, check, plan, run_status
from rewirl.experiments.sweep.pool import ProcessPool
from rewirl.experiments.sweep.schedule import Row, run_sweep
from rewirl.experiments.sweep.table import Lines, summary, table
from rewirl.experiments.sweep.worker import make_run
from rewirl.storage.checkpoint import saved_step
from rewirl.storage.run_directory import RunDirectory
from rewirl.training import run as runs
from rewirl.training.progress import Silent

SETTINGS = """
envs = ["rewirl-tests/Drift-v0"]
env_module = "probe_environments"
hidden_sizes = [24, 16]
batch_size = 20
learning_starts = 60
buffer_size = 300
total_timesteps = 1500
eval_every = 500
eval_episodes = 2
checkpoint_every = 300
"""
SIX = SETTINGS + 'agents = ["td3", "ds-td3", "ds-sac"]\nseeds = [0, 1]\n'
PROBES = str(Path(__file__).parents[1] / "training")


class Heard:
    """A view that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.closed = False

    def changed(self, row: Row, text: str) -> None:
        self.lines.append((row.run.name, text))

    def refresh(self, rows: dict[str, Row]) -> None: ...

    def close(self, rows: dict[str, Row]) -> None:
        self.closed = True


def planned(tmp_path: Path, text: str, directory: str = "runs") -> dict[str, PlannedRun]:
    file = tmp_path / "sweep.toml"
    file.write_text(text)
    return plan(read_sweep(str(file)).requests, tmp_path / directory)


def swept(made: dict[str, PlannedRun], pool: ProcessPool | None = None) -> tuple[dict[str, Row], Heard]:
    heard = Heard()
    rows = run_sweep(made, pool or ProcessPool(2), heard, lambda: False)
    assert heard.closed
    return rows, heard


def identical(one: Path, other: Path, stopped: bool = False) -> None:
    """Hold the runs of two directories against each other; one that was stopped has a checkpoint more."""
    names, others = (sorted(path.name for path in each.iterdir() if path.is_dir()) for each in (one, other))
    assert names == others
    for name in names:
        same_to_the_bit(one / name, other / name)
        lines = [metrics(path / name) for path in (one, other)]
        if stopped:
            lines = [[line for line in each if line["event"] != "checkpoint"] for each in lines]
        assert lines[0] == lines[1], name


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the six runs, made one after the other as `rewirl train` makes them."""
    directory = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        for run in planned(directory, SIX).values():
            with runs.start(run.config, run.agent_config, run.path, Silent()) as started:
                assert started.train().finished
    return directory / "runs"


class Killing(ProcessPool):
    """A pool some of whose processes are killed: at random, when they have saved so much."""

    def __init__(self, when: list[int], seed: int) -> None:
        super().__init__(2)
        self.when, self.rng = when, np.random.default_rng(seed)
        self.made: dict[str, PlannedRun] = {}
        self.killed: list[str] = []

    def wait(self, seconds: float) -> list[tuple[str, dict]]:
        for name, process in self.processes().items():
            saved = saved_step(self.made[name].path) or 0
            ripe = self.when and name not in self.killed and self.when[0] <= saved <= 900
            if ripe and self.rng.random() < 0.3:
                os.kill(process, signal.SIGKILL)
                self.killed.append(name)
                self.when.pop(0)
        return super().wait(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="real-time signals are Linux's")
def test_a_run_that_is_killed_by_a_signal_without_a_name_is_told_like_any_other():
    pool = ProcessPool(1)
    pool.start("run", {})
    os.kill(pool.processes()["run"], 35)
    messages: list[tuple[str, dict]] = []
    while not messages:
        messages = pool.wait(1.0)
    pool.close()
    assert messages == [("run", {"ended": "killed", "reason": "killed by signal 35"})]


def test_six_runs_of_which_three_are_killed_are_those_of_an_undisturbed_sweep(tmp_path, undisturbed):
    made = planned(tmp_path, SIX)
    assert len(made) == 6
    pool = Killing([0, 300, 600], seed=1)
    pool.made = made
    rows, heard = swept(made, pool)
    assert {row.state for row in rows.values()} == {"finished"}
    assert len(pool.killed) == 3
    again = [name for name, text in heard.lines if text.startswith("killed by SIGKILL; it continues from")]
    assert again == pool.killed
    assert sum(text.startswith("continued at step") for _, text in heard.lines) >= 2
    identical(tmp_path / "runs", undisturbed)


def test_what_is_finished_is_never_made_again_even_without_its_checkpoints(tmp_path, undisturbed, monkeypatch):
    shutil.copytree(undisturbed, tmp_path / "runs")
    made = planned(tmp_path, SIX)
    bare = next(iter(made.values()))
    shutil.rmtree(bare.path / "checkpoints")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").rglob("*")}
    with monkeypatch.context() as patch:
        patch.setattr(ProcessPool, "start", pytest.fail)
        rows, heard = swept(made)
    assert make_run(bare, Silent(), lambda: False) == {"ended": "finished"}
    assert {row.state for row in rows.values()} == {"finished"} and heard.lines == []
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").rglob("*")} == before


def test_one_that_fails_does_not_stop_the_others_and_is_reported_with_its_reason(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(schedule, "TRIES", 2)
    groups = """
[[runs]]
agents = ["td3"]
[[runs]]
agents = ["ds-td3"]
envs = ["rewirl-tests/Nan-v0"]
env_kwargs = { at = 25 }
[[runs]]
agents = ["ds-td3"]
envs = ["rewirl-tests/Deadly-v0"]
env_kwargs = { at = 20 }
[[runs]]
agents = ["ds-sac"]
warm_up_policy = { agent = "td3", learning_rate = 1e30, learning_starts = 60 }
[[runs]]
agents = ["static-td3"]
"""
    file = tmp_path / "sweep.toml"
    file.write_text("seeds = [0]\n" + SETTINGS.replace("1500", "200") + groups)
    with pytest.raises(SystemExit) as exit_:
        main(["sweep", str(file), "--directory", str(tmp_path / "runs"), "--workers", "2"])
    out, err = capsys.readouterr()
    assert exit_.value.code == 1
    assert "6 runs: 3 failed, 1 left out, 2 finished" in out
    for message in (
        r"Nan-v0-ds-td3-.* failed: rewirl-tests/Nan-v0: the reward is nan.*episode 0, step 25",
        r"Deadly-v0-ds-td3-.* failed: killed by SIGKILL, 2 times in a row without a checkpoint in between",
        r"Drift-v0-td3-[0-9a-f]{8}-0 failed: td3 diverged",
        r"Drift-v0-ds-sac-.* left out: it starts from the policy of rewirl-tests-Drift-v0-td3-.*, failed",
    ):
        assert re.search(message, err), err
    assert "Traceback" not in out + err


def test_a_run_waits_for_the_one_whose_policy_it_starts_from(tmp_path):
    text = SETTINGS.replace("1500", "150") + 'agents = ["ds-td3"]\nseeds = [0]\n'
    made = planned(tmp_path, text + 'warm_up_policy = { agent = "td3", total_timesteps = 100 }')
    source, run = made.values()
    rows, heard = swept(made)
    assert [row.state for row in rows.values()] == ["finished", "finished"]
    assert [(name, text) for name, text in heard.lines if text in ("started", "finished")] == [
        (each.name, text) for each in (source, run) for text in ("started", "finished")
    ]
    record = RunDirectory.open(run.path, lock=False).config
    assert record["warm_up_policy"]["step"] == 100
    moved = planned(tmp_path, (tmp_path / "sweep.toml").read_text(), "moved")
    shutil.move(tmp_path / "runs", tmp_path / "moved")
    check(moved.values())
    assert {run_status(each).state for each in moved.values()} == {"finished"}


def test_a_policy_named_from_the_working_directory_is_the_same_one_when_the_sweep_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = SETTINGS.replace("1500", "100") + 'agents = ["td3"]\nseeds = [0]\n'
    (source,) = planned(tmp_path, text).values()
    assert make_run(source, Silent(), lambda: False) == {"ended": "finished"}
    warm = text + f'warm_up_policy = "runs/{source.name}"\n'
    (run,) = planned(tmp_path, warm).values()
    assert make_run(run, Silent(), lambda: False) == {"ended": "finished"}
    check(planned(tmp_path, warm).values())
    (other,) = planned(tmp_path, text + 'warm_up_policy = "elsewhere"\n').values()
    assert other.name != run.name


def test_a_run_killed_between_its_last_checkpoint_and_its_policy_is_not_finished_yet(tmp_path):
    (run,) = planned(tmp_path, SETTINGS.replace("1500", "100") + 'agents = ["td3"]\nseeds = [0]\n').values()
    assert make_run(run, Silent(), lambda: False) == {"ended": "finished"}
    whole = {file: file.read_bytes() for file in (run.path / "policy").iterdir()}
    lines = (run.path / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run.path / "metrics.jsonl").write_bytes(b"".join(lines[:-1]))
    shutil.rmtree(run.path / "policy")
    assert run_status(run).state == "begun"
    assert make_run(run, Silent(), lambda: False) == {"ended": "finished"}
    assert run_status(run).state == "finished"
    assert {file: file.read_bytes() for file in (run.path / "policy").iterdir()} == whole


def test_what_another_process_is_making_is_left_to_it_and_said(tmp_path, capsys, monkeypatch):
    text = SETTINGS.replace("1500", "100") + 'agents = ["td3", "ds-td3"]\nseeds = [0]\n'
    mine, other = planned(tmp_path, text).values()
    with runs.start(other.config, other.agent_config, other.path, Silent()), pytest.raises(SystemExit) as exit_:
        main(["sweep", str(tmp_path / "sweep.toml"), "--directory", str(tmp_path / "runs"), "--workers", "2"])
    out = capsys.readouterr().out
    assert exit_.value.code == 0
    assert f"skipped {other.name}" in out and f"in use by process {os.getpid()}" in out
    assert run_status(mine).state == "finished" and run_status(other).state == "begun"


def test_what_waits_for_a_run_of_another_process_is_left_to_it_too(tmp_path, capsys):
    text = SETTINGS.replace("1500", "100") + 'agents = ["td3"]\nseeds = [0]\n'
    text += 'warm_up_policy = { agent = "td3", total_timesteps = 90 }\n'
    source, behind = planned(tmp_path, text).values()
    with runs.start(source.config, source.agent_config, source.path, Silent()), pytest.raises(SystemExit) as exit_:
        main(["sweep", str(tmp_path / "sweep.toml"), "--directory", str(tmp_path / "runs"), "--workers", "1"])
    out = capsys.readouterr().out
    assert exit_.value.code == 0
    assert f"skipped {behind.name}: it starts from the policy of {source.name}, which is in use" in out


class Scripted:
    """An executor whose single run ends again and again, each time with the next message."""

    workers = 1

    def __init__(self, ends: list[dict], saves: Callable[[], None] = lambda: None) -> None:
        self.ends, self.saves = ends, saves
        self.name: str | None = None

    def start(self, name: str, run: dict, measure: bool = False) -> None:
        self.name = name

    def wait(self, seconds: float) -> list[tuple[str, dict]]:
        name, self.name = self.name, None
        if name is not None:
            self.saves()
        return [] if name is None else [(name, self.ends.pop(0))]

    def stop(self) -> None: ...

    def close(self) -> None: ...


KILLED, IN_USE = {"ended": "killed", "reason": "lost"}, {"ended": "in use", "reason": "in use by process 1"}


@pytest.fixture
def run(tmp_path, monkeypatch) -> PlannedRun:
    """A run to be scripted, which is tried again at once."""
    monkeypatch.setattr(schedule, "_RETRY_SECONDS", 0.0)
    (run,) = planned(tmp_path, SETTINGS.replace("1500", "100") + 'agents = ["td3"]\nseeds = [0]\n').values()
    return run


def ended(run: PlannedRun, *arguments: Any) -> str:
    return run_sweep({run.name: run}, Scripted(*arguments), Heard(), lambda: False)[run.name].state


def test_a_killed_run_whose_lock_is_held_for_a_while_is_waited_for(run, monkeypatch):
    ends = [KILLED, IN_USE, {"ended": "finished"}]
    assert ended(run, ends) == "finished" and ends == []
    assert ended(run, [IN_USE]) == "in use"
    clock = itertools.count(0, 30)
    monkeypatch.setattr(schedule, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert ended(run, [KILLED, *[IN_USE] * 20, {"ended": "finished"}]) == "failed", "but not for ever"


def test_a_run_that_is_killed_is_given_up_where_it_has_saved_nothing_in_between(run, monkeypatch):
    monkeypatch.setattr(schedule, "TRIES", 3)
    steps: list[int] = []
    monkeypatch.setattr(schedule, "saved_step", lambda path: len(steps))
    ends = [*[KILLED] * 7, {"ended": "finished"}]
    assert ended(run, ends[:]) == "failed"
    assert ended(run, ends[:], lambda: steps.append(1)) == "finished"


def test_a_directory_with_other_settings_is_refused_and_not_touched(tmp_path, capsys):
    text = SETTINGS.replace("1500", "100") + 'agents = ["td3"]\nseeds = [0]\n'
    (run,) = planned(tmp_path, text).values()
    other = planned(tmp_path, text.replace("[24, 16]", "[24, 8]"))
    (there,) = other.values()
    with runs.start(there.config, there.agent_config, run.path, Silent()) as started:
        started.train()
    before = {file: file.stat().st_mtime_ns for file in run.path.rglob("*")}
    planned(tmp_path, text)
    with pytest.raises(SystemExit) as exit_:
        main(["sweep", str(tmp_path / "sweep.toml"), "--directory", str(tmp_path / "runs")])
    assert exit_.value.code == 2
    assert f"{run.path}: agent.hidden_sizes: [24,8] there, [24,16] here" in capsys.readouterr().err
    with pytest.raises(SweepError, match="hidden_sizes"):
        raise AssertionError(check([run]))
    assert "agent.hidden_sizes" in make_run(run, Silent(), lambda: False)["reason"]
    assert {file: file.stat().st_mtime_ns for file in run.path.rglob("*")} == before


OWN = """
from rewirl.agents import AGENTS, TD3, Entry, TD3Config
from rewirl.topology import TopologyConfig


class OwnTD3(TD3): ...


AGENTS["own-td3"] = Entry("own-td3", OwnTD3, TD3Config, TopologyConfig(sparsity=0.5), "OwnTD3", "")
"""


def test_an_agent_of_your_own_is_swept_where_its_module_can_be_imported(tmp_path, monkeypatch):
    (tmp_path / "own_agent.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = importlib.import_module("own_agent").OwnTD3
    monkeypatch.setitem(AGENTS, "own-td3", AGENTS.pop("own-td3"))  # until the end of this test
    text = SETTINGS.replace("1500", "100") + 'agents = ["own-td3"]\nseeds = [0]\n'
    rows, _ = swept(planned(tmp_path, text))
    assert [row.state for row in rows.values()] == ["finished"]
    monkeypatch.setattr(own, "__module__", "__main__")
    with pytest.raises(SweepError, match=r"own-td3 is defined in the program that was started.* move it to a module"):
        planned(tmp_path, text)


# Signals that whoever runs the tests ignores, as nohup does, would be ignored by the sweep too, so they are reset.
SWEEP = """
import signal, sys
for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(each, signal.SIG_DFL)
from rewirl.cli.main import main
main(["sweep", *sys.argv[1:]])
"""


def begin(file: Path, directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SWEEP, str(file), "--directory", str(directory), "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([PROBES, os.environ.get("PYTHONPATH", "")])},
    )


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_sweep_saves_its_runs_and_the_same_command_goes_on(tmp_path, undisturbed, by):
    made = planned(tmp_path, SIX)
    for run in list(made.values())[:4]:
        shutil.copytree(undisturbed / run.name, run.path)
    left = list(made.values())[4:]
    sweep = begin(tmp_path / "sweep.toml", tmp_path / "runs")
    until(lambda: any(300 <= (saved_step(run.path) or 0) < 1500 for run in left), sweep)
    # All stand still while they are counted: one that has just begun has no directory yet to find it by.
    sweep.send_signal(signal.SIGSTOP)
    ends = Ends(children(sweep.pid))
    sweep.send_signal(by)
    sweep.send_signal(signal.SIGCONT)
    out, _ = sweep.communicate(timeout=300)
    ends.wait()  # a sweep that is killed cannot wait for its runs; they save and end by themselves
    begun = [run for run in left if run_status(run).state == "begun"]
    if by == signal.SIGINT:
        assert sweep.returncode == 130 and "the same command goes on" in out and "Traceback" not in out
        assert re.search(r"saved at step [1-9]", out)
    assert any((saved_step(run.path) or 0) % 300 for run in begun), "none was saved on the way"
    rows, _ = swept(made)
    assert {row.state for row in rows.values()} == {"finished"}
    identical(tmp_path / "runs", undisturbed, stopped=True)


def test_the_table_fits_the_terminal_and_shows_first_what_needs_looking_at(tmp_path):
    from rich.console import Console

    rows = {name: Row(run) for name, run in planned(tmp_path, SIX.replace("[0, 1]", "[0, 1, 2, 3]")).items()}
    for row, state in zip(rows.values(), ["finished"] * 9 + ["failed", "running", "waiting"], strict=True):
        row.state = state
        row.pace.begin(0, 1500)
    running = list(rows.values())[10]
    running.last_return, running.pace.done = 12.34, 700
    console = Console(width=250, record=True, file=io.StringIO())
    console.print(table(rows, 3))
    lines = console.export_text().splitlines()
    assert len(lines) == 5
    assert lines[1].startswith(running.run.name) and "700  1,500" in lines[1] and "12.3" in lines[1]
    assert "failed" in lines[2] and "waiting" in lines[3]
    assert summary(rows) == lines[4].strip() == "12 runs: 1 running, 1 failed, 1 waiting, 9 finished"


def test_a_return_says_its_step_where_the_run_is_further(tmp_path, capsys):
    made = planned(tmp_path, SETTINGS + 'agents = ["td3"]\nseeds = [0, 1, 2, 3]\n')
    of = dict(zip(made, [(500, "stopped"), (500, "stopped"), (1500, "finished"), (500, "failed")], strict=True))
    for run, saved in zip(made.values(), (500, 700), strict=False):
        (run.path / "checkpoints" / f"step-{saved:09}").mkdir(parents=True)
    messages = [[(name, {"step": step, "return": -7.0}) for name, (step, _) in of.items()]]
    messages += [[(name, {"ended": ended, "reason": "why"}) for name, (_, ended) in of.items()]]
    still = SimpleNamespace(workers=4, start=lambda *_: None, stop=lambda *_: None, close=lambda: None)
    still.wait = lambda seconds: messages.pop(0)
    run_sweep(made, still, Lines(), lambda: len(messages) == 1)
    assert [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()] == [
        "saved at step 500, return -7.00",
        "saved at step 700, return -7.00 at step 500",
        "finished, return -7.00",
        "failed: why, return -7.00 at step 500",
    ]
