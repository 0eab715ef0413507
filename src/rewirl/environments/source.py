"""Where environments come from: found by name, made, and made again."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rewirl.environments.environment import Environment
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.hints import closest
from rewirl.plugins import RAISED, import_module
from rewirl.printing import say

if TYPE_CHECKING:
    import gymnasium


@dataclass(frozen=True)
class EnvironmentSource:
    """Where environments come from: a registered id, a factory of the user's, or one environment of the user's.

    `id`, `kwargs` and `module` are what a policy file stores, so that the environment can be made again; `id` is None
    where only the user's own program can make it.
    """

    name: str
    make_training: Callable[[], Environment]
    make_another: Callable[[], Environment] | None
    """Makes further environments, for evaluation; None if the one environment of the user's cannot be made again."""
    id: str | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    module: str | None = None


def environment_source(
    env: str | gymnasium.Env[Any, Any] | Callable[[], gymnasium.Env[Any, Any]],
    kwargs: Mapping[str, Any] | None = None,
    module: str | None = None,
) -> EnvironmentSource:
    """Find out how to make an environment.

    Args:
        env: a Gymnasium id, an environment, or a function without arguments that returns a new one.
        kwargs: arguments for an environment given by its id.
        module: Python module imported first, which registers environments of the user's own.

    Returns:
        The source; nothing is made yet.

    Raises:
        UnsuitableEnvironmentError: the id is unknown (the nearest one is named), the module cannot be imported, or
            `env` is none of the three.
    """
    import gymnasium

    settings = dict(kwargs or {})
    if module:
        _import_module(module)
    if isinstance(env, str):
        identity = _registered(env)

        def make(**more: Any) -> Environment:
            return Environment(make_gymnasium(identity, {**settings, **more}), identity)

        return EnvironmentSource(identity, make, make, identity, settings, module)
    if settings:
        raise UnsuitableEnvironmentError("env_kwargs only go with an environment given by its id")
    if isinstance(env, gymnasium.vector.VectorEnv):
        raise UnsuitableEnvironmentError(
            f"{env} is a vector of environments; give one environment, its id, or a function that makes one"
        )
    if isinstance(env, gymnasium.Env):
        return _from_instance(env, module)
    if callable(env):
        return _from_factory(env, module)
    raise UnsuitableEnvironmentError(
        f"an environment is given by its id, as a gymnasium.Env or as a function that makes one; got {env!r}"
    )


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


def make_gymnasium(identity: str, kwargs: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
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
        raise UnsuitableEnvironmentError(
            f"{identity} could not be made{arguments}: {type(error).__name__}: {error}"
        ) from error


def _quieten_mujoco(identity: str) -> None:
    """Keep MuJoCo from writing MUJOCO_LOG.TXT into the working directory, which it does with every warning."""
    import gymnasium

    spec = gymnasium.registry.get(identity.rpartition(":")[2])
    if spec is None or not str(spec.entry_point).startswith("gymnasium.envs.mujoco"):
        return
    try:
        mujoco: Any = importlib.import_module("mujoco")
    except ImportError:
        return  # Gymnasium's own message, from make, names what to install
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(_mujoco_warning)


def _mujoco_warning(text: str) -> None:
    # Gymnasium's own model files use an attribute that MuJoCo is giving up; nobody who trains on them can help it.
    if "deprecated" not in text:
        say(f"MuJoCo: {text}")


def _from_instance(env: gymnasium.Env[Any, Any], module: str | None) -> EnvironmentSource:
    import gymnasium

    spec = env.spec
    name = spec.id if spec is not None else type(env.unwrapped).__name__

    def make_another() -> Environment:
        assert spec is not None
        return Environment(gymnasium.make(spec, disable_env_checker=True), name)

    return EnvironmentSource(
        name,
        lambda: Environment(env, name, owned=False),
        None if spec is None else make_another,
        module=module,
    )


def _from_factory(factory: Callable[[], Any], module: str | None) -> EnvironmentSource:
    import gymnasium

    name = getattr(factory, "__name__", type(factory).__name__)

    def make() -> Environment:
        env = factory()
        if not isinstance(env, gymnasium.Env):
            raise UnsuitableEnvironmentError(f"{name}() must return a gymnasium.Env, it returned {env!r}")
        return Environment(env, env.spec.id if env.spec is not None else name)

    return EnvironmentSource(name, make, make, module=module)


def _import_module(module: str) -> None:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        raise UnsuitableEnvironmentError(
            f"cannot import env_module {module!r}: {error}. Install it, or run where {module.split('.')[0]}.py is"
        ) from error
    except RAISED as error:
        raise UnsuitableEnvironmentError(
            f"importing env_module {module!r} raised {type(error).__name__}: {error}"
        ) from error


def _registered(identity: str) -> str:
    import gymnasium

    prefix, colon, name = identity.rpartition(":")
    if colon:  # Gymnasium's own way to say "import this module first"
        _import_module(prefix)
    if name in gymnasium.registry:
        return identity
    hint = nearest_environment(name, gymnasium.registry)
    advice = f"did you mean {hint}? " if hint else ""
    raise UnsuitableEnvironmentError(
        f"unknown environment {name!r}: {advice}Environments of your own need --env-module (env_module in Python), "
        "the module that registers them"
    )


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
