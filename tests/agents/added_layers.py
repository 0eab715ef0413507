"""An operation and a weight format of one's own, each in one C++ file, and agents whose networks are made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from discrete_sac import ENTRY, DiscreteSAC

from rewirl.agents.networks import Architecture
from rewirl.nn import Linear, Operation, load_native

SQUARE, COORDINATES = (Path(__file__).with_name(f"{name}.cpp") for name in ("square", "coordinates"))
load_native(SQUARE)
load_native(COORDINATES)


@dataclass(frozen=True)
class Square(Operation):
    """y = scale * x^2 + offset; its array is `scale`, which begins with ones."""

    kind = "square"

    offset: float = 0.0

    def arrays(self, features):
        return {"scale": features}


class SquareSAC(DiscreteSAC):
    """Of networks that square what their first layer makes."""

    def architecture(self, config, n_in, n_out):
        width = config.hidden_sizes[0]
        return Architecture(n_in, [Linear("hidden1", n_out=width), Square(offset=-0.5), Linear("output", n_out=n_out)])


class CoordinatesSAC(DiscreteSAC):
    """Of multilayer perceptrons whose connections are stored as coordinates."""

    def architecture(self, config, n_in, n_out):
        plain = super().architecture(config, n_in, n_out)
        return Architecture(
            n_in, [replace(o, format="coordinates") if isinstance(o, Linear) else o for o in plain.operations]
        )


ENTRIES = (
    replace(ENTRY, name="square-sac", agent=SquareSAC, python="SquareSAC"),
    replace(ENTRY, name="coordinates-sac", agent=CoordinatesSAC, python="CoordinatesSAC"),
)
