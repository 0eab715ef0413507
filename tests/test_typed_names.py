"""Promises of hints on the command line: names of other programs' options, and of ours."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import pytest

import rewirl
from rewirl.cli import elsewhere
from rewirl.cli.main import main
from rewirl.environments import recipe
from rewirl.options.option import all_options
from rewirl.options.resolve import resolve
from rewirl.options.sb3 import ARGUMENTS, LEARN
from rewirl.presets import lookup
from rewirl.presets.small import PRESETS
from rewirl.training.remarks import _of_rule

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
        (["--steps", "5000"], "--total-timesteps"),
        (["--eval-freq", "5000"], "--eval-every"),
        (["--env-id", "Ant-v5"], "--env"),
        (["--max-episode-steps", "100"], "--env-kwargs '{\"max_episode_steps\": 1000}'"),
        (["--tensorboard-log", "x"], "--run-dir"),
        (["--directory", "x"], "that is here: --run-dir"),
        (["--topology", "x"], "its settings are options of their own, such as --sparsity 0.9"),
        (["--train_freq", "2"], "--update-every, for DQN"),
        (["--max-grad-norm", "0.5"], "--max-gradient-norm"),
        (["--algorihm", "td3"], "did you mean|none of"),
    ],
)
def test_names_of_other_command_lines_get_the_right_hint(typed, hint, capsys):
    assert re.search(f"train has no option {typed[0]}; .*{hint}", said(capsys, "train", *typed))


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("--algo", "that is here: --agents"),
        ("--env-id", "that is here: --envs"),
        ("--log-dir", "that is here: --directory"),
        ("--lr", "that is here: --learning-rate"),
        ("--seed", "did you mean --seeds"),
        ("--run-dir", "that is here: --directory"),
        ("--preset", 'that is here: presets = ["small/pendulum"] in the file of a sweep'),
    ],
)
def test_hints_of_a_sweep_name_its_options(typed, hint, capsys):
    assert f"sweep has no option {typed}; {hint}" in said(capsys, "sweep", "ds-drl/paper", typed, "x")


def test_a_command_without_anything_of_the_kind_names_nothing_of_it(capsys):
    assert re.search(
        "inspect has no option --log-dir; (did you mean|none of)", said(capsys, "inspect", "--log-dir", "x")
    )


def test_what_the_table_names_is_there_and_none_of_its_names_is_ours():
    ours = {name.replace("_", "-") for name in all_options()} | OWN
    assert not ours & elsewhere.OPTIONS.keys()
    for name in [*elsewhere.OPTIONS, *ARGUMENTS, *LEARN]:
        hint = elsewhere.hint(f"--{name}", [f"--{option}" for option in ours])
        assert hint or name not in elsewhere.OPTIONS, name  # none is left out, as if a command had nothing of the kind
        for option in re.findall(r"--([a-z-]+)", hint):
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
    assert "Train ds-dqn or ds-stream-q there, one of" in wrong_space


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--seed"], "--seed needs a value; see "),
        (["train", "--env", "--seed", "1"], "--env needs a value; see "),
        (["train", "--preset"], "--preset needs a value"),
        (["sweep", "x.toml", "--normalise-observations"], "--normalise-observations needs a value"),
        (["watch", "x", "--video"], "--video needs a value"),
        (["sweep", "x.toml", "--seeds"], "--seeds needs a value"),  # as of a shell variable that is not set
        (["sweep", "x.toml", "--agents", "--dry-run"], "--agents needs a value"),
        (["tune", "--seeds"], "--seeds needs a value"),
        (["tune", "--sample", "--dry-run"], "--sample needs a value"),
        (["report", "--published-curves"], "did you mean --no-published-curves"),
        (["bench", "kernels", "--seconds"], "needs a value|has no option"),
        (["resume"], "resume needs RUN: directory of the run"),
        (["export", "x", "--format", "torch"], r"made in Python: rewirl\.load\(DIRECTORY\)\.to_torch\(\)"),
    ],
)
def test_what_is_missing_is_said(arguments, words, capsys):
    text = said(capsys, *arguments)
    assert text.startswith("rewirl: ") and re.search(words, text)


def test_presets_are_listed_by_what_their_names_begin_with(capsys):
    for prefix in ("small", "small/"):
        with pytest.raises(SystemExit) as ended:
            main(["presets", prefix])
        listed = re.findall(r"^small/\S+", capsys.readouterr().out, re.MULTILINE)
        assert ended.value.code == 0 and set(listed) == set(PRESETS)
    assert "did you mean" in said(capsys, "presets", "smal/pendulum")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--adapt-every", "100"], r"adapt_every does nothing here: td3 is never rewired.*; ds-td3 is rewired"),
        (["--rule", "set"], r"the rule set does nothing here: td3 has every connection.*; ds-td3 is rewired"),
    ],
)
def test_options_of_rewiring_that_do_nothing_are_said_at_the_start(options, words, capsys):
    with pytest.raises(SystemExit):
        main(["train", "--agent", "td3", "--env", "Pendulum-v1", "--hidden-sizes", "8", *options, "--dry-run"])
    assert re.search(words, capsys.readouterr().err)


def test_no_preset_has_options_that_do_nothing():
    for name in lookup.names():
        settings = resolve({"preset": name})
        assert not list(_of_rule(SimpleNamespace(name=settings.run.agent, config=settings.agent)))


def test_what_is_missing_for_an_environment_is_an_extra_of_rewirl():
    missing = gymnasium.error.DependencyNotInstalled('Box2D is not installed: pip install "gymnasium[box2d]"')
    assert recipe.package_advice(missing) == ". Here: pip install 'rewirl[box2d]'"
    assert recipe.package_advice(ValueError("box2d")) == recipe.package_advice(ImportError("no mujoco")) == ""


def test_resuming_for_fewer_steps_says_how_many_there_are(tmp_path, capsys):
    path = str(tmp_path / "run")
    with rewirl.DSTD3("Pendulum-v1", hidden_sizes=(8,), batch_size=4, threads=1) as agent:
        agent.learn(40, run_dir=path, eval_every=0)
    for steps, words in (
        ("30", "already has 40 steps, and --total-timesteps 30 is of the whole run"),
        (None, "finished"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["resume", path, *(["--total-timesteps", steps] if steps else [])])
        assert ended.value.code == 0 and words in capsys.readouterr().out
