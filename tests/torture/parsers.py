"""The parsers of outside data as targets of fuzz.py: what is fed to them, what they may refuse, what has to work."""

from __future__ import annotations

import hashlib
import io
import json
import math
import random
import struct
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from mutation import json_text, mutated_arrays, mutated_bytes, mutated_json, packed, unpacked
from synthetic_runs import make_run, rising

from rewirl import agents, api
from rewirl.environments.environment import FaultyEnvironmentError
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.experiments.report import document, figures, report
from rewirl.experiments.report.metrics import final_return, learning_curve_area
from rewirl.experiments.report.run_data import find_runs, read_run
from rewirl.experiments.sweep.error import SweepError
from rewirl.experiments.sweep.file import EXPERIMENTS, read_sweep
from rewirl.experiments.sweep.plan import plan
from rewirl.options.train import TrainConfig
from rewirl.storage import strict_json
from rewirl.storage.checkpoint import CheckpointError, load_checkpoint
from rewirl.storage.metrics_log import MetricsLog, read_metrics
from rewirl.storage.policy_file import PolicyError
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError
from rewirl.storage.tensors import TensorWriter, read_tensors
from rewirl.storage.values import to_values
from rewirl.topology import TopologyConfig
from rewirl.training import run as runs
from rewirl.training.divergence import DivergedError
from rewirl.training.progress import Silent
from rewirl.training.resume import resume, settings_of

ACCEPTED, REFUSED = (1, 0), (0, 1)


@contextmanager
def directory() -> Iterator[Path]:
    """A directory of its own, in memory where there is such a place."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None, prefix="fuzz-") as path:
        yield Path(path)


def small_run(path: Path, agent: str, steps: int, **settings: Any) -> None:
    """Train a tiny agent for a moment, with its record in a run directory."""
    config = TrainConfig(
        agent=agent, env="Pendulum-v1", total_timesteps=steps, eval_every=0, checkpoint_every=0, threads=1
    )
    kind = agents.agent_entry(agent).config
    topology = TopologyConfig(sparsity=0.5 if agent.startswith("ds") else 0.0, adapt_every=5)
    sizes = {"hidden_sizes": (6, 5), "batch_size": 8, "learning_starts": 10, "buffer_size": 50}
    with runs.start(config, kind(topology=topology, **sizes, **settings), path, Silent()) as run:
        run.train()


def files_below(path: Path) -> dict[str, bytes]:
    """The content of all files below a directory by their names from there."""
    return {str(f.relative_to(path)): f.read_bytes() for f in sorted(path.rglob("*")) if f.is_file()}


def write(path: Path, files: dict[str, bytes]) -> None:
    """Write files below a directory, but none outside of it."""
    for name, content in files.items():
        target = path / name
        if path in target.resolve().parents:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


class Target(ABC):
    """What fuzz.py asks of a target."""

    name = ""
    traced = True
    bounded = True

    @abstractmethod
    def seeds(self) -> list[bytes]:
        """Return valid inputs to begin with."""

    @abstractmethod
    def mutate(self, rng: random.Random, corpus: Sequence[bytes]) -> bytes:
        """Return an input made from some of these."""

    @abstractmethod
    def run(self, data: bytes) -> tuple[int, int]:
        """Return how many were accepted and refused; raise anything for a failure."""


class Bundles(Target):
    """Directories with a manifest, whose sums are made right again after most changes."""

    document = ""

    def mutate(self, rng: random.Random, corpus: Sequence[bytes]) -> bytes:
        files = unpacked(rng.choice(corpus))
        what = rng.random()
        inside = {name: content for name, content in files.items() if name != "manifest.json"}
        if what < 0.06:
            files["manifest.json"] = mutated_bytes(rng, files.get("manifest.json", b""), [])
            return packed(files)
        if what < 0.14:
            files["manifest.json"] = self._changed_json(rng, files.get("manifest.json", b"{}"))
            return packed(files)
        if not inside:
            return packed(files)
        if what < 0.45 and self.document in inside:
            inside[self.document] = self._changed_json(rng, inside[self.document])
        elif what < 0.75:
            self._change_arrays(rng, inside)
        elif what < 0.85:
            name = rng.choice(sorted(inside))
            if name.endswith(".safetensors"):
                inside[name] = self._changed_header(rng, inside[name])
        elif what < 0.93:
            name = rng.choice(sorted(inside))
            inside[name] = mutated_bytes(rng, inside[name], list(inside.values()))
        elif what < 0.96:
            other = unpacked(rng.choice(corpus))
            name = rng.choice(sorted(inside))
            if name in other:
                inside[name] = other[name]
        else:
            name = rng.choice(sorted(inside))
            content = inside.pop(name)
            if rng.random() < 0.6:
                inside[rng.choice((name + "x", "x.safetensors", "..", "a/b", ".hidden", "arrays.safetensors"))] = (
                    content
                )
        return packed({**inside, "manifest.json": self._manifest(rng, files, inside)})

    def _manifest(self, rng: random.Random, before: dict[str, bytes], files: dict[str, bytes]) -> bytes:
        if rng.random() < 0.03:
            return before.get("manifest.json", b"")
        sums = {n: {"size": len(c), "sha256": hashlib.sha256(c).hexdigest()} for n, c in sorted(files.items())}
        return json_text({"format": 1, "kind": self.name, "files": sums})

    def _changed_json(self, rng: random.Random, text: bytes) -> bytes:
        try:
            return json_text(mutated_json(rng, json.loads(text)))
        except (ValueError, RecursionError):
            return mutated_bytes(rng, text, [])

    def _change_arrays(self, rng: random.Random, files: dict[str, bytes]) -> None:
        names = [name for name in sorted(files) if name.endswith(".safetensors")]
        if not names:
            return
        name = rng.choice(names)
        try:
            arrays = read_tensors(io.BytesIO(files[name]), len(files[name]))
            sink = io.BytesIO()
            TensorWriter(mutated_arrays(rng, arrays))(sink)
        except ValueError:
            return
        files[name] = sink.getvalue()

    def _changed_header(self, rng: random.Random, content: bytes) -> bytes:
        if len(content) < 8:
            return content
        length = min(struct.unpack_from("<Q", content)[0], len(content) - 8)
        header, data = content[8 : 8 + length], content[8 + length :]
        header = self._changed_json(rng, header)
        return struct.pack("<Q", len(header)) + header + data


class Checkpoint(Bundles):
    """A run's checkpoint: read, the run continued from it for some steps, and saved again."""

    name = "checkpoint"
    document = "state.json"

    def __init__(self) -> None:
        self._made: list[bytes] = []

    def seeds(self) -> list[bytes]:
        if not self._made:
            for agent, settings in (
                ("ds-td3", {"bias_correction": "connection", "redo_every": 7}),
                ("sac", {}),
                ("ds-sac", {"buffer_distance": 0.2, "buffer_minimum": 5, "n_steps": 2}),
            ):
                with directory() as path:
                    small_run(path / "run", agent, 33, **settings)
                    files = files_below(path / "run" / "checkpoints")
                    kept = {name.partition("/")[2]: content for name, content in files.items()}
                    config = {"../config.json": (path / "run" / "config.json").read_bytes()}
                    self._made.append(packed({**kept, **config}))
        return self._made

    def mutate(self, rng: random.Random, corpus: Sequence[bytes]) -> bytes:
        chosen = rng.choice(corpus)
        files = unpacked(chosen)
        config = files.pop("../config.json", b"")
        others = [unpacked(other) for other in rng.sample(list(corpus), min(3, len(corpus)))]
        for other in others:
            other.pop("../config.json", None)
        changed = unpacked(
            super().mutate(rng, [packed(files), *map(packed, others)][: 1 if rng.random() < 0.9 else None])
        )
        return packed({**changed, "../config.json": config})

    def run(self, data: bytes) -> tuple[int, int]:
        files = unpacked(data)
        config = files.pop("../config.json")
        with directory() as path:
            saved = path / "checkpoints" / "step-000000033"
            saved.mkdir(parents=True)
            write(saved, files)
            (path / "config.json").write_bytes(config)
            (path / "metrics.jsonl").write_text('{"event": "start", "step": 0}\n' * 20)
            try:
                load_checkpoint(saved)
                run = resume(path, Silent(), 40)
            except (
                RunDirectoryError,
                CheckpointError,
                UnsuitableEnvironmentError,
                FaultyEnvironmentError,
                PolicyError,
                ValueError,
            ):
                return REFUSED
            if run is None:
                return ACCEPTED
            with run:
                try:
                    run.train()
                except (DivergedError, FaultyEnvironmentError):
                    return ACCEPTED
            again = load_checkpoint(path / "checkpoints" / "step-000000040")
            if again.step != 40:
                raise AssertionError(f"a run of 40 steps was saved as one of {again.step}")
            return ACCEPTED


class Policy(Bundles):
    """A saved policy: read, described, and asked for actions."""

    name = "policy"
    document = "policy.json"

    def __init__(self) -> None:
        self._made: list[bytes] = []

    def seeds(self) -> list[bytes]:
        if not self._made:
            for agent in ("ds-td3", "sac", "td3"):
                with directory() as path:
                    small_run(path / "run", agent, 12)
                    self._made.append(packed(files_below(path / "run" / "policy")))
        return self._made

    def run(self, data: bytes) -> tuple[int, int]:
        with directory() as path:
            write(path / "policy", unpacked(data))
            try:
                policy = api.load(path / "policy")
            except PolicyError:
                return REFUSED
        repr(policy), repr(policy.topology), policy.topology["actor"][0].mask
        size, bounds = policy._trained.spaces.observation_size, policy._trained.spaces.actions
        if size > 10**6:
            return ACCEPTED
        for batch in (1, 3, 17):
            actions = policy.predict(np.linspace(-1, 1, batch * size).reshape(batch, size))
            if actions.shape != (batch, bounds.size) or actions.dtype != np.float32:
                raise AssertionError(f"actions are {actions.dtype} {actions.shape}")
            known = ~np.isnan(actions)  # weights that are not too large for float32 may have sums that are
            low, high = np.broadcast_to(bounds.low, actions.shape), np.broadcast_to(bounds.high, actions.shape)
            if (actions[known] < low[known]).any() or (actions[known] > high[known]).any():
                raise AssertionError("an action is out of bounds")
        if policy.about["environment"]["module"] is None:
            with suppress(UnsuitableEnvironmentError):
                policy._trained.source()
        return ACCEPTED


class Toml(Target):
    """A sweep file: read, narrowed and planned."""

    name = "toml"

    WORDS = (
        *(
            line.encode() + b"\n"
            for line in """[[runs]]
agents =
["td3", "ds-td3"]
envs =
["Ant-v5"]
seeds =
[0, 1]
presets = ["rlx2/td3/Ant-v5"]
warm_up_policy = {agent = "td3"}
warm_up_policy = {agent = []}
hidden_sizes = [[4, 4], [5]]
lambdas = [7.0, 64]
sparsity = [0.5, 0.9]
env_kwargs = {a = 1}
[runs]
tau = nan
gamma = inf
0x10
1979-05-27
temperature = "auto"
threads = 2
env_module = "x"
rule = ["set", "rigl"]
structure = "2:4"
description = "x"
initial_sparsity = 0
adapt_every = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
[
{
}
'''""".splitlines()
        ),
        b"[" * 1500,
        b"learning_rate = 1" + b"0" * 400 + b"\n",
        b"batch_size = " + str(list(range(1, 200))).encode() + b"\n",
        b"n_steps = " + str(list(range(1, 200))).encode() + b"\n",
    )

    def seeds(self) -> list[bytes]:
        own = b"""agents = ["ds-td3", "ds-sac"]
envs = ["HalfCheetah-v5", "Pendulum-v1"]
seeds = [0, 1]
total-timesteps = 500_000
[[runs]]
hidden-sizes = [[64, 64], [128]]
sparsity = [0.5, 0.9]
warm_up_policy = {agent = "td3", total_timesteps = 1000}
[[runs]]
agents = ["td3"]
env_kwargs = {a = 1}
"""
        small = sorted(EXPERIMENTS.rglob("*.toml"), key=lambda path: path.stat().st_size)[:12]
        return [own, *(path.read_bytes() for path in small)]

    def mutate(self, rng: random.Random, corpus: Sequence[bytes]) -> bytes:
        lines = rng.choice(corpus).split(b"\n")
        what = rng.random()
        if what < 0.35:
            other = rng.choice(corpus).split(b"\n")
            for _ in range(rng.choice((1, 2, 4))):
                at = rng.randrange(len(lines) + 1)
                lines[at : at + rng.randrange(2)] = [rng.choice((rng.choice(other), rng.choice(self.WORDS).rstrip()))]
            return b"\n".join(lines)[: 2**16]
        return mutated_bytes(rng, b"\n".join(lines), corpus, self.WORDS)[: 2**16]

    def run(self, data: bytes) -> tuple[int, int]:
        with directory() as path:
            file = path / "sweep.toml"
            file.write_bytes(data)
            try:
                sweep = read_sweep(str(file))
                planned = plan(sweep.requests[:40], path)
            except SweepError:
                return REFUSED
        for run in planned.values():
            if run.path.parent != path:
                raise AssertionError(f"a run would be in {run.path}")
            strict_json.canonical(run.values(), run.name)  # as it is sent to the process that does it
        return ACCEPTED


class Metrics(Target):
    """A run's log: read, judged, cut at an offset, and continued."""

    name = "metrics"

    def __init__(self) -> None:
        self._made: list[bytes] = []

    def seeds(self) -> list[bytes]:
        if not self._made:
            with directory() as path:
                small_run(path / "run", "ds-td3", 12)
                record = (path / "run" / "config.json").read_bytes()
                written = (path / "run" / "metrics.jsonl").read_bytes()
            connections = {"actor": 100, "critic1": 100, "critic2": 100, "target_actor": 100}
            network = {
                "shapes": [[8, 3], [2, 8]],
                "connections": [12, 16],
                "initial_alive": [0.5, None],
                "input_connections": [4, 4, 4],
            }
            lines: list[dict[str, Any]] = [{"event": "start", "step": 0}]
            for step in (0, 5, 10):
                numbers = {"return_mean": 1.5 * step, "seconds": 1.0 * step, "updates": step}
                lines.append({"event": "evaluation", "step": step, **numbers, "connections": connections})
                lines.append({"event": "topology", "step": step, "networks": {"actor": network, "critic1": network}})
            text = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
            for log in (text, written + text + b'{"event": "evalu', b""):
                self._made.append(packed({"config.json": record, "metrics.jsonl": log, "offset": b"400"}))
        return self._made

    def mutate(self, rng: random.Random, corpus: Sequence[bytes]) -> bytes:
        files = unpacked(rng.choice(corpus))
        log = files["metrics.jsonl"]
        lines = log.splitlines(keepends=True)
        what = rng.random()
        if what < 0.55 and lines:
            at = rng.randrange(len(lines))
            try:
                lines[at] = json_text(mutated_json(rng, json.loads(lines[at]))) + b"\n"
            except (ValueError, RecursionError):
                lines[at] = mutated_bytes(rng, lines[at], lines)
            log = b"".join(lines)
        elif what < 0.7:
            log = mutated_bytes(rng, log, [unpacked(rng.choice(corpus))["metrics.jsonl"]])
        elif what < 0.8 and lines:
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
            log = b"".join(lines)
        elif what < 0.9:
            files["config.json"] = changed_record(rng, files["config.json"])
        files["metrics.jsonl"] = log[: 2**18]
        files["offset"] = str(rng.choice((0, 1, len(log), len(log) + 1, rng.randrange(len(log) + 1), 2**70))).encode()
        return packed(files)

    def run(self, data: bytes) -> tuple[int, int]:
        files = unpacked(data)
        with directory() as path:
            write(path, files)
            result = ACCEPTED
            try:
                run = read_run(path)
                run.until(run.last), run.finished
                learning_curve_area(run.returns.tolist())
                final_return(run.returns.tolist())
                if not all(map(math.isfinite, run.flops)) or run.connections.min() < 0:
                    raise AssertionError(f"a run of {run.parameters} connections took {run.flops} operations")
            except (ValueError, OSError, RunDirectoryError):
                result = REFUSED
            self._continue(path / "metrics.jsonl", int(files["offset"]))
        return result

    def _continue(self, path: Path, offset: int) -> None:
        before = path.read_bytes()
        log = MetricsLog(path, lambda message: None, truncate_to=offset)
        try:
            log.write("evaluation", step=1, value=math.nan)
            end = log.offset
        finally:
            log.close()
        after = path.read_bytes()
        kept = before[: min(offset, len(before))]
        kept = kept[: kept.rfind(b"\n") + 1]
        if after != kept + b'{"event": "evaluation", "step": 1, "value": null}\n' or end != len(after):
            raise AssertionError(f"{len(before)} bytes cut at {offset} became {len(after)}")
        try:
            read_metrics(path)
        except ValueError as error:
            if "was changed since it was written" not in str(error):  # its sums say so
                read_metrics_refuses(kept)


def read_metrics_refuses(kept: bytes) -> None:
    """Check that it was the older part of a log that could not be read."""
    for line in kept.splitlines(keepends=True):
        try:
            if not isinstance(strict_json.decode(line), dict):
                return
        except ValueError:
            return
    raise AssertionError("a log whose lines are all sound cannot be read")


def changed_record(rng: random.Random, text: bytes) -> bytes:
    """Return a config.json with changes, and with its hash made right again where that can be done."""
    try:
        record = json.loads(text)
        part = rng.random()
        if part < 0.8 and isinstance(record, dict) and "config" in record:
            config = mutated_json(rng, record["config"])
            record["config"] = json.loads(json_text(config))
            canonical = json.dumps(record["config"], sort_keys=True, separators=(",", ":")).encode()
            record["config_hash"] = hashlib.sha256(canonical).hexdigest()
            return json_text(record)
        return json_text(mutated_json(rng, record)) if part < 0.9 else mutated_bytes(rng, text, [])
    except (ValueError, RecursionError):
        return mutated_bytes(rng, text, [])


class Config(Target):
    """A run's config.json: read, its settings made, and, where they are small, a run put together from them."""

    name = "config"

    def __init__(self) -> None:
        self._made: list[bytes] = []

    def seeds(self) -> list[bytes]:
        if not self._made:
            for agent in ("ds-td3", "sac"):
                with directory() as path:
                    small_run(path / "run", agent, 12)
                    self._made.append((path / "run" / "config.json").read_bytes())
        return self._made

    def mutate(self, rng: random.Random, corpus: Sequence[bytes]) -> bytes:
        return changed_record(rng, rng.choice(corpus))[: 2**18]

    def run(self, data: bytes) -> tuple[int, int]:
        with directory() as path:
            (path / "config.json").write_bytes(data)
            try:
                with RunDirectory.open(path, lock=False) as opened:
                    config, agent = settings_of(opened)
            except RunDirectoryError:
                return REFUSED
            strict_json.canonical({"train": to_values(config), "agent": to_values(agent)}, "settings")
            small = max(agent.hidden_sizes) <= 64 and len(agent.hidden_sizes) < 8 and agent.batch_size <= 512
            if small and agent.buffer_size <= 10_000 and config.threads <= 4 and not config.env_module:
                self._use(config, agent)
        return ACCEPTED

    def _use(self, config: TrainConfig, agent: Any) -> None:
        stops = iter([False] * 14)
        try:
            run = runs.Run(config, agent, Silent())
        except ValueError:  # UnsuitableEnvironmentError is one
            return
        with run:
            run.training.evaluations = None
            try:
                run.train(lambda: next(stops, True))
            except (DivergedError, FaultyEnvironmentError):
                return


class Report(Target):
    """A run directory among sound ones, of which a report is made."""

    name = "report"
    traced = False  # a report runs most of its lines whatever the run

    def __init__(self) -> None:
        self._sound: dict[str, bytes] = {}
        self._made: list[bytes] = []

    def seeds(self) -> list[bytes]:
        if not self._made:
            with directory() as path:
                kinds = (("td3", {}), ("ds-td3", {}), ("ds-td3", {"learning_rate": 1e-4}), ("sac", {}))
                for number, (agent, settings) in enumerate(kinds):
                    for seed in (0, 1):
                        alive = (lambda step: 1 / (1 + step)) if agent != "td3" else None
                        made = make_run(path / "made", agent, seed, rising(9, 50_000, 12), drift=alive, **settings)
                        if seed == 0 and number < 2:
                            self._sound |= {f"sound/{made.name}/{n}": c for n, c in files_below(made).items()}
                        else:
                            self._made.append(packed(files_below(made)))
        return self._made

    def mutate(self, rng: random.Random, corpus: Sequence[bytes]) -> bytes:
        files = unpacked(rng.choice(corpus))
        if rng.random() < 0.4:
            files["config.json"] = changed_record(rng, files["config.json"])
        else:
            lines = files["metrics.jsonl"].splitlines(keepends=True)
            kind = rng.choice((b'"topology"', b'"evaluation"', b""))
            some = [number for number, line in enumerate(lines) if kind in line] or range(len(lines))
            at = rng.choice(some)
            try:
                lines[at] = json_text(mutated_json(rng, json.loads(lines[at]))) + b"\n"
            except (ValueError, RecursionError):
                lines[at] = mutated_bytes(rng, lines[at], lines)
            files["metrics.jsonl"] = b"".join(lines)
        return packed(files)

    def run(self, data: bytes) -> tuple[int, int]:
        with directory() as path:
            write(path, {**self._sound, **{f"other/{name}": content for name, content in unpacked(data).items()}})
            found, problems = find_runs([path])
            with mock.patch.multiple(
                figures, lines=no_figure, points=no_figure, inputs=no_figure
            ):  # they take most of the time
                blocks = report(
                    found, problems
                )  # not of sound runs alone: what fails here has to be mended where it is read
            page, text = document.html(blocks), document.markdown(blocks, None)
            sound = [run for run in found if "sound" in run.path.parts]
            if len(sound) != 2 or not page or not text:
                raise AssertionError("a sound run is left out too")
        return ACCEPTED if len(found) == 3 else REFUSED


def no_figure(*arguments: Any, **named: Any) -> str:
    """Return a figure that shows nothing."""
    return '<svg xmlns="http://www.w3.org/2000/svg"></svg>'


TARGETS = {kind.name: kind for kind in (Checkpoint, Policy, Toml, Metrics, Config, Report)}
