"""Paths that cannot be used end in one message, and commands to copy take any path."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from test_output import ENVIRONMENT, SMALL

import rewirl
from rewirl.cli.main import main
from rewirl.nn import load_native

LONG = "n" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", *SMALL, "--run-dir", LONG],
        ["train", *SMALL, "--warm-up-policy", LONG],
        ["resume", LONG],
        ["inspect", LONG],
        ["evaluate", LONG],
        ["watch", LONG],
        ["report", LONG],
        ["sweep", LONG],
        ["sweep", "ds-drl/table-2", "--dry-run", "--directory", LONG],
        ["bench", "kernels", "--json", f"{LONG}/x.json"],
    ],
    ids=lambda arguments: " ".join(arguments)[:20],
)
def test_a_name_too_long_is_one_message(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    err = capsys.readouterr().err
    assert ended.value.code == 2 and err.startswith("rewirl: ") and "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", *SMALL, "--run-dir", ""],
        ["train", *SMALL, "--run-dir="],
        ["resume", ""],
        ["evaluate", "", "--episodes", "1"],
        ["report", "x", ""],
        ["report", "--output", ""],
        ["sweep", "ds-drl/table-2", "--directory", ""],
        ["tune", "--preset", "small/pendulum", "--directory", ""],
        ["watch", "x", "--video", ""],
        ["bench", "kernels", "--json", ""],
    ],
    ids=lambda arguments: " ".join(arguments)[-20:],
)
def test_empty_text_is_no_path(arguments, capsys, tmp_path, monkeypatch):
    """That of a variable which is not set would be the working directory."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2 and "got empty text for a path; give one, or '.' for" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_path_may_end_with_an_equals_sign(capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        main(["report", str(tmp_path / "runs=")])
    assert ended.value.code == 2 and "no directory" in capsys.readouterr().err


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_file_is_no_run_directory(dry, capsys, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        main(["train", *SMALL, "--run-dir", str(tmp_path / "file"), *dry])
    assert ended.value.code == 2 and "is not a directory; choose another" in capsys.readouterr().err


def test_a_sweep_where_nothing_can_be_written_is_refused_before_a_run_begins(tmp_path, capsys):
    (tmp_path / "sweep.toml").write_text(
        'agents = ["td3"]\nenvs = ["Pendulum-v1"]\nseeds = [0, 1]\ntotal_timesteps = 2000\n'
    )
    with pytest.raises(SystemExit) as ended:
        main(["sweep", str(tmp_path / "sweep.toml"), "--directory", "/proc/rewirl-runs"])
    err = capsys.readouterr().err
    assert ended.value.code == 2 and err.count("\n") == 1
    assert "--directory /proc/rewirl-runs cannot be written to: " in err and err.endswith("; choose another one.\n")


@pytest.mark.parametrize(
    "command",
    [
        "train --run-dir",
        "tune --agent td3 --env Pendulum-v1 --trials 1 --total-timesteps 1500 --sample learning_rate --directory",
        "export Pendulum-v1/small --directory",
        "export Pendulum-v1/small --format onnx --directory",
    ],
)
def test_a_place_that_cannot_be_written_to_is_said_with_the_reason_and_what_to_do(command, capsys):
    words = command.replace("train", f"train {' '.join(SMALL)}").split()
    with pytest.raises(SystemExit) as ended:
        main([*words, "/proc/rewirl-runs"])
    err = capsys.readouterr().err
    assert ended.value.code == 2 and "/proc/rewirl-runs cannot be " in err
    assert "No such file or directory; choose another " in err


@pytest.mark.parametrize("command", ["train", "report x", "presets", "sweep ds-drl/table-2 --dry-run", "resume r"])
def test_a_working_directory_that_is_gone_is_one_message(tmp_path, command):
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd {shlex.quote(str(gone))}; rmdir {shlex.quote(str(gone))}; {sys.executable} -m rewirl {command}"
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert ended.returncode == 2 and "the working directory is gone" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_commands_that_a_run_prints_go_on_with_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "-my run; $(touch x)"
    with pytest.raises(SystemExit) as ended:
        main(["train", *SMALL, f"--run-dir={name}"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    (printed,) = (line.partition("See it act: ")[2] for line in out.splitlines() if "See it act" in line)
    assert shlex.split(printed)[-4:-2] == ["watch", f"./{name}"]
    with pytest.raises(SystemExit):
        main(["resume", f"./{name}"])
    printed = capsys.readouterr().out.partition("To train on: ")[2]
    assert shlex.split(printed)[-3] == f"./{name}" or Path(shlex.split(printed)[-3]) == Path(name)


def test_what_a_report_cannot_look_into_is_named(tmp_path, monkeypatch):
    import os

    from rewirl.experiments.report.run_data import find_runs

    closed = tmp_path / "closed"
    closed.mkdir()
    scandir = os.scandir

    def refuse(path):
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    runs, problems = find_runs([tmp_path])
    assert runs == [] and problems == [(closed, "cannot be read: Permission denied")]


@pytest.mark.parametrize(
    "options", [["--hidden-sizes", "10000000000000000000", "16"], ["--batch-size", "1e300"], ["--buffer-size", "1e30"]]
)
def test_extreme_settings_are_refused_in_words(options, capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        main(["train", *SMALL, *options, "--run-dir", str(tmp_path / "r")])
    assert ended.value.code == 2 and "Traceback" not in capsys.readouterr().err


class Scattered(os.PathLike):
    """A path in bytes."""

    def __fspath__(self):
        return b"x"


def test_what_is_no_path_is_refused_by_name_at_every_public_door(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with rewirl.DSTD3("Pendulum-v1", buffer_size=10) as agent:
        doors = {
            "path": [rewirl.load, agent.save],
            "run_dir": [rewirl.resume, rewirl.DSTD3.load, lambda given: agent.learn(20, run_dir=given)],
            "source": [load_native],
        }
        for name, functions in doors.items():
            for function in functions:
                for given in (3, b"x", 1.5, [], {}, True, Scattered()):
                    with pytest.raises(ValueError, match=f"^{name} must be a path, such as 'runs/x', got "):
                        function(given)
                with pytest.raises(ValueError, match=f"^{name} is empty text; give a path"):
                    function("")
        for function in (rewirl.load, agent.save, rewirl.resume):
            with pytest.raises(ValueError, match="must be a path"):
                function(None)
        for more in ({"progress": "no"}, {"check": 3}):
            with pytest.raises(ValueError, match="must be true or false"):
                agent.learn(20, **more)
    with pytest.raises(ValueError, match="env_module must be a word"):
        rewirl.DSTD3.load("x", env_module=3)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(rewirl.UnsuitableEnvironmentError, match="an environment is given by its id"):
        rewirl.DSTD3(3)


def test_a_working_directory_that_is_gone_is_said_in_python_too(tmp_path, monkeypatch):
    with rewirl.DSTD3("Pendulum-v1", hidden_sizes=(8,), learning_starts=20, batch_size=10, threads=1) as agent:
        agent.learn(30)
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        for door in (rewirl.load, rewirl.resume, agent.save, lambda path: agent.learn(30, run_dir=path)):
            with pytest.raises(ValueError, match="is 'x', and the working directory is gone"):
                door("x")
        agent.save(tmp_path / "policy")
    assert rewirl.load(tmp_path / "policy").about["step"] == 30


def test_a_program_whose_working_directory_is_gone_trains_and_resumes_by_whole_paths(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    small = {"hidden_sizes": (8,), "learning_starts": 20, "batch_size": 10, "threads": 1}
    with rewirl.DSTD3("Pendulum-v1", **small) as agent:
        agent.learn(30, run_dir=tmp_path / "run", eval_every=0)
    with rewirl.resume(tmp_path / "run") as agent:
        assert agent.learn(10).steps == 40
    with pytest.raises(
        rewirl.UnsuitableEnvironmentError, match="cannot import env_module 'never_made': No module named"
    ):
        rewirl.DSTD3("never_made:Env-v0", **small)
