"""The runs of a sweep: their settings, their directories, what each waits for, and how far each is on disk."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewirl.agents import AgentConfig, agent_entry
from rewirl.experiments.sweep.file import RunRequest
from rewirl.options.option import INDIFFERENT, SweepError, differing, settings
from rewirl.storage import strict_json
from rewirl.storage.bundle import PREVIOUS
from rewirl.storage.metrics_log import last_event
from rewirl.storage.policy_file import PolicyError
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError, differences
from rewirl.storage.values import from_values, to_values
from rewirl.training.config import TrainConfig
from rewirl.training.progress import Silent
from rewirl.training.resume import settings_of
from rewirl.training.run import Run

_LONGEST_NAME = 150


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep."""

    name: str
    path: Path
    """Its directory, absolute."""
    config: TrainConfig
    agent_config: AgentConfig
    after: str | None = None
    """Name of the run whose policy it starts from."""
    where: str = ""

    def values(self) -> dict[str, Any]:
        """Return it as JSON values, for another process."""
        return {
            "name": self.name,
            "path": str(self.path),
            "train": to_values(self.config),
            "agent": to_values(self.agent_config),
            "after": self.after,
        }

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> PlannedRun:
        """Return the run that `values` described."""

        config = from_values(TrainConfig, values["train"])
        agent = from_values(agent_entry(config.agent).config, values["agent"])
        return cls(values["name"], Path(values["path"]), config, agent, values["after"])


@dataclass(frozen=True)
class RunStatus:
    """How far a run is, as its directory says without being locked."""

    state: str
    """"new", "begun" or "finished"."""
    step: int


def plan(wanted: Iterable[RunRequest], directory: Path) -> dict[str, PlannedRun]:
    """Return the runs by name, each once, those that others wait for before them.

    Args:
        wanted: from a sweep file.
        directory: where the run directories are.

    Raises:
        SweepError: a setting is impossible, or two different runs would have the same name.
    """
    runs: dict[str, PlannedRun] = {}

    def add(want: RunRequest) -> PlannedRun:
        after = None if want.warm_up is None else add(want.warm_up)
        run = _planned(want, after, directory.absolute())
        there = runs.setdefault(run.name, run)
        if dataclasses.replace(there, where="") != dataclasses.replace(run, where=""):
            raise SweepError(f"{want.where}: two different runs would both be called {run.name}")
        return there

    for want in wanted:
        add(want)
    return runs


def check(runs: Iterable[PlannedRun]) -> None:
    """Refuse what cannot be started: each environment is made once with each agent, and the directories are compared.

    Raises:
        SweepError: an environment or agent cannot be made, or a directory holds another run; names which and why.
    """
    seen = set()
    others: list[str] = []
    for run in runs:
        config = dataclasses.replace(
            run.config, seed=0, eval_every=0, warm_up_policy=None if run.after else run.config.warm_up_policy
        )
        key = strict_json.canonical([to_values(config), to_values(run.agent_config)], run.name)
        if key not in seen:
            seen.add(key)
            try:
                with Run(config, run.agent_config, Silent()) as made:
                    made.warm_up_with_policy()
            except (ValueError, PolicyError) as error:
                raise SweepError(f"{run.where}: {run.name}: {error}") from error
        others += other_settings(run)
    if others:
        raise SweepError(
            "\n  ".join(["these directories hold runs with other settings:", *others])
            + "\nMove them away, or choose another --directory"
        )


def other_settings(run: PlannedRun) -> list[str]:
    """Return in which settings the run in a directory differs from the one wanted there; none if there is no run.

    Raises:
        SweepError: the directory is there, but is not that of a run.
    """
    if not (run.path / "config.json").exists():
        return []
    try:
        with RunDirectory.open(run.path, lock=False) as directory:
            config, agent_config = settings_of(directory)
    except RunDirectoryError as error:
        raise SweepError(str(error)) from error
    return [
        f"{run.path}: {difference}"
        for difference in differences(
            _compared(config, agent_config, run), _compared(run.config, run.agent_config, run), ""
        )
    ]


def run_status(run: PlannedRun) -> RunStatus:
    """Return how far a run is. A finished one may have been stripped of its checkpoints: its metrics say so.

    One saved at its last step has not ended yet: a kill may have come before its policy was saved.
    """
    ended = last_event(run.path / "metrics.jsonl")
    total = run.config.total_timesteps
    if ended.get("event") == "end" and isinstance(ended.get("step"), int) and ended["step"] >= total:
        return RunStatus("finished", ended["step"])
    saved = saved_step(run.path)
    if saved is not None and saved > total:
        return RunStatus("finished", saved)
    return RunStatus("begun" if (run.path / "config.json").exists() else "new", saved or 0)


def saved_step(path: Path) -> int | None:
    """Return the step of the newest checkpoint of a run directory by its name, or None."""
    try:
        names = [entry.name.removeprefix(PREVIOUS) for entry in (path / "checkpoints").iterdir()]
    except OSError:
        return None
    steps = [int(match[1]) for match in (re.fullmatch(r"step-(\d{9,15})", name) for name in names) if match]
    return max(steps, default=None)


def _planned(want: RunRequest, after: PlannedRun | None, directory: Path) -> PlannedRun:
    chosen = dict(want.options)
    if after is not None:
        chosen["warm_up_policy"] = str(after.path)
    try:
        config, agent_config = settings(want.agent, want.env, want.seed, chosen)
    except (TypeError, ValueError) as error:
        raise SweepError(f"{want.where}: {want.agent} on {want.env}: {error}") from error
    different = differing(config, agent_config)
    if after is not None:
        ending = f"-{after.config.seed}"
        different["warm_up_policy"] = after.name.removeprefix(f"{_word(config.env)}-").removesuffix(ending)
    parts = [_word(config.env), config.agent]
    parts += [f"{name.replace('_', '-')}={_word(value)}" for name, value in different.items()]
    name = "-".join(parts)
    if len(name) > _LONGEST_NAME:
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        name = f"{name[: _LONGEST_NAME - 13]}-{digest}"
    name = f"{name}-{config.seed}"
    return PlannedRun(name, directory / name, config, agent_config, None if after is None else after.name, want.where)


def _word(value: Any) -> str:
    """Return a value as a part of a directory's name."""
    if isinstance(value, (tuple, list)):
        return ",".join(map(_word, value))
    if isinstance(value, dict):
        value = json.dumps(value, sort_keys=True, separators=(",", ":"))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return re.sub(r"[^A-Za-z0-9_.,=+-]+", "-", str(value)).strip("-")


def _compared(config: TrainConfig, agent_config: AgentConfig, run: PlannedRun) -> dict[str, Any]:
    train = {name: value for name, value in to_values(config).items() if name not in INDIFFERENT}
    if run.after is not None and config.warm_up_policy is not None:
        train["warm_up_policy"] = Path(config.warm_up_policy).name  # the directory of the sweep may have been moved
    return {"train": train, "agent": to_values(agent_config)}
