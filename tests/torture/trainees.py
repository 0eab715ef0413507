"""Runs to be tortured: forked from this process, which has everything imported, in a few milliseconds each.

They go through the command line as any other run does. Only waiting for the disk is left out, and the process that
evaluates beside training is forked too, unless the scenario wants the real one.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import itertools
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

import probe_environments  # noqa: F401  (imported before anything is forked)
import pytest
from sameness import metrics, same_to_the_bit

import rewirl.environments.environment_process
import rewirl.training.evaluation_process
import rewirl.training.run  # noqa: F401  (what a run needs later is imported before anything is forked, too)
from rewirl import processes
from rewirl.agents import agent_entry
from rewirl.cli.main import main
from rewirl.storage.bundle import PREVIOUS
from rewirl.storage.checkpoint import load_checkpoint
from rewirl.storage.files import TEMPORARY

STEPS = 150
PATIENCE_SECONDS = 60.0
"""How long anything may take before it counts as hanging."""

_OPTIONS = (
    "--env rewirl-tests/Drift-v0 --env-module probe_environments --seed 3 --hidden-sizes 16 12 "
    f"--eval-every 50 --eval-episodes 2 --checkpoint-every 35 --total-timesteps {STEPS} "
)
_REPLAY = "--batch-size 10 --learning-starts 40 --buffer-size 70 "
_ROLLOUT = "--batch-size 10 --rollout-steps 40 --epochs 2 "
_SPARSE = "--sparsity 0.5 --adapt-every 5 --adapt-fraction 0.2 "
_SMALL_ACTOR = "--actor-hidden-sizes 12 "
_RESIDUAL = "--hidden-sizes 16 16 --actor-hidden-sizes 12 "
_BLOCKS = "--structure 8x1 --hidden-sizes 24 16 "
_KINDS = {
    "td3": "",
    "ds-td3": _SPARSE,
    "sac": "--target-update-interval 7",
    "ds-sac": f"{_SPARSE} --target-update-interval 7",
    "ds-xqc": _SPARSE + _SMALL_ACTOR,
    "ds-simba": _SPARSE + _RESIDUAL,
    "ds-crossq": _SPARSE + _SMALL_ACTOR,
    "ds-dqn": _SPARSE + "--env CartPole-v1 --target-update-interval 7 --epsilon-steps 60 --update-every 2",
    "ds-td3 in blocks": _SPARSE + _BLOCKS,
    "ds-sac normalised": f"{_SPARSE} --normalise-observations --scale-rewards",
    "ds-td3 of two environments": f"{_SPARSE} --n-envs 2",
    "static-xqc in blocks": f"--sparsity 0.5 --actor-hidden-sizes 16 {_BLOCKS}",
    "crossq normalised, of two environments": f"{_SMALL_ACTOR} --normalise-observations --n-envs 2",
    "static-simba": f"--sparsity 0.5 {_RESIDUAL}",
    "ds-td3 that wanders, of two environments": f"{_SPARSE} --exploration ornstein-uhlenbeck --n-envs 2",
    "td3 that is pruned": "--rule prune --initial-sparsity 0 --sparsity 0.6 --sparsity-end 80 --adapt-every 7",
    "static-sac of two processes": "--sparsity 0.5 --n-envs 2 --env-processes",
    "ds-ppo": _SPARSE + _ROLLOUT,
    "ppo of two environments": f"{_ROLLOUT} --n-envs 2",
    "ds-stream-ac": _SPARSE,
    "ds-td3 with continual backprop": f"{_SPARSE} --cbp-replacement-rate 0.05 --cbp-maturity-threshold 8",
    "ds-td3 whose sparsity adapts": f"{_SPARSE} --rule rigl --drop magnitude --initial-sparsity 0.2 "
    "--sparsity-schedule adaptive --sparsity-end 80",
    "ds-sac by importance": f"{_SPARSE} --rule wast --target-update-interval 7",
    "ds-td3 that freezes": f"{_SPARSE} --initial-topology predictive --freeze-after 30",
    "static-sac of products": "--sparsity 0.5 --hidden-layers hadamard-relu --target-update-interval 7",
    "ds-simba of one critic": f"{_SPARSE} {_RESIDUAL} --n-critics 1",
    "ds-td3 of one process": f"{_SPARSE} --env-processes",
}
"""The options of each kind of run, whose name begins with its agent."""

AGENTS = tuple(_KINDS)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def nothing() -> None:
    """Prepare nothing."""


def options(kind: str, threads: int = 1) -> list[str]:
    """Return the options of a small run, the same for everything that is compared."""
    agent = kind.split()[0]
    replay = _REPLAY if agent_entry(agent).replay else ""
    return shlex.split(f"{_OPTIONS} {replay} {_KINDS[kind]} --agent {agent} --threads {threads}")


def kind_of(number: int) -> tuple[str, int]:
    """Return the kind and threads of a scenario's run of a number: every kind in turn, on one thread and then on two.

    The first ones of few runs are of both.
    """
    return AGENTS[number % len(AGENTS)], 1 + (number + number // len(AGENTS)) % 2


def next_command(path: Path, agent: str, threads: int) -> list[str]:
    """Return what a user would type now: train, or resume if there is a run."""
    if (path / "config.json").exists():
        return ["resume", str(path)]
    return ["train", *options(agent, threads), "--run-dir", str(path)]


class Trainee:
    """A process that runs the command line.

    Args:
        arguments: of the command.
        output: descriptor for all it prints.
        prepare: called in it first; injects the faults.
        real_evaluation: whether evaluations beside training get a fresh interpreter, as they do for users.
        keep: other descriptors that stay open in it.
    """

    def __init__(
        self,
        arguments: list[str],
        output: int,
        prepare: Callable[[], object] = nothing,
        real_evaluation: bool = False,
        keep: tuple[int, ...] = (),
    ) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _train(arguments, output, prepare, real_evaluation, keep)

    def ended(self, seconds: float = PATIENCE_SECONDS) -> bool:
        """Wait for its end at most so long; return whether it has ended, its exit code is in `code` then."""
        if self.code is not None:
            return True
        descriptor = os.pidfd_open(self.pid)
        try:
            over = bool(select.select([descriptor], [], [], seconds)[0])
        finally:
            os.close(descriptor)
        if over:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return over

    def exit_code(self) -> int:
        """Wait for its end and return its exit code, minus the signal if one ended it."""
        if not self.ended():
            self.send(signal.SIGKILL)
            self.ended()
            raise AssertionError("the process hangs")
        assert self.code is not None
        return self.code

    def send(self, number: int) -> bool:
        """Send a signal; return whether it was still there to get it."""
        if self.ended(0):
            return False
        os.kill(self.pid, number)
        return True


def _train(
    arguments: list[str], output: int, prepare: Callable[[], object], real_evaluation: bool, keep: tuple[int, ...]
) -> NoReturn:
    code = 70
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        others = sorted({2, *keep, 1024})  # as after a start of a program: nothing is open but what it was given
        for before, after in itertools.pairwise(others):
            os.closerange(before + 1, after)
        for number in _SIGNALS:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        os.fsync = lambda descriptor: None
        if not real_evaluation:
            processes.subprocess = _ForkingSubprocess  # type: ignore[attr-defined]
        prepare()
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 70
        if sys.stdout is not None:
            sys.stdout.flush()
        sys.stderr.flush()
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT  # before the command line began, or after it had ended
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


class _ForkedChild:
    """Stands in for a fresh interpreter that evaluates or has an environment: half a second saved, the same code."""

    def __init__(self, command: list[str], *, pass_fds: Iterable[int], **_: Any) -> None:
        (descriptor,) = pass_fds
        self.returncode: int | None = None
        boot = re.search(r"from (\S+) import (\w+);", " ".join(command))
        assert boot is not None, command
        serve = getattr(importlib.import_module(boot[1]), boot[2])
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                os.closerange(3, descriptor)
                os.closerange(descriptor + 1, 1024)
                serve(descriptor)
            finally:
                os._exit(0)

    def wait(self, timeout: float | None = None) -> int:
        descriptor = os.pidfd_open(self.pid)
        try:
            if not select.select([descriptor], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("child", timeout or 0)
        finally:
            os.close(descriptor)
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


class _ForkingSubprocess:
    """What `rewirl.processes` uses of the module subprocess."""

    Popen = _ForkedChild
    DEVNULL = subprocess.DEVNULL
    TimeoutExpired = subprocess.TimeoutExpired


class Output:
    """All that the processes of one run print; its end comes when the last of them, evaluations too, is gone."""

    def __init__(self) -> None:
        self._read, self.write = os.pipe()

    def text(self) -> str:
        """Wait until no process is left that could print, and return what all have printed."""
        os.close(self.write)
        found = b""
        end = time.monotonic() + PATIENCE_SECONDS
        with os.fdopen(self._read, "rb", buffering=0) as pipe:
            while True:
                left = end - time.monotonic()
                assert left > 0 and select.select([pipe], [], [], left)[0], "a process was left behind"
                read = pipe.read(65536)
                if not read:
                    return found.decode()
                found += read


class Undisturbed(dict[str, Path]):
    """The directories of runs of each kind without any fault, made when they are asked for."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory

    def __missing__(self, kind: str) -> Path:
        path, output = self._directory / kind, Output()
        code = Trainee(next_command(path, kind, 1), output.write).exit_code()
        text = output.text()
        assert code == 0, text
        return self.setdefault(kind, path)


@functools.cache
def undisturbed() -> Undisturbed:
    """Return those of this process, for all its scenarios."""
    directory = Path(tempfile.mkdtemp(prefix="torture-undisturbed-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Undisturbed(directory)


def finished(path: Path, agent: str, threads: int, output: Output) -> None:
    """Let a run go on without faults and see it through."""
    code = Trainee(next_command(path, agent, threads), output.write).exit_code()
    assert code == 0, f"exit code {code} instead of 0: {_last(output)}"


def same_run(path: Path, reference: Path, saves: str = "as they were") -> None:
    """Refuse a run that is not the undisturbed one to the bit, or that has left something lying about.

    Args:
        path: the run.
        reference: the undisturbed one.
        saves: "as they were" if it was saved when the undisturbed one was, "others" if it may have been saved at other
            steps, too or instead.
    """
    try:
        same_to_the_bit(path, reference)
    except pytest.fail.Exception as error:
        raise AssertionError(str(error)) from None
    found, expected = metrics(path), metrics(reference)
    if saves == "others":
        found, expected = ([line for line in lines if line["event"] != "checkpoint"] for lines in (found, expected))
    for number, (one, other) in enumerate(zip(found, expected, strict=False)):
        assert one == other, f"line {number} of the log is {one}, not {other}"
    assert len(found) == len(expected), f"{len(found)} lines in the log, not {len(expected)}"
    tidy(path)


def tidy(path: Path) -> None:
    """Refuse a run directory in which something half-written lies about."""
    orphans = [str(file) for file in path.rglob("*") if file.name.startswith((TEMPORARY, PREVIOUS))]
    assert not orphans, f"left lying about: {orphans}"


def sound(path: Path) -> None:
    """Refuse a run directory with a checkpoint that is not whole."""
    root = path / "checkpoints"
    for entry in sorted(root.iterdir()) if root.is_dir() else []:
        if not entry.name.startswith((TEMPORARY, PREVIOUS)):
            load_checkpoint(entry)


def _last(output: Output) -> str:
    return output.text()[-600:]
