"""The same sweep on a Ray cluster: a task per run, which starts the same worker process as on one machine.

The nodes share the directory of the runs: a run that loses its node continues from its checkpoint on another one.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from rewirl import processes
from rewirl.experiments.sweep.error import SweepError
from rewirl.experiments.sweep.executor import Message
from rewirl.experiments.sweep.pool import ProcessPool

_POLL_SECONDS = 0.5
_CONNECT_SECONDS = 10.0
_RESOURCES_SECONDS = 5.0


class MessageBoard:
    """A Ray actor beside the sweep: collects the messages of all runs, and holds the request to stop them."""

    def __init__(self) -> None:
        self._messages: list[tuple[str, str]] = []
        self._stopping: set[str | None] = set()

    def post(self, name: str, message: str) -> None:
        """Add a message of a run, as JSON."""
        self._messages.append((name, message))

    def take(self) -> list[tuple[str, str]]:
        """Return the messages since the last call."""
        messages, self._messages = self._messages, []
        return messages

    def begin(self, name: str) -> None:
        """Take note that a run starts, which may have been left before."""
        self._stopping.discard(name)

    def stop(self, name: str | None) -> None:
        """Request that a run is saved and left; None requests it of all."""
        self._stopping.add(name)

    def stopping(self, name: str) -> bool:
        """Tell whether that was requested of a run."""
        return name in self._stopping or None in self._stopping


def supervise(board: Any, name: str, run: str, measure: bool, path: list[str]) -> str:
    """Execute a run in a process of its own on this node; what a Ray task calls.

    Args:
        board: the actor.
        name: of the run.
        run: JSON.
        measure: whether it is only measured.
        path: directories to search for modules, after those of this process.

    Returns:
        The last message, as JSON.
    """
    ray: Any = importlib.import_module("ray")
    pool = ProcessPool(1, list(dict.fromkeys([*processes.search_path(), *path])))
    stopping = False
    try:
        pool.start(name, json.loads(run), measure)
        while True:
            for _, message in pool.wait(_POLL_SECONDS):
                if "ended" in message:
                    return json.dumps(message)
                board.post.remote(name, json.dumps(message))
            if not stopping and ray.get(board.stopping.remote(name)):
                stopping = True
                pool.stop()
    finally:
        pool.close()


def _check_reachable(address: str) -> None:
    """Refuse an address where nothing listens; Ray itself would try for minutes."""
    if address in ("local", "auto"):
        return
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdigit()):
        raise ValueError('it must be host:port, "auto" or "local"')
    socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()


class Cluster:
    """An executor with a task per run on the nodes of a Ray cluster.

    Args:
        address: host:port, "auto" for the one this machine belongs to, "local" for a new one on this machine.
        workers: how many runs at the same time; None is as many as the cluster has CPUs.

    Raises:
        SweepError: Ray is not installed, or there is no such cluster.
    """

    def __init__(self, address: str, workers: int | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a sweep sends no statistics
        os.environ.setdefault(
            "RAY_NUM_REDIS_GET_RETRIES", "1"
        )  # with "auto", Ray may find a cluster that is gone, and would retry for long
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise SweepError(f"--ray needs Ray: pip install 'rewirl[ray]' ({error})") from error
        self._ray = ray
        try:
            _check_reachable(address)
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError) as error:
            raise SweepError(f"--ray {address}: no such cluster can be reached: {error}") from error
        strategies: Any = importlib.import_module("ray.util.scheduling_strategies")
        here = strategies.NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board = ray.remote(MessageBoard).options(num_cpus=0, scheduling_strategy=here).remote()
        self._task = ray.remote(supervise)
        self._path = processes.search_path()
        self._running: dict[Any, str] = {}
        self._limit = workers
        self._cpus, self._counted = 0, float("-inf")

    @property
    def workers(self) -> int:
        """See Executor; nodes may come and go."""
        if self._limit is not None:
            return self._limit
        if time.monotonic() - self._counted > _RESOURCES_SECONDS:
            self._counted = time.monotonic()
            self._cpus = int(self._ray.cluster_resources().get("CPU", 0))
        return self._cpus

    def start(self, name: str, run: Mapping[str, Any], measure: bool = False) -> None:
        """See Executor."""
        task = self._task.options(
            num_cpus=run["train"]["threads"], max_retries=0, name=name, scheduling_strategy="SPREAD"
        )
        self._board.begin.remote(name)
        self._running[task.remote(self._board, name, json.dumps(run), measure, self._path)] = name

    def wait(self, seconds: float) -> list[tuple[str, Message]]:
        """See Executor."""
        if not self._running:
            time.sleep(seconds)
            return []
        done, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=seconds)
        messages = [(name, json.loads(message)) for name, message in self._ray.get(self._board.take.remote())]
        for task in done:
            name = self._running.pop(task)
            try:
                messages.append((name, json.loads(self._ray.get(task))))
            except self._ray.exceptions.RayTaskError as error:
                messages.append((name, {"ended": "failed", "reason": str(error.cause)}))
            except self._ray.exceptions.RayError as error:
                reason = f"lost with its node ({type(error).__name__})"
                messages.append((name, {"ended": "killed", "reason": reason}))
        return messages

    def stop(self, name: str | None = None) -> None:
        """See Executor."""
        self._board.stop.remote(name)

    def close(self) -> None:
        """See Executor."""
        if self._ray.is_initialized():
            if self._running:
                self._board.stop.remote(None)
                self._ray.wait(list(self._running), num_returns=len(self._running))
            self._ray.shutdown()
