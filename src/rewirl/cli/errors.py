"""What the command line says when something cannot be done: one message, and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rewirl.printing import ended, say


class UsageError(Exception):
    """What was asked for cannot be done; the message says why and what to do instead."""


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """Turn what is refused at the door, before anything runs, into a UsageError."""
    from rewirl.storage.checkpoint import CheckpointError
    from rewirl.storage.policy_file import PolicyError
    from rewirl.storage.run_directory import RunDirectoryError
    from rewirl.training.watch import WatchError

    try:
        yield
    except (ValueError, CheckpointError, PolicyError, RunDirectoryError, WatchError) as error:
        raise UsageError(str(error)) from error
    except OverflowError as error:
        raise UsageError(f"a number is too large for what it is used for ({error}); choose smaller ones") from error
    except OSError as error:
        raise UsageError(in_words(error)) from error
    except MemoryError as error:
        raise UsageError(f"this does not fit into memory ({error or 'no details'}); choose smaller sizes") from error


def in_words(error: OSError) -> str:
    """Return what the system refused, with the file it is about."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{reason}: {os.fsdecode(error.filename)}" if isinstance(error.filename, (str, bytes)) else reason


@contextlib.contextmanager
def unprintable_output_ignored() -> Iterator[None]:
    """Leave out what cannot be printed, as progress does: the run and its exit code do not depend on it."""
    try:
        yield
    finally:
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except (OSError, ValueError, AttributeError):
            sys.stdout = None  # or Python would try again, and exit with a code of its own


def failed(problem: object, more: str = "") -> int:
    """Print what went wrong on the way.

    Args:
        problem: the error or its message.
        more: a further line.

    Returns:
        The exit code, 1.
    """
    say(f"rewirl: {ended(problem)}", *([more] if more else []))
    return 1


def require_directory(option: str, path: Path) -> None:
    """Refuse a directory that is another kind of file, or lies below one; it need not exist.

    Args:
        option: as it is typed, such as "--directory".
        path: what was given.

    Raises:
        UsageError: nothing can be put there.
    """
    from rewirl.storage.files import found

    try:
        there = next((each for each in (path, *path.absolute().parents) if found(each) or each.is_symlink()), None)
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be: {error.strerror or error}; choose another one") from error
    if there is not None and not there.is_dir():
        raise UsageError(f"{option} {path} cannot be: {there} is not a directory; choose another one")


def require_writable(option: str, path: Path) -> None:
    """Make a directory if it is not there, and refuse one that nothing can be written into.

    Args:
        option: as it is typed, such as "--directory".
        path: what was given.

    Raises:
        UsageError: nothing can be put there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be written to: {error.strerror}; choose another one") from error


def require_at_least_one(option: str, value: int) -> None:
    """Refuse a count below 1.

    Args:
        option: as it is typed, such as "--episodes".
        value: of the option.

    Raises:
        UsageError: the value is below 1.
    """
    if value < 1:
        raise UsageError(f"{option} must be at least 1, got {value}")
