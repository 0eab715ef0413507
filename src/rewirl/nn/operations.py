"""What a network is made of: operations over numbered values, of which each reads some and makes one.

A list of operations is a network. Each reads what the one before it makes, and the first the network's input, unless
`of` names others: operations by their names, and "input".

A class here describes what the core computes: settings, features and arrays. Files name it by its `kind`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from rewirl.saved import number, shown

INPUT = "input"
"""What the input of a network is called where an operation reads it."""

KINDS: dict[str, type[Operation]] = {}
"""Every operation by its kind: the classes of this file, and those of users, from where they are defined on."""


@dataclass(frozen=True)
class Operation:
    """One operation of a network; a class for each kind, whose fields are its settings.

    Raises:
        TypeError: a class is defined with the kind of one of Rewirl's own.
    """

    kind: ClassVar[str]
    """What the core and files call it."""

    inputs: ClassVar[int] = 1
    """How many values it reads."""

    name: str = ""
    """What it is called in files and by others that read it; empty is its kind and a number, such as relu1."""

    of: tuple[str, ...] = ()
    """Which operations it reads, by name; empty is the one before it."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Make the kind known."""
        super().__init_subclass__(**arguments)
        if "kind" not in vars(cls):
            return
        there = KINDS.get(cls.kind)
        if there is not None and there.__module__ == __name__:
            raise TypeError(f"there is an operation of the kind {cls.kind!r} already, {there.__name__}")
        KINDS[cls.kind] = cls

    def settings(self) -> dict[str, float]:
        """Return what the core needs to know besides names and arrays."""
        own = {field.name for field in dataclasses.fields(self)} - {"name", "of", "format"}
        return {name: float(getattr(self, name)) for name in sorted(own)}

    def made(self, features: int) -> int:
        """Return how many features it makes of a first input with so many."""
        return features

    def arrays(self, features: int) -> dict[str, int]:
        """Return the lengths of the arrays that it learns or keeps statistics in, by name.

        Args:
            features: of its first input.
        """
        return {}


@dataclass(frozen=True)
class Linear(Operation):
    """y = W x + b; W has connections only where its topology has them.

    Its arrays are `values`, one for each connection, and `bias`.
    """

    kind = "linear"

    n_out: int = 0
    """Outputs, at least 1."""

    bias: bool = True
    """Whether there is a b."""

    height: int = 1
    """Outputs of a block, from 1 to 8: connections come and go in blocks of so many outputs, one after the other, that
    share an input, and are computed faster. The last block of an input is smaller where they do not divide n_out."""

    unit_norm: bool = False
    """Whether the weights of every output are divided by their Euclidean norm after each step of the optimiser and each
    rewiring. Outputs without connections, or with zeros alone, stay what they are."""

    format: str = ""
    """How the core stores the weights, such as unstructured; empty is what suits the places and the height."""

    by_row: bool = False
    """Whether sparse weights are stored row by row, which suits networks that see one sample at a time (`Stream`)."""

    def made(self, features: int) -> int:
        """Return the outputs."""
        return self.n_out

    def arrays(self, features: int) -> dict[str, int]:
        """Return the lengths of `values`, where every place is a connection, and `bias`."""
        return {"values": features * self.n_out} | ({"bias": self.n_out} if self.bias else {})

    def stored(self, dense: bool) -> str:
        """Return the format of the weights: this is where it is chosen.

        Args:
            dense: whether every place is a connection, and none is named.

        Raises:
            ValueError: the format is dense, which layers that may lose connections cannot keep.
        """
        if self.format == "dense":
            raise ValueError("a linear operation is dense where no places are given; leave its format out")
        sparse = "blocks" if self.height > 1 else "rows" if self.by_row else "unstructured"
        return self.format or ("dense" if dense else sparse)


@dataclass(frozen=True)
class ReLU(Operation):
    """y = max(x, 0). After a Linear or a norm that nothing else reads it costs nothing."""

    kind = "relu"


@dataclass(frozen=True)
class LeakyReLU(Operation):
    """y = x where x > 0, else slope * x."""

    kind = "leaky_relu"

    slope: float = 0.01
    """Typical: 0.01."""


@dataclass(frozen=True)
class Tanh(Operation):
    """y = tanh(x)."""

    kind = "tanh"


@dataclass(frozen=True)
class Add(Operation):
    """y = a + b, of equal numbers of features; the end of a residual block."""

    kind = "add"
    inputs = 2


@dataclass(frozen=True)
class Multiply(Operation):
    """y = a * b, number by number."""

    kind = "multiply"
    inputs = 2


@dataclass(frozen=True)
class LayerNorm(Operation):
    """y = scale * (x - mean) / sqrt(variance + eps) + shift, over the features of each sample (Ba et al. 2016).

    Its arrays are `scale`, which begins with ones, and `shift`, with zeros.
    """

    kind = "layer_norm"

    affine: bool = True
    """Whether there are scale and shift."""

    eps: float = 1e-5
    """Typical: 1e-5."""

    def arrays(self, features: int) -> dict[str, int]:
        """Return the lengths of scale and shift."""
        return dict.fromkeys(("scale", "shift") if self.affine else (), features)


@dataclass(frozen=True)
class BatchNorm(Operation):
    """The same over the samples of a batch, for each feature (Ioffe and Szegedy 2015).

    In training the statistics are those of the batch; they move the running ones, `mean` and `variance`, with
    `Ensemble.update_statistics`, and those are used elsewhere.
    """

    kind = "batch_norm"

    affine: bool = True
    """Whether there are scale and shift."""

    eps: float = 1e-5
    """Typical: 1e-5."""

    momentum: float = 0.1
    """How far a batch moves the running statistics. Typical: 0.01 to 0.1."""

    def arrays(self, features: int) -> dict[str, int]:
        """Return the lengths of scale, shift and the running statistics."""
        return dict.fromkeys((*(("scale", "shift") if self.affine else ()), "mean", "variance"), features)


@dataclass(frozen=True)
class BatchRenorm(BatchNorm):
    """Batch norm that in training gives what the running statistics would, up to bounds (Ioffe 2017).

    With h the normalised x and sigma the roots of the variances plus eps,

        y = scale * (h * r + d) + shift
        r = clip(sigma_batch / sigma_running, 1 / r_max, r_max)
        d = clip((mean_batch - mean_running) / sigma_running, -d_max, d_max)

    where r and d are constants for the gradients. They are 1 and 0 until the running statistics have moved `warm_up`
    times; the array `moves` counts that.
    """

    kind = "batch_renorm"

    r_max: float = 3.0
    """At least 1. Typical: 3."""

    d_max: float = 5.0
    """0 or more. Typical: 5."""

    warm_up: int = 100_000
    """How many times running statistics move before they count. Typical: 100000."""

    def arrays(self, features: int) -> dict[str, int]:
        """Return the lengths of those of batch norm, and of `moves`."""
        return {**super().arrays(features), "moves": 1}


@dataclass(frozen=True)
class Parameter(Operation):
    """A free vector, `values`, the same for every sample; it reads nothing and begins with zeros."""

    kind = "parameter"
    inputs = 0

    size: int = 0
    """Features, at least 1."""

    def made(self, features: int) -> int:
        """Return the size."""
        return self.size

    def arrays(self, features: int) -> dict[str, int]:
        """Return the length of `values`."""
        return {"values": self.size}


def own_modules() -> list[str]:
    """Return the modules that define the operations of users, which another process has to import to know them."""
    modules = {kind.__module__ for kind in KINDS.values()} - {__name__, "__main__"}
    return sorted(modules)


class Named(NamedTuple):
    """An operation of a list, with the name it has there and the numbers of the values it reads; 0 is the input."""

    operation: Operation
    name: str
    reads: list[int]


def named(operations: Sequence[Operation]) -> list[Named]:
    """Return the operations with names and with the values they read; operation i makes value i + 1.

    Raises:
        ValueError: two have one name, or one reads what is not there before it, or a number of values it cannot.
    """
    values = {INPUT: 0}
    counts: dict[str, int] = {}
    result = []
    for index, operation in enumerate(operations):
        counts[operation.kind] = counts.get(operation.kind, 0) + 1
        name = operation.name or f"{operation.kind}{counts[operation.kind]}"
        if name in values or "." in name:
            raise ValueError(f"operations need different names without dots, and none may be {INPUT!r}; got {name!r}")
        unknown = [each for each in operation.of if each not in values]
        if unknown:
            raise ValueError(f"the operation {name} reads {unknown[0]!r}, which is no operation before it")
        reads = [values[each] for each in operation.of] or [index] * min(operation.inputs, 1)
        if len(reads) != operation.inputs:
            raise ValueError(f"the operation {name} reads {operation.inputs} values, `of` has {len(reads)}")
        values[name] = index + 1
        result.append(Named(operation, name, reads))
    return result


def ends(operations: Sequence[Operation]) -> dict[str, tuple[bool, bool]]:
    """Return for each linear operation, by its name, whether its inputs are those of the network, and its outputs.

    They are where no other linear operation lies between.

    Args:
        operations: of a network.
    """
    listed = named(operations)
    linear = [isinstance(operation, Linear) for operation, _, _ in listed]
    behind, before = [False], [False] * len(listed)  # by value: a linear operation made it; by operation: one follows
    for index, (_, _, reads) in enumerate(listed):
        behind.append(linear[index] or any(behind[value] for value in reads))
    for index in reversed(range(len(listed))):
        for value in listed[index].reads:
            if value:
                before[value - 1] |= linear[index] or before[index]
    return {
        name: (not any(behind[value] for value in reads), not before[index])
        for index, (_, name, reads) in enumerate(listed)
        if linear[index]
    }


def to_json(operations: Sequence[Operation]) -> list[dict[str, Any]]:
    """Return a list of operations as JSON values."""
    result = []
    for operation in operations:
        fields = dataclasses.asdict(operation)
        # Unknown to version 0.1.0.
        for setting, default in (("height", 1), ("unit_norm", False), ("format", ""), ("by_row", False)):
            if fields.get(setting) == default:
                del fields[setting]
        result.append({"kind": operation.kind, **fields, "of": list(operation.of)})
    return result


def from_json(saved: Any) -> list[Operation]:
    """Return the operations that `to_json` described.

    Raises:
        ValueError: there is no such operation, or it has no such setting.
    """
    if not isinstance(saved, list) or not all(isinstance(each, dict) for each in saved):
        raise ValueError(f"the operations of a network must be a list of objects, got {shown(saved)}")
    result = []
    for each in saved:
        kind = KINDS.get(each.get("kind")) if isinstance(each.get("kind"), str) else None
        if kind is None:
            raise ValueError(
                f"there is no operation {shown(each.get('kind'))}; one of your own is known once its module is imported"
            )
        given = {name: value for name, value in each.items() if name != "kind"}
        types = {field.name: getattr(field.type, "__name__", str(field.type)) for field in dataclasses.fields(kind)}
        for name, value in given.items():
            expected = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}.get(types.get(name, ""))
            names = name == "of" and isinstance(value, list) and all(isinstance(one, str) for one in value)
            if not names and (expected is None or type(value) not in expected):
                raise ValueError(f"the operation {kind.kind} cannot have {shown(name)}: {shown(value)}")
            if type(value) in (int, float):
                number(value, f"the setting {name} of the operation {kind.kind}")
        result.append(kind(**{**given, "of": tuple(given.get("of", ()))}))
    return result
