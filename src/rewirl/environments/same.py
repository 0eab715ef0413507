"""Whether an environment that is handed over is the one that a run or a policy learnt in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rewirl.environments.identity import said_in, same_identity
from rewirl.environments.likeness import unlike
from rewirl.environments.recipe import Recipe
from rewirl.environments.source import UNCHECKED, EnvironmentSource

_HANDED_OVER = re.compile(r" \((function|object)\)$")


class Difference(NamedTuple):
    """In what an environment differs from the one of a record, in words; empty where it does not."""

    certain: str
    """What makes it another one."""
    perhaps: str
    """What may be another one's, or may have changed as it was played."""


def difference(
    name: str,
    kwargs: Mapping[str, Any],
    wrapper: Sequence[str],
    recorded: Any,
    given: EnvironmentSource,
    module: str | None = None,
) -> Difference:
    """Return in what an environment differs from that of a record.

    Args:
        name: what the record calls its environment.
        kwargs: arguments of an id.
        wrapper: wrappers around an id.
        recorded: what `EnvironmentSource.values` returned; None or empty where the id says everything.
        given: the environment handed over, examined.
        module: which the record names beside it, if any; two modules may have an id each of one name.

    Raises:
        ValueError: the record is impossible.
    """
    there, here = (_HANDED_OVER.sub("", each) for each in (name, given.name))
    certain, perhaps = _made_otherwise(name, kwargs, wrapper, recorded, given)
    if same_identity(said_in(module, there), said_in(given.module, here)) and not certain:
        return Difference("", f"{there}, and of the environment given {perhaps}" if perhaps else "")
    there, here = (f"{name}{_arguments(each)}" for name, each in ((there, kwargs), (here, given.kwargs)))
    return Difference(f"{there}, and the environment given is {here}{certain}", "")


def _made_otherwise(
    name: str, kwargs: Mapping[str, Any], wrapper: Sequence[str], recorded: Any, given: EnvironmentSource
) -> tuple[str, str]:
    """Tell in what an environment differs, as far as can be told of one of the same name."""
    own = None if recorded else Recipe(name, kwargs, named=tuple(wrapper)).values()
    unchecked = False
    like = None
    if isinstance(recorded, Mapping):
        own, like = recorded.get("recipe"), recorded.get("likeness")
        unchecked = recorded.get("why") == UNCHECKED
    if unchecked or (own is None and given.recipe is None):
        certain, perhaps = unlike(like, given.likeness)
        return (f", of which {certain}" if certain else ""), perhaps
    if given.recipe is None:
        return f", which is another one ({given.why})", ""
    if own is None:
        return ", which lacks what only the program that made the other one gave it", ""
    same = _same_recipe(own, given.recipe.values()) and tuple(wrapper) == given.recipe.named
    return ("" if same else ", whose arguments or wrappers are others"), ""


def _same_recipe(recorded: Any, given: Mapping[str, Any]) -> bool:
    """Tell whether a record has the values of a recipe; it may have anything."""
    if not isinstance(recorded, Mapping) or {**recorded, "id": None} != {**given, "id": None}:
        return False
    return same_identity(str(recorded.get("id")), given["id"])


def _arguments(kwargs: Mapping[str, Any]) -> str:
    return f" with {dict(kwargs)}" if kwargs else ""
