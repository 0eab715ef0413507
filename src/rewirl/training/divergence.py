"""Whether an agent computes values that are not finite."""

from __future__ import annotations

import math

import numpy as np

from rewirl.agents.agent import Agent
from rewirl.training.own_state import diagnostics_of, is_own


class DivergedError(RuntimeError):
    """The agent computes values that are not finite; learning on is useless."""


def not_finite(agent: Agent) -> str | None:
    """Return what is not finite of an agent that has learnt, its diagnostics or its state; None if nothing is."""
    if agent.updates == 0:
        return None
    for name, value in diagnostics_of(agent).items():
        if not math.isfinite(value):
            own = ", which its diagnostics() should leave out where it is not known" if is_own(agent) else ""
            return f"{name} is {value}{own}"
    for name, array in agent.state()[0].items():
        is_float = isinstance(array, np.ndarray) and array.dtype.kind == "f"  # what is no array cannot be saved
        if is_float and not np.isfinite(array).all():
            return f"{name} is not finite"
    return None


def diverged(agent: Agent, environment: str, step: int, problem: str) -> DivergedError:
    """Return the error for an agent that learnt in an environment until `step`, when a `problem` was seen."""
    return DivergedError(
        f"{agent.name} diverged in {environment} by step {step:,} (update {agent.updates:,}): {problem}. "
        "Checkpoints before that are kept; a smaller learning rate or scaled rewards usually help"
    )
