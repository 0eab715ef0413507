"""What an installed wheel must do where there is no compiler: learn, save, load, act. Uses the public names alone."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import rewirl

pytestmark = pytest.mark.quick


def test_an_agent_learns_saves_and_acts_alike(tmp_path):
    sizes = {"hidden_sizes": (16, 16), "batch_size": 16, "learning_starts": 50, "buffer_size": 200}
    with rewirl.DSTD3("Pendulum-v1", seed=1, threads=1, **sizes) as agent:
        agent.learn(120)
        agent.save(tmp_path / "policy")
        observation = np.array([0.5, -0.5, 1.0], dtype=np.float32)
        action = agent.predict(observation)
    assert np.array_equal(rewirl.load(tmp_path / "policy").predict(observation), action)


def test_the_command_says_its_version():
    done = subprocess.run([sys.executable, "-m", "rewirl", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"rewirl {rewirl.__version__}\n"
