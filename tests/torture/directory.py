"""Run directories that may not be written to, that vanish under a running job, and a clock that goes back."""

from __future__ import annotations

import errno
import math
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from scenario import Score, scenario
from system_calls import refused
from trainees import STEPS, Output, Trainee, finished, kind_of, next_command, same_run, sound, undisturbed

from rewirl.training.loop import Training

_LONGEST_EPISODE = 30


@scenario("directory", 60)
def directory(runs: int, seed: int, directory: Path) -> Score:
    """Take each kind of harm in turn, at random steps."""
    score, rng = Score(), random.Random(seed)
    references = undisturbed()
    kinds = [_read_only_on_the_way, _deleted, _moved, _parts_deleted, _clock]
    for number in range(runs):
        kind, (agent, threads) = kinds[number % len(kinds)], kind_of(number // len(kinds))
        with score.trial(f"run {number}, {kind.__name__.strip('_')}, {agent}, {threads} threads"):
            score.faults += 1
            kind(directory / f"run-{number}", agent, threads, references[agent], rng)
            score.compared += 1
    with score.trial("a read-only file system"):
        _read_only_from_the_start(directory, references, score)
    return score


def _read_only_from_the_start(directory: Path, references: dict[str, Path], score: Score) -> None:
    begun = directory / "mounted"
    begun.mkdir()
    _until(begun / "run", "ds-td3", 100)
    mounted = subprocess.run(["mount", "--bind", str(begun), str(begun)], capture_output=True, check=False)
    if mounted.returncode:
        score.notes.append("no file systems can be mounted here, so none was read-only")
        return
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(begun)], check=True)
        for path, agent in ((begun / "run", "ds-td3"), (begun / "new", "sac")):
            score.faults += 1
            code, text = _ended(path, agent, 1)
            assert code == 2 and text.count("\n") == 1 and str(path) in text and "Read-only" in text, f"{code}: {text}"
            score.refused += 1
    finally:
        subprocess.run(["umount", str(begun)], check=True)
    _seen_through(begun / "run", "ds-td3", 1, references["ds-td3"])
    score.compared += 1


def _read_only_on_the_way(path: Path, agent: str, threads: int, reference: Path, rng: random.Random) -> None:
    """Whatever is written is refused from some call on: the run ends saying that it is not saved, older saves stay."""
    first = rng.randint(1, 830)
    code, text = _ended(path, agent, threads, refused(first, math.inf, errno.EROFS, existing=True))
    assert code in (0, 1, 2), f"exit code {code}: {text}"
    assert code == 0 or "rewirl: " in text.splitlines()[-1], text
    sound(path)
    _seen_through(path, agent, threads, reference)


def _deleted(path: Path, agent: str, threads: int, reference: Path, rng: random.Random) -> None:
    """The run ends by the end of the episode with a message, and does not make the directory again."""
    step = rng.randint(1, STEPS - _LONGEST_EPISODE - 1)
    last = _LastStep(path.with_suffix(".step"))
    code, text = _ended(path, agent, threads, _at_step(step, lambda: shutil.rmtree(path), last.note))
    assert code == 1 and f"rewirl: {path} was deleted or moved" in text.splitlines()[-1], f"exit code {code}: {text}"
    assert last.step() <= step + _LONGEST_EPISODE, f"deleted at step {step}, noticed at {last.step()}"
    assert not path.exists()
    _seen_through(path, agent, threads, reference)


def _moved(path: Path, agent: str, threads: int, reference: Path, rng: random.Random) -> None:
    """The same, and it goes on where it was moved."""
    elsewhere = path.with_suffix(".moved")
    step = rng.randint(1, STEPS - _LONGEST_EPISODE - 1)
    code, text = _ended(path, agent, threads, _at_step(step, lambda: path.rename(elsewhere)))
    assert code == 1 and f"rewirl: {path} was deleted or moved" in text.splitlines()[-1], f"exit code {code}: {text}"
    assert not path.exists()
    _seen_through(elsewhere, agent, threads, reference)


def _parts_deleted(path: Path, agent: str, threads: int, reference: Path, rng: random.Random) -> None:
    """The lock file, the checkpoints or the policy alone are made again; the run goes on."""
    part = rng.choice(("lock", "checkpoints", "policy", "tensorboard"))

    def delete() -> None:
        shutil.rmtree(path / part, ignore_errors=True)
        if part == "lock":
            (path / part).unlink()

    code, text = _ended(path, agent, threads, _at_step(rng.randint(1, STEPS - 1), delete))
    assert code == 0, f"exit code {code} without {part}: {text}"
    assert part == "tensorboard" or (path / part).exists()
    same_run(path, reference)


def _clock(path: Path, agent: str, threads: int, reference: Path, rng: random.Random) -> None:
    """The clock goes back by up to ten years again and again, also between two processes of a run."""
    real = time.time
    offset = 0.0

    def back() -> float:
        nonlocal offset
        offset -= rng.uniform(0, 1e7) if rng.random() < 0.3 else 0.0
        return real() + offset

    def prepare() -> None:
        time.time = back

    _until(path, agent, rng.randint(1, STEPS), threads)
    code, text = _ended(path, agent, threads, prepare)
    assert code == 0 and "Traceback" not in text, f"exit code {code}: {text}"
    same_run(path, reference, saves="others")
    files = sorted((path / "tensorboard").iterdir())
    assert files == sorted(files, key=lambda file: file.stat().st_ctime_ns), (
        "TensorBoard reads its files in another order"
    )


def _seen_through(path: Path, agent: str, threads: int, reference: Path) -> None:
    output = Output()
    finished(path, agent, threads, output)
    text = output.text()
    assert "Traceback" not in text, text
    same_run(path, reference, saves="others")


def _until(path: Path, agent: str, step: int, threads: int = 1) -> None:
    """Begin a run and kill it at a step."""
    _ended(path, agent, threads, _at_step(step, lambda: os.kill(os.getpid(), 9)))


def _ended(path: Path, agent: str, threads: int, prepare: Callable[[], object] = lambda: None) -> tuple[int, str]:
    output = Output()
    code = Trainee(next_command(path, agent, threads), output.write, prepare).exit_code()
    text = output.text()
    assert "Traceback" not in text, text
    return code, text


class _LastStep:
    """The last step that a process began, told to the one that it was forked from."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, step: int) -> None:
        self._path.write_text(str(step))

    def step(self) -> int:
        return int(self._path.read_text())


def _at_step(step: int, act: Callable[[], object], note: Callable[[int], None] = lambda _: None) -> Callable[[], None]:
    def prepare() -> None:
        advance = Training._advance

        def before(self: Training) -> None:
            note(self.step)
            if self.step == step:
                act()
            advance(self)

        Training._advance = before  # type: ignore[method-assign]

    return prepare
