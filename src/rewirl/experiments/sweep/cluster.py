"""The same sweep on a Ray cluster: a task per run, which starts the same worker process as on one machine.

The nodes share the directory of the runs, so a run that loses its node continues from its checkpoint on another one.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

from rewirl.experiments.sweep.pool import Pool
from rewirl.experiments.sweep.worker import Message
from rewirl.options.option import SweepError

_ASK_SECONDS = 0.5
_KNOCK_SECONDS = 10.0
_RESOURCES_SECONDS = 5.0


class Board:
    """What runs tell and what they are told, as an actor beside whoever conducts the sweep."""

    def __init__(self) -> None:
        """See the class."""
        self._messages: list[tuple[str, str]] = []
        self._stopping = False

    def tell(self, name: str, message: str) -> None:
        """Note a message of a run, as JSON."""
        self._messages.append((name, message))

    def take(self) -> list[tuple[str, str]]:
        """Return the messages since the last call."""
        taken, self._messages = self._messages, []
        return taken

    def stop(self) -> None:
        """Note that all runs are to be saved and left."""
        self._stopping = True

    def stopping(self) -> bool:
        """Tell whether they are."""
        return self._stopping


def supervise(board: Any, name: str, run: str, measure: bool, path: list[str]) -> str:
    """Make a run in a process of its own on this node; what a Ray task does.

    Args:
        board: the actor.
        name: of the run.
        run: JSON.
        measure: whether it is only measured.
        path: where to look for modules, after where this process does.

    Returns:
        The last message, as JSON.
    """
    ray: Any = importlib.import_module("ray")
    own = [entry for entry in sys.path if isinstance(entry, str)]
    pool = Pool(1, list(dict.fromkeys([*own, *path])))
    stopping = False
    try:
        pool.start(name, json.loads(run), measure)
        while True:
            for _, message in pool.wait(_ASK_SECONDS):
                if "ended" in message:
                    return json.dumps(message)
                board.tell.remote(name, json.dumps(message))
            if not stopping and ray.get(board.stopping.remote()):
                stopping = True
                pool.stop()
    finally:
        pool.close()


def _knock(address: str) -> None:
    """Refuse an address where nobody listens; Ray itself would try for minutes."""
    if address in ("local", "auto"):
        return
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdigit()):
        raise ValueError('it must be host:port, "auto" or "local"')
    socket.create_connection((host.strip("[]"), int(port)), _KNOCK_SECONDS).close()


class Cluster:
    """The nodes of a Ray cluster.

    Args:
        address: host:port, "auto" for the one this machine belongs to, "local" for a new one on this machine.
        workers: how many runs side by side; None is as many as the cluster has CPUs.

    Raises:
        SweepError: Ray is not installed, or there is no such cluster.
    """

    def __init__(self, address: str, workers: int | None = None) -> None:
        """See the class."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a sweep is nobody else's business
        os.environ.setdefault(
            "RAY_NUM_REDIS_GET_RETRIES", "1"
        )  # auto may find a cluster that is gone, and insists on it
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise SweepError(f"--ray needs Ray: pip install 'rewirl[ray]' ({error})") from error
        self._ray = ray
        try:
            _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError) as error:
            raise SweepError(f"--ray {address}: no such cluster can be reached: {error}") from error
        strategies: Any = importlib.import_module("ray.util.scheduling_strategies")
        here = strategies.NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board = ray.remote(Board).options(num_cpus=0, scheduling_strategy=here).remote()
        self._task = ray.remote(supervise)
        self._path = [entry for entry in sys.path if isinstance(entry, str)]
        self._running: dict[Any, str] = {}
        self._asked = workers
        self._cpus, self._counted = 0, float("-inf")

    @property
    def workers(self) -> int:
        """See Place; nodes may come and go."""
        if self._asked is not None:
            return self._asked
        if time.monotonic() - self._counted > _RESOURCES_SECONDS:
            self._counted = time.monotonic()
            self._cpus = int(self._ray.cluster_resources().get("CPU", 0))
        return self._cpus

    def start(self, name: str, run: Mapping[str, Any], measure: bool = False) -> None:
        """See Place."""
        task = self._task.options(
            num_cpus=run["train"]["threads"], max_retries=0, name=name, scheduling_strategy="SPREAD"
        )
        self._running[task.remote(self._board, name, json.dumps(run), measure, self._path)] = name

    def wait(self, seconds: float) -> list[tuple[str, Message]]:
        """See Place."""
        if not self._running:
            time.sleep(seconds)
            return []
        done, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=seconds)
        found = [(name, json.loads(message)) for name, message in self._ray.get(self._board.take.remote())]
        for task in done:
            name = self._running.pop(task)
            try:
                found.append((name, json.loads(self._ray.get(task))))
            except self._ray.exceptions.RayTaskError as error:
                found.append((name, {"ended": "failed", "reason": str(error.cause)}))
            except self._ray.exceptions.RayError as error:
                reason = f"lost with its node ({type(error).__name__})"
                found.append((name, {"ended": "killed", "reason": reason}))
        return found

    def stop(self) -> None:
        """See Place."""
        self._board.stop.remote()

    def close(self) -> None:
        """See Place."""
        if self._ray.is_initialized():
            if self._running:
                self._board.stop.remote()
                self._ray.wait(list(self._running), num_returns=len(self._running))
            self._ray.shutdown()
