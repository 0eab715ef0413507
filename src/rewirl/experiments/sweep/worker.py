"""The process of one run: started or continued, trained to the end, and what became of it told over a socket.

The socket is also a leash: when something comes over it, or the other end closes because whoever conducts the sweep was
killed, the run is saved and left.
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
from rewirl.experiments.sweep.plan import PlannedRun, other_settings, standing
from rewirl.options.option import SweepError
from rewirl.storage import strict_json
from rewirl.storage.checkpoint import CheckpointError
from rewirl.storage.policy_file import PolicyError
from rewirl.storage.run_directory import RunDirectoryError, RunInUseError
from rewirl.training import run as runs
from rewirl.training.evaluation import Evaluation
from rewirl.training.loop import DivergedError
from rewirl.training.resume import resume
from rewirl.training.signals import StopRequest

Message = dict[str, Any]
"""JSON values. The last one of a process has `ended`: finished, stopped, in use, failed or killed, and a `reason`."""

_EVERY_SECONDS = 0.5


class Telling:
    """Progress that is told to another process."""

    def __init__(self, tell: Callable[[Message], None]) -> None:
        """Call `tell` with every message."""
        self._tell = tell
        self._next = 0.0

    def begin(self, step: int, total: int) -> None:
        """See Progress."""
        self._tell({"begin": step, "total": total})

    def step(self, step: int) -> None:
        """See Progress."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _EVERY_SECONDS
            self._tell({"step": step})

    def evaluated(self, step: int, evaluation: Evaluation, density: float) -> None:
        """See Progress."""
        self._tell({"step": step, "return": evaluation.mean})

    def message(self, text: str) -> None:
        """See Progress."""
        self._tell({"message": text})

    def end(self) -> None:
        """See Progress."""


def make(planned: PlannedRun, progress: Any, stop: Callable[[], bool]) -> Message:
    """Start or continue a run and train it to the end, or until `stop`, asked after every step, is true.

    Returns:
        The last message: what became of it. Nothing is raised but what no one foresaw.
    """
    try:
        run = _opened(planned, progress)
        if run is None:
            return {"ended": "finished"}
        with run:
            outcome = run.train(stop)
    except RunInUseError as error:
        return {"ended": "in use", "reason": str(error)}
    except (RunDirectoryError, CheckpointError, PolicyError, FaultyEnvironmentError, DivergedError) as error:
        return {"ended": "failed", "reason": str(error)}
    except (ValueError, OSError) as error:
        return {"ended": "failed", "reason": f"{type(error).__name__}: {error}"}
    if not outcome.saved:
        reason = f"step {outcome.step:,} could not be saved; see the warnings of this run"
        return {"ended": "failed", "reason": reason}
    return {"ended": "finished" if outcome.finished else "stopped"}


def _opened(planned: PlannedRun, progress: Any) -> runs.Run | None:
    if not (planned.path / "config.json").exists():
        try:
            return runs.start(planned.config, planned.agent_config, planned.path, progress)
        except RunInUseError:
            raise
        except RunDirectoryError:
            if not (planned.path / "config.json").exists():
                raise
            # Another sweep made it since we looked.
    others = other_settings(planned)
    if others:
        raise SweepError("\n".join(["the directory holds a run with other settings:", *others]))
    if standing(planned).state == "finished":
        return None
    return resume(planned.path, progress, planned.config.total_timesteps)


def main(descriptor: int) -> None:
    """Make the run that comes over a socket; what a worker process runs.

    Args:
        descriptor: of the socket. First comes the run, or what is to be measured, as JSON, and then nothing but the
            wish to stop; messages go the other way.
    """
    with StopRequest() as stop, Connection(descriptor) as pipe:
        job = strict_json.decode(pipe.recv_bytes())

        def tell(message: Message) -> None:
            with contextlib.suppress(OSError):  # nobody listens any more: the leash stops the run
                pipe.send_bytes(json.dumps(message).encode())

        def leash() -> None:
            with contextlib.suppress(OSError, EOFError):
                pipe.recv_bytes()
            if stop.signal is None:
                stop.signal = signal.SIGTERM

        threading.Thread(target=leash, daemon=True).start()
        try:
            tell(_done(job, Telling(tell), lambda: bool(stop)))
        except Exception as error:
            traceback.print_exc()
            tell({"ended": "failed", "reason": f"{type(error).__name__}: {error}"})


def _done(job: Mapping[str, Any], progress: Telling, stop: Callable[[], bool]) -> Message:
    planned = PlannedRun.from_values(job["run"])
    if job["measure"]:
        from rewirl.experiments.sweep.estimate import measure

        return {"ended": "finished", "rates": measure(planned)}
    return make(planned, progress, stop)
