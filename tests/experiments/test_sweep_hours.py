"""Promises of --hours: a sweep starts what fits, continues what has begun, and saves all when the time is up."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rewirl.agents.ppo import PPO
from rewirl.cli.main import main
from rewirl.experiments.sweep import deadline, measure
from rewirl.experiments.sweep.deadline import Deadline, deadline_in
from rewirl.experiments.sweep.estimate import estimate, speed_key
from rewirl.experiments.sweep.file import read_sweep
from rewirl.experiments.sweep.measure import Stopwatch
from rewirl.experiments.sweep.plan import PlannedRun, plan, run_status
from rewirl.experiments.sweep.schedule import Row, run_sweep
from rewirl.experiments.sweep.worker import make_run
from rewirl.options.resolve import resolve
from rewirl.training.progress import Silent

FILE = """
envs = ["rewirl-tests/Drift-v0"]
env_module = "probe_environments"
hidden_sizes = [24, 16]
learning_starts = 60
eval_every = 0
agents = ["td3"]
total_timesteps = 100
"""


class Quiet:
    def changed(self, row: Row, text: str) -> None: ...
    def refresh(self, rows: Mapping[str, Row]) -> None: ...
    def close(self, rows: Mapping[str, Row]) -> None: ...


class Clocked:
    """A executor where every run takes as many seconds as it is said to, on a clock of its own."""

    def __init__(self, seconds: Mapping[str, float], workers: int = 1) -> None:
        self.now, self.workers, self.seconds = 0.0, workers, seconds
        self.ends: dict[str, float] = {}
        self.started: list[str] = []

    def start(self, name: str, run: Mapping[str, Any], measure: bool = False) -> None:
        self.started.append(name)
        self.ends[name] = self.now + self.seconds[name]

    def wait(self, seconds: float) -> list[tuple[str, dict[str, Any]]]:
        self.now += 1
        over = [name for name, end in self.ends.items() if end <= self.now]
        return [(name, {"ended": "finished" if self.ends.pop(name) > 0 else "stopped"}) for name in over]

    def stop(self) -> None:
        self.ends = dict.fromkeys(self.ends, 0.0)

    def close(self) -> None: ...


class Measuring(Clocked):
    """A executor that finds a step of the warm-up to take a second, and one with an update two."""

    def __init__(self, workers: int) -> None:
        super().__init__({}, workers)

    def start(self, name: str, run: Mapping[str, Any], measure: bool = False) -> None:
        self.ends[name] = 0.0

    def wait(self, seconds: float) -> list[tuple[str, dict[str, Any]]]:
        rates = {"warm_up": 1.0, "learning": 2.0, "evaluation": 0.0, "episode": 0.0}
        names, self.ends = list(self.ends), {}
        return [(name, {"ended": "finished", "rates": rates}) for name in names]


class Uneven(Measuring):
    """One that finds a step with an update to take 0 seconds, then 2, then 4."""

    def wait(self, seconds: float) -> list[tuple[str, dict[str, Any]]]:
        found = super().wait(seconds)
        return [(name, {**told, "rates": {**told["rates"], "learning": 2.0 * int(name)}}) for name, told in found]


class Failing(Measuring):
    """One that cannot measure what has a discount of 0.5."""

    def start(self, name: str, run: Mapping[str, Any], measure: bool = False) -> None:
        self.ends[name] = run["agent"]["gamma"]

    def wait(self, seconds: float) -> list[tuple[str, dict[str, Any]]]:
        failed = [name for name, gamma in self.ends.items() if gamma == 0.5]
        sound = [each for each in super().wait(seconds) if each[0] not in failed]
        return [*sound, *((name, {"ended": "failed", "reason": "it burns"}) for name in failed)]


def planned(tmp_path: Path, text: str) -> dict[str, PlannedRun]:
    file = tmp_path / "sweep.toml"
    file.write_text(FILE + text)
    return plan(read_sweep(str(file)).requests, tmp_path / "runs")


def states_of(
    monkeypatch: pytest.MonkeyPatch, runs: dict[str, PlannedRun], executor: Clocked, end: float, per_step: float
) -> list[str]:
    """Return what became of the runs, estimated at so many seconds per step."""
    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=lambda: executor.now))
    rates = {"warm_up": per_step, "learning": per_step, "evaluation": 0.0, "episode": 0.0}
    until = Deadline(runs, end, {speed_key(run): rates for run in runs.values()})
    return [row.state for row in run_sweep(runs, executor, Quiet(), lambda: False, until).values()]


def test_new_runs_start_while_they_fit_and_shorter_ones_after_longer_ones_that_do_not(tmp_path, monkeypatch):
    runs = planned(tmp_path, "seeds = [0, 1, 2]\n[[runs]]\n[[runs]]\ntotal_timesteps = 40\n")
    names = list(runs)  # of 100 and 40 steps in turns
    executor = Clocked({name: float(run.config.total_timesteps) for name, run in runs.items()})
    states = states_of(monkeypatch, runs, executor, 225.0, 1.0)
    assert executor.started == [names[0], names[1], names[3], names[5]]
    assert states == ["finished", "finished", "no time", "finished", "no time", "finished"]
    assert executor.now < 225


def test_when_the_time_is_up_all_runs_are_stopped_and_what_has_begun_is_continued_in_any_case(tmp_path, monkeypatch):
    runs = planned(tmp_path, "seeds = [0, 1, 2]\n")
    new, begun, other = runs
    runs[begun].path.mkdir(parents=True)
    (runs[begun].path / "config.json").write_text("{}")
    executor = Clocked(dict.fromkeys(runs, 1000.0), workers=2)
    states = states_of(monkeypatch, runs, executor, 90.0, 1.0)
    assert executor.started == [begun] and states == ["no time", "stopped", "no time"]
    assert 90 <= executor.now < 95
    executor = Clocked(dict.fromkeys(runs, 1000.0), workers=2)
    assert states_of(monkeypatch, runs, executor, 90.0, 0.1) == ["stopped", "stopped", "waiting"]
    assert other not in executor.started and new in executor.started


def test_a_run_whose_source_has_no_time_has_none_either(tmp_path, monkeypatch):
    runs = planned(tmp_path, 'seeds = [0]\nwarm_up_policy = { agent = "td3", total_timesteps = 90 }\n')
    assert states_of(monkeypatch, runs, Clocked({}), 10.0, 1.0) == ["no time", "no time"]


def test_a_finished_run_of_the_same_settings_on_the_same_processor_says_how_long_another_seed_takes(tmp_path):
    runs = planned(tmp_path, "seeds = [0, 1]\n[[runs]]\n[[runs]]\ntotal_timesteps = 200\n")
    shorter, first, *_ = runs.values()
    assert make_run(first, Silent(), lambda: False) == {"ended": "finished"}
    measured: list[str] = []
    executor = Clocked({})
    executor.start = lambda name, run, measure=False: measured.append(name)  # type: ignore[method-assign]
    until = deadline_in(1.0, runs, executor)
    took = json.loads((first.path / "metrics.jsonl").read_text().splitlines()[-1])["seconds"]
    assert until.seconds(shorter) == pytest.approx(took / 2) and not measured
    assert until.refusal(shorter) == ""
    until.end = 0.0
    assert "takes about" in until.refusal(shorter) and until.passed()
    record = json.loads((first.path / "config.json").read_text())
    assert deadline.seconds_per_step(first) == took / 200
    for name in ("cpu", "instruction_set"):
        other = {**record, "machine": {**record["machine"], name: "another"}}
        (first.path / "config.json").write_text(json.dumps(other))
        assert deadline.seconds_per_step(first) is None


def test_a_run_of_which_a_part_was_made_elsewhere_says_nothing_of_times(tmp_path):
    (run,) = planned(tmp_path, "seeds = [0]\n").values()
    asked = iter(range(1000))
    assert make_run(run, Silent(), lambda: next(asked) > 70) == {"ended": "stopped"}
    record = json.loads((run.path / "config.json").read_text())
    elsewhere = {**record, "machine": {**record["machine"], "cpu": "another"}}
    (run.path / "config.json").write_text(json.dumps(elsewhere))
    assert make_run(run, Silent(), lambda: False) == {"ended": "finished"}
    (run.path / "config.json").write_text(json.dumps(record))  # as if it had begun here, and gone on elsewhere
    assert deadline.seconds_per_step(run) is None


def test_a_shorter_run_which_was_mostly_warm_up_does_not_say_how_long_a_longer_one_takes(tmp_path):
    runs = planned(tmp_path, "seeds = [0]\n[[runs]]\n[[runs]]\ntotal_timesteps = 200\n")
    short, long = runs.values()
    assert make_run(short, Silent(), lambda: False) == {"ended": "finished"}
    until = deadline_in(1.0, runs, Measuring(1))
    assert until.seconds(long) == 60 * 1.0 + 140 * 2.0


def test_a_finished_run_that_is_gone_is_made_again_and_ends_no_sweep(tmp_path):
    runs = planned(tmp_path, "seeds = [0]\n")
    (run,) = runs.values()
    assert make_run(run, Silent(), lambda: False) == {"ended": "finished"}
    until = deadline_in(1.0, runs, Measuring(1))
    shutil.rmtree(run.path)
    assert until.refusal(run) == ""


def test_a_finished_run_is_read_once_however_many_runs_it_says_something_about(tmp_path, monkeypatch):
    runs = planned(tmp_path, f"seeds = {list(range(30))}\n")
    first, *others = runs.values()
    read: list[str] = []
    monkeypatch.setattr(deadline, "seconds_per_step", lambda run: read.append(run.name) or (run is first) * 2.0 or None)
    until = deadline_in(1.0, runs, Measuring(1))
    assert sorted(read) == sorted(runs)
    assert [until.seconds(run) for run in others] == [200.0] * 29
    assert read.count(first.name) == 2


def test_the_fastest_finished_run_says_how_long_another_one_takes(tmp_path, monkeypatch):
    runs = planned(tmp_path, "seeds = [0, 1, 2]\n")
    slow, fast, other = runs.values()
    paces = {slow.name: 3.0, fast.name: 2.0}
    monkeypatch.setattr(deadline, "seconds_per_step", lambda run: paces.get(run.name))
    assert deadline_in(1.0, runs, Measuring(1)).seconds(other) == 200.0


def test_a_setting_that_cannot_be_measured_is_said_and_keeps_no_other_from_its_time(tmp_path):
    runs = planned(tmp_path, "seeds = [0]\ngamma = [0.9, 0.5]\n")
    told: list[str] = []
    sound, failing = runs.values()
    until = deadline_in(1.0, runs, Failing(2), told.append)
    assert told == [f"how long {failing.name} takes cannot be measured: it burns"]
    assert until.seconds(sound) == 60 * 1.0 + 40 * 2.0
    assert until.refusal(failing) == "", "it is started, so that what is wrong with it is reported as of any run"
    seconds, unknown = estimate(runs, Failing(1))
    assert seconds == {sound.name: 60 * 1.0 + 40 * 2.0, failing.name: 0.0} and unknown == {failing.name: "it burns"}


def test_a_cluster_that_has_no_processor_yet_is_waited_for(tmp_path):
    runs = planned(tmp_path, "seeds = [0]\n")
    assert deadline_in(1.0, runs, Measuring(0)).seconds(*runs.values()) == 60 * 1.0 + 40 * 2.0


def test_a_setting_that_keeps_all_workers_busy_while_it_is_measured_takes_their_mean(tmp_path):
    runs = planned(tmp_path, "seeds = [0, 1, 2]\n")
    until = deadline_in(1.0, runs, Uneven(3))
    assert {until.seconds(run) for run in runs.values()} == {60 * 1.0 + 40 * 2.0}


def test_an_agent_that_learns_at_the_end_of_each_rollout_is_measured_over_whole_ones(tmp_path, monkeypatch):
    learnt: list[int] = []
    judged = PPO._judged
    monkeypatch.setattr(PPO, "_judged", lambda self: learnt.append(1) or judged(self))

    class Counted:
        def __init__(self) -> None:
            self.before = len(learnt)

        def seconds(self) -> float:
            return float(len(learnt) - self.before)

    monkeypatch.setattr(measure, "Stopwatch", Counted)
    config, agent = resolve(
        {"agent": "ppo", "env": "Pendulum-v1", "rollout_steps": 1000, "batch_size": 1000, "epochs": 1}
    )
    run = PlannedRun("ppo", tmp_path / "ppo", config, agent)
    assert measure.measure(run)["learning"] == 1 / 1000


def test_what_is_measured_does_not_depend_on_who_else_has_the_processor():
    stopwatch = Stopwatch()
    other = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-S", "-c", other], check=True)
    idle = stopwatch.seconds()
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    assert idle < 0.1 and stopwatch.seconds() >= 0.1


def test_the_command_says_what_it_left(tmp_path, capsys):
    runs = planned(tmp_path, "seeds = [0, 1]\n[[runs]]\n[[runs]]\ntotal_timesteps = 1_000_000_000\n")
    short = [name for name, run in runs.items() if run.config.total_timesteps == 100]

    def sweep(*more: str) -> str:
        with pytest.raises(SystemExit) as exit_:
            main(
                ["sweep", str(tmp_path / "sweep.toml"), "--directory", str(tmp_path / "runs"), "--workers", "2", *more]
            )
        assert exit_.value.code == 0
        return capsys.readouterr().out

    out = sweep("--hours", "0.1")
    assert "4 runs: 2 no time, 2 finished" in out
    assert {name for name in runs if f"left for lack of time: {name}: takes about" in out} == set(runs) - set(short)
    assert {name for name, run in runs.items() if run_status(run).state == "finished"} == set(short)
    with pytest.raises(SystemExit, match="2"):
        main(["sweep", str(tmp_path / "sweep.toml"), "--hours", "0"])
    assert "--hours must be positive" in capsys.readouterr().err
