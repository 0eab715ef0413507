"""The runs of a sweep: their settings and directories, which run each waits for, and how far each is on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewirl.agents import AgentConfig, agent_entry
from rewirl.exact import from_values
from rewirl.experiments.sweep.error import SweepError
from rewirl.experiments.sweep.file import RunRequest
from rewirl.experiments.sweep.names import Directories, RunNames, names_of, same_run
from rewirl.options.option import INDIFFERENT
from rewirl.options.resolve import overruled, resolve
from rewirl.options.train import TrainConfig
from rewirl.plugins import import_module
from rewirl.printing import from_here
from rewirl.storage import strict_json
from rewirl.storage.checkpoint import saved_step
from rewirl.storage.files import found
from rewirl.storage.metrics_log import last_event
from rewirl.storage.policy_file import PolicyError
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError, differences
from rewirl.storage.values import to_values
from rewirl.training import remarks
from rewirl.training.progress import Silent
from rewirl.training.resume import had_checkpoints, settings_of
from rewirl.training.run import Run
from rewirl.training.warm_up import lasting


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep."""

    name: str
    """That of its directory."""
    path: Path
    """Its directory, absolute."""
    config: TrainConfig
    agent_config: AgentConfig
    after: str | None = None
    """Name of its source: the run whose policy it starts from."""
    source_names: tuple[str, ...] = ()
    """All names that the directory of its source may have."""
    identity: str = field(default="", compare=False)
    """The same for the same settings and seed, whatever its directory is called."""
    where: str = field(default="", compare=False)
    """File and part of it that asks for the run, for messages."""

    def values(self) -> dict[str, Any]:
        """Return it as JSON values, for another process."""
        return {
            "name": self.name,
            "path": str(self.path),
            "train": to_values(self.config),
            "agent": to_values(self.agent_config),
            "after": self.after,
            "source_names": list(self.source_names),
            "module": agent_entry(self.config.agent).module,
        }

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> PlannedRun:
        """Return the run that `values` described, once the module of an agent of the user's own is imported."""
        if values["module"] is not None:
            import_module(values["module"])
        config = from_values(TrainConfig, values["train"])
        agent = from_values(agent_entry(config.agent).config, values["agent"])
        return cls(values["name"], Path(values["path"]), config, agent, values["after"], tuple(values["source_names"]))


@dataclass(frozen=True)
class RunStatus:
    """How far a run is, read from its directory without a lock."""

    state: str
    """"new", "begun" or "finished"."""
    step: int


def plan(requests: Iterable[RunRequest], directory: Path) -> dict[str, PlannedRun]:
    """Return the runs by name, each once, source runs before the runs that wait for them.

    Args:
        requests: from a sweep file.
        directory: where the run directories are. A run that has a directory there keeps it, whatever its name is.

    Raises:
        SweepError: a setting is impossible, or two different runs would have the same name.
    """
    existing = Directories(directory)
    runs: dict[str, PlannedRun] = {}
    planned: dict[str, tuple[PlannedRun, RunNames]] = {}

    def add(request: RunRequest) -> tuple[PlannedRun, RunNames]:
        source = None if request.warm_up is None else add(request.warm_up)
        run, names = _planned(request, source, directory.absolute(), existing)
        known, names = planned.setdefault(run.identity, (run, names))
        other = runs.setdefault(known.name, known)
        if known is not other or (known.config, known.agent_config) != (run.config, run.agent_config):
            raise SweepError(f"{request.where}: {_why_one_name(known if known is not other else run, other)}")
        return known, names

    for request in requests:
        add(request)
    return runs


def check(runs: Iterable[PlannedRun]) -> dict[str, list[str]]:
    """Check that all runs can start: each environment is made once with each agent, and directories are compared.

    Returns:
        What runs that have not begun will say of their settings, and the names of those that do.

    Raises:
        SweepError: an environment or agent cannot be made, or a directory holds another run; names which and why.
    """
    said_by: dict[str, list[str]] = {}
    remarks_of: dict[bytes, list[str]] = {}
    conflicts: list[str] = []
    for run in runs:
        config = dataclasses.replace(
            run.config, seed=0, eval_every=0, warm_up_policy=None if run.after else run.config.warm_up_policy
        )
        key = strict_json.canonical([to_values(config), to_values(run.agent_config)], run.name)
        new = not found(run.path / "config.json")
        if key not in remarks_of:
            try:
                with Run(config, run.agent_config, Silent()) as trial:
                    if new:
                        remarks.refuse_impossible(trial.agent, run.config.total_timesteps)
                    trial.warm_up_with_policy()
                    remarks_of[key] = list(trial.remarks())
            except (ValueError, PolicyError) as error:
                raise SweepError(f"{run.where}: {run.name}: {error}") from error
        for remark in remarks_of[key] if new else ():
            said_by.setdefault(remark, []).append(run.name)
        conflicts += other_settings(run)
    if conflicts:
        raise SweepError(
            "\n  ".join(["these directories hold runs with other settings:", *conflicts])
            + "\nMove them away, or choose another --directory"
        )
    return said_by


def other_settings(run: PlannedRun) -> list[str]:
    """Return in which settings the run in a directory differs from the planned one; empty if there is no run.

    Raises:
        SweepError: the directory is there, but is not that of a run.
    """
    if not found(run.path / "config.json"):
        return []
    try:
        with RunDirectory.open(run.path, lock=False) as directory:
            config, agent_config = settings_of(directory)
    except RunDirectoryError as error:
        raise SweepError(str(error)) from error
    return [
        f"{from_here(run.path)}: {difference}"
        for difference in differences(
            _compared(config, agent_config, run), _compared(run.config, run.agent_config, run), ""
        )
    ]


def lost_checkpoints(run: PlannedRun) -> bool:
    """Tell whether a run has more to do and cannot go on: it had checkpoints, and they were removed."""
    if run_status(run).state != "begun" or saved_step(run.path) is not None:
        return False
    with RunDirectory.open(run.path, lock=False) as directory:
        return had_checkpoints(directory)


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
    return RunStatus("begun" if found(run.path / "config.json") else "new", saved or 0)


def _planned(
    request: RunRequest, source: tuple[PlannedRun, RunNames] | None, directory: Path, existing: Directories
) -> tuple[PlannedRun, RunNames]:
    options = dict(request.options)
    if source is not None:
        options["warm_up_policy"] = str(source[0].path)
    try:
        axes = {"agent": request.agent, "env": request.env, "seed": request.seed}
        config, agent_config = resolve({"threads": 1, **options, **axes})
        names = names_of(config, agent_config, request.label, None if source is None else source[1])
    except (TypeError, ValueError) as error:
        raise SweepError(f"{request.where}: {request.agent} on {request.env}: {error}") from error
    if agent_entry(config.agent).module == "__main__":
        raise SweepError(
            f"{request.where}: {config.agent} is defined in the program that was started, which the processes of runs "
            "do not import; move it to a module that the program imports"
        )
    name = existing.find(names)
    after, source_names = (None, ()) if source is None else (source[0].name, source[1].known)
    run = PlannedRun(name, directory / name, config, agent_config, after, source_names, names.identity, request.where)
    return run, names


def _why_one_name(run: PlannedRun, other: PlannedRun) -> str:
    """Return why two runs cannot both have their name, and what to do."""
    own, others = ({**to_values(each.config), **to_values(each.agent_config)} for each in (run, other))
    differ = [name for name in own if name != "topology" and own[name] != others.get(name)]
    called = f"two different runs would both be called {other.name}"
    if not differ or not set(differ) <= {*INDIFFERENT, "env_module"}:
        return called
    one = len(differ) == 1
    learnt = " changes" if one else " change"
    learnt = f"{learnt} nothing that is learnt, and" if set(differ) <= set(INDIFFERENT) else ""
    return (
        f"{called}: {' and '.join(differ)}, in which they differ,{learnt} {'is' if one else 'are'} no part of a name; "
        f"give {'it' if one else 'each'} one value"
    )


def _compared(config: TrainConfig, agent_config: AgentConfig, run: PlannedRun) -> dict[str, Any]:
    train = {name: value for name, value in to_values(config).items() if name not in INDIFFERENT}
    if run.after is not None and config.warm_up_policy is not None:
        # The directory of the sweep may have been moved, and that of the source renamed.
        name = Path(config.warm_up_policy).name
        train["warm_up_policy"] = run.after if same_run(name, run.source_names) else name
    elif config.warm_up_policy is not None:  # as the record of a run has it
        train["warm_up_policy"] = lasting(config.warm_up_policy)
    agent = to_values(agent_config)
    agent["topology"] |= dict.fromkeys(overruled(agent["topology"]))
    return {"train": train, "agent": agent}
