"""Child processes: a fresh interpreter that runs one function, and a socket between it and this one.

A child neither copies this process's threads nor imports the user's script, and it ends when the socket closes.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import IO, Any

_BOOT = "import sys, json; sys.path[:] = json.loads(sys.argv[2]); from {0} import {1}; {1}(int(sys.argv[1]))"

PATIENCE_SECONDS = 2.0
"""How long a child whose socket is closed has to end in order."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def search_path() -> list[str]:
    """Return where this process looks for modules, as another one can be told."""
    return [entry for entry in sys.path if isinstance(entry, str)]


def signal_name(number: int) -> str:
    """Return what a signal is called: SIGKILL, or "signal 35" for one of those that have no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def start(
    module: str, function: str, output: IO[bytes] | None = None, path: Sequence[str] | None = None
) -> tuple[subprocess.Popen[bytes], Connection[Any, Any]]:
    """Start a fresh interpreter that calls a function with the descriptor of a socket.

    The child has a session of its own: Ctrl-C of the terminal reaches its parent alone, which decides.

    Args:
        module: where the function is.
        function: name of a function that takes the descriptor, an integer, as its only argument.
        output: file for the child's standard output and error; None is where this process's go.
        path: where the child looks for modules; None is where this process does.

    Returns:
        The process, and this side of the socket.

    Raises:
        OSError: the system has no room for another process or socket.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        modules = json.dumps(search_path() if path is None else list(path))
        boot = _BOOT.format(module, function)
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", boot, str(theirs.fileno()), modules],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        return process, Connection(ours.detach())


def end_with_parent(descriptor: int) -> None:
    """Let this child end when its parent has gone, and not by signals, which are for the parent to obey.

    It ends in a step that never ends too, unless that keeps Python's lock. It has as long for an end of its own as
    `end` gives it, which a parent that was killed does not call.

    Args:
        descriptor: of the socket between them.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)

    def watch() -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLHUP)
        while not any(event & select.POLLHUP for _, event in poll.poll()):
            time.sleep(1)  # macOS may return for a request that waits to be read
        time.sleep(PATIENCE_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end(process: subprocess.Popen[bytes], patience_seconds: float = PATIENCE_SECONDS) -> int:
    """Wait for a child whose socket is closed, and kill it when it takes too long; return its exit code."""
    try:
        return process.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
