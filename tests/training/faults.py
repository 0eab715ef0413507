"""Faults that tests inject below the code under test: system calls that fail or never return, and a real size limit."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from rewirl.storage import files

CALLS = ("fsync", "rename", "replace", "mkdir")
REMOVALS = ("unlink", "rmdir")


@contextlib.contextmanager
def intercepted(before: Callable[[], None], names: tuple[str, ...]) -> Iterator[None]:
    """Call `before` ahead of every system call of these names and of every write to a new file."""

    def guarded(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            before()
            return call(*args, **kwargs)

        return wrapper

    class GuardedFile:
        def __init__(self, file: Any) -> None:
            self._file = file
            self.write = guarded(file.write)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def __enter__(self) -> GuardedFile:
            return self

        def __exit__(self, *error: object) -> None:
            self._file.close()

    create = files._create
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(mock.patch.object(os, name, guarded(getattr(os, name))))
        stack.enter_context(mock.patch.object(files, "_create", lambda path: GuardedFile(create(path))))
        yield


@contextlib.contextmanager
def disk_full_from(call: int) -> Iterator[list[int]]:
    """Let everything that takes space fail from the given call on; yields a list that has the number of calls."""
    count = [0]

    def before() -> None:
        count[0] += 1
        if count[0] > call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with intercepted(before, CALLS):
        yield count


@contextlib.contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Let the kernel refuse to make any file larger: first a short write, then an error, as on a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def kill_everywhere(base: Path, prepare: Callable[[Path], None], act: Callable[[Path], None]) -> None:
    """For each system call of `act`, leave a directory `base/<n>` in which a process was killed just before call n."""
    for call in range(1000):
        root = base / f"{call:03d}"
        root.mkdir(parents=True)
        prepare(root)
        child = os.fork()
        if child == 0:
            count = 0

            def before(last: int = call) -> None:
                nonlocal count
                count += 1
                if count > last:
                    os.kill(os.getpid(), signal.SIGKILL)

            status = 1
            try:
                with intercepted(before, CALLS + REMOVALS):
                    act(root)
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            sys.exit(os.WEXITSTATUS(status))
    sys.exit("the action never ends")
