"""TensorBoard scalars beside the metrics log, which stays the one that counts."""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
import socket
import struct
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rewirl.storage.files import close_descriptor

# Field numbers of the protocol buffers Event, Summary, Summary.Value and SessionLog.
_WALL_TIME, _STEP, _FILE_VERSION, _SUMMARY, _SESSION_LOG = 1, 2, 3, 5, 7
_VALUE = 1
_TAG, _SIMPLE_VALUE = 1, 2
_STATUS, _START = 1, 1
_METADATA, _TENSOR = 9, 8
_PLUGIN_DATA, _PLUGIN_NAME = 1, 1
_DTYPE, _SHAPE, _STRINGS, _DIMENSION, _SIZE = 1, 2, 8, 2, 1
_STRING_TYPE = 7
_NAME = ["events", "out", "tfevents"]


class TensorBoardWriter:
    """Writer of TensorBoard event files.

    It writes each event at once, without waiting for the disk, and leaves out what a full disk does not take. The
    format is small enough to be written here: the writers of other packages bring a thread that hangs on a full disk,
    and import PyTorch where it is installed.
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
        self._directory = directory
        self._warn = warn
        self._warned = False
        self._descriptor = -1
        self._owner = os.getpid()
        self._size = 0
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._descriptor = _create(directory)
        except OSError as error:
            self._failed(error)
        self._write(_bytes(_FILE_VERSION, b"brain.Event:2"))
        if purge_step is not None:
            self._write(_varint(_STEP, purge_step) + _bytes(_SESSION_LOG, _varint(_STATUS, _START)))

    def scalar(self, name: str, value: float, step: int) -> None:
        """Write one value.

        Args:
            name: e.g. "evaluation/return_mean"; the part before "/" groups the charts.
            value: any float; TensorBoard marks those that are not finite.
            step: environment steps done so far.
        """
        with np.errstate(over="ignore"):  # beyond float32 is infinity
            number = np.array(value).astype("<f4").tobytes()
        entry = _bytes(_TAG, _encoded(name)) + _key(_SIMPLE_VALUE, 5) + number
        self._write(_varint(_STEP, step) + _bytes(_SUMMARY, _bytes(_VALUE, entry)))

    def text(self, name: str, text: str, step: int) -> None:
        """Write a text, which TensorBoard shows as Markdown.

        Args:
            name: e.g. "run".
            text: Markdown.
            step: environment steps done so far.
        """
        metadata = _bytes(_METADATA, _bytes(_PLUGIN_DATA, _bytes(_PLUGIN_NAME, b"text")))
        shape = _bytes(_SHAPE, _bytes(_DIMENSION, _varint(_SIZE, 1)))
        tensor = _bytes(_TENSOR, _varint(_DTYPE, _STRING_TYPE) + shape + _bytes(_STRINGS, _encoded(text)))
        entry = _bytes(_TAG, _encoded(f"{name}/text_summary")) + metadata + tensor
        self._write(_varint(_STEP, step) + _bytes(_SUMMARY, _bytes(_VALUE, entry)))

    def close(self) -> None:
        """Close the file; idempotent. What is written afterwards is dropped."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            close_descriptor(descriptor, self._directory, self._warn)

    def __del__(self) -> None:
        """Close the file of a writer that was forgotten."""
        if getattr(self, "_owner", None) == os.getpid():
            self.close()

    def _write(self, event: bytes) -> None:
        if self._descriptor < 0:
            return
        data = _key(_WALL_TIME, 1) + struct.pack("<d", time.time()) + event
        length = struct.pack("<Q", len(data))
        record = length + _masked_crc32c(length) + data + _masked_crc32c(data)
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
    """Create an event file whose name TensorBoard knows and sorts after all others, even if the clock went back."""
    names = [entry.name.split(".") for entry in directory.iterdir()]
    latest = max((int(name[3]) for name in names if name[:3] == _NAME and name[3:] and name[3].isdigit()), default=-1)
    seconds = max(int(time.time()), latest + 1)
    for number in itertools.count():
        name = f"{'.'.join(_NAME)}.{seconds:010d}.{socket.gethostname()}.{os.getpid()}.{number}"
        with contextlib.suppress(FileExistsError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            return os.open(directory / name, flags, 0o666)
    raise AssertionError


def _key(field: int, wire_type: int) -> bytes:
    return bytes([field << 3 | wire_type])


def _number(value: int) -> bytes:
    """Return a non-negative integer as a protocol buffer's varint: seven bits per byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _varint(field: int, value: int) -> bytes:
    return _key(field, 0) + _number(value)


def _bytes(field: int, data: bytes) -> bytes:
    return _key(field, 2) + _number(len(data)) + data


@functools.cache
def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)  # Castagnoli's polynomial
        table.append(byte)
    return table


def _masked_crc32c(data: bytes) -> bytes:
    """Return the checksum of a TFRecord: a CRC-32C, rotated and shifted so that checksums of checksums stay sound."""
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _encoded(text: str) -> bytes:
    """Return text as UTF-8; a name of a file may have bytes that are none."""
    return text.encode("utf-8", "backslashreplace")
