"""Make the fixtures of a release, with that release installed: what it saves, and what comes of it.

    python tests/compatibility/make_fixtures.py [hashes]

writes tests/fixtures/VERSION anew. Runs are made with the portable instruction set; but for seconds and the description
of the machine they are the same again to the bit, those in Pendulum-v1 where NumPy computes the same sines.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import adapter  # first: it says how many threads BLAS may have
import gymnasium
import numpy as np
import rewirl_fixtures
import same_numbers

import rewirl

STOP, TOTAL = 230, 400

SMALL = "--hidden-sizes 10 8 --batch-size 12 --learning-starts 40 --buffer-size 150 --adapt-every 20"
RUN = f"--total-timesteps {TOTAL} --eval-every 150 --eval-episodes 2 --checkpoint-every 0 --threads 1 --seed 3"
SPRINGS = ["--env", rewirl_fixtures.ENVIRONMENT, "--env-module", "rewirl_fixtures"]
PENDULUM = ["--env", "Pendulum-v1"]
NOISY = ["--env", "rewirl/Noisy-v0", "--env-module", "rewirl.noisy", "--env-kwargs"]
NOISY += [json.dumps({"env": f"rewirl_fixtures:{rewirl_fixtures.ENVIRONMENT}", "fraction": 0.5})]

RLX2 = "--rule rigl --initial-scale largest --regrow-dropped --adapt-fraction 0.5 --anneal cosine --adapt-end 350 "
RLX2 += "--actor-sparsity 0.6 --critic-sparsity 0.5 --n-steps 3 --n-steps-after 60 --buffer-distance 0.2 "
RLX2 += "--buffer-minimum 60 --sparsity 0.5"
PRUNE = "--rule prune --sparsity 0.8 --initial-sparsity 0 --sparsity-start 60 --sparsity-end 300"
SNIP = "--rule prune --drop sensitivity --distribution global --initial-sparsity 0 --sparsity 0.7 --sparsity-end"
SOFT = "--tau 0.005 --target-update-interval 1 --temperature auto"

# By the name of the directory: agent, environment and options.
RUNS: dict[str, tuple[str, list[str], str]] = {
    "td3": ("td3", SPRINGS, ""),
    "static-td3": ("static-td3", SPRINGS, "--distribution uniform --sparsity 0.6"),
    "ds-td3": ("ds-td3", SPRINGS, ""),
    "sac": ("sac", SPRINGS, SOFT),
    "static-sac": ("static-sac", SPRINGS, "--lambdas 2 3 --target-update-interval 30"),
    "ds-sac": ("ds-sac", SPRINGS, "--target-update-interval 50"),  # stopped when the targets have not followed yet
    "pendulum-ds-td3": ("ds-td3", PENDULUM, ""),
    "pendulum-ds-sac": ("ds-sac", PENDULUM, SOFT),
    "rlx2-td3": ("ds-td3", SPRINGS, RLX2),
    "rlx2-sac": ("ds-sac", SPRINGS, f"{RLX2} --n-step-entropy {SOFT}"),
    "prune-td3": ("ds-td3", SPRINGS, PRUNE),
    "prune-emptied-sac": ("ds-sac", SPRINGS, f"{PRUNE} --buffer-empty-every 100 --buffer-minimum 30 {SOFT}"),
    "snip-td3": ("ds-td3", SPRINGS, f"{SNIP} 2 --adapt-every 2 --adapt-end 2"),
    "two-of-four-td3": ("ds-td3", SPRINGS, "--structure 2:4 --drop magnitude"),
    "srigl-td3": (
        "ds-td3",
        SPRINGS,
        "--structure constant-fan-in --sparsity 0.6 --ablate-below 0.6 --rule rigl --initial-scale sparse "
        "--regrow-dropped --adapt-fraction 0.3 --anneal cosine --adapt-end 350",
    ),
    "revival-td3": (
        "ds-td3",
        SPRINGS,
        "--distribution connectivity --initial-sparsity 0.7 --sparsity 0.5 --sparsity-end 260 --adapt-fraction 0",
    ),
    "expansion-sac": (
        "ds-sac",
        SPRINGS,
        f"--rule rigl --initial-sparsity 0.7 --sparsity 0.2 --sparsity-end 300 {SOFT}",
    ),
    "redo-sac": ("sac", SPRINGS, f"--redo-every 30 --redo-threshold 0.5 {SOFT}"),
    "ages-td3": ("ds-td3", SPRINGS, "--bias-correction connection"),
    "ages-prune-sac": ("ds-sac", SPRINGS, f"{PRUNE} --bias-correction connection {SOFT}"),
    "anf-td3": ("ds-td3", NOISY, "--layer-sparsities 0.8 0 0 --drop magnitude --resample-noise-from 5"),
    "own-rule-td3": ("ds-td3", SPRINGS, "--rule rewirl_fixtures:Oldest --sparsity 0.6"),
    "warmed-up-td3": ("ds-td3", SPRINGS, "--warm-up-policy /tmp/rewirl-fixtures/policy"),
}

FINISHED = {
    f"{agent}-{seed}": f"--agent {agent} --seed {seed} --total-timesteps 600 --eval-every 200 --eval-episodes 2 "
    "--checkpoint-every 0 --threads 1"
    for agent in ("td3", "ds-td3")
    for seed in (0, 1)
}
"""For the report, in Pendulum-v1."""


def succeed(*arguments: object, code: int = 0) -> str:
    """Run a command that has to end with a code."""
    ended, printed = adapter.command(*arguments)
    assert ended == code, (arguments, ended, printed)
    return printed


def stopped(arguments: Sequence[str], path: Path, kind: type[Any], step: int) -> None:
    """Train until somebody asks the run to stop at a step, in an environment of this class."""
    made: list[Any] = []
    counted = 0
    init, act = kind.__init__, kind.step

    def noting(self: Any, *given: Any, **more: Any) -> None:
        made.append(self)
        init(self, *given, **more)

    def counting(self: Any, action: Any) -> Any:
        nonlocal counted
        counted += self is made[0]  # the first one is that of the training
        if self is made[0] and counted == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return act(self, action)

    kind.__init__, kind.step = noting, counting
    try:
        succeed("train", *arguments, "--run-dir", path, code=128 + signal.SIGTERM)
    finally:
        kind.__init__, kind.step = init, act
    assert adapter.newest_checkpoint(path).name == f"step-{step:09d}"


def write(path: Path, value: dict[str, Any]) -> None:
    """Write JSON with a line for each entry of the tables in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts, comma = [], ",\n"
    for key, table in value.items():
        lines = [f" {json.dumps(str(k))}: {json.dumps(v, separators=(',', ':'))}" for k, v in table.items()]
        parts.append(f"{json.dumps(key)}: {{\n{comma.join(lines)}\n}}")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def strip(path: Path, *names: str) -> None:
    for name in ("lock", *names):
        shutil.rmtree(path / name, ignore_errors=True)
        (path / name).unlink(missing_ok=True)


def make_runs(root: Path) -> None:
    """Make runs that can be resumed, finished runs, and policies saved from Python."""
    for seed, made in ((0, rewirl.DSTD3), (1, rewirl.SAC)):
        usual = {"hidden_sizes": (10, 8), "batch_size": 12, "learning_starts": 40, "buffer_size": 150}
        with made(rewirl_fixtures.ENVIRONMENT, seed, 1, env_module="rewirl_fixtures", **usual) as agent:
            agent.learn(120).save(root / "policies" / agent.name)
    warm_up = Path("/tmp/rewirl-fixtures/policy")
    shutil.copytree(root / "policies" / "ds-td3", warm_up, dirs_exist_ok=True)
    for name, (agent, env, options) in RUNS.items():
        pendulum = gymnasium.envs.registration.load_env_creator("gymnasium.envs.classic_control:PendulumEnv")
        kind: Any = pendulum if env is PENDULUM else rewirl_fixtures.Springs
        path = root / "begun" / name
        stopped(["--agent", agent, *env, *f"{SMALL} {RUN} {options}".split()], path, kind, STOP)
        strip(path, *() if name == "ds-td3" else ("tensorboard",))
    shutil.rmtree(warm_up.parent)
    for name, options in FINISHED.items():
        path = root / "finished" / name
        succeed("train", *PENDULUM, *f"{SMALL} {options}".split(), "--run-dir", path)
        strip(path, "tensorboard", *() if name == "ds-td3-0" else ("checkpoints",))


def make_sweeps(root: Path) -> None:
    """Make the runs of a sweep, one of them to be gone on with, and note the names of the runs of others."""
    for file in sorted((adapter.FIXTURES / "sweeps").glob("*.toml")):
        (root / "sweeps").mkdir(exist_ok=True)
        shutil.copy(file, root / "sweeps")
    directory = root / "sweeps" / "mine"
    subprocess.run(
        [sys.executable, "-m", "rewirl", "sweep", root / "sweeps" / "mine.toml", "--directory", directory],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(adapter.FIXTURES)},
    )
    for path in directory.iterdir():
        strip(path, "tensorboard", "checkpoints")
    (begun,) = directory.glob("*-ds-td3-total-timesteps=120-*-1")
    shutil.rmtree(begun)
    options = "--agent ds-td3 --seed 1 --total-timesteps 120 --eval-every 60 --eval-episodes 2 --hidden-sizes 8 6 "
    options += "--batch-size 10 --learning-starts 30 --buffer-size 100 --adapt-every 40 --threads 1"
    stopped([*SPRINGS, *options.split()], begun, rewirl_fixtures.Springs, 70)
    strip(begun, "tensorboard")
    sources = {name: name for name in adapter.experiments()}
    sources |= {file.name: str(file) for file in sorted((root / "sweeps").glob("*.toml"))}
    write(
        root / "sweeps" / "names.json",
        {"names": {n: adapter.sweep_names(source, Path("anywhere")) for n, source in sources.items()}},
    )


def make_settings(root: Path) -> None:
    """Note the settings of every preset, and every option with its default, by agent."""
    write(root / "presets.json", compact(adapter.answer("presets", "--json")))
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for agent in same_numbers.AGENTS:
            path = Path(scratch) / agent
            succeed("train", "--agent", agent, *SPRINGS, "--total-timesteps", 1, "--eval-every", 0, "--run-dir", path)
            found[agent] = json.loads((path / "config.json").read_text())["config"]
            found[agent]["train"].pop("threads")  # it depends on the machine
    write(root / "defaults.json", found)


def compact(presets: dict[str, Any]) -> dict[str, Any]:
    """Return presets as what differs from the first one of their agent."""
    first: dict[str, Any] = {}
    found: dict[str, Any] = {"first": first, "presets": {}}
    for name, preset in presets.items():
        usual = first.setdefault(preset["agent"], preset["settings"])
        own = {key: value for key, value in preset["settings"].items() if value != usual[key]}
        if "topology" in own:
            topology = preset["settings"]["topology"]
            own["topology"] = {key: v for key, v in topology.items() if v != usual["topology"][key]}
        found["presets"][name] = {**preset, "settings": own}
    return found


def expect(root: Path) -> None:
    """Note what becomes of the runs and policies, with every instruction set of this machine."""
    rng = np.random.default_rng(0)
    observations = {size: rng.normal(size=(8, size)).astype(np.float32) for size in (3, 5, 10)}
    found: dict[str, Any] = {
        "here": adapter.here(),
        "observations": {size: values.tolist() for size, values in observations.items()},
        "runs": {},
        "policies": {},
    }
    runs = {f"begun/{name}" for name in RUNS} | {f"finished/{name}" for name in FINISHED}
    for name in sorted(runs):
        expected: dict[str, Any] = {"actions": {}, "evaluation": {}, "resumed": {}}
        begun = name.startswith("begun")
        if begun:
            expected["here"] = adapter.of_run(root / name)
            expected["inspect"] = adapter.answer("inspect", root / name, "--json")
        for each in adapter.instruction_sets():
            with tempfile.TemporaryDirectory() as scratch, adapter.instruction_set(each):
                path = Path(scratch) / "run"
                shutil.copytree(root / name, path)
                expected["actions"][each] = actions(path, observations)
                expected["evaluation"][each] = adapter.answer("evaluate", path, "--episodes", 3, "--json")
                if begun:
                    succeed("resume", path)
                    expected["resumed"][each] = adapter.of_run(path)
        found["runs"][name] = expected
    for path in sorted((root / "policies").iterdir()):
        found["policies"][path.name] = {}
        for each in adapter.instruction_sets():
            with adapter.instruction_set(each):
                found["policies"][path.name][each] = actions(path, observations)
    write(root / "expected.json", found)


def actions(path: Path, observations: dict[int, Any]) -> Any:
    policy = rewirl.load(path)
    return policy.predict(observations[policy.topology["actor"][0].shape[1]]).tolist()


def undisturbed(root: Path) -> None:
    """Check that resuming came to what a run that nobody stopped comes to."""
    expected = json.loads((root / "expected.json").read_text())["runs"]
    for name in ("ds-td3", "rlx2-sac", "srigl-td3", "prune-emptied-sac", "pendulum-ds-sac"):
        agent, env, options = RUNS[name]
        with tempfile.TemporaryDirectory() as scratch, adapter.instruction_set(CHOSEN):
            path = Path(scratch) / "run"
            succeed("train", "--agent", agent, *env, *f"{SMALL} {RUN} {options}".split(), "--run-dir", path)
            there, here = expected[f"begun/{name}"]["resumed"][CHOSEN], adapter.of_run(path)
        assert (there["networks"], there["measured"]) == (here["networks"], here["measured"]), name


CHOSEN = "portable"
"""The instruction set that runs are made with."""


def main() -> None:
    """Make everything, or with the argument hashes only those."""
    adapter.no_waiting_for_the_disk()
    root = adapter.FIXTURES / rewirl.__version__
    if sys.argv[1:] != ["hashes"]:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        with adapter.instruction_set(CHOSEN):
            make_runs(root)
            make_sweeps(root)
            make_settings(root)
        expect(root)
        undisturbed(root)
    short = {name: same_numbers.hashes(same_numbers.SHORT, name) for name in adapter.instruction_sets()}
    write(root / "hashes.json", {"here": adapter.here(), **short})


if __name__ == "__main__":
    main()
