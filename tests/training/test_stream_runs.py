"""Promises of whole runs of stream-x: killed and resumed to the bit; the commands and the rest of the house know it."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path

import numpy as np
import pytest
from commands import command, flags
from sameness import metrics, same_to_the_bit
from test_run import KILL_AT, OF_ANY_AGENT, config, train_and_kill

import rewirl
from rewirl.options.resolve import agent_settings, resolve
from rewirl.presets.lookup import names
from rewirl.training import run as runs
from rewirl.training.progress import Silent
from rewirl.training.resume import resume

OPTIONS = {"hidden_sizes": (24, 16), "sparsity": 0.5, "adapt_every": 5, "adapt_fraction": 0.2}
ENVS = {"ds-stream-ac": "Pendulum-v1", "ds-stream-q": "CartPole-v1", "ds-stream-sarsa": "CartPole-v1"}
STEPS = 230


def settings(agent, **changes):
    return agent_settings(agent, ENVS[agent], **{**OPTIONS, **changes})


def run_of(agent, **changes):
    run = {"agent": agent, "env": ENVS[agent], "env_module": None, "total_timesteps": STEPS, **changes}
    return config(**run)


def trained(path, agent, **changes):
    with runs.start(run_of(agent, **changes), settings(agent), path, Silent()) as run:
        assert run.train().finished
        assert run.agent.updates == STEPS and run.training.replay is None
    return path


@pytest.fixture(scope="module", params=list(ENVS))
def whole(request, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("stream") / "whole", request.param), request.param


def test_killed_and_resumed_is_the_uninterrupted_run_to_the_bit(tmp_path, whole):
    whole, agent = whole
    path = tmp_path / "run"
    given = {**OPTIONS, "agent": agent, "env": ENVS[agent], "total_timesteps": STEPS}
    killed = train_and_kill(path, 175, signal.SIGKILL, KILL_AT, *flags(given), common=OF_ANY_AGENT)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with resume(path, Silent()) as run:
        assert run.train().finished
    same_to_the_bit(path, whole)
    assert metrics(path) == metrics(whole)


def test_it_is_inspected_reported_evaluated_and_exported(whole, tmp_path, capsys):
    whole, agent = whole
    networks = {"actor", "critic"} if agent == "ds-stream-ac" else {"q"}
    assert command("inspect", whole, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told["networks"]) == networks and told["memory_bytes"]["replay"] == 0
    assert told["flops"] == 6 * STEPS * told["params"]
    assert told["normalisation"]["observations"]["count"] > STEPS
    page = tmp_path / "page.md"
    assert command("report", whole, "--output", tmp_path / "page.html", "--markdown", page) == 0
    assert agent in page.read_text() and "-24-16-" in page.read_text()
    assert command("evaluate", whole, "--json") == 0
    policy = rewirl.load(whole)
    last = [line for line in metrics(whole) if line["event"] == "evaluation"][-1]
    assert policy.evaluate(2).returns == pytest.approx(last["returns"])
    size = {"Pendulum-v1": 3, "CartPole-v1": 4}[ENVS[agent]]
    observations = np.random.default_rng(0).normal(size=(3000, size)).astype(np.float32)
    assert (policy.predict(observations, deterministic=False) != policy.predict(observations)).any()
    capsys.readouterr()
    assert command("export", whole, "--directory", tmp_path / "c") == 0
    assert (tmp_path / "c" / "policy.c").exists()


def test_a_sweep_has_it(tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text(
        'envs = ["CartPole-v1"]\nseeds = [0]\ntotal_timesteps = 80\neval_every = 0\nthreads = 1\n'
        '[[runs]]\nagents = ["stream-q", "static-stream-sarsa"]\nhidden_sizes = [24, 16]\n'
    )
    assert command("sweep", file, "--directory", tmp_path / "out", "--workers", 1) == 0
    made = [json.loads((Path(run) / "config.json").read_text()) for run in (tmp_path / "out").iterdir() if run.is_dir()]
    assert sorted(each["config"]["train"]["agent"] for each in made) == ["static-stream-sarsa", "stream-q"]


def test_from_python_it_learns_from_every_step():
    with rewirl.DSStreamAC("Pendulum-v1", seed=1, **{**OPTIONS, "threads": 1}) as agent:
        agent.learn(90)
        assert agent.steps == 90 and agent.diagnostics["rewired"] > 0
        with pytest.raises(AttributeError, match="this agent has no replay memory"):
            _ = agent.replay


def test_the_time_is_observed_and_a_run_with_it_is_resumed(tmp_path):
    paths = [tmp_path / name for name in ("through", "stopped")]
    given = {"wrapper": ("rewirl.timed:Timed",)}
    trained(paths[0], "ds-stream-q", **given)
    with runs.start(run_of("ds-stream-q", **given), settings("ds-stream-q"), paths[1], Silent()) as run:
        assert run.environment.observation_size == 5
        run.train(lambda: run.training.step >= 133)
    with resume(paths[1], Silent()) as run:
        run.train()
    same_to_the_bit(*paths)


def test_presets_are_the_papers_settings():
    own = [name for name in names() if name.startswith("stream-x/")]
    assert len(own) == 18 + 18 + 30
    made = resolve({"preset": "stream-x/stream-ac/HalfCheetah-v5"})
    assert made.run.wrapper == ("rewirl.timed:Timed",) and made.run.total_timesteps == 2_000_000
    agent = made.agent
    assert (agent.hidden_sizes, agent.learning_rate, agent.gamma, agent.trace_decay) == ((128, 128), 1.0, 0.99, 0.8)
    assert (agent.kappa, agent.actor_kappa, agent.entropy, agent.initial_zeros) == (2.0, 3.0, 0.01, 0.9)
    game = resolve({"preset": "stream-x/ds-stream-sarsa/Breakout-v1"})
    assert game.agent.epsilon_steps == game.run.total_timesteps // 5 and game.agent.topology.rule == "set"
    classic = resolve({"preset": "stream-x/static-stream-q/CartPole-v1"})
    assert classic.agent.epsilon_steps == classic.run.total_timesteps // 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_envs": 2}, "n_envs is 2, and ds-stream-ac learns from one stream of steps; leave n_envs out"),
        ({"warm_up_policy": "x"}, "warm_up_policy fills a replay memory, and ds-stream-ac has none"),
    ],
)
def test_what_needs_a_memory_is_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        runs.Run(dataclasses.replace(run_of("ds-stream-ac"), **changes), settings("ds-stream-ac"), Silent())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("buffer_size", "ds-stream-q has no option 'buffer_size'; it has no replay memory"),
        ("learning_starts", "ds-stream-q has no option 'learning_starts'; it has no replay memory"),
        ("weight_decay", "ds-stream-q has no option 'weight_decay'; it does not learn by Adam"),
    ],
)
def test_options_about_a_memory_are_refused_by_name(option, message):
    with pytest.raises(ValueError, match=message):
        settings("ds-stream-q", **{option: 3})
