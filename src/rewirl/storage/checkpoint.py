"""Checkpoints: immutable directories from which a run continues to the bit."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rewirl.storage import bundle
from rewirl.storage.files import TEMPORARY, remove, sync_directory

LONGEST_RUN = 10**15
"""Steps; what is saved is of a step below that."""

_KIND = "checkpoint"
_DOCUMENT = "state.json"
_NAME = re.compile(r"step-([0-9]{9,15})")
_GROUP = re.compile(r"[a-z0-9_-]{1,50}")


class CheckpointError(Exception):
    """A checkpoint cannot be written or read; the message names the file and the reason."""


@dataclass(frozen=True)
class Checkpoint:
    """What was saved at one step."""

    step: int
    arrays: dict[str, NDArray[Any]]
    values: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of its directory."""
        return _name(self.step)


def save_checkpoint(
    root: Path, step: int, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any], keep: int = 2
) -> Path:
    """Write `root/step-<9 digits>` completely or not at all, then remove all but the newest checkpoints.

    Checkpoints of later steps are removed too: a run that writes step 500,000 has gone back behind them.

    Args:
        root: directory of the run's checkpoints, created if missing.
        step: environment steps done so far; a checkpoint of the same step is replaced.
        arrays: by name; those with the same prefix before the first "/" share a file ("replay/actions" is in
            replay.safetensors), those without one are in arrays.safetensors. Any shape; bool, integers or floats.
        values: JSON values (None, bool, int of any size, finite float, str, lists and dicts with str keys); tuples come
            back as lists.
        keep: checkpoints left after this one is complete, itself included; at least 1.

    Returns:
        The checkpoint's directory.

    Raises:
        CheckpointError: the system refused (disk full, ...); nothing half-written is left and older ones are untouched.
        ValueError: an array or value is not of the kinds above; nothing was written.
    """
    if not 0 <= step < LONGEST_RUN:
        raise ValueError(f"step must be in [0, 10**15), got {step}")
    if keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}")
    path = root / _name(step)
    groups: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in arrays.items():
        prefix, slash, _ = name.partition("/")
        group = prefix if slash else "arrays"
        if not _GROUP.fullmatch(group):
            raise ValueError(f"array {name!r}: the part before '/' must be of a-z, 0-9, '_' and '-'")
        groups.setdefault(f"{group}.safetensors", {})[name] = array
    try:
        if not root.is_dir():
            root.mkdir(parents=True)
            sync_directory(root.parent)
        bundle.write_bundle(path, _KIND, (_DOCUMENT, {"step": int(step), "values": values}), groups)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror or error}") from error
    _rotate(root, step, keep)
    return path


def load_checkpoint(path: Path, room: Mapping[str, int] | None = None) -> Checkpoint:
    """Read one checkpoint after checking it completely.

    Args:
        path: its directory.
        room: for arrays that are to grow, see `read_tensors`.

    Raises:
        CheckpointError: it is not whole and sound; names the file and the reason.
    """
    try:
        arrays, document = bundle.read_bundle(path, _KIND, _DOCUMENT, room)
    except bundle.BundleError as error:
        raise CheckpointError(str(error)) from error
    if not isinstance(document, dict) or document.keys() != {"step", "values"}:
        raise CheckpointError(f"{path / _DOCUMENT} must have exactly step and values")
    step, values = document["step"], document["values"]
    if type(step) is not int or step < 0 or not isinstance(values, dict):
        raise CheckpointError(f"{path / _DOCUMENT} has an impossible step or values")
    name = _NAME.fullmatch(path.name)
    if name and int(name[1]) != step:
        raise CheckpointError(f"{path / _DOCUMENT} is of step {step}, not of the step its directory is named after")
    return Checkpoint(step, arrays, values)


def load_latest(
    root: Path,
    warn: Callable[[str], None],
    use: Callable[[Checkpoint], None] = lambda checkpoint: None,
    room: Mapping[str, int] | None = None,
) -> Checkpoint | None:
    """Read the newest sound checkpoint below `root`, or return None when there is none at all.

    Args:
        root: directory of the run's checkpoints.
        warn: called with a message for each newer checkpoint that is not sound.
        use: puts the run where a checkpoint has it; raises CheckpointError if what it says cannot be, although the file
            is whole, and is called with the one before then.
        room: for arrays that are to grow, see `read_tensors`.

    Raises:
        CheckpointError: there are checkpoints, but none is sound; lists all reasons.
    """
    reasons = []
    for _, path in _listed(root):
        try:
            checkpoint = load_checkpoint(path, room)
            use(checkpoint)
            return checkpoint
        except CheckpointError as error:
            reasons.append(str(error))
            warn(f"checkpoint {path.name} is unusable, trying the one before: {error}")
    if reasons:
        raise CheckpointError("\n  ".join([f"no checkpoint in {root} is usable:", *reasons]))
    return None


def saved_step(run: Path) -> int | None:
    """Return the step of the newest checkpoint of a run directory by its name, without reading it; None without one."""
    try:
        return next((step for step, _ in _listed(run / "checkpoints")), None)
    except CheckpointError:  # it cannot be looked into
        return None


def sweep(root: Path) -> None:
    """Remove what a killed process left half-written below `root`; call it at start, holding the run's lock.

    Raises:
        CheckpointError: the system refused.
    """
    try:
        bundle.sweep(root, _NAME)
    except OSError as error:
        raise CheckpointError(f"{root} cannot be tidied up: {error}") from error


def _name(step: int) -> str:
    return f"step-{step:09d}"


def _listed(root: Path) -> list[tuple[int, Path]]:
    """List the checkpoints below `root` with their steps, newest first."""
    try:
        names = {entry.name.removeprefix(bundle.PREVIOUS) for entry in root.iterdir()}
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CheckpointError(f"{root} cannot be read: {error.strerror or error}") from error
    numbered = [(int(match[1]), root / match[0]) for match in map(_NAME.fullmatch, names) if match]
    return sorted(numbered, reverse=True)


def _rotate(root: Path, step: int, keep: int) -> None:
    try:
        listed = _listed(root)
    except CheckpointError:  # the new one is there all the same; the next rotation tries again
        return
    newer = [path for other, path in listed if other > step]
    older = [path for other, path in listed if other < step]
    for path in newer + older[keep - 1 :]:
        # Under a temporary name first: a kill while its files go must not leave something that looks like a checkpoint.
        # What cannot be removed now is removed at the next start.
        doomed = path.with_name(TEMPORARY + path.name)
        with contextlib.suppress(OSError):
            os.rename(path, doomed)  # noqa: PTH104
            remove(doomed)
