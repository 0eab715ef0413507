"""Ids of environments: looked up among those that Gymnasium knows, and explained where one is unknown."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.hints import closest
from rewirl.plugins import RAISED, import_module, instead_of_own, with_remedy

OF_REWIRL = {"dm_control": "rewirl.dm_control", "MinAtar": "rewirl.minatar"}
"""By namespace the module of Rewirl that registers what is in it, unless the user names one."""


def registered(identity: str, named: str | None = None) -> str:
    """Return an id, once what registers it is imported.

    Args:
        identity: of the environment, with or without its module.
        named: the module that the user has named, which is imported already; namespaces of Rewirl's own count without.

    Raises:
        UnsuitableEnvironmentError: the id is unknown (the nearest one is named), or a module cannot be imported.
    """
    import gymnasium

    prefix, colon, name = identity.rpartition(":")
    if colon:  # Gymnasium's own way to say "import this module first"
        import_named(prefix)
    elif not named and (module := OF_REWIRL.get(name.partition("/")[0])):
        try:
            import_module(module)
        except RAISED as error:  # it says which package is missing
            raise UnsuitableEnvironmentError(f"{name}: {error}") from error
    if name in gymnasium.registry:
        return identity
    hint = nearest_environment(name, gymnasium.registry)
    advice = f"did you mean {hint}? " if hint else ""
    instead = instead_of_own(prefix or named or "")
    raise UnsuitableEnvironmentError(
        f"unknown environment {name!r}: {advice or _gymnasiums_advice(name)}Environments of another package need the "
        f"module that registers them, as --env-module (env_module in Python) or before the id, as module:Id{instead}"
    )


def same_identity(one: str, other: str) -> bool:
    """Tell whether two ids, or names that begin with ids, mean one environment, as far as they say.

    Gymnasium itself calls module:Id by the id alone once it is made.
    """
    (module, _, name), (other_module, _, other_name) = (each.rpartition(":") for each in (one, other))
    return name == other_name and (not module or not other_module or module == other_module)


def said_in(module: str | None, identity: str) -> str:
    """Return an id with the module that was named beside it, as module:Id; one that names its own stays."""
    return f"{module}:{identity}" if module and ":" not in identity else identity


MODULE_HELP = "Module imported first, so that it can register the environment; of runs that do not name one."


def import_named(module: str | None) -> None:
    """Import a module that the user has named, if it is one.

    Raises:
        UnsuitableEnvironmentError: it cannot be imported; says why.
    """
    if not module:
        return
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        raise UnsuitableEnvironmentError(
            f"cannot import env_module {module!r}: {with_remedy(module, error)}"
        ) from error
    except RAISED as error:
        raise UnsuitableEnvironmentError(
            f"importing env_module {module!r} raised {type(error).__name__}: {error}{instead_of_own(module)}"
        ) from error


def _gymnasiums_advice(name: str) -> str:
    """Return what Gymnasium says of an id that it does not know, as a sentence; it names packages to install."""
    import gymnasium

    try:
        gymnasium.spec(name)
    except gymnasium.error.Error as error:
        return f"Gymnasium says: {str(error).rstrip('.?')}. "
    return ""


def nearest_environment(name: str, registered: Mapping[str, Any]) -> str | None:
    """Return the newest version of the registered id whose name is closest to a misspelt one, or None."""

    def stem(identity: str) -> str:
        return identity.rpartition("-v")[0] if "-v" in identity else identity

    stems = {stem(identity).lower(): stem(identity) for identity in registered}
    close = closest(stem(name).lower(), stems)
    if close is None:
        return None

    def version(identity: str) -> int:
        number = identity.rpartition("-v")[2]
        return int(number) if number.isdigit() else -1

    return max((identity for identity in registered if stem(identity) == stems[close]), key=version)


def registration(identity: str) -> str:
    """Return how an id is registered in this process; two processes that say the same make the same environment.

    Args:
        identity: a registered Gymnasium id, with or without its module.
    """
    import gymnasium

    spec = gymnasium.registry[identity.rpartition(":")[2]]
    entry = spec.entry_point
    named = f"{entry.__module__}:{getattr(entry, '__qualname__', repr(entry))}" if callable(entry) else entry
    return repr(dataclasses.replace(spec, entry_point=named))
