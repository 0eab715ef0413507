"""Random changes to bytes, JSON values, arrays and sets of files."""

from __future__ import annotations

import copy
import json
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

RAW = "\x00raw:"  # a string that begins with this is written as it goes on, without quotes

EXTREMES: list[Any] = [
    0, 1, -1, 2, 7, 16, 255, 65535, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**30,
    10**400, 0.0, -0.0, 0.5, 1.0, 1.5, -2.5, 1e-308, 1e38, 1e39, 1e308, -1e308, True, False, None, "", "0", "nan",
    "x" * 300, "\ud800", "é\u0000", "../../x", [], {}, [[]], [None], [1, 2, 3], {"a": 1}, ["a", 1, None],
    RAW + "NaN", RAW + "-Infinity", RAW + "1e999", RAW + "-0", RAW + "1" * 5000, RAW + "[" * 2000,
    RAW + "[" * 70 + "]" * 70, RAW + '{"a":1,"a":2}', RAW + '"\\ud800\\udc00"', RAW + "01", RAW + "tru",
]  # fmt: skip


def mutated_bytes(rng: random.Random, data: bytes, others: Sequence[bytes], words: Sequence[bytes] = ()) -> bytes:
    """Return some bytes with a few changes: flips, cuts, insertions, repetitions, splices, numbers to extremes."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(len(changed) + 1)
        what = rng.randrange(10)
        if what == 0 and changed:
            changed[at % len(changed)] ^= 1 << rng.randrange(8)
        elif what == 1 and changed:
            changed[at % len(changed)] = rng.choice((0, 1, 9, 10, 13, 32, 34, 44, 91, 93, 123, 125, 127, 128, 255))
        elif what == 2:
            del changed[at : at + rng.choice((1, 2, 8, 64, 1024))]
        elif what == 3:
            changed[at:at] = rng.randbytes(rng.choice((1, 2, 8, 32)))
        elif what == 4:
            part = changed[at : at + rng.choice((1, 4, 16, 200))]
            changed[at:at] = part * rng.choice((1, 2, 10))
        elif what == 5 and others:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            changed[at : at + rng.choice((0, 10, 10**9))] = other[start : start + rng.choice((10, 100, 10**9))]
        elif what == 6:
            del changed[at:]
        elif what == 7 and words:
            changed[at:at] = rng.choice(words)
        elif what == 8:
            _number_to_extreme(rng, changed, at)
        elif len(changed) >= 8:
            at = at % (len(changed) - 7)
            changed[at : at + 8] = struct.pack("<Q", rng.choice((0, 1, 2**31, 2**32, 2**63, 2**64 - 1, 16 * 2**20)))
    return bytes(changed[: 2**20])


def _number_to_extreme(rng: random.Random, changed: bytearray, at: int) -> None:
    while at < len(changed) and not 48 <= changed[at] <= 57:
        at += 1
    end = at
    while end < len(changed) and 48 <= changed[end] <= 57:
        end += 1
    choices = ("0", "-1", "1", "1.5", "1e999", str(2**63), str(2**64), "9" * 400, "nan", "inf", "true", "007", "1_000")
    if end > at:
        changed[at:end] = rng.choice(choices).encode()


def mutated_json(rng: random.Random, value: Any) -> Any:
    """Return a JSON value with a few changes, anywhere in it."""
    root = [copy.deepcopy(value)]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(root))
        holder, key = rng.choice(places)
        what = rng.randrange(8)
        if what <= 2:
            holder[key] = copy.deepcopy(rng.choice(EXTREMES))
        elif what == 3 and holder is not root:
            del holder[key]
        elif what == 4 and isinstance(holder, dict):
            holder[rng.choice(["", "x", str(key) + "x", str(key).upper(), "__metadata__", "places"])] = holder.pop(key)
        elif what == 5:
            there, other = rng.choice(places)
            holder[key] = copy.deepcopy(there[other])
        elif what == 6:
            number = holder[key]
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                change = rng.choice((lambda n: n + 1, lambda n: n - 1, lambda n: -n, lambda n: n * 2, float, str))
                holder[key] = change(min(number, 10**300))
            else:
                holder[key] = [number]
        elif isinstance(holder, list) and holder is not root:
            holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(rng.choice(holder)))
        else:
            holder[key] = copy.deepcopy(rng.choice(EXTREMES))
        if len(repr(root)) > 200_000:
            break
    return root[0]


def _places(root: Any) -> Any:
    stack = [root]
    while stack:
        holder = stack.pop()
        for key in range(len(holder)) if isinstance(holder, list) else list(holder):
            yield holder, key
            if isinstance(holder[key], (list, dict)):
                stack.append(holder[key])


def json_text(value: Any) -> bytes:
    """Return the text of a JSON value in which strings may stand for anything."""

    def part(value: Any) -> str:
        if isinstance(value, str) and value.startswith(RAW):
            return value.removeprefix(RAW)
        if isinstance(value, dict):
            return "{" + ",".join(f"{json.dumps(str(key))}:{part(item)}" for key, item in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ",".join(map(part, value)) + "]"
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**4000:
            return "9" * 5000
        return json.dumps(value)

    return part(value).encode()


def mutated_arrays(rng: random.Random, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return arrays by name with a few changes: numbers, types, shapes, names."""
    arrays = dict(arrays)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if not arrays:
            break
        name = rng.choice(sorted(arrays))
        array = arrays[name].copy()
        what = rng.randrange(10)
        if what <= 3 and array.size:
            flat = array.reshape(-1)
            at = rng.randrange(flat.size)
            where: Any = rng.choice((at, slice(at, None), slice(None)))
            if array.dtype.kind == "f":
                number = rng.choice((np.nan, np.inf, -np.inf, 0.0, -0.0, 3e38, -3e38, 1e-45, 1.0))
            else:
                limits = np.iinfo(array.dtype if array.dtype.kind != "b" else np.uint8)
                number = rng.choice(
                    (0, 1, limits.min, limits.max, limits.max // 2, int(flat[rng.randrange(flat.size)]))
                )
            with np.errstate(all="ignore"):
                flat[where] = number
        elif what == 4:
            array = array.astype(rng.choice(("?", "<i1", "<i4", "<i8", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8")))
        elif what == 5:
            array = array.reshape(rng.choice(((-1,), (1, *array.shape), (*array.shape, 1))))
        elif what == 6 and array.ndim:
            array = array[rng.randrange(len(array) + 1) :] if rng.random() < 0.5 else np.concatenate([array, array[:1]])
        elif what == 7:
            del arrays[name]
            continue
        elif what == 8:
            arrays[
                rng.choice((name + "x", "hidden1.born", "actor.hidden1.born", "agent/actor.hidden1.places", "0.places"))
            ] = array
            continue
        elif array.ndim:
            array = array[::-1].copy()
        arrays[name] = array
    return arrays


def packed(files: dict[str, bytes]) -> bytes:
    """Return files by name as one input."""
    parts = []
    for name, content in files.items():
        encoded = name.encode()
        parts.append(struct.pack("<II", len(encoded), len(content)) + encoded + content)
    return b"".join(parts)


def unpacked(data: bytes) -> dict[str, bytes]:
    """Return what was packed."""
    files, at = {}, 0
    while at < len(data):
        name, content = struct.unpack_from("<II", data, at)
        at += 8
        files[data[at : at + name].decode()] = data[at + name : at + name + content]
        at += name + content
    return files


Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]
