"""Promises of the named experiments: each runs, scaled down, to its end; and a dry run says what it would take."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from rewirl.agents import agent_entry
from rewirl.cli import sweep as command
from rewirl.cli.main import main
from rewirl.experiments.sweep.estimate import makespan, seconds_left
from rewirl.experiments.sweep.file import experiments, read_sweep
from rewirl.experiments.sweep.plan import PlannedRun, plan, run_status
from rewirl.experiments.sweep.worker import make_run
from rewirl.printing import counted
from rewirl.training import run as runs
from rewirl.training.progress import Silent

SMALL = {"learning_starts": 100, "batch_size": 16, "buffer_size": 500, "rollout_steps": 32}
"""Of the options that all agents of an experiment have."""
BOX2D = {"BipedalWalker-v3", "LunarLanderContinuous-v3"}
"""What is there with an extra only."""


class Here:
    """A executor that makes every run in this process, at once."""

    made: list[str] = []  # noqa: RUF012

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._ended: list[tuple[str, dict[str, Any]]] = []

    def start(self, name: str, run: Mapping[str, Any], measure: bool = False) -> None:
        Here.made.append(name)
        self._ended.append((name, make_run(PlannedRun.from_values(dict(run)), Silent(), lambda: False)))

    def wait(self, seconds: float) -> list[tuple[str, dict[str, Any]]]:
        ended, self._ended = self._ended, []
        return ended

    def stop(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


def rewirl(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


@pytest.mark.parametrize("name", experiments())
def test_every_experiment_runs_scaled_down_and_makes_no_run_twice(shared, monkeypatch, capsys, name):
    monkeypatch.setattr(command, "executor", lambda options: Here(2))
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    Here.made = []
    there = {path.name for path in shared.iterdir()}
    envs = {run.env for run in read_sweep(name).requests}
    if find_spec("dm_control") is None:
        envs = {env for env in envs if not env.startswith("dm_control/")}
    if any(env.startswith("MinAtar/") for env in envs):
        pytest.importorskip("minatar")
    if not envs:
        pytest.skip("needs dm_control; `make test` tries it in an environment of its own")
    few = ["HalfCheetah-v5"] if "HalfCheetah-v5" in envs else sorted(envs - BOX2D)[:2]
    steps = 140
    width = 96 if name == "blocks/width" else 32  # where 97% of absent connections leave some
    configs = [agent_entry(run.agent).config for run in read_sweep(name).requests]
    options = [
        f"--{option.replace('_', '-')}={value}"
        for option, value in SMALL.items()
        if all(option in {field.name for field in fields(config)} - {*config.WITHOUT} for config in configs)
    ]
    options += ["--seeds", 0, "--eval-every", 0, "--hidden-sizes", width, width, "--total-timesteps", steps]
    assert rewirl("sweep", name, *options, "--envs", *few, "--directory", shared) == 0
    out = capsys.readouterr().out
    count = int(out.splitlines()[-1].split()[0])
    least = 1 if name in ("frontier/dense", "blocks/batch-96", "blocks/paper") else 2
    assert count >= least and f"{counted(count, 'run')}: {count} finished" in out
    assert len(set(Here.made)) == len(Here.made)
    assert set(Here.made) == {path.name for path in shared.iterdir() if path.is_dir()} - there
    for made in Here.made:
        config = json.loads((shared / made / "config.json").read_text())["config"]
        assert config["train"]["total_timesteps"] == steps and config["agent"]["hidden_sizes"] == [width, width]
        assert (shared / made / "policy").is_dir()


def test_a_dry_run_measures_lists_every_run_and_starts_none(tmp_path, capsys):
    options = ["--total-timesteps", 3000, "--learning-starts", 500, "--eval-every", 1000, "--hidden-sizes", 32, 32]
    directory = tmp_path / "runs"
    sweep = ("sweep", "ds-drl/figure-5", "--envs", "HalfCheetah-v5", *options, "--directory", directory, "--workers", 2)
    assert rewirl(*sweep, "--dry-run") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("ds-drl/figure-5: Figure 5")
    assert len(out) == 12 and all(" new " in line and re.search(r" (minutes|seconds?)$", line) for line in out[1:11])
    assert "10 runs, 0 finished; the others take about" in out[-1] and "with 2 workers on this machine" in out[-1]
    assert not directory.exists()


def test_an_option_of_the_command_line_may_be_none_or_nothing(tmp_path, monkeypatch):
    file = tmp_path / "sweep.toml"
    file.write_text(
        'agents = ["sac"]\nenvs = ["Pendulum-v1"]\nseeds = [0]\nlearning_starts = 60\ntotal_timesteps = 200\n'
        "env_kwargs = { g = 9.0 }\ntarget_entropy = -2.0\n"
    )
    made: list[PlannedRun] = []
    monkeypatch.setattr(command, "run_session", lambda planned, *_: made.extend(planned.values()) or 0)
    sweep = ("sweep", file, "--directory", tmp_path / "runs", "--workers", 1)
    assert rewirl(*sweep) == rewirl(*sweep, "--env-kwargs", "{}", "--target-entropy", "None") == 0
    assert [run.config.env_kwargs for run in made] == [{"g": 9.0}, {}]
    assert [run.agent_config.target_entropy for run in made] == [-2.0, None]
    assert rewirl(*sweep, "--agents", "td3") == 2 and len(made) == 2  # there are none


def test_a_dry_run_says_once_what_runs_will_say_of_their_settings(tmp_path, capsys):
    file = tmp_path / "sweep.toml"
    file.write_text(
        'envs = ["rewirl-tests/Drift-v0"]\nseeds = [0, 1]\nenv_module = "probe_environments"\nhidden_sizes = [24, 16]\n'
        "learning_starts = 60\ntotal_timesteps = 200\neval_every = 0\nadapt_every = 20\n[[runs]]\n"
        'agents = ["static-td3"]\ndrop = "l2"\n[[runs]]\nagents = ["ds-td3"]\n'
    )
    assert rewirl("sweep", file, "--directory", tmp_path / "runs", "--dry-run", "--workers", 1) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "nothing here" in line)
    assert re.fullmatch(
        r"\S+-static-td3-\S+-0 and 1 more: adapt_every and drop do nothing here: static-td3 is never .*", line
    )


def test_a_dry_run_of_what_is_finished_or_begun_says_so(tmp_path, capsys):
    file = tmp_path / "sweep.toml"
    file.write_text(
        'agents = ["td3"]\nenvs = ["rewirl-tests/Drift-v0"]\nseeds = [0, 1]\nenv_module = "probe_environments"\n'
        "hidden_sizes = [24, 16]\nlearning_starts = 60\ntotal_timesteps = 200\neval_every = 0\n"
    )
    first, second = plan(read_sweep(str(file)).requests, tmp_path / "runs").values()
    assert make_run(first, Silent(), lambda: False) == {"ended": "finished"}
    with runs.start(second.config, second.agent_config, second.path, Silent()) as begun:
        begun.train(lambda: begun.training.step >= 120)
    assert (run_status(second).state, run_status(second).step) == ("begun", 120)
    assert rewirl("sweep", file, "--directory", tmp_path / "runs", "--dry-run", "--workers", 1) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("200 steps  finished") and "200 steps  at step 120" in lines[2]
    assert lines[3].startswith("2 runs, 1 finished; the others take about 1 second with")
    assert make_run(second, Silent(), lambda: False) == {"ended": "finished"}
    assert rewirl("sweep", file, "--directory", tmp_path / "runs", "--dry-run") == 0
    assert capsys.readouterr().out.splitlines()[3] == "2 runs, 2 finished"


def test_a_dry_run_says_which_runs_have_lost_their_checkpoints(tmp_path, capsys):
    file = tmp_path / "sweep.toml"
    file.write_text(
        'agents = ["td3"]\nenvs = ["rewirl-tests/Drift-v0"]\nseeds = [0]\nenv_module = "probe_environments"\n'
        "hidden_sizes = [24, 16]\nlearning_starts = 60\ntotal_timesteps = 200\neval_every = 0\n"
    )
    (run,) = plan(read_sweep(str(file)).requests, tmp_path / "runs").values()
    with runs.start(run.config, run.agent_config, run.path, Silent()) as begun:
        begun.train(lambda: begun.training.step >= 120)
    shutil.rmtree(run.path / "checkpoints")
    assert rewirl("sweep", file, "--directory", tmp_path / "runs", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("200 steps  cannot go on")
    assert lines[2].endswith("-0 has no checkpoints any more; to train it from the start, move it away")
    assert lines[3] == "1 run, 0 finished"


def test_a_dry_run_says_which_settings_a_hash_stands_for(tmp_path, capsys):
    file = tmp_path / "sweep.toml"
    file.write_text(
        'agents = ["static-td3", "ds-td3"]\nenvs = ["rewirl-tests/Drift-v0"]\nseeds = [0, 1]\nlearning_starts = 60\n'
        'env_module = "probe_environments"\ntotal_timesteps = 200\neval_every = 0\n[[runs]]\nsparsity = 0.5\n'
        'hidden_sizes = [24, 16]\n[[runs]]\nagents = ["ds-td3"]\nhidden_sizes = [[24, 16], [16, 16]]\n'
        "sparsity = 0.4\n"
    )
    assert rewirl("sweep", file, "--directory", tmp_path / "runs", "--dry-run", "--workers", 1) == 0
    said = [re.split(r" {2,}", line) for line in capsys.readouterr().out.splitlines()[1:-1]]
    of_ds = [words[-1] for words in said if "-ds-td3-" in words[0] and words[0].endswith("-0")]
    settings = [("24 16", 0.5), ("24 16", 0.4), ("16 16", 0.4)]
    assert of_ds == [f"hidden_sizes {sizes}, sparsity {share}" for sizes, share in settings]
    assert all(len(words) == 4 for words in said if "static" in words[0])  # one setting of it, nothing to tell


def test_the_time_left_is_that_of_warm_up_learning_and_evaluations(tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text('paper = "ds-drl"\nagents = ["td3"]\nenvs = ["Ant-v5"]\nseeds = [0]\ntotal_timesteps = 102_500\n')
    (run,) = plan(read_sweep(str(file)).requests, tmp_path).values()
    rates = {"warm_up": 1.0, "learning": 100.0, "evaluation": 10_000.0, "episode": 2.0}
    # evaluations at 0, 30,000, ..., 100,000 and at the end, ten episodes each; those up to 25,000 repeat the first
    assert seconds_left(run, rates, 0) == 25_000 + 77_500 * 100 + 17 * 10 * 2 * 10_000
    assert seconds_left(run, rates, 20_000) == 5_000 + 77_500 * 100 + 17 * 10 * 2 * 10_000
    assert seconds_left(run, rates, 100_000) == 2_500 * 100 + 1 * 10 * 2 * 10_000
    assert seconds_left(run, rates, 102_500) == 0


def test_runs_together_take_as_long_as_the_busiest_worker_and_wait_for_what_they_need():
    runs = plan(read_sweep("ds-drl/figure-4").requests, Path("runs"))
    source, run = next((runs[run.after], run) for run in runs.values() if run.after is not None)
    four = {str(number): source for number in range(4)}
    assert makespan(four, dict.fromkeys(four, 3.0), 2) == 6.0
    assert makespan(four, {"0": 1.0, "1": 5.0, "2": 1.0, "3": 1.0}, 2) == 5.0
    pair = {source.name: source, run.name: run}
    assert makespan(pair, {source.name: 3.0, run.name: 4.0}, 8) == 7.0
    assert makespan(pair, {source.name: 0.0, run.name: 4.0}, 8) == 4.0
