"""Checkpoints: immutable directories from which a run continues to the bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray


class CheckpointError(Exception):
    """A checkpoint cannot be written or read; the message names the file and the reason."""


@dataclass(frozen=True)
class Checkpoint:
    """What was saved at one step."""

    step: int
    arrays: dict[str, NDArray[Any]]
    values: dict[str, Any]


def save_checkpoint(
    root: Path, step: int, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any], keep: int = 2
) -> Path:
    """Write `root/step-<9 digits>` completely or not at all, then remove all but the `keep` newest checkpoints.

    Args:
        root: directory of the run's checkpoints, created if missing.
        step: environment steps done so far.
        arrays: by name; those with the same prefix before the first "/" share a file ("replay/actions").
            Any shape, of float32, float64, int64, uint32, uint16, uint8 or bool.
        values: JSON values (None, bool, int of any size, finite float, str, lists and dicts with str keys).
        keep: checkpoints left after this one is complete, itself included; at least 1.

    Returns:
        The checkpoint's directory.

    Raises:
        CheckpointError: the system refused (disk full, ...); nothing half-written is left and older ones are untouched.
        ValueError: an array or value is not of the kinds above.
    """
    raise NotImplementedError


def load_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint after checking it completely.

    Raises:
        CheckpointError: it is not whole and sound; names the file and the reason.
    """
    raise NotImplementedError


def load_latest(root: Path, warn: Callable[[str], None]) -> Checkpoint | None:
    """Read the newest sound checkpoint below `root`, or return None when there is none at all.

    Args:
        root: directory of the run's checkpoints.
        warn: called with a message for each newer checkpoint that is not sound.

    Raises:
        CheckpointError: there are checkpoints, but none is sound; lists all reasons.
    """
    raise NotImplementedError


def sweep(root: Path) -> None:
    """Remove what a killed process left half-written below `root`; call it at start, holding the run's lock."""
    raise NotImplementedError
