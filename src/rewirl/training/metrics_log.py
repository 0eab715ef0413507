"""The metrics log: one JSON object per line, only ever appended to."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any


class MetricsLog:
    """Writer of `metrics.jsonl`.

    A disk that is full does not stop training: lines that cannot be written are kept in memory, reported once through
    `warn`, and written in order as soon as there is room.
    """

    def __init__(self, path: Path, warn: Callable[[str], None] = warnings.warn) -> None:
        """Open the log for appending; a last line cut short by a kill is removed."""
        raise NotImplementedError

    def write(self, event: str, **fields: Any) -> None:
        """Append one line.

        Args:
            event: what happened, e.g. "evaluation"; the line's first field.
            **fields: JSON values, NumPy scalars included. A float that is not finite is written as null, because JSON
                has no other word for it and a diverged loss must not end the run. Fields named `seconds` are wall-clock
                times, the only ones that differ between two runs of one seed.

        Raises:
            TypeError: a field is not a JSON value; names it.
        """
        raise NotImplementedError

    @property
    def offset(self) -> int:
        """Bytes of the log that are safely on disk; a checkpoint saves it."""
        raise NotImplementedError

    def truncate_to(self, offset: int) -> None:
        """Cut all lines written after the checkpoint that saved this offset; warns if the log is shorter than that."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file; idempotent."""
        raise NotImplementedError


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read all complete lines of a metrics log; a partial last line (a run in progress or killed) is ignored.

    Raises:
        ValueError: a complete line is not a JSON object; names file and line.
    """
    raise NotImplementedError
