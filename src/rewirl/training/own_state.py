"""Whether a checkpoint can hold what an agent of the user's own keeps: tried early, as the first one may be far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rewirl.agents.agent import Agent
from rewirl.agents.registry import AGENTS
from rewirl.plugins import RAISED, place_of
from rewirl.storage import strict_json
from rewirl.storage.tensors import TensorWriter
from rewirl.topology.contract import ContractError

_DUE = (
    "It must return two dicts: NumPy arrays by name; and JSON values by name: text, finite numbers (None for one that "
    "is not known yet), true, false, None, and lists and dicts of these"
)


def refuse_unsaveable(agent: Agent) -> None:
    """Try what the state of an agent of the user's own is; Rewirl's own can be saved, and may be large.

    Args:
        agent: any agent.

    Raises:
        ContractError: no checkpoint can hold the state; names the array or value, and says what is due.
    """
    entry = AGENTS.get(agent.name)
    if entry is None or entry.module is None:
        return
    what = f"the agent {agent.name} cannot be saved: its state()"
    try:
        state = agent.state()
    except RAISED as error:
        raise ContractError(f"{what} raised {type(error).__name__}: {error}{place_of(error)}. {_DUE}") from error
    pair = state if isinstance(state, Sequence) else ()
    if [isinstance(each, Mapping) for each in pair] != [True, True]:
        raise ContractError(f"{what} returned something else than two dicts. {_DUE}")
    arrays, values = pair
    try:
        TensorWriter(arrays)
        strict_json.encode(values, "values")
    except ValueError as error:
        raise ContractError(f"{what} returned what no file can hold: {error}. {_DUE}") from error
