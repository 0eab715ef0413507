"""What an optimiser of PyTorch keeps for each value of a sparse layer, when its connections change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from rewirl.torch.linear import carried

_STATE_OF_NEW = {
    (torch.optim.Adagrad, "sum"): "initial_accumulator_value",
    (torch.optim.Rprop, "step_size"): "lr",
}
"""Optimiser state that begins with an option of the optimiser; all other begins with 0."""


def optimizers_of(given: Any) -> list[torch.optim.Optimizer]:
    """Return one optimiser or several, each once; what wraps one and has its groups is one too.

    Raises:
        TypeError: something is no optimiser.
    """
    several = [given] if hasattr(given, "param_groups") or not isinstance(given, Iterable) else list(given)
    for each in several:
        if not (hasattr(each, "param_groups") and hasattr(each, "state")):
            raise TypeError(f"optimizer must be an optimiser of PyTorch, or several, got {each!r}")
    return list({id(each): each for each in several}.values())


def carry(
    optimizers: Sequence[torch.optim.Optimizer], values: torch.nn.Parameter, before: torch.Size, source: Tensor
) -> None:
    """Give the optimisers' state of a layer to the connections that it has now.

    Args:
        optimizers: those that may own the values, each once.
        values: of the layer.
        before: the shape that they had.
        source: the position that each value had, or -1 for a new one, int64 [connections].
    """
    for optimizer in optimizers:
        groups = (group for group in optimizer.param_groups if any(each is values for each in group["params"]))
        for options in groups:  # one, or none
            begins = {
                name: float(options[option])
                for (kind, name), option in _STATE_OF_NEW.items()
                if isinstance(optimizer, kind)
            }
            state: dict[str, Any] = optimizer.state.get(values, {})
            for name, tensor in list(state.items()):
                if isinstance(tensor, Tensor) and tensor.shape == before:
                    state[name] = carried(tensor, source, begins.get(name, 0.0))
