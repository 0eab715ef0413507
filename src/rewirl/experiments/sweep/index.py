"""The index of a directory of runs: for each run directory the settings that its short name stands for."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rewirl.experiments.sweep.plan import PlannedRun
from rewirl.options.resolve import differing
from rewirl.options.train import TrainConfig
from rewirl.printing import say
from rewirl.saved import fields
from rewirl.storage import strict_json
from rewirl.storage.files import open_regular, read_json, write_atomically
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError
from rewirl.training.resume import settings_of

INDEX = "index.json"

_FIELDS = {"agent", "env", "seed", "settings", "revision"}

Index = dict[str, dict[str, Any]]
"""By name of the run directory: agent, env, seed, settings that differ from the defaults, git revision or None."""


def index_of(directory: Path, planned: Iterable[PlannedRun] = ()) -> Index:
    """Return the index of the runs in a directory.

    Args:
        directory: holds run directories; whatever else is in it is left out.
        planned: runs of this directory that may not have begun.
    """
    index = {run.path.name: _entry(run.config, run.agent_config, None) for run in planned}
    for path in directory.iterdir() if directory.is_dir() else ():
        if (path / "config.json").is_file():
            try:
                with RunDirectory.open(path, lock=False) as run:
                    index[path.name] = _entry(*settings_of(run), run.record.get("git_revision"))
            except (RunDirectoryError, ValueError):
                continue
    return dict(sorted(index.items()))


def index_text(index: Index) -> str:
    """Return an index as JSON text, a line per run."""
    lines = [f" {json.dumps(name)}: {json.dumps(strict_json.plain(entry, name))}" for name, entry in index.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def write_index(directory: Path, planned: Iterable[PlannedRun] = ()) -> None:
    """Write the index of a directory where it has changed; a failure is only a warning.

    Args:
        directory: made if it does not exist.
        planned: see `index_of`. What another sweep planned there stays in the index; without any, only what is there.
    """
    path, planned = directory / INDEX, list(planned)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory):
            before = _planned_before(path) if planned else {}
            text = index_text(dict(sorted({**before, **index_of(directory, planned)}.items())))
            new = text.encode()
            if not path.exists() or path.stat().st_size != len(new) or path.read_bytes() != new:
                write_atomically(path, new)
    except (OSError, UnicodeError) as error:
        say(f"rewirl: warning: {path} cannot be written: {error}")


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Let one process at a time read and write the index; where the file system has no such lock, do without."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _planned_before(path: Path) -> Index:
    """Return the entries of an index of runs that had not begun; none of one that is not there or not sound."""
    try:
        with open_regular(path) as file:
            index = fields(read_json(file), INDEX)
    except (OSError, ValueError):
        return {}
    return {
        name: entry
        for name, entry in index.items()
        if isinstance(entry, dict) and entry.keys() == _FIELDS and entry["revision"] is None
    }


def _entry(config: TrainConfig, agent_config: Any, revision: str | None) -> dict[str, Any]:
    settings = differing(config, agent_config)
    if Path(settings.get("warm_up_policy", "")).is_absolute():  # a name of one that comes with Rewirl is none
        settings["warm_up_policy"] = Path(settings["warm_up_policy"]).name  # its directory may be moved
    return {
        "agent": config.agent,
        "env": config.env,
        "seed": config.seed,
        "settings": dict(sorted(settings.items())),
        "revision": revision,
    }
