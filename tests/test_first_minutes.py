"""What went wrong in a new user's first minutes and is held nowhere else: it stays gone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from rewirl.cli.main import main
from rewirl.experiments.report import document

SMALL = ["--hidden-sizes", "12", "8", "--learning-starts", "40", "--batch-size", "8", "--threads", "1"]


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def rewirl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Said:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, *capsys.readouterr())

    return call


@pytest.mark.parametrize("steps", ["1", "999", "1000"])
def test_a_run_that_would_train_nothing_is_refused_with_the_remedy(rewirl, tmp_path: Path, steps: str) -> None:
    said = rewirl("train", "--env", "Pendulum-v1", "--total-timesteps", steps)
    assert said.code == 2 and list(tmp_path.iterdir()) == []
    assert "nothing would be learnt: there is no update in the first 1,000 steps" in said.err
    assert "give more total_timesteps or a smaller learning_starts" in said.err


def test_a_task_with_a_preset_of_its_own_says_so_and_one_that_has_none_does_not(rewirl) -> None:
    quick = [*SMALL, "--total-timesteps", "60", "--eval-every", "0"]
    assert "train --preset small/pendulum" in rewirl("train", "--env", "Pendulum-v1", *quick).out
    assert "--preset" not in rewirl("train", "--env", "InvertedPendulum-v5", *quick).out
    assert "a preset of its own" not in rewirl("train", "--preset", "small/pendulum", *quick, "--seed", "1").out


def test_an_environment_of_the_working_directory_is_named_with_its_module(rewirl, tmp_path: Path) -> None:
    (tmp_path / "my_world.py").write_text(
        "import gymnasium\n"
        "from gymnasium.envs.classic_control.pendulum import PendulumEnv\n"
        "gymnasium.register('World-v0', entry_point=PendulumEnv, max_episode_steps=20)\n"
    )
    quick = [*SMALL, "--eval-every", "30", "--eval-episodes", "1"]
    done = rewirl("train", "--env", "my_world:World-v0", *quick, "--total-timesteps", "60", "--run-dir", "run")
    assert done.code == 0 and "ds-td3 on my_world:World-v0" in done.out
    assert rewirl("resume", "run", "--total-timesteps", "70").code == 0
    assert json.loads(rewirl("evaluate", "run", "--episodes", "1", "--json").out)["lengths"] == [20]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["train"]["env"] == "my_world:World-v0"


def test_a_sweep_ends_with_a_table_and_the_command_of_its_report_which_works(rewirl, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'agents = ["td3", "ds-td3"]\nenvs = ["Pendulum-v1"]\nseeds = [0]\nhidden_sizes = [12, 8]\nbatch_size = 8\n'
        "learning_starts = 40\ntotal_timesteps = 60\neval_every = 30\neval_episodes = 1\n"
    )
    lines = rewirl("sweep", "mine.toml", "--workers", "2").out.splitlines()
    header, *rows, what, here, command = lines[-6:]
    assert re.split(r"  +", header) == ["agent", "environment", "runs", "steps", "final return"]
    assert [re.split(r"  +", row)[0] for row in rows] == ["td3", "ds-td3"]
    assert "mean of a run's last 10 evaluations" in what and "its last evaluation alone" in what
    assert here == "here: 3 evaluations, 2 of them of the untrained policy"
    words = re.search(r"curves, intervals and all numbers: \S.* (report runs)$", command)
    assert words is not None and rewirl(*words[1].split()).code == 0
    page = (tmp_path / "report.html").read_text()
    assert "Sokar" not in page and "5,000" not in page, "the paper is about other tasks"
    assert rewirl("report").code == 0, "the directory runs is found without being named"


def test_a_printed_report_has_two_figures_a_row() -> None:
    page = document.html([])
    printed = page[page.index("@media print") :]
    assert ".figures { grid-template-columns: 1fr 1fr;" in printed and "break-inside: avoid" in printed
    assert "td.number { white-space: normal; }" in printed  # a column that does not fit is lost on paper


def test_help_says_how_a_run_is_inspected_and_where_presets_come_from(rewirl) -> None:
    assert "rewirl inspect DIRECTORY" in rewirl("inspect", "--help").out
    assert "a TOML file, such as rewirl tune writes" in " ".join(rewirl("train", "--help").out.replace("│", "").split())
