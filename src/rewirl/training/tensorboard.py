"""TensorBoard scalars beside the metrics log, which stays the one that counts."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import socket
import struct
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any


class TensorBoardWriter:
    """Writer of TensorBoard event files.

    It writes each event at once, without waiting for the disk, and leaves out what a full disk does not take.
    tensorboardX's own SummaryWriter hands events to a thread through a queue; on a full disk that thread dies, and the
    training loop waits for it for ever.
    """

    def __init__(
        self, directory: Path, purge_step: int | None = None, warn: Callable[[str], None] = warnings.warn
    ) -> None:
        """Start an event file.

        Args:
            directory: where the event files are; created if missing.
            purge_step: on resume, the first step to be written again; TensorBoard hides older events from there on.
            warn: called once if events cannot be written.
        """
        from tensorboardX.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
        from tensorboardX.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
        from tensorboardX.record_writer import masked_crc32c  # type: ignore[import-untyped]

        self._event, self._summary, self._checksum = Event, Summary, masked_crc32c
        self._directory = directory
        self._warn = warn
        self._warned = False
        self._descriptor = -1
        self._size = 0
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._descriptor = _create(directory)
        except OSError as error:
            self._failed(error)
        self._write(Event(file_version="brain.Event:2"))
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
        """Close the file; idempotent. What is written afterwards is dropped."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _write(self, event: Any) -> None:
        if self._descriptor < 0:
            return
        event.wall_time = time.time()
        data = event.SerializeToString()
        length = struct.pack("<Q", len(data))
        record = b"".join(
            (length, struct.pack("<I", self._checksum(length)), data, struct.pack("<I", self._checksum(data)))
        )
        try:
            if os.write(self._descriptor, record) != len(record):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._size += len(record)
        except OSError as error:
            with contextlib.suppress(OSError):  # half a record would hide everything after it
                os.ftruncate(self._descriptor, self._size)
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            self._warn(
                f"TensorBoard events in {self._directory} cannot be written ({error.strerror}); some are left out"
            )


def _create(directory: Path) -> int:
    """Create an event file with a name that TensorBoard knows, sorts by time, and that no other file has."""
    for number in itertools.count():
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{number}"
        with contextlib.suppress(FileExistsError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            return os.open(directory / name, flags, 0o666)
    raise AssertionError
