"""Runs whose files are to be damaged: small, of every kind of agent, and real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import probe_environments  # noqa: F401  (imported before anything is forked)

from rewirl.agents import SACConfig, TD3Config
from rewirl.options.train import TrainConfig
from rewirl.topology import TopologyConfig
from rewirl.training import run as runs
from rewirl.training.progress import Silent

AGENTS = ("td3", "ds-td3", "sac", "ds-sac")
GOOD, NEWEST, TOTAL = 80, 100, 110
"""Steps of the checkpoint before, of the one that is attacked, and of the run that goes on."""


def settings(agent: str, seed: int = 3) -> tuple[TrainConfig, Any]:
    """Return the settings of a tiny run: of the sparse agents both layers are rewired all the time."""
    config = TrainConfig(
        agent=agent,
        env="rewirl-tests/Drift-v0",
        env_module="probe_environments",
        seed=seed,
        total_timesteps=NEWEST,
        eval_every=0,
        checkpoint_every=40,
        threads=1,
    )
    sparse = agent.startswith("ds-")
    topology = TopologyConfig(sparsity=0.5 if sparse else 0.0, adapt_every=4, adapt_fraction=0.2)
    kind = SACConfig if agent.endswith("sac") else TD3Config
    more: dict[str, Any] = {"bias_correction": "connection"} if agent == "ds-td3" else {}
    more |= {"temperature": "auto"} if kind is SACConfig else {}
    return config, kind(
        hidden_sizes=(12, 8), topology=topology, batch_size=10, learning_starts=30, buffer_size=70, **more
    )


def make_runs(root: Path) -> dict[str, Path]:
    """Train a run of each agent, and one of another seed, with checkpoints after GOOD and NEWEST steps."""
    made = {}
    for agent, seed in [*((agent, 3) for agent in AGENTS), ("ds-td3", 4)]:
        name = agent if seed == 3 else f"other {agent}"
        made[name] = root / name.replace(" ", "-")
        with runs.start(*settings(agent, seed), made[name], Silent()) as run:
            assert run.train().finished
        kept = sorted(path.name for path in (made[name] / "checkpoints").iterdir())
        assert kept == [f"step-{GOOD:09d}", f"step-{NEWEST:09d}"]
    return made


def newest(run: Path) -> Path:
    return run / "checkpoints" / f"step-{NEWEST:09d}"


def policy_of(run: Path) -> Path:
    return run / "policy"
