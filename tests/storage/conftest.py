"""What the tests of this room share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let fsync return at once: no test here survives a power failure, and a thousand of them take a minute.

    That everything is synced before it gets its name is a test of its own, in test_checkpoint.py.
    """
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
