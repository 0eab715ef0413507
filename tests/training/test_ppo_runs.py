"""Promises of whole runs of PPO: killed and resumed to the bit; the commands and the rest of the house know it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import command, flags
from sameness import metrics, same_to_the_bit
from test_run import KILL_AT, config

import rewirl
from rewirl.options.resolve import agent_settings
from rewirl.training import run as runs
from rewirl.training.progress import Silent
from rewirl.training.resume import resume

OPTIONS = {
    "hidden_sizes": (24, 16), "sparsity": 0.5, "adapt_every": 5, "adapt_fraction": 0.2, "rollout_steps": 64,
    "batch_size": 32, "epochs": 2,
}  # fmt: skip
ENVS = {"Box": "Pendulum-v1", "Discrete": "CartPole-v1"}
STEPS = 250


def settings(kind="Discrete", **changes):
    return agent_settings("ds-ppo", ENVS[kind], **{**OPTIONS, **changes})


def asked(kind="Discrete", **changes):
    given = {"agent": "ds-ppo", "env": ENVS[kind], "env_module": None, "total_timesteps": STEPS, **changes}
    return config(**given)


def trained(path, kind="Discrete", **changes):
    with runs.start(asked(kind, **changes), settings(kind), path, Silent()) as run:
        assert run.train().finished
        assert run.agent.updates == 3 * 2 * 2
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("ppo") / "whole")


def test_killed_in_the_middle_of_a_rollout_and_resumed_is_the_uninterrupted_run_to_the_bit(tmp_path, whole):
    path = tmp_path / "run"
    of_run = {"agent": "ds-ppo", "env": "CartPole-v1", "seed": 3, "total_timesteps": STEPS, "threads": 1}
    often = {"eval_every": 100, "eval_episodes": 2, "checkpoint_every": 70}
    words = [*flags({**OPTIONS, **of_run, **often}), "--run-dir", str(path)]
    program = [sys.executable, "-c", KILL_AT, "175", str(int(signal.SIGKILL)), "train", *words]
    killed = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with resume(path, Silent()) as run:
        assert run.train().finished
    same_to_the_bit(path, whole)
    assert metrics(path) == metrics(whole)


@pytest.mark.parametrize(
    ("kind", "changes"), [("Box", {}), ("Discrete", {"env_processes": True}), ("Discrete", {"threads": 2})]
)
def test_four_environments_take_turns_and_go_on_to_the_bit(tmp_path, kind, changes):
    paths = [tmp_path / name for name in ("through", "stopped")]
    trained(paths[0], kind, n_envs=4)
    with runs.start(asked(kind, n_envs=4, **changes), settings(kind), paths[1], Silent()) as run:
        run.train(lambda: run.training.step >= 133)
    with resume(paths[1], Silent()) as run:
        run.train()
    same_to_the_bit(*paths)


@pytest.mark.parametrize("environments", [1, 3, 4])
def test_every_action_of_a_rollout_is_of_the_policy_that_it_is_learnt_from(tmp_path, environments):
    """Also of the first steps after an update: they begin once it is done."""
    with runs.Run(asked(n_envs=environments), settings(), Silent()) as run:
        agent, begun = run.agent, []
        explore, learn = agent.explore, agent.learn
        agent.explore = lambda x, environment: (begun.append((environment, agent.updates)), explore(x, environment))[1]
        ended = []

        def learnt(*step, environment):
            ended.append((environment, agent.updates))
            learn(*step, environment=environment)

        agent.learn = learnt
        run.training.run(3 * 64)
    for environment in range(environments):
        of_both = [[updates for index, updates in steps if index == environment] for steps in (begun, ended)]
        assert of_both[0][: len(of_both[1])] == of_both[1]
    assert [environment for environment, _ in ended] == [step % environments for step in range(3 * 64)]


def test_it_is_inspected_reported_and_evaluated(whole, tmp_path, capsys):
    assert command("inspect", whole, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["networks"]) == {"actor", "critic"} and told["memory_bytes"]["replay"] == 0
    assert told["networks"]["actor"]["operations"] == ["linear", "tanh", "linear", "tanh", "linear"]
    assert command("inspect", "--agent", "ds-ppo", "--env", "CartPole-v1", *flags(OPTIONS), "--json") == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["flops"] == 6 * 32 * (1_000_000 // 64 * 2 * 2) * planned["params"]
    assert command("inspect", whole) == 0 and "no replay memory" in capsys.readouterr().out
    page = tmp_path / "page.md"
    assert command("report", whole, "--output", tmp_path / "page.html", "--markdown", page) == 0
    assert "ds-ppo" in page.read_text() and "4-24-16-2" in page.read_text()
    assert command("evaluate", whole, "--json") == 0
    policy = rewirl.load(whole)
    last = [line for line in metrics(whole) if line["event"] == "evaluation"][-1]
    assert policy.evaluate(2).returns == tuple(last["returns"])
    noisy = policy.predict(np.zeros((500, 4), np.float32), deterministic=False)
    assert 100 < (noisy == 0).sum() < 400
    told = [line for line in metrics(whole) if line["event"] == "diagnostics"][-1]
    assert {"actor_loss", "critic_loss", "entropy", "kl", "clipped", "explained_variance", "rewired"} <= set(told)


@pytest.mark.parametrize("kind", ["Box", "Discrete"])
def test_it_is_exported_as_c(tmp_path, kind, whole):
    run = whole if kind == "Discrete" else trained(tmp_path / "run", kind)
    assert command("export", run, "--directory", tmp_path / "c") == 0


def test_a_sweep_has_it_and_says_how_long_it_takes(tmp_path, capsys):
    file = tmp_path / "sweep.toml"
    rows = [f"{name} = {list(value) if isinstance(value, tuple) else value}" for name, value in OPTIONS.items()]
    file.write_text(
        "\n".join(
            [
                'envs = ["CartPole-v1"]', "seeds = [0]", "total_timesteps = 130", "eval_every = 0", "threads = 1",
                "[[runs]]", 'agents = ["ds-ppo", "static-ppo"]', *(row for row in rows if "adapt" not in row),
            ]
        )
    )  # fmt: skip
    assert command("sweep", file, "--directory", tmp_path / "out", "--workers", 1, "--dry-run") == 0
    assert "2 runs, 0 finished; the others take about" in capsys.readouterr().out
    assert command("sweep", file, "--directory", tmp_path / "out", "--workers", 1) == 0
    made = [json.loads((Path(run) / "config.json").read_text()) for run in (tmp_path / "out").iterdir() if run.is_dir()]
    assert sorted(each["config"]["train"]["agent"] for each in made) == ["ds-ppo", "static-ppo"]


def test_from_python_it_learns_and_draws():
    with rewirl.DSPPO("Pendulum-v1", seed=1, n_envs=4, threads=1, **OPTIONS) as agent:
        agent.learn(150)
        assert agent.steps == 150 and agent.diagnostics["deviation"] == pytest.approx(1, abs=0.1)
        observations = np.zeros((500, 3), np.float32)
        noisy = agent.predict(observations, deterministic=False)
        assert np.abs(noisy).max() <= 2 and noisy.std() > 0.5 and (agent.predict(observations) == noisy).mean() < 0.1
        with pytest.raises(AttributeError, match="no replay memory"):
            _ = agent.replay


def test_runs_that_would_learn_nothing_or_fill_a_memory_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no update in the first 64 steps \(rollout_steps\), and the run has 63"):
        runs.start(asked(total_timesteps=63), settings(), tmp_path / "short", Silent())
    with pytest.raises(ValueError, match="warm_up_policy fills a replay memory, and ds-ppo has none"):
        runs.start(asked(warm_up_policy=str(tmp_path)), settings(), tmp_path / "filled", Silent())
