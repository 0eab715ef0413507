"""Promises of hints on the command line: names of other programs' options, and of ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rewirl.cli import elsewhere
from rewirl.cli.main import main
from rewirl.options.option import all_options
from rewirl.options.sb3 import ARGUMENTS, LEARN

OWN = {"preset", "run-dir", "trials", "workers", "video"}


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (["--algo", "td3"], "--agent"),
        (["--n-timesteps", "5000"], "--total-timesteps"),
        (["-n", "5000"], "--total-timesteps"),
        (["--eval-freq", "5000"], "--eval-every"),
        (["--env-id", "Ant-v5"], "--env"),
        (["--tensorboard-log", "x"], "--run-dir"),
        (["--train_freq", "2"], "--update-every, for DQN"),
        (["--max-grad-norm", "0.5"], "--max-gradient-norm"),
        (["--algorihm", "td3"], "did you mean|none of"),
    ],
)
def test_names_of_other_command_lines_get_the_right_hint(typed, hint, capsys):
    assert re.search(f"train has no option {typed[0]}; .*{hint}", said(capsys, "train", *typed))


def test_what_the_table_names_is_there_and_none_of_its_names_is_ours():
    ours = {name.replace("_", "-") for name in all_options()} | OWN
    assert not ours & elsewhere.OPTIONS.keys()
    for name in [*elsewhere.OPTIONS, *ARGUMENTS, *LEARN]:
        for option in re.findall(r"--([a-z-]+)", elsewhere.hint(f"--{name}")):
            assert option in ours, name


def test_a_list_with_commas_is_shown_how_it_is_typed(capsys):
    assert "; for example: --hidden-sizes 256 256" in said(capsys, "train", "--hidden-sizes", "64,64")


def test_a_preset_is_named_with_its_agent(tmp_path: Path, capsys):
    short = ["--total-timesteps", "40", "--rollout-steps", "20", "--batch-size", "10", "--eval-every", "0"]
    with pytest.raises(SystemExit) as ended:
        main(["train", "--agent", "ppo", "--env", "CartPole-v1", *short, "--run-dir", str(tmp_path / "run")])
    assert ended.value.code == 0
    assert "a preset of its own, of ds-dqn; train it with: " in capsys.readouterr().out


def test_no_wall_of_names(capsys):
    assert len(said(capsys, "train", "--zzz", "1")) < 150
    wrong_space = said(capsys, "train", "--env", "CartPole-v1")
    assert "Train dqn or static-dqn there, one of" in wrong_space
