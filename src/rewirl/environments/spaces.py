"""The spaces of an environment: what of them an agent and a policy file know, and what helps where they do not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from rewirl.environments import observations
from rewirl.environments.action_bounds import ActionBounds
from rewirl.environments.actions import Actions, DiscreteActions
from rewirl.environments.observations import BoxShape, DictShape, Observations, TupleShape
from rewirl.printing import typed
from rewirl.saved import count, fields

if TYPE_CHECKING:
    import gymnasium


class UnsuitableEnvironmentError(ValueError):
    """An environment that cannot be found, or whose spaces Rewirl's agents cannot work with."""


@dataclass(frozen=True)
class Spaces:
    """Observations and actions of an environment, which need it no more."""

    observations: Observations
    actions: Actions

    @property
    def observation_size(self) -> int:
        """Features of an observation, as networks and the replay memory have it."""
        return self.observations.size

    @property
    def action_size(self) -> int:
        """Features of an action, as networks and the replay memory have it."""
        return self.actions.size

    @property
    def flat(self) -> bool:
        """Whether observations and actions are vectors of real numbers."""
        return _flat(self.observations) and isinstance(self.actions, ActionBounds) and len(self.actions.shape) == 1

    def predict(
        self, act: Callable[[NDArray[np.float32]], NDArray[Any]], observation: Any, allow_nonfinite: bool = False
    ) -> NDArray[Any]:
        """Let a policy act on one observation, or on a batch of them.

        Args:
            act: the actions, [batch, ...] as agents choose them, for observations float32 [batch, observation_size].
            observation: as the environment has it; in a batch every array has one more dimension, the first.
            allow_nonfinite: return NaN for an observation that is not finite, rather than refuse it.

        Returns:
            The action as the environment takes it, or [batch, *its shape]: float32 for a Box, integers for Discrete.

        Raises:
            ValueError: the observation has another structure or shape, or a number that is not finite; there is no NaN
                among the actions to allow it with; or the policy computes no choice, as its outputs are NaN.
        """
        if allow_nonfinite and self.actions.kind != "Box":
            raise ValueError(f"allow_nonfinite returns NaN, which is none of {self.actions}")
        vectors, batched = observations.flatten(self.observations, observation)
        if not allow_nonfinite:
            observations.refuse_nonfinite(self.observations, vectors, batched)
        if not len(vectors):
            empty = np.zeros((0, *self.actions.recorded_shape), np.float32 if self.actions.kind == "Box" else np.int64)
            return self.actions.to_user(empty)
        chosen = act(vectors)
        if self.actions.kind != "Box" and not self.actions.valid(chosen):  # of a Box it is NaN
            raise ValueError(
                f"the policy computes actions that are not {self.actions.expected}: numbers of the observation, or of "
                "its network, are too large for float32"
            )
        actions = self.actions.to_user(chosen)
        if allow_nonfinite:
            actions[~np.isfinite(vectors).all(axis=1)] = np.nan
        return actions if batched else self.actions.shaped(actions[0])

    def differs(self, other: Spaces) -> str:
        """Say in what other spaces of the same sizes differ from these, in words; "" if they serve.

        Vectors serve in place of anything with as many features.
        """
        if self.actions.kind != other.actions.kind:
            return f"a {other.actions.kind} of actions in place of a {self.actions.kind}"
        if not _flat(self.observations) and self.observations != other.observations:
            return f"the observations {other.observations} in place of {self.observations}"
        return ""

    def refuse_others(self, saved: Any, name: str) -> None:
        """Refuse spaces that `values` described, if these do not serve in their place.

        Args:
            saved: as a file has them.
            name: of the environment that has these.

        Raises:
            ValueError: they differ, or are none.
        """
        if difference := Spaces.from_values(fields(saved, "the saved spaces")).differs(self):
            raise ValueError(f"{name} is not the environment of the run: it has {difference}")

    def values(self) -> dict[str, Any]:
        """Return the spaces as JSON values for files.

        `observation_size`; `bounds` of a Box of actions, or `discrete_actions`; and `observation_space`, where
        observations are not vectors.
        """
        actions = "bounds" if isinstance(self.actions, ActionBounds) else "discrete_actions"
        space = {} if _flat(self.observations) else {"observation_space": self.observations.values()}
        return {"observation_size": self.observation_size, **space, actions: self.actions.values()}

    @classmethod
    def from_values(cls, saved: Mapping[str, Any]) -> Spaces:
        """Return the spaces that `values` described; other names are left alone.

        Raises:
            KeyError: a value is missing.
            ValueError: a value is impossible; the message names it.
        """
        actions: Actions
        if "discrete_actions" in saved:
            actions = DiscreteActions.from_values(fields(saved["discrete_actions"], "discrete_actions"))
        else:
            actions = ActionBounds.from_values(fields(saved["bounds"], "bounds"))
        size = count(saved["observation_size"], "observation_size")
        space: Observations = BoxShape((size,))
        if "observation_space" in saved:
            space = observations.from_values(saved["observation_space"])
        if space.size != size:
            raise ValueError(f"observation_size is {size}, but the observation space has {space.size} features")
        return cls(space, actions)

    def __str__(self) -> str:
        """Say what they are, for a message."""
        return f"observations {self.observations} and {self.actions}"


def spaces_of(env: gymnasium.Env[Any, Any], name: str) -> Spaces:
    """Return the spaces of an environment.

    Args:
        env: the environment.
        name: what messages call it.

    Raises:
        UnsuitableEnvironmentError: its observations are not Boxes of numbers, or Dicts and Tuples of such; or its
            actions are neither a Box of bounded real numbers nor Discrete. The message names the wrapper that helps.
    """
    for space in ("observation_space", "action_space"):
        if not hasattr(env, space):
            raise UnsuitableEnvironmentError(f"{name} has no {space}; set it in the environment's constructor")
    return Spaces(_observations(env.observation_space, name, "", 0), _actions(env.action_space, name))


def _flat(space: Observations) -> bool:
    return isinstance(space, BoxShape) and len(space.shape) == 1


def _observations(space: Any, name: str, path: str, depth: int) -> Observations:
    from gymnasium import spaces

    where = f" as observation{path}" if path else ""
    if isinstance(space, spaces.Box):
        if len(space.shape) > 1 and space.dtype == np.uint8:
            remedy = _flatten() if path or typed() else "Say so: gymnasium.wrappers.DtypeObservation(env, np.float32)"
            raise UnsuitableEnvironmentError(
                f"{name} observes images of shape {space.shape}{where}; Rewirl's networks take vectors, so reduce the "
                "image to a feature vector in an ObservationWrapper of your own. Or are they no images? "
                f"{remedy}"
            )
        if prod(space.shape) == 0:
            raise UnsuitableEnvironmentError(f"{name} has an empty observation space, {space}{where}")
        return BoxShape(tuple(map(int, space.shape)))
    if isinstance(space, spaces.Dict | spaces.Tuple):
        if not space.spaces:
            raise UnsuitableEnvironmentError(f"{name} has an empty observation space, {space}{where}")
        if depth == observations.DEEPEST:
            raise UnsuitableEnvironmentError(
                f"{name} has Dicts and Tuples inside each other in its observation space, more than "
                f"{observations.DEEPEST} levels deep. {_flatten()}"
            )
        if isinstance(space, spaces.Tuple):
            parts = enumerate(space.spaces)
            return TupleShape(tuple(_observations(part, name, f"{path}[{i}]", depth + 1) for i, part in parts))
        named: list[tuple[str, Observations]] = []
        for key, part in space.spaces.items():
            if not isinstance(key, str):
                raise UnsuitableEnvironmentError(
                    f"{name} has the key {key!r} in the Dict of its observation space; keys must be words. {_flatten()}"
                )
            named.append((key, _observations(part, name, f"{path}[{key!r}]", depth + 1)))
        return DictShape(tuple(named))
    problem = f"{name} has the observation space {space}{where}; Rewirl needs a Box, or Dicts and Tuples of Boxes"
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        raise UnsuitableEnvironmentError(f"{problem}. {_flatten()}")
    raise UnsuitableEnvironmentError(
        f"{problem}. Make a vector of one length of it: gymnasium.wrappers.TransformObservation(env, function, "
        "Box(low, high))"
    )


def _flatten() -> str:
    """Return how to make a vector of observations that are no Boxes, for a message."""
    if typed():
        return "Wrap it: --wrapper gymnasium.wrappers:FlattenObservation"
    named = 'wrapper=["gymnasium.wrappers:FlattenObservation"]'
    return f"Wrap it: gymnasium.wrappers.FlattenObservation(env), or {named} beside an id"


def _actions(space: Any, name: str) -> Actions:
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        return DiscreteActions(int(space.n), int(space.start), space.dtype or np.int64)
    if not isinstance(space, spaces.Box):
        _refuse_actions(space, name)
    if prod(space.shape) == 0:
        raise UnsuitableEnvironmentError(f"{name} has an empty action space, {space}")
    if not np.issubdtype(space.dtype, np.floating):
        raise UnsuitableEnvironmentError(
            f"{name} takes integer actions ({space}); Rewirl's agents act with real numbers. Round them: "
            f"gymnasium.wrappers.TransformAction(env, lambda action: np.rint(action).astype(np.{space.dtype}), "
            "Box(low, high))"
        )
    if np.dtype(space.dtype).itemsize > 8:
        raise UnsuitableEnvironmentError(
            f"{name} takes actions of {np.dtype(space.dtype)}, which no file keeps. Let it have others: "
            "gymnasium.wrappers.TransformAction(env, lambda action: action.astype(np.longdouble), Box(low, high))"
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
    return ActionBounds(space.low.reshape(-1), space.high.reshape(-1), space.dtype, shape=tuple(map(int, space.shape)))


def _refuse_actions(space: Any, name: str) -> NoReturn:
    """Raise the error that says which wrapper makes a Box of an action space."""
    from gymnasium import spaces

    function, box = "function", "Box(low, high)"
    if isinstance(space, spaces.MultiBinary):
        function, box = "lambda action: (action > 0).astype(np.int8)", f"Box(-1.0, 1.0, {space.shape})"
    elif isinstance(space, spaces.MultiDiscrete):
        sizes = f"np.array({space.nvec.tolist()})"
        function = f"lambda action: np.minimum(action.astype(np.int64), {sizes} - 1)"
        if np.any(space.start):
            function += f" + np.array({space.start.tolist()})"
        box = f"Box(0.0, {sizes}.astype(np.float32))"
    raise UnsuitableEnvironmentError(
        f"{name} has the action space {space}; Rewirl's agents act with real numbers (a Box with bounds) or choose one "
        f"of several actions (Discrete). Let a Box choose: gymnasium.wrappers.TransformAction(env, {function}, {box})"
    )


def refuse_kind(actions: Actions, name: str, agent: str, takes: tuple[str, ...], others: list[str]) -> None:
    """Refuse an environment with actions of a kind that the agent does not take.

    Args:
        actions: those of the environment.
        name: what messages call it.
        agent: the agent's name.
        takes: the kinds of actions it takes.
        others: agents that take this kind.

    Raises:
        UnsuitableEnvironmentError: the kind is not one of `takes`; the message says what to do.
    """
    if actions.kind in takes:
        return
    more = f", one of {len(others)} that do" if len(others) > 2 else ""
    advice = f"Train {' or '.join(others[:2])} there{more}" if others else "None of Rewirl's agents does"
    if isinstance(actions, DiscreteActions):
        start = f"{actions.start} + " if actions.start else ""
        advice += (
            f", or let a Box choose: gymnasium.wrappers.TransformAction(env, lambda scores: {start}"
            f"int(np.argmax(scores)), Box(-1.0, 1.0, ({actions.size},)))"
        )
    raise UnsuitableEnvironmentError(
        f"{name} has the action space {actions.kind}, but {agent} takes {' or '.join(takes)}. {advice}"
    )
