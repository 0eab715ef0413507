"""Small environments for tests: well-behaved ones whose every number can be worked out, and ones that misbehave."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces


class Drift(gymnasium.Env[Any, Any]):
    """A point is pushed about; depends on its seed and actions only. Its arrays are written to again and again."""

    def __init__(
        self,
        length: int = 30,
        low: Any = (-1.0, -2.0),
        high: Any = (1.0, 6.0),
        dtype: Any = np.float64,
        ends: bool = False,
    ) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (3,), dtype)
        self.action_space = spaces.Box(np.asarray(low, dtype), np.asarray(high, dtype), dtype=dtype)
        self.length, self.ends, self.count = length, ends, 0
        self._observation = np.zeros(3, dtype)
        self.actions: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        self._observation[:] = self.np_random.normal(size=3)
        return self._observation, {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.actions.append(action.copy())
        self.count += 1
        self._observation[:2] = 0.9 * self._observation[:2] + action
        self._observation[2] = self.np_random.normal()
        action[:] = np.nan  # an environment may treat the array it was given as its own
        over = self.count >= self.length
        return (
            self._observation,
            -float(np.abs(self._observation).sum()),
            over and self.ends,
            over and not self.ends,
            {},
        )


class Uneven(Drift):
    """Drift whose episodes have lengths of their own, every third of which ends in a terminal state."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        first = super().reset(seed=seed)
        self.length, self.ends = int(self.np_random.integers(1, 15)), int(self.np_random.integers(3)) == 0
        return first


class Stumbling(Uneven):
    """Uneven that raises once: in the call of `reset` or of `step` whose number `falls` has, of all such calls."""

    falls: ClassVar[dict[str, int]] = {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        first = super().reset(seed=seed)
        self._fall("reset")
        return first

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        after = super().step(action)
        self._fall("step")
        return after

    def _fall(self, where: str) -> None:
        self.falls[where] = self.falls.get(where, 0) - 1
        if self.falls[where] == 0:
            raise RuntimeError("no ground under the feet")


class Choices(gymnasium.ActionWrapper[Any, Any, Any]):
    """Takes the number of one of three actions."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.action_space = spaces.Discrete(3)

    def action(self, action: Any) -> Any:
        return np.array([(-1.0, 0.0), (0.0, 1.0), (1.0, 5.0)][action])


class Halved(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Sees everything half as large."""

    def observation(self, observation: Any) -> Any:
        return observation / 2


class Faulty(Drift):
    """Drift that does `fault` in place of the outcome of step `at` of an episode."""

    def __init__(self, fault: Callable[[Any, Any], tuple[Any, Any]], at: int = 5) -> None:
        super().__init__()
        self.fault, self.at = fault, at

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        if self.count == self.at:
            observation, reward = self.fault(observation.copy(), reward)
        return observation, reward, terminated, truncated, info


class Restless(Drift):
    """Drift that takes no notice of the seed, so no two episodes are the same."""

    def __init__(self) -> None:
        super().__init__()
        self._own = np.random.default_rng()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._observation[:] = self._own.normal(size=3)
        return self._observation, {}


class Changing(Drift):
    """Drift that says at every step how far the run was when the episode began, and goes on accordingly."""

    def __init__(self) -> None:
        super().__init__()
        self.rewirl_steps = 0

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        observation[0] = self.rewirl_steps
        return observation, reward + self.rewirl_steps, terminated, truncated, info


class Endless(Drift):
    """Drift without end that announces the first step of a process by opening and closing a named pipe."""

    announced = False

    def __init__(self, pipe: str) -> None:
        super().__init__(length=10**12)
        self.pipe = Path(pipe)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        if not Endless.announced:
            Endless.announced = True
            self.pipe.open("w").close()
        return super().step(action)


class Lost(Drift):
    """Drift that names a file whose name is no text."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        raise RuntimeError("no file caf\udce9.txt")


class Deadly(Drift):
    """Drift that kills its process at step `at` of every episode."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)


class Parts(Drift):
    """Drift in parts: a Dict with a Tuple in it to observe, and matrices of actions, or one of five, from -2 on."""

    PARTS = spaces.Dict(
        way=spaces.Box(-np.inf, np.inf, (2, 3)),
        clock=spaces.Box(0, 100, (), np.int64),
        more=spaces.Tuple([spaces.Box(-np.inf, np.inf, (1,)), spaces.Dict(last=spaces.Box(-9.0, 9.0, (2,)))]),
    )

    def __init__(self, discrete: bool = False, renamed: bool = False, length: int = 30) -> None:
        super().__init__(length)
        self.observation_space = self.PARTS
        self.names = ("m", "a", "z") if renamed else ("way", "clock", "more")
        if renamed:
            self.observation_space = spaces.Dict(dict(zip(self.names, self.PARTS.spaces.values(), strict=True)))
        high = np.arange(1.0, 7.0).reshape(2, 3)
        self.action_space = (
            spaces.Discrete(5, start=-2) if discrete else spaces.Box(-np.ones((2, 3)), high, dtype=float)
        )
        self._way = np.zeros((2, 3))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._way[:] = self.np_random.normal(size=(2, 3))
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.actions.append(action.copy())
        self.count += 1
        self._way[...] = 0.9 * self._way + action + 0.1 * self.np_random.normal()
        return self._observe(), -float(np.abs(self._way).sum()), False, self.count >= self.length, {}

    def _observe(self) -> Any:
        last = {"last": self._way[1, 1:].clip(-9, 9)}
        parts = (self._way, np.int64(self.count), (self._way[0, :1], last))
        return dict(zip(self.names, parts, strict=True))


class Spaces(gymnasium.Env[Any, Any]):
    """Has any spaces one likes; never played."""

    def __init__(self, observation_space: Any = None, action_space: Any = None) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (3,)) if observation_space is None else observation_space
        self.action_space = spaces.Box(-1.0, 1.0, (2,)) if action_space is None else action_space


gymnasium.register("rewirl-tests/Drift-v0", entry_point=Drift, kwargs={})
gymnasium.register("rewirl-tests/Stumbling-v0", entry_point=Stumbling)
gymnasium.register("rewirl-tests/StumblingChoices-v0", entry_point=lambda: Choices(Stumbling()))
gymnasium.register("rewirl-tests/Parts-v0", entry_point=Parts)
gymnasium.register("rewirl-tests/Changing-v0", entry_point=Changing)
gymnasium.register("rewirl-tests/Restless-v0", entry_point=Restless)
gymnasium.register("rewirl-tests/Deadly-v0", entry_point=Deadly)
gymnasium.register("rewirl-tests/Endless-v0", entry_point=Endless)
gymnasium.register("rewirl-tests/Lost-v0", entry_point=Lost)
gymnasium.register("rewirl-tests/Nan-v0", entry_point=lambda at=70: Faulty(lambda o, r: (o, float("nan")), at))


class Remembering(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Scales what it sees by the mean of all it has seen, as normalising wrappers do; offers its state if told to."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.total, self.seen = 0.0, 0

    def observation(self, observation: Any) -> Any:
        self.total += float(np.abs(observation).sum())
        self.seen += 1
        return observation / (1 + self.total / self.seen)


class Offering(Remembering):
    """The same, with its state for whoever asks."""

    def rewirl_state(self) -> Any:
        return {"total": self.total, "seen": self.seen}

    def load_rewirl_state(self, values: Any) -> None:
        self.total, self.seen = values["total"], values["seen"]


gymnasium.register("rewirl-tests/Remembering-v0", entry_point=lambda: Remembering(Drift()))
gymnasium.register("rewirl-tests/Offering-v0", entry_point=lambda: Offering(Drift()))
