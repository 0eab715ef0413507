"""Every example runs, for fewer steps, and is short."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
STEPS = "1050"  # 50 updates

PRINTED = {
    "first_agent.py": "the first action of an episode",
    "invent_a_rule.py": "invent_a_rule:Relieve: return",
    "bring_an_environment.py": f"step {int(STEPS):,}: return",
    "from_sb3.py": "hidden_sizes",
    "select_inputs.py": "monk1: inputs of most strength [0, 1, 2, 3, 4, 5, 11] of [0, 1, 2, 3, 4, 5, 11]",
    "sparse_dqn.py": "connections have grown",
}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for file in EXAMPLES.glob("*.*"):
        shutil.copy(file, tmp_path)
    return tmp_path


def test_examples_are_short_and_all_of_them_are_run_and_named() -> None:
    scripts = [file for file in EXAMPLES.iterdir() if file.suffix in (".py", ".sh")]
    assert {file.name for file in scripts} == {*PRINTED, "sweep_and_report.sh"}
    assert all(len(file.read_text().splitlines()) <= 40 for file in scripts)
    page = (EXAMPLES / "README.md").read_text()
    assert all(f"[{file.name}]({file.name})" in page for file in EXAMPLES.glob("*.*") if file.name != "README.md")


@pytest.mark.parametrize("name", PRINTED)
def test_a_script_runs(name: str, here: Path) -> None:
    if "rewirl.torch" in (here / name).read_text():
        pytest.importorskip("torch")
    done = subprocess.run([sys.executable, name, STEPS], cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert PRINTED[name] in done.stdout


def test_every_run_of_an_example_has_a_directory_of_its_own() -> None:
    for file in (*EXAMPLES.glob("*.py"), *EXAMPLES.glob("*.ipynb")):
        text = file.read_text().replace("\\", "")
        assert 'run_dir="' not in text
        assert "run_dir" not in text or 'strftime("runs/' in text


def test_the_sweep_and_its_report_are_made(here: Path) -> None:
    command = here / "bin" / "rewirl"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rewirl "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    short = ["--total-timesteps", "1010", "--eval-every", "1000", "--eval-episodes", "1"]
    done = subprocess.run(
        ["sh", "sweep_and_report.sh", *short],
        cwd=here,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "4 runs" in done.stdout and "<svg" in (here / "sparsities.html").read_text()


def test_the_notebook_runs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    monkeypatch.chdir(here)
    notebook = json.loads((here / "first_agent.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") for cell in notebook["cells"])
    names: dict[str, object] = {}
    for cell in cells:
        exec(cell.replace("8_000", STEPS), names)
    assert len(names["curve"]) == 4  # type: ignore[arg-type]
    agent = names["agent"]
    agent.close()  # type: ignore[attr-defined]
    matplotlib.pyplot.close("all")
