"""Environments at the door: found by name, checked once at the start, and watched at every step.

Past this door observations are finite float32 vectors of one size, rewards finite floats, and nothing the environment
may write to again.
"""

from __future__ import annotations

import dataclasses
import decimal
import difflib
import importlib
import math
import numbers
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rewirl.environments.action_bounds import ActionBounds
from rewirl.plugins import RAISED, import_module

if TYPE_CHECKING:
    import gymnasium

STEPS = "rewirl_steps"
"""An environment with this attribute, or with a wrapper that has it, has it set to the steps of the run so far before
every reset, in training and in evaluation: what it is like in an episode may depend on that, and resuming is exact."""

_LARGEST = float(np.finfo(np.float32).max)
_NUMBERS = "fiub"
"""Kinds of NumPy's types that observations may have."""


class FaultyEnvironmentError(RuntimeError):
    """An environment raised an exception, or returned what no agent can learn from."""


class UnsuitableEnvironmentError(ValueError):
    """An environment that cannot be found, or whose spaces Rewirl's agents cannot work with."""


class Step(NamedTuple):
    """What one step of an environment returned, checked."""

    observation: NDArray[np.float32]
    reward: float
    terminated: bool
    truncated: bool


class Environment:
    """One environment behind the door. Matrices and other shapes of observations and actions are flattened, row by row.

    Args:
        env: the Gymnasium environment.
        name: what messages call it.
        owned: whether `close` closes it.

    Raises:
        UnsuitableEnvironmentError: the spaces are not Boxes of numbers with bounded actions; the message names the
            wrapper that helps.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], name: str, owned: bool = True) -> None:
        """See the class."""
        self.env = env
        self.name = name
        self.observation_size = _observation_size(env, name)
        self.bounds = _action_bounds(env, name)
        self._shapes = env.observation_space.shape, env.action_space.shape
        self._all_finite = b"\1" * self.observation_size
        self.changes = env.has_wrapper_attr(STEPS)
        """Whether the environment changes in the course of a run: it is told how far the run is before every reset."""
        self.where: Callable[[], str] = lambda: "the first reset"
        """Says in which step of what the environment is; whoever steps it puts its own in place."""
        self._owned = owned

    @property
    def action_size(self) -> int:
        """Number of action dimensions."""
        return self.bounds.size

    def reset(self, seed: int, step: int = 0) -> NDArray[np.float32]:
        """Begin an episode.

        Args:
            seed: seed of the episode.
            step: steps of the run so far, for an environment that changes with them.

        Returns:
            The first observation, float32 [observation_size].

        Raises:
            FaultyEnvironmentError: the environment raised an exception, or the observation is not a finite vector.
        """
        try:
            if self.changes:
                self.env.set_wrapper_attr(STEPS, step)
            returned = self.env.reset(seed=seed)
        except RAISED as error:
            raise self._raised("reset", error) from error
        if not isinstance(returned, tuple | list) or len(returned) != 2:
            raise self.fault(f"reset() must return an observation and a dict, it returned {_what(returned)}")
        self._refuse_other_bounds()
        return self._observation(returned[0])

    def step(self, action: NDArray[Any]) -> Step:
        """Take one step.

        Args:
            action: [action_size], within the environment's own bounds.

        Returns:
            The checked step; its observation is a copy.

        Raises:
            FaultyEnvironmentError: the environment raised an exception, or returned something that is not finite or has
                another shape than its space.
        """
        try:
            # A copy: some environments clip the action in place, and the caller keeps it.
            returned = self.env.step(action.reshape(self._shapes[1]).copy())
        except RAISED as error:
            raise self._raised("step", error) from error
        if not isinstance(returned, tuple | list) or len(returned) != 5:
            raise self.fault(
                "step() must return observation, reward, terminated, truncated and a dict, it returned "
                f"{_what(returned)}; an environment of the old Gym needs an adapter"
            )
        observation, reward, terminated, truncated, _ = returned
        return Step(
            self._observation(observation),
            self._reward(reward),
            terminated if type(terminated) is bool else self._truth("terminated", terminated),
            truncated if type(truncated) is bool else self._truth("truncated", truncated),
        )

    def close(self) -> None:
        """Close the environment, unless it belongs to the caller; if it cannot be closed, that is a warning."""
        if not self._owned:
            return
        try:
            self.env.close()
        except RAISED as error:  # everything has been learnt and saved by then
            warnings.warn(f"{self.name}: close() raised {type(error).__name__}: {error}", RuntimeWarning, stacklevel=2)

    def fault(self, problem: str) -> FaultyEnvironmentError:
        """Return the error that says what is wrong with which environment at which step."""
        return FaultyEnvironmentError(f"{self.name}: {problem}, at {self.where()}")

    def _observation(self, raw: Any) -> NDArray[np.float32]:
        try:
            given = np.asarray(raw)
            if given.dtype.kind not in _NUMBERS:
                raise TypeError(f"of {given.dtype}")
            if isinstance(raw, np.ma.MaskedArray) and np.ma.is_masked(raw):
                raise TypeError("some of it is masked")
            with np.errstate(over="ignore"):
                observation = np.array(given, dtype=np.float32)
        except RAISED as error:  # what has an __array__ of its own may raise anything
            raise self.fault(f"the observation is not an array of numbers ({type(raw).__name__}: {error})") from error
        if observation.shape != self._shapes[0]:
            raise self.fault(
                f"the observation has shape {observation.shape} but the observation space says {self._shapes[0]}"
            )
        # The bytes of a bool array, because .all() takes three times as long on so few numbers.
        if np.isfinite(observation).tobytes() != self._all_finite:
            place = np.argwhere(~np.isfinite(observation))[0].tolist()
            value = given[tuple(place)]
            raise self.fault(
                f"observation[{', '.join(map(str, place))}] is {value}, which is not a finite float32 number"
            )
        return observation if observation.ndim == 1 else observation.reshape(-1)

    def _reward(self, raw: Any) -> float:
        if isinstance(raw, float):  # np.float64 is one
            reward = float(raw)
        else:
            try:
                values = np.asarray(raw)
                if values.dtype.kind not in _NUMBERS and not isinstance(raw, numbers.Number | decimal.Decimal):
                    raise TypeError(f"of {values.dtype}")
                if np.iscomplexobj(values) or np.ma.is_masked(raw):
                    raise TypeError("complex or masked")
                values = values.astype(np.float64)
            except RAISED as error:  # what has an __array__ or __float__ of its own may raise anything
                raise self.fault(f"the reward is not a number ({type(raw).__name__})") from error
            if values.size != 1:
                raise self.fault(f"the reward must be one number, got an array of shape {values.shape}")
            reward = float(values.item())
        if not -_LARGEST <= reward <= _LARGEST:  # nor is NaN
            raise self.fault(f"the reward is {reward}, which is not a finite float32 number")
        return reward

    def _truth(self, field: str, raw: Any) -> bool:
        """Return whether an episode is over, if it was said plainly: None, a word or an array may mean anything."""
        if isinstance(raw, (bool, int, np.bool_, np.integer, np.ndarray)):
            values = np.asarray(raw)
            if values.size == 1 and values.dtype.kind in "biu" and values.item() in (0, 1):
                return bool(values.item())
        raise self.fault(f"{field} must be true or false, it is {_what(raw)}")

    def _refuse_other_bounds(self) -> None:
        """Refuse an environment whose actions are not any more what the agent was made for."""
        space: Any = self.env.action_space
        same = getattr(space, "shape", None) == self._shapes[1] and (
            np.array_equal(space.low.reshape(-1), self.bounds.low)
            and np.array_equal(space.high.reshape(-1), self.bounds.high)
        )
        if not same:
            raise self.fault(
                f"the action space has become {space} after the agent was made for actions of shape {self._shapes[1]} "
                f"in [{self.bounds.low.tolist()}, {self.bounds.high.tolist()}]; keep it, and let the environment say "
                "what differs from one episode to the next in its observations"
            )

    def _raised(self, method: str, error: BaseException) -> FaultyEnvironmentError:
        frames = traceback.extract_tb(error.__traceback__)
        place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
        return self.fault(f"{method}() raised {type(error).__name__}: {error}{place}")


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


def _what(value: Any) -> str:
    """Return what a value is in a few words."""
    if isinstance(value, tuple):
        return f"{len(value)} values"
    return f"{str(value)[:60]!r} ({type(value).__name__})"


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
        print(f"MuJoCo: {text}", file=sys.stderr)


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
    close = difflib.get_close_matches(stem(name).lower(), stems, n=1)
    if not close:
        return None

    def version(identity: str) -> int:
        number = identity.rpartition("-v")[2]
        return int(number) if number.isdigit() else -1

    return max((identity for identity in registered if stem(identity) == stems[close[0]]), key=version)


def _observation_size(env: gymnasium.Env[Any, Any], name: str) -> int:
    from gymnasium import spaces

    space = env.observation_space
    if isinstance(space, spaces.Box):
        if len(space.shape) == 3 or (len(space.shape) > 1 and space.dtype == np.uint8):
            raise UnsuitableEnvironmentError(
                f"{name} observes images of shape {space.shape}; Rewirl's networks take vectors, so reduce the "
                "image to a feature vector in an ObservationWrapper of your own"
            )
        if math.prod(space.shape) == 0:
            raise UnsuitableEnvironmentError(f"{name} has an empty observation space, {space}")
        return math.prod(space.shape)
    raise UnsuitableEnvironmentError(
        f"{name} has the observation space {space}; Rewirl needs a Box. Wrap it: "
        "gymnasium.wrappers.FlattenObservation(env)"
    )


def _action_bounds(env: gymnasium.Env[Any, Any], name: str) -> ActionBounds:
    from gymnasium import spaces

    space = env.action_space
    if not isinstance(space, spaces.Box):
        raise UnsuitableEnvironmentError(
            f"{name} has the action space {space}; Rewirl's agents act with real numbers, so it must be a Box with "
            "bounds"
        )
    if math.prod(space.shape) == 0:
        raise UnsuitableEnvironmentError(f"{name} has an empty action space, {space}")
    if not np.issubdtype(space.dtype, np.floating):
        raise UnsuitableEnvironmentError(
            f"{name} takes integer actions ({space}); Rewirl's agents act with real numbers"
        )
    bounded = np.isfinite(space.low) & np.isfinite(space.high)
    if not bounded.all():
        index = int(np.flatnonzero(~bounded)[0])
        raise UnsuitableEnvironmentError(
            f"{name} has unbounded actions: dimension {index} is in [{space.low.flat[index]}, "
            f"{space.high.flat[index]}]. "
            "State bounds with gymnasium.wrappers.TransformAction(env, lambda action: action, Box(low, high)), and "
            "leave out ClipAction, which hides them"
        )
    return ActionBounds(space.low.reshape(-1), space.high.reshape(-1), space.dtype)
