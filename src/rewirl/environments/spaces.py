"""The spaces of an environment: which ones an agent can work with, and what helps with the others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from rewirl.environments.action_bounds import ActionBounds

if TYPE_CHECKING:
    import gymnasium


class UnsuitableEnvironmentError(ValueError):
    """An environment that cannot be found, or whose spaces Rewirl's agents cannot work with."""


def observation_size(env: gymnasium.Env[Any, Any], name: str) -> int:
    """Return the number of features of an environment's observations.

    Raises:
        UnsuitableEnvironmentError: they are no vectors or matrices of numbers; the message names what helps.
    """
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


def action_bounds(env: gymnasium.Env[Any, Any], name: str) -> ActionBounds:
    """Return the bounds of an environment's actions, flattened row by row.

    Raises:
        UnsuitableEnvironmentError: they are not a Box of bounded real numbers; the message names what helps.
    """
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
