"""Whether two versions learn the same to the bit: every agent by every rule, and every other setting that matters.

    python tests/compatibility/same_numbers.py --python OLD/bin/python --python NEW/bin/python
    python tests/compatibility/same_numbers.py --python OLD/bin/python --python NEW/bin/python --short --cases 'sac *'
    python tests/compatibility/same_numbers.py --short --instruction-set portable        # prints the hashes, as JSON

Each interpreter has its version of Rewirl installed, not editable. It trains every case by the Python face of that
version, with every instruction set of the machine or those asked for, and hashes what is in the files of the run:
weights, biases, connections, moments and ages of every network, and the lines of metrics.jsonl without seconds. Names
and order of the arrays make no difference. Exit code 1 says that something differs; what does is listed.

A case takes 3,000 steps in full, at most 300 with --short. What 0.1.0 gave for the short ones is in tests/fixtures, and
held against this version by test_same_numbers.py. Everything runs in one thread, BLAS too, but for cases named threads.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import adapter

AGENTS = {
    "td3": "TD3",
    "static-td3": "StaticTD3",
    "ds-td3": "DSTD3",
    "sac": "SAC",
    "static-sac": "StaticSAC",
    "ds-sac": "DSSAC",
}


@dataclass(frozen=True)
class Size:
    """How long and how large everything is."""

    steps: int
    learning_starts: int
    hidden_sizes: tuple[int, ...]
    wide: tuple[int, ...]
    batch: int
    every: int
    steps_of_others: int
    steps_of_wide: int

    def update(self, share: float) -> int:
        """Return the update that ends this share of all."""
        return round(share * (self.steps - self.learning_starts))


SHORT = Size(300, 40, (20, 12), (96, 80), 24, 20, 200, 100)
FULL = Size(3000, 200, (64, 48), (160, 144), 100, 100, 3000, 2000)


@dataclass(frozen=True)
class Case:
    """One run."""

    agent: str
    env: str
    options: dict[str, Any]
    steps: int
    threads: int = 1


def cases(size: Size) -> dict[str, Case]:
    """Return every case by its name."""
    usual = {
        "hidden_sizes": size.hidden_sizes,
        "batch_size": size.batch,
        "learning_starts": size.learning_starts,
        "buffer_size": size.steps // 2,  # it overflows
        "adapt_every": size.every,
        "adapt_fraction": 0.3,
    }
    found: dict[str, Case] = {}

    def add(
        agent: str, label: str, *, env: str = "springs", threads: int = 1, steps: int | None = None, **options: Any
    ) -> None:
        by_rule = label == "as it is" or label.startswith("rule ")
        steps = steps or (size.steps if by_rule else size.steps_of_others)
        hard = {"tau": 1.0, "temperature": 0.2, "target_update_interval": 2 * size.every}
        hard = hard if agent.endswith("sac") else {}  # said, as versions have other defaults
        found[f"{agent} {label}"] = Case(agent, env, {**usual, **hard, **options}, steps, threads)

    half, end = {"sparsity": 0.5}, size.update(0.75)
    pruned = {"initial_sparsity": 0.0, "sparsity_start": size.update(0.2), "sparsity_end": size.update(0.8)}
    soft = {"tau": 0.005, "target_update_interval": 1}
    cosine = {"anneal": "cosine", "adapt_end": end}
    for agent in AGENTS:
        add(agent, "as it is")
        add(agent, "rule static", rule="static", **half)
        add(agent, "rule set", rule="set", **half)
        add(agent, "rule rigl", rule="rigl", **half, **cosine)
        add(agent, "rule prune", rule="prune", sparsity=0.8, **pruned)
        add(agent, "rule of one's own", rule="rewirl_fixtures:Oldest", **half)

    for agent in ("ds-td3", "ds-sac"):
        for rule in ("set", "rigl"):
            for drop in ("halves", "code", "magnitude", "sensitivity", "random"):
                add(agent, f"{rule} drop {drop}", rule=rule, drop=drop, **half)
            for grow in ("random", "gradient"):
                add(agent, f"{rule} grow {grow}", rule=rule, grow=grow, regrow_dropped=True, **half)
        add(agent, "lambdas", lambdas=(3, 6))
        add(agent, "lambdas of every layer", lambdas=(3, 6, 1.5))
        add(agent, "layer sparsities", layer_sparsities=(0.8, 0.0, 0.0))
        add(agent, "uniform", distribution="uniform", sparsity=0.7)
        add(agent, "actor and critics apart", sparsity=0.5, actor_sparsity=0.8, critic_sparsity=0.3)
        add(agent, "global", rule="prune", distribution="global", drop="magnitude", sparsity=0.8, **pruned)
        snip = 2 if agent == "ds-td3" else 1
        early = {"initial_sparsity": 0.0, "sparsity_end": snip, "adapt_every": snip, "adapt_end": snip}
        add(agent, "snip", rule="prune", distribution="global", drop="sensitivity", sparsity=0.9, **early)
        growing = {"initial_sparsity": 0.85, "sparsity_end": end}
        add(agent, "connectivity", distribution="connectivity", sparsity=0.6, **{**growing, "adapt_fraction": 0.0})
        add(agent, "expansion", rule="rigl", sparsity=0.25, initial_scale="largest", **growing, **cosine)
        add(agent, "pruned by set", rule="set", sparsity=0.8, **pruned)
        add(agent, "constant fan-in", structure="constant-fan-in", **half)
        srigl = {"structure": "constant-fan-in", "rule": "rigl", "initial_scale": "sparse", "regrow_dropped": True}
        add(agent, "ablation", ablate_below=0.6, sparsity=0.8, **srigl, **cosine)
        add(agent, "2:4", structure="2:4", drop="magnitude")
        add(agent, "1:4", structure="1:4", rule="rigl")
        for scale in ("sparse", "largest"):
            add(agent, f"initial scale {scale}", initial_scale=scale, sparsity=0.8)
        add(agent, "offset and end", adapt_offset=2, adapt_end=size.update(0.4), **half)
        add(
            agent,
            "wide and very sparse",
            hidden_sizes=size.wide,
            sparsity=0.95,
            batch_size=160,
            steps=size.steps_of_wide,
        )
        add(
            agent,
            "wide and half sparse",
            hidden_sizes=size.wide,
            sparsity=0.5,
            batch_size=100,
            steps=size.steps_of_wide,
        )
        add(agent, "threads", hidden_sizes=size.wide, sparsity=0.5, batch_size=100, threads=2, steps=size.steps_of_wide)
        add(agent, "one hidden layer", hidden_sizes=(24,), **half)
        add(agent, "three hidden layers", hidden_sizes=(24, 16, 12), **half)
        add(agent, "batches of one", batch_size=1, **half)
        add(agent, "ages", bias_correction="connection", **half)
        add(agent, "ages and pruning", rule="prune", bias_correction="connection", sparsity=0.8, **pruned)
        add(agent, "optimiser", learning_rate=3e-3, weight_decay=0.01, gamma=0.9, tau=0.1, **half)
        add(agent, "several steps", n_steps=3, **half)
        add(agent, "several steps, later", n_steps=4, n_steps_after=size.update(0.5), **half)
        add(agent, "recycling", redo_every=size.every, redo_threshold=0.5, **half)
        add(agent, "emptied memory", buffer_empty_every=3 * size.every, buffer_minimum=size.every, **half)
        add(agent, "noise", env="noisy", layer_sparsities=(0.8, 0.0, 0.0), resample_noise_from=5)
        if size is FULL:  # the memory forgets at update 10,000
            add(agent, "memory by distance", buffer_distance=0.01, buffer_minimum=300, steps=11_000, **half)
    for agent in ("td3", "sac"):
        add(agent, "dense and wide", hidden_sizes=size.wide, batch_size=256, steps=size.steps_of_wide)
        add(agent, "dense threads", hidden_sizes=size.wide, batch_size=256, threads=2, steps=size.steps_of_wide)
        add(agent, "dense recycling", redo_every=size.every, redo_threshold=0.5)
        add(agent, "dense ages", bias_correction="connection")
        add(agent, "dense several steps", n_steps=3)
    add("ds-td3", "delays and noises", policy_delay=3, policy_noise=0.4, noise_clip=0.3, exploration_noise=0.3, **half)
    add("ds-td3", "no delay", policy_delay=1, **half)
    add("ds-sac", "soft targets", **soft, **half)
    add("ds-sac", "learnt temperature", temperature="auto", **soft, **half)
    add("ds-sac", "target entropy", temperature="auto", target_entropy=-3.0, **half)
    add("ds-sac", "entropies between", n_steps=3, n_step_entropy=True, temperature="auto", **soft, **half)
    return found


ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "springs": {"env": "rewirl-fixtures/Springs-v0", "env_module": "rewirl_fixtures"},
    "noisy": {
        "env": "rewirl/Noisy-v0",
        "env_module": "rewirl.noisy",
        "env_kwargs": {"env": "rewirl_fixtures:rewirl-fixtures/Springs-v0", "fraction": 0.5},
    },
}


def trained(case: Case, directory: Path) -> dict[str, Any]:
    """Make a run by the Python face, and return its hashes."""
    import rewirl

    made = getattr(rewirl, AGENTS[case.agent])
    where = dict(ENVIRONMENTS[case.env])
    with made(where.pop("env"), seed=7, threads=case.threads, **where, **case.options) as agent:
        agent.learn(case.steps, run_dir=directory, eval_every=case.steps // 2 - 10, eval_episodes=2, checkpoint_every=0)
    return adapter.of_run(directory)


def hashes(size: Size, instruction_set: str, wanted: str = "*") -> dict[str, dict[str, Any]]:
    """Return the hashes of the cases whose names fit a pattern."""
    chosen = {name: case for name, case in cases(size).items() if fnmatch.fnmatchcase(name, wanted)}
    with tempfile.TemporaryDirectory() as scratch, adapter.instruction_set(instruction_set):
        return {name: trained(case, Path(scratch) / str(n)) for n, (name, case) in enumerate(chosen.items())}


def differences(one: dict[str, Any], other: dict[str, Any], parts: Sequence[str] = adapter.PARTS) -> list[str]:
    """Return a line for every case in which some parts of two versions differ, or that only one has."""
    found = []
    for name in [*one, *(name for name in other if name not in one)]:
        if name not in one or name not in other:
            found.append(f"{name}: only the {'second' if name not in one else 'first'} has it")
            continue
        different = [
            f"{part} of {word}" if part else word
            for word in parts
            for part in _keys(one[name][word], other[name][word])
        ]
        if different:
            found.append(f"{name}: {', '.join(different)}")
    return found


def _keys(one: Any, other: Any) -> list[str]:
    """Return in which entries two tables differ, or "" for two values that do."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return [] if one == other else [""]


def compared(interpreters: list[str], arguments: list[str]) -> int:
    """Let two interpreters train everything side by side, and print what differs."""
    command = ["-P", str(Path(__file__).resolve()), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent)}
    paths = [str(Path(python).absolute()) if os.sep in python else python for python in interpreters]
    with tempfile.TemporaryDirectory() as elsewhere:  # where no source tree can be imported by accident
        processes = [
            subprocess.Popen([path, *command], stdout=subprocess.PIPE, text=True, cwd=elsewhere, env=environment)
            for path in paths
        ]
        printed = [process.communicate()[0] for process in processes]
    for python, process in zip(interpreters, processes, strict=True):
        if process.returncode:
            print(f"{python} ended with {process.returncode}", file=sys.stderr)
            return 2
    first, second = map(json.loads, printed)
    worst = 0
    for name in first["hashes"]:
        problems = differences(first["hashes"][name], second["hashes"].get(name, {}))
        print(f"{name}: {len(first['hashes'][name])} cases, {len(problems)} differ")
        print("".join(f"  {problem}\n" for problem in problems), end="")
        worst = max(worst, bool(problems))
    if first["here"]["arithmetic"] != second["here"]["arithmetic"]:
        print("NumPy rounds differently in the two interpreters: install one version of it in both")
    return worst


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], help="an interpreter; twice, to compare two")
    parser.add_argument("--short", action="store_true", help="300 steps in place of 3,000, smaller networks")
    parser.add_argument("--cases", default="*", help="only cases whose names fit this pattern")
    parser.add_argument("--instruction-set", action="append", default=[], help="only this one; more than once for more")
    given = parser.parse_args()
    if given.python:
        if len(given.python) != 2:
            parser.error("--python is given twice, or not at all")
        arguments = ["--short"] * given.short + ["--cases", given.cases]
        return compared(given.python, arguments + [f"--instruction-set={name}" for name in given.instruction_set])
    import rewirl

    adapter.no_waiting_for_the_disk()
    sets = given.instruction_set or adapter.instruction_sets()
    found = {name: hashes(SHORT if given.short else FULL, name, given.cases) for name in sets}
    print(json.dumps({"version": rewirl.__version__, "here": adapter.here(), "hashes": found}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
