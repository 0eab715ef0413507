"""Promises of presets in Python: the agent that a preset names trains as the command line's does, to the bit."""

from __future__ import annotations

import inspect
import os
import typing
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from sameness import metrics, same_to_the_bit

import rewirl
from rewirl.agents import AGENTS
from rewirl.cli.main import main
from rewirl.experiments.sweep.error import SweepError
from rewirl.experiments.sweep.file import read_sweep
from rewirl.learners.options import Options
from rewirl.options.option import options

SETTINGS: dict[str, Any] = {"learning_starts": 50, "batch_size": 10, "eval_episodes": 1, "eval_every": 100}
FILE = """
# a preset of one's own
agent = "ds-sac"
env = "Pendulum-v1"
hidden-sizes = [16, 16]
learning_starts = 50
batch_size = 10
sparsity = 0.4
buffer_size = 400
total_timesteps = 200
eval_every = 100
eval_episodes = 1
n_envs = 2
normalise_observations = true
"""


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(FILE)
    return path


def train(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["train", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def same(one: Path, other: Path) -> None:
    same_to_the_bit(one, other)
    assert metrics(one) == metrics(other)


def test_a_preset_of_the_package_trains_as_on_the_command_line(tmp_path: Path) -> None:
    words = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    words += ["--hidden-sizes", "16", "16", "--total-timesteps", "220", "--seed", "3", "--threads", "1"]
    assert train("--preset", "small/pendulum", "--run-dir", tmp_path / "shell", *words) == 0
    agent = rewirl.from_preset(
        "small/pendulum", seed=3, threads=1, hidden_sizes=(16, 16), total_timesteps=220, **SETTINGS
    )
    assert isinstance(agent, rewirl.DSTD3) and agent.config["gamma"] == 0.98
    with agent:
        agent.learn(run_dir=tmp_path / "python")
    same(tmp_path / "python", tmp_path / "shell")


def test_a_file_trains_so_too_and_in_pieces_and_names_another_agent(tmp_path: Path, file: Path) -> None:
    assert train("--preset", file, "--run-dir", tmp_path / "shell", "--threads", "1") == 0
    with rewirl.from_preset(file, threads=1) as agent:
        assert isinstance(agent, rewirl.DSSAC) and agent.config["sparsity"] == 0.4
        agent.learn(run_dir=tmp_path / "python")
        with pytest.raises(ValueError, match="the run is at its end"):
            agent.learn()
    same(tmp_path / "python", tmp_path / "shell")
    with rewirl.from_preset(file, threads=1) as agent:
        agent.learn(120, run_dir=tmp_path / "pieces")
        assert agent.steps == 120
        agent.learn()
        assert agent.steps == 200
    assert (tmp_path / "pieces" / "policy" / "policy.safetensors").read_bytes() == (
        tmp_path / "shell" / "policy" / "policy.safetensors"
    ).read_bytes()


def test_nothing_is_evaluated_that_nobody_sees(file: Path) -> None:
    seen = []

    class Watch(rewirl.Callback):
        def on_evaluation(self, moment: rewirl.Moment) -> None:
            seen.append(moment.evaluation_step)

    with rewirl.from_preset(file) as agent:
        agent.learn()
        assert agent._run.training.evaluations is None
    with rewirl.from_preset(file) as agent:
        agent.learn(callback=Watch())
    assert seen == [0, 100, 200]


def test_the_environment_may_be_handed_over_in_wrappers_of_ones_own(file: Path) -> None:
    def wrapped() -> gymnasium.Env[Any, Any]:
        return gymnasium.wrappers.TransformReward(gymnasium.make("Pendulum-v1"), lambda reward: reward / 10)

    with rewirl.from_preset(file, wrapped, seed=1, sparsity=0.2) as agent:
        agent.learn(60)
        assert abs(agent.replay.rewards).max() < 2 and agent.config["sparsity"] == 0.2
    with pytest.raises(ValueError, match=r"is for env Pendulum-v1, not InvertedPendulum-v5"):
        rewirl.from_preset(file, "InvertedPendulum-v5")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agent = 'ds-td3'", r"does not say its env; it needs a line such as env = \"Pendulum-v1\""),
        ("env = 'Pendulum-v1'", "does not say its agent"),
        ("agent = 1\nenv = 'Pendulum-v1'", "does not say its agent"),
        (FILE + "seed = 3", "has a seed; a preset is for any"),
        (FILE + "gama = 0.9", "ds-sac has no option 'gama'; did you mean gamma"),
        (FILE + "gamma = '0.9'", "gamma must be a number, got '0.9'"),
        (FILE.replace("ds-sac", "ds-sack"), "did you mean ds-sac"),
        (FILE + "sparsity-end = 5\nsparsity_end = 6", "sparsity_end twice"),
        ("agent = ", "is not TOML"),
        ("x = " + "[" * 5000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_preset_is_refused_in_words(
    file: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        rewirl.from_preset(file)
    assert train("--preset", file) == 2
    assert "Traceback" not in capsys.readouterr().err
    with pytest.raises(SystemExit) as exit_:
        main(["presets", str(file)])
    assert exit_.value.code == 2 and "Traceback" not in capsys.readouterr().err


def test_names_and_files_that_are_not_there_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean small/pendulum"):
        rewirl.from_preset("small/pendullum")
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        rewirl.from_preset(tmp_path / "none.toml")
    with pytest.raises(ValueError, match="ds-td3 has no option 'sparsty'; did you mean sparsity"):
        rewirl.from_preset("small/pendulum", sparsty=0.9)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="is for agent ds-td3, not td3"):
        rewirl.from_preset("small/pendulum", agent="td3")  # type: ignore[call-arg]


def test_a_sweep_takes_the_preset_of_a_file_and_calls_its_runs_after_it(file: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep.toml"
    sweep.write_text(f'presets = ["{file}"]\nseeds = [0, 1]\ngamma = [0.9, 0.95]\n')
    requests = read_sweep(str(sweep)).requests
    assert len(requests) == 4 and {(each.agent, each.label) for each in requests} == {("ds-sac", "mine")}
    assert {each.options["gamma"] for each in requests} == {0.9, 0.95} and requests[0].options["sparsity"] == 0.4
    sweep.write_text('presets = ["none.toml"]\nseeds = [0]\n')
    with pytest.raises(SweepError, match=r"none\.toml cannot be read"):
        read_sweep(str(sweep))


def test_type_checkers_know_every_option_of_every_agent() -> None:
    known = {name for agent in AGENTS for name in options(agent)} - {"agent", "env", "seed", "threads"}
    assert typing.get_type_hints(Options).keys() == known and not Options.__required_keys__
    assert inspect.signature(rewirl.from_preset).parameters["options"].annotation == "Unpack[Options]"


def test_learn_says_where_its_options_are_taken() -> None:
    with rewirl.TD3("Pendulum-v1") as agent:
        with pytest.raises(TypeError, match=r"option of the agent: TD3\(env, gamma=\.\.\.\)"):
            agent.learn(10, gamma=0.9)
        with pytest.raises(TypeError, match=r"option of a run: rewirl\.from_preset\(preset, warm_up_policy=\.\.\.\)"):
            agent.learn(10, warm_up_policy="runs/x")
        with pytest.raises(TypeError, match="'agent'; ") as error:
            agent.learn(10, agent="sac")
        assert "option of" not in str(error.value), "nobody takes it"


def test_an_id_keeps_the_arguments_and_wrappers_that_are_given_and_an_object_refuses_them():
    timed, heavy = ["rewirl.timed:Timed"], {"g": 3.0}
    with rewirl.from_preset("small/pendulum", env="Pendulum-v1", wrapper=timed, env_kwargs=heavy) as agent:
        assert agent.observation_space.shape == (4,)
        assert agent._run.environment.env.unwrapped.g == 3.0
    with rewirl.from_preset("stream-x/stream-ac/InvertedPendulum-v5", env="InvertedPendulum-v5") as agent:
        assert agent.observation_space.shape == (5,)  # the preset's own wrapper
    env = gymnasium.make("Pendulum-v1")
    with pytest.raises(ValueError, match="wrapper"):
        rewirl.from_preset("small/pendulum", env=env, wrapper=timed)
    with pytest.raises(ValueError, match="env_kwargs"):
        rewirl.from_preset("small/pendulum", env=env, env_kwargs=heavy)
