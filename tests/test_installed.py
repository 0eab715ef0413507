"""What an installed wheel must do where there is no compiler: learn, save, load, act.

Uses the public names alone, but for the headers.
"""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

import rewirl
from rewirl.cli.main import main
from rewirl.nn import headers


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


def helped(capsys, *command):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_every_command_is_there(capsys):
    for command in re.findall(r"^  ([a-z]+)  ", helped(capsys), re.MULTILINE):
        if command != "bench":  # it has commands of its own
            assert "--help" in helped(capsys, command)


def test_the_policies_that_come_along_act():
    listed = subprocess.run([sys.executable, "-m", "rewirl", "policies"], capture_output=True, text=True, check=True)
    for name in re.findall(r"^(\S+/\S+)  ", listed.stdout, re.MULTILINE):
        policy = rewirl.load(name)
        assert np.isfinite(policy.predict(np.zeros(policy.topology["actor"][0].shape[1]))).all()


def test_the_headers_are_there():
    """Operations and weight formats of users are compiled against them."""
    assert all((headers() / name).is_file() for name in ("library.hpp", "kernels/cpu.hpp"))
