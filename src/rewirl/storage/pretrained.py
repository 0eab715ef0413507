"""Policies that come with Rewirl: archives of saved policies, each with a card that says what it is."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from rewirl.saved import fields, number
from rewirl.storage.policy_file import POLICY_FILES, PolicyError

DIRECTORY = Path(__file__).parents[1] / "pretrained"
CARDS = "cards.json"
SHOWN = ("return_mean", "return_std", "episodes", "sparsity", "connections", "bytes")
"""Numbers of a card that the list of all has."""


@cache
def cards() -> dict[str, dict[str, Any]]:
    """Return the card of each policy by its name, such as Walker2d-v5/ds-td3.

    Raises:
        PolicyError: there are none, or they are not what they were when Rewirl was made.
    """
    file = DIRECTORY / CARDS
    try:
        found = fields(json.loads(file.read_text(encoding="utf-8")), "it")
        for name, card in found.items():
            for key in SHOWN:
                number(fields(card, name).get(key), f"{key} of {name}")
            if not isinstance(card.get("sha256"), str):
                raise ValueError(f"{name} has no SHA-256 sum")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise PolicyError(
            f"the list of the policies that come with Rewirl, {file}, cannot be read: {reason}; install Rewirl again"
        ) from error
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
        PolicyError: the archive is not the one that the card is about, or there is no room for what it holds.
    """
    try:
        content = archive(name).read_bytes()
    except OSError as error:
        raise PolicyError(f"{archive(name)} cannot be read: {error.strerror or error}; install Rewirl again") from error
    if hashlib.sha256(content).hexdigest() != cards()[name]["sha256"]:
        raise PolicyError(f"{archive(name)} has another SHA-256 sum than its card says; install Rewirl again")
    with ExitStack() as stack:
        try:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rewirl-")))
            with ZipFile(BytesIO(content)) as files:
                for file in sorted(POLICY_FILES):
                    (directory / file).write_bytes(files.read(file))
        except OSError as error:
            raise PolicyError(
                f"{name} cannot be unpacked among temporary files: {error.strerror or error}; make room there, or set "
                "TMPDIR to a directory that can be written to"
            ) from error
        yield directory
