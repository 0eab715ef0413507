"""Observations: a Box, or Dicts and Tuples of Boxes to any depth, and the vector that networks get of them.

The vector has the parts one after the other: those of a Dict in the order of its space (sorted by key, where Gymnasium
was given a plain dict), those of a Tuple in theirs, and the numbers of a Box in C order, row by row. It is
the vector of `gymnasium.spaces.flatten`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.saved import LIMIT, count, shown

DEEPEST = 16
"""Levels of Dicts and Tuples inside each other that are read."""


NUMBERS = "fiub"
"""Kinds of NumPy's types that observations may have."""


class ObservationError(ValueError):
    """An observation is not what its space says; the message begins with the part of it that is not."""


@dataclass(frozen=True)
class BoxShape:
    """Numbers in an array of one shape."""

    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)

    def parts(self, observation: Any, name: str) -> Iterator[tuple[str, tuple[int, ...], Any]]:
        """Yield itself; see `Observations`."""
        yield name, self.shape, observation

    def values(self) -> dict[str, Any]:
        """Return the shape as JSON values."""
        return {"box": list(self.shape)}

    def __str__(self) -> str:
        """Say what it is, for a message."""
        return f"Box{self.shape}"


@dataclass(frozen=True)
class DictShape:
    """Parts by name, in the order in which the vector has them."""

    named: tuple[tuple[str, Observations], ...]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return sum(part.size for _, part in self.named)

    def parts(self, observation: Any, name: str) -> Iterator[tuple[str, tuple[int, ...], Any]]:
        """Yield the Boxes in it; see `Observations`."""
        keys = [key for key, _ in self.named]
        if not isinstance(observation, Mapping):
            raise ObservationError(f"{name} is no dict of {', '.join(map(repr, keys))}, it is {_what(observation)}")
        if len(observation) != len(keys) or any(key not in observation for key in keys):
            missing = [key for key in keys if key not in observation]
            more = [key for key in observation if key not in keys]
            raise ObservationError(
                f"{name} must have the keys {', '.join(map(repr, keys))}"
                + (f"; it lacks {', '.join(map(repr, missing))}" if missing else "")
                + (f"; it has {shown(more[0])} besides" if more else "")
            )
        for key, part in self.named:
            yield from part.parts(observation[key], f"{name}[{key!r}]")

    def values(self) -> dict[str, Any]:
        """Return names and parts as JSON values, in pairs: their order counts."""
        return {"dict": [[key, part.values()] for key, part in self.named]}

    def __str__(self) -> str:
        """Say what it is, for a message."""
        return f"Dict({', '.join(f'{key!r}: {part}' for key, part in self.named)})"


@dataclass(frozen=True)
class TupleShape:
    """Parts in their order."""

    items: tuple[Observations, ...]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return sum(part.size for part in self.items)

    def parts(self, observation: Any, name: str) -> Iterator[tuple[str, tuple[int, ...], Any]]:
        """Yield the Boxes in it; see `Observations`."""
        if not isinstance(observation, tuple | list) or len(observation) != len(self.items):
            raise ObservationError(f"{name} is no tuple of {len(self.items)} parts, it is {_what(observation)}")
        for index, part in enumerate(self.items):
            yield from part.parts(observation[index], f"{name}[{index}]")

    def values(self) -> dict[str, Any]:
        """Return the parts as JSON values."""
        return {"tuple": [part.values() for part in self.items]}

    def __str__(self) -> str:
        """Say what it is, for a message."""
        return f"Tuple({', '.join(map(str, self.items))})"


Observations = BoxShape | DictShape | TupleShape
"""The shape of observations. `parts(observation, name)` yields, for every Box in one, what a message calls it, its
shape and the array, in the order of the vector; an ObservationError says where an observation has another structure."""


def refuse_nonfinite(space: Observations, vectors: NDArray[np.float32], batched: bool) -> None:
    """Refuse observations with numbers that are not finite, by their place.

    Args:
        space: the shape of an observation.
        vectors: of `flatten`, float32 [batch, size].
        batched: whether they were a batch.

    Raises:
        ObservationError: a number is NaN, infinite or beyond float32; the message says which, and of which observation.
    """
    if isfinite(np.vdot(vectors, vectors)):  # half the time of a look at each number; it may overflow, though
        return
    finite = np.isfinite(vectors)
    if finite.all():
        return
    row, column = (int(index) for index in np.argwhere(~finite)[0])
    parts = [
        (name, index) for name, shape, _ in space.parts(_skeleton(space), "observation") for index in np.ndindex(shape)
    ]
    name, index = parts[column]
    position = [row, *index] if batched else list(index)
    place = f"[{', '.join(map(str, position))}]" if position else ""
    raise ObservationError(
        f"{name}{place} is {vectors[row, column]}, which is not a finite float32 number. Mend what is observed; or "
        "give allow_nonfinite=True, and the action for such an observation is NaN"
    )


def _skeleton(space: Observations) -> Any:
    """Return an observation without numbers, for the names of its parts."""
    if isinstance(space, DictShape):
        return {key: _skeleton(part) for key, part in space.named}
    return tuple(map(_skeleton, space.items)) if isinstance(space, TupleShape) else None


def flatten(space: Observations, observation: Any) -> tuple[NDArray[np.float32], bool]:
    """Return one observation, or a batch of them, as vectors.

    Args:
        space: the shape of an observation.
        observation: as the environment has it; in a batch every array has one more dimension, the first.

    Returns:
        float32 [batch, size], contiguous, and whether it was a batch; one observation is a batch of 1.

    Raises:
        ObservationError: an array has another shape, or holds no numbers; the message says which.
    """
    several = isinstance(observation, tuple) and not isinstance(space, TupleShape)
    if several and len(observation) in (2, 5) and isinstance(observation[-1], Mapping):
        raise ObservationError("observation is all that reset() or step() returned; give its first part alone")
    columns: list[NDArray[np.float32]] = []
    batches: dict[int | None, str] = {}
    for name, shape, value in space.parts(observation, "observation"):
        array = _numbers(name, value)
        batched = array.ndim == len(shape) + 1
        if (array.shape[1:] if batched else array.shape) != shape:
            name = "an observation" if name == "observation" else f"{name} of an observation"
            raise ObservationError(
                f"{name} has shape {shape} and a batch ({', '.join(map(str, ('batch', *shape)))}), got {array.shape}"
            )
        batches.setdefault(len(array) if batched else None, name)
        columns.append(array.reshape(len(array) if batched else 1, -1 if array.size else prod(shape)))
    if len(batches) > 1:
        (one, first), (other, second), *_ = batches.items()
        sizes = ["one observation" if size is None else f"a batch of {size}" for size in (one, other)]
        raise ObservationError(f"{first} is {sizes[0]}, but {second} is {sizes[1]}")
    together = columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)
    return np.ascontiguousarray(together), None not in batches


def _numbers(name: str, value: Any) -> NDArray[np.float32]:
    """Return the numbers of a part as float32, infinite where they are too large for it."""
    if type(value) is np.ndarray and value.dtype.kind in NUMBERS:
        with np.errstate(over="ignore"):
            return value.astype(np.float32, copy=False)
    try:
        numbers = np.asarray(value)
        if numbers.dtype.kind not in NUMBERS and numbers.size:
            raise TypeError(f"of {numbers.dtype}")
        if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
            raise TypeError("some of it is masked")
        with np.errstate(over="ignore"):
            return numbers.astype(np.float32)
    except (TypeError, ValueError, RuntimeError) as error:  # the last of a tensor of PyTorch that has a gradient
        raise ObservationError(f"{name} is not an array of numbers ({error})") from error


def from_values(saved: Any, depth: int = 0) -> Observations:
    """Return the shape of observations that `values` described.

    Args:
        saved: JSON values.
        depth: levels above it.

    Raises:
        ValueError: it is no such description; the message says what is wrong.
    """
    if depth > DEEPEST:
        raise ValueError(f"the observation space has more than {DEEPEST} levels of Dicts and Tuples")
    if not isinstance(saved, Mapping) or len(saved) != 1:
        raise ValueError(f"the observation space is {shown(saved)}, which is not a Box, a Dict or a Tuple of these")
    ((kind, parts),) = saved.items()
    if not isinstance(parts, list) or kind not in ("box", "dict", "tuple") or (not parts and kind != "box"):
        raise ValueError(f"the observation space has the part {shown(saved)}, which is not a Box, a Dict or a Tuple")
    if kind == "box":
        shape = tuple(count(length, "a length in the observation space") for length in parts)
        if not 0 < prod(shape) < LIMIT:
            raise ValueError(f"the observation space has a part of shape {shown(shape)}")
        return BoxShape(shape)
    if kind == "tuple":
        return TupleShape(tuple(from_values(part, depth + 1) for part in parts))
    if not all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in parts):
        raise ValueError(f"the observation space has the Dict {shown(parts)}, which is no list of names and parts")
    if len({name for name, _ in parts}) != len(parts):
        raise ValueError("the observation space has a Dict in which a name occurs twice")
    return DictShape(tuple((name, from_values(part, depth + 1)) for name, part in parts))


def _what(value: Any) -> str:
    """Return what a value is in a few words."""
    return f"{len(value)} parts" if isinstance(value, tuple | list) else f"of type {type(value).__name__}"
