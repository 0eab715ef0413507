"""Several processes on one run: exactly one has it, the others say so, and the lock of a killed one is none."""

from __future__ import annotations

import os
import random
import select
import signal
from collections.abc import Callable
from pathlib import Path

from scenario import Score, scenario
from trainees import PATIENCE_SECONDS, Output, Trainee, finished, kind_of, next_command, options, same_run, undisturbed

from rewirl.training.loop import Training


@scenario("locks", 40)
def locks(runs: int, seed: int, directory: Path) -> Score:
    """Let processes race for each of so many runs, kill the winner of some, see them through."""
    score, rng = Score(), random.Random(seed)
    references = undisturbed()
    for number in range(runs):
        agent, path = kind_of(number)[0], directory / f"run-{number}"
        kind = ("start", "resume", "both")[number % 3]
        with score.trial(f"run {number}, {kind}"):
            if kind != "start":
                _begin(path, agent)
            score.faults += 1
            score.refused += _race(path, agent, kind, rng.randint(2, 8), kill=number % 2 == 0, heir=number % 4 == 0)
            output = Output()
            if not _has_ended(path):
                finished(path, agent, 1, output)
            output.text()
            same_run(path, references[agent], saves="others")
            score.compared += 1
    return score


def _begin(path: Path, agent: str) -> None:
    """Begin a run, and kill it after its first checkpoint."""

    def prepare() -> None:
        _at_step(50, lambda: os.kill(os.getpid(), signal.SIGKILL))

    output = Output()
    Trainee(next_command(path, agent, 1), output.write, prepare).exit_code()
    output.text()


def _race(path: Path, agent: str, kind: str, racers: int, kill: bool, heir: bool) -> int:
    """Return how many were refused.

    Args:
        path: the run.
        agent: whose.
        kind: whether they start the run, resume it, or some do this and some that.
        racers: how many there are.
        kill: whether the one that gets it is killed, or ends as it should.
        heir: whether it has forked a process that outlives it.
    """
    won, gate, start = os.pipe(), os.pipe(), os.pipe()

    def prepare() -> None:
        def hold() -> None:
            if heir and os.fork() == 0:
                os.read(gate_in, 1)
                os._exit(0)
            os.write(won_out, b"x")
            os.read(gate_in, 1)

        _at_step(51 if kind != "start" else 0, hold)
        os.read(start_in, 1)  # all at once

    # A trainee closes all but what it prints to, so these have to be in the way of that.
    won_out, gate_in, start_in = won[1], gate[0], start[0]
    command = {
        "start": ["train", *options(agent), "--run-dir", str(path)],
        "resume": ["resume", str(path)],
    }
    outputs, trainees = [], []
    for number in range(racers):
        outputs.append(Output())
        which = kind if kind != "both" else ("resume", "start")[number % 2]
        trainees.append(Trainee(command[which], outputs[-1].write, prepare, keep=(won_out, gate_in, start_in)))
    os.close(start[0])
    os.close(start[1])
    try:
        assert select.select([won[0]], [], [], PATIENCE_SECONDS)[0], "nobody gets it"
        running = list(trainees)
        while len(running) > 1:
            over = [each for each in running if each.ended(PATIENCE_SECONDS / racers / 10)]
            assert over or running, "the others hang"
            running = [each for each in running if each not in over]
        (winner,) = running
        assert len(os.read(won[0], 100)) == 1, "several have it"
        if kill:
            os.kill(winner.pid, signal.SIGKILL)
        if kill and heir:
            # The forked process is still there; it must not keep others from the run.
            output = Output()
            finished(path, agent, 1, output)
            output.text()
    finally:
        for descriptor in (gate[0], gate[1], *won):
            os.close(descriptor)
    code = winner.exit_code()
    assert code == (-signal.SIGKILL if kill else 0), f"exit code {code} of the one that has it"
    for trainee, output in zip(trainees, outputs, strict=True):
        text = output.text()
        assert "Traceback" not in text, text
        if trainee is not winner:
            words = ("is in use by", "already holds this run", "holds no run")
            assert trainee.code == 2 and any(word in text for word in words), f"exit code {trainee.code}: {text}"
    return racers - 1


def _has_ended(path: Path) -> bool:
    return False if not (path / "metrics.jsonl").exists() else b'"end"' in (path / "metrics.jsonl").read_bytes()


def _at_step(step: int, act: Callable[[], None]) -> None:
    advance = Training._advance

    def before(self: Training) -> None:
        if self.step == step:
            act()
        advance(self)

    Training._advance = before  # type: ignore[method-assign]
