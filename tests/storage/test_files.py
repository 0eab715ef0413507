"""Promises of atomic writes: the old content or the new, and nothing beside it."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
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


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_file_system_that_does_not_sync_directories_is_good_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fsync", refuse)
    if error == errno.EIO:  # the disk is broken
        with pytest.raises(OSError, match=os.strerror(error)):
            write_atomically(tmp_path / "x", b"new")
    else:
        write_atomically(tmp_path / "x", b"new")
        assert (tmp_path / "x").read_bytes() == b"new"


@pytest.mark.parametrize("length", [200, 250])
def test_a_long_name_is_written(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("x" * length)
    write_atomically(path, b"data")
    write_atomically(path, b"newer")
    assert path.read_bytes() == b"newer" and len(list(tmp_path.iterdir())) == 1


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
