"""What is known of an environment that only its own program can make: enough to notice another one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rewirl.environments.portrait import Portrait, frozen, layers
from rewirl.saved import LIMIT, fields, shown

if TYPE_CHECKING:
    import gymnasium

_TIME_LIMIT = "_max_episode_steps"
_MOST = 1_000
"""Attributes, and arguments, that a record keeps."""


def likeness(env: gymnasium.Env[Any, Any], spec: Any, taken: Portrait, steady: bool) -> dict[str, Any]:
    """Return what an environment is like, as JSON values.

    Numbers are kept as they are; of anything else that can be compared, only a sum.

    Args:
        env: the environment.
        spec: its spec, as far as there is one.
        taken: its attributes; private ones are left out, but for the time limit.
        steady: whether another one that its program makes has the same in all of them.
    """
    arguments = {} if spec is None else {name: frozen(value) for name, value in spec.kwargs.items()}
    attributes = {
        f"{number} {kind}.{name}": value
        for (number, kind, name), value in taken.items()
        if not name.startswith("_") or name == _TIME_LIMIT
    }
    return {
        "layers": [type(layer).__name__ for layer in layers(env)],
        "id": None if spec is None else spec.id,
        "max_episode_steps": None if spec is None else _kept(frozen(spec.max_episode_steps)),
        "arguments": _all_kept(arguments),
        "attributes": _all_kept(attributes),
        "steady": steady,
    }


def unlike(there: Any, here: Mapping[str, Any] | None) -> tuple[str, str]:
    """Return in what two environments differ, in words: for certain, and perhaps; nothing where they do not.

    Attributes that only one of them has are no difference: another version of a package may have added them.

    Args:
        there: what a record says of one.
        here: what `likeness` returned of the other.

    Raises:
        ValueError: the record is impossible.
    """
    if there is None or here is None:
        return "", ""
    there = fields(there, "the likeness of the environment")
    if there.get("layers") != here["layers"]:
        return f"it was {_chain(there.get('layers'))}, and is {_chain(here['layers'])}", ""
    own = {name: there.get(name) for name in ("id", "max_episode_steps")}
    certain = _differing(own, here) + _differing(
        fields(there.get("arguments"), "the arguments in it"), here["arguments"], both=False
    )
    attributes = _differing(fields(there.get("attributes"), "the attributes in it"), here["attributes"])
    if there.get("steady") is True and here["steady"]:
        certain += attributes
        attributes = []
    return "; ".join(certain[:8]), "; ".join(attributes[:8])


def _differing(there: Mapping[str, Any], here: Mapping[str, Any], both: bool = True) -> list[str]:
    names = [name for name in there if name in here] if both else sorted({*there, *here})
    return [
        f"{name.partition(' ')[2] or name} was {_word(there.get(name))}, and is {_word(here.get(name))}"
        for name in names
        if there.get(name) != here.get(name)
    ]


def _all_kept(values: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: _kept(value) for name, value in values.items() if value is not None}
    return dict(list(kept.items())[:_MOST])


def _kept(value: Any) -> Any:
    """Return a frozen value as a record has it: a number, nothing, or a sum."""
    if value is None or value[0] == "NoneType":
        return None
    if value[0] == "float" and "n" not in value[1]:  # neither inf nor nan
        return float.fromhex(value[1])
    if value[0] == "bool" or (value[0] == "int" and abs(value[1]) < LIMIT):
        return value[1]
    return f"sha256:{hashlib.sha256(repr(value).encode()).hexdigest()[:16]}"


def _word(value: Any) -> str:
    return "something else" if isinstance(value, str) and value.startswith("sha256:") else shown(value)


def _chain(names: Any) -> str:
    return " in ".join(map(str, names))[:200] if isinstance(names, list) else shown(names)
