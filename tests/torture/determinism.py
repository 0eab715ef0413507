"""Determinism: the same seed in different processes, with other threads, with and without evaluations, and how far
instruction sets move apart."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scenario import Score, scenario

from rewirl import _core
from rewirl.agents import AGENTS, agent_entry
from rewirl.storage.checkpoint import Checkpoint, load_latest
from rewirl.storage.metrics_log import read_metrics

# Every run is a process of its own, on an instruction set of its choice.
TRAIN = """
import sys
from rewirl import _core
from rewirl.cli.main import main
_core.use_instruction_set(sys.argv[1])
main(["train", *sys.argv[2:]])
"""

# Layers of 128 x 128 with 64 samples are large enough that two threads share them.
SIZES = {
    "hidden_sizes": "128 128",
    "actor_hidden_sizes": "128 128",
    "batch_size": "64",
    "learning_starts": "1000",
    "buffer_size": "15000",
    "rollout_steps": "1024",
}

Variant = tuple[int, bool, bool]
"""Threads, evaluations, and whether it is made a second time."""

VARIANTS: list[Variant] = [
    (1, True, False),
    (1, True, True),
    (2, True, False),
    (2, True, True),
    (1, False, False),
    (2, False, False),
]


def trained(path: Path, agent: str, steps: int, *options: str, threads: int = 1, sets: str | None = None) -> Checkpoint:
    """Train by the command line in a process of its own and return what was saved at the end."""
    command = [sys.executable, "-c", TRAIN, sets or _core.instruction_set(), "--agent", agent, "--run-dir", str(path)]
    command += ["--total-timesteps", str(steps), "--threads", str(threads), *options]
    made = str(Path(__file__).parents[1] / "training")  # environments for tests
    where = {**os.environ, "PYTHONPATH": os.pathsep.join([made, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=where)
    assert done.returncode == 0, done.stdout + done.stderr
    saved = load_latest(path / "checkpoints", lambda message: None)
    assert saved is not None and saved.step == steps
    return saved


def fingerprint(saved: Checkpoint, evaluations: bool) -> str:
    """Return a hash of everything that is saved, but seconds and settings; of evaluations only if asked."""
    digest = hashlib.sha256()
    for name, array in sorted(saved.arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    aside = {"seconds", "metrics_offset", "metrics_sha256", "config"} | (set() if evaluations else {"evaluated"})
    digest.update(json.dumps({k: v for k, v in saved.values.items() if k not in aside}, sort_keys=True).encode())
    return digest.hexdigest()


def recorded(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's record, without seconds."""
    return [
        {k: v for k, v in line.items() if k not in ("seconds", "core_share", "sha256")}
        for line in read_metrics(path / "metrics.jsonl")
    ]


SPARSE = ("--sparsity", "0.5")
VARIED = {
    "ds-td3 in blocks": (*SPARSE, "--structure", "8x1"),
    "ds-sac normalised": ("--normalise-observations", "--scale-rewards"),
    "ds-td3 of two environments": ("--n-envs", "2"),
    "xqc of two processes": ("--n-envs", "2", "--env-processes"),
    "ds-td3 that wanders, of two environments": ("--n-envs", "2", "--exploration", "ornstein-uhlenbeck"),
}
"""Options of kinds of runs, whose name begins with their agent."""


def suited(agent: str) -> tuple[str, ...]:
    """Return options that name an environment with actions that an agent takes."""
    return ("--env", "HalfCheetah-v5" if "Box" in agent_entry(agent).actions else "CartPole-v1")


def sizes(agent: str, given: Sequence[str] = ()) -> list[str]:
    """Return those options of SIZES that an agent has and that are not given."""
    config = agent_entry(agent).config
    names = {field.name for field in fields(config)} - {*config.WITHOUT}
    chosen = {f"--{name.replace('_', '-')}": words for name, words in SIZES.items() if name in names}
    return [word for option, words in chosen.items() if option not in given for word in (option, *words.split())]


def same_seed(
    root: Path, kinds: Iterable[str], steps: int, *options: str, variants: Sequence[Variant] = VARIANTS
) -> Score:
    """Hold the variants of every kind of run against each other: of an agent by its name, or of VARIED."""
    score = Score()
    for kind in kinds:
        agent = kind.partition(" ")[0]
        with score.trial(kind):
            own = (*suited(agent), *options, *sizes(agent, options), *VARIED.get(kind, ()))
            score.compared += compare(root / kind, agent, steps, *own, variants=variants)
    return score


def compare(root: Path, agent: str, steps: int, *options: str, variants: Sequence[Variant]) -> int:
    """Make the variants of one agent's run; they must have one state and one record. Return how many there are."""
    states, records = set(), set()
    for threads, evaluated, again in variants:
        path = root / f"{agent}-{threads}-{evaluated}-{again}"
        every = str(steps // 4) if evaluated else "0"
        saved = trained(path, agent, steps, *options, "--eval-every", every, "--eval-episodes", "2", threads=threads)
        states.add(fingerprint(saved, False))
        if evaluated:
            records.add(json.dumps(recorded(path), sort_keys=True))
    assert len(states) == 1, f"{agent}: {len(states)} different states after {steps} steps"
    assert len(records) == 1, f"{agent}: {len(records)} different records after {steps} steps"
    return len(variants)


@scenario("same-seed", len(AGENTS) + len(VARIED))
def everywhere(runs: int, seed: int, root: Path) -> Score:
    """Train the first `runs` kinds of runs for 20,000 steps, mostly of HalfCheetah-v5, in every variant."""
    kinds = [*VARIED, *AGENTS][:runs]
    return same_seed(root, kinds, 20_000, "--seed", str(seed))


def networks(saved: Checkpoint) -> dict[str, NDArray[np.float64]]:
    """Return the weights and biases of every network, targets included, as one vector each."""
    found: dict[str, list[NDArray[Any]]] = {}
    for name, array in saved.arrays.items():
        match = re.fullmatch(r"agent/(\w+)\.\w+\.(values|bias)", name)
        if match:
            found.setdefault(match[1], []).append(array)
    return {name: np.concatenate(arrays).astype(np.float64) for name, arrays in found.items()}


def apart(one: Checkpoint, other: Checkpoint, start: Checkpoint) -> float:
    """Return the largest distance of two states' networks, over how far these have moved from the start."""
    first, second, origin = networks(one), networks(other), networks(start)
    moved = [
        name for name in first if (first[name] != origin[name]).any()
    ]  # TD3's actor moves with every second update
    return max(
        float(np.linalg.norm(first[name] - second[name]) / np.linalg.norm(first[name] - origin[name])) for name in moved
    )


def between_instruction_sets(
    root: Path, agent: str, updates: list[int], seed: int = 0
) -> Iterator[tuple[str, str, int, float]]:
    """Yield for each pair of instruction sets of this machine how far apart runs are after so many updates.

    Distances are shares of the way from the first update on.

    Yields:
        The two sets, the updates, and the distance; see `apart`.
    """
    options = ["--env", "HalfCheetah-v5", "--seed", str(seed), "--eval-every", "0", *sizes(agent)]
    options += ["--adapt-every", "1000000"]  # places that have a weight stay what they are, so vectors can be compared
    made = {
        (sets, count): trained(root / f"{sets}-{count}", agent, 1000 + count, *options, sets=sets)
        for sets in _core.available_instruction_sets()
        for count in (1, *updates)
    }
    for one, other in itertools.combinations(_core.available_instruction_sets(), 2):
        for count in updates:
            yield one, other, count, apart(made[one, count], made[other, count], made[one, 1])


@scenario("instruction-sets", 4)
def instruction_sets(runs: int, seed: int, root: Path) -> Score:
    """Note how far instruction sets have moved apart after 2 to 990 updates, for the first `runs` of four agents."""
    score = Score()
    for agent in ("ds-td3", "ds-sac", "ds-xqc", "ds-simba")[:runs]:
        for one, other, count, distance in between_instruction_sets(root / agent, agent, [2, 10, 100, 990], seed):
            score.compared += 1
            score.notes.append(f"{agent}: {one} and {other} are {distance:.1e} of the way apart after {count} updates")
    return score
