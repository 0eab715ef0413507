"""The command `rewirl export`: what it writes, says and refuses."""

from __future__ import annotations

import re
import sys

import pytest
from policies import policy_of, save

import rewirl
from rewirl.cli.commands import run
from rewirl.cli.errors import UsageError
from rewirl.export import compiled


@pytest.fixture
def saved(tmp_path):
    return save(policy_of("xqc", "unstructured"), tmp_path / "saved")


@pytest.mark.parametrize("words", [[], ["--weights", "int8"], ["--tanh", "table"]])
def test_c_is_written_and_compared(saved, tmp_path, capsys, words):
    assert run("export", [str(saved), "--directory", str(tmp_path / "out"), "--name", "walker", *words]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["walker.c", "walker.h"]
    said = capsys.readouterr().out
    assert "bytes of the network's constants" in said and "compiled here" in said
    difference = float(re.search(r"observations: ([0-9.e+-]+) of half", said)[1])
    assert difference < (0.5 if "int8" in words else 1e-5)
    header = (tmp_path / "out" / "walker.h").read_text()
    assert "int walker_act(const float observation[WALKER_OBSERVATION_SIZE]" in header


def test_without_a_compiler_the_arrays_are_compared(saved, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(compiled, "compiler", lambda: None)
    assert run("export", [str(saved), "--directory", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "its arrays in NumPy" in said.out and "no C compiler" in said.err


@pytest.mark.parametrize("name", ["try_it", "main", "caller"])
def test_any_name_is_tried(saved, tmp_path, capsys, name):
    assert run("export", [str(saved), "--directory", str(tmp_path), "--name", name]) == 0
    assert "compiled here" in capsys.readouterr().out


def test_a_compiler_that_fails_is_a_failure(saved, tmp_path, capsys, monkeypatch):
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho policy.c:5: error >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(compiled, "compiler", lambda: str(broken))
    assert run("export", [str(saved), "--directory", str(tmp_path / "out")]) == 1
    assert "the C compiler failed: policy.c:5: error" in capsys.readouterr().err


def test_files_of_before_are_kept_unless_asked(saved, tmp_path):
    words = [str(saved), "--directory", str(tmp_path)]
    (tmp_path / "policy.c").write_text("mine")
    with pytest.raises(UsageError, match="is there already; --overwrite replaces it"):
        run("export", words)
    assert (tmp_path / "policy.c").read_text() == "mine" and not (tmp_path / "policy.h").exists()
    assert run("export", [*words, "--overwrite"]) == 0
    assert "policy_act" in (tmp_path / "policy.c").read_text()


@pytest.mark.parametrize("name", ["", "Walker", "2d", "a-b", "a b", "../x", "math", "x" * 33, "ä", "a\n"])
def test_names_that_c_cannot_use_are_refused(saved, tmp_path, name):
    with pytest.raises(UsageError, match="name"):
        run("export", [str(saved), "--directory", str(tmp_path), "--name", name])
    assert not list(tmp_path.glob("*.c"))


def test_files_that_act_otherwise_are_told(saved, tmp_path, capsys, monkeypatch):
    original = compiled.run
    monkeypatch.setattr(compiled, "run", lambda *arguments: original(*arguments) * 1.01)
    assert run("export", [str(saved), "--directory", str(tmp_path)]) == 1
    assert "do not act as the policy does" in capsys.readouterr().err


def test_onnx_that_is_missing_is_named_with_its_remedy(saved, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "rewirl.export.onnx_model", raising=False)
    with pytest.raises(UsageError, match=r"needs the package onnx: pip install 'rewirl\[export\]'"):
        run("export", [str(saved), "--format", "onnx", "--directory", str(tmp_path)])


def test_torch_that_is_missing_is_named_with_its_remedy(saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "rewirl.export.torch_module", raising=False)
    with pytest.raises(ModuleNotFoundError, match="to_torch needs the package torch: pip install torch"):
        rewirl.load(saved).to_torch()
