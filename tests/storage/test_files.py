"""Promises of atomic writes: the old content or the new, and nothing beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import faults
import pytest

from rewirl.storage.files import Fingerprint, Sink, write_atomically, write_new


def test_content_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    write_atomically(path, b"old")

    def write(sink: Sink) -> None:
        sink.write(b"ne")
        sink.write(memoryview(b"w"))

    write_atomically(path, write)
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.json"]


def test_the_fingerprint_is_that_of_the_file(tmp_path: Path) -> None:
    data = bytes(range(256)) * 1000
    assert write_new(tmp_path / "x", data) == Fingerprint(len(data), hashlib.sha256(data).hexdigest())
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "x", b"")
    assert (tmp_path / "x").read_bytes() == data


def test_on_a_full_disk_the_old_content_stays(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"old")
    for call in range(3):  # write, fsync, replace
        with faults.disk_full_from(call), pytest.raises(OSError, match="No space left"):
            write_atomically(path, b"new")
        assert path.read_bytes() == b"old"
        assert [entry.name for entry in tmp_path.iterdir()] == ["config.json"]


def test_a_writer_that_fails_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"old")

    def write(sink: Sink) -> None:
        sink.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.json"]
