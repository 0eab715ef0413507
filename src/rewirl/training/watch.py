"""Watching a policy act: in a window, or as a video rendered off-screen."""

from __future__ import annotations

import contextlib
import ctypes.util
import functools
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl import seeding
from rewirl.environments.environment import Environment
from rewirl.environments.recipe import package_advice
from rewirl.environments.source import EnvironmentSource
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.plugins import RAISED
from rewirl.printing import is_terminal, number
from rewirl.processes import signal_name
from rewirl.training.evaluation import LONGEST_EPISODE, endless
from rewirl.training.trained_policy import TrainedPolicy

_LONGEST_LOOK_SECONDS = 60
_NOWHERE = 3
"""Exit code of a process that drew, but into no window."""
_VIDEOS = (".mp4", ".mkv", ".mov", ".avi", ".mpeg", ".wmv", ".gif")
"""Endings of files that imageio writes as videos of one file, whatever the system."""
_SECONDS_BETWEEN_LINES, _LESS_OFTEN = 2.0, 15
"""Of how far a video is: on a terminal, and how many times as long into a pipe or a file."""


class WatchError(RuntimeError):
    """Nothing can be shown here; the message says what is missing."""


def watch(
    policy: TrainedPolicy,
    episodes: int,
    seed: int,
    video: Path | None,
    tell: Callable[[str], None] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> list[float]:
    """Play episodes and show them.

    Args:
        policy: who acts.
        episodes: how many.
        seed: decides the episodes.
        video: file to write, such as run.mp4; None opens a window.
        tell: gets a line at the start and then every few seconds, how far a video is.
        stopped: tells whether somebody asked for the end, between two steps.

    Returns:
        The return of each episode.

    Raises:
        WatchError: rendering libraries or a display are missing; the message names them. Or the file is no video.
        UnsuitableEnvironmentError: the policy's environment cannot be made.
        FaultyEnvironmentError: the environment misbehaved.
        KeyboardInterrupt: it was stopped; an unfinished video is removed.
    """
    if video is not None:
        if video.suffix.lower() not in _VIDEOS:
            raise WatchError(f"{video} is no name of a video; give one that ends in {', '.join(_VIDEOS)}")
        _choose_offscreen_rendering()
    source = policy.source()
    assert source.recipe is not None
    mode = "human" if video is None else "rgb_array"
    if video is None:
        _refuse_without_window(source)
    with _rendering(mode):
        environment = Environment(_drawable(source, mode), source.name)
    returns: list[float] = []
    told = time.monotonic()
    pause = _SECONDS_BETWEEN_LINES * (1 if is_terminal(sys.stderr) else _LESS_OFTEN)
    if video is not None:
        tell(f"drawing {source.name} into {video}")
    try:
        if video is not None:
            _follow(environment)
        policy.check_fits(environment)
        with _rendering(mode), _video(video, environment) as show:
            for episode in range(episodes):
                environment.where = functools.partial("episode {} of watching".format, episode)
                if policy.environment_state is not None:  # before each one, as in an evaluation
                    environment.load_state(policy.environment_state)
                observation = environment.reset(
                    seeding.episode_seed(seed, "evaluation", episode), policy.environment_step
                )
                show()
                returns.append(0.0)
                steps, over = 0, False
                while not over:
                    if stopped():
                        raise KeyboardInterrupt
                    if steps >= LONGEST_EPISODE:
                        raise endless(environment)
                    steps += 1
                    action, actions = policy.act(observation[None])[0], environment.actions
                    if not actions.valid(action):
                        raise environment.fault(f"the policy computes actions that are not {actions.expected}")
                    step = environment.step(actions.to_environment(action))
                    show()
                    observation, over = step.observation, step.terminated or step.truncated
                    returns[-1] += step.reward
                    if video is not None and time.monotonic() - told > pause:
                        told = time.monotonic()
                        tell(f"episode {episode} of {episodes}, step {steps:,}, return {number(returns[-1], least=1)}")
    finally:
        environment.close()
    return returns


def _follow(environment: Environment) -> None:
    """Let the model's own camera "track" draw, and the floor without an end: some policies run off it.

    Gymnasium 1.4 finds that camera, and then has a free one look at the start. A plane of any size bears whatever is on
    it, so what happens stays the same.
    """
    renderer = getattr(environment.env.unwrapped, "mujoco_renderer", None)
    if renderer is None:
        return  # no MuJoCo
    mujoco: Any = importlib.import_module("mujoco")
    model = renderer.model
    model.geom_size[model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE, :2] = 0  # which draws it without an end
    if getattr(renderer, "camera_id", None) == -1:  # unless somebody has named one
        renderer.camera_id = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, "track")  # -1 if there is none


def _choose_offscreen_rendering() -> None:
    """Tell MuJoCo how to draw without a display, unless the user has."""
    if "MUJOCO_GL" in os.environ or not sys.platform.startswith("linux"):
        return
    for backend, library in (("egl", "EGL"), ("osmesa", "OSMesa")):
        if ctypes.util.find_library(library):
            os.environ["MUJOCO_GL"] = backend
            return


def _refuse_without_window(source: EnvironmentSource) -> None:
    """Open a window in a process of its own first: libraries that find no display end the process they are in.

    Raises:
        WatchError: there is no display, or drawing on it ends a process.
    """
    if not sys.platform.startswith("linux"):
        return
    if not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")):
        raise WatchError(
            "no window can be opened here (neither DISPLAY nor WAYLAND_DISPLAY is set); use --video FILE.mp4"
        )
    child = os.fork()
    if child == 0:
        code = 0
        try:
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            assert source.recipe is not None
            environment = source.recipe.make(source.module, render_mode="human")
            environment.reset(seed=0)
            code = _NOWHERE if _is_drawn_nowhere() else 0
            environment.close()
        finally:
            os._exit(code)  # an exception comes again where it is reported
    status, until = (0, 0), time.monotonic() + _LONGEST_LOOK_SECONDS
    while not status[0] and time.monotonic() < until:
        status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.02)
    if not status[0]:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise WatchError(f"no window opened within {_LONGEST_LOOK_SECONDS} seconds; use --video FILE.mp4")
    if os.WIFSIGNALED(status[1]):
        name = signal_name(os.WTERMSIG(status[1]))
        raise WatchError(f"no window can be opened here (drawing ends the process with {name}); use --video FILE.mp4")
    if os.WEXITSTATUS(status[1]) == _NOWHERE:
        raise WatchError("no window can be opened here (there is no display where DISPLAY says); use --video FILE.mp4")


def _is_drawn_nowhere() -> bool:
    """Tell whether pygame or matplotlib draws, and has found no display; they say nothing, or go on."""
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None and pyplot.get_fignums() and "MPLBACKEND" not in os.environ:
        return str(pyplot.get_backend()).lower() == "agg"
    pygame: Any = sys.modules.get("pygame")
    if pygame is None or "SDL_VIDEODRIVER" in os.environ or not pygame.display.get_init():
        return False
    return pygame.display.get_driver() in ("offscreen", "dummy")


def _drawable(source: EnvironmentSource, mode: str) -> Any:
    """Make the environment with a render mode; an environment of the user's own may not take one."""
    assert source.recipe is not None
    try:
        return source.recipe.make(source.module, render_mode=mode)
    except UnsuitableEnvironmentError as error:
        if isinstance(error.__cause__, TypeError) and "render_mode" in str(error.__cause__):
            raise WatchError(
                f"{source.name} cannot be drawn: it takes no render_mode. Its class needs __init__(self, render_mode), "
                f'which sets self.render_mode, metadata with "render_modes": ["{mode}"], and render()'
            ) from error
        raise


@contextlib.contextmanager
def _rendering(mode: str) -> Iterator[None]:
    """Turn what the rendering libraries throw into advice; faults of the environment's own pass."""
    import gymnasium

    try:
        yield
    except WatchError:
        raise
    except gymnasium.error.DependencyNotInstalled as error:
        raise WatchError(f"this environment cannot be drawn: {error}{package_advice(error)}") from error
    except (ImportError, AttributeError, RuntimeError) as error:
        if type(error).__module__.startswith("rewirl."):
            cause = error.__cause__
            if isinstance(cause, gymnasium.error.DependencyNotInstalled):  # of reset or step
                raise WatchError(f"this environment cannot be drawn: {cause}{package_advice(cause)}") from error
            if "MUJOCO_GL" in str(error):
                raise WatchError(str(error)) from error
            if "MUJOCO_GL" in str(cause):
                raise WatchError(f"{error}; unset MUJOCO_GL, or set it to egl or osmesa") from error
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
    """Give a function that adds what the environment looks like now to the video; one that is cut short is removed."""
    if path is None:
        yield lambda: None  # in human mode the environment draws at every step by itself
        return
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # or pygame asks for a desktop, and complains where there is none
    import gymnasium

    try:
        import imageio  # noqa: F401
        import imageio_ffmpeg  # type: ignore[import-untyped]  # noqa: F401  (imageio finds it by itself, but not until the first frame)
    except ImportError as error:
        raise WatchError(f'writing a video needs two more packages: pip install "rewirl[video]" ({error})') from error
    rate = environment.env.metadata.get("render_fps", 30)
    try:
        whole = path.resolve()  # a link stays one
        if whole.is_dir():
            raise IsADirectoryError("it is a directory")
        unfinished = whole.with_name(f".unfinished-{whole.name}")  # an older video stays until this one is whole
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.touch()  # where that cannot be, ffmpeg's own message is long and may not say why
        unfinished.unlink()
        writer = _writer(unfinished, rate)
    except RAISED as error:
        reason = getattr(error, "strerror", None) or error
        raise WatchError(f"{path} cannot be written: {reason}; choose another place") from error

    def show() -> None:
        try:
            frame = environment.env.render()
        except (ImportError, AttributeError, RuntimeError, gymnasium.error.DependencyNotInstalled):
            raise  # of the rendering libraries, mostly, or of one that is missing
        except RAISED as error:
            hint = "; unset MUJOCO_GL, or set it to egl or osmesa" if "MUJOCO_GL" in os.environ else ""
            raise WatchError(f"{environment.name}: render() raised {type(error).__name__}: {error}{hint}") from error
        if frame is None:
            raise WatchError(f"{environment.name} cannot be drawn off-screen: its render() returned nothing")
        picture = np.asarray(frame)
        if picture.ndim != 3 or picture.shape[2] not in (3, 4) or picture.dtype != np.uint8 or min(picture.shape) < 2:
            raise WatchError(
                f"{environment.name} cannot be drawn off-screen: its render() must return uint8 "
                f"[height, width, 3], got {picture.dtype} {list(picture.shape)}"
            )
        with _writing(path):
            writer.append_data(_even(picture))

    try:
        yield show
        with _writing(path):
            writer.close()
            if not unfinished.is_file() or unfinished.stat().st_size == 0:
                raise OSError("nothing was written")
            unfinished.replace(whole)
    except BaseException:
        with contextlib.suppress(*RAISED):
            writer.close()
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def _writer(path: Path, rate: float) -> Any:
    """Return what writes pictures as a video, so many a second."""
    import imageio.v2

    if path.suffix.lower() == ".gif":  # each picture has its own time, in milliseconds
        return imageio.v2.get_writer(path, duration=1000 / rate, loop=0)
    return imageio.v2.get_writer(path, fps=rate, macro_block_size=None, ffmpeg_log_level="error")


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except RAISED as error:
        raise WatchError(f"{path} cannot be written: {error}") from error


def _even(frame: NDArray[Any]) -> NDArray[Any]:
    """Cut a frame to even width and height, which the usual video format asks for."""
    height, width = frame.shape[:2]
    return frame[: height - height % 2, : width - width % 2]
