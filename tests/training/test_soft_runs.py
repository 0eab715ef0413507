"""Promises of runs of agents with norms: killed and resumed, one is the uninterrupted run to the bit."""

from __future__ import annotations

import signal

import pytest
from commands import flags
from sameness import metrics, same_to_the_bit
from test_run import KILL_AT, config, train_and_kill

from rewirl.options.resolve import agent_settings
from rewirl.training import run as runs
from rewirl.training.progress import Silent
from rewirl.training.resume import resume
from rewirl.training.trained_policy import TrainedPolicy

OPTIONS = {
    "ds-xqc": {"hidden_sizes": (24, 16), "actor_hidden_sizes": (16,), "structure": "8x1"},
    "ds-simba": {"hidden_sizes": (24, 24), "actor_hidden_sizes": (16,)},
    "ds-crossq": {"hidden_sizes": (24, 16), "actor_hidden_sizes": (16,)},
}


def settings(kind):
    common = {"sparsity": 0.5, "adapt_every": 5, "adapt_fraction": 0.2, "batch_size": 20, "learning_starts": 60}
    return agent_settings(kind, "rewirl-tests/Drift-v0", buffer_size=150, **common, **OPTIONS[kind])


@pytest.mark.parametrize("kind", OPTIONS)
def test_killed_and_resumed_is_the_uninterrupted_run_to_the_bit(tmp_path, kind):
    whole, path = tmp_path / "whole", tmp_path / "run"
    with runs.start(config(agent=kind, total_timesteps=250), settings(kind), whole, Silent()) as run:
        assert run.train().finished
        per_step = run.agent.config.updates_per_step
        assert run.agent.updates == (250 - 60) * per_step and per_step == (2 if kind == "ds-xqc" else 1)
    options = ["--agent", kind, *flags({**OPTIONS[kind], "total_timesteps": 250})]
    killed = train_and_kill(path, 215, signal.SIGKILL, KILL_AT, *options)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with resume(path, Silent()) as run:
        assert run.train().finished
    same_to_the_bit(path, whole)
    assert metrics(path) == metrics(whole)
    assert TrainedPolicy.load(path) is not None
