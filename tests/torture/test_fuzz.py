"""A moment of fuzzing of each parser and of the native core; `python tests/torture/fuzz.py` goes on for longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).with_name("fuzz.py")


def fuzz(*arguments):
    command = [sys.executable, str(FUZZ), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.parametrize("target", ["checkpoint", "policy", "toml", "metrics", "config", "native"])
def test_fuzzing_for_a_moment_finds_nothing(target, tmp_path):
    done = fuzz(target, "--seconds", 1.5, "--seed", 1, "--keep", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failures, of which 0 crashes or hangs" in done.stdout


class Treacherous:
    """A target that fails in every way there is."""

    name = "treacherous"
    traced = False
    bounded = True

    def seeds(self):
        return [b"fine"]

    def mutate(self, rng, corpus):
        return rng.choice([b"fine", b"refused", b"raises", b"crashes", b"grows"])

    def run(self, data):
        import faulthandler

        if data == b"raises":
            raise KeyError("not documented")
        if data == b"crashes":
            faulthandler._sigsegv()
        if data == b"grows":
            bytearray(2**30 + 2**29)
        return (1, 0) if data == b"fine" else (0, 1)


@pytest.mark.parametrize("data", [b"raises", b"crashes", b"grows"])
def test_a_failure_is_noticed_attributed_and_kept(data, tmp_path, monkeypatch):
    import fuzz

    messages = []
    fuzzer = fuzz.Fuzzer(Treacherous(), 0, tmp_path / "keep")
    try:
        figures = fuzzer.replay(data, messages.append)
    finally:
        fuzzer.close()
    assert figures.failures == 1 and figures.crashes == (data == b"crashes")
    assert [file.read_bytes() for file in (tmp_path / "keep").iterdir()] == [data]
    assert "FAILED" in messages[0]


def test_a_failure_can_be_replayed(tmp_path):
    (tmp_path / "input").write_bytes(b"description = 3")
    done = fuzz("toml", "--replay", tmp_path / "input")
    assert "1 inputs tried, 0 accepted, 1 refused, 0 failures" in done.stdout, done.stdout + done.stderr
