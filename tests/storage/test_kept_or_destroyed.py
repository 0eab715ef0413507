"""Promises about what is kept open and what is destroyed: nothing of a forgotten run, nothing of the user's own."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rewirl.storage import bundle
from rewirl.storage.checkpoint import save_checkpoint, sweep
from rewirl.storage.files import temporary_name, write_atomically
from rewirl.storage.metrics_log import MetricsLog
from rewirl.storage.policy_file import PolicyError, load_policy, save_policy
from rewirl.storage.run_directory import RunDirectory
from rewirl.storage.tensorboard import TensorBoardWriter


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def create(path):
    return RunDirectory.create(path, {}, instruction_set="x")


def test_what_was_forgotten_is_closed_and_its_lines_are_on_disk(tmp_path):
    gc.collect()  # what other tests have forgotten
    before = open_files()
    directory = create(tmp_path)
    log, board = MetricsLog(directory.metrics), TensorBoardWriter(directory.tensorboard)
    log.write("start")
    assert open_files() == before + 3
    del directory, log, board
    gc.collect()
    assert open_files() == before
    with RunDirectory.open(tmp_path) as again:
        assert again.metrics.read_bytes() == b'{"event": "start"}\n'


def test_a_run_of_an_agent_that_nobody_has_any_more_is_free(tmp_path):
    forgotten = [create(tmp_path)]
    forgotten.append(forgotten)  # as an agent and its training loop have each other
    gc.disable()
    try:
        del forgotten
        with RunDirectory.open(tmp_path):
            pass
    finally:
        gc.enable()


def test_a_forked_process_that_forgets_closes_nothing_of_its_parent(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log._pending.append(b'{"event": "waiting"}\n')
    child = os.fork()
    if child == 0:
        log.__del__()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    log.close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == b'{"event": "waiting"}\n'


@pytest.mark.parametrize("name", [".tmp-notes", ".old-results", ".tmp-", ".old-policy-of-mine", ".tmp-step-1"])
def test_the_users_own_files_stay_whatever_they_are_called(tmp_path, name):
    create(tmp_path).close()
    save_checkpoint(tmp_path / "checkpoints", 1, {"a/b": np.zeros(1)}, {})
    for place in (tmp_path, tmp_path / "checkpoints"):
        (place / name).mkdir()
        (place / name / "precious").write_text("mine")
    with RunDirectory.open(tmp_path) as directory:
        sweep(directory.checkpoints)
    for place in (tmp_path, tmp_path / "checkpoints"):
        assert (place / name / "precious").read_text() == "mine"


@pytest.mark.parametrize("name", [".tmp-best", ".old-best", temporary_name(Path("best")).name])
@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_a_policy_is_not_saved_over_something_of_the_users(tmp_path, name, kind):
    own = tmp_path / name
    if kind == "file":
        own.write_text("mine")
    elif kind == "link":
        own.symlink_to(tmp_path)
    else:
        own.mkdir()
        (own / "thesis.tex").write_text("mine")
    if name == ".tmp-best":  # nothing is written under that name
        save_policy(tmp_path / "best", {"a": np.zeros(1)}, {})
    else:
        with pytest.raises(PolicyError, match=r"best cannot be written: (\.old-best is in the way|File exists)"):
            save_policy(tmp_path / "best", {"a": np.zeros(1)}, {})
        assert not (tmp_path / "best").exists()
    assert os.path.lexists(own) and (kind != "directory" or (own / "thesis.tex").exists())


def test_what_a_killed_process_left_of_a_policy_is_no_obstacle(tmp_path):
    killed = subprocess.Popen(["true"])
    killed.wait()
    for name in (".tmp-best", f".tmp-best.{killed.pid}-{killed.pid}", temporary_name(tmp_path / "best").name):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.json").write_text("{")
    save_policy(tmp_path / "best", {"a": np.zeros(1)}, {"x": 1})
    (tmp_path / "best").rename(tmp_path / f"{bundle.PREVIOUS}best")
    save_policy(tmp_path / "best", {"a": np.zeros(1)}, {"x": 2})
    assert load_policy(tmp_path / "best")[1] == {"x": 2}
    assert [entry.name for entry in tmp_path.iterdir()] == ["best"]


def test_what_another_process_finishes_meanwhile_is_no_obstacle(tmp_path, monkeypatch):
    killed = subprocess.Popen(["true"])
    killed.wait()
    other = tmp_path / f".tmp-best.{killed.pid}-{killed.pid}"
    other.mkdir()

    def finished(path):
        path.rename(tmp_path / "best")
        return True

    with monkeypatch.context() as patched:
        patched.setattr(bundle, "_ours", finished)
        save_policy(tmp_path / "best", {"a": np.zeros(1)}, {"x": 1})
    assert load_policy(tmp_path / "best")[1] == {"x": 1}


def test_what_a_killed_process_left_of_a_file_is_removed(tmp_path):
    killed = subprocess.Popen(["true"])
    killed.wait()
    of_others = {f".tmp-page.{os.getppid()}-1", ".tmp-other"}
    for name in (".tmp-page", f".tmp-page.{killed.pid}-{killed.pid}", *of_others):
        (tmp_path / name).write_text("half")
    write_atomically(tmp_path / "page", b"whole")
    assert {entry.name for entry in tmp_path.iterdir()} == {"page", *of_others}


def test_resuming_a_hard_linked_copy_leaves_the_log_of_the_original(tmp_path):
    path, copy = tmp_path / "metrics.jsonl", tmp_path / "copy.jsonl"
    log = MetricsLog(path)
    log.write("one")
    offset = log.offset
    log.write("two")
    log.close()
    os.link(path, copy)
    before = path.read_bytes()
    other = MetricsLog(copy, truncate_to=offset)
    other.write("three")
    other.close()
    assert path.read_bytes() == before
    assert copy.read_bytes() == before[:offset] + b'{"event": "three"}\n'


@pytest.mark.parametrize("which", ["log", "board", "directory"])
@pytest.mark.parametrize("error", [errno.EDQUOT, errno.EIO])
def test_a_close_that_fails_is_a_warning(tmp_path, monkeypatch, which, error):
    directory = create(tmp_path)
    messages: list[str] = []
    log = MetricsLog(directory.metrics, messages.append)
    board = TensorBoardWriter(directory.tensorboard, warn=messages.append)
    real, one = os.close, {"log": log, "board": board, "directory": directory}[which]

    def failing(descriptor):
        real(descriptor)
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "close", failing)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        one.close()
    monkeypatch.undo()
    messages += [str(warning.message) for warning in caught]
    assert len(messages) == 1 and os.strerror(error) in messages[0]
    one.close()  # and there is nothing left to close
    for each in (log, board, directory):
        each.close()


def test_a_report_that_finds_no_room_leaves_the_old_page(tmp_path, monkeypatch, capsys):
    from rewirl.cli import report
    from rewirl.cli.errors import UsageError
    from rewirl.storage import files

    page, link = tmp_path / "report.html", tmp_path / "link.html"
    page.write_text("the old page")
    link.symlink_to(page)
    monkeypatch.setattr(
        "rewirl.experiments.report.run_data.find_runs", lambda paths: ([SimpleNamespace(agent="td3")], [])
    )
    monkeypatch.setattr("rewirl.experiments.report.report", lambda runs, problems, **options: [])

    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch, pytest.raises(UsageError, match=r"report\.html cannot be written: No space"):
        patch.setattr(files, "_create", full)
        report.report([str(tmp_path), "--output", str(page)])
    assert page.read_text() == "the old page" and len(list(tmp_path.iterdir())) == 2
    report.report([str(tmp_path), "--output", str(link)])
    assert link.is_symlink() and "the old page" not in page.read_text()
