"""Waiting for what another process does: for a condition, and for its end."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path


def until(true: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until something is so while a process runs; it is a fault if it ends before."""
    end = time.monotonic() + 300  # of a machine that others use too
    while not true():
        assert time.monotonic() < end, "it never came to that"
        try:
            process.wait(0.01)
        except subprocess.TimeoutExpired:
            continue
        assert true(), f"the process ended before, with exit code {process.returncode}"


def children(process: int) -> list[int]:
    """Return the numbers of a process's children."""
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


class Ends:
    """Waits for the end of processes that are not children of this one."""

    def __init__(self, processes: Iterable[int]) -> None:
        """Watch processes from now on."""
        self._descriptors = [os.pidfd_open(process) for process in processes]

    def wait(self) -> None:
        """Wait until all have ended."""
        for descriptor in self._descriptors:
            assert select.select([descriptor], [], [], 300)[0], "it never ended"
            os.close(descriptor)
