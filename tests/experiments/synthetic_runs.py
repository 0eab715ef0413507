"""Run directories with results made up by hand."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rewirl.agents import AGENTS
from rewirl.options.resolve import papers_settings
from rewirl.options.train import TrainConfig
from rewirl.storage.run_directory import RunDirectory, hash_of
from rewirl.storage.values import to_values

EVERY = 5000


def rising(top: float, steps: int, count: int = 20) -> list[float]:
    """Return `count` returns after 0 that rise to `top` until `steps` of 100,000 and stay there."""
    return [min(1.0, number * EVERY / steps) * top for number in range(count + 1)]


def make_run(
    path: Path,
    agent: str,
    seed: int,
    returns: Sequence[float],
    env: str = "HalfCheetah-v5",
    total: int | None = None,
    drift: Callable[[int], float] | None = None,
    env_kwargs: dict[str, Any] | None = None,
    env_module: str | None = None,
    usual: Callable[..., Any] = papers_settings,
    eval_every: int = TrainConfig.eval_every,
    **settings: Any,
) -> Path:
    """Write a run that evaluated every 5000 steps, 10 seconds each, with one update per step.

    Args:
        path: where; a directory per run is made in it.
        agent: its name.
        seed: its seed.
        returns: of the evaluations from step 0 on.
        env: the environment.
        total: steps it is to have; those it has, if not given.
        drift: share of initial connections alive by number of the evaluation; not recorded if not given.
        env_kwargs: arguments of the environment.
        env_module: what registers it.
        usual: returns the settings that are not given; the paper's, unless told otherwise.
        eval_every: what the settings say of it.
        **settings: of the agent, where they differ from those.
    """
    path = path / "-".join(
        [env, agent, str(seed), *(str(zlib.crc32(str(value).encode())) for value in settings.values())]
    )
    train = TrainConfig(
        agent=agent,
        env=env,
        env_kwargs=env_kwargs or {},
        env_module=env_module,
        seed=seed,
        total_timesteps=total or max(1, (len(returns) - 1) * EVERY),
        eval_every=eval_every,
        threads=1,
    )
    config = {"train": to_values(train), "agent": to_values(usual(agent, env, **settings))}
    RunDirectory.create(path, config, instruction_set="portable").close()
    size = 100 if agent.startswith(("ds-", "static-")) else 200
    connections = dict.fromkeys((*AGENTS[agent].networks, "target_actor"), size)
    lines: list[dict[str, Any]] = [{"event": "start", "step": 0}]
    for number, value in enumerate(returns):
        step = number * EVERY
        lines.append(
            {
                "event": "evaluation",
                "step": step,
                "return_mean": value,
                "seconds": 10.0 * number,
                "updates": step,
                "connections": connections,
            }
        )
        if drift is not None:
            network = {
                "shapes": [[8, 3], [2, 8]],
                "connections": [12, 16],
                "initial_alive": [drift(number), None],
                "input_connections": [4 + number, 4, 4 - min(number, 4)],
            }
            critic = {**network, "shapes": [[8, 5], [1, 8]], "input_connections": [4, 4, 4 + number, 4, 4]}
            networks = {"actor": network, "critic1": critic, "critic2": critic}
            lines.append({"event": "topology", "step": step, "networks": networks})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (path / "metrics.jsonl").write_text(text + '{"event": "evalu')  # a run in progress ends anywhere
    return path


def recorded(
    path: Path, machine: dict[str, str] | None = None, warm_up: dict[str, Any] | None = None, **train: Any
) -> Path:
    """Change what a run's record says; return its directory.

    Args:
        path: of the run.
        machine: what it says of the machine.
        warm_up: what it says of the policy that acted at first.
        **train: settings of the run.
    """
    record = json.loads((path / "config.json").read_text())
    record["config"]["train"] |= train
    record["config"] |= {} if warm_up is None else {"warm_up_policy": warm_up}
    record["machine"] |= machine or {}
    record["config_hash"] = hash_of(record["config"])
    (path / "config.json").write_text(json.dumps(record))
    return path
