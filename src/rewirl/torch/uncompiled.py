"""Code that `torch.compile` must leave alone: what calls the core with arrays, and what changes a layer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def uncompiled(function: Callable[P, R]) -> Callable[P, R]:
    """Keep `torch.compile` from looking into a function.

    It comes here where it has given up on a layer's `forward`, as after an input that was refused, and in a compiled
    function that rewires. `torch.compiler.disable` takes seconds to import, so it waits until somebody compiles.
    """

    disabled: list[Callable[P, R]] = []

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if "torch._dynamo" not in sys.modules:
            return function(*args, **kwargs)
        if not disabled:
            disabled.append(torch.compiler.disable(function))  # type: ignore[no-untyped-call]
        return disabled[0](*args, **kwargs)

    return call
