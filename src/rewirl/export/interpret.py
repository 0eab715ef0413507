"""What the arrays of a plan compute, in NumPy: the check where there is no compiler, and the oracle of the tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]

from rewirl.export.plan import (
    Box,
    ConstantStep,
    Floats,
    LayerNormStep,
    LinearStep,
    NormalStep,
    PairStep,
    Plan,
    ReLUStep,
    Step,
    TanhStep,
)


def act(plan: Plan, observations: Floats) -> NDArray[Any]:
    """Return the actions for observations float32 [batch, n_in].

    Returns:
        float32 [batch, action] within the bounds; or int64 [batch], the numbers of the choices.
    """
    raw = outputs(plan, observations)
    if isinstance(plan.head, Box):
        mapped = (np.tanh(raw) if plan.head.squashed else raw) * plan.head.half + plan.head.centre
        within: Floats = np.minimum(np.maximum(mapped, plan.head.low), plan.head.high)
        return within
    choices: NDArray[np.int64] = raw.argmax(axis=1) + plan.head.start
    return choices


def outputs(plan: Plan, observations: Floats) -> Floats:
    """Return the network's outputs that actions are made of, float32 [batch, n_out]."""
    values = [observations]
    for step in plan.steps:
        values.append(_made(step, [values[read] for read in step.reads], len(observations)))
    return values[-1][:, : plan.n_out]


def _made(step: Step, of: list[Floats], batch: int) -> Floats:
    made: Any
    match step:
        case LinearStep():
            rows, columns, weights = step.weights.coordinates()
            matrix = sparse.csr_matrix((weights, (rows, columns)), shape=step.weights.shape)
            made = (matrix @ of[0].T).T + (0 if step.bias is None else step.bias)
        case NormalStep():
            made = (of[0] - step.mean) * step.factor_float32 + (0 if step.shift is None else step.shift)
        case LayerNormStep():
            centred = of[0] - of[0].mean(axis=1, keepdims=True)
            made = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + np.float32(step.eps))
            made = made if step.scale is None else made * step.scale + step.shift
        case ReLUStep():
            made = np.where(of[0] < 0, of[0] * np.float32(step.slope), of[0])
        case TanhStep():
            made = np.tanh(of[0])
        case PairStep():
            made = of[0] * of[1] if step.times else of[0] + of[1]
        case ConstantStep():
            made = np.tile(step.values, (batch, 1))
        case _:
            raise TypeError(f"no step {type(step).__name__}")
    result: Floats = made.astype(np.float32)
    return result
