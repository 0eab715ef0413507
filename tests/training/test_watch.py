"""What a video shows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import imageio_ffmpeg
import numpy as np
import pytest

import rewirl
from rewirl.cli import policy
from rewirl.cli.main import main
from rewirl.environments.environment import FaultyEnvironmentError
from rewirl.environments.source import environment_source
from rewirl.training import watch as watching
from rewirl.training.trained_policy import TrainedPolicy
from rewirl.training.watch import WatchError, _drawable, watch

FAR = """
import gymnasium
import numpy as np


class Far(gymnasium.Wrapper):
    def step(self, action):  # the camera that is free stays where the first frame was
        robot = self.unwrapped
        robot.set_state(robot.data.qpos + np.eye(9)[0] * 30, robot.data.qvel)
        return self.env.step(action)
"""

AT_ONCE = """
import sys
from rewirl.cli.main import main
from rewirl.training import watch

watch._SECONDS_BETWEEN_LINES = -1.0
main(sys.argv[1:])
"""


def test_the_last_frame_shows_the_robot_and_the_floor_wherever_it_has_run_to(tmp_path):
    (tmp_path / "far_away.py").write_text(FAR)

    def rewirl(*arguments):
        command = [sys.executable, "-c", AT_ONCE, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    task = ["--env", "HalfCheetah-v5", "--env-kwargs", '{"max_episode_steps": 3}', "--wrapper", "far_away:Far"]
    small = ["--hidden-sizes", "16", "16", "--learning-starts", "20", "--total-timesteps", "24", "--eval-every", "0"]
    assert rewirl("train", *task, *small, "--run-dir", "run").returncode == 0
    ended = rewirl("watch", "run", "--video", "far.mp4")
    if ended.returncode == 2:  # a machine without rendering libraries: the message says which
        assert "apt-get install libegl1" in ended.stderr
        pytest.skip(ended.stderr)
    assert ended.stderr.startswith("drawing HalfCheetah-v5") and "step 3, return" in ended.stderr
    read = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", tmp_path / "far.mp4"]
    frames = subprocess.run([*read, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    picture = np.frombuffer(frames, np.uint8).reshape(-1, 480, 480, 3)[-1].astype(np.int64)
    orange = (picture[..., 0] - picture[..., 2] > 40).mean()  # the cheetah's colour; floor and sky are grey and blue
    assert orange > 0.01
    assert picture[-40:].std() > 10  # 90 metres from where it began; the model's floor of 40 metres ends before


def test_an_environment_that_takes_no_render_mode_says_what_it_needs():
    import gymnasium

    class Blind(gymnasium.Env):
        pass

    gymnasium.register("Blind-v0", entry_point=Blind)
    try:
        with pytest.warns(UserWarning, match="render_mode"), pytest.raises(WatchError, match="takes no render_mode"):
            _drawable(environment_source("Blind-v0"), "rgb_array")
    finally:
        del gymnasium.registry["Blind-v0"]


@pytest.mark.parametrize(("backend", "nowhere"), [("agg", True), ("TkAgg", False)])
def test_a_figure_without_a_display_is_no_window(monkeypatch, backend, nowhere):
    pyplot = SimpleNamespace(get_fignums=lambda: [1], get_backend=lambda: backend)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", pyplot)
    monkeypatch.delenv("MPLBACKEND", raising=False)
    assert watching._is_drawn_nowhere() is nowhere
    monkeypatch.setenv("MPLBACKEND", backend)  # who asks for no window gets none
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    assert watching._is_drawn_nowhere() is False


def test_a_rendering_library_that_is_not_there_ends_nothing_without_words(tmp_path):
    command = [sys.executable, "-m", "rewirl", "train", "--env", "InvertedPendulum-v5", "--total-timesteps", "2000"]
    environment = {**os.environ, "MUJOCO_GL": "nonsense"}
    ended = subprocess.run(
        [*command, "--run-dir", str(tmp_path / "run")], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "unset MUJOCO_GL" in ended.stderr and "Traceback" not in ended.stderr


class _Stopped:
    """A policy that somebody stops after some steps."""

    def __init__(self, name: str) -> None:
        self._policy = TrainedPolicy.load(Path(name))
        self.left = 5
        self.by = signal.SIGINT

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)

    def act(self, observations: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.by)
        return self._policy.act(observations)


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request):
    """A signal that ends a program, also where whoever began the tests had it ignored."""
    before = signal.signal(request.param, signal.SIG_DFL)
    yield request.param
    signal.signal(request.param, before)


def test_a_video_that_is_stopped_is_removed_and_its_end_said(tmp_path, monkeypatch, capsys, number):
    pytest.importorskip("pygame")  # which takes SIGTERM where nobody else has
    stopped = _Stopped("Pendulum-v1/small")
    stopped.by = number
    (tmp_path / "out.mp4").write_text("older")
    monkeypatch.setattr(policy.TrainedPolicy, "load", lambda path: stopped)
    with pytest.raises(SystemExit) as ended:
        main(["watch", "Pendulum-v1/small", "--video", str(tmp_path / "out.mp4")])
    said = capsys.readouterr().err
    assert ended.value.code == 128 + number and said.endswith("out.mp4 was removed\n") and said.count("\n") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"] and (tmp_path / "out.mp4").read_text() == "older"


def test_a_policy_that_computes_no_action_is_named_rather_than_its_environment(tmp_path):
    with rewirl.DQN("CartPole-v1", hidden_sizes=(8,)) as agent:
        for layers in agent._run.agent.networks().values():
            layers.layers[0].set_values(np.full(32, 3e38, np.float32))
            layers.layers[0].bias[:] = 3e38  # infinite: two of them are added
            layers.layers[1].set_values(np.zeros(16, np.float32))
        agent.save(tmp_path / "policy")
    with pytest.raises(FaultyEnvironmentError, match="the policy computes actions that are not integers from 0 to 1"):
        watch(TrainedPolicy.load(tmp_path / "policy"), 1, 0, tmp_path / "out.gif")


def test_every_episode_begins_with_what_the_environment_kept_as_in_an_evaluation(tmp_path):
    import gymnasium

    class Counts(gymnasium.Env):
        """Pays the number of its episode, which it keeps."""

        metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}
        observation_space = gymnasium.spaces.Box(-1, 1, (2,))
        action_space = gymnasium.spaces.Discrete(2)

        def __init__(self, render_mode=None):
            self.render_mode, self.kept = render_mode, {"episodes": 0}

        def reset(self, *, seed=None, options=None):
            self.kept["episodes"] += 1
            return np.zeros(2, np.float32), {}

        def step(self, action):
            return np.zeros(2, np.float32), float(self.kept["episodes"]), True, False, {}

        def render(self):
            return np.zeros((16, 16, 3), np.uint8)

        def rewirl_state(self):
            return self.kept

        def load_rewirl_state(self, values):
            self.kept = values

    gymnasium.register("Counts-v0", entry_point=Counts)
    try:
        with rewirl.DQN("Counts-v0", hidden_sizes=(8,), learning_starts=5) as agent:
            agent.learn(20)
            agent.save(tmp_path / "policy")
        trained = TrainedPolicy.load(tmp_path / "policy")
        assert watch(trained, 3, 0, tmp_path / "out.gif") == [trained.environment_state[0]["episodes"] + 1.0] * 3
    finally:
        del gymnasium.registry["Counts-v0"]


def test_a_video_through_a_link_leaves_the_link(tmp_path):
    (tmp_path / "real.mp4").write_text("older")
    (tmp_path / "link.mp4").symlink_to("real.mp4")
    with pytest.raises(SystemExit) as ended:
        main(["watch", "Pendulum-v1/small", "--video", str(tmp_path / "link.mp4")])
    assert ended.value.code == 0 and (tmp_path / "link.mp4").is_symlink()
    assert (tmp_path / "real.mp4").stat().st_size > 1000 and len(list(tmp_path.iterdir())) == 2
