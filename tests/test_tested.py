"""Which dependencies are tested is written down in one place, and newer ones are named once."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import pytest

import rewirl
from rewirl import tested
from rewirl.cli import main as command_line

ROOT = Path(__file__).parents[1]


@pytest.fixture
def installed(monkeypatch):
    """What is installed, as a test says, and no warning given yet."""
    versions = {}
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: versions.get(name) or real(name))
    monkeypatch.setattr(tested, "_warned", False)
    monkeypatch.delenv(tested.SILENT, raising=False)
    return versions


def test_what_is_installed_here_is_no_newer_than_what_is_said_to_be_tested(installed):
    assert tested.untested() == ""


def test_the_documents_and_the_package_say_the_same():
    page = (ROOT / "docs" / "compatibility.md").read_text()
    listed = re.search(r"newest tested versions \| (.*) \|", page)[1]
    assert dict(each.split(" ") for each in listed.split(", ")) == tested.TESTED
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.match(r"\w+", line)[0] for line in needed} | {"mujoco"}  # the extra of gymnasium
    assert set(tested.TESTED) <= names


@pytest.mark.parametrize(
    "package, version, named",
    [
        ("mujoco", "4.0.9", False),
        ("mujoco", "4.1.0", True),
        ("mujoco", "5.0.0rc1", True),
        ("gymnasium", "1.10.0", True),
        ("gymnasium", "1.3.9", False),
        ("numpy", "2.5.99", False),
        ("scipy", "unknown", False),
        ("tyro", "1.1", True),
    ],
)
def test_a_newer_one_is_named_and_a_patch_is_not(installed, package, version, named):
    installed[package] = version
    said = tested.untested()
    assert (f"{package} {version} (tested: {tested.TESTED[package]})" in said) == named == bool(said)
    assert "\n" not in said and tested.untested() == ""


def test_it_can_be_silenced(installed, monkeypatch):
    installed["numpy"] = "3.0"
    monkeypatch.setenv(tested.SILENT, "quiet")
    assert tested.untested() == ""


def test_python_warns_once_in_a_category_of_its_own(installed):
    installed["gymnasium"] = "2.0"
    with pytest.warns(tested.UntestedVersionWarning, match=r"gymnasium 2\.0 \(tested: "):
        rewirl.DSTD3("Pendulum-v1", hidden_sizes=(4,)).close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rewirl.DSTD3("Pendulum-v1", hidden_sizes=(4,)).close()


def test_the_command_line_says_one_line_where_dependencies_are_used(installed, capsys):
    installed["mujoco"] = "9.9"
    with pytest.raises(SystemExit):
        command_line.main(["evaluate", "/nowhere/run"])
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "mujoco 9.9" in line] == [said[0]] and said[0].startswith("rewirl: warning: newer")
    for other in (["train", "--help"], ["presets"]):
        tested._warned = False
        with pytest.raises(SystemExit):
            command_line.main(other)
        assert "mujoco 9.9" not in capsys.readouterr().err


def test_importing_rewirl_asks_nothing():
    code = "import rewirl, sys; assert 'rewirl.tested' not in sys.modules or not sys.modules['rewirl.tested']._warned"
    subprocess.run([sys.executable, "-c", code], check=True)
