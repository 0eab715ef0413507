"""Promises about output that is closed, full or no terminal, and about displays that are not there."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from rewirl import printing
from rewirl.cli.main import main
from rewirl.experiments.sweep import table
from rewirl.training import progress, watch

SMALL = shlex.split(
    "--env Pendulum-v1 --hidden-sizes 16 16 --learning-starts 50 --batch-size 10 --eval-episodes 1 --threads 1 "
    "--total-timesteps 100 --eval-every 50"
)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def rewirl(*arguments, shell="", env=(), cwd=None):
    command = f"{shlex.join([sys.executable, '-m', 'rewirl', *map(str, arguments)])} {shell}"
    where = {**ENVIRONMENT, **dict(env)}
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=where, cwd=cwd, timeout=120)


@pytest.mark.parametrize("shell", [">&-", ">&- 2>&-", ">&- 2>&- <&-"])
def test_a_run_without_output_trains(tmp_path, shell):
    ended = rewirl("train", *SMALL, "--run-dir", tmp_path / "run", shell=shell)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "run" / "policy").is_dir()


def test_a_sweep_without_output_trains(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(
        'agents = ["td3"]\nenvs = ["Pendulum-v1"]\nseeds = [0]\nhidden_sizes = [16, 16]\nlearning_starts = 50\n'
        "batch_size = 10\ntotal_timesteps = 100\neval_every = 0\n"
    )
    ended = rewirl("sweep", path, "--directory", tmp_path / "runs", "--workers", 1, shell=">&-")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(list((tmp_path / "runs").glob("*/policy"))) == 1


@pytest.mark.parametrize("shell", [">&-", "> /dev/full"])
@pytest.mark.parametrize(
    "command", [["presets"], ["--version"], ["inspect", "--env", "Pendulum-v1"], ["report", "--help"], ["--help"]]
)
def test_a_result_that_nobody_can_read_is_a_failure_in_one_line(command, shell):
    ended = rewirl(*command, shell=shell)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1 and "the standard output" in ended.stderr


def test_no_file_takes_the_place_of_a_closed_output():
    code = (
        "from rewirl.cli import main; main._prepare_output(); import os\n"
        "print(open('/dev/null').fileno(), file=open(os.environ['TO'], 'w'))"
    )
    read, write = os.pipe()
    command = f"{shlex.join([sys.executable, '-c', code])} >&- 2>&- <&-"
    subprocess.run(["bash", "-c", command], env={**ENVIRONMENT, "TO": f"/dev/fd/{write}"}, pass_fds=[write], check=True)
    os.close(write)
    assert int(os.read(read, 100)) > 2


class OnlyWrites:
    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


class Broken(OnlyWrites):
    def write(self, text):
        raise ValueError("I/O operation on closed file")

    def isatty(self):
        raise ValueError("I/O operation on closed file")


@pytest.mark.parametrize("stream", [None, OnlyWrites(), Broken(), io.TextIOWrapper(io.BytesIO(), "ascii")])
def test_any_standard_output_will_do(monkeypatch, stream):
    monkeypatch.setattr(sys, "stdout", stream)
    assert isinstance(progress.for_this_terminal(), progress.PlainLines)
    assert isinstance(table.for_this_terminal(), table.Lines)
    progress.for_this_terminal().message("±")
    if isinstance(stream, OnlyWrites) and not isinstance(stream, Broken):
        assert stream.text == "±\n"
    if isinstance(stream, io.TextIOWrapper):
        assert stream.buffer.getvalue() == b"\\xb1\n"


@pytest.mark.parametrize("command", ["train", "resume", "watch", "sweep", "report", "bench", "export"])
def test_help_takes_any_standard_output(monkeypatch, capsys, command):
    monkeypatch.setattr(sys, "stdout", stream := OnlyWrites())
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0 and "--help" in stream.text
    for unreadable in (None, Broken()):
        monkeypatch.setattr(sys, "stdout", unreadable)
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 1
        assert capsys.readouterr().err.count("\n") == 1


def test_a_stream_that_cannot_tell_is_no_terminal():
    assert not printing.is_terminal(None) and not printing.is_terminal(object()) and not printing.is_terminal(Broken())


class Painted(gymnasium.Env):
    """Draws what it is told to."""

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 30}  # noqa: RUF012
    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))

    def __init__(self, picture="good", render_mode=None):
        self.picture, self.render_mode, self.steps = picture, render_mode, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        if self.picture == "missing at reset" and self.render_mode is not None:
            raise gymnasium.error.DependencyNotInstalled("pygame is not installed, run `pip install pygame`")
        if self.render_mode == "human" and self.picture == "abort":
            os.abort()
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(2, np.float32), 1.0, False, self.steps >= 5, {}

    def render(self):
        match self.picture:
            case "raises":
                raise KeyError("no camera")
            case "missing":
                raise gymnasium.error.DependencyNotInstalled("pygame is not installed, run `pip install pygame`")
            case "none":
                return None
            case "list":
                return [np.zeros((32, 32, 3), np.uint8)]
            case "floats":
                return np.zeros((32, 32, 3))
        return np.zeros((32, 32, 3), np.uint8)


gymnasium.register("rewirl-tests/Painted-v0", entry_point="test_output:Painted", disable_env_checker=True)


def trained(*options):
    """Train here, where nothing is to be seen of how a process does it."""
    with pytest.raises(SystemExit) as ended:
        main(["train", *map(str, options)])
    assert ended.value.code == 0


def watched(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["watch", *map(str, arguments)])
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


def painted(tmp_path, picture):
    path = tmp_path / "run"
    env = [
        "--env",
        "rewirl-tests/Painted-v0",
        "--env-kwargs",
        f'{{"picture": "{picture}"}}',
        "--env-module",
        "test_output",
    ]
    options = [*SMALL[2:-1], "0", *env, "--run-dir", path]
    trained(*options)
    return path


@pytest.mark.parametrize(
    ("picture", "word"),
    [
        ("raises", "no camera"),
        ("missing", "this environment cannot be drawn: pygame is not installed, run `pip install pygame`"),
        (
            "missing at reset",
            "cannot be drawn: pygame is not installed, run `pip install pygame`. Here: pip install 'rew",
        ),
        ("none", "returned nothing"),
        ("list", "must return uint8"),
        ("floats", "must return uint8"),
    ],
)
def test_an_environment_that_does_not_draw_is_named(tmp_path, capsys, picture, word):
    code, out, err = watched(capsys, painted(tmp_path, picture), "--video", tmp_path / "out.mp4")
    assert code == 2 and word in err and "Traceback" not in err
    assert "video:" not in out and ("MUJOCO_GL" in err) <= (picture == "raises")


def test_a_video_is_there_or_it_is_said_why_not(tmp_path, capsys):
    path = painted(tmp_path, "good")
    no_video = "is no name of a video; give one that ends in .mp4, .mkv, "
    places = {"out.txt": no_video, "out": no_video, "out.png": no_video, "run/config.json/out.mp4": "cannot be written"}
    places[f"{'x' * 249}.mp4"] = "cannot be written: File name too long"
    for name, words in places.items():
        code, out, err = watched(capsys, path, "--video", tmp_path / name)
        assert code == 2 and words in err and "Traceback" not in err and "FFMPEG" not in err
        assert ("video:" not in out and "drawing" not in err) or "mp4" in name


@pytest.mark.parametrize("name", [*(f"out{ending}" for ending in watch._VIDEOS), "OUT.MP4"])
def test_every_ending_that_is_named_is_a_video(tmp_path, name):
    pytest.importorskip("imageio_ffmpeg")
    with watch._writer(tmp_path / name, 30) as writer:
        for _ in range(3):
            writer.append_data(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    assert (tmp_path / name).stat().st_size > 500


def test_a_window_that_ends_the_process_is_refused(tmp_path):
    path, here = painted(tmp_path, "abort"), str(Path(__file__).parent)
    without = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "SDL_VIDEODRIVER": ""}
    ended = rewirl("watch", path, env=without, cwd=here)
    assert ended.returncode == 2 and "use --video" in ended.stderr
    ended = rewirl("watch", path, env={**without, "DISPLAY": ":77"}, cwd=here)
    assert ended.returncode == 2 and "SIGABRT" in ended.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is always a window")
def test_a_display_that_leads_nowhere_is_no_window(tmp_path):
    pytest.importorskip("pygame")
    path = tmp_path / "run"
    trained(*SMALL[2:-1], "0", "--env", "Pendulum-v1", "--run-dir", path)
    ended = rewirl("watch", path, env={"DISPLAY": ":77", "WAYLAND_DISPLAY": "", "XDG_RUNTIME_DIR": ""})
    assert ended.returncode == 2 and "there is no display where DISPLAY says" in ended.stderr, ended.stderr


def test_a_video_needs_no_desktop_and_no_word_is_said_of_one(tmp_path):
    pytest.importorskip("pygame")
    path = tmp_path / "run"
    trained(*SMALL[2:-1], "0", "--env", "Pendulum-v1", "--run-dir", path)
    without = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "XDG_RUNTIME_DIR": ""}
    ended = rewirl("watch", path, "--video", tmp_path / "out.mp4", env=without)
    assert ended.returncode == 0 and "XDG_RUNTIME_DIR" not in ended.stderr, ended.stderr


@pytest.mark.parametrize("library", ["nonsense", "glfw"])
def test_a_rendering_library_that_is_not_there_is_named(tmp_path, library):
    path = tmp_path / "run"
    options = [*SMALL[2:-1], "0", "--env", "InvertedPendulum-v5", "--run-dir", path]
    trained(*options)
    env = {"MUJOCO_GL": library, "DISPLAY": ""}
    ended = rewirl("watch", path, "--video", tmp_path / "out.mp4", env=env)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr, ended.stderr
    ended = rewirl("watch", path, env=env)
    assert ended.returncode == 2 and "no window can be opened here" in ended.stderr


def test_so_it_is_where_nothing_is_drawn(tmp_path):
    options = [*SMALL[2:-1], "0", "--env", "InvertedPendulum-v5", "--run-dir", tmp_path / "run"]
    ended = rewirl("train", *options, env={"MUJOCO_GL": "nonsense"})
    assert ended.returncode == 2 and "MUJOCO_GL is 'nonsense'" in ended.stderr and "Traceback" not in ended.stderr
