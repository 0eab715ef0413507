"""Single files: written completely or not at all, and opened only if they are what they seem."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from rewirl.storage import strict_json

TEMPORARY = ".tmp-"
"""Prefix of whatever is being written; what a killed process leaves under it is removed at the next start."""
_LONGEST_NAME = 255
"""Bytes that file systems take."""
_WRITER = re.compile(r"\.([0-9]{1,10})-([0-9]{1,20})\Z")
"""How a temporary name ends: with the process and the thread that write. Those of earlier versions do not."""


class Sink(Protocol):
    """Where bytes go."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take all of `data`."""


Writer = Callable[[Sink], None]
"""Writes a file's content, piece by piece."""


@dataclass(frozen=True)
class Fingerprint:
    """What a file on disk must be: its size in bytes and the SHA-256 of its content, in hexadecimal."""

    size: int
    sha256: str


def write_atomically(path: Path, data: bytes | Writer) -> None:
    """Replace a file so that a crash at any moment leaves either the old content or the new, never a mixture.

    Args:
        path: the file; its directory must exist.
        data: the content, or a function that writes it.

    Raises:
        OSError: the system refused; the old file is untouched and nothing else is left.
    """
    temporary = temporary_name(path)
    for other in left_over(path):
        if not other.is_dir() or other.is_symlink():
            other.unlink(missing_ok=True)
    try:
        write_new(temporary, data)
        os.replace(temporary, path)  # noqa: PTH105 (the name of the system call is the point)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def temporary_name(path: Path) -> Path:
    """Return the name under which this thread, and no other one, writes a file or directory; a long one is shared."""
    name = f"{TEMPORARY}{path.name}"
    own = f"{name}.{os.getpid()}-{threading.get_native_id()}"
    return path.with_name(own if len(os.fsencode(own)) <= _LONGEST_NAME else name)


def written_as(name: str) -> str | None:
    """Return the name that something with a temporary name was to get; None for any other name."""
    return _WRITER.sub("", name.removeprefix(TEMPORARY)) if name.startswith(TEMPORARY) else None


def left_over(path: Path) -> Iterator[Path]:
    """Yield what has a temporary name of a file or directory and is not being written by another process or thread.

    Raises:
        OSError: the directory that it is in cannot be listed; but one that may only be written to is no error.
    """
    own = temporary_name(path)
    try:
        entries = sorted(path.parent.iterdir(), key=lambda entry: entry != own)  # its own name is free for the others
    except PermissionError:
        return
    for entry in entries:
        writer = _WRITER.search(entry.name)
        if written_as(entry.name) == path.name and (entry == own or writer is None or not _runs(int(writer[1]))):
            yield entry


def _runs(process: int) -> bool:
    """Tell whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def write_output(path: Path, text: str) -> None:
    """Write a file that a user has asked for: whole, or the older one stays. A device or a link stays what it is.

    Raises:
        OSError: it cannot be written.
    """
    if path.exists() and (path.is_symlink() or not path.is_file()):
        path.write_text(text, encoding="utf-8")
    else:
        write_atomically(path, text.encode())


def write_new(path: Path, data: bytes | Writer) -> Fingerprint:
    """Write a file that does not exist yet through to the disk, hashing what goes by.

    Raises:
        OSError: the system refused; the file may be there in part.
    """
    with _create(path) as file:
        sink = _HashingSink(file)
        if callable(data):
            data(sink)
        else:
            sink.write(data)
        file.flush()
        os.fsync(file.fileno())
    return Fingerprint(sink.size, sink.hash.hexdigest())


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of file systems that have no such thing
            raise
    finally:
        os.close(descriptor)


def open_regular(name: str | Path, directory: int | None = None) -> BinaryIO:
    """Open a file for reading if it is a regular one.

    Args:
        name: the file, relative to `directory` if that is given.
        directory: descriptor of an open directory.

    Raises:
        ValueError: it is a symbolic link, a device, a pipe or a directory.
        OSError: it is missing or cannot be read.
    """
    # Not to block: a pipe in place of the file would wait for a writer for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    if stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
        raise ValueError("is a symbolic link")
    descriptor = os.open(name, flags, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("is not a regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_json(file: BinaryIO, largest: int = strict_json.LARGEST_FILE) -> object:
    """Read a whole open file as strict JSON, if it is not too large.

    Args:
        file: the file.
        largest: bytes that it may have.

    Raises:
        ValueError: too large, or not strict JSON.
    """
    size = os.fstat(file.fileno()).st_size
    if size > largest:
        raise ValueError(f"has {size:,} bytes, more than the {largest:,} allowed for JSON")
    try:
        return strict_json.decode(file.read(size))
    except ValueError as error:
        raise ValueError(f"is not strict JSON: {error}") from error


def remove(path: Path) -> None:
    """Remove a file, a link or a whole directory; links are not followed.

    Raises:
        OSError: the system refused.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def lock_file(path: Path) -> int:
    """Lock a file for this process, made where it is missing; the kernel's lock ends with the process, however it ends.

    Returns:
        Its descriptor, which holds the lock until it is closed.

    Raises:
        BlockingIOError: another process has it; its text says which, as far as is known.
        OSError: the system refused.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise BlockingIOError(f"process {owner}" if owner.isdigit() else "another process") from None
    except OSError:
        os.close(descriptor)
        raise
    with contextlib.suppress(OSError):  # the number only serves a message; a full disk is no reason to stop
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def close_descriptor(descriptor: int, name: str | Path, warn: Callable[[str], None]) -> None:
    """Close a descriptor; what the system says against it (quota, network file systems) is a warning.

    The descriptor is gone in either case.
    """
    try:
        os.close(descriptor)
    except OSError as error:
        warn(f"warning: {name}: closing it failed ({error.strerror or error}); its last lines may be lost")


def exists(path: Path) -> bool:
    """Return whether a name is taken, by a dangling link too."""
    return os.path.lexists(path)


def found(path: Path) -> bool:
    """Return whether there is something at a path, at the end of its links.

    Raises:
        OSError: it cannot be looked at. `Path.exists` says no then, from Python 3.14 on.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _create(path: Path) -> BinaryIO:
    return path.open("xb")


class _HashingSink:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview, /) -> None:
        self._file.write(data)
        self.hash.update(data)
        self.size += memoryview(data).nbytes
