"""Ways to change files: bytes, arrays, JSON values and headers, with sums that are right or wrong afterwards."""

from __future__ import annotations

import hashlib
import io
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rewirl.storage.tensors import TensorWriter, read_tensors

Arrays = dict[str, NDArray[Any]]


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


def has(values: Any, path: tuple[Any, ...]) -> bool:
    """Return whether there is anything at the end of a path of keys."""
    for key in path:
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return True


def dotted(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
