"""The metrics log: one JSON object per line, only ever appended to.

Some lines are sealed: their last field, `sha256`, is the sum of all that the file has before that field. So a log
tells by itself whether it is as it was written, up to its last seal.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import warnings
from collections.abc import Callable, Container
from pathlib import Path
from typing import Any

from rewirl.storage import strict_json
from rewirl.storage.files import Sink, close_descriptor, open_regular, sync_directory, write_atomically

SEALED, CHANGED, CONTINUED = ("checkpoint", "end"), "log_changed", "continued"
"""Events whose lines have the sum of the log; the one that a sum was wrong when a run was resumed; and the one that it
was resumed with other versions or on another machine."""

LARGEST_LOG, LONGEST_LINE, MOST_KEPT = 2**30, 4 * 2**20, 2**28
"""Bytes of a log that is read, of a line of it, and of all lines that are kept together."""

_SEAL = re.compile(rb', "sha256": "([^"]*)"\}\n')
_LENGTH_OF_SEAL = len(', "sha256": "' + 64 * "0" + '"}\n')
_TAIL = 65536
_CHUNK = 2**20


class MetricsLog:
    """Writer of `metrics.jsonl`.

    A disk that is full does not stop training: lines that cannot be written are kept in memory, reported once through
    `warn`, and written in order as soon as there is room.
    """

    def __init__(self, path: Path, warn: Callable[[str], None] = warnings.warn, truncate_to: int | None = None) -> None:
        """Open the log for appending; a last line cut short by a kill is removed.

        Args:
            path: the file, created if missing.
            warn: called with what goes wrong but does not stop training.
            truncate_to: bytes; cut all lines written after the checkpoint that saved this offset. A log that is not
                as it was then (shorter, or edited) loses at most the line that the offset is in, and `warn` is told.

        Raises:
            ValueError: the offset is negative.
            OSError: the file cannot be opened.
        """
        self.path = path
        self._warn = warn
        self._pending: list[bytes] = []
        self._failing = False
        self._owner = os.getpid()
        _own_copy(path)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o666)
        try:
            self._size = os.fstat(self._descriptor).st_size
            self._cut(self._size if truncate_to is None else truncate_to, truncate_to is not None)
            sync_directory(path.absolute().parent)
        except BaseException:
            os.close(self._descriptor)
            self._descriptor = -1
            raise

    def write(self, event: str, seal: bool = False, /, **fields: Any) -> None:
        """Append one line.

        Args:
            event: what happened, e.g. "evaluation"; the line's first field.
            seal: whether the line ends with the sum of the log so far.
            **fields: JSON values, NumPy scalars included. A float that is not finite is written as null, because JSON
                has no other word for it and a diverged loss must not end the run. Fields named `seconds` and
                `core_share` are times: they and the sums over them are all that differs between two runs of one seed.

        Raises:
            ValueError: a field is not a JSON value; names it.
        """
        line = {"event": event}
        for name, value in fields.items():
            line[name] = strict_json.plain(value, name, "null")
        text = json.dumps(line, allow_nan=False).encode()
        if seal:
            total = self._sum.copy()
            for before in [*self._pending, text[:-1]]:
                total.update(before)
            text = text[:-1] + f', "sha256": "{total.hexdigest()}"}}'.encode()
        self._pending.append(text + b"\n")
        self._flush(sync=False)

    @property
    def offset(self) -> int:
        """Bytes of the log that are on disk, safe from a power failure too; a checkpoint saves it."""
        self._flush(sync=True)
        return self._size

    @property
    def sha256(self) -> str:
        """Sum of the log up to `offset`; a checkpoint saves it too."""
        return self._sum.hexdigest()

    @property
    def unwritten(self) -> list[str]:
        """The lines that could not be written yet; a checkpoint saves them too, they come after the offset."""
        return [line.decode().removesuffix("\n") for line in self._pending]

    def write_again(self, lines: list[str]) -> None:
        """Append the lines that a checkpoint saved as unwritten."""
        self._pending += [line.encode() + b"\n" for line in lines]
        self._flush(sync=False)

    def _cut(self, offset: int, saved: bool) -> None:
        if offset < 0:
            raise ValueError(f"offset must not be negative, got {offset}")
        end = _complete(self._descriptor, min(offset, self._size))
        if saved and end != offset:
            self._warn(
                f"{self.path} has changed since the checkpoint, which was written when the log had {offset} bytes; "
                f"it continues after {end} bytes, and what was logged in between is missing"
            )
        os.ftruncate(self._descriptor, end)
        self._size, self._sum = end, _sum(self._descriptor, end)

    def close(self) -> None:
        """Write what is pending and close the file; idempotent."""
        if self._descriptor >= 0:
            self._flush(sync=True)
            if self._pending:
                self._warn(f"{self.path}: the last {len(self._pending)} lines could not be written and are lost")
            descriptor, self._descriptor = self._descriptor, -1
            close_descriptor(descriptor, self.path, self._warn)

    def __del__(self) -> None:
        """Close the file of a log that was forgotten; a forked process has no part in it."""
        if getattr(self, "_descriptor", -1) >= 0 and self._owner == os.getpid():
            self.close()

    def _flush(self, sync: bool) -> None:
        try:
            if self._failing:  # a failed write may have left a part of itself
                os.ftruncate(self._descriptor, self._size)
            while self._pending:
                _write(self._descriptor, self._pending[0])
                line = self._pending.pop(0)
                self._size += len(line)
                self._sum.update(line)
            if sync:
                os.fsync(self._descriptor)
            self._failing = False
        except OSError as error:
            if not self._failing:
                self._warn(f"{self.path} cannot be written ({error.strerror}); its lines are kept in memory meanwhile")
            self._failing = True


def read_metrics(path: Path, events: Container[str] | None = None) -> list[dict[str, Any]]:
    """Read all complete lines of a metrics log; a partial last line (a run in progress or killed) is ignored.

    Args:
        path: the file.
        events: of which events the lines are returned; None is all.

    Returns:
        One dict per line, in order.

    Raises:
        ValueError: it is not a regular file, it or a line is too long, a complete line is not a JSON object, or a line
            has been changed since it was written; names file and line.
        OSError: the file cannot be read.
    """
    entries, kept = [], 0
    total, sealed = hashlib.sha256(), 0
    try:
        opened = open_regular(path)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error
    with opened as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_LOG:
            raise ValueError(f"{path} has {size:,} bytes, more than the {LARGEST_LOG:,} of a log that is read")
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), b""), 1):
            if len(line) > LONGEST_LINE:
                raise ValueError(f"{path}, line {number}: longer than the {LONGEST_LINE:,} bytes that are read")
            if not line.endswith(b"\n"):
                if _is_object(line[:-1]):  # what is cut short has no byte more than a line
                    raise ValueError(f"{path}, line {number}: its last byte was changed")
                break
            seal = _SEAL.fullmatch(line[-_LENGTH_OF_SEAL:])
            if seal:
                total.update(line[:-_LENGTH_OF_SEAL])
                if total.hexdigest().encode() != seal[1]:
                    raise ValueError(
                        f"{path} was changed since it was written: lines {sealed + 1} to {number} do not have the sum "
                        "that the last of them says"
                    )
                sealed = number
            total.update(line[-_LENGTH_OF_SEAL:] if seal else line)
            try:
                entry = strict_json.decode(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: not strict JSON: {error}") from error
            if not isinstance(entry, dict):
                raise ValueError(f"{path}, line {number}: not a JSON object")
            if sealed and not seal and entry.get("event") in SEALED:
                raise ValueError(f"{path}, line {number}: was changed since it was written: it has no sum any more")
            if events is not None and entry.get("event") not in events:
                continue
            kept += len(line)
            if kept > MOST_KEPT:
                raise ValueError(f"{path}, line {number}: more than {MOST_KEPT:,} bytes of lines are to be kept")
            entries.append(entry)
    return entries


def last_event(path: Path) -> dict[str, Any]:
    """Return the last complete line of a metrics log, or nothing if there is none that can be read."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL))
            lines = file.read().rpartition(b"\n")[0].splitlines()
        event = strict_json.decode(lines[-1]) if lines else {}
    except (OSError, ValueError):
        return {}
    return event if isinstance(event, dict) else {}


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(strict_json.decode(text), dict)
    except ValueError:
        return False


def _sum(descriptor: int, size: int) -> hashlib._Hash:
    """Return the sum of the first bytes of a file, to be continued."""
    total, at = hashlib.sha256(), 0
    while at < size and (chunk := os.pread(descriptor, min(_CHUNK, size - at), at)):
        total.update(chunk)
        at += len(chunk)
    return total


def _own_copy(path: Path) -> None:
    """Give a log that has other names, as in a hard-linked copy of its run, a file of its own under this one.

    Raises:
        OSError: the system refused; nothing has changed.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode) or status.st_nlink == 1:
        return

    def copied(sink: Sink) -> None:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                sink.write(chunk)

    write_atomically(path, copied)


def _complete(descriptor: int, size: int) -> int:
    """Return how many of the first `size` bytes are complete lines."""
    while size > 0:
        start = max(0, size - _TAIL)
        newline = os.pread(descriptor, size - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        size = start
    return 0


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
