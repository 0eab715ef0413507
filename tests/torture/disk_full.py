"""Runs on a disk that gets full: at every single point where something is written, for a moment or for good."""

from __future__ import annotations

import math
import os
import random
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from scenario import Score, scenario
from system_calls import Counter, kill_at_change, no_space
from trainees import Output, Trainee, finished, kind_of, next_command, same_run, sound, undisturbed

_SIZES = (0, 100, 1_000, 4_000, 8_000, 12_000, 16_000, 24_000)
_TMPFS = (4, 16, 40, 80, 120)


@scenario("disk-full", 800)
def disk_full(runs: int, seed: int, directory: Path) -> Score:
    """Fail at so many points of a run, spread evenly over all, then give space back and resume."""
    score, rng = Score(), random.Random(seed)
    references = undisturbed()
    points = _points_of_a_whole_run(directory)
    for number in range(runs):
        first = 1 + number * points // runs if runs < points else 1 + number % points
        last = (first, first + rng.randint(1, 30), math.inf)[number % 3]
        agent = kind_of(number // 3)[0]
        with score.trial(f"no space for the writes {first} to {last} of {agent}"):
            prepare: Callable[[], object] = no_space(first, last)
            killed = last != math.inf and number % 2 == 0
            if killed:  # some time after there is space again, so that the checkpoints of the meantime are put to use
                prepare = _both(prepare, kill_at_change(rng.randint(int(last) + 10, int(last) + 200)))
            score.faults += 1
            _resumed(directory / f"run-{number}", agent, references, prepare, killed)
            score.compared += 1
    for number, size in enumerate(_SIZES[-max(1, runs // 20) :]):
        with score.trial(f"no file larger than {size} bytes"):
            score.faults += 1
            _resumed(directory / f"limited-{size}", kind_of(number)[0], references, _limited(size))
            score.compared += 1
    with score.trial("standard output on a full disk"):
        score.faults += 1
        _full_output(directory / "output", references)
        score.compared += 1
    for number, kilobytes in enumerate(_TMPFS[: max(1, runs // 20)]):
        mounted = directory / f"tmpfs-{kilobytes}"
        mounted.mkdir()
        if not _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(mounted)):
            score.notes.append("no file systems can be mounted here, so no small one was filled")
            break
        try:
            with score.trial(f"a disk of {kilobytes} KiB"):
                score.faults += 1
                _resumed(
                    mounted / "run",
                    kind_of(number)[0],
                    references,
                    more_space=lambda there=mounted: _mount("-o", "remount,size=4m", str(there)),  # type: ignore[misc]
                )
                score.compared += 1
        finally:
            subprocess.run(["umount", str(mounted)], check=True)
    return score


def _resumed(
    path: Path,
    agent: str,
    references: dict[str, Path],
    prepare: Callable[[], object] = lambda: None,
    may_be_killed: bool = False,
    more_space: Callable[[], object] = lambda: None,
) -> None:
    output = Output()
    code = Trainee(next_command(path, agent, 1), output.write, prepare).exit_code()
    text = output.text()
    assert "Traceback" not in text, text
    expected = (0, 1, 2, *([-signal.SIGKILL] if may_be_killed else []))
    assert code in expected, f"exit code {code}: {text}"
    if code > 0:
        assert "rewirl: " in text.splitlines()[-1], f"ends without a message: {text}"
    sound(path)
    more_space()
    output = Output()
    finished(path, agent, 1, output)
    text = output.text()
    assert "Traceback" not in text, text
    same_run(path, references[agent], saves="others")


def _points_of_a_whole_run(directory: Path) -> int:
    counter, output = Counter(), Output()
    command = next_command(directory / "counted", "ds-td3", 1)
    code = Trainee(command, output.write, no_space(10**9, 10**9, counter)).exit_code()
    text = output.text()
    assert code == 0, text
    assert counter.value > 100, f"only {counter.value} writes were seen"
    return counter.value


def _both(one: Callable[[], object], other: Callable[[], object]) -> Callable[[], None]:
    def prepare() -> None:
        one()
        other()

    return prepare


def _limited(size: int) -> Callable[[], None]:
    def prepare() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    return prepare


def _full_output(path: Path, references: dict[str, Path]) -> None:
    """What is printed does not matter: the run comes to its end with the exit code 0."""
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        trainee = Trainee(next_command(path, "ds-td3", 1), full)
        assert trainee.exit_code() == 0, f"exit code {trainee.code}"
        same_run(path, references["ds-td3"])
    finally:
        os.close(full)


def _mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0
