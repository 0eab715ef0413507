"""System calls that fail, kill, or bring a signal: what scenarios hand to a trainee to prepare itself with."""

from __future__ import annotations

import errno
import mmap
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest import mock

from faults import CALLS, REMOVALS, intercepted

from rewirl.storage import files

WRITES = ("write", "pwrite", "ftruncate")


_for_good: list[ExitStack] = []


class Counter:
    """A number that a process shares with those forked from it."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8)

    @property
    def value(self) -> int:
        return int.from_bytes(self._memory[:8], "little")

    @value.setter
    def value(self, number: int) -> None:
        self._memory[:8] = number.to_bytes(8, "little")


def count_changes(counter: Counter) -> Callable[[], None]:
    """Count the system calls that change something on disk."""

    def prepare() -> None:
        def before() -> None:
            counter.value += 1

        _enter(before)

    return prepare


def at_change(number: int, act: Callable[[], None]) -> Callable[[], None]:
    """Act just before so many system calls have changed something on disk, counted from 1."""

    def prepare() -> None:
        count = 0

        def before() -> None:
            nonlocal count
            count += 1
            if count == number:
                act()

        _enter(before)

    return prepare


def kill_at_change(number: int) -> Callable[[], None]:
    """Kill the process there."""
    return at_change(number, lambda: os.kill(os.getpid(), signal.SIGKILL))


def refused(
    first: int, last: float, code: int, counter: Counter | None = None, existing: bool = False
) -> Callable[[], None]:
    """Let the system refuse what takes space on disk from the call `first`, counted from 1, to the call `last`.

    Args:
        first: the first call that fails.
        last: the last.
        code: how: errno.ENOSPC, errno.EROFS.
        counter: gets the number of calls.
        existing: whether changing what is there already, and removing, fails too, as on a read-only disk.
    """

    def prepare() -> None:
        count = 0

        def before() -> None:
            nonlocal count
            count += 1
            if counter is not None:
                counter.value = count
            if first <= count <= last:
                raise OSError(code, os.strerror(code))

        _enter(before, (*CALLS, "write", "pwrite", *((*REMOVALS, "ftruncate") if existing else ())), existing)

    return prepare


def no_space(first: int, last: float, counter: Counter | None = None) -> Callable[[], None]:
    """Let what takes space fail as on a full disk."""
    return refused(first, last, errno.ENOSPC, counter)


def _enter(
    before: Callable[[], None], names: tuple[str, ...] = (*CALLS, *REMOVALS, *WRITES), locks: bool = False
) -> None:
    """Call `before` ahead of these system calls, of making files, and of writing to new ones, for good."""
    stack = ExitStack()
    stack.enter_context(intercepted(before, names))
    create, open_ = files._create, os.open

    def guarded_create(path: Any) -> Any:
        before()
        return create(path)

    def guarded_open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_CREAT and (locks or not os.path.lexists(path)):
            before()
        return open_(path, flags, mode, dir_fd=dir_fd)

    stack.enter_context(mock.patch.object(files, "_create", guarded_create))
    stack.enter_context(mock.patch.object(os, "open", guarded_open))
    _for_good.append(stack.pop_all())
