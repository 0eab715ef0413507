"""Environments with features that say nothing, the extremely noisy ones of Grooten et al. 2023 (ANF).

Importing this module registers rewirl/Noisy-v0 with Gymnasium, which wraps another environment:

    rewirl train --env-module rewirl.noisy --env rewirl/Noisy-v0 --env-kwargs '{"env": "Hopper-v5", "fraction": 0.9}'
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from rewirl.exact import exactly

ID = "rewirl/Noisy-v0"


def real_features(features: int, fraction: float) -> int:
    """Return how many of the features of a `NoisyObservations` are real; they come first.

    Args:
        features: all of them, real ones and noise.
        fraction: share of noise among them, in [0, 1).
    """
    return math.floor(features * (1 - fraction) + 1e-9)


class NoisyObservations(gymnasium.Wrapper[Any, Any, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """Append features of pure noise to the observations; the real ones come first.

    The noise is part of the observation: what is stored and sampled again is what was seen, unless the replay memory is
    told to draw it anew (--resample-noise-from).

    Args:
        env: an environment with a Box of observations; one that is no vector is flattened, row by row.
        fraction: share of noise among all features, in [0, 1); there are ceil(features / (1 - fraction)) in the end.
        std: standard deviation of the noise, whose mean is 0.
        permute_every: steps between two permutations of all features, real ones and noise (PENE); the first is of the
            first episode that begins after so many, the next of the first after twice as many, and so on. All episodes
            up to the next have the same one, whatever their seed. 0 never permutes.

    Raises:
        ValueError: an argument or the observation space is impossible.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], fraction: float, std: float = 1.0, permute_every: int = 0) -> None:
        """Work out how much noise there is."""
        fraction, std = exactly(float, fraction, "fraction"), exactly(float, std, "std")
        permute_every = exactly(int, permute_every, "permute_every")
        gymnasium.utils.RecordConstructorArgs.__init__(self, fraction=fraction, std=std, permute_every=permute_every)
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, spaces.Box):
            raise ValueError(
                f"noise is appended to a Box of observations, not to {space}; flatten it first: "
                "gymnasium.wrappers.FlattenObservation(env)"
            )
        if not 0 <= fraction < 1:
            raise ValueError(f"fraction must be at least 0 and below 1, got {fraction}")
        if not 0 <= std < math.inf:
            raise ValueError(f"std must be finite and 0 or more, got {std}")
        if permute_every < 0:
            raise ValueError(f"permute_every must be a number of steps, 0 or more, got {permute_every!r}")
        self.real = math.prod(space.shape)
        """Number of real features."""
        self.noise = math.ceil(self.real / (1 - fraction) - 1e-9) - self.real
        """Number of features of noise."""
        self._std = std
        self._rng = np.random.default_rng()
        edge = np.full(self.noise, np.inf, dtype=space.dtype)
        low, high = np.concatenate([space.low.reshape(-1), -edge]), np.concatenate([space.high.reshape(-1), edge])
        self._every = permute_every
        self._order: np.ndarray[Any, Any] | None = None
        if permute_every:  # any feature may be anywhere
            low, high = np.full_like(low, low.min()), np.full_like(high, high.max())
            self.rewirl_steps = 0
            """Steps of the run so far; Rewirl sets it before every reset, so that it survives a stop."""
        self.observation_space = spaces.Box(low, high, dtype=space.dtype.type)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; a seed decides the noise too, in a stream of its own."""
        if seed is not None:
            self._rng = np.random.default_rng([seed, 0x4E4F495345])
        if self._every:
            number, features = self.rewirl_steps // self._every, self.real + self.noise
            self._order = np.random.default_rng([number, 0x50454E45]).permutation(features) if number else None
        observation, info = self.env.reset(seed=seed, options=options)
        return self._noisy(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """See gymnasium.Env."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if self._every:
            self.rewirl_steps += 1
        return self._noisy(observation), reward, terminated, truncated, info

    def _noisy(self, observation: Any) -> Any:
        noise = self._std * self._rng.standard_normal(self.noise)
        whole = np.concatenate([np.reshape(observation, -1), noise.astype(observation.dtype)])
        return whole if self._order is None else whole[self._order]


def make(
    env: str,
    fraction: float,
    std: float = 1.0,
    permute_every: int = 0,
    render_mode: str | None = None,
    **kwargs: Any,
) -> NoisyObservations:
    """Make an environment by its Gymnasium id and wrap it; further arguments are its own."""
    return NoisyObservations(gymnasium.make(env, render_mode=render_mode, **kwargs), fraction, std, permute_every)


gymnasium.register(ID, entry_point="rewirl.noisy:make", disable_env_checker=True, order_enforce=False)
