"""Signals at any moment: the run is saved, tells how to go on, and leaves no process behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from scenario import Score, scenario
from system_calls import at_change
from trainees import PATIENCE_SECONDS, STEPS, Output, Trainee, finished, kind_of, next_command, same_run, undisturbed

from rewirl.environments.environment import Environment
from rewirl.training.evaluation import Evaluator
from rewirl.training.loop import Training

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@scenario("signals", 60)
def signals(runs: int, seed: int, directory: Path) -> Score:
    """Stop each run up to three times by a signal, or two, then see it through."""
    score, rng = Score(), random.Random(seed)
    references = undisturbed()
    began = time.perf_counter()
    finished(directory / "timed", "ds-td3", 1, output := Output())
    output.text()
    seconds = time.perf_counter() - began
    for number in range(runs):
        agent, threads = kind_of(number)
        path = directory / f"run-{number}"
        with score.trial(f"run {number}, {agent}, {threads} threads"):
            output = Output()
            for _ in range(rng.randint(1, 3)):
                by, twice = rng.choice(_SIGNALS), rng.random() < 0.2
                moment = rng.choice(("anywhere", "save", "evaluation", "step", "start"))
                trainee = Trainee(next_command(path, agent, threads), output.write, _prepared(moment, by, twice, rng))
                if moment == "anywhere":
                    trainee.ended(rng.uniform(0, seconds))
                    if trainee.send(by) and twice:
                        trainee.send(by)
                code = trainee.exit_code()
                if code == 0:
                    break
                score.faults += 1
                allowed = {128 + by, -by} if twice or moment == "anywhere" else {128 + by}
                assert code in allowed, f"exit code {code} after {by.name} at {moment}: {output.text()}"
            finished(path, agent, threads, output)
            text = output.text()
            assert "Traceback" not in text, text
            same_run(path, references[agent], saves="others")
            score.compared += 1
    for number in range(max(1, runs // 10)):  # the real program, which takes its time to start
        agent, by = kind_of(number)[0], _SIGNALS[number % 3]
        path = directory / f"program-{number}"
        with score.trial(f"{by.name} to a program that starts"):
            score.faults += 1
            _program(path, agent, by, rng.uniform(0, 1.5))
            output = Output()
            finished(path, agent, 2, output)
            output.text()
            same_run(path, references[agent], saves="others")
            score.compared += 1
    return score


def _prepared(moment: str, by: int, twice: bool, rng: random.Random) -> Callable[[], object]:
    """Return what a trainee has to do first to get a signal at a certain moment."""

    def send() -> None:
        for _ in range(1 + twice):
            os.kill(os.getpid(), by)

    count = 0

    def after(number: int) -> Callable[[], None]:
        def once() -> None:
            nonlocal count
            count += 1
            if count == number:
                send()

        return once

    if moment == "save":
        return at_change(rng.randint(1, 830), send)
    if moment == "step":
        return lambda: _before(Training, "_advance", after(rng.randint(1, STEPS)))
    if moment == "evaluation":

        def prepare() -> None:
            # In one process the steps inside an evaluation, beside training those that are taken meanwhile.
            inside = after(rng.randint(1, 90))
            _before(Evaluator, "evaluate", lambda: _before(Environment, "step", inside))
            _before(Training, "_begin_evaluation", lambda: _before(Training, "_advance", inside))

        return prepare
    if moment == "start":
        return lambda: _before(Training, "__init__", after(1))
    return lambda: None


def _before(owner: type, name: str, act: Callable[[], None]) -> None:
    real = getattr(owner, name)

    def wrapper(self: object, *arguments: object, **more: object) -> object:
        act()
        return real(self, *arguments, **more)

    setattr(owner, name, wrapper)


def _program(path: Path, agent: str, by: int, after_seconds: float) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    began = [sys.executable, "-m", "rewirl", *next_command(path, agent, 2)]
    with subprocess.Popen(
        began, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True
    ) as process:
        try:
            process.wait(after_seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(by)
        text, _ = process.communicate(timeout=PATIENCE_SECONDS)  # ends when no process is left that could print
    # Before the first line of Rewirl the signal is Python's to handle.
    assert process.returncode in (0, 128 + by, -by), f"exit code {process.returncode}: {text}"
    assert "rewirl/training" not in text, text
