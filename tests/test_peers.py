"""Peers are timed at what they are meant to do, with the settings they are said to have; here by stand-ins of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rewirl.bench import interleaved, serve
from rewirl.bench.interleaved import Candidate

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

LEARNER = """
import numpy as np

class TD3:
    def __init__(self, policy, env, *, learning_rate, batch_size, learning_starts, train_freq, gradient_steps,
                 action_noise, policy_kwargs, seed, device="cpu"):
        print("chatter that must not reach the protocol")
        assert (policy, env.spec.id, learning_rate) == ("MlpPolicy", "HalfCheetah-v5", 1e-3)
        assert (batch_size, learning_starts, train_freq, gradient_steps) == (8, 20, 1, 1)
        assert policy_kwargs == {"net_arch": [16, 16]} and device == "cpu"
        assert action_noise.sigma.tolist() == [0.1] * 6
        self.num_timesteps = 0
        self.make_networks()

    def learn(self, steps, log_interval, reset_num_timesteps):
        assert not reset_num_timesteps
        assert steps == 220 or self.num_timesteps >= 220, "warm-up first"
        self.num_timesteps += steps
"""

NOISE = """
class NormalActionNoise:
    def __init__(self, mean, sigma):
        self.sigma = sigma
"""

STAND_INS = {
    "sb3": {
        "torch.py": "def set_num_threads(count): assert count == 1",
        "stable_baselines3/__init__.py": LEARNER + """
    def make_networks(self):
        self.actor = self.critic = type("Net", (), {"parameters": lambda _: [Array(1, 5), Array(2, 6)]})()

class Array:
    def __init__(self, ndim, size):
        self.ndim, self.numel = ndim, lambda: size
""",
        "stable_baselines3/common/__init__.py": "",
        "stable_baselines3/common/noise.py": NOISE,
    },
    "sbx": {
        "jax.py": """
class tree_util:
    keystr = staticmethod("/".join)
    @staticmethod
    def tree_leaves_with_path(parameters):
        return [(path.split("/"), leaf) for part in parameters for path, leaf in part.items()]
""",
        "stable_baselines3/__init__.py": "",
        "stable_baselines3/common/__init__.py": "",
        "stable_baselines3/common/noise.py": NOISE,
        "sbx.py": LEARNER + """
    def make_networks(self):
        class State:
            params = {"Dense_0/kernel": np.zeros((2, 3)), "Dense_0/bias": np.zeros(3)}
        self.policy = type("Policy", (), {"actor_state": State, "qf_state": State})
""",
    },
    "rltools": {
        "rltools.py": """
import os

def TD3(make_environment, enable_evaluation, interface_name, **settings):
    assert make_environment().spec.id == "HalfCheetah-v5" and not enable_evaluation
    assert os.environ["RL_TOOLS_FORCE_MKL"] == "1" and os.environ["MKL_NUM_THREADS"] == "1"
    assert os.path.isdir(os.environ["TMPDIR"]) and os.environ["TMPDIR"].endswith("/rltools/compiled")
    for part in ("ACTOR", "CRITIC"):
        assert (settings[part + "_BATCH_SIZE"], settings[part + "_HIDDEN_DIM"]) == (8, 16)
        assert settings[part + "_NUM_LAYERS"] == 3
    assert settings["N_WARMUP_STEPS"] == 20 and "batch8_" in interface_name
    return Module

class Module:
    class State:
        def __init__(self, seed):
            self.steps = 0

        def step(self):
            self.steps += 1
""",
    },
    "sparseprop": {
        "sparseprop/__init__.py": "",
        "sparseprop/backend.py": """
import numpy as np

def rows_of(row_starts):
    return np.repeat(np.arange(len(row_starts) - 1), np.diff(row_starts))

def sparse_linear_vectorized_forward(x, row_starts, columns, values, out):
    np.add.at(out, rows_of(row_starts), values[:, None] * x[columns])

def sparse_linear_vectorized_backward(x, row_starts, columns, values, gradients, input_gradients, weight_gradients):
    rows = rows_of(row_starts)
    np.add.at(input_gradients, columns, values[:, None] * gradients[rows])
    weight_gradients[:] = (gradients[rows] * x[columns]).sum(1)
""",
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder of environments whose Python is this one, with stand-ins for what would be installed."""
    for peer, files in STAND_INS.items():
        modules = tmp_path / peer / "modules"
        for name, text in files.items():
            (modules / name).parent.mkdir(parents=True, exist_ok=True)
            (modules / name).write_text(text)
        python = tmp_path / peer / "bin" / "python"
        python.parent.mkdir()
        python.write_text(f'#!/bin/sh\nPYTHONPATH="{modules}" exec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        (tmp_path / peer / "installed").touch()
    return tmp_path


def small(**others: Any) -> Any:
    import peers

    options = {
        "batch_size": 8, "hidden_sizes": (16, 16), "threads": (1,), "sparsities": (0.8,), "learning_starts": 20,
        "rounds": 2, "seconds": 0.02,
    }  # fmt: skip
    return peers.Options(**(options | others))


def test_everybody_is_timed_with_the_same_settings(installed: Path) -> None:
    import peers

    options = small(environments=installed)
    rows = peers.candidates_of(options)
    names = [*peers.PEERS.values(), "Rewirl TD3", "Rewirl DS-TD3", "Rewirl DS-TD3 8x1"]
    assert [row.name for row in rows] == names
    assert all(len(row.specification["cores"]) <= 1 for row in rows)
    interleaved.measure(rows, options.rounds, options.seconds)
    assert all(len(row.rates["step"]) == 2 and min(row.rates["step"]) > 0 for row in rows)
    dense = (17 + 16 + 6) * 16 + 2 * (23 + 16 + 1) * 16
    connections = {row.name: row.connections for row in rows}
    assert connections["Stable-Baselines3 TD3"] == connections["SBX TD3"] == 12  # as the stand-ins have them
    assert connections["RLtools TD3"] == connections["Rewirl TD3"] == dense
    assert connections["Rewirl DS-TD3"] == pytest.approx(0.2 * dense, rel=0.15)
    assert connections["Rewirl DS-TD3 8x1"] == pytest.approx(0.2 * dense, rel=0.15)
    json.dumps(peers.record(rows, options))
    assert "| Rewirl DS-TD3 | 80% | 1 |" in peers.markdown(rows, options)


def test_networks_of_other_sizes_are_as_sparse_as_their_row_says() -> None:
    script = serve.load(str(BENCHMARKS / "candidates" / "rewirl_steps.py"))
    specification = {"threads": 1, "batch_size": 8, "hidden_sizes": [64, 64], "learning_starts": 20}
    made = script["rewirl"]({**specification, "agent": "ds-td3", "sparsity": 0.51})
    dense = (17 + 64 + 6) * 64 + 2 * (23 + 64 + 1) * 64
    assert made.facts["connections"] == pytest.approx(0.49 * dense, rel=0.02)


def test_a_peer_is_compared_at_the_same_number_of_threads() -> None:
    import peers

    def row(name: str, threads: int, rate: float) -> Candidate:
        rates = {"step": [rate, rate]}
        return Candidate(name, {"threads": threads}, facts={"connections": 1000}, rates=rates)

    rows = [
        row("SBX TD3", 1, 100.0),
        row("Rewirl TD3", 1, 300.0),
        row("SBX TD3", 2, 120.0),
        row("Rewirl TD3", 2, 480.0),
    ]
    lines = peers.markdown(rows, small()).splitlines()
    assert lines[2] == "| agent | sparse | threads | connections | x SBX TD3 | x Rewirl TD3 | steps/s | spread |"
    assert lines[-4 - 2].startswith("| Rewirl TD3 |  | 2 | 1,000 | 4.00 | 1.00 | 480 | 0% |")


def test_peers_that_are_not_installed_do_not_take_part(tmp_path: Path) -> None:
    import peers

    (tmp_path / "sb3").mkdir()  # its installation broke off
    ours = ["Rewirl TD3", "Rewirl DS-TD3", "Rewirl DS-TD3 8x1"]
    assert [row.name for row in peers.candidates_of(small(environments=tmp_path))] == ours
    assert [row.name for row in peers.candidates_of(small())] == ours


def test_an_environment_is_made_once_and_counts_when_it_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import environments

    commands: list[list[str]] = []
    paths: list[str] = []
    code = 1

    def run(command: list[str], env: Any = None, check: bool = False) -> Any:
        commands.append(command)
        if command[1:3] == ["-m", "venv"]:
            Path(command[3]).mkdir(parents=True, exist_ok=True)
            return subprocess.CompletedProcess(command, 0)
        paths.append(env["PATH"].split(":")[0])
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(environments.subprocess, "run", run)
    with pytest.raises(SystemExit, match="pip could not install sparseprop"):
        environments.install(tmp_path, ["sparseprop"])
    assert environments.missing(tmp_path, ["sparseprop"]) == ["sparseprop"]
    code = 0
    environments.install(tmp_path, ["sparseprop"])
    assert environments.missing(tmp_path, ["sparseprop"]) == []
    python = str(tmp_path / "sparseprop" / "bin" / "python")
    assert commands[-1][:4] == [python, "-m", "pip", "install"] and "sparseprop==0.1.14" in commands[-1]
    assert set(paths) == {str(tmp_path / "sparseprop" / "bin")}
    count = len(commands)
    environments.install(tmp_path, ["sparseprop"])
    assert len(commands) == count


def test_every_version_is_pinned() -> None:
    import environments

    options = ("--no-build-isolation",)
    for calls in environments.PEERS.values():
        assert all("==" in argument for call in calls for argument in call if argument not in options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peers", "sb4"], "--peers has sb4; there are sb3, sbx, rltools"),
        (["--threads", "0"], "must be at least 1"),
        (["--hidden-sizes", "0"], "--hidden-sizes must be at least 1"),
        (["--sparsities", "0"], "must lie between 0 and 1"),
        (["--environments", "nowhere"], "there is no folder nowhere; --install nowhere makes it"),
        (["--json", "nowhere/out.json"], "there is no folder nowhere"),
    ],
)
def test_impossible_comparisons_are_refused(arguments: list[str], message: str, tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "peers.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr


def test_sparse_libraries_are_timed_beside_the_layer(installed: Path) -> None:
    pytest.importorskip("torch")
    import sparse_kernels

    options = sparse_kernels.Options(
        environments=installed, widths=(32,), batch_size=16, densities=(0.5, 0.2), rounds=2, seconds=0.001
    )
    rows = sparse_kernels.candidates_of(options, 32)
    assert [row.name for row in rows] == ["Rewirl", "torch CSR", "scipy CSR", "SparseProp"]
    interleaved.measure(rows, options.rounds, options.seconds)
    text = sparse_kernels.markdown(rows, options, 32)
    blas = rows[0].facts["blas"][:14]
    for kernel, names in {
        "forward": ["Rewirl", "torch CSR", "scipy CSR", "SparseProp", blas],
        "weight gradient": ["Rewirl", "torch CSR", blas],
        "both gradients": ["SparseProp"],
        "all three": ["Rewirl", "torch CSR", "SparseProp", blas],
    }.items():
        found = [line.split(" | ")[1] for line in text.splitlines() if line.startswith(f"| {kernel} ")]
        assert [name[:14] for name in found] == names


def test_the_table_of_sparse_kernels_by_hand() -> None:
    import sparse_kernels

    options = sparse_kernels.Options(batch_size=50, densities=(0.5,))
    dense = {f"{kernel} dense product": [1e6, 1e6] for kernel in sparse_kernels.kernels.KERNELS}
    rewirl = Candidate("Rewirl", {}, facts={"blas": "an abacus"}, rates={**dense, "forward 0.5": [3e6, 3e6]})
    other = Candidate("other", {}, rates={"forward 0.5": [1e6, 1e6], "both gradients 0.5": [1e6, 1e6]})
    lines = sparse_kernels.markdown([rewirl, other], options, 10).splitlines()
    # 2 x 50 connections x 50 samples x 3e6 calls a second
    assert "| forward | Rewirl | 15 (x 3.00) |" in lines
    assert "| forward | other | 5 (x 1.00) |" in lines
    assert "| both gradients | other | 10 |" in lines
    assert "| forward | an abacus | 10 |" in lines


def test_impossible_layers_are_refused(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "sparse_kernels.py"), "--densities", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and "--densities must lie between 0 and 1" in done.stderr
