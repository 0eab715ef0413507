"""The process of one run: starts or continues it, trains it to the end, and reports over a socket.

When anything arrives over the socket, or its other end closes because the sweep was killed, the run is saved and left.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from rewirl.environments.environment import FaultyEnvironmentError
from rewirl.experiments.sweep.error import SweepError
from rewirl.experiments.sweep.executor import Message
from rewirl.experiments.sweep.measure import measure
from rewirl.experiments.sweep.plan import PlannedRun, other_settings, run_status
from rewirl.plugins import place_of
from rewirl.printing import command_line
from rewirl.storage import strict_json
from rewirl.storage.checkpoint import CheckpointError
from rewirl.storage.files import found
from rewirl.storage.policy_file import PolicyError
from rewirl.storage.run_directory import RunDirectoryError, RunInUseError
from rewirl.training import run as runs
from rewirl.training.divergence import DivergedError
from rewirl.training.evaluation import Evaluation
from rewirl.training.resume import resume
from rewirl.training.signals import StopRequest

_EVERY_SECONDS = 0.5


class RemoteProgress:
    """Progress that is reported to another process."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        """Call `send` with every message."""
        self._send = send
        self._next = 0.0

    def begin(self, step: int, total: int, learning_starts: int = 0, warm_up: str = "") -> None:
        """See Progress."""
        self._send({"begin": step, "total": total})

    def step(self, step: int) -> None:
        """See Progress."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _EVERY_SECONDS
            self._send({"step": step})

    def episode(self, total_reward: float) -> None:
        """See Progress."""

    def evaluated(self, step: int, evaluation: Evaluation, density: float) -> None:
        """See Progress."""
        self._send({"step": step, "return": evaluation.mean})

    def message(self, text: str) -> None:
        """See Progress."""
        self._send({"message": text})

    def end(self) -> None:
        """See Progress."""


def make_run(planned: PlannedRun, progress: Any, stop: Callable[[], bool]) -> Message:
    """Start or continue a run and train it to the end, or until `stop`, asked after every step, is true.

    Returns:
        The last message: how it ended. Every expected error becomes a message too.
    """
    try:
        run = _open(planned, progress)
        if run is None:
            return {"ended": "finished"}
        with run:
            outcome = run.train(stop)
    except RunInUseError as error:
        return {"ended": "in use", "reason": str(error)}
    except DivergedError as error:
        return {"ended": "failed", "reason": str(error), "diverged": True}
    except (RunDirectoryError, CheckpointError, PolicyError, FaultyEnvironmentError) as error:
        return {"ended": "failed", "reason": str(error)}
    except (ValueError, OSError) as error:
        return {"ended": "failed", "reason": f"{type(error).__name__}: {error}{place_of(error)}"}
    if not outcome.saved:
        reason = f"step {outcome.step:,} could not be saved; see the warnings of this run"
        return {"ended": "failed", "reason": reason}
    return {"ended": "finished" if outcome.finished else "stopped"}


def _open(planned: PlannedRun, progress: Any) -> runs.Run | None:
    if not found(planned.path / "config.json"):
        try:
            return runs.start(planned.config, planned.agent_config, planned.path, progress)
        except RunInUseError:
            raise
        except RunDirectoryError:
            if not found(planned.path / "config.json"):
                raise
            # Another sweep has started it in the meantime.
    differences = other_settings(planned)
    if differences:
        raise SweepError("\n".join(["the directory holds a run with other settings:", *differences]))
    if run_status(planned).state == "finished":
        return None
    return resume(planned.path, progress, planned.config.total_timesteps)


def main(descriptor: int) -> None:
    """Execute the run that arrives over a socket; what a worker process calls.

    Args:
        descriptor: of the socket. The run, or what is to be measured, arrives first, as JSON, and later perhaps the
            request to stop; messages go the other way.
    """
    with StopRequest() as stop, Connection(descriptor) as pipe, command_line():
        job = strict_json.decode(pipe.recv_bytes())

        def send(message: Message) -> None:
            with contextlib.suppress(OSError):  # the other end is closed, which stops the run
                pipe.send_bytes(json.dumps(message).encode())

        def watch_for_stop() -> None:
            with contextlib.suppress(OSError, EOFError):
                pipe.recv_bytes()
            if stop.signal is None:
                stop.signal = signal.SIGTERM

        threading.Thread(target=watch_for_stop, daemon=True).start()
        try:
            send(_execute(job, RemoteProgress(send), lambda: bool(stop)))
        except Exception as error:
            traceback.print_exc()
            send({"ended": "failed", "reason": f"{type(error).__name__}: {error}{place_of(error)}"})


def _execute(job: Mapping[str, Any], progress: RemoteProgress, stop: Callable[[], bool]) -> Message:
    planned = PlannedRun.from_values(job["run"])
    if job["measure"]:
        return {"ended": "finished", "rates": measure(planned)}
    return make_run(planned, progress, stop)
