"""A run of a million steps, watched from outside: its memory, threads, open files and the disk it takes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from scenario import Score, scenario

from rewirl.storage.metrics_log import read_metrics

MIB = 1 << 20


@dataclass(frozen=True)
class Sample:
    """What a process and its children have at one moment."""

    step: int
    """Of the newest line of the record."""
    memory: float
    """Resident, MiB."""
    threads: int
    files: int
    """Open files, sockets and pipes."""
    children: int
    disk: float
    """Of the run directory, MiB."""


def newest_step(metrics: Path) -> int:
    """Return the step of the last whole line of a record, 0 if there is none."""
    try:
        with metrics.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 4096))
            lines = file.read().decode(errors="replace").split("\n")[:-1]
    except FileNotFoundError:
        return 0
    steps = [line.partition('"step": ')[2].partition(",")[0].partition("}")[0] for line in lines]
    return int(steps[-1]) if steps and steps[-1].isdigit() else 0


def disk(path: Path) -> float:
    """Return the size of a file, or of all files below a directory that others write to, MiB."""
    if path.is_file():
        return path.stat().st_size / MIB
    total = 0
    for directory, _, names in os.walk(path):  # which passes over directories that are gone
        for name in names:
            try:
                total += Path(directory, name).stat().st_size
            except FileNotFoundError:  # of a checkpoint that has been rotated away
                continue
    return total / MIB


def look(pid: int, run: Path) -> Sample:
    """Return what a process has now."""
    proc = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    children = (proc / "task" / str(pid) / "children").read_text().split()
    return Sample(
        newest_step(run / "metrics.jsonl"),
        int(status["VmRSS"].split()[0]) / 1024,
        int(status["Threads"]),
        sum(1 for _ in (proc / "fd").iterdir()),
        len(children),
        disk(run),
    )


def watched(process: subprocess.Popen[str], run: Path, every: float) -> Iterator[Sample]:
    """Yield a sample every so many seconds until a process ends."""
    while True:
        try:
            process.wait(every)
            return
        except subprocess.TimeoutExpired:
            try:
                sample = look(process.pid, run)
            except KeyError:  # it is ending: its memory is gone before it is
                process.wait(60)
                return
            except (FileNotFoundError, ProcessLookupError):
                if process.poll() is None:
                    raise
                return  # it ended in between
            yield sample


def train(run: Path, steps: int, buffer: int, seed: int, threads: int, *options: str) -> subprocess.Popen[str]:
    """Start a run that evaluates, saves and rewires all the time, with networks small enough for a million steps."""
    command = [sys.executable, "-c", "from rewirl.cli.main import main; main()", "train", "--agent", "ds-td3"]
    command += [
        "--run-dir",
        str(run),
        "--total-timesteps",
        str(steps),
        "--buffer-size",
        str(buffer),
        "--seed",
        str(seed),
    ]
    command += ["--threads", str(threads), "--env", "InvertedPendulum-v5", "--hidden-sizes", "64", "64"]
    command += ["--batch-size", "16", "--learning-starts", "1000", "--adapt-every", "200", *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def judge(samples: list[Sample], full: int, run: Path) -> list[str]:
    """Hold the samples of a run against what it may have: once its replay memory is full, nothing grows but the record.

    Args:
        samples: of the whole run.
        full: the step from which on the replay memory was full and checkpoints of it had been made.
        run: the run's directory.

    Returns:
        What was seen, for people.
    """
    late = [sample for sample in samples if sample.step >= full]
    assert len(late) >= 4, f"only {len(late)} samples after step {full:,}"
    first, second = late[: len(late) // 2], late[len(late) // 2 :]
    peaks = [max(sample.memory for sample in half) for half in (first, second)]
    record, board = disk(run / "metrics.jsonl"), disk(run / "tensorboard")
    checkpoints = [disk(path) for path in (run / "checkpoints").iterdir()]
    assert peaks[1] - peaks[0] < 4, f"memory: the second half's peak is {peaks[1] - peaks[0]:.1f} MiB above the first's"
    # The fewest: while a checkpoint is written, files are open that are not otherwise.
    assert min(s.files for s in second) <= min(s.files for s in first), "open files became more"
    assert median(s.threads for s in second) <= median(s.threads for s in first), "threads became more"
    assert max(s.children for s in late) <= 1, "processes were left behind"
    most = (
        record + board + disk(run / "policy") * 2 + max(checkpoints) * 3 + 0.1
    )  # one of each more while it is written
    assert max(s.disk for s in late) < most, f"the run took {max(s.disk for s in late):.1f} MiB, of {most:.1f}"
    return [
        f"memory after step {full:,}: {min(s.memory for s in late):.1f} to {max(s.memory for s in late):.1f} MiB",
        f"threads {min(s.threads for s in late)} to {max(s.threads for s in late)}, open files up to "
        f"{max(s.files for s in late)}, children up to {max(s.children for s in late)}",
        f"disk up to {max(s.disk for s in late):.1f} MiB; metrics.jsonl {record:.1f}, tensorboard {board:.1f}, a "
        f"checkpoint {max(checkpoints):.1f}",
    ]


def long_run(
    run: Path, steps: int, buffer: int, seed: int, threads: int, every: float, *options: str, looks: int | None = None
) -> list[str]:
    """Train and watch one run; it must end well and hold to `judge`.

    Args:
        run: the run's directory.
        steps: of the run.
        buffer: transitions of its replay memory.
        seed: of the run.
        threads: of the run.
        every: seconds between two looks.
        *options: more of `rewirl train`.
        looks: stop the run after so many looks that `judge` can use, None for never.

    Returns:
        What was seen, for people.
    """
    began, full = time.monotonic(), 2 * buffer
    samples = []
    with train(run, steps, buffer, seed, threads, *options) as process:
        for sample in watched(process, run, every):
            samples.append(sample)
            if looks is not None and sum(seen.step >= full for seen in samples) == looks:
                process.terminate()
        assert process.stderr is not None
        errors = process.stderr.read()
    assert process.returncode == (0 if looks is None else 128 + signal.SIGTERM), errors
    if looks is None:
        assert read_metrics(run / "metrics.jsonl")[-1]["event"] == "end"
    seen = judge(samples, full, run)
    took = f"{steps:,} steps, {threads} thread(s), in {time.monotonic() - began:.0f} s; {len(samples)} samples"
    return [took, *seen]


@scenario("long-run", 2)
def million_steps(runs: int, seed: int, root: Path) -> Score:
    """Watch runs of a million steps, one for each number of threads up to `runs`."""
    score = Score()
    for threads in range(1, runs + 1):
        with score.trial(f"{threads} thread(s)"):
            score.notes += long_run(root / str(threads), 1_000_000, 100_000, seed, threads, 2.0)
            score.compared += 1
    return score
