"""Promises about child processes: what they run, where they look for modules, and how they end."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import pytest

from rewirl import processes

CHILD = """
import os, signal, sys
from multiprocessing.connection import Connection

def echo(descriptor):
    with Connection(descriptor) as pipe:
        print("said", flush=True)
        pipe.send((os.getsid(0) == os.getpid(), sys.path, getattr(sys.modules["__main__"], "__file__", None)))
        pipe.recv()

def stubborn(descriptor):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Connection(descriptor).send("here")
    signal.pause()
"""


@pytest.fixture
def path(tmp_path: Path) -> list[str]:
    (tmp_path / "child_of_a_test.py").write_text(CHILD)
    return [str(tmp_path), *processes.search_path()]


def test_a_child_runs_the_function_in_a_session_of_its_own_and_looks_where_it_is_told(path):
    with tempfile.TemporaryFile() as output:
        process, pipe = processes.start("child_of_a_test", "echo", output, path)
        own_session, looks, script = pipe.recv()
        assert own_session and looks == path and script is None
        pipe.close()  # it waits for a message, and ends without one
        assert processes.end(process, 10) == 1
        output.seek(0)
        assert output.read().startswith(b"said\n")


def test_one_that_takes_too_long_is_killed(path):
    process, pipe = processes.start("child_of_a_test", "stubborn", path=path)
    with pipe:
        assert pipe.recv() == "here"
    began = time.monotonic()
    assert processes.end(process, 0.1) == -9
    assert time.monotonic() - began < 60  # it would wait for ever


def test_nothing_is_left_open_where_none_can_be_started(path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    with pytest.raises(OSError):
        processes.start("child_of_a_test", "echo", path=path)
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before
