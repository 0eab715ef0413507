"""What is put into files: damage, values that cannot be, and values that could not be used."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import pickle
import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from file_changes import (
    Arrays,
    dotted,
    drop,
    has,
    header,
    leaves,
    put,
    short,
    sign,
    unsigned,
)
from numpy.typing import NDArray

from rewirl.storage.tensors import TensorWriter

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


_STATISTICS = ("v", "bias_v", "scale_v", "variance")
"""Arrays that are nowhere negative, by the end of their names."""


def _one_of_each(names: Iterable[str], owner: str) -> list[str]:
    """Return the first array of each kind of a network or of the statistics, and the last weights."""
    own = sorted(name for name in names if name.startswith(f"agent/{owner}."))
    kinds = {name.rpartition(".")[2]: name for name in reversed(own)}
    last = [name for name in own if name.endswith(".values")][-1:]
    return list(dict.fromkeys([*kinds.values(), *last]))


def arrays(names: Collection[str]) -> Iterator[tuple[str, Callable[[Arrays], None], bool]]:
    """Yield name, change of the arrays of agent.safetensors, and whether the result may be possible.

    Args:
        names: of the arrays that there are.
    """

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

    for owner in (
        "actor",
        "critic",
        "critic2",
        "target_critic1",
        "q",
        "target_q",
        "normalisation",
        "log_std",
        "observations",
    ):
        for name in _one_of_each(names, owner):
            kind = name.rpartition(".")[2]
            if kind in ("places", "born", "bias_born"):
                continue
            for value in (np.nan, np.inf, -np.inf):
                yield f"{name} has {value}", of(name, at(-1, value)), False
            if kind in _STATISTICS:
                yield f"{name} is negative", of(name, at(0, -1e-3)), False
            yield f"{name} of int32", of(name, lambda a: a.astype(np.int32)), False
            yield f"{name} of float16", of(name, lambda a: a.astype(np.float16)), False
            yield f"{name} one short", of(name, lambda a: a[:-1]), False
            yield f"{name} one more", of(name, lambda a: np.append(a, a[:1])), False
            yield f"{name} a matrix", of(name, lambda a: a[np.newaxis]), False
            yield f"{name} empty", of(name, lambda a: a[:0]), False
            yield f"{name} huge", of(name, lambda a: np.full_like(a, 3e38)), True
            yield f"{name} missing", lambda found, n=name: found.pop(n), False
        for name in [name for name in names if name.startswith(f"agent/{owner}.") and name.endswith(".places")][:1]:
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
    for name in [n for n in ("agent/actor.hidden1.born", "agent/actor.hidden1.bias_born") if n in names]:
        yield f"{name} in the future", of(name, lambda a: np.full_like(a, 2**32 - 1)), False
        yield f"{name} one short", of(name, lambda a: a[:-1]), False
        yield f"{name} of int64", of(name, lambda a: a.astype(np.int64)), False
    yield (
        "an array more, agent/evil.hidden1.values",
        lambda f: f.update({"agent/evil.hidden1.values": np.ones(3, np.float32)}),
        True,
    )
    yield "an array of nobody, evil/x", lambda f: f.update({"evil/x": np.ones(3, np.float32)}), False


def rollouts() -> Iterator[tuple[str, Callable[[Arrays], None], bool]]:
    """Yield the same for what PPO has in agent.safetensors: a rollout of observation, action and what else it needs."""

    def of(name: str, change: Callable[[NDArray[Any]], Any]) -> Callable[[Arrays], None]:
        return lambda found: found.update({f"agent/rollout.{name}": change(found[f"agent/rollout.{name}"])})

    def cell(column: int, value: float) -> Callable[[NDArray[Any]], Any]:
        def change(found: NDArray[Any]) -> NDArray[Any]:
            found[3, column] = value
            return found

        return change

    for value in (np.nan, np.inf, -np.inf):
        for column in (0, 4, -2, -1):
            yield f"rollout has {value} in column {column}", of("rows", cell(column, value)), False
    yield "rollout has one row less", of("rows", lambda a: a[:-1]), False
    yield "rollout has one row more", of("rows", lambda a: np.vstack([a, a[:1]])), False
    yield "rollout has no rows", of("rows", lambda a: a[:0]), False
    yield "rollout has one column less", of("rows", lambda a: a[:, :-1]), False
    yield "rollout is flat", of("rows", lambda a: a.reshape(-1)), False
    yield "rollout of float64", of("rows", lambda a: a.astype(np.float64)), False
    yield "rollout missing", lambda found: found.pop("agent/rollout.rows"), False
    yield "rollout ends of 7", of("ends", lambda a: np.full_like(a, 7)), False
    yield "rollout ends of bool", of("ends", lambda a: a > 0), False
    yield "rollout ends one short", of("ends", lambda a: a[:-1]), False
    for number in (-1, 1, 2**40):
        # An agent does not know how many environments there are.
        yield (
            f"rollout of environment {number}",
            of("environments", lambda a, n=number: np.full_like(a, n)),
            number == 1,
        )
    yield "rollout environments one short", of("environments", lambda a: a[:-1]), False
    yield "rollout environments of float64", of("environments", lambda a: a.astype(np.float64)), False
    yield "rollout has begun twice", of("begun", lambda a: np.zeros((2, a.shape[1]), a.dtype)), False
    yield "rollout has begun with another width", of("begun", lambda a: np.zeros((0, 99), a.dtype)), False

    def long(found: Arrays) -> None:
        for part in ("rows", "ends", "environments"):
            found[f"agent/rollout.{part}"] = np.concatenate([found[f"agent/rollout.{part}"]] * 9)

    yield "rollout is longer than it may be", long, False


def online_states() -> Iterator[tuple[str, Callable[[Arrays], None], bool]]:
    """Yield the same for what stream-x has in agent.safetensors: the observation it acted on."""

    def of(change: Callable[[NDArray[Any]], Any]) -> Callable[[Arrays], None]:
        return lambda found: found.update({"agent/state": change(found["agent/state"])})

    for value in (np.nan, np.inf):
        yield f"the state is {value}", of(lambda a, v=value: np.full_like(a, v)), False
    yield "the state is one short", of(lambda a: a[:-1]), False
    yield "the state is one more", of(lambda a: np.append(a, a[:1])), False
    yield "the state is a matrix", of(lambda a: a[np.newaxis]), False
    yield "the state is of float64", of(lambda a: a.astype(np.float64)), False
    yield "the state is empty", of(lambda a: a[:0]), False


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
    yield "episode has one action more", of("actions", lambda a: np.concatenate([a, a[:1]])), False
    yield "episode has one action less", of("actions", lambda a: a[:-1]), False
    yield "episode has wide actions", of("actions", lambda a: np.hstack([a, a])), False
    yield "episode has flat actions", of("actions", lambda a: a.reshape(-1) if a.ndim > 1 else a[:, np.newaxis]), False
    other = {"f": np.int64, "i": np.float64}
    yield "episode has actions of another type", of("actions", lambda a: a.astype(other[a.dtype.kind])), False
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
                    f"{dotted(path[:-1] + inner)} is {short(value)}",
                    put(("values", *path[:-1], *inner), value),
                    False,
                )
    counts = [("step",), ("total_timesteps",), ("metrics_offset",), ("agent", "updates"), ("replay", "cursor")]
    counts += [("agent", "adaptation", "rewired"), ("agent", "redo", "recycled"), ("episode", "number")]
    counts += [("episode", "length"), ("agent", "networks", next(iter(values["agent"]["networks"])), "steps")]
    counts += [("agent", "temperature", "steps")]
    for path in counts:
        if not has(values, path):
            continue
        for value in COUNTS:
            if path == ("total_timesteps",) and value == 2**63:
                continue
            yield f"{dotted(path)} is {short(value)}", put(("values", *path), value), False
        # A network's own steps count from 0 where they are not given, as for a policy.
        yield f"{dotted(path)} is missing", drop(("values", *path)), path[1:2] == ("networks",)
    for path in (("seconds",), ("episode", "total_reward"), ("agent", "temperature", "log")):
        if not has(values, path):
            continue
        for value in ("x", None, True, 10**400, [], {}):
            yield f"{dotted(path)} is {short(value)}", put(("values", *path), value), False
    if "temperature" in values["agent"]:
        yield "temperature of e^1e308", put(("values", "agent", "temperature", "log"), 1e308), False
        yield (
            "a negative second moment of the temperature",
            put(("values", "agent", "temperature", "second"), -1.0),
            False,
        )
    yield "the step of another moment", put(("values", "step"), 99), False
    if "replay" in values:
        yield "a replay memory of another size", put(("values", "replay", "capacity"), 71), False
        yield "a cursor beyond", put(("values", "replay", "cursor"), 70), False
        yield "forgotten is no truth value", put(("values", "replay", "forgotten"), "yes"), False
    yield "evaluated is no step", put(("values", "evaluated"), "x"), False
    for value in (5, "x", [1], {"x": "y"}, {"x": []}, {"x": 10**400}):
        yield f"diagnostics is {short(value)}", put(("values", "diagnostics"), value), False
    yield from _networks(values["agent"]["networks"])
    for statistics in values["agent"].get("normalisation", {}):
        for value in COUNTS:
            path = ("values", "agent", "normalisation", statistics, "count")
            yield f"{dotted(path[1:])} is {short(value)}", put(path, value), False
    for place in ("mean", "variance"):
        path = ("values", "agent", "normalisation", "returns", place)
        if has(values, path[1:]):
            for value in ("x", None, True, 10**400, [], {}, *([-1.0] if place == "variance" else [])):
                yield f"{dotted(path[1:])} is {short(value)}", put(path, value), False
    if has(values, ("agent", "normalisation", "returns", "running")):
        for value in ("x", None, 5, ["x"], [10**400], [1.0, 2.0], []):
            path = ("values", "agent", "normalisation", "returns", "running")
            # Numbers are what they are, and those of environments that are not there are not used.
            yield f"{dotted(path[1:])} is {short(value)}", put(path, value), value in ([1.0, 2.0], [])
    if has(values, ("agent", "rollout", "begun")):
        for value in ("x", None, 5, ["x"], [10**400], [-1], [True], [3, 3]):
            yield f"rollout.begun is {short(value)}", put(("values", "agent", "rollout", "begun"), value), False
    if has(values, ("agent", "log_std", "steps")):
        for value in COUNTS:
            yield f"log_std.steps is {short(value)}", put(("values", "agent", "log_std", "steps"), value), False
    for number in range(len(values["episode"].get("others", []))):
        for field, value in itertools.product(("number", "length"), COUNTS):
            path = ("values", "episode", "others", number, field)  # type: ignore[assignment]
            yield f"{dotted(path[1:])} is {short(value)}", put(path, value), False
    for part in [name for name in ("agent", "replay", "episode", "warm_up") if name in values]:
        for value in (None, 5, "x", [], {}):
            yield f"{part} is {short(value)}", put(("values", part), value), False


def _networks(found: Any) -> Iterator[tuple[str, Callable[[Any], None], bool]]:
    """Yield the same for what describes the networks."""
    at = ("values", "agent", "networks")
    first = next(iter(found))
    sizes: list[Any] = [
        None, "x", [], [3], [3, 12], [2**23, 12, 8, 2], [3, 2**40, 8, 2], [3, -12, 8, 2], [3, 12.0, 8, 2], [3, 0, 8, 2],
        [3, 10**400, 8, 2], [3, True, 8, 2], ["3", "12", "8", "2"], [1] * 100_000,
    ]  # fmt: skip
    if "sizes" in found[first]:
        for size in sizes:
            yield f"{first} of sizes {short(size)}", put((*at, first, "sizes"), size), False
    else:
        for value in sizes:
            yield f"{first} of n_in {short(value)}", put((*at, first, "n_in"), value), False
            yield f"{first} of operations {short(value)}", put((*at, first, "operations"), value), False
        for number, operation in enumerate(found[first]["operations"]):
            for field, value in itertools.product(operation, (None, "x", -1, 10**400, [], {}, 2**40, 1e308)):
                path = (*at, first, "operations", number, field)
                if operation[field] != value:
                    yield f"{dotted(path[3:])} is {short(value)}", put(path, value), False
    for target in [name for name in found if name.startswith("target_")][:1]:
        for stale in ("x", [True], [1, 1, 1], [True] * 4, {}, None):
            yield f"stale is {short(stale)}", put((*at, target, "stale"), stale), False


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
        yield f"{field} {short(value)}", lambda m, f=field, v=value: next(iter(m["files"].values())).update({f: v})
    for field, value in itertools.product(("format", "kind", "files"), NASTY):
        if (field, value) not in (("format", 1), ("format", 2)) or value is True:
            yield f"{field} {short(value)}", put((field,), value)


def policies(found: Any) -> Iterator[tuple[str, Callable[[Any], None], bool]]:
    """Yield name, change of policy.json and whether it may be possible: what is known to matter."""
    for value in (2**62, 2**40, 10**400, -1, 0, "3", None, 3.0, True):
        yield f"observation_size is {short(value)}", put(("observation_size",), value), False
    if "bounds" in found:
        for value in (
            "O",
            "V8",
            "f4,f4",
            "(f4",
            "a" * 10_000,
            "float64, int",
            "M8",
            "i4",
            None,
            5,
            ["f4"],
            {"names": []},
        ):
            yield f"bounds.dtype is {short(value)}", put(("bounds", "dtype"), value), False
        for value in ([], [1.0], [1e308, "x"], "x", None, [[1.0, 2.0]], [10**400, 0.0], {}):
            yield f"bounds.low is {short(value)}", put(("bounds", "low"), value), False
        yield "bounds upside down", put(("bounds", "high"), [-9.0, -9.0]), False
    for value in (None, 0, 3, -1, "2", True, 10**400):
        yield f"actor.action_size is {short(value)}", put(("actor", "action_size"), value), False
    if "sizes" in found["actor"]:
        yield "an actor beyond memory", put(("actor", "sizes"), [2**24 - 1, 2**24 - 1, 2]), False
    else:
        for number, operation in enumerate(found["actor"]["operations"]):
            for field, value in itertools.product(operation, (None, "x", -1, 10**400, [], {}, 2**24 - 1, 1e308)):
                path = ("actor", "operations", number, field)
                if operation[field] != value:
                    possible = value == 1e308 or field in ("name", "of", "warm_up", "eps", "slope")
                    yield f"{dotted(path)} is {short(value)}", put(path, value), possible
    parts = ("actor", "bounds", "environment", "agent", "seed", "step", "agent_config")
    for part in [part for part in parts if part in found]:
        for value in (None, [], "x", -1, 10**400) if part not in ("agent",) else (None, [], 5):
            if part in ("seed", "step") and value == 10**400:
                continue
            yield f"{part} is {short(value)}", put((part,), value), False
        yield f"{part} is missing", drop((part,)), False
    for part in ("id", "kwargs", "module", "name"):
        for value in (5, [1], True):
            yield f"environment.{part} is {short(value)}", put(("environment", part), value), False


def enormous_actor(run: Path) -> None:
    """Make a policy of a few bytes that says its one sparse layer has 2^24 inputs and as many outputs as it can."""
    n = 2**20
    out = io.BytesIO()
    TensorWriter(
        {
            "output.places": np.array([0, 5], np.int64),
            "output.values": np.ones(2, np.float32),
            "output.bias": np.zeros(n, np.float32),
        }
    )(out)
    policy = run / "policy"
    (policy / "policy.safetensors").write_bytes(out.getvalue())
    values = json.loads((policy / "policy.json").read_text())
    values["observation_size"] = 2**24 - 1
    values["actor"] = {"sizes": [2**24 - 1, n], "action_size": 2}
    (policy / "policy.json").write_text(json.dumps(values))
    sign(policy)


def configs(found: Any) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """Yield name and change of config.json: everything in what it configures, replaced by everything nasty."""
    for path in leaves(found["config"]):
        for value in NASTY:
            yield f"{dotted(path)} is {short(value)}", put(("config", *path), value)
        if isinstance(path[-1], str):
            yield f"{dotted(path)} is missing", drop(("config", *path))
    yield "a setting more", put(("config", "train", "evil"), 1)
