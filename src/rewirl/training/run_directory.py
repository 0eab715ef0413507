"""A run's directory: who owns it, what was configured, and where everything is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class RunDirectoryError(Exception):
    """A directory cannot be used for this run; the message says why and what to do."""


class RunDirectory:
    """One run on disk, owned by one process at a time; use it as a context manager or call `close`."""

    path: Path
    record: dict[str, Any]
    """config.json as a whole: config, config_hash, versions, git_revision, machine."""

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any], *, instruction_set: str) -> Self:
        """Start a new run in a directory that is missing or empty, and lock it.

        Args:
            path: the run's directory; parents are created.
            config: the resolved configuration as JSON values (tuples become lists).
            instruction_set: what the native core runs on, e.g. "avx512"; recorded only.

        Raises:
            RunDirectoryError: the directory is in use, holds something else, or already holds a run. A run of another
                configuration is refused with the differing keys; for the same one, `rewirl resume` is named.
        """
        raise NotImplementedError

    @classmethod
    def open(cls, path: Path, *, lock: bool = True) -> Self:
        """Open an existing run.

        Args:
            path: the run's directory.
            lock: whether to own it. Without the lock nothing may be written: this is for looking at a run in progress.

        Raises:
            RunDirectoryError: there is no run, its config.json is damaged, or another process owns it.
        """
        raise NotImplementedError

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, as JSON values."""
        raise NotImplementedError

    @property
    def metrics(self) -> Path:
        """The metrics log, `metrics.jsonl`."""
        raise NotImplementedError

    @property
    def checkpoints(self) -> Path:
        """The directory of checkpoints."""
        raise NotImplementedError

    @property
    def policy(self) -> Path:
        """The directory of the saved policy."""
        raise NotImplementedError

    @property
    def tensorboard(self) -> Path:
        """The directory of TensorBoard event files."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the lock; idempotent."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lock."""
        self.close()
