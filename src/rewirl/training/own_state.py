"""Whether a checkpoint can hold what an agent of the user's own keeps: tried early, as the first one may be far."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl.agents.agent import Agent
from rewirl.agents.registry import AGENTS
from rewirl.exact import exactly
from rewirl.plugins import RAISED, global_streams_kept, place_of
from rewirl.storage import strict_json
from rewirl.storage.recorder import OWN_FIELDS
from rewirl.storage.tensors import TensorWriter, read_tensors
from rewirl.topology.contract import ContractError, UnsaveableError

_DUE = (
    "It must return two dicts: NumPy arrays by name, of finite numbers; and JSON values by name: text, finite numbers "
    "(None for one that is not known yet), true, false, None, and lists and dicts of these"
)
_DUE_OF_DIAGNOSTICS = "It must return numbers by name; None, or no such name, stands for one that is not known yet"
_DIVERGED = ". Where learning itself made it so, the agent has diverged: a smaller learning rate usually helps"


def is_own(agent: Agent) -> bool:
    """Tell whether an agent is of the user's own; Rewirl's keep to what is due."""
    entry = AGENTS.get(agent.name)
    return entry is not None and entry.module is not None


def diagnostics_of(agent: Agent) -> dict[str, float]:
    """Return an agent's diagnostics; of the user's own as Python's numbers, without those that are None.

    Args:
        agent: any agent.

    Raises:
        UnsaveableError: an agent of the user's own returned something else than numbers by name.
    """
    if not is_own(agent):
        return agent.diagnostics()
    what = f"the agent {agent.name}: its diagnostics()"
    try:
        told = agent.diagnostics()
    except RAISED as error:
        raise UnsaveableError(f"{what} raised {type(error).__name__}: {error}{place_of(error)}") from error
    if not isinstance(told, Mapping) or not all(isinstance(name, str) for name in told):
        raise UnsaveableError(f"{what} returned something else than a dict with names. {_DUE_OF_DIAGNOSTICS}")
    for name in told.keys() & OWN_FIELDS:
        raise UnsaveableError(f"{what} has {name}, a field of the record itself; choose another name")
    numbers: dict[str, float] = {}
    for name, value in told.items():
        if value is not None:
            number = value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
            try:
                numbers[name] = exactly(float, number, name)
            except ValueError as error:
                raise UnsaveableError(f"{what} is wrong: {error}. {_DUE_OF_DIAGNOSTICS}") from error
    return numbers


def load_agent(agent: Agent, arrays: Mapping[str, NDArray[Any]], values: Mapping[str, Any]) -> None:
    """Let an agent load its saved state.

    Args:
        agent: any agent.
        arrays: of its `state`, as a file has them.
        values: of its `state`, as a file has them.

    Raises:
        UnsaveableError: `load_state` of an agent of the user's own raised an error; says where.
        ValueError: the state does not fit.
    """
    try:
        agent.load_state(arrays, values)
    except RAISED as error:
        if isinstance(error, ContractError) or not is_own(agent):
            raise
        raise UnsaveableError(
            f"the agent {agent.name}: its load_state() raised {type(error).__name__}: {error}{place_of(error)}. It "
            "must take what state() returned before, read from a file: tuples are lists there, NumPy numbers Python's"
        ) from error


def refuse_unsaveable(agent: Agent, actions: str) -> None:
    """Try what an agent of the user's own keeps; Rewirl's own can be saved, and may be large.

    Its state is loaded into another agent, made for it, as a resumed run does; its diagnostics are asked for.

    Args:
        agent: any agent.
        actions: the space of its actions, Box or Discrete.

    Raises:
        UnsaveableError: no checkpoint can hold it, or none could be resumed from; names what, and says what is due.
    """
    if not is_own(agent):
        return
    what = f"the agent {agent.name} cannot be saved: its"
    try:
        state = agent.state()
    except RAISED as error:
        raise UnsaveableError(
            f"{what} state() raised {type(error).__name__}: {error}{place_of(error)}. {_DUE}"
        ) from error
    pair = state if isinstance(state, Sequence) else ()
    if [isinstance(each, Mapping) for each in pair] != [True, True]:
        raise UnsaveableError(f"{what} state() returned something else than two dicts. {_DUE}")
    arrays, values = pair
    file = io.BytesIO()
    try:
        TensorWriter(arrays)(file)
        read = strict_json.decode(strict_json.encode(values, "values"))
    except ValueError as error:
        raise UnsaveableError(f"{what} state() returned what no file can hold: {error}. {_DUE}") from error
    for name, array in arrays.items() if agent.updates else ():  # before, bounds to be found may be infinite
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UnsaveableError(f"{what} state() returned an array {name!r} that is not finite. {_DUE}{_DIVERGED}")
    for name, value in diagnostics_of(agent).items():
        if agent.updates and not np.isfinite(value):
            raise UnsaveableError(
                f"{what} diagnostics() has {name}, which is {value}. {_DUE_OF_DIAGNOSTICS}{_DIVERGED}"
            )
    size, sizes = file.tell(), (agent.observation_size, agent.action_size)
    file.seek(0)
    with global_streams_kept():
        another = AGENTS[agent.name].make(agent.config, *sizes, seed=0, actions=actions)
        try:
            load_agent(another, read_tensors(file, size), read)
        finally:
            another.close()
