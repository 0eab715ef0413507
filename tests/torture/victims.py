"""Runs whose files are to be damaged: small, of every kind of agent, and real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import probe_environments  # noqa: F401  (imported before anything is forked)

from rewirl.agents import agent_entry
from rewirl.options.resolve import agent_settings
from rewirl.options.train import TrainConfig
from rewirl.training import run as runs
from rewirl.training.progress import Silent

_SMALL: dict[str, Any] = {"hidden_sizes": (12, 8)}
_REPLAY: dict[str, Any] = {"batch_size": 10, "learning_starts": 30, "buffer_size": 70}
_SPARSE: dict[str, Any] = {"sparsity": 0.5, "adapt_every": 4, "adapt_fraction": 0.2}
_STREAM: dict[str, Any] = {**_SPARSE, "hidden_sizes": (12, 12)}  # of fewer units they would never learn
_OPTIONS: dict[str, dict[str, Any]] = {
    "td3": {},
    "ds-td3": {**_SPARSE, "bias_correction": "connection"},
    "sac": {"temperature": "auto"},
    "ds-sac": {**_SPARSE, "temperature": "auto"},
    "ds-xqc": {**_SPARSE, "actor_hidden_sizes": (8, 8)},
    "ds-simba": {**_SPARSE, "hidden_sizes": (8, 8), "actor_hidden_sizes": (8,)},
    "ds-dqn": {**_SPARSE, "target_update_interval": 7},
    "ds-crossq": {**_SPARSE, "actor_hidden_sizes": (8, 8), "normalise_observations": True},
    "ds-ppo": {**_SPARSE, "batch_size": 10, "rollout_steps": 30, "epochs": 2},
    "ds-stream-ac": _STREAM,
    "ds-stream-q": _STREAM,
}
AGENTS = tuple(_OPTIONS)
GOOD, NEWEST, TOTAL = 80, 100, 110
"""Steps of the checkpoint before, of the one that is attacked, and of the run that goes on."""


def settings(agent: str, seed: int = 3) -> tuple[TrainConfig, Any]:
    """Return the settings of a tiny run: of the sparse agents both layers are rewired all the time."""
    config = TrainConfig(
        agent=agent,
        env="CartPole-v1" if agent in ("ds-dqn", "ds-stream-q") else "rewirl-tests/Drift-v0",
        env_module="probe_environments",
        seed=seed,
        total_timesteps=NEWEST,
        n_envs=2 if agent == "ds-crossq" else 1,
        eval_every=0,
        checkpoint_every=40,
        threads=1,
    )
    sizes = {**_SMALL, **(_REPLAY if agent_entry(agent).replay else {})}
    return config, agent_settings(agent, config.env, **{**sizes, **_OPTIONS[agent]})


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
