"""Whether an action of an agent of the user's own is one; what is none could not be resumed."""

from __future__ import annotations

from typing import Any

import numpy as np

from rewirl.agents.agent import Agent
from rewirl.environments.actions import Actions
from rewirl.plugins import RAISED
from rewirl.saved import shown
from rewirl.topology.contract import ContractError


def refuse_wrong_action(agent: Agent, action: Any, actions: Actions) -> None:
    """Refuse what `explore` of an agent of the user's own returned, if it is another kind of thing than an action.

    Args:
        agent: of the user's own.
        action: which it returned. Numbers of a Box that are not finite pass: the agent has diverged.
        actions: of the environment.

    Raises:
        ContractError: it is no action; names the agent, and says what is due.
    """
    try:
        array = np.asarray(action)
    except RAISED:  # lists of different lengths
        array = np.empty(0, object)
    due = f"one of the {actions.expected}"
    if actions.kind != "Box":
        fine = array.ndim == 0 and actions.valid(array)
    elif array.shape != (actions.size,) or array.dtype.kind not in "fiu":
        fine, due = False, f"an array of shape {(actions.size,)}, its numbers in [-1, 1]"
    else:
        fine = bool((np.abs(array) <= 1).all()) or not np.isfinite(array).all()
        due = "numbers in [-1, 1]: clip them, as by np.clip(action, -1, 1)"
    if not fine:
        raise ContractError(f"the agent {agent.name}: its explore() returned {shown(action)}. An action must be {due}")
