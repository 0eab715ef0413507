"""Files that were damaged, or written to do harm: real run directories and policies, changed in every way we know.

Each trial changes one thing in a copy of a run, then does what a user would do next. What cannot be used must be
refused by name, with the checkpoint before in its place; what is used must hold nothing but possible values.
"""

from __future__ import annotations

import itertools
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from attacks import Attack, at_random, systematic
from contained import contained, tally
from hostile_values import exploded
from scenario import Score, scenario
from victims import GOOD, NEWEST, TOTAL, make_runs

import rewirl
from rewirl.cli.main import main
from rewirl.environments.actions import DiscreteActions
from rewirl.environments.environment import FaultyEnvironmentError
from rewirl.storage.checkpoint import CheckpointError, load_checkpoint
from rewirl.storage.metrics_log import read_metrics
from rewirl.storage.policy_file import PolicyError
from rewirl.storage.run_directory import RunDirectoryError
from rewirl.training import run as runs
from rewirl.training.divergence import DivergedError
from rewirl.training.progress import Silent
from rewirl.training.resume import resume

REFUSALS = (ValueError, CheckpointError, PolicyError, RunDirectoryError)
"""What the command line turns into one message and exit code 2."""


class _Messages(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)


def attempt(attack: Attack, of: dict[str, Path], scratch: Path) -> list[str]:
    """Carry out an attack on a copy of its run; return what came of it, "problem" first if that is not right."""
    run = scratch / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(of[attack.agent], run)
    attack.change(run)
    try:
        if attack.target == "policy":
            found = _use_policy(attack, run)
        else:
            if attack.target == "fresh":
                shutil.rmtree(run / "checkpoints")
            found = _resume(attack, run)
    finally:
        assert not exploded(run).exists(), "something was executed"
    return found


def _use_policy(attack: Attack, run: Path) -> list[str]:
    try:
        policy = rewirl.load(run)
    except PolicyError as error:
        return _refused(attack, str(error))
    if not attack.may_pass:
        return ["problem", "the policy was used"]
    size = policy._trained.spaces.observation_size
    for observations in (np.zeros(size), np.full((3, size), 1e30), np.full((20, size), -1.0)):
        actions = policy.predict(observations)
        bounds = policy._trained.spaces.actions
        if isinstance(bounds, DiscreteActions):
            # Of outputs that are NaN, none is the largest: -1.
            inside = (actions >= bounds.start - 1) & (actions < bounds.start + bounds.size)
        else:
            inside = (actions >= bounds.low - 1e-6) & (actions <= bounds.high + 1e-6) | np.isnan(actions)
        if not inside.all():
            return ["problem", f"actions {actions.tolist()} out of bounds"]
    repr(policy)
    try:
        main(["evaluate", str(run), "--episodes", "1"])
    except SystemExit as error:
        return ["used"] if error.code in (0, 1, 2) else ["problem", f"evaluate exits with {error.code}"]


def _resume(attack: Attack, run: Path) -> list[str]:
    shown = _Messages()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            resumed = resume(run, shown, TOTAL if attack.target != "fresh" else None)
    except REFUSALS as error:
        if attack.target == "checkpoint":
            return ["problem", f"the checkpoint before was not used: {type(error).__name__}: {error}"[:400]]
        return _refused(attack, str(error))
    except FaultyEnvironmentError as error:
        return ["problem", f"blames the environment: {error}"] if attack.target == "checkpoint" else ["used"]
    if resumed is None:
        return ["used"] if attack.may_pass else ["problem", "the run counts as finished"]
    with resumed:
        step = resumed.training.step
        if attack.target == "checkpoint" and step == GOOD:
            answer = _refused(attack, "\n".join(shown.texts))
            if answer[0] == "problem":
                return answer
            if not any(f"step-{NEWEST:09d}" in text for text in shown.texts):
                return ["problem", f"the warning does not name the checkpoint: {shown.texts}"]
            _same(resumed, run)
            return _goes_on(resumed, [*answer, "compared"])
        if not attack.may_pass:
            return ["problem", f"was used, at step {step}: {shown.texts}"]
        if attack.target == "metrics":
            _same(resumed, run, NEWEST)
            answer = _goes_on(resumed, ["used", "compared"])
            resumed.close()
            read_metrics(run / "metrics.jsonl") if "garbage" not in attack.name else None
            return answer
        return _goes_on(resumed, ["used"])


def _goes_on(resumed: runs.Run, answer: list[str]) -> list[str]:
    """Train for some steps: whatever was let in must not do worse than end the run with one of its own errors."""
    last = resumed.training.step + 25
    bad = [name for name, a in resumed.training.state()[0].items() if a.dtype.kind == "f" and not np.isfinite(a).all()]
    if bad:
        return ["problem", f"{bad[0]} was let in, which is not finite"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numbers may overflow until the run says that it diverged
            resumed.train(lambda: resumed.training.step >= last)
    except (DivergedError, FaultyEnvironmentError):
        return [*answer, "ended"]
    return answer


def _refused(attack: Attack, text: str) -> list[str]:
    if attack.says and attack.says not in text:
        return ["problem", f"the message does not name {attack.says!r}: {text[:300]}"]
    return ["refused", text[:300]] if len(text) < 20_000 else ["problem", f"a message of {len(text)} characters"]


def _same(resumed: runs.Run, run: Path, step: int = GOOD) -> None:
    """Hold a resumed run against the checkpoint that it should have continued from."""
    saved = load_checkpoint(run / "checkpoints" / f"step-{step:09d}")
    there = resumed.training.state()[0]
    assert there.keys() == saved.arrays.keys()
    for name, array in there.items():
        assert array.tobytes() == saved.arrays[name].tobytes(), name


def count(attacks: Iterator[Attack], of: dict[str, Path], root: Path) -> Score:
    """Carry out attacks and count what came of them; what should not have happened is a problem."""
    score = Score()
    scratch = root / "scratch"
    scratch.mkdir(exist_ok=True)
    while part := list(itertools.islice(attacks, 400)):
        for attack, answer in contained(part, lambda one: _quietly(one, of, scratch)):
            tally(score, answer, f"{attack.agent}, {attack.target}: {attack.name}")
    return score


def _quietly(attack: Attack, of: dict[str, Path], scratch: Path) -> list[str]:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)
    os.fsync = lambda descriptor: None  # type: ignore[assignment]  # no trial is about a power failure
    return attempt(attack, of, scratch)


@scenario("hostile-files", 5_000)
def hostile_files(runs: int, seed: int, root: Path) -> Score:
    """Attack so many times: everything known first, then at random."""
    rng = np.random.default_rng(seed)
    made = make_runs(root)
    everything = itertools.chain(systematic(made, rng), at_random(made, rng))
    return count(itertools.islice(everything, runs), made, root)
