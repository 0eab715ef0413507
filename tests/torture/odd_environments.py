"""Environments that misbehave: what they say is learnt from as it was meant, or refused with the place and a remedy."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import gymnasium
import numpy as np
import probe_environments as probes
from contained import contained, tally
from gymnasium import spaces
from scenario import Score, scenario

from rewirl.agents import agent_entry
from rewirl.cli.main import main
from rewirl.environments.source import environment_source
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.options.resolve import agent_settings
from rewirl.options.train import TrainConfig
from rewirl.storage.checkpoint import load_checkpoint, load_latest
from rewirl.training import evaluation
from rewirl.training.progress import Silent
from rewirl.training.run import Run

_SMALL: dict[str, Any] = {"hidden_sizes": (8, 8)}
_REPLAY: dict[str, Any] = {"batch_size": 10, "learning_starts": 20}
_SPARSE: dict[str, Any] = {"sparsity": 0.3, "adapt_every": 5, "adapt_fraction": 0.2}
_OPTIONS: dict[str, dict[str, Any]] = {
    "td3": {},
    "ds-td3": _SPARSE,
    "sac": {"normalise_observations": True},
    "ds-sac": _SPARSE,
    "ds-xqc": {**_SPARSE, "actor_hidden_sizes": (8,), "structure": "8x1"},
    "ds-simba": {**_SPARSE, "actor_hidden_sizes": (8,)},
    "ds-crossq": {**_SPARSE, "actor_hidden_sizes": (8, 8)},
    "ds-ppo": {**_SPARSE, "batch_size": 10, "rollout_steps": 30, "epochs": 2},
    "ds-stream-ac": {**_SPARSE, "initial_zeros": 0.5},  # of 0.9 nothing would be learnt
}
AGENTS = tuple(_OPTIONS)
STEPS, EVERY = 90, 20
"""Steps of a run, and between two of its checkpoints."""

Returned = tuple[Any, Any, Any, Any, Any]


class Odd(probes.Drift):
    """Drift that says something odd in its step number `at`, or in the first reset after it, until it is repaired."""

    repaired = False

    def __init__(self, case: str = "", at: int = 0) -> None:
        super().__init__(length=30)
        self.case, self.at, self.taken = case, at, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        returned = super().reset(seed=seed)
        odd = RESETS.get(self.case)
        return odd[0](returned) if odd and not Odd.repaired and self.taken >= self.at else returned

    def step(self, action: Any) -> Any:
        observation, *rest = super().step(action)
        self.taken += 1
        odd = STEPS_REFUSED.get(self.case)
        if odd and not Odd.repaired and self.taken == self.at:
            return odd[0]((observation.copy(), *rest))
        return (observation, *rest)


gymnasium.register("rewirl-tests/Odd-v0", entry_point=Odd)


def _observation(value: Any) -> Callable[[Returned], Any]:
    return lambda r: (value(r[0]) if callable(value) else value, *r[1:])


def _reward(value: Any) -> Callable[[Returned], Any]:
    return lambda r: (r[0], value, *r[2:])


def _ends(terminated: Any = False, truncated: Any = False) -> Callable[[Returned], Any]:
    return lambda r: (r[0], r[1], terminated, truncated, r[4])


def _at(index: int, value: Any) -> Callable[[Any], Any]:
    def change(observation: Any) -> Any:
        observation[index] = value
        return observation

    return change


def _raising(error: BaseException) -> Callable[[Any], Any]:
    def change(returned: Any) -> Any:
        raise error

    return change


class _Unwilling:
    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("not now")

    def __float__(self) -> float:
        raise RuntimeError("not now")


STEPS_REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a nan observation": (_observation(_at(1, np.nan)), r"observation\[1\] is nan"),
    "an infinite observation": (_observation(_at(0, np.inf)), r"observation\[0\] is inf"),
    "an observation of minus infinity": (_observation(_at(2, -np.inf)), r"observation\[2\] is -inf"),
    "an observation beyond float32": (_observation(_at(2, 1e39)), r"observation\[2\] is 1e\+39"),
    "a short observation": (_observation(lambda o: o[:2]), r"shape \(2,\) but the observation space says \(3,\)"),
    "an observation in a list of its own": (_observation(lambda o: o[None]), r"shape \(1, 3\)"),
    "an empty observation": (_observation(np.zeros(0)), r"shape \(0,\)"),
    "a number for an observation": (_observation(1.5), r"shape \(\)"),
    "objects": (_observation(lambda o: o.astype(object)), "not an array of numbers"),
    "objects that are nothing": (_observation(np.array([None] * 3)), "not an array of numbers"),
    "numbers in words": (_observation(np.array(["1", "2", "3"])), "not an array of numbers"),
    "complex numbers": (_observation(lambda o: o.astype(complex)), "not an array of numbers"),
    "dates": (_observation(np.array(["2020"] * 3, "M8[s]")), "not an array of numbers"),
    "a masked array": (_observation(lambda o: np.ma.array(o, mask=[0, 1, 0])), "masked"),
    "a ragged list": (_observation([1.0, [2.0, 3.0], 4.0]), "not an array of numbers"),
    "a dict": (_observation({"x": 1.0}), "not an array of numbers"),
    "no observation": (_observation(None), "not an array of numbers"),
    "an observation that raises": (_observation(_Unwilling()), "not an array of numbers.*not now"),
    "a nan reward": (_reward(float("nan")), "the reward is nan"),
    "an infinite reward": (_reward(np.float32("inf")), "the reward is inf"),
    "a reward beyond float32": (_reward(-1e39), r"the reward is -1e\+39"),
    "an enormous integer": (_reward(10**400), "the reward is not a number"),
    "no reward": (_reward(None), r"the reward is not a number \(NoneType\)"),
    "a reward in words": (_reward("1.5"), r"the reward is not a number \(str\)"),
    "two rewards": (_reward(np.zeros(2)), r"must be one number, got an array of shape \(2,\)"),
    "no rewards": (_reward([]), r"must be one number, got an array of shape \(0,\)"),
    "a complex reward": (_reward(1j), "the reward is not a number"),
    "a masked reward": (_reward(np.ma.masked), "the reward is not a number"),
    "a nan Decimal": (_reward(Decimal("NaN")), "the reward is nan"),
    "a reward that raises": (_reward(_Unwilling()), "the reward is not a number"),
    "terminated None": (_ends(terminated=None), "terminated must be true or false, it is 'None'"),
    "terminated in words": (_ends(terminated="False"), "terminated must be true or false, it is 'False'"),
    "terminated 2": (_ends(terminated=2), "terminated must be true or false"),
    "terminated nan": (_ends(terminated=float("nan")), "terminated must be true or false"),
    "terminated for two": (_ends(terminated=np.array([True, False])), "terminated must be true or false"),
    "truncated None": (_ends(truncated=None), "truncated must be true or false"),
    "truncated a dict": (_ends(truncated={}), "truncated must be true or false"),
    "four values": (lambda r: (r[0], r[1], False, {}), "it returned 4 values; an environment of the old Gym"),
    "nothing": (lambda r: None, "step.. must return observation, reward"),
    "an exception": (_raising(ZeroDivisionError("no wind")), r"step\(\) raised ZeroDivisionError: no wind"),
    "an assertion": (_raising(AssertionError()), r"step\(\) raised AssertionError"),
    "a StopIteration": (_raising(StopIteration("x")), r"step\(\) raised StopIteration"),
    "a lack of memory": (_raising(MemoryError("the simulator")), r"step\(\) raised MemoryError: the simulator"),
    "an exit": (_raising(SystemExit(3)), r"step\(\) raised SystemExit: 3"),
    "a recursion": (_raising(RecursionError("too deep")), r"step\(\) raised RecursionError"),
}
"""What is done to the outcome of a step, and what the message says."""

RESETS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a reset without info": (lambda r: r[0], r"reset\(\) must return an observation and a dict"),
    "a reset of three values": (lambda r: (*r, False), r"reset\(\) must return an observation and a dict.*3 values"),
    "a reset of nothing": (lambda r: None, r"reset\(\) must return an observation and a dict"),
    "a reset to nan": (lambda r: (r[0] * np.nan, {}), r"observation\[0\] is nan"),
    "a reset to another shape": (lambda r: (r[0][:1], {}), r"the observation has shape \(1,\)"),
    "a reset that exits": (_raising(SystemExit("no licence")), r"reset\(\) raised SystemExit: no licence"),
    "a reset that raises": (_raising(OSError("no track")), r"reset\(\) raised OSError: no track"),
}
"""The same for the outcome of a reset."""


@dataclass(frozen=True)
class Trial:
    """One environment for one agent."""

    case: str
    agent: str
    at: int


# --- What has to be learnt from as it was meant ---


class Remembering(probes.Drift):
    """Drift that says the same in its own way, and remembers what it meant, as numbers that cannot be mistaken."""

    def __init__(self, way: Callable[[Returned], Returned] = lambda r: r, **options: Any) -> None:
        super().__init__(**options)
        self.way = way
        self.meant: list[tuple[Any, Any, float, Any, bool, bool]] = []
        self._before: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        observation, info = super().reset(seed=seed)
        self._before = observation.copy()
        return observation, info

    def step(self, action: Any) -> Any:
        taken = action.copy()
        returned = self.way(super().step(action))
        observation, reward, terminated, truncated, _ = returned
        after = np.array(observation, dtype=np.float64)
        over = bool(np.any(terminated)), bool(np.any(truncated))
        self.meant.append((self._before, taken, float(np.asarray(reward, np.float64).item()), after, *over))
        self._before = after
        return returned


def _way(**changes: Callable[[Any], Any]) -> Callable[[Returned], Returned]:
    names = ("observation", "reward", "terminated", "truncated", "info")
    return lambda r: tuple(changes.get(n, lambda v: v)(v) for n, v in zip(names, r, strict=True))  # type: ignore[return-value]


class Wide(gymnasium.Env[Any, Any]):
    """Observes as many numbers as one likes, in spaces as one likes."""

    def __init__(self, observation_space: Any = None, action_space: Any = None, value: float = 0.5) -> None:
        self.observation_space = observation_space or spaces.Box(-np.inf, np.inf, (3,))
        self.action_space = action_space or spaces.Box(-1.0, 1.0, (2,))
        self.value, self.count = value, 0
        self.meant: list[Any] = []
        self.dtype = getattr(self.observation_space, "dtype", np.float64)

    def _observe(self) -> Any:
        return np.full(self.observation_space.shape, self.value, self.dtype)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        before, self.count = self._observe(), self.count + 1
        self.meant.append((before, action.copy(), 1.0, self._observe(), False, self.count == 7))
        return self._observe(), 1.0, False, self.count == 7, {}


def _unwilling_to_close(env: Any) -> Any:
    def close() -> None:
        raise OSError("the door is stuck")

    env.close = close
    return env


_UNEVEN = spaces.Box(np.array([-3.0, 0.0, 1e-3]), np.array([0.5, 1e4, 2e-3]), dtype=np.float64)

WORKS: dict[str, Callable[[], Any]] = {
    "nothing odd": Remembering,
    "float32 throughout": lambda: Remembering(dtype=np.float32),
    "a list for an observation": lambda: Remembering(_way(observation=lambda o: o.tolist())),
    "a tuple for an observation": lambda: Remembering(_way(observation=lambda o: tuple(o.tolist()))),
    "an observation of integers": lambda: Remembering(_way(observation=lambda o: o.astype(np.int64))),
    "an observation of truth values": lambda: Remembering(_way(observation=lambda o: o > 0)),
    "an observation of float16": lambda: Remembering(_way(observation=lambda o: o.astype(np.float16))),
    "a big-endian observation": lambda: Remembering(_way(observation=lambda o: o.astype(">f8"))),
    "a strided observation": lambda: Remembering(_way(observation=lambda o: np.repeat(o, 2)[::2])),
    "a masked array without a mask": lambda: Remembering(_way(observation=lambda o: np.ma.array(o))),
    "a read-only observation": lambda: Remembering(_way(observation=lambda o: np.frombuffer(o.tobytes()))),
    "observations of -0.0": lambda: Wide(value=-0.0),
    "observations of 1e30": lambda: Wide(value=1e30),
    "observations of 1e-40": lambda: Wide(value=1e-40),
    "10,000 observations": lambda: Wide(spaces.Box(-1.0, 1.0, (10_000,))),
    "observations of uint8": lambda: Wide(spaces.Box(0, 255, (5,), np.uint8), value=200),
    "a matrix of observations": lambda: Wide(spaces.Box(-1.0, 1.0, (2, 3))),
    "one observation without a dimension": lambda: Wide(spaces.Box(-1.0, 1.0, ())),
    "one action without a dimension": lambda: Wide(action_space=spaces.Box(-1.0, 1.0, ())),
    "a matrix of actions": lambda: Wide(action_space=spaces.Box(-1.0, 2.0, (3, 2))),
    "uneven bounds": lambda: Wide(action_space=_UNEVEN),
    "bounds as NumPy integers": lambda: Wide(action_space=spaces.Box(np.int64(-2), np.int64(3), (2,), np.float32)),
    "an action that is always the same": lambda: Wide(
        action_space=spaces.Box(np.zeros(2), np.array([1.0, 0.0]), dtype=np.float64)
    ),
    "actions of float16": lambda: Wide(action_space=spaces.Box(-1.0, 1.0, (2,), np.float16)),
    "a reward of 0 dimensions": lambda: Remembering(_way(reward=np.array)),
    "a reward of 1 element": lambda: Remembering(_way(reward=lambda r: np.array([r]))),
    "a reward in a list": lambda: Remembering(_way(reward=lambda r: [r])),
    "a reward of float32": lambda: Remembering(_way(reward=np.float32)),
    "a reward of int64": lambda: Remembering(_way(reward=lambda r: np.int64(r))),
    "an integer for a reward": lambda: Remembering(_way(reward=int)),
    "a truth value for a reward": lambda: Remembering(_way(reward=lambda r: True)),
    "a NumPy truth value for a reward": lambda: Remembering(_way(reward=lambda r: np.True_)),
    "a Decimal for a reward": lambda: Remembering(_way(reward=lambda r: Decimal("-1.25"))),
    "a Fraction for a reward": lambda: Remembering(_way(reward=lambda r: Fraction(1, 4))),
    "a reward of -0.0": lambda: Remembering(_way(reward=lambda r: -0.0)),
    "rewards of 1e30": lambda: Remembering(_way(reward=lambda r: 1e30)),
    "ends as NumPy truth values": lambda: Remembering(_way(terminated=np.bool_, truncated=np.bool_), ends=True),
    "ends as integers": lambda: Remembering(_way(terminated=int, truncated=int), ends=True),
    "ends as NumPy integers": lambda: Remembering(_way(terminated=np.int8, truncated=np.uint8), ends=True),
    "ends as arrays": lambda: Remembering(_way(terminated=lambda e: np.array([e]), truncated=np.array), ends=True),
    "terminated and truncated": lambda: Remembering(_way(truncated=lambda t: True), length=9, ends=True),
    "episodes of one step": lambda: Remembering(length=1),
    "episodes of one step that terminate": lambda: Remembering(length=1, ends=True),
    "an episode without an end": lambda: Remembering(length=10**12),
    "info that is None": lambda: Remembering(_way(info=lambda i: None)),
    "a list of outcomes": lambda: Remembering(lambda r: list(r)),  # type: ignore[arg-type,return-value]
    "close that raises": lambda: _unwilling_to_close(Remembering()),
}
"""Makes environments that have to work."""


class Changing(probes.Drift):
    """Drift whose actions have other bounds from the second episode on."""

    def __init__(self, how: str) -> None:
        super().__init__(length=10)
        self.how, self.resets = how, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.resets += 1
        if self.resets == 2 and self.how == "in place":
            self.action_space.high[:] = 9.0
        elif self.resets == 2:
            self.action_space = {
                "wider": spaces.Box(-9.0, 9.0, (2,), np.float64),
                "more": spaces.Box(-1.0, 1.0, (3,), np.float64),
                "discrete": spaces.Discrete(4),
            }[self.how]
        return super().reset(seed=seed)


_DICT = spaces.Dict(a=spaces.Box(-1.0, 1.0, (2,)), b=spaces.Discrete(3))
_HALF_BOUNDED = spaces.Box(np.array([-1.0, -np.inf]), np.array([1.0, 1.0]), dtype=np.float64)

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a Dict of observations": (lambda: Wide(_DICT), "observation space.*FlattenObservation"),
    "Discrete observations": (lambda: Wide(spaces.Discrete(4)), "observation space.*FlattenObservation"),
    "MultiBinary observations": (lambda: Wide(spaces.MultiBinary(4)), "observation space.*FlattenObservation"),
    "a Tuple of observations": (lambda: Wide(spaces.Tuple([spaces.Discrete(2)])), "FlattenObservation"),
    "a text to observe": (lambda: Wide(spaces.Text(5)), "observation space"),
    "an image": (lambda: Wide(spaces.Box(0, 255, (8, 8, 3), np.uint8)), "images of shape.*ObservationWrapper"),
    "a grey image": (lambda: Wide(spaces.Box(0, 255, (8, 8), np.uint8)), "images of shape"),
    "nothing to observe": (lambda: Wide(spaces.Box(-1.0, 1.0, (0,))), "empty observation space"),
    "Discrete actions": (lambda: Wide(action_space=spaces.Discrete(4)), "action space Discrete.*TransformAction"),
    "MultiDiscrete actions": (lambda: Wide(action_space=spaces.MultiDiscrete([2, 3])), "action space.*real numbers"),
    "integer actions": (lambda: Wide(action_space=spaces.Box(0, 3, (2,), np.int64)), "integer actions"),
    "unbounded actions": (lambda: Wide(action_space=spaces.Box(-np.inf, np.inf, (2,))), "unbounded.*TransformAction"),
    "half-bounded actions": (lambda: Wide(action_space=_HALF_BOUNDED), "dimension 1 is in .*TransformAction"),
    "no actions": (lambda: Wide(action_space=spaces.Box(-1.0, 1.0, (0,))), "empty action space"),
    "wider bounds later": (lambda: Changing("wider"), "the action space has become Box.*keep it.*training step 11"),
    "more actions later": (lambda: Changing("more"), "the action space has become Box"),
    "discrete actions later": (lambda: Changing("discrete"), r"the action space has become Discrete\(4\)"),
    "bounds changed in place": (lambda: Changing("in place"), "the action space has become Box"),
}
"""Makes environments that have to be refused at the start or soon, and what the message says."""

TAKEN = {"ds-ppo": ("Discrete actions",)}
"""Those of them that an agent takes."""


# --- Trials ---


def trials(rng: np.random.Generator) -> Iterator[Trial]:
    """Yield every case for every agent, and then those of steps and resets at random places without end."""
    for case in (*WORKS, *REFUSED, *STEPS_REFUSED, *RESETS, "evaluation without an end"):
        for agent in AGENTS:
            if case not in TAKEN.get(agent, ()):
                yield Trial(case, agent, 47)
    cases = [*STEPS_REFUSED, *RESETS]
    while True:
        case, agent = cases[rng.integers(len(cases))], AGENTS[rng.integers(len(AGENTS))]
        # The last reset is at step 60, before the last 30 steps.
        yield Trial(case, agent, int(rng.integers(1, 60 if case in RESETS else STEPS)))


def attempt(trial: Trial, references: dict[str, Path], scratch: Path) -> list[str]:
    """Let an agent learn in an environment; return what came of it, "problem" first if that is not right."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    if trial.case in WORKS:
        return _works(trial)
    if trial.case in REFUSED:
        return _is_refused(trial)
    if trial.case == "evaluation without an end":
        return _ends_after_all(trial)
    return _on_the_way(trial, references, scratch / "run")


def _settings(agent: str) -> Any:
    return agent_settings(agent, "x", **_values(agent, 200))


def _values(agent: str, buffer_size: int) -> dict[str, Any]:
    replay = {**_REPLAY, "buffer_size": buffer_size} if agent_entry(agent).replay else {}
    return {**_SMALL, **replay, **_OPTIONS[agent]}


def _run(trial: Trial, make: Callable[[], Any], eval_every: int = 0) -> Run:
    config = TrainConfig(agent=trial.agent, env="x", eval_every=eval_every, total_timesteps=STEPS, threads=1)
    return Run(config, _settings(trial.agent), Silent(), environment_source(make))


def _works(trial: Trial) -> list[str]:
    made: list[Any] = []

    def make() -> Any:
        made.append(WORKS[trial.case]())
        return made[-1]

    run = _run(trial, make)
    diverged = ""
    try:
        with np.errstate(all="ignore"):
            run.train()
    except Exception as error:
        if type(error).__name__ != "DivergedError" or "1e30" not in trial.case:
            raise
        diverged = str(error)
    stuck = "close" in trial.case
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run.close()
    said = ["Remembering: close() raised OSError: the door is stuck"] if stuck else []
    assert [str(w.message) for w in caught] == said
    if run.training.replay is None:
        return ["works", "", diverged]
    replay, bounds, meant = run.training.replay, run.environment.actions, made[0].meant
    count = min(len(replay), len(meant))
    assert count == len(meant) and count >= (1 if diverged else STEPS), (count, len(meant))
    for row, (before, action, reward, after, terminated, truncated) in enumerate(meant):
        for stored, said in ((replay.observations[row], before), (replay.next_observations[row], after)):
            assert stored.tobytes() == np.asarray(said, np.float32).tobytes(), (row, stored, said)
        taken = bounds.to_environment(replay.actions[row])
        assert taken.tobytes() == np.asarray(action, bounds.dtype).tobytes(), (row, taken, action)
        assert replay.rewards[row, 0].tobytes() == np.float32(reward).tobytes(), (row, reward)
        assert replay.continues[row, 0] == (not terminated)
        assert replay._ends[row] == (terminated or truncated)
    return ["works", "compared", diverged]


def _is_refused(trial: Trial) -> list[str]:
    make, says = REFUSED[trial.case]
    try:
        with _run(trial, make) as run:
            run.train()
    except (UnsuitableEnvironmentError, RuntimeError) as error:
        assert re.search(says, str(error), re.DOTALL), str(error)
        return ["refused", str(error)]
    return ["problem", "was not refused"]


def _ends_after_all(trial: Trial) -> list[str]:
    """Evaluate in an environment whose episodes have no end, with a shorter patience."""
    with mock.patch.object(evaluation, "LONGEST_EPISODE", 500):
        try:
            with _run(trial, lambda: probes.Drift(length=10**12), eval_every=50) as run:
                run.train()
        except RuntimeError as error:
            assert re.search(r"not over after 500 steps.*time limit.*evaluation after step 0", str(error)), str(error)
            return ["refused", str(error)]
    return ["problem", "was evaluated"]


def _on_the_way(trial: Trial, references: dict[str, Path], path: Path) -> list[str]:
    Odd.repaired = False
    says = {**STEPS_REFUSED, **RESETS}[trial.case][1]
    code, error = _rewirl("train", *options(trial.agent, trial.case, trial.at), "--run-dir", str(path))
    assert code == 1 and "Traceback" not in error, (code, error)
    named = rf"rewirl: rewirl-tests/Odd-v0: .*{says}.*training step \d+ \(episode \d, its step \d+\)"
    assert re.search(named, error, re.DOTALL), error
    step = int(re.search(r"training step (\d+)", error)[1])  # type: ignore[index]
    assert step == trial.at or trial.case in RESETS, (step, error)
    saved = load_latest(path / "checkpoints", lambda text: sys.exit(text))
    assert (0 if saved is None else saved.step) == step - 1, saved  # all before the step that failed
    Odd.repaired = True
    code, error = _rewirl("resume", str(path))
    assert code == 0, error
    _same_at_the_end(path, references[trial.agent])
    return ["refused", "compared", error]


def _same_at_the_end(path: Path, reference: Path) -> None:
    """Hold the last checkpoint against that of an undisturbed run."""
    found = load_latest(path / "checkpoints", lambda text: sys.exit(text))
    assert found is not None and found.step == STEPS, found
    there = load_checkpoint(reference / "checkpoints" / f"step-{STEPS:09d}")
    assert found.arrays.keys() == there.arrays.keys()
    for name, array in found.arrays.items():
        assert array.tobytes() == there.arrays[name].tobytes(), name


def options(agent: str, case: str, at: int) -> list[str]:
    """Return the options of a small run in an odd environment."""
    values = {**_values(agent, 50), "eval_every": 0, "threads": 1}
    small = [part for name, value in values.items() for part in _option(name, value)]
    numbers = f"--total-timesteps {STEPS} --checkpoint-every {EVERY} --keep-checkpoints 9"
    kwargs = ["--env-kwargs", json.dumps({"case": case, "at": at})]
    where = ["--env", "rewirl-tests/Odd-v0", "--agent", agent]
    return [*where, *kwargs, *small, *numbers.split()]


def _option(name: str, value: Any) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if value is True:
        return [flag]
    return [flag, *map(str, value if isinstance(value, tuple) else (value,))]


def _rewirl(*arguments: str) -> tuple[int, str]:
    error = io.StringIO()
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
        try:
            main(arguments)
        except SystemExit as end:
            return int(end.code or 0), error.getvalue()


def make_references(root: Path) -> dict[str, Path]:
    """Train a run of each agent in the environment when nothing is odd about it."""
    made = {agent: root / f"reference-{agent}" for agent in AGENTS}
    for agent, path in made.items():
        code, error = _rewirl("train", *options(agent, "", 0), "--run-dir", str(path))
        assert code == 0, error
    return made


@scenario("environments", 600)
def environments(runs: int, seed: int, root: Path) -> Score:
    """Let agents learn in so many environments: everything known first, then at random places."""
    fsync, os.fsync = os.fsync, lambda descriptor: None  # type: ignore[assignment]  # no trial is about a power failure
    try:
        references = make_references(root)
        some = list(itertools.islice(trials(np.random.default_rng(seed)), runs))
        score = Score()
        for trial, answer in contained(some, lambda one: attempt(one, references, root / "scratch")):
            tally(score, answer, f"{trial.agent}: {trial.case}, at {trial.at}")
        return score
    finally:
        os.fsync = fsync
