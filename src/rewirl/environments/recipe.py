"""How Gymnasium makes an environment that a program handed over, where it can tell; as values that a file keeps."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rewirl.environments.portrait import layers
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.plugins import RAISED, class_and_settings, import_module, instead_of_own, with_remedy
from rewirl.printing import say
from rewirl.saved import fields, listed, shown

if TYPE_CHECKING:
    import gymnasium

_GYMNASIUM = "gymnasium.wrappers"
_DEEPEST = 32
_EXTRAS = {"box2d": "box2d", "video": "pygame"}
"""What `pip install 'rewirl[...]'` takes, and the package that it brings."""


@dataclass(frozen=True)
class Wrapper:
    """A wrapper around an environment."""

    name: str
    entry_point: str
    """module:class."""
    kwargs: Mapping[str, Any]
    """JSON values."""


@dataclass(frozen=True)
class Recipe:
    """A registered id, its arguments, and the wrappers around it, from the inside."""

    id: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """JSON values, as far as they differ from the registered ones."""
    wrappers: tuple[Wrapper, ...] = ()
    named: tuple[str, ...] = ()
    """Wrappers that an option names as module:Class, around those; settings may follow as in Python."""

    @property
    def name(self) -> str:
        """What runs in it are said to be in: the id, and the wrappers."""
        named = (wrapper[wrapper.partition("(")[0].rfind(":") + 1 :] for wrapper in self.named)  # without its module
        return " in ".join([self.id, *(wrapper.name for wrapper in self.wrappers), *named])

    def values(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "id": self.id,
            "kwargs": dict(self.kwargs),
            "wrappers": [
                {"name": each.name, "entry_point": each.entry_point, "kwargs": dict(each.kwargs)}
                for each in self.wrappers
            ],
        }

    @classmethod
    def from_values(cls, saved: Mapping[str, Any]) -> Recipe:
        """Return the recipe that `values` described.

        Raises:
            KeyError: a value is missing.
            ValueError: a value is impossible; names it.
        """
        wrappers = listed(saved["wrappers"], "the list of wrappers of the environment")
        each = [fields(wrapper, "a wrapper of the environment") for wrapper in wrappers]
        for word in (saved["id"], *(wrapper[name] for wrapper in each for name in ("name", "entry_point"))):
            if not isinstance(word, str) or not word:
                raise ValueError(f"the environment is made from {shown(word)}, which is not a name")
        return cls(
            saved["id"],
            fields(saved["kwargs"], "the arguments of the environment"),
            tuple(
                Wrapper(
                    wrapper["name"], wrapper["entry_point"], fields(wrapper["kwargs"], "the arguments of a wrapper")
                )
                for wrapper in each
            ),
        )

    def make(self, module: str | None, **more: Any) -> gymnasium.Env[Any, Any]:
        """Make an environment.

        Args:
            module: the user's own, where wrappers may be besides Gymnasium's.
            **more: arguments for it besides its own.

        Raises:
            UnsuitableEnvironmentError: it could not be made; the message holds the reason.
        """
        return self._wrap(_make_gymnasium(self.id, {**self.kwargs, **more}), module)

    def _wrap(self, env: gymnasium.Env[Any, Any], module: str | None) -> gymnasium.Env[Any, Any]:
        for wrapper in self.wrappers:
            try:
                env = _wrapper_class(wrapper.entry_point, module)(env=env, **wrapper.kwargs)
            except RAISED as error:
                raise UnsuitableEnvironmentError(
                    f"{self.id} cannot be put into the wrapper {wrapper.name} ({wrapper.entry_point}) again: {error}"
                ) from error
        for name in self.named:
            kind, settings = named_wrapper(name)
            try:
                env = kind(env, **settings)
            except RAISED as error:
                hint = f". Its arguments follow its name: {name.partition('(')[0]}(name=value)"
                raise UnsuitableEnvironmentError(
                    f"{self.id} cannot be put into the wrapper {name}: {type(error).__name__}: {error}"
                    f"{hint if isinstance(error, TypeError) else ''}"
                ) from error
        return env


def recipe_of(env: gymnasium.Env[Any, Any]) -> Recipe | str:
    """Return how Gymnasium would make an environment again, or why it cannot tell, in words.

    How it is drawn is left out: that changes nothing of what is learnt.
    """
    import gymnasium

    try:
        spec = env.spec
    except RAISED as error:  # a wrapper's own property may fail
        return f"its spec cannot be read ({type(error).__name__}: {error})"
    if spec is None:
        return "it was not made by gymnasium.make"
    registered = gymnasium.registry.get(spec.id)
    if registered is None or registered.entry_point != spec.entry_point:
        return f"{spec.id} is not registered with Gymnasium" + ("" if registered is None else " as it was made")
    try:
        kwargs = {
            name: _plain(value, f"its argument {name}")
            for name, value in spec.kwargs.items()
            if name != "render_mode" and not _same(value, registered.kwargs.get(name, spec))
        }
        if spec.max_episode_steps != registered.max_episode_steps:
            limit = spec.max_episode_steps
            kwargs["max_episode_steps"] = -1 if limit is None else _plain(limit, "max_episode_steps")
        wrappers = []
        for wrapper in spec.additional_wrappers[_own_wrappers(env) + len(registered.additional_wrappers) :]:
            if wrapper.kwargs is None:
                return (
                    f"its wrapper {wrapper.name} does not say what it was made with: let it inherit from "
                    "gymnasium.utils.RecordConstructorArgs too"
                )
            arguments = _plain(wrapper.kwargs, f"the argument of its wrapper {wrapper.name}")
            wrappers.append(Wrapper(wrapper.name, wrapper.entry_point, arguments))
    except ValueError as error:
        return str(error)
    return Recipe(spec.id, kwargs, tuple(wrappers))


def _own_wrappers(env: gymnasium.Env[Any, Any]) -> int:
    """Return how many wrappers the entry point puts around its environment: those inside of Gymnasium's own."""
    from gymnasium.wrappers import OrderEnforcing, TimeLimit

    inside = layers(env)[1:]
    first = next((number for number, each in enumerate(inside) if isinstance(each, (OrderEnforcing, TimeLimit))), 0)
    return first


def _plain(value: Any, where: str, depth: int = 0) -> Any:
    """Return a value as JSON has it.

    Raises:
        ValueError: JSON cannot hold it; says where.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if depth < _DEEPEST and isinstance(value, list | tuple):
        return [_plain(item, where, depth + 1) for item in value]
    if depth < _DEEPEST and isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(item, where, depth + 1) for key, item in value.items()}
    raise ValueError(f"{where} is of {type(value).__name__} ({shown(value)}), which no record can hold")


def _same(one: Any, other: Any) -> bool:
    """Tell whether two arguments are the same, where their == says so plainly."""
    try:
        return type(one) is type(other) and bool(one == other)
    except RAISED:
        return False


def _wrapper_class(entry_point: str, module: str | None) -> Any:
    """Return the class of a wrapper; only Gymnasium's and those of the user's own module are looked for."""
    import gymnasium

    place, _, name = entry_point.partition(":")
    gymnasiums = f"{place}.".startswith(f"{_GYMNASIUM}.")
    if not gymnasiums and place != module:
        raise ValueError(f"{place} is not the env_module of the run")
    found = getattr(importlib.import_module(place) if gymnasiums else import_module(place), name, None)
    if not isinstance(found, type) or not issubclass(found, gymnasium.Wrapper):
        raise ValueError(f"{place} has no wrapper {name}{instead_of_own(place)}")
    return found


def named_wrapper(name: str) -> tuple[Any, dict[str, Any]]:
    """Return the class of a wrapper by module:Class, and the settings that follow it.

    Raises:
        UnsuitableEnvironmentError: there is none; says what is missing.
    """
    import gymnasium

    try:
        said, settings = class_and_settings(f"the wrapper {name}", name)
    except ValueError as error:
        raise UnsuitableEnvironmentError(str(error)) from error
    place, _, kind = said.partition(":")
    if not place or not kind:
        raise UnsuitableEnvironmentError(
            f"a wrapper is named as module:Class, such as gymnasium.wrappers:ClipReward, got {name!r}"
        )
    try:
        found = getattr(import_module(place), kind, None)
    except ModuleNotFoundError as error:
        raise UnsuitableEnvironmentError(
            f"cannot import the module of the wrapper {name}: {with_remedy(place, error)}"
        ) from error
    except RAISED as error:
        raise UnsuitableEnvironmentError(
            f"importing the module of the wrapper {name} raised {type(error).__name__}: {error}{instead_of_own(place)}"
        ) from error
    if not isinstance(found, type) or not issubclass(found, gymnasium.Wrapper):
        raise UnsuitableEnvironmentError(
            f"{place} has no wrapper {kind!r}, a class that inherits from gymnasium.Wrapper{instead_of_own(place)}"
        )
    return found, settings


def _make_gymnasium(identity: str, kwargs: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
    """Make a registered environment.

    Args:
        identity: a registered Gymnasium id.
        kwargs: arguments for it.

    Returns:
        The environment, with Gymnasium's own checker left out: this door checks every step.

    Raises:
        UnsuitableEnvironmentError: the environment could not be made; the message holds the reason.
    """
    import gymnasium

    _quieten_mujoco(identity)
    try:
        return gymnasium.make(identity, disable_env_checker=True, **kwargs)
    except RAISED as error:
        arguments = f" with env_kwargs {dict(kwargs)}" if kwargs else ""
        drawn = os.environ.get("MUJOCO_GL") if _of_mujoco(identity) else None
        library = f". MUJOCO_GL is {drawn!r}, a library that may be missing here; unset MUJOCO_GL" if drawn else ""
        raise UnsuitableEnvironmentError(
            f"{identity} could not be made{arguments}: {type(error).__name__}: {error}{library}{package_advice(error)}"
        ) from error


def package_advice(error: BaseException) -> str:
    """Return what installs an environment's package, where it is an extra of Rewirl's; "" otherwise."""
    extra = next((extra for extra, word in _EXTRAS.items() if word in str(error).lower()), None)
    missing = isinstance(error, ImportError) or type(error).__name__ == "DependencyNotInstalled"
    return "" if extra is None or not missing else f". Here: pip install 'rewirl[{extra}]'"


def _quieten_mujoco(identity: str) -> None:
    """Keep MuJoCo from writing MUJOCO_LOG.TXT into the working directory, which it does with every warning."""
    if not _of_mujoco(identity):
        return
    try:
        mujoco: Any = importlib.import_module("mujoco")
    except RAISED:  # not installed, or a library that draws is missing; `make` meets it too, where it is said
        return
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(_mujoco_warning)


def _of_mujoco(identity: str) -> bool:
    import gymnasium

    spec = gymnasium.registry.get(identity.rpartition(":")[2])
    return spec is not None and str(spec.entry_point).startswith("gymnasium.envs.mujoco")


def _mujoco_warning(text: str) -> None:
    # Gymnasium's own model files use an attribute that MuJoCo is giving up; nobody who trains on them can help it.
    if "deprecated" not in text:
        say(f"MuJoCo: {text}")
