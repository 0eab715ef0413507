"""Watching a policy act: in a window, or as a video rendered off-screen."""

from __future__ import annotations

import contextlib
import ctypes.util
import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl import seeding
from rewirl.environments.environment import Environment
from rewirl.training.evaluation import LONGEST_EPISODE, endless
from rewirl.training.trained_policy import TrainedPolicy


class WatchError(RuntimeError):
    """Nothing can be shown here; the message says what is missing."""


def watch(policy: TrainedPolicy, episodes: int, seed: int, video: Path | None) -> list[float]:
    """Play episodes and show them.

    Args:
        policy: who acts.
        episodes: how many.
        seed: decides the episodes.
        video: file to write, such as run.mp4; None opens a window.

    Returns:
        The return of each episode.

    Raises:
        WatchError: rendering libraries or a display are missing; the message names them.
        UnsuitableEnvironmentError: the policy's environment cannot be made.
        FaultyEnvironmentError: the environment misbehaved.
    """
    if video is not None:
        _choose_offscreen_rendering()
    source = policy.source()
    assert source.recipe is not None
    mode = "human" if video is None else "rgb_array"
    environment = Environment(source.recipe.make(source.module, render_mode=mode), source.name)
    returns: list[float] = []
    try:
        policy.fits(environment)
        if policy.environment_state is not None:
            environment.load_state(policy.environment_state)
        with _rendering(mode), _video(video, environment) as show:
            for episode in range(episodes):
                observation = environment.reset(seeding.episode_seed(seed, "evaluation", episode), policy.about["step"])
                environment.where = functools.partial("episode {} of watching".format, episode)
                show()
                returns.append(0.0)
                steps, over = 0, False
                while not over:
                    if steps >= LONGEST_EPISODE:
                        raise endless(environment)
                    steps += 1
                    action = policy.act(observation[None])[0]
                    step = environment.step(environment.actions.to_environment(action))
                    show()
                    observation, over = step.observation, step.terminated or step.truncated
                    returns[-1] += step.reward
    finally:
        environment.close()
    return returns


def _choose_offscreen_rendering() -> None:
    """Tell MuJoCo how to draw without a display, unless the user has."""
    if "MUJOCO_GL" in os.environ or not sys.platform.startswith("linux"):
        return
    for backend, library in (("egl", "EGL"), ("osmesa", "OSMesa")):
        if ctypes.util.find_library(library):
            os.environ["MUJOCO_GL"] = backend
            return


@contextlib.contextmanager
def _rendering(mode: str) -> Iterator[None]:
    """Turn what the rendering libraries throw into advice; faults of the environment's own pass."""
    import gymnasium

    try:
        yield
    except gymnasium.error.DependencyNotInstalled as error:
        raise WatchError(f"this environment cannot be drawn: {error}") from error
    except (ImportError, AttributeError, RuntimeError) as error:
        if type(error).__module__.startswith("rewirl."):
            cause = error.__cause__
            if mode == "human" and cause is not None and "glfw" in f"{type(cause).__module__} {cause}".lower():
                raise WatchError(f"no window can be opened here ({cause}); use --video FILE.mp4") from error
            raise
        if mode == "human":
            raise WatchError(f"no window can be opened here ({error}); use --video FILE.mp4") from error
        raise WatchError(
            f"off-screen rendering failed ({type(error).__name__}: {error}). On Debian or Ubuntu: apt-get install "
            "libegl1 libgl1-mesa-dri, or libosmesa6 with MUJOCO_GL=osmesa"
        ) from error


@contextlib.contextmanager
def _video(path: Path | None, environment: Environment) -> Iterator[Any]:
    """Give a function that adds what the environment looks like now to the video."""
    if path is None:
        yield lambda: None  # in human mode the environment draws at every step by itself
        return
    try:
        import imageio.v2
        import imageio_ffmpeg  # type: ignore[import-untyped]  # noqa: F401  (imageio finds it by itself, but not until the first frame)
    except ImportError as error:
        raise WatchError(f'writing a video needs two more packages: pip install "rewirl[video]" ({error})') from error
    rate = environment.env.metadata.get("render_fps", 30)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = imageio.v2.get_writer(path, fps=rate, macro_block_size=None)
    except (OSError, ValueError) as error:
        raise WatchError(f"{path} cannot be written: {error}") from error

    def show() -> None:
        frame = environment.env.render()
        if frame is None:
            raise WatchError(f"{environment.name} cannot be drawn off-screen: its render() returned nothing")
        writer.append_data(_even(np.asarray(frame)))

    with writer:
        yield show


def _even(frame: NDArray[Any]) -> NDArray[Any]:
    """Cut a frame to even width and height, which the usual video format asks for."""
    height, width = frame.shape[:2]
    return frame[: height - height % 2, : width - width % 2]
