"""What an environment and its wrappers have in their attributes, as far as it can be compared."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rewirl.plugins import RAISED

if TYPE_CHECKING:
    import gymnasium

Portrait = dict[tuple[int, str, str], Any]
"""By layer, from the inside: its number, its class and the attribute; values that can be compared with ==."""

_DEEPEST = 4
_LARGEST = 100_000
"""Numbers in an array, entries of a dict or list; larger ones are left out."""
_MOST = 200_000
"""Numbers and entries of all kinds in one attribute: a program may keep millions in its lists."""
_UNKNOWN = object()
# What Gymnasium puts there itself, and what only says how an environment is drawn.
_LEFT_OUT = {"env", "spec", "_cached_spec", "render_mode", "metadata", "_metadata", "_saved_kwargs", "_ezpickle_kwargs"}
_LEFT_OUT |= {"mujoco_renderer"}


def layers(env: gymnasium.Env[Any, Any]) -> list[gymnasium.Env[Any, Any]]:
    """Return an environment and its wrappers, from the inside; Gymnasium's checker, which changes nothing, left out."""
    import gymnasium

    found = [env]
    while isinstance(found[-1], gymnasium.Wrapper):
        found.append(found[-1].env)
    return [layer for layer in reversed(found) if not isinstance(layer, gymnasium.wrappers.PassiveEnvChecker)]


def traces(env: gymnasium.Env[Any, Any]) -> list[Any]:
    """Return what differs once somebody has reset or stepped an environment, as far as that can be told at once.

    These are the steps of the episode, where a wrapper such as TimeLimit counts them, and the state of its generator.
    """
    counts = [getattr(layer, "__dict__", {}).get("_elapsed_steps") for layer in layers(env)]
    rng = getattr(env.unwrapped, "__dict__", {}).get("_np_random")
    return [counts, repr(rng.bit_generator.state) if isinstance(rng, np.random.Generator) else None]


def portrait(env: gymnasium.Env[Any, Any], generators: bool = True) -> Portrait:
    """Return the attributes of an environment and its wrappers that can be compared.

    These are numbers, words, arrays, spaces, MuJoCo's models, random generators, and lists, dicts and plain objects of
    such. Anything else is left out.

    Args:
        env: the environment; nothing of it is changed.
        generators: whether the states of random generators are taken too.
    """
    taken: Portrait = {}
    for number, layer in enumerate(layers(env)):
        for name, value in vars(layer).items():
            if name not in _LEFT_OUT:
                frozen = _whole(value, generators)
                if frozen is not _UNKNOWN:
                    taken[number, type(layer).__name__, name] = frozen
    return taken


def differing(one: Portrait, other: Portrait) -> list[tuple[int, str, str]]:
    """Return the attributes that differ between two portraits, or that only one of them has, from the inside."""
    return [key for key in sorted({**one, **other}) if key not in one or key not in other or one[key] != other[key]]


def moving(env: gymnasium.Env[Any, Any], new: Portrait) -> list[tuple[int, str, str]]:
    """Return the attributes of an environment that a reset and a step change; it is played.

    Args:
        env: the environment.
        new: what it was like before.
    """
    env.reset(seed=0)
    env.action_space.seed(0)
    env.step(env.action_space.sample())
    return differing(new, portrait(env, generators=False))


def frozen(value: Any) -> Any:
    """Return what equals that of another value only if the two are the same; None where that cannot be told."""
    found = _whole(value, False)
    return None if found is _UNKNOWN else found


def _whole(value: Any, generators: bool) -> Any:
    """Return what equals that of another value only if the two are the same, or _UNKNOWN."""
    room = [_MOST]
    try:
        found = _frozen(value, 0, generators, room)
    except RAISED:  # what a program keeps may fail as it is looked at
        return _UNKNOWN
    return found if room[0] >= 0 else _UNKNOWN


def _frozen(value: Any, depth: int, generators: bool, room: list[int]) -> Any:
    """Do what `_whole` does, and take from `room` what there is in the value; anything beyond it is _UNKNOWN."""
    import gymnasium

    room[0] -= value.size if isinstance(value, np.ndarray) else 1
    if room[0] < 0:
        return _UNKNOWN
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str, bytes)):
        return type(value).__name__, value
    if isinstance(value, float):
        return "float", value.hex()
    if isinstance(value, np.ndarray):
        comparable = value.dtype.kind in "biufcSU" and value.size <= _LARGEST
        return ("array", value.dtype.str, value.shape, value.tobytes()) if comparable else _UNKNOWN
    if isinstance(value, gymnasium.Space):
        bounds = (getattr(value, name, None) for name in ("low", "high"))
        return "space", str(value), *(array.tobytes() if isinstance(array, np.ndarray) else None for array in bounds)
    if isinstance(value, np.random.Generator):
        return ("generator", str(value.bit_generator.state)) if generators else _UNKNOWN
    if type(value).__name__ == "MjModel":
        return _pickled(value)
    if depth == _DEEPEST or isinstance(value, gymnasium.Env):
        return _UNKNOWN
    if isinstance(value, (list, tuple, set, frozenset)):
        if len(value) > _LARGEST:
            return _UNKNOWN
        items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        return _items(type(value).__name__, items, depth, generators, room)
    if isinstance(value, Mapping):
        if 2 * len(value) > _LARGEST:
            return _UNKNOWN
        return _items("mapping", (item for pair in value.items() for item in pair), depth, generators, room)
    attributes = getattr(value, "__dict__", None)
    if attributes and not callable(value) and not isinstance(value, type):
        known = {name: _frozen(item, depth + 1, generators, room) for name, item in attributes.items()}
        own = tuple((name, item) for name, item in known.items() if item is not _UNKNOWN)
        return (type(value).__name__, own) if own else _UNKNOWN
    return _UNKNOWN


def _items(kind: str, items: Iterable[Any], depth: int, generators: bool, room: list[int]) -> Any:
    taken = []
    for item in items:
        one = _frozen(item, depth + 1, generators, room)
        if one is _UNKNOWN:
            return _UNKNOWN
        taken.append(one)
    return kind, tuple(taken)


def _pickled(value: Any) -> Any:
    try:
        return "pickled", pickle.dumps(value)
    except RAISED:
        return _UNKNOWN
