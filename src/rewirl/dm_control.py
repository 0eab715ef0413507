"""Tasks of the DeepMind Control Suite (Tassa et al. 2018), from the package dm_control.

They are found by name, once `pip install 'rewirl[dm-control]'` is done:

    rewirl train --agent ds-simba --env dm_control/dog-run-v0 --env-kwargs '{"action_repeat": 2}'

Importing this module registers them with Gymnasium, each as dm_control/DOMAIN-TASK-v0.
"""

from __future__ import annotations

import importlib.metadata
import logging
import math
import warnings
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rewirl.exact import exactly

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tries libraries that draw, and says which of them find no display
        from dm_control import suite  # type: ignore[import-not-found,import-untyped,unused-ignore]
except ModuleNotFoundError as error:
    raise ImportError(f"{error}; its tasks need the package dm_control: pip install 'rewirl[dm-control]'") from error

# The models use attributes that MuJoCo is giving up; nobody who trains on them can help it.
logging.getLogger("absl").addFilter(lambda record: "deprecated" not in record.getMessage())


class Task(gymnasium.Env[NDArray[np.float32], NDArray[Any]]):
    """A task of the suite, with its observations as one vector.

    Observations are in the order of the task's own `observation_spec`, each row by row. A task that reaches its time
    limit is truncated; it is terminated where its discount becomes 0.

    Args:
        domain: such as dog.
        task: such as run.
        action_repeat: control steps that an action is held for. Rewards are summed, and an episode of 1,000 control
            steps has 1,000 / action_repeat steps.
        render_mode: rgb_array, or none.

    Raises:
        ValueError: the action repeat is below 1.
        RuntimeError: the installed MuJoCo is none that the package can use.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012  (Gymnasium reads it of the class)

    def __init__(self, domain: str, task: str, action_repeat: int = 1, render_mode: str | None = None) -> None:
        """Load the task."""
        self._repeat = exactly(int, action_repeat, "action_repeat")
        if self._repeat < 1:
            raise ValueError(f"action_repeat must be at least 1, got {action_repeat}")
        try:
            # Where a model itself is drawn at random (lqr), it is the same every time.
            self._task = suite.load(domain, task, {"random": 0}, {"flat_observation": True})
        except AttributeError as error:
            names = (f"{name} {importlib.metadata.version(name)}" for name in ("dm_control", "mujoco"))
            raise RuntimeError(
                f"{' and '.join(names)} do not go together ({error}); pip install 'rewirl[dm-control]' installs "
                "versions that do"
            ) from error
        (observations,) = self._task.observation_spec().values()
        actions = self._task.action_spec()
        self.observation_space = spaces.Box(-math.inf, math.inf, observations.shape, np.float32)
        low, high = (np.broadcast_to(each, actions.shape) for each in (actions.minimum, actions.maximum))
        self.action_space = spaces.Box(low, high, dtype=np.float64)
        self.render_mode = render_mode
        # The suite knows it as this alone; lqr has none. After an action repeat an episode has fewer steps.
        steps = self._task._step_limit
        self.max_episode_steps = math.ceil(math.ceil(steps) / self._repeat) if math.isfinite(steps) else None
        self.metadata = {**self.metadata, "render_fps": round(1 / (self._task.control_timestep() * self._repeat))}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode; a seed decides all that is random in it."""
        super().reset(seed=seed)
        if seed is not None:
            self._task.task.random.seed(seed % 2**32)
        return self._observed(self._task.reset()), {}

    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Hold an action for `action_repeat` control steps, or to the end of the episode."""
        reward = 0.0
        for _ in range(self._repeat):
            now = self._task.step(action)
            reward += float(now.reward)
            if now.last():
                break
        terminated = now.last() and now.discount == 0
        return self._observed(now), reward, terminated, now.last() and not terminated, {}

    def render(self) -> NDArray[np.uint8]:
        """Return a picture by the first camera of the model, uint8 [480, 640, 3]."""
        picture: NDArray[np.uint8] = self._task.physics.render(480, 640, camera_id=0)
        return picture

    def close(self) -> None:
        """Free the model."""
        self._task.close()

    def _observed(self, now: Any) -> NDArray[np.float32]:
        (vector,) = now.observation.values()
        return np.asarray(vector, np.float32)


for _domain, _task in suite.ALL_TASKS:
    _id = f"dm_control/{_domain}-{_task}-v0"
    gymnasium.registry.pop(_id, None)  # that of another package, whose observations are in another order
    gymnasium.register(
        _id,
        entry_point="rewirl.dm_control:Task",
        kwargs={"domain": _domain, "task": _task},
        max_episode_steps=1_000,  # the suite's own limit everywhere but in lqr, which has none
    )
