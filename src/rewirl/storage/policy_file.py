"""The saved policy: a directory of arrays and JSON values that is replaced as a whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rewirl.storage import bundle
from rewirl.storage.files import exists, found, open_regular
from rewirl.storage.strict_json import LARGEST_FILE

_KIND = "policy"
DOCUMENT = "policy.json"
_TENSORS = "policy.safetensors"
POLICY_FILES = frozenset((DOCUMENT, _TENSORS, bundle.MANIFEST))
"""What the directory of a policy has."""

_ATTEMPTS = 5


class PolicyError(Exception):
    """A policy cannot be written or read; the message names the file and the reason."""


def save_policy(
    path: Path, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any], of_run: bool = False
) -> None:
    """Write a policy as the directory `path`, replacing an older policy there; a crash leaves the old or the new one.

    Args:
        path: directory to write, its parents are created; refused if it exists and holds anything but a policy.
        arrays: by name; any shape, bool, integers or floats.
        values: JSON values; tuples come back as lists.
        of_run: whether it is in the directory of a run that this process owns: what else is in it stays there.

    Raises:
        PolicyError: the system refused (disk full, ...), or `path` holds something else; the old policy is untouched.
        ValueError: an array or value cannot be stored; nothing was written.
    """
    # Without links and `..` above it: a path that leads through itself would not be there while it is replaced.
    parent, name = os.path.split(os.path.realpath(path) if path.name == ".." else path.absolute())
    path = Path(os.path.realpath(parent)) / name
    try:
        if _working_directory().is_relative_to(path):
            raise PolicyError(
                f"{path} is the working directory, or it is in it, and would be replaced; choose another path"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        others = _others(path)
        if others and not of_run:
            raise PolicyError(f"{path} would be replaced, but has {others[0]!r} besides a policy; choose another path")
        carry = POLICY_FILES if of_run else None
        bundle.write_bundle(path, _KIND, (DOCUMENT, values), {_TENSORS: arrays}, carry)
    except OSError as error:
        raise PolicyError(f"{path} cannot be written: {error.strerror or error}") from error


def _others(path: Path) -> list[str]:
    """Return what a directory has besides a policy; one call looks at it, as others may replace it meanwhile."""
    try:
        if not path.is_symlink():
            names = sorted(os.listdir(path))  # noqa: PTH208
            if names == [bundle.MANIFEST] and _foreign(path / bundle.MANIFEST):
                return names
            return [name for name in names if name not in POLICY_FILES]
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        pass
    raise PolicyError(f"{path} is not a directory of its own; remove it or choose another path")


def _foreign(manifest: Path) -> bool:
    """Tell whether a manifest without other files is of something else, such as a web page."""
    try:
        with open_regular(manifest) as file:
            return b'"kind"' not in file.read(LARGEST_FILE)
    except FileNotFoundError:  # of a policy that another process has just replaced
        return False
    except (OSError, ValueError):
        return True


def _working_directory() -> Path:
    """Return the working directory, or the root where it has been removed."""
    try:
        return Path.cwd()
    except OSError:
        return Path("/")


def load_policy(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read a policy after checking it completely; it may be replaced by a training run meanwhile.

    Returns:
        Its arrays and its values.

    Raises:
        PolicyError: it is not whole and sound; names the file and the reason.
    """
    path = path.absolute()
    for attempt in range(_ATTEMPTS):
        before = _identity(path)
        try:
            arrays, values = bundle.read_bundle(path, _KIND, DOCUMENT)
            break
        except bundle.BundleError as error:
            if _identity(path) == before or attempt == _ATTEMPTS - 1:
                raise PolicyError(_reason(path, error)) from error
    if not isinstance(values, dict):
        raise PolicyError(f"{path / DOCUMENT} is not a JSON object")
    return arrays, values


def _reason(path: Path, error: bundle.BundleError) -> str:
    """Return why there is no policy at a path, with what to give where it is something else."""
    if path.is_symlink() or (exists(path) and not path.is_dir()):
        return f"{error}, but a link or a file; give the directory of a run or of a saved policy"
    if path.is_dir() and not exists(path / bundle.MANIFEST):
        return (
            f"{path} is neither the directory of a run nor a saved policy: it has no config.json and no "
            f"{bundle.MANIFEST}; give one that agent.save or a run has made"
        )
    return str(error)


def policy_directory(path: Path) -> Path:
    """Return the directory of a policy: the one given, or the one inside it where it is that of a run.

    Raises:
        PolicyError: the run has saved no policy yet, or the path cannot be looked into.
    """
    try:
        of_run = found(path / "config.json")
        saved = found(path / "policy") or found(path / f"{bundle.PREVIOUS}policy")  # a kill came as it was replaced
    except OSError as error:
        raise PolicyError(f"{path} cannot be read: {error.strerror or error}") from error
    if not of_run:
        return path
    if not saved:
        raise PolicyError(
            f"{path} has no policy yet: the first one is saved with the first checkpoint, or when the run ends"
        )
    return path / "policy"


def policy_digest(path: Path) -> str | None:
    """Return the SHA-256 sum of a policy's manifest, which has those of all its files; None if it cannot be read.

    Args:
        path: the policy's own directory, or that of the run it belongs to.
    """
    try:
        with open_regular(policy_directory(path) / bundle.MANIFEST) as file:
            return hashlib.sha256(file.read(LARGEST_FILE)).hexdigest()
    except (OSError, ValueError, PolicyError):
        return None


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what changes when another directory takes this name."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
