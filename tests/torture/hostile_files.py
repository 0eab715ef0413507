"""Files that were damaged, or written to do harm: real run directories and policies, changed in every way we know.

Each trial changes one thing in a copy of a run, then does what a user would do next. What cannot be used must be
refused by name, with the checkpoint before in its place; what is used must hold nothing but possible values.
"""

from __future__ import annotations

import copy
import hashlib
import io
import itertools
import json
import os
import pickle
import shutil
import struct
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import probe_environments  # noqa: F401  (imported before anything is forked)
from contained import contained, tally
from numpy.typing import NDArray
from scenario import Score, scenario

import rewirl
from rewirl.agents import SACConfig, TD3Config
from rewirl.cli import main
from rewirl.topology import TopologyConfig
from rewirl.training import run as runs
from rewirl.training.checkpoint import CheckpointError, load_checkpoint
from rewirl.training.config import TrainConfig
from rewirl.training.environments import FaultyEnvironmentError
from rewirl.training.loop import DivergedError
from rewirl.training.metrics_log import read_metrics
from rewirl.training.policy import PolicyError
from rewirl.training.progress import Silent
from rewirl.training.run_directory import RunDirectoryError
from rewirl.training.tensors import TensorWriter, read_tensors

AGENTS = ("td3", "ds-td3", "sac", "ds-sac")
GOOD, NEWEST, TOTAL = 80, 100, 110
"""Steps of the checkpoint before, of the one that is attacked, and of the run that goes on."""

REFUSALS = (ValueError, CheckpointError, PolicyError, RunDirectoryError)
"""What the command line turns into one message and exit code 2."""

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Attack:
    """One change to one run directory."""

    name: str
    agent: str
    target: str
    """checkpoint, policy, config, fresh (the config of a run without checkpoint) or metrics."""
    change: Callable[[Path], None]
    """Changes a copy of the run directory."""
    may_pass: bool = False
    """Whether it may be that what results is possible, and is used."""
    says: str = ""
    """What the refusal has to name."""


class _Messages(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)


# --- Runs to attack ---


def settings(agent: str, seed: int = 3) -> tuple[TrainConfig, Any]:
    """Return the settings of a tiny run: of the sparse agents both layers are rewired all the time."""
    config = TrainConfig(
        agent=agent,
        env="rewirl-tests/Drift-v0",
        env_module="probe_environments",
        seed=seed,
        total_timesteps=NEWEST,
        eval_every=0,
        checkpoint_every=40,
        threads=1,
    )
    sparse = agent.startswith("ds-")
    topology = TopologyConfig(sparsity=0.5 if sparse else 0.0, adapt_every=4, adapt_fraction=0.2)
    kind = SACConfig if agent.endswith("sac") else TD3Config
    more: dict[str, Any] = {"bias_correction": "connection"} if agent == "ds-td3" else {}
    more |= {"temperature": "auto"} if kind is SACConfig else {}
    return config, kind(
        hidden_sizes=(12, 8), topology=topology, batch_size=10, learning_starts=30, buffer_size=70, **more
    )


def make_runs(root: Path) -> dict[str, Path]:
    """Train a run of each agent, and one of another seed, with checkpoints after GOOD and NEWEST steps."""
    made = {}
    for agent, seed in [*((agent, 3) for agent in AGENTS), ("ds-td3", 4)]:
        name = agent if seed == 3 else f"other {agent}"
        made[name] = root / name.replace(" ", "-")
        with runs.start(*settings(agent, seed), made[name], Silent()) as run:
            assert run.train().finished
        kept = sorted(path.name for path in (made[name] / "checkpoints").iterdir())
        assert kept == [f"step-{GOOD:09d}", f"step-{NEWEST:09d}"]
    return made


# --- Ways to change files ---


def newest(run: Path) -> Path:
    return run / "checkpoints" / f"step-{NEWEST:09d}"


def sign(bundle: Path) -> None:
    """Let the manifest vouch for what is there, as whoever writes hostile files would."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    for name in list(manifest["files"]):
        content = (bundle / name).read_bytes()
        manifest["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def rewritten(bundle: Callable[[Path], Path], file: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Return a change of the bytes of a file, signed."""

    def apply(run: Path) -> None:
        path = bundle(run) / file
        path.write_bytes(change(path.read_bytes()))
        sign(bundle(run))

    return apply


def unsigned(bundle: Callable[[Path], Path], file: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Return a change of the bytes of a file, as damage makes it."""

    def apply(run: Path) -> None:
        path = bundle(run) / file
        path.write_bytes(change(path.read_bytes()))

    return apply


def tensors(change: Callable[[Arrays], None]) -> Callable[[bytes], bytes]:
    """Return a change of the arrays of a safetensors file."""

    def apply(content: bytes) -> bytes:
        arrays = read_tensors(io.BytesIO(content), len(content))
        change(arrays)
        out = io.BytesIO()
        TensorWriter(arrays)(out)
        return out.getvalue()

    return apply


def header(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    """Return a change of the header of a safetensors file; what it returns takes the header's place."""

    def apply(content: bytes) -> bytes:
        (length,) = struct.unpack("<Q", content[:8])
        found = json.loads(content[8 : 8 + length])
        changed = change(found)
        text = changed if isinstance(changed, bytes) else json.dumps(found if changed is None else changed).encode()
        return struct.pack("<Q", len(text)) + text + content[8 + length :]

    return apply


def document(change: Callable[[Any], None]) -> Callable[[bytes], bytes]:
    """Return a change of a JSON file."""

    def apply(content: bytes) -> bytes:
        found = json.loads(content)
        change(found)
        return json.dumps(found).encode()

    return apply


def config_json(change: Callable[[Any], None], signed: bool = True) -> Callable[[Path], None]:
    """Return a change of a run's configuration, with the hash that goes with it."""

    def apply(run: Path) -> None:
        path = run / "config.json"
        record = json.loads(path.read_text())
        change(record)
        if signed and isinstance(record, dict):
            text = json.dumps(record.get("config"), sort_keys=True, separators=(",", ":"))
            record["config_hash"] = hashlib.sha256(text.encode()).hexdigest()
        path.write_text(json.dumps(record))

    return apply


def put(path: tuple[Any, ...], value: Any) -> Callable[[Any], None]:
    """Return a change of one place in JSON values."""

    def apply(values: Any) -> None:
        *way, last = path
        for step in way:
            values = values[step]
        values[last] = value

    return apply


def drop(path: tuple[Any, ...]) -> Callable[[Any], None]:
    """Return a change that removes one place of JSON values."""

    def apply(values: Any) -> None:
        *way, last = path
        for step in way:
            values = values[step]
        del values[last]

    return apply


def leaves(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return where everything is in JSON values, objects and lists too."""
    if path:
        yield path
    inside = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in inside:
        yield from leaves(value, (*path, key))


# --- What the attacks are ---

NASTY: list[Any] = [
    None, True, -1, 0, 1, 7, 2**31, 2**63 - 1, 2**63, 2**64, 10**400, -(10**400), 0.5, -0.0, 1e308, "", "x", "1",
    "../x", "/etc/passwd", "a\0b", "\ud800", [], [1], ["x"], {}, {"x": 1}, [[[]]],
]  # fmt: skip
"""Put in place of everything there is in a JSON file."""


class _Bomb:
    """What a pickle could do: leaves a trace where it is opened."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return (Path.touch, (self.trace,))


def exploded(run: Path) -> Path:
    return run / "exploded"


def damages(file: str, bundle: Callable[[Path], Path], size: int, text: int, rng: np.random.Generator) -> Any:
    """Yield name and change for everything that may happen to the bytes of a file.

    Args:
        file: its name.
        bundle: where it is, in a run.
        size: of the file.
        text: length of its header, 0 if it has none.
        rng: chooses among the many places.
    """
    ends = {0, 1, 7, 8, 9, 8 + text - 1, 8 + text, 8 + text + 1, size - 2, size - 1} | {*rng.integers(size, size=12)}
    for end in sorted({int(e) for e in ends if 0 <= e < size}):
        if file == "manifest.json" and end == size - 1:
            continue  # its last newline carries nothing
        yield f"{file} cut after {end} bytes", unsigned(bundle, file, lambda c, e=end: c[:e])
    places = {0, 7, 8, 8 + text, size // 2, size - 2} | {*rng.integers(size, size=12)}
    for place in sorted({int(p) for p in places if 0 <= p < size - 1}):
        bit = int(rng.integers(8))

        def flip(content: bytes, place: int = place, bit: int = bit) -> bytes:
            return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]

        yield f"{file} with bit {bit} of byte {place} flipped", unsigned(bundle, file, flip)

    def replaced(make: Callable[[Path, Path], None]) -> Callable[[Path], None]:
        def apply(run: Path) -> None:
            path = bundle(run) / file
            kept = run / f"elsewhere-{file}"
            path.rename(kept)
            make(path, kept)

        return apply

    yield f"{file} missing", replaced(lambda path, kept: None)
    yield f"{file} empty", replaced(lambda path, kept: path.touch())
    yield f"{file} longer", unsigned(bundle, file, lambda c: c + b"x")
    yield f"{file} a directory", replaced(lambda path, kept: path.mkdir())
    yield f"{file} a link to the same outside", replaced(lambda path, kept: path.symlink_to(kept))
    yield f"{file} a dangling link", replaced(lambda path, kept: path.symlink_to("/nowhere/at/all"))
    yield f"{file} a link to /dev/zero", replaced(lambda path, kept: path.symlink_to("/dev/zero"))
    yield f"{file} a pipe", replaced(lambda path, kept: os.mkfifo(path))

    def pickled(run: Path) -> None:
        (bundle(run) / file).write_bytes(pickle.dumps(_Bomb(exploded(run))))
        if file != "manifest.json":
            sign(bundle(run))

    yield f"{file} a pickle, signed", pickled


def headers() -> Iterator[tuple[str, Callable[[bytes], bytes]]]:
    """Yield name and change for everything a safetensors header may say that is not so."""
    for length in (2**64 - 1, 2**63, 2**40, 2**24 + 1, 1, 0):
        yield f"header length {length}", lambda c, n=length: struct.pack("<Q", n) + c[8:]

    def first(**fields: Any) -> Callable[[bytes], bytes]:
        def change(found: dict[str, Any]) -> None:
            found[next(iter(found))].update(fields)

        return header(change)

    for dtype in ("F33", "O", "F128", "BF16", "", 5, None, ["F32"], {"F32": 1}, "U8"):
        yield f"dtype {dtype!r}", first(dtype=dtype)
    shapes: list[Any] = [
        [2**32, 2**32], [2**62, 4], [0, 2**62], [2**40], [-1], [1.5], [True], "12", None, {}, [10**400], [1] * 100,
        [[1]],
    ]  # fmt: skip
    for shape in shapes:
        yield f"shape {str(shape)[:30]}", first(shape=shape)
        yield f"shape {str(shape)[:30]} of nothing", first(shape=shape, data_offsets=[0, 0])
    offsets: list[Any] = [
        [0, 0], [8, 0], [-8, 0], [2**62, 2**63], [0, 2**63], [0, 10**400], [4, 8], [0, 1, 2], [], "0", None,
        [0.0, 48.0],
    ]  # fmt: skip
    for pair in offsets:
        yield f"data_offsets {str(pair)[:30]}", first(data_offsets=pair)

    def overlapping(found: dict[str, Any]) -> None:
        for entry in found.values():
            entry["data_offsets"] = next(iter(found.values()))["data_offsets"]

    yield "overlapping arrays", header(overlapping)
    yield "a field more", first(more=1)
    yield "metadata", header(lambda h: {"__metadata__": {"x": "y"}, **h})
    yield "an entry that is no object", header(lambda h: {**h, next(iter(h)): [1]})
    yield "a list", header(lambda h: list(h.values()))
    yield "a name twice", header(lambda h: json.dumps(h).encode()[:-1] + b"," + json.dumps(h).encode()[1:])
    yield "nested deeply", header(lambda h: b"[" * 200_000)
    yield "objects nested deeply", header(lambda h: b'{"a":' * 100_000)
    yield "not UTF-8", header(lambda h: b"\xff\xfe" + json.dumps(h).encode())
    yield "NaN", header(lambda h: b'{"x": NaN}')
    yield "an infinite number", header(lambda h: b'{"x": 1e999}')
    yield "a number of 5,000 digits", header(lambda h: b'{"x": ' + b"9" * 5000 + b"}")
    yield (
        "many names, the last one twice",
        header(lambda h: json.dumps({f"n{i}": 0 for i in range(100_000)}).encode()[:-1] + b',"n99999":0}'),
    )
    yield "many empty objects", header(lambda h: b'{"x":[' + b"{}," * 300_000 + b"{}]}")
    yield "no header at all", lambda c: b""
    yield "more data than described", lambda c: c + bytes(8)


def arrays(agent: str) -> Iterator[tuple[str, Callable[[Arrays], None], bool]]:
    """Yield name, change of the arrays of agent.safetensors, and whether the result may be possible."""

    def of(name: str, value: Callable[[NDArray[Any]], Any]) -> Callable[[Arrays], None]:
        def apply(found: Arrays) -> None:
            found[name] = value(found[name])

        return apply

    def at(index: int, value: Any) -> Callable[[NDArray[Any]], NDArray[Any]]:
        def apply(array: NDArray[Any]) -> NDArray[Any]:
            changed = array.copy()
            changed[index] = value
            return changed

        return apply

    for network in ("actor", "critic2", "target_critic1"):
        trainable = not network.startswith("target")
        floats = ["0.values", "1.bias", "2.values"] + (["0.m", "0.v", "1.bias_m", "2.bias_v"] if trainable else [])
        for part in floats:
            name = f"agent/{network}.{part}"
            for value in (np.nan, np.inf, -np.inf):
                yield f"{name} has {value}", of(name, at(-1, value)), False
            if part.endswith("v"):
                yield f"{name} is negative", of(name, at(0, -1e-3)), False
            yield f"{name} of float64", of(name, lambda a: a.astype(np.float64)), False
            yield f"{name} of int32", of(name, lambda a: a.astype(np.int32)), False
            yield f"{name} one short", of(name, lambda a: a[:-1]), False
            yield f"{name} one more", of(name, lambda a: np.append(a, a[:1])), False
            yield f"{name} a matrix", of(name, lambda a: a[np.newaxis]), False
            yield f"{name} empty", of(name, lambda a: a[:0]), False
            yield f"{name} huge", of(name, lambda a: np.full_like(a, 3e38)), True
            yield f"{name} missing", lambda found, n=name: found.pop(n), False
        if not agent.startswith("ds-"):
            continue
        name = f"agent/{network}.0.places"
        for value in (-1, -(2**63), 2**63 - 1, 2**31, 10**6):
            yield f"{name} has {value}", of(name, at(0, value)), False
        yield f"{name} has one twice", of(name, lambda a: at(0, a[1])(a)), False
        yield f"{name} are all the same", of(name, np.zeros_like), False
        yield f"{name} backwards", of(name, lambda a: a[::-1].copy()), True
        yield f"{name} of int32", of(name, lambda a: a.astype(np.int32)), False
        yield f"{name} of float64", of(name, lambda a: a.astype(np.float64)), False
        yield f"{name} of uint64", of(name, lambda a: a.astype(np.uint64)), False
        yield f"{name} one short", of(name, lambda a: a[:-1]), False
        yield f"{name} a matrix", of(name, lambda a: a.reshape(1, -1)), False
        yield f"{name} empty", of(name, lambda a: a[:0]), False
        yield f"{name} missing", lambda found, n=name: found.pop(n), False
    if agent == "ds-td3":
        name = "agent/actor.0.born"
        yield f"{name} in the future", of(name, lambda a: np.full_like(a, 2**32 - 1)), False
        yield f"{name} one short", of(name, lambda a: a[:-1]), False
        yield f"{name} of int64", of(name, lambda a: a.astype(np.int64)), False
    yield (
        "an array more, agent/evil.0.values",
        lambda f: f.update({"agent/evil.0.values": np.ones(3, np.float32)}),
        True,
    )
    yield "an array of nobody, evil/x", lambda f: f.update({"evil/x": np.ones(3, np.float32)}), False


def replays() -> Iterator[tuple[str, Callable[[Arrays], None], bool]]:
    """Yield the same for replay.safetensors."""

    def rows(change: Callable[[NDArray[Any]], Any]) -> Callable[[Arrays], None]:
        return lambda found: found.update({"replay/transitions": change(found["replay/transitions"])})

    def cell(column: int, value: float) -> Callable[[Arrays], None]:
        def change(found: NDArray[Any]) -> NDArray[Any]:
            found[3, column] = value
            return found

        return rows(change)

    for value in (np.nan, np.inf, -np.inf):
        for column in (0, 4, 7, -2, -1):  # of observation, action, next observation, reward, continues
            yield f"replay has {value} in column {column}", cell(column, value), False
    yield "replay has an action of 7", cell(4, 7.0), False
    yield "replay has half an end", cell(-1, 0.5), False
    yield "replay has a negative end", cell(-1, -1.0), False
    yield "replay has one row less", rows(lambda a: a[:-1]), False
    yield "replay has one row more", rows(lambda a: np.vstack([a, a[:1]])), False
    yield "replay has no rows", rows(lambda a: a[:0]), False
    yield "replay has one column less", rows(lambda a: a[:, :-1]), False
    yield "replay is flat", rows(lambda a: a.reshape(-1)), False
    yield "replay of float64", rows(lambda a: a.astype(np.float64)), False
    yield "replay of bytes", rows(lambda a: a.astype(np.uint8)), False
    yield "replay missing", lambda found: found.pop("replay/transitions"), False
    yield "ends of 7", lambda found: found["replay/ends"].fill(7), False
    yield "ends of bool", lambda f: f.update({"replay/ends": f["replay/ends"] > 0}), False
    yield "ends one short", lambda f: f.update({"replay/ends": f["replay/ends"][:-1]}), False


def episodes() -> Iterator[tuple[str, Callable[[Arrays], None], bool]]:
    """Yield the same for episode.safetensors."""

    def of(name: str, change: Callable[[NDArray[Any]], Any]) -> Callable[[Arrays], None]:
        return lambda found: found.update({f"episode/{name}": change(found[f"episode/{name}"])})

    for value in (np.nan, np.inf, 1e6):
        yield f"episode has actions of {value}", of("actions", lambda a, v=value: np.full_like(a, v)), False
    yield "episode has one action more", of("actions", lambda a: np.vstack([a, a[:1]])), False
    yield "episode has one action less", of("actions", lambda a: a[:-1]), False
    yield "episode has wide actions", of("actions", lambda a: np.hstack([a, a])), False
    yield "episode has flat actions", of("actions", lambda a: a.reshape(-1)), False
    yield "episode has actions of int64", of("actions", lambda a: a.astype(np.int64)), False
    yield "episode has no actions", of("actions", lambda a: a[:0]), False
    yield "episode lacks its actions", lambda found: found.pop("episode/actions"), False
    yield "episode lacks its observation", lambda found: found.pop("episode/observation"), False
    yield "episode has a nan observation", of("observation", lambda a: np.full_like(a, np.nan)), False
    yield "episode has a long observation", of("observation", lambda a: np.append(a, a)), False
    yield "episode has an observation of int8", of("observation", lambda a: a.astype(np.int8)), False


COUNTS: list[Any] = [-1, 2**63, 10**400, "5", True, 1.5, None, []]
STREAMS: list[tuple[tuple[Any, ...], Any]] = [
    ((), None), ((), 5), ((), "x"), ((), []), ((), {}),
    (("bit_generator",), "MT19937"), (("bit_generator",), 5), (("state",), 5), (("state",), {}), (("state",), "x"),
    (("state", "state"), "x"), (("state", "state"), -1), (("state", "state"), 2**128), (("state", "state"), 10**400),
    (("state", "state"), 1.5), (("state", "state"), None), (("state", "inc"), -5), (("state", "inc"), 2**200),
    (("has_uint32",), "x"), (("has_uint32",), 2**70), (("uinteger",), -1), (("uinteger",), 2**64), (("uinteger",), []),
]  # fmt: skip


def states(found: Any) -> Iterator[tuple[str, Callable[[Any], None], bool]]:
    """Yield the same for state.json, of which the content is given: what is known to matter."""
    values = found["values"]
    for path in leaves(values):
        if path[-1] == "bit_generator":
            for inner, value in STREAMS:
                yield (
                    f"{_dotted(path[:-1] + inner)} is {_short(value)}",
                    put(("values", *path[:-1], *inner), value),
                    False,
                )
    counts = [("step",), ("total_timesteps",), ("metrics_offset",), ("agent", "updates"), ("replay", "cursor")]
    counts += [("agent", "adaptation", "rewired"), ("agent", "redo", "recycled"), ("episode", "number")]
    counts += [("episode", "length"), ("agent", "networks", "actor", "steps")]
    counts += [("agent", "temperature", "steps")] if "temperature" in values["agent"] else []
    for path in counts:
        for value in COUNTS:
            if path == ("total_timesteps",) and value == 2**63:
                continue
            yield f"{_dotted(path)} is {_short(value)}", put(("values", *path), value), False
        # A network's own steps count from 0 where they are not given, as for a policy.
        yield f"{_dotted(path)} is missing", drop(("values", *path)), path[-2:] == ("actor", "steps")
    for path in (("seconds",), ("episode", "total_reward"), ("agent", "temperature", "log")):
        if path[1:2] == ("temperature",) and "temperature" not in values["agent"]:
            continue
        for value in ("x", None, True, 10**400, [], {}):
            yield f"{_dotted(path)} is {_short(value)}", put(("values", *path), value), False
    if "temperature" in values["agent"]:
        yield "temperature of e^1e308", put(("values", "agent", "temperature", "log"), 1e308), False
        yield (
            "a negative second moment of the temperature",
            put(("values", "agent", "temperature", "second"), -1.0),
            False,
        )
    yield "the step of another moment", put(("values", "step"), 99), False
    yield "a replay memory of another size", put(("values", "replay", "capacity"), 71), False
    yield "a cursor beyond", put(("values", "replay", "cursor"), 70), False
    yield "forgotten is no truth value", put(("values", "replay", "forgotten"), "yes"), False
    yield "evaluated is no step", put(("values", "evaluated"), "x"), False
    for value in (5, "x", [1], {"x": "y"}, {"x": []}, {"x": 10**400}):
        yield f"diagnostics is {_short(value)}", put(("values", "diagnostics"), value), False
    sizes: list[Any] = [
        None, "x", [], [3], [3, 12], [2**23, 12, 8, 2], [3, 2**40, 8, 2], [3, -12, 8, 2], [3, 12.0, 8, 2], [3, 0, 8, 2],
        [3, 10**400, 8, 2], [3, True, 8, 2], ["3", "12", "8", "2"], [1] * 100_000,
    ]  # fmt: skip
    for size in sizes:
        yield f"actor of sizes {_short(size)}", put(("values", "agent", "networks", "actor", "sizes"), size), False
    for behind in ("x", [True], [1, 1, 1], [True] * 4, {}, None):
        path = ("values", "agent", "networks", "target_critic1", "behind")
        yield f"behind is {_short(behind)}", put(path, behind), False
    for part in ("agent", "replay", "episode", "warm_up"):
        for value in (None, 5, "x", [], {}):
            yield f"{part} is {_short(value)}", put(("values", part), value), False


def raw_documents() -> Iterator[tuple[str, Callable[[bytes], bytes]]]:
    """Yield name and change for JSON files that are not what JSON files are."""
    yield "NaN", lambda c: c.replace(b'"values"', b'"x": NaN, "values"', 1)
    yield "an infinite number", lambda c: c.replace(b'"values"', b'"x": 1e999, "values"', 1)
    yield "a key twice", lambda c: c.rstrip()[:-1] + b"," + c.lstrip()[1:]
    yield "nested deeply", lambda c: b'{"step": 100, "values": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    yield "a number of 5,000 digits", lambda c: c.replace(b"1", b"9" * 5000, 1)
    yield "not UTF-8", lambda c: b"\xff" + c
    yield "UTF-16", lambda c: c.decode().encode("utf-16")
    yield "a list", lambda c: b"[" + c + b"]"
    yield "a word", lambda c: b'"x"'
    yield "nothing", lambda c: b""
    yield "many empty lists", lambda c: b'{"step": 100, "values": {"x": [' + b"[]," * 500_000 + b"[]]}}"
    yield (
        "many keys, the last one twice",
        lambda c: json.dumps({f"n{i}": 0 for i in range(100_000)}).encode()[:-1] + b',"n99999":0}',
    )


def manifests() -> Iterator[tuple[str, Callable[[Any], None]]]:
    """Yield name and change for manifests."""
    entry = {"size": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    names = [
        "../x",
        "/etc/passwd",
        "..",
        ".",
        "",
        "a/b",
        "a\0b",
        "x" * 101,
        ".hidden",
        "a\nb",
        "C:\\x",
        "manifest.json",
    ]
    for name in names:
        yield f"lists {name[:20]!r}", put(("files", name), entry)
    yield "lists a file that is not there", put(("files", "more.safetensors"), entry)
    for field, value in itertools.product(("size", "sha256"), NASTY):
        yield f"{field} {_short(value)}", lambda m, f=field, v=value: next(iter(m["files"].values())).update({f: v})
    for field, value in itertools.product(("format", "kind", "files"), NASTY):
        if (field, value) != ("format", 1) or value is True:
            yield f"{field} {_short(value)}", put((field,), value)


def policies(found: Any) -> Iterator[tuple[str, Callable[[Any], None], bool]]:
    """Yield name, change of policy.json and whether it may be possible: what is known to matter."""
    for value in (2**62, 2**40, 10**400, -1, 0, "3", None, 3.0, True):
        yield f"observation_size is {_short(value)}", put(("observation_size",), value), False
    for value in ("O", "V8", "f4,f4", "(f4", "a" * 10_000, "float64, int", "M8", "i4", None, 5, ["f4"], {"names": []}):
        yield f"bounds.dtype is {_short(value)}", put(("bounds", "dtype"), value), False
    for value in ([], [1.0], [1e308, "x"], "x", None, [[1.0, 2.0]], [10**400, 0.0], {}):
        yield f"bounds.low is {_short(value)}", put(("bounds", "low"), value), False
    yield "bounds upside down", put(("bounds", "high"), [-9.0, -9.0]), False
    for value in (None, 0, 3, -1, "2", True, 10**400):
        yield f"actor.action_size is {_short(value)}", put(("actor", "action_size"), value), False
    huge = [2**24 - 1, 2**24 - 1, 2]
    yield "an actor beyond memory", put(("actor", "sizes"), huge), False
    for part in ("actor", "bounds", "environment", "agent", "seed", "step", "agent_config"):
        for value in (None, [], "x", -1, 10**400) if part not in ("agent",) else (None, [], 5):
            if part in ("seed", "step") and value == 10**400:
                continue
            yield f"{part} is {_short(value)}", put((part,), value), False
        yield f"{part} is missing", drop((part,)), False
    for part in ("id", "kwargs", "module", "name"):
        for value in (5, [1], True):
            yield f"environment.{part} is {_short(value)}", put(("environment", part), value), False


def enormous_actor(run: Path) -> None:
    """Make a policy of a few bytes that says its one sparse layer has 2^24 inputs and as many outputs as it can."""
    n = 2**20
    out = io.BytesIO()
    TensorWriter(
        {
            "0.places": np.array([0, 5], np.int64),
            "0.values": np.ones(2, np.float32),
            "0.bias": np.zeros(n, np.float32),
        }
    )(out)
    policy = run / "policy"
    (policy / "policy.safetensors").write_bytes(out.getvalue())
    values = json.loads((policy / "policy.json").read_text())
    values["observation_size"] = 2**24 - 1
    values["actor"] = {"sizes": [2**24 - 1, n], "action_size": 2}
    (policy / "policy.json").write_text(json.dumps(values))
    sign(policy)


def swaps(of: dict[str, Path]) -> Iterator[Attack]:
    """Yield attacks that put files of one run or step in place of those of another."""
    files = ("agent.safetensors", "replay.safetensors", "episode.safetensors", "state.json")

    def from_run(other: str, file: str, step: int, signed: bool) -> Callable[[Path], None]:
        def apply(run: Path) -> None:
            shutil.copy(of[other] / "checkpoints" / f"step-{step:09d}" / file, newest(run) / file)
            if signed:
                sign(newest(run))

        return apply

    for file, signed in itertools.product((*files, "manifest.json"), (False, True)):
        if file == "manifest.json" and signed:
            continue
        how = ", signed" if signed else ""
        # Arrays and numbers of the same kind of run are possible; its own state is of another step.
        same_kind = signed and file != "state.json"
        yield Attack(
            f"{file} of the step before{how}", "ds-td3", "checkpoint",
            from_run("ds-td3", file, GOOD, signed), same_kind, "" if signed or file == "manifest.json" else file,
        )  # fmt: skip
        yield Attack(
            f"{file} of another seed{how}", "ds-td3", "checkpoint",
            from_run("other ds-td3", file, NEWEST, signed), same_kind,
        )  # fmt: skip
        yield Attack(
            f"{file} of another agent{how}", "ds-td3", "checkpoint",
            from_run("sac", file, NEWEST, signed), signed and file.startswith(("replay", "episode")),
        )  # fmt: skip

    def whole(other: str, step: int) -> Callable[[Path], None]:
        def apply(run: Path) -> None:
            shutil.rmtree(newest(run))
            shutil.copytree(of[other] / "checkpoints" / f"step-{step:09d}", newest(run))

        return apply

    yield Attack(
        "the whole checkpoint of the step before", "ds-td3", "checkpoint", whole("ds-td3", GOOD), False, "step"
    )
    yield Attack(
        "the whole checkpoint of another seed", "ds-td3", "checkpoint", whole("other ds-td3", NEWEST), says="seed"
    )
    yield Attack("the whole checkpoint of another agent", "ds-td3", "checkpoint", whole("td3", NEWEST), says="agent")
    yield Attack("the whole checkpoint of a dense agent", "ds-sac", "checkpoint", whole("sac", NEWEST), says="sparsity")

    def policy_as_checkpoint(run: Path) -> None:
        shutil.rmtree(newest(run))
        shutil.copytree(run / "policy", newest(run))

    yield Attack("a policy as checkpoint", "sac", "checkpoint", policy_as_checkpoint, says="policy")

    def checkpoint_as_policy(run: Path) -> None:
        shutil.rmtree(run / "policy")
        shutil.copytree(newest(run), run / "policy")

    yield Attack("a checkpoint as policy", "sac", "policy", checkpoint_as_policy, says="checkpoint")

    def link(run: Path) -> None:
        newest(run).rename(run / "elsewhere")
        newest(run).symlink_to(run / "elsewhere")

    yield Attack("a link to the checkpoint", "td3", "checkpoint", link, says="not a directory")

    def file(run: Path) -> None:
        shutil.rmtree(newest(run))
        newest(run).write_text("x")

    yield Attack("a file as checkpoint", "td3", "checkpoint", file, says="not a directory")

    def pipe(run: Path) -> None:
        shutil.rmtree(newest(run))
        os.mkfifo(newest(run))

    yield Attack("a pipe as checkpoint", "td3", "checkpoint", pipe, says="not a directory")


def around() -> Iterator[Attack]:
    """Yield attacks on what lies beside the checkpoints."""
    for name, at in (("metrics.jsonl", "a directory"), ("metrics.jsonl", "a pipe"), ("metrics.jsonl", "a link")):

        def replaced(run: Path, name: str = name, at: str = at) -> None:
            (run / name).rename(run / f"elsewhere-{name}")
            if at == "a directory":
                (run / name).mkdir()
            elif at == "a pipe":
                os.mkfifo(run / name)
            else:
                (run / name).symlink_to(run / f"elsewhere-{name}")

        yield Attack(f"{name} {at}", "td3", "metrics", replaced, says=name)
    changes: dict[str, Callable[[bytes], bytes]] = {
        "cut in the last line": lambda c: c[:-5],
        "cut in mid-line": lambda c: c[: len(c) // 2],
        "one byte": lambda c: c[:1],
        "empty": lambda c: b"",
        "without newlines": lambda c: c.replace(b"\n", b" "),
        "with a line of garbage": lambda c: b"\x00\xff garbage\n" + c,
        "with half a line more": lambda c: c + b'{"event": "epis',
        "with NaN": lambda c: c + b'{"event": NaN}\n',
        "all zeros": lambda c: bytes(len(c)),
        "with a line of a megabyte": lambda c: b"x" * 2**20 + b"\n" + c,
    }
    for name, change in changes.items():

        def rewritten(run: Path, change: Callable[[bytes], bytes] = change) -> None:
            path = run / "metrics.jsonl"
            path.write_bytes(change(path.read_bytes()))

        yield Attack(f"metrics.jsonl {name}", "td3", "metrics", rewritten, may_pass=True)
    yield Attack("metrics.jsonl missing", "td3", "metrics", lambda run: (run / "metrics.jsonl").unlink(), may_pass=True)

    def inside(name: str, make: Callable[[Path], Any]) -> Callable[[Path], None]:
        def apply(run: Path) -> None:
            path = run / name
            if path.is_dir():
                path.rename(run / f"elsewhere-{name}")
            elif path.exists():
                path.unlink()
            make(path)

        return apply

    for name in ("checkpoints", "tensorboard"):
        link = inside(name, lambda path: path.symlink_to(path.with_name(f"elsewhere-{path.name}")))
        yield Attack(f"{name} a link", "td3", "metrics", link, says=name)
    yield Attack("checkpoints a file", "td3", "metrics", inside("checkpoints", Path.touch), says="checkpoints")
    yield Attack("checkpoints a pipe", "td3", "metrics", inside("checkpoints", os.mkfifo), says="checkpoints")
    yield Attack("tensorboard a file", "td3", "metrics", inside("tensorboard", Path.touch), may_pass=True)
    yield Attack("lock a directory", "td3", "metrics", inside("lock", Path.mkdir), says="lock")
    yield Attack("lock a pipe", "td3", "metrics", inside("lock", os.mkfifo), may_pass=True)
    dangling = inside("lock", lambda path: path.symlink_to("/nowhere"))
    yield Attack("lock a dangling link", "td3", "metrics", dangling, says="lock")
    for name, make in {
        "a directory": Path.mkdir,
        "a pipe": os.mkfifo,
        "a link": lambda path: path.symlink_to("/etc/hostname"),
        "empty": Path.touch,
        "a terabyte": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 2**40),
    }.items():
        yield Attack(f"config.json {name}", "td3", "config", inside("config.json", make), says="config.json")


def configs(found: Any) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """Yield name and change of config.json: everything in what it configures, replaced by everything nasty."""
    for path in leaves(found["config"]):
        for value in NASTY:
            yield f"{_dotted(path)} is {_short(value)}", put(("config", *path), value)
        if isinstance(path[-1], str):
            yield f"{_dotted(path)} is missing", drop(("config", *path))
    yield "a setting more", put(("config", "train", "evil"), 1)


def systematic(of: dict[str, Path], rng: np.random.Generator) -> Iterator[Attack]:
    """Yield every attack that is known to be worth it, for every agent it applies to."""
    yield from swaps(of)
    yield from around()
    for agent in AGENTS:
        yield from of_checkpoints(agent, of[agent], rng)
        yield from of_policies(agent, of[agent], rng)


def of_checkpoints(agent: str, run: Path, rng: np.random.Generator) -> Iterator[Attack]:
    """Yield attacks on the newest checkpoint of a run."""
    checkpoint = newest(run)
    for path in sorted(checkpoint.iterdir()):
        content = path.read_bytes()
        text = struct.unpack("<Q", content[:8])[0] if path.suffix == ".safetensors" else 0
        for name, change in damages(path.name, newest, len(content), text, rng):
            # A damaged manifest may say of another file that it is not what it should be.
            says = "step-000000100" if path.name == "manifest.json" else path.name
            yield Attack(name, agent, "checkpoint", change, says=says)
    for file in ("agent.safetensors", "episode.safetensors"):
        for name, change in headers():
            yield Attack(f"{file}: {name}", agent, "checkpoint", rewritten(newest, file, change), says=file)
    for file, changes in (
        ("agent.safetensors", arrays(agent)),
        ("replay.safetensors", replays()),
        ("episode.safetensors", episodes()),
    ):
        for name, of_arrays, may_pass in changes:
            yield Attack(name, agent, "checkpoint", rewritten(newest, file, tensors(of_arrays)), may_pass)
    for name, of_values, may_pass in states(json.loads((checkpoint / "state.json").read_text())):
        yield Attack(name, agent, "checkpoint", rewritten(newest, "state.json", document(of_values)), may_pass)
    for name, change in raw_documents():
        # What is JSON all the same is refused for what it lacks, by the name of the checkpoint.
        says = "step-000000100" if "empty lists" in name else "state.json"
        yield Attack(f"state.json: {name}", agent, "checkpoint", rewritten(newest, "state.json", change), says=says)
    for name, of_manifest in manifests():
        change_ = unsigned(newest, "manifest.json", document(of_manifest))
        yield Attack(f"manifest: {name}", agent, "checkpoint", change_, says="step-000000100")


def policy_of(run: Path) -> Path:
    return run / "policy"


def of_policies(agent: str, run: Path, rng: np.random.Generator) -> Iterator[Attack]:
    """Yield attacks on the policy of a run."""
    for path in sorted((run / "policy").iterdir()):
        content = path.read_bytes()
        text = struct.unpack("<Q", content[:8])[0] if path.suffix == ".safetensors" else 0
        for name, change in damages(path.name, policy_of, len(content), text, rng):
            yield Attack(
                f"policy: {name}", agent, "policy", change, says="policy" if "manifest" in path.name else path.name
            )
    for name, change in headers():
        file = "policy.safetensors"
        yield Attack(f"policy: {name}", agent, "policy", rewritten(policy_of, file, change), says=file)
    for name, of_values, may_pass in policies(json.loads((run / "policy" / "policy.json").read_text())):
        change_ = rewritten(policy_of, "policy.json", document(of_values))
        yield Attack(f"policy: {name}", agent, "policy", change_, may_pass, "policy")
    yield Attack("policy: an enormous sparse actor", agent, "policy", enormous_actor, says="policy")
    for name, of_manifest in manifests():
        change_ = unsigned(policy_of, "manifest.json", document(of_manifest))
        yield Attack(f"policy: manifest: {name}", agent, "policy", change_, says="policy")


def at_random(of: dict[str, Path], rng: np.random.Generator) -> Iterator[Attack]:
    """Yield attacks without end: any byte, any value, any array, any setting."""
    documents = {
        agent: {
            "state.json": json.loads((newest(run) / "state.json").read_text()),
            "policy.json": json.loads((run / "policy" / "policy.json").read_text()),
            "config.json": json.loads((run / "config.json").read_text()),
        }
        for agent, run in of.items()
        if agent in AGENTS
    }
    while True:
        agent = AGENTS[rng.integers(len(AGENTS))]
        kind = rng.integers(6)
        if kind == 0:
            yield _random_byte(agent, of[agent], rng)
        elif kind == 1:
            yield _random_arrays(agent, of[agent], rng)
        else:
            file, target = [
                ("state.json", "checkpoint"), ("state.json", "checkpoint"), ("policy.json", "policy"),
                ("config.json", "config"), ("config.json", "fresh"),
            ][rng.integers(5)]  # fmt: skip
            yield _random_value(agent, file, target, documents[agent][file], rng)


def _random_byte(agent: str, run: Path, rng: np.random.Generator) -> Attack:
    bundle, target = [(newest, "checkpoint"), (policy_of, "policy")][rng.integers(2)]
    files = sorted(path.name for path in bundle(run).iterdir())
    file = files[rng.integers(len(files))]
    size = (bundle(run) / file).stat().st_size
    place, bit, cut = int(rng.integers(size - 1)), int(rng.integers(8)), bool(rng.integers(2))

    def change(content: bytes) -> bytes:
        return content[:place] if cut else content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]

    what = f"{file} cut after {place} bytes" if cut else f"{file} with bit {bit} of byte {place} flipped"
    if file != "manifest.json" and rng.integers(2):
        return Attack(f"{what}, signed", agent, target, rewritten(bundle, file, change), may_pass=True)
    return Attack(what, agent, target, unsigned(bundle, file, change), says="" if file == "manifest.json" else file)


def _random_arrays(agent: str, run: Path, rng: np.random.Generator) -> Attack:
    options = [(newest, "checkpoint", "agent"), (newest, "checkpoint", "replay"), (newest, "checkpoint", "episode")]
    bundle, target, stem = [*options, (policy_of, "policy", "policy")][rng.integers(4)]
    seed = int(rng.integers(2**31))

    def change(found: Arrays) -> None:
        draw = np.random.default_rng(seed)
        names = sorted(found)
        name = names[draw.integers(len(names))]
        array = found[name]
        what = draw.integers(8)
        if what == 0:
            found[name] = array.astype(draw.choice(["f4", "f8", "i8", "i4", "u1", "u4", "?"]))
        elif what == 1:
            found[name] = array.reshape(-1)[: draw.integers(array.size + 1)]
        elif what == 2:
            found[name] = np.concatenate([array.reshape(-1)] * 2)
        elif what == 3:
            found[name] = found[names[draw.integers(len(names))]]
        elif what == 4:
            found.pop(name)
        elif what == 5:
            found[name] = draw.permutation(array)
        else:
            changed = array.copy().reshape(-1)
            if changed.size:
                raw = changed.view(np.uint8)
                raw[draw.integers(raw.size)] ^= 1 << draw.integers(8)
                if changed.dtype == bool:
                    raw &= 1
            found[name] = changed.reshape(array.shape)

    name = f"arrays of {stem} changed by {seed}"
    return Attack(name, agent, target, rewritten(bundle, f"{stem}.safetensors", tensors(change)), may_pass=True)


def _random_value(agent: str, file: str, target: str, found: Any, rng: np.random.Generator) -> Attack:
    paths = list(leaves(found))
    path = paths[rng.integers(len(paths))]
    nasty = NASTY[rng.integers(len(NASTY))]
    gone = not rng.integers(8)
    change = drop(path) if gone else put(path, copy.deepcopy(nasty))
    name = f"{file} {_dotted(path)} is {'missing' if gone else _short(nasty)}"
    if file == "config.json":
        return Attack(name, agent, target, config_json(change), may_pass=True)
    bundle = newest if file == "state.json" else policy_of
    return Attack(name, agent, target, rewritten(bundle, file, document(change)), may_pass=True)


def _dotted(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


# --- What a user would do next, and what has to come of it ---


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
    size = policy._trained.observation_size
    for observations in (np.zeros(size), np.full((3, size), 1e30), np.full((20, size), -1.0)):
        actions = policy.predict(observations)
        bounds = policy._trained.bounds
        inside = (actions >= bounds.low - 1e-6) & (actions <= bounds.high + 1e-6)
        if not (inside | np.isnan(actions)).all():
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
            resumed = runs.resume(run, shown, TOTAL if attack.target != "fresh" else None)
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
