"""The index of a directory of runs: for each run directory the settings that its short name stands for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rewirl.experiments.sweep.plan import PlannedRun
from rewirl.options.resolve import differing
from rewirl.options.train import TrainConfig
from rewirl.printing import say
from rewirl.storage import strict_json
from rewirl.storage.files import write_atomically
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError
from rewirl.training.resume import settings_of

INDEX = "index.json"

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
        planned: see `index_of`.
    """
    path = directory / INDEX
    try:
        text = index_text(index_of(directory, planned))
        new = text.encode()
        if not path.exists() or path.stat().st_size != len(new) or path.read_bytes() != new:
            directory.mkdir(parents=True, exist_ok=True)
            write_atomically(path, new)
    except (OSError, UnicodeError) as error:
        say(f"rewirl: warning: {path} cannot be written: {error}")


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
