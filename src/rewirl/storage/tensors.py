"""Arrays in a safetensors file, streamed: neither writing nor reading holds a second copy of them.

The format is 8 bytes with the header's length, a JSON header that gives every array its dtype, shape and place, and the
arrays' bytes, little-endian, without gaps. What is written here, the safetensors library reads. Reading trusts nothing:
every number in the header is checked against the file's size before memory is taken.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rewirl.storage import strict_json
from rewirl.storage.files import Sink

_LARGEST_HEADER = 16 * 2**20
_CHUNK = 2**22
_DTYPES = {
    name: np.dtype(code)
    for name, code in {
        "BOOL": "?",
        "I8": "<i1", "I16": "<i2", "I32": "<i4", "I64": "<i8",
        "U8": "<u1", "U16": "<u2", "U32": "<u4", "U64": "<u8",
        "F16": "<f2", "F32": "<f4", "F64": "<f8",
    }.items()
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class TensorWriter:
    """The content of one safetensors file, ready to be written."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Check the arrays and lay out the file.

        Args:
            arrays: by name; any shape, bool, integers and floats of standard sizes.

        Raises:
            ValueError: an array cannot be stored; names it.
        """
        header: dict[str, Any] = {}
        begin = 0
        for name, array in arrays.items():
            if not isinstance(name, str):
                raise ValueError(f"the name {name!r} of an array is no text")
            if not isinstance(array, np.ndarray) or array.dtype.newbyteorder("<") not in _NAMES:
                kind = f"of {array.dtype if isinstance(array, np.ndarray) else type(array).__name__}"
                if isinstance(array, np.generic | bool | int | float):  # NumPy calls a scalar what it calls its dtype
                    kind = f"a number ({type(array).__name__}) and no array"
                raise ValueError(f"array {name!r} is {kind}; it must be a NumPy array of bool, integers or floats")
            if name == "__metadata__":
                raise ValueError("an array cannot be called '__metadata__': the format uses that name")
        # Wide elements first, so that every array starts at a multiple of its element's size.
        self._arrays = sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0]))
        for name, array in self._arrays:
            dtype = _NAMES[array.dtype.newbyteorder("<")]
            header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, begin + array.nbytes]}
            begin += array.nbytes
        text = strict_json.canonical(header, "the header")
        self._header = text + b" " * (-len(text) % 8)
        if len(self._header) > _LARGEST_HEADER:
            raise ValueError(f"the names and shapes of {len(arrays)} arrays take more than {_LARGEST_HEADER} bytes")

    def __call__(self, sink: Sink) -> None:
        """Write the file's content, a few MB at a time."""
        sink.write(struct.pack("<Q", len(self._header)) + self._header)
        for _, array in self._arrays:
            for chunk in _chunks(array):
                sink.write(chunk)


def read_tensors(file: BinaryIO, size: int, room: Mapping[str, int] | None = None) -> dict[str, NDArray[Any]]:
    """Read an open safetensors file.

    Args:
        file: positioned at its start.
        size: the file's size in bytes.
        room: rows of memory for arrays by name that are to grow: each is the first rows of its `base`, which has them.

    Returns:
        New arrays by name, in the machine's byte order.

    Raises:
        ValueError: the header does not describe exactly this file; says what is wrong.
    """
    if size < 8:
        raise ValueError(f"has {size} bytes, too few for a safetensors file")
    (length,) = struct.unpack("<Q", _read(file, 8))
    if length > min(size - 8, _LARGEST_HEADER):
        raise ValueError(f"says its header has {length} bytes, of {size} in all; at most {_LARGEST_HEADER} are allowed")
    try:
        header = strict_json.decode(_read(file, length))
    except ValueError as error:
        raise ValueError(f"has a header that is not strict JSON: {error}") from error
    if not isinstance(header, dict):
        raise ValueError("has a header that is not a JSON object")
    entries = sorted(((name, *_entry(name, entry)) for name, entry in header.items()), key=lambda entry: entry[3:])
    expected = 0
    for name, _, _, begin, end in entries:
        if begin != expected:
            raise ValueError(f"has a gap or an overlap before array {name!r}, at byte {expected} of its data")
        expected = end
    if expected != size - 8 - length:
        raise ValueError(f"has {size - 8 - length} bytes of data, but its header describes {expected}")
    return {
        name: _read_array(file, name, dtype, shape, (room or {}).get(name, 0)) for name, dtype, shape, *_ in entries
    }


def _chunks(array: NDArray[Any]) -> Iterator[memoryview]:
    """Yield an array's little-endian bytes in C order; only a strided array is copied, one chunk at a time."""
    dtype = array.dtype.newbyteorder("<")
    if array.dtype == dtype and array.flags.c_contiguous:
        view = array.reshape(-1).view(np.uint8).data
        for start in range(0, len(view), _CHUNK):
            yield view[start : start + _CHUNK]
    elif array.size:
        pieces = np.nditer(
            array,
            flags=["external_loop", "buffered"],
            op_dtypes=[dtype],
            order="C",
            casting="equiv",
            buffersize=_CHUNK // array.itemsize,
        )
        for piece in pieces:
            yield np.ascontiguousarray(piece).view(np.uint8).data


def _entry(name: str, entry: Any) -> tuple[np.dtype[Any], tuple[int, ...], int, int]:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"describes array {name!r} by something else than dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"gives array {name!r} the unknown dtype {dtype!r}")
    if not _counts(shape) or len(shape) > 32:
        raise ValueError(f"gives array {name!r} an impossible shape")
    if not _counts(offsets) or len(offsets) != 2:
        raise ValueError(f"gives array {name!r} impossible data_offsets")
    begin, end = offsets
    if end - begin != math.prod(shape) * _DTYPES[dtype].itemsize:
        raise ValueError(f"gives array {name!r} {end - begin} bytes, which does not match {dtype} {shape}")
    return _DTYPES[dtype], tuple(shape), begin, end


def _counts(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(number) is int and 0 <= number < 2**63 for number in numbers)


def _read_array(file: BinaryIO, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], rows: int) -> NDArray[Any]:
    try:
        array = (
            np.empty((max(rows, shape[0]), *shape[1:]), dtype)[: shape[0]] if rows and shape else np.empty(shape, dtype)
        )
    except ValueError as error:  # a dimension of 0 hides any size of the others
        raise ValueError(f"gives array {name!r} an impossible shape") from error
    view = array.reshape(-1).view(np.uint8).data
    for start in range(0, len(view), _CHUNK):
        part = view[start : start + _CHUNK]
        part[:] = _read(file, len(part))
    if dtype == np.bool_ and array.size and array.view(np.uint8).max() > 1:
        raise ValueError(f"has a bool in array {name!r} that is neither 0 nor 1")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise ValueError(f"ends {count - len(data)} bytes early")
    return data
