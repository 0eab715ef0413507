"""TensorBoard scalars beside the metrics log, which stays the one that counts."""

from __future__ import annotations

import itertools
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any


class TensorBoardWriter:
    """Writer of TensorBoard event files.

    It writes each event at once. tensorboardX's own SummaryWriter hands them to a thread through a queue, and when the
    disk is full that thread dies and the training loop waits for it for ever; here a full disk ends the event file with
    a warning.
    """

    def __init__(
        self, directory: Path, purge_step: int | None = None, warn: Callable[[str], None] = warnings.warn
    ) -> None:
        """Start an event file.

        Args:
            directory: where the event files are; created if missing.
            purge_step: on resume, the first step to be written again; TensorBoard hides older events from there on.
            warn: called once if events can no longer be written.
        """
        from tensorboardX.event_file_writer import EventsWriter  # type: ignore[import-untyped]
        from tensorboardX.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
        from tensorboardX.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

        self._event, self._summary = Event, Summary
        self._warn = warn
        self._directory = directory
        self._events: Any = None
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._events = EventsWriter(str(directory / "events"), _unused_suffix(directory))
        except OSError as error:
            self._give_up(error)
        if purge_step is not None:
            self._write(Event(step=purge_step, session_log=SessionLog(status=SessionLog.START)))

    def scalar(self, name: str, value: float, step: int) -> None:
        """Write one value.

        Args:
            name: e.g. "evaluation/return_mean"; the part before "/" groups the charts.
            value: any float; TensorBoard marks those that are not finite.
            step: environment steps done so far.
        """
        self._write(self._event(step=step, summary=self._summary(value=[{"tag": name, "simple_value": float(value)}])))

    def close(self) -> None:
        """Close the file; idempotent."""
        events, self._events = self._events, None
        if events is not None:
            try:
                events.close()
            except OSError as error:
                self._give_up(error)

    def _write(self, event: Any) -> None:
        if self._events is None:
            return
        event.wall_time = time.time()
        try:
            self._events.write_event(event)
            self._events.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._events = None
        self._warn(f"TensorBoard events in {self._directory} cannot be written ({error.strerror}); going on without")


def _unused_suffix(directory: Path) -> str:
    # tensorboardX names files by the second and overwrites: a run resumed at once would lose its events.
    for number in itertools.count():
        suffix = f".{os.getpid()}.{number}"
        if not any(directory.glob(f"*{suffix}")):
            return suffix
    raise AssertionError
