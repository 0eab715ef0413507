"""Environments at the door: checked once at the start, and watched at every step.

Past this door observations are finite float32 vectors of one size, rewards finite floats, and nothing the environment
may write to again.
"""

from __future__ import annotations

import copy
import decimal
import numbers
import traceback
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rewirl.environments.observations import NUMBERS, BoxShape, ObservationError
from rewirl.environments.portrait import layers
from rewirl.environments.spaces import spaces_of
from rewirl.plugins import RAISED, place_of
from rewirl.saved import through_json

if TYPE_CHECKING:
    import gymnasium

STEPS = "rewirl_steps"
"""An environment with this attribute, or with a wrapper that has it, has it set to the steps of the run so far before
every reset, in training and in evaluation: what it is like in an episode may depend on that, and resuming is exact."""

STATE, LOAD_STATE = "rewirl_state", "load_rewirl_state"
"""An environment or wrapper that keeps something from one episode to the next may offer it: `rewirl_state()` returns it
as JSON values, `load_rewirl_state(values)` puts it back. Resuming is exact then, and evaluation has what training has.
"""

_LARGEST = float(np.finfo(np.float32).max)


class FaultyEnvironmentError(RuntimeError):
    """An environment raised an exception, or returned what no agent can learn from."""


class Step(NamedTuple):
    """What one step of an environment returned, checked."""

    observation: NDArray[np.float32]
    reward: float
    terminated: bool
    truncated: bool


class Environment:
    """One environment behind the door: its observations are vectors, in the order that `observations` says.

    Args:
        env: the Gymnasium environment.
        name: what messages call it.
        owned: whether `close` closes it.

    Raises:
        UnsuitableEnvironmentError: no agent can work with its spaces; see `spaces.spaces_of`.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], name: str, owned: bool = True) -> None:
        """Check the spaces; nothing is reset yet."""
        self.env = env
        self.name = name
        self.spaces = spaces_of(env, name)
        self.actions = self.spaces.actions
        """The way from what an agent computes to what `step` takes."""
        self.observation_size = self.spaces.observation_size
        self._vector = isinstance(self.spaces.observations, BoxShape)
        self.changes = env.has_wrapper_attr(STEPS)
        """Whether the environment changes in the course of a run: it is told how far the run is before every reset."""
        self._stateful = [
            layer for layer in layers(env) if all(callable(getattr(layer, name, None)) for name in (STATE, LOAD_STATE))
        ]
        self.where: Callable[[], str] = lambda: "the first reset"
        """Says in which step of what the environment is; whoever steps it puts its own in place."""
        self._owned = owned
        self._outcome: Step | FaultyEnvironmentError | None = None

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        """What the environment itself says that it observes."""
        return self.env.observation_space

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """What the environment itself says that it takes."""
        return self.env.action_space

    @property
    def stateful(self) -> bool:
        """Whether it offers what it keeps from one episode to the next."""
        return bool(self._stateful)

    @property
    def action_size(self) -> int:
        """Features of an action, as networks and the replay memory have it."""
        return self.actions.size

    def state(self) -> list[Any]:
        """Return what layers of the environment keep between episodes, as JSON values, from the inside.

        Raises:
            FaultyEnvironmentError: it cannot be had, or is no JSON value.
        """
        try:
            states = [getattr(layer, STATE)() for layer in self._stateful]
        except RAISED as error:
            raise self._raised(STATE, error) from error
        try:
            return [through_json(state) for state in states]
        except RAISED as error:
            raise self.fault(f"{STATE}() returned what no JSON file can hold: {error}") from error

    def last_state(self) -> list[Any]:
        """Return what `state` does; an environment in a process of its own may have ended, and has its latest one."""
        return self.state()

    def load_state(self, state: list[Any]) -> None:
        """Put back what `state` returned, before a reset.

        Raises:
            FaultyEnvironmentError: the environment does not take it.
        """
        if len(state) != len(self._stateful):
            raise self.fault(f"{len(state)} states were saved, but {len(self._stateful)} of its layers have {STATE}")
        try:
            for layer, values in zip(self._stateful, state, strict=True):
                getattr(layer, LOAD_STATE)(copy.deepcopy(values))  # it may keep them, and the caller has them too
        except RAISED as error:
            raise self._raised(LOAD_STATE, error) from error

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
                for layer in layers(self.env):  # each that changes: one may be in another
                    if hasattr(layer, STEPS):
                        setattr(layer, STEPS, step)
            returned = self.env.reset(seed=seed)
        except RAISED as error:
            raise self._raised("reset", error) from error
        if not isinstance(returned, tuple | list) or len(returned) != 2:
            raise self.fault(f"reset() must return an observation and a dict, it returned {_what(returned)}")
        self._refuse_other_actions()
        return self._observation(returned[0])

    def step(self, action: Any) -> Step:
        """Take one step.

        Args:
            action: the environment's own, of `actions.to_environment`.

        Returns:
            The checked step; its observation is a copy.

        Raises:
            FaultyEnvironmentError: the environment raised an exception, or returned something that is not finite or has
                another shape than its space.
        """
        try:
            # A copy: some environments clip the action in place, and the caller keeps it.
            returned = self.env.step(self.actions.shaped(action))
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

    def begin(self, action: Any) -> None:
        """Take one step, as `step` does, whose outcome `finish` returns: others may take theirs in between."""
        try:
            self._outcome = self.step(action)
        except FaultyEnvironmentError as error:
            self._outcome = error

    def finish(self) -> Step:
        """Return the outcome of what `begin` began; raises as `step`."""
        outcome, self._outcome = self._outcome, None
        assert outcome is not None, "no step was begun"
        if isinstance(outcome, FaultyEnvironmentError):
            raise outcome
        return outcome

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
        space = self.spaces.observations
        if self._vector:
            return self._numbers("observation", space.shape, raw)  # type: ignore[union-attr]  # a Box has one
        try:
            parts = [self._numbers(*part) for part in space.parts(raw, "observation")]
        except ObservationError as error:
            raise self.fault(str(error)) from error
        return np.concatenate(parts)

    def _numbers(self, name: str, shape: tuple[int, ...], raw: Any) -> NDArray[np.float32]:
        """Return the numbers of a Box as a vector, a copy; `name` is what messages call it."""
        label = "the observation" if name == "observation" else name
        try:
            numbers = np.asarray(raw)
            if numbers.dtype.kind not in NUMBERS:
                raise TypeError(f"of {numbers.dtype}")
            if isinstance(raw, np.ma.MaskedArray) and np.ma.is_masked(raw):
                raise TypeError("some of it is masked")
            with np.errstate(over="ignore"):
                observation = np.array(numbers, dtype=np.float32)
        except RAISED as error:  # what has an __array__ of its own may raise anything
            raise self.fault(f"{label} is not an array of numbers ({type(raw).__name__}: {error})") from error
        if observation.shape != shape:
            raise self.fault(f"{label} has shape {observation.shape} but the observation space says {shape}")
        # The bytes of a bool array, because .all() takes three times as long on so few numbers.
        if np.isfinite(observation).tobytes() != b"\1" * observation.size:
            position = np.argwhere(~np.isfinite(observation))[0].tolist()
            at = f"[{', '.join(map(str, position))}]" if position else ""
            raise self.fault(f"{name}{at} is {numbers[tuple(position)]}, which is not a finite float32 number")
        return observation if observation.ndim == 1 else observation.reshape(-1)

    def _reward(self, raw: Any) -> float:
        if isinstance(raw, float):  # np.float64 is one
            reward = float(raw)
        else:
            try:
                values = np.asarray(raw)
                if values.dtype.kind not in NUMBERS and not isinstance(raw, numbers.Number | decimal.Decimal):
                    raise TypeError(f"of {values.dtype}")
                if np.iscomplexobj(values) or np.ma.is_masked(raw):
                    raise TypeError("complex or masked")
                values = values.astype(np.float64)
            except OverflowError as error:
                raise self.fault(f"the reward is too large for a float ({type(raw).__name__})") from error
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

    def _refuse_other_actions(self) -> None:
        """Refuse an environment whose actions are not any more what the agent was made for."""
        space: Any = self.env.action_space
        if not self.actions.same_as(space):
            raise self.fault(
                f"the action space has become {space} after the agent was made for {self.actions}; keep it, and let "
                "the environment say what differs from one episode to the next in its observations"
            )

    def _raised(self, method: str, error: BaseException) -> FaultyEnvironmentError:
        place, frames = place_of(error), traceback.extract_tb(error.__traceback__)
        if not place and frames:  # of an environment of a package
            place = f" ({frames[-1].filename}, line {frames[-1].lineno})"
        old = method == "reset" and isinstance(error, TypeError) and "'seed'" in str(error)
        remedy = "; it must take one: def reset(self, *, seed=None, options=None)" if old else ""
        return self.fault(f"{method}() raised {type(error).__name__}: {error}{place}{remedy}")


def _what(value: Any) -> str:
    """Return what a value is in a few words."""
    if isinstance(value, tuple):
        return f"{len(value)} values"
    return f"{str(value)[:60]!r} ({type(value).__name__})"
