"""The interface between a sweep and whatever executes its runs: start, wait for messages, stop, close."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

Message = dict[str, Any]
"""JSON values. The last one of a run has `ended`: finished, stopped, in use, failed or killed, and a `reason`; and
`diverged` where that was it."""


class Executor(Protocol):
    """Executes the runs of a sweep, each in a process of its own."""

    @property
    def workers(self) -> int:
        """How many runs it can execute at the same time, now."""

    def start(self, name: str, run: Mapping[str, Any], measure: bool = False) -> None:
        """Start a run, given as `PlannedRun.values`; with `measure` only measure how fast it would be."""

    def wait(self, seconds: float) -> list[tuple[str, Message]]:
        """Return the messages since the last call, with the name of their run, after `seconds` at the latest."""

    def stop(self, name: str | None = None) -> None:
        """Ask a run to save and end; None asks all of them."""

    def close(self) -> None:
        """Release all resources; runs still in progress are saved and end. Idempotent."""
