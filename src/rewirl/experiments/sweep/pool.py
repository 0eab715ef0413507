"""Executes runs in processes on this machine, one per run: a run that is killed or crashes ends no other."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import IO, Any

from rewirl import processes
from rewirl.experiments.sweep.executor import Message
from rewirl.storage import strict_json

_EXIT_SECONDS = 10.0
_TAIL_BYTES = 10_000


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    pipe: Connection[Any, Any]
    output: IO[bytes]
    ended: Message | None = None


class ProcessPool:
    """An executor with a process per run.

    Args:
        workers: how many runs at the same time.
        path: the processes' `sys.path`; None is that of this process.
    """

    def __init__(self, workers: int, path: list[str] | None = None) -> None:
        self.workers = workers
        self._path = path or processes.search_path()
        self._workers: dict[str, _Worker] = {}

    def processes(self) -> dict[str, int]:
        """Return the process number of each run in progress."""
        return {name: worker.process.pid for name, worker in self._workers.items()}

    def start(self, name: str, run: Mapping[str, Any], measure: bool = False) -> None:
        """See Executor."""
        output = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            process, pipe = processes.start("rewirl.experiments.sweep.worker", "main", output, self._path)
        except BaseException:
            output.close()
            raise
        self._workers[name] = _Worker(process, pipe, output)
        with contextlib.suppress(OSError):  # killed already; `wait` notices
            pipe.send_bytes(json.dumps({"run": run, "measure": measure}).encode())

    def wait(self, seconds: float) -> list[tuple[str, Message]]:
        """See Executor."""
        messages: list[tuple[str, Message]] = []
        if not self._workers:
            time.sleep(seconds)
            return messages
        wait([worker.pipe for worker in self._workers.values()], seconds)
        for name, worker in list(self._workers.items()):
            over = worker.process.poll() is not None  # before the pipe is read: what was sent is there then
            if self._read(name, worker, messages) or over:
                messages.append((name, self._ended(worker)))
                del self._workers[name]
        return messages

    def stop(self, name: str | None = None) -> None:
        """See Executor."""
        for other, worker in self._workers.items():
            if name in (None, other):
                with contextlib.suppress(OSError):  # it is over already
                    worker.pipe.send_bytes(b"stop")

    def close(self) -> None:
        """See Executor."""
        for worker in self._workers.values():
            worker.pipe.close()
        for worker in self._workers.values():
            worker.process.wait()
            worker.output.close()
        self._workers.clear()

    def _read(self, name: str, worker: _Worker, messages: list[tuple[str, Message]]) -> bool:
        """Read all messages that have arrived; return whether it was the end of them."""
        try:
            while worker.pipe.poll():
                message = strict_json.decode(worker.pipe.recv_bytes())
                if "ended" in message:
                    worker.ended = message
                else:
                    messages.append((name, message))
        except (OSError, EOFError):
            return True
        return False

    def _ended(self, worker: _Worker) -> Message:
        """Wait for a process that has ended or is about to, and return the last message of its run."""
        worker.pipe.close()
        code = processes.end(worker.process, _EXIT_SECONDS)
        with worker.output as output:
            output.seek(-min(output.seek(0, 2), _TAIL_BYTES), 2)
            lines = output.read().decode(errors="replace").strip().splitlines()
        if worker.ended is not None:
            return worker.ended
        if code < 0:
            return {"ended": "killed", "reason": f"killed by {processes.signal_name(-code)}"}
        last = f": {lines[-1]}" if lines else ""
        return {"ended": "failed", "reason": f"its process ended with exit code {code}{last}"}
