"""Worker processes on this machine, one per run, so that one that is killed or crashes takes no other with it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import IO, Any, Protocol

from rewirl import processes
from rewirl.experiments.sweep.worker import Message
from rewirl.storage import strict_json

_PATIENCE_SECONDS = 10.0
_TAIL = 10_000


class Place(Protocol):
    """Where the runs of a sweep are made."""

    @property
    def workers(self) -> int:
        """How many runs it can make side by side, now."""

    def start(self, name: str, run: Mapping[str, Any], measure: bool = False) -> None:
        """Start to make a run, given as `PlannedRun.values`; or only measure how fast it would be."""

    def wait(self, seconds: float) -> list[tuple[str, Message]]:
        """Return what the runs have told since, after so many seconds at the latest."""

    def stop(self) -> None:
        """Ask all runs to save and end."""

    def close(self) -> None:
        """Release what is held; runs still in progress are saved and end. Idempotent."""


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    pipe: Connection[Any, Any]
    output: IO[bytes]
    ended: Message | None = None


class Pool:
    """A process per run.

    Args:
        workers: how many runs side by side.
        path: where the processes look for modules; None is where this one does.
    """

    def __init__(self, workers: int, path: list[str] | None = None) -> None:
        """See the class."""
        self.workers = workers
        self._path = path or processes.search_path()
        self._workers: dict[str, _Worker] = {}

    def processes(self) -> dict[str, int]:
        """Return the process number of each run in progress."""
        return {name: worker.process.pid for name, worker in self._workers.items()}

    def start(self, name: str, run: Mapping[str, Any], measure: bool = False) -> None:
        """See Place."""
        output = tempfile.TemporaryFile()  # noqa: SIM115
        process, pipe = processes.start("rewirl.experiments.sweep.worker", "main", output, self._path)
        self._workers[name] = _Worker(process, pipe, output)
        with contextlib.suppress(OSError):  # killed already; `wait` finds out
            pipe.send_bytes(json.dumps({"run": run, "measure": measure}).encode())

    def wait(self, seconds: float) -> list[tuple[str, Message]]:
        """See Place."""
        found: list[tuple[str, Message]] = []
        if not self._workers:
            time.sleep(seconds)
            return found
        wait([worker.pipe for worker in self._workers.values()], seconds)
        for name, worker in list(self._workers.items()):
            over = worker.process.poll() is not None  # before the pipe is read: what was sent is there then
            if self._read(name, worker, found) or over:
                found.append((name, self._buried(worker)))
                del self._workers[name]
        return found

    def stop(self) -> None:
        """See Place."""
        for worker in self._workers.values():
            with contextlib.suppress(OSError):  # it is over already
                worker.pipe.send_bytes(b"stop")

    def close(self) -> None:
        """See Place."""
        for worker in self._workers.values():
            worker.pipe.close()
        for worker in self._workers.values():
            worker.process.wait()
            worker.output.close()
        self._workers.clear()

    def _read(self, name: str, worker: _Worker, found: list[tuple[str, Message]]) -> bool:
        """Read all messages that have come; return whether there will be no more."""
        try:
            while worker.pipe.poll():
                message = strict_json.decode(worker.pipe.recv_bytes())
                if "ended" in message:
                    worker.ended = message
                else:
                    found.append((name, message))
        except (OSError, EOFError):
            return True
        return False

    def _buried(self, worker: _Worker) -> Message:
        """Wait for a process that is over or about to be, and return what became of its run."""
        worker.pipe.close()
        code = processes.end(worker.process, _PATIENCE_SECONDS)
        with worker.output as output:
            output.seek(-min(output.seek(0, 2), _TAIL), 2)
            lines = output.read().decode(errors="replace").strip().splitlines()
        if worker.ended is not None:
            return worker.ended
        if code < 0:
            return {"ended": "killed", "reason": f"killed by {signal.Signals(-code).name}"}
        last = f": {lines[-1]}" if lines else ""
        return {"ended": "failed", "reason": f"its process ended with exit code {code}{last}"}
