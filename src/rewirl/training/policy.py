"""The saved policy: a directory of arrays and JSON values that is replaced as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray


class PolicyError(Exception):
    """A policy cannot be written or read; the message names the file and the reason."""


def save_policy(path: Path, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
    """Write a policy as the directory `path`, replacing an older policy there; a crash leaves the old or the new one.

    Args:
        path: directory to write; refused if it exists and holds anything but a policy.
        arrays: by name; dtypes as for checkpoints.
        values: JSON values.

    Raises:
        PolicyError: the system refused (disk full, ...), or `path` holds something else; the old policy is untouched.
        ValueError: an array or value cannot be stored.
    """
    raise NotImplementedError


def load_policy(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read a policy after checking it completely.

    Returns:
        Its arrays and its values.

    Raises:
        PolicyError: it is not whole and sound; names the file and the reason.
    """
    raise NotImplementedError
