"""A directory of arrays and JSON values with a manifest: what checkpoints and policies have in common.

It is written under a temporary name, through to the disk, and gets its own name with a rename: under its own name it is
always whole. The manifest, written last, has the size and SHA-256 of every file; reading checks them before it parses.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rewirl.storage import strict_json
from rewirl.storage.files import (
    Fingerprint,
    Writer,
    exists,
    left_over,
    open_regular,
    read_json,
    remove,
    sync_directory,
    temporary_name,
    write_new,
    written_as,
)
from rewirl.storage.tensors import TensorWriter, read_tensors

MANIFEST = "manifest.json"
PREVIOUS = ".old-"
"""Prefix of a bundle while another takes its name."""

_FORMAT = 2
"""2 names the arrays of a network after its layers, as hidden1; 1, of version 0.1, counted them."""

_ATTEMPTS = 10
"""How often a bundle is put in place while other processes put theirs there."""

_WAITS, _WAIT_SECONDS = 1000, 0.01
"""For another process that does so."""

_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class BundleError(Exception):
    """A bundle is not whole and sound; the message names the file and the reason."""


def write_bundle(
    path: Path,
    kind: str,
    document: tuple[str, Any],
    tensors: Mapping[str, Mapping[str, NDArray[Any]]],
    carry: Container[str] | None = None,
) -> None:
    """Write a bundle, or replace one, as a whole.

    Args:
        path: the directory to write; its parent must exist. What is there already is replaced.
        kind: what it is, e.g. "checkpoint".
        document: name and content of its JSON file.
        tensors: arrays by name for each safetensors file.
        carry: names of a bundle's own files; what else there is in the old one comes into the new one. None has none.

    Raises:
        ValueError: something cannot be stored; nothing was written.
        OSError: the system refused; what was there before is untouched, and nothing else is left.
    """
    name, value = document
    contents: dict[str, bytes | Writer] = {file: TensorWriter(arrays) for file, arrays in tensors.items()}
    contents[name] = strict_json.encode(value, name)
    for file in contents:
        if not _FILE_NAME.fullmatch(file):
            raise ValueError(f"{file!r} cannot be the name of a file: use letters, digits, '.', '_' and '-'")
    temporary, previous = temporary_name(path), path.with_name(PREVIOUS + path.name)
    with _alone(path.parent):
        if exists(previous) and carry is None and not _ours(previous):
            raise OSError(errno.EEXIST, f"{previous.name} is in the way and not of Rewirl; move it")
        recover(path)
        for other in left_over(path):
            if _ours(other):
                with contextlib.suppress(FileNotFoundError):  # its writer has just finished, or another removes it
                    os.rename(other, temporary)  # noqa: PTH104 (a writer elsewhere must not put half of it in place)
                    remove(temporary)
    temporary.mkdir()
    try:
        files = {file: write_new(temporary / file, content) for file, content in contents.items()}
        write_new(temporary / MANIFEST, strict_json.encode(_manifest(kind, files), MANIFEST))
        with _alone(path.parent):
            if carry is not None and exists(path):
                for entry in path.iterdir():
                    if entry.name not in carry:
                        _copy(entry, temporary / entry.name)
            sync_directory(temporary)
            _install(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            remove(temporary)
        raise


def read_bundle(
    path: Path, kind: str, document: str, room: Mapping[str, int] | None = None
) -> tuple[dict[str, NDArray[Any]], Any]:
    """Check a bundle completely and read it.

    Args:
        path: its directory.
        kind: what it must be.
        document: name of its JSON file.
        room: for arrays that are to grow, see `read_tensors`.

    Returns:
        The arrays of all its safetensors files, and the content of its JSON file.

    Raises:
        BundleError: it is not whole and sound; names the file and the reason.
    """
    place = path if exists(path) else path.with_name(PREVIOUS + path.name)
    if not exists(place):
        raise BundleError(f"{path} does not exist")
    if place.is_symlink() or not place.is_dir():
        raise BundleError(f"{place} is not a directory of its own")
    try:
        # One descriptor for everything: a bundle replaced meanwhile is still read from one directory.
        directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise BundleError(f"{place} cannot be read: {error.strerror}") from error
    try:
        return _read(place, directory, kind, document, room)
    finally:
        os.close(directory)


def recover(path: Path) -> None:
    """Finish a replacement in which a process was killed: exactly one of the two bundles stays, under its own name.

    Raises:
        OSError: the system refused.
    """
    previous = path.with_name(PREVIOUS + path.name)
    if exists(previous):
        if exists(path):
            with contextlib.suppress(FileNotFoundError):  # another process removes it too
                remove(previous)
            return
        try:
            os.rename(previous, path)  # noqa: PTH104
        except OSError:
            if not exists(path):  # another process was faster
                raise
        sync_directory(path.parent)


def sweep(directory: Path, names: re.Pattern[str]) -> None:
    """Remove what killed processes left half-written in a directory, and finish what they had almost finished.

    Args:
        directory: where to look.
        names: of what is written there; anything else is somebody's own, whatever its prefix.

    Raises:
        OSError: the system refused.
    """
    if not directory.is_dir():
        return
    for entry in sorted(directory.iterdir()):
        if names.fullmatch(written_as(entry.name) or ""):
            remove(entry)
        elif entry.name.startswith(PREVIOUS) and names.fullmatch(entry.name.removeprefix(PREVIOUS)):
            recover(entry.with_name(entry.name.removeprefix(PREVIOUS)))


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep other processes and threads that put bundles into a directory waiting; not for ever, as one may be halted.

    Without such locks, as on some network file systems, `_install` tries again where another one was in between.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, handle)
            for _ in range(_WAITS):
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    stack.callback(fcntl.flock, handle, fcntl.LOCK_UN)  # a fork may have the descriptor too
                    break
                time.sleep(_WAIT_SECONDS)
        yield


def _ours(path: Path) -> bool:
    """Tell whether what has a temporary name is a bundle, whole or in part, rather than something of the user's."""
    if path.is_symlink():
        return False
    try:
        with os.scandir(path) as entries:
            return all(Path(entry.name).suffix in (".json", ".safetensors") and entry.is_file() for entry in entries)
    except FileNotFoundError:  # its writer has just finished
        return True
    except NotADirectoryError:
        return False


def _copy(path: Path, to: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.copytree(path, to, symlinks=True)
    else:
        shutil.copy2(path, to, follow_symlinks=False)


def _manifest(kind: str, files: Mapping[str, Fingerprint]) -> dict[str, Any]:
    listed = {name: {"size": file.size, "sha256": file.sha256} for name, file in sorted(files.items())}
    return {"format": _FORMAT, "kind": kind, "files": listed}


def _install(temporary: Path, path: Path) -> None:
    # A directory cannot be renamed onto another one that is not empty, so an old one steps aside first. A kill between
    # the two renames leaves it there, whole: `read_bundle` finds it and `recover` puts it back.
    previous = path.with_name(PREVIOUS + path.name)
    for attempt in range(_ATTEMPTS):
        try:
            if exists(path):
                os.rename(path, previous)  # noqa: PTH104
            os.rename(temporary, path)  # noqa: PTH104
            break
        except OSError as error:
            in_between = error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT)  # another process saves there
            try:
                recover(path)
            except OSError:
                in_between = False
            if not in_between or attempt == _ATTEMPTS - 1:
                raise
    # From here on the new one is there; failing to tidy up must not make it look as if it were not.
    with contextlib.suppress(OSError):
        sync_directory(path.parent)
        remove(previous)


def _read(
    path: Path, directory: int, kind: str, document: str, room: Mapping[str, int] | None
) -> tuple[dict[str, NDArray[Any]], Any]:
    name = MANIFEST
    try:
        with open_regular(MANIFEST, directory) as file:
            files = _listed(read_json(file), kind)
        if document not in files:
            raise ValueError(f"does not list {document}")
        arrays: dict[str, NDArray[Any]] = {}
        content: Any = None
        for name, expected in files.items():
            with open_regular(name, directory) as file:
                _verify(file, expected)
                file.seek(0)
                if name == document:
                    content = read_json(file)
                    continue
                read = read_tensors(file, expected.size, room)
            for twice in arrays.keys() & read.keys():
                raise ValueError(f"has the array {twice!r}, which another file has too")
            arrays.update(read)
        return arrays, content
    except ValueError as error:
        raise BundleError(f"{path / name} {error}") from error
    except OSError as error:
        raise BundleError(f"{path / name} cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise BundleError(f"{path / name} does not fit into memory") from error


def _listed(manifest: Any, kind: str) -> dict[str, Fingerprint]:
    if not isinstance(manifest, dict) or manifest.keys() != {"format", "kind", "files"}:
        raise ValueError("must have exactly format, kind and files")
    if type(manifest["format"]) is not int or not 1 <= manifest["format"] <= _FORMAT:
        raise ValueError(f"has format {manifest['format']!r}; this version of Rewirl reads 1 to {_FORMAT}")
    if manifest["kind"] != kind:
        raise ValueError(f"says this is a {manifest['kind']!r}, not a {kind!r}")
    if not isinstance(manifest["files"], dict):
        raise ValueError("must list its files as an object")
    files = {}
    for name, entry in manifest["files"].items():
        if not _FILE_NAME.fullmatch(name) or name == MANIFEST:
            raise ValueError(f"lists {name[:100]!r}, which cannot be one of its files")
        if not isinstance(entry, dict) or entry.keys() != {"size", "sha256"}:
            raise ValueError(f"must have exactly size and sha256 for {name}")
        size, sha256 = entry["size"], entry["sha256"]
        if type(size) is not int or size < 0 or not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise ValueError(f"has an impossible size or sha256 for {name}")
        files[name] = Fingerprint(size, sha256)
    return files


def _verify(file: Any, expected: Fingerprint) -> None:
    size = os.fstat(file.fileno()).st_size
    if size != expected.size:
        raise ValueError(f"has {size} bytes, but was written with {expected.size}")
    if hashlib.file_digest(file, "sha256").hexdigest() != expected.sha256:
        raise ValueError("is damaged: its SHA-256 is not the one it was written with")
