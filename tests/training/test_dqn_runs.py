"""Promises of whole runs of DQN: killed and resumed to the bit; the commands and the rest of the house know it."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path

import numpy as np
import pytest
from commands import command, flags
from sameness import metrics, same_to_the_bit
from test_run import KILL_AT, config, train_and_kill

import rewirl
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.options.resolve import agent_settings
from rewirl.training import run as runs
from rewirl.training.progress import Silent
from rewirl.training.resume import resume

OPTIONS = {
    "hidden_sizes": (24, 16), "sparsity": 0.5, "adapt_every": 5, "adapt_fraction": 0.2, "batch_size": 20,
    "learning_starts": 60, "buffer_size": 150, "update_every": 2, "n_steps": 3, "epsilon_steps": 100,
    "target_update_interval": 7,
}  # fmt: skip
RUN = {"agent": "ds-dqn", "env": "CartPole-v1", "env_module": None, "total_timesteps": 250}


def settings(**changes):
    return agent_settings("ds-dqn", "CartPole-v1", **{**OPTIONS, **changes})


def trained(path, agent=None, **changes):
    with runs.start(config(**{**RUN, **changes}), agent or settings(), path, Silent()) as run:
        assert run.train().finished
        assert run.agent.updates == (250 - 60) // 2
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("dqn") / "whole")


@pytest.mark.parametrize("threads", [1, 2])
def test_killed_and_resumed_is_the_uninterrupted_run_to_the_bit(tmp_path, whole, threads):
    path = tmp_path / "run"
    given = {**OPTIONS, "agent": "ds-dqn", "env": "CartPole-v1", "total_timesteps": 250, "threads": threads}
    killed = train_and_kill(path, 175, signal.SIGKILL, KILL_AT, *flags(given))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with resume(path, Silent()) as run:
        assert run.train().finished
    same_to_the_bit(path, whole)
    assert metrics(path) == metrics(whole)


@pytest.mark.parametrize("changes", [{}, {"env_processes": True}, {"threads": 2}])
def test_two_environments_take_turns_and_go_on_to_the_bit(tmp_path, changes):
    paths = [tmp_path / name for name in ("through", "stopped")]
    trained(paths[0], n_envs=2)
    with runs.start(config(**RUN, n_envs=2, **changes), settings(), paths[1], Silent()) as run:
        run.train(lambda: run.training.step >= 133)
    with resume(paths[1], Silent()) as run:
        run.train()
    same_to_the_bit(*paths)


def test_epsilon_is_told_and_falls_with_the_steps_explored(whole):
    told = {line["step"]: line for line in metrics(whole) if line["event"] == "diagnostics"}
    assert {step: line["epsilon"] for step, line in told.items()} == pytest.approx(
        {100: 1 - 0.95 * 40 / 100, 200: 0.05, 250: 0.05}
    )
    assert all(line["q_loss"] >= 0 and line["rewired"] > 0 for line in told.values())


def test_it_is_inspected_reported_and_evaluated(whole, tmp_path, capsys):
    assert command("inspect", whole, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["networks"]) == {"q", "target_q"}
    assert told["params"] == sum(layer["connections"] for layer in told["networks"]["q"]["layers"])
    assert command("inspect", "--agent", "ds-dqn", "--env", "CartPole-v1", *flags(OPTIONS), "--json") == 0
    updates = (1_000_000 - 60) // 2
    planned = json.loads(capsys.readouterr().out)
    assert planned["flops"] == 6 * 20 * updates * planned["params"]
    page = tmp_path / "page.md"
    assert command("report", whole, "--output", tmp_path / "page.html", "--markdown", page) == 0
    assert "ds-dqn" in page.read_text() and "4-24-16-2" in page.read_text()
    assert command("evaluate", whole, "--json") == 0
    policy = rewirl.load(whole)
    last = [line for line in metrics(whole) if line["event"] == "evaluation"][-1]
    assert policy.evaluate(2).returns == tuple(last["returns"])
    observations = np.zeros((500, 4), np.float32)
    noisy = policy.predict(observations, deterministic=False)
    assert 0 < (noisy != policy.predict(observations)).sum() < 40  # every 40th, at an epsilon of 0.05


def test_it_is_exported_as_c_and_onnx(whole, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    assert command("export", whole, "--directory", tmp_path / "c") == 0
    assert command("export", whole, "--directory", tmp_path / "onnx", "--format", "onnx") == 0
    said = capsys.readouterr()
    assert (said.out + said.err).count("0 of 1,000 random observations lead to another choice") == 2


def test_a_sweep_has_it(tmp_path):
    file = tmp_path / "sweep.toml"
    rows = [f"{name} = {list(value) if isinstance(value, tuple) else value}" for name, value in OPTIONS.items()]
    file.write_text(
        "\n".join(
            [
                'envs = ["CartPole-v1"]', "seeds = [0]", "total_timesteps = 80", "eval_every = 0", "threads = 1",
                "[[runs]]", 'agents = ["ds-dqn", "static-dqn"]', *(row for row in rows if "adapt" not in row),
            ]
        )
    )  # fmt: skip
    assert command("sweep", file, "--directory", tmp_path / "out", "--workers", 1) == 0
    made = [json.loads((Path(run) / "config.json").read_text()) for run in (tmp_path / "out").iterdir() if run.is_dir()]
    assert sorted(each["config"]["train"]["agent"] for each in made) == ["ds-dqn", "static-dqn"]


def test_from_python_it_learns_and_explores():
    with rewirl.DSDQN("CartPole-v1", seed=1, **{**OPTIONS, "threads": 1}) as agent:
        agent.learn(90)
        assert agent.steps == 90 and agent.diagnostics["epsilon"] == pytest.approx(1 - 0.95 * 30 / 100)
        observations = np.zeros((500, 4), np.float32)
        assert (agent.predict(observations, deterministic=False) != agent.predict(observations)).any()
        assert set(np.unique(agent.replay.actions)) == {0, 1}


def test_actions_that_are_real_numbers_are_refused():
    with pytest.raises(UnsuitableEnvironmentError, match="action space Box, but ds-dqn takes Discrete"):
        runs.Run(dataclasses.replace(config(**RUN), env="Pendulum-v1"), settings(), Silent())
