"""Runs that are killed again and again, at any moment, and go on as if nothing had been."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

from scenario import Score, scenario
from system_calls import Counter, count_changes, kill_at_change
from trainees import Output, Trainee, finished, kind_of, next_command, same_run, undisturbed

_MOST_KILLS = 5


@scenario("kills", 200)
def kills(runs: int, seed: int, directory: Path) -> Score:
    """Kill each run several times: just before a system call that changes something on disk, or at any time at all."""
    score, rng = Score(), random.Random(seed)
    references = undisturbed()
    changes, seconds = _of_a_whole_run(directory)
    for number in range(runs):
        agent, threads = kind_of(number)
        path = directory / f"run-{number}"
        with score.trial(f"run {number}, {agent}, {threads} threads"):
            output = Output()
            real = threads == 2 and rng.random() < 0.1
            for attempt in range(rng.randint(2, _MOST_KILLS)):
                command = next_command(path, agent, threads)
                share = 1.0 if attempt == 0 else 0.5  # a run that goes on has less to do
                if attempt == 0 or rng.random() < 0.6:
                    trainee = Trainee(command, output.write, kill_at_change(rng.randint(1, int(share * changes))), real)
                else:
                    trainee = Trainee(command, output.write, real_evaluation=real)
                    trainee.ended(rng.uniform(0, share * seconds))
                    trainee.send(signal.SIGKILL)
                code = trainee.exit_code()
                if code == 0:
                    break
                assert code == -signal.SIGKILL, f"exit code {code}: {output.text()}"
                score.faults += 1
            finished(path, agent, threads, output)
            text = output.text()
            assert "Traceback" not in text and "warning" not in text, text
            same_run(path, references[agent])
            score.compared += 1
    return score


def _of_a_whole_run(directory: Path) -> tuple[int, float]:
    """Return how often a run changes something on disk, and how long it takes."""
    counter, output = Counter(), Output()
    began = time.perf_counter()
    command = next_command(directory / "counted", "ds-td3", 1)
    code = Trainee(command, output.write, count_changes(counter)).exit_code()
    seconds = time.perf_counter() - began
    text = output.text()
    assert code == 0, text
    assert counter.value > 100, f"only {counter.value} changes were seen"
    return counter.value, seconds
