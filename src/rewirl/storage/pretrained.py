"""Policies that come with Rewirl: archives of saved policies, each with a card that says what it is."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from rewirl.storage.policy_file import POLICY_FILES, PolicyError

DIRECTORY = Path(__file__).parents[1] / "pretrained"
CARDS = "cards.json"


@cache
def cards() -> dict[str, dict[str, Any]]:
    """Return the card of each policy by its name, such as Walker2d-v5/ds-td3."""
    found: dict[str, dict[str, Any]] = json.loads((DIRECTORY / CARDS).read_text(encoding="utf-8"))
    return found


def archive(name: str) -> Path:
    """Return the file of a policy, the directory of which is all that it holds."""
    return DIRECTORY / f"{name.replace('/', '--')}.zip"


@contextmanager
def unpacked(name: str) -> Iterator[Path]:
    """Put a policy into a directory of its own for as long as the context lasts.

    Args:
        name: of the policy.

    Yields:
        The directory, to be loaded with the checks of any other.

    Raises:
        PolicyError: the archive is not the one that the card is about.
    """
    try:
        content = archive(name).read_bytes()
    except OSError as error:
        raise PolicyError(f"{archive(name)} cannot be read: {error.strerror or error}; install Rewirl again") from error
    if hashlib.sha256(content).hexdigest() != cards()[name]["sha256"]:
        raise PolicyError(f"{archive(name)} has another SHA-256 sum than its card says; install Rewirl again")
    with tempfile.TemporaryDirectory(prefix="rewirl-") as directory, ZipFile(BytesIO(content)) as files:
        for file in sorted(POLICY_FILES):
            (Path(directory) / file).write_bytes(files.read(file))
        yield Path(directory)
