"""The command `rewirl export`: what it writes, says and refuses."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from policies import BOX, INPUT, policy_of, save, trained

import rewirl
from rewirl.agents import Policy
from rewirl.cli.commands import run
from rewirl.cli.errors import UsageError
from rewirl.environments.action_bounds import ActionBounds
from rewirl.environments.actions import DiscreteActions
from rewirl.export import compiled
from rewirl.export.text import checked_name
from rewirl.nn import Linear, Network


def without_a_choice():
    """A policy of finite weights whose outputs are not: infinite times 0."""
    arrays = {"a.values": np.full(3 * INPUT, 3e38, np.float32), "b.values": np.zeros(9, np.float32)}
    network = Network(INPUT, [Linear("a", n_out=3), Linear("b", n_out=3)], {}, arrays)
    return trained(Policy(network, head="greedy"), DiscreteActions(3))


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
    header, source = ((tmp_path / "out" / f"walker.{end}").read_text() for end in "hc")
    assert (" int8_t " in source) == ("int8" in words) and ("tanhf" in source) == ("table" not in words)
    takes = re.search(r"constants: (\d+) bytes .* memory: (\d+) bytes, static; (\d+) multiply-adds", header)
    told = re.search(r"([\d,]+) bytes of the .*, ([\d,]+) of working memory, ([\d,]+) multiply-adds", said)
    assert [each.replace(",", "") for each in told.groups()] == list(takes.groups())
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


@pytest.mark.parametrize("problem", ["no place", "no programs"])
def test_where_nothing_can_be_run_the_arrays_are_compared(saved, tmp_path, capsys, monkeypatch, problem):
    if problem == "no place":
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    else:
        mute = tmp_path / "cc"
        mute.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\ntouch "$2"\n')  # nothing that may be run
        mute.chmod(0o755)
        monkeypatch.setattr(compiled, "compiler", lambda: str(mute))
    assert run("export", [str(saved), "--directory", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "its arrays in NumPy" in said.out and "TMPDIR" in said.err


def test_files_of_before_are_kept_unless_asked(saved, tmp_path):
    words = [str(saved), "--directory", str(tmp_path)]
    (tmp_path / "policy.c").write_text("mine")
    with pytest.raises(UsageError, match="is there already; --overwrite replaces it"):
        run("export", words)
    assert (tmp_path / "policy.c").read_text() == "mine" and not (tmp_path / "policy.h").exists()
    assert run("export", [*words, "--overwrite"]) == 0
    assert "policy_act" in (tmp_path / "policy.c").read_text()


@pytest.mark.parametrize(
    "name", ["", "Walker", "2d", "a-b", "a b", "../x", "math", "x" * 33, "ä", "a\n", "features", "con", "lpt1"]
)
def test_names_that_c_cannot_use_are_refused(saved, tmp_path, name):
    with pytest.raises(UsageError, match="name"):
        run("export", [str(saved), "--directory", str(tmp_path), "--name", name])
    assert not list(tmp_path.glob("*.c"))


def test_no_header_that_is_included_here_can_be_hidden(tmp_path):
    command = [compiled.compiler(), "-E", "-x", "c", "-"]
    text = "".join(f"#include <{name}.h>\n" for name in ("math", "stddef", "stdint", "stdio", "stdlib", "string"))
    made = subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    included = set(re.findall(r'"[^"]*/include/([a-z][a-z0-9_]*)\.h"', made))
    assert {"math", "features"} <= included
    for name in included:
        with pytest.raises(ValueError, match=f"would hide the header <{name}.h>"):
            checked_name(name)


@pytest.mark.parametrize("words", [[], ["--overwrite"]])
def test_what_stands_in_the_way_is_said_and_left_alone(saved, tmp_path, words):
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "out" / "policy.c").mkdir(parents=True)
    for directory in ("file", "dangling", "file/below"):
        with pytest.raises(UsageError, match=r"is there and no directory, .*choose another --directory"):
            run("export", [str(saved), "--directory", str(tmp_path / directory), *words])
    with pytest.raises(UsageError, match=r"policy\.c is a directory; choose another --name"):
        run("export", [str(saved), "--directory", str(tmp_path / "out"), *words])
    assert not list(tmp_path.rglob("*.h"))


def test_a_link_to_nowhere_is_there_already(saved, tmp_path):
    words = [str(saved), "--directory", str(tmp_path)]
    (tmp_path / "policy.c").symlink_to(tmp_path / "elsewhere.c")
    with pytest.raises(UsageError, match=r"policy\.c is there already; --overwrite"):
        run("export", words)
    assert run("export", [*words, "--overwrite"]) == 0
    assert not (tmp_path / "policy.c").is_symlink() and not (tmp_path / "elsewhere.c").exists()


def test_bounds_that_are_narrow_in_float32_are_no_failure_and_those_without_a_number_are_refused(tmp_path, capsys):
    narrow = ActionBounds([10000.0, -1.0], [10001.0, 1.0], np.float64)
    saved = save(policy_of("td3", "unstructured", narrow), tmp_path / "narrow")
    assert run("export", [str(saved), "--directory", str(tmp_path)]) == 0
    assert "so narrow are its bounds that float32 numbers are 0.002 apart" in capsys.readouterr().out
    without = ActionBounds([-1.0, 0.1 + 1e-12], [1.0, 0.1 + 2e-12], np.float64)
    saved = save(policy_of("td3", "unstructured", without), tmp_path / "without")
    with pytest.raises(UsageError, match=r"no float32 number is within the bounds of its action 1, 0\.1.*widen them"):
        run("export", [str(saved), "--directory", str(tmp_path), "--name", "without"])


def test_files_that_act_otherwise_are_told(saved, tmp_path, capsys, monkeypatch):
    original = compiled.run
    monkeypatch.setattr(compiled, "run", lambda *arguments: original(*arguments) * 1.01)
    assert run("export", [str(saved), "--directory", str(tmp_path)]) == 1
    assert "do not act as the policy does" in capsys.readouterr().err


def test_numbers_too_large_for_float32_are_told_with_the_format_that_has_room_for_them(tmp_path, capsys):
    values = np.random.default_rng(0).normal(size=3 * INPUT).astype(np.float32) * np.float32(1e38)
    network = Network(INPUT, [Linear("a", n_out=3)], {}, {"a.values": values})
    saved = save(trained(Policy(network), BOX), tmp_path / "saved")
    assert run("export", [str(saved), "--directory", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "compiled here" in said.out and "numbers that are too large for that. --format onnx" in said.err
    pytest.importorskip("onnxruntime")
    assert run("export", [str(saved), "--directory", str(tmp_path), "--format", "onnx"]) == 0


def test_a_choice_that_rewirl_does_not_make_either_is_no_fault_of_the_files(tmp_path, capsys):
    saved = save(without_a_choice(), tmp_path / "saved")
    assert run("export", [str(saved), "--directory", str(tmp_path)]) == 1
    assert "nor does Rewirl's own float32" in capsys.readouterr().err


def test_a_policy_that_computes_no_choice_says_so_rather_than_return_a_number_that_is_none():
    policy = without_a_choice()
    drawing = trained(Policy(policy.actor.actor, head="softmax"), DiscreteActions(3))
    for observation in (np.full(INPUT, 9.0), np.full((2, INPUT), 9.0)):
        for each, rng in ((policy, None), (drawing, None), (drawing, np.random.default_rng(0))):
            with pytest.raises(ValueError, match="computes actions that are not integers from 0 to 2: numbers"):
                each.predict(observation, rng)


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


@pytest.mark.parametrize("words", [["--format", "torch"], ["--format=pytorch"]])
def test_who_asks_for_a_module_of_pytorch_is_told_where_it_is(words):
    with pytest.raises(UsageError, match="to_torch"):
        run("export", ["runs/x", *words])


def test_torch_may_be_a_name(saved, tmp_path):
    assert run("export", [str(saved), "--directory", str(tmp_path / "out"), "--name", "torch"]) == 0
    assert (tmp_path / "out" / "torch.c").is_file()
