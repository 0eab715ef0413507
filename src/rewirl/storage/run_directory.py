"""A run's directory: who owns it, what was configured, and where everything is."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import re
import warnings
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rewirl.printing import option, to_resume
from rewirl.storage import bundle, strict_json
from rewirl.storage.files import (
    close_descriptor,
    exists,
    lock_file,
    open_regular,
    read_json,
    sync_directory,
    write_atomically,
    written_as,
)
from rewirl.storage.no_run import why_no_run
from rewirl.storage.provenance import made_with

_FORMAT = 1
_CONFIG = "config.json"
_LOCK = "lock"
_LARGEST_RECORD = 4 * 2**20
"""Bytes of config.json: text of more may take gigabytes once it is parsed."""
_OWN = re.compile(r"config\.json|metrics\.jsonl|policy")
"""What has a temporary name while it is written here; anything else with such a name is the user's own."""


class RunDirectoryError(Exception):
    """A directory cannot be used for this run; the message says why and what to do."""


class RunInUseError(RunDirectoryError):
    """The directory is in use, by another process or by an agent of this program."""


class RunDirectory:
    """One run on disk, owned by one process at a time; use it as a context manager or call `close`.

    The lock is the kernel's: it ends with the process however that ends, and a lock file left behind means nothing.
    """

    path: Path
    """The directory, absolute."""

    record: dict[str, Any]
    """config.json as a whole: format, config, config_hash, versions, git_revision, machine."""

    def __init__(self, path: Path, record: dict[str, Any], lock: int | None) -> None:
        """Hold an opened directory; use `create` or `open` instead."""
        self.path = path
        self.record = record
        self._lock = lock
        self._owner = os.getpid()
        self._identity = _identity(path)
        if lock is not None:
            _owned.add(self)

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any], *, instruction_set: str, kernels: int | None = None) -> Self:
        """Start a new run in a directory that is missing or empty, and lock it.

        Args:
            path: the run's directory; parents are created.
            config: the resolved configuration as JSON values (tuples become lists).
            instruction_set: what the native core runs on, e.g. "avx512"; recorded only.
            kernels: generation of its kernels, see `rewirl resume`; recorded only.

        Raises:
            RunDirectoryError: the directory is in use, holds something else, or already holds a run. A run of another
                configuration is refused with the differing keys; for the same one, `rewirl resume` is named.
            ValueError: the configuration is not JSON; names the key.
        """
        path = path.absolute()
        plain = strict_json.plain(config, "config")
        _refuse_foreign(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            sync_directory(path.parent)
            lock = _acquire(path, f", or choose another {option('run_dir')}")
        except OSError as error:
            remedy = f"choose another {option('run_dir')}"
            raise RunDirectoryError(f"{path} cannot be created: {error.strerror or error}; {remedy}") from error
        try:
            if exists(path / _CONFIG):
                _refuse_existing(path, _read_record(path)["config"], plain)
            _refuse_foreign(path)
            record = _record(plain, instruction_set, kernels)
            write_atomically(path / _CONFIG, strict_json.encode(record, _CONFIG, _LARGEST_RECORD))
        except OSError as error:
            os.close(lock)
            raise RunDirectoryError(f"{path / _CONFIG} cannot be written: {error.strerror or error}") from error
        except BaseException:
            os.close(lock)
            raise
        return cls(path, record, lock)

    @classmethod
    def open(cls, path: Path, *, lock: bool = True) -> Self:
        """Open an existing run.

        Args:
            path: the run's directory.
            lock: whether to own it, and remove what a killed owner left half-written. Without the lock nothing may be
                written: this is for looking at a run in progress.

        Raises:
            RunDirectoryError: there is no run, its config.json is damaged, another process owns it, or a part of it
                that would be written to is a link.
        """
        path = path.absolute()
        if not exists(path / _CONFIG):
            raise RunDirectoryError(f"{path} holds no run: {why_no_run(path, _CONFIG)}")
        if not lock:
            return cls(path, _read_record(path), None)
        try:
            descriptor = _acquire(path)
        except OSError as error:
            raise RunDirectoryError(f"{path / _LOCK} cannot be locked: {error.strerror or error}") from error
        try:
            record = _read_record(path)
            _refuse_links(path)
            bundle.sweep(path, _OWN)
        except OSError as error:
            os.close(descriptor)
            raise RunDirectoryError(f"{path} cannot be tidied up: {error}") from error
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, record, descriptor)

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, as JSON values."""
        config: dict[str, Any] = self.record["config"]
        return config

    @property
    def metrics(self) -> Path:
        """The metrics log, `metrics.jsonl`."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The directory of checkpoints."""
        return self.path / "checkpoints"

    @property
    def policy(self) -> Path:
        """The directory of the saved policy."""
        return self.path / "policy"

    @property
    def tensorboard(self) -> Path:
        """The directory of TensorBoard event files."""
        return self.path / "tensorboard"

    def hold(self) -> None:
        """Make sure that the directory is still there and this process's own, before something is written.

        Without its lock file alone it is locked anew.

        Raises:
            RunDirectoryError: it was deleted, moved or taken over, or has been closed here.
        """
        if self._lock is None:
            raise RunDirectoryError(f"{self.path} has been closed; its run goes on with: {to_resume(self.path)}")
        if _same_file(self.path / _LOCK, self._lock):
            return
        if not exists(self.path / _CONFIG):
            raise self._gone()
        try:
            lock = _acquire(self.path)
        except OSError as error:
            raise RunDirectoryError(f"{self.path / _LOCK} cannot be locked: {error.strerror or error}") from error
        if _identity(self.path) != self._identity:
            os.close(lock)
            raise self._gone(", and there is another run by now")
        os.close(self._lock)
        self._lock = lock

    def _gone(self, instead: str = "") -> RunDirectoryError:
        return RunDirectoryError(
            f"{self.path} was deleted or moved while the run was going on{instead}, so nothing more can be saved "
            f"there. Where it was moved, go on with: {to_resume('DIRECTORY')}"
        )

    def abandon(self) -> None:
        """Give up a directory that was just created: another run may be created there."""
        for file in (self.metrics, self.path / _CONFIG):
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Release the lock; idempotent."""
        if self._lock is not None:
            lock, self._lock = self._lock, None
            with contextlib.suppress(OSError):
                os.ftruncate(lock, 0)
            close_descriptor(lock, self.path / _LOCK, warnings.warn)

    def __del__(self) -> None:
        """Release the lock of a directory that was forgotten."""
        if self._owner == os.getpid():
            self.close()

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lock."""
        self.close()


_owned: weakref.WeakSet[RunDirectory] = weakref.WeakSet()


def _disown() -> None:
    """Let a forked process keep no lock: it may outlive the one that owns the run."""
    for directory in list(_owned):
        if directory._lock is not None:
            os.close(directory._lock)
            directory._lock = None


os.register_at_fork(after_in_child=_disown)


def _same_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # that it cannot be looked at now does not mean that it is gone


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Return what tells the directory of a run from another one that has its name later."""
    try:
        status = path.stat()
        return status.st_dev, status.st_ino, (path / _CONFIG).stat().st_mtime_ns
    except OSError:
        return None


def _acquire(path: Path, instead: str = "") -> int:
    """Lock a directory; one that an agent of this process holds that nobody has any more is let go first.

    Args:
        path: the directory.
        instead: what else could be done if it is in use, for the message.
    """
    try:
        return _lock(path, instead)
    except RunInUseError:
        if gc.collect() == 0:
            raise
    return _lock(path, instead)


def _lock(path: Path, instead: str) -> int:
    try:
        return lock_file(path / _LOCK)
    except BlockingIOError as owner:
        # A process of the same number may be another one, in another container.
        if any(own._lock is not None and _same_file(path / _LOCK, own._lock) for own in list(_owned)):
            remedy = f"close its agent first, with agent.close(), or go on with that agent{instead}"
            raise RunInUseError(f"{path} is in use by this program: {remedy}") from None
        raise RunInUseError(f"{path} is in use by {owner}; stop it first{instead}") from None


def _refuse_foreign(path: Path) -> None:
    """Refuse a directory that holds something, but not a run."""
    if exists(path) and not path.is_dir():
        raise RunDirectoryError(f"{path} is not a directory; choose another {option('run_dir')}")
    if not exists(path):
        return
    # A process killed while it created the run leaves a lock and half a config.json.
    names = (entry.name for entry in path.iterdir())
    others = sorted(name for name in names if name != _LOCK and written_as(name) != _CONFIG)
    if others and not exists(path / _CONFIG):  # asked last: another process may have just begun the run
        raise RunDirectoryError(f"{path} holds {others[0]!r} but no run; choose an empty or new {option('run_dir')}")


def _refuse_links(path: Path) -> None:
    """Refuse a run of which a part lies elsewhere: files there would be removed as those of old checkpoints are."""
    for name in ("checkpoints", "policy", "tensorboard"):
        if (path / name).is_symlink():
            raise RunDirectoryError(
                f"{path / name} is a symbolic link, and a run is only written to in its own directory; put the "
                "directory itself in its place, or move the whole run and link to that"
            )


def _refuse_existing(path: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    differing = list(differences(there, here, ""))
    if not differing:
        raise RunDirectoryError(f"{path} already holds this run; continue it with: {to_resume(path)}")
    raise RunDirectoryError(
        "\n  ".join([f"{path} already holds a run of another configuration:", *differing])
        + f"\nContinue that one with: {to_resume(path)}, or choose another {option('run_dir')}"
    )


def differences(there: Any, here: Any, name: str) -> Iterator[str]:
    """Return a line for every key below `name` in which two configurations, as JSON values, differ."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in [*there, *(key for key in here if key not in there)]:
            full = f"{name}.{key}" if name else key
            if key not in here:
                yield f"{full}: {_show(there[key])} there, absent here"
            elif key not in there:
                yield f"{full}: absent there, {_show(here[key])} here"
            else:
                yield from differences(there[key], here[key], full)
    elif strict_json.canonical(there, name) != strict_json.canonical(here, name):
        yield f"{name}: {_show(there)} there, {_show(here)} here"


def _show(value: Any) -> str:
    return strict_json.canonical(value, "value").decode()


def _record(config: dict[str, Any], instruction_set: str, kernels: int | None) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "config": config,
        "config_hash": hash_of(config),
        **made_with(instruction_set, kernels),
    }


def _read_record(path: Path) -> dict[str, Any]:
    file_path = path / _CONFIG
    try:
        with open_regular(file_path) as file:
            record = read_json(file, _LARGEST_RECORD)
    except ValueError as error:
        raise RunDirectoryError(f"{file_path} {error}") from error
    except OSError as error:
        raise RunDirectoryError(f"{file_path} cannot be read: {error.strerror or error}") from error
    if not isinstance(record, dict) or not isinstance(record.get("config"), dict):
        raise RunDirectoryError(f"{file_path} is not the record of a run")
    if record.get("format") != _FORMAT:
        raise RunDirectoryError(
            f"{file_path} has format {record.get('format')!r}; this version of Rewirl reads {_FORMAT}"
        )
    try:
        unchanged = record.get("config_hash") == hash_of(record["config"])
    except ValueError as error:  # nested deeper than what was written ever is
        raise RunDirectoryError(f"{file_path} is not the record of a run: {error}") from error
    if not unchanged:
        raise RunDirectoryError(
            f"{file_path} was changed after the run started: its configuration does not match its config_hash. "
            "Undo the change, or start a new run"
        )
    return record


def hash_of(config: dict[str, Any]) -> str:
    """Return the `config_hash` of a record, by which a change to its configuration is found.

    Args:
        config: of the record, JSON values.

    Returns:
        SHA-256 of its canonical JSON, in hexadecimal digits.

    Raises:
        ValueError: it is no JSON, or nested too deep.
    """
    return hashlib.sha256(strict_json.canonical(config, "config")).hexdigest()
