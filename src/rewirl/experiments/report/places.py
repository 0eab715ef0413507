"""Where runs are: directories that look like one, at and below a path."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_OWN = ("checkpoints", "policy", "tensorboard")
"""Directories in that of a run that are part of it."""


def is_directory(path: Path) -> bool:
    """Tell whether a path is a directory that can be reached."""
    try:
        return path.is_dir()
    except OSError:  # a name too long, or a directory above that is closed
        return False


def candidates(path: Path, problems: dict[Path, str]) -> Iterator[Path]:
    """Yield the directories at and below a path that look like runs, by name; links are not followed.

    Runs may be below a run too: of one whose directory was runs, all that were begun by default afterwards.

    Args:
        path: where to look.
        problems: what cannot be looked into is added, with the reason.
    """

    def closed(error: OSError) -> None:
        problems[Path(os.fsdecode(error.filename))] = f"cannot be read: {error.strerror}"

    for directory, directories, files in os.walk(path, onerror=closed):
        directories.sort()
        if "config.json" in files or "metrics.jsonl" in files:
            directories[:] = [name for name in directories if name not in _OWN]
            yield Path(directory)
