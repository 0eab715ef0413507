"""An operation and a weight format of one's own, each in one C++ file, and agents whose networks are made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from rewirl.agents import TD3, Entry, TD3Config
from rewirl.agents.architecture import Architecture
from rewirl.nn import Linear, Operation, load_native
from rewirl.topology import TopologyConfig

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


class SquareTD3(TD3):
    """TD3 of networks that square what their first layer makes."""

    @classmethod
    def architecture(cls, network, config, n_in, n_out):
        width = config.hidden_sizes[0]
        return Architecture(n_in, [Linear("hidden1", n_out=width), Square(offset=-0.5), Linear("output", n_out=n_out)])


class CoordinatesTD3(TD3):
    """TD3 of multilayer perceptrons whose connections are stored as coordinates."""

    @classmethod
    def architecture(cls, network, config, n_in, n_out):
        plain = super().architecture(network, config, n_in, n_out).operations
        return Architecture(n_in, [replace(o, format="coordinates") if isinstance(o, Linear) else o for o in plain])


SPARSE = TopologyConfig(sparsity=0.3, adapt_every=10)
ENTRIES = (
    Entry("square-td3", SquareTD3, TD3Config, SPARSE, "SquareTD3", "TD3 of networks that square"),
    Entry("coordinates-td3", CoordinatesTD3, TD3Config, SPARSE, "CoordinatesTD3", "TD3 stored as coordinates"),
)
