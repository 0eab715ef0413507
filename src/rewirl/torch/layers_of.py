"""The sparse layers of a model by name, as they are called without what PyTorch wraps around models, and its ends."""

from __future__ import annotations

from collections import Counter

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from rewirl.torch.linear import SparseLinear


def layers_of(model: nn.Module) -> dict[str, SparseLinear]:
    """Return the sparse layers in the order of `model.modules()`, each once.

    Args:
        model: may be compiled, or in several processes, and so may parts of it. Layers are called as in the model
            without that, so that a state of the one can be loaded into the other.
    """
    inside: set[str] = set()
    layers: list[tuple[str, str, SparseLinear]] = []
    for name, module in model.named_modules():
        inner = _inner_of(module)
        if inner:
            inside.add(f"{name}.{inner}".removeprefix("."))
        if isinstance(module, SparseLinear):
            layers.append((name, _without(inside, name), module))
    several = Counter(plain for _, plain, _ in layers)  # a wrapper may have layers of its own
    return {name if several[plain] > 1 else plain: layer for name, plain, layer in layers}


def ends_of(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Return the first and the last layer with weights: a sparse layer between them has hidden units on either side.

    Args:
        model: has a sparse layer, whatever else.
    """
    weighted = [
        module
        for module in model.modules()
        if isinstance(module, SparseLinear) or any(each.ndim > 1 for each in module.parameters(recurse=False))
    ]
    return weighted[0], weighted[-1]


def _inner_of(module: nn.Module) -> str:
    """Return the attribute that has the model which a module is wrapped around; "" if it is no wrapper."""
    if isinstance(module, DistributedDataParallel | DataParallel):
        return "module"
    return "_orig_mod" if type(module).__name__ == "OptimizedModule" else ""  # which takes seconds to import


def _without(inside: set[str], name: str) -> str:
    parts = name.split(".")
    return ".".join(part for place, part in enumerate(parts, 1) if ".".join(parts[:place]) not in inside)
