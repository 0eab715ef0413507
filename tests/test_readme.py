"""What the README shows works as it stands there."""

from __future__ import annotations

import gc
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from rewirl.cli.main import main
from rewirl.topology import LayerState, Rule, TopologyConfig, make_rule, rewire

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


LINES = [line.partition("#")[0] for line in re.findall(r"^(rewirl +.*)$", README, re.MULTILINE)]


def test_the_readme_is_short_and_begins_with_what_a_new_user_needs() -> None:
    assert len(README.splitlines()) < 150
    headings = re.findall(r"^## (.*)$", README, re.MULTILINE)
    assert headings[:2] == ["Install", "A first agent"]
    assert len(README.partition("## Install")[0].strip().splitlines()) <= 7
    picture = ROOT / re.findall(r"!\[Learning curve.*\]\((.*\.svg)\)", README)[0]
    assert picture.stat().st_size < 60_000 and "<svg " in picture.read_text()[:200]


def test_what_the_readme_links_to_or_runs_is_in_the_source_archive_too() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["scikit-build"]
    left_out = tuple(f"{folder[1:]}/" for folder in build["sdist"]["exclude"])
    named = re.findall(r"\]\((?!https?:)([^)#]+)|python ([\w/]+\.py)", README)
    files = [link or program for link, program in named]
    assert len(files) > 20 and [file for file in files if file.startswith(left_out)] == []


def test_the_first_agent_of_the_readme_and_its_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer steps; the Python on a smaller task."""
    monkeypatch.chdir(tmp_path)
    train = next(shlex.split(line) for line in LINES if "runs/first" in line)
    short = ["--learning-starts", "100", "--total-timesteps", "200", "--eval-every", "0", "--eval-episodes", "1"]
    with pytest.raises(SystemExit) as ended:
        main([*train[1:], *short])
    assert ended.value.code == 0
    code = re.findall(r"```python\n(import rewirl\n.*?)```", README, re.DOTALL)[0]
    assert "100_000" in code and '"HalfCheetah-v5", seed=0' in code
    code = code.replace("100_000", "60").replace(
        '"HalfCheetah-v5", seed=0', '"Pendulum-v1", seed=0, learning_starts=50'
    )
    first, later = re.split("# Later, in another program, .*\n", code)
    exec(first, {"observation": np.zeros(3, np.float32)})
    gc.collect()  # the agent is gone, as at the end of a program
    exec(f"import rewirl\n{later}", {})


@pytest.fixture
def balanced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rule:
    blocks = re.findall(r"```python\n# my_rules\.py\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 1
    (tmp_path / "my_rules.py").write_text(blocks[0])
    monkeypatch.syspath_prepend(str(tmp_path))
    name = re.findall(r"--rule (my_rules:\w+)", README)[0]
    return make_rule(name, TopologyConfig())


def test_the_rule_in_the_readme_works_by_its_name_from_the_working_directory(tmp_path: Path) -> None:
    """As the installed command has it, which does not look there by itself; then again from another directory."""
    (tmp_path / "my_rules.py").write_text(re.findall(r"```python\n# my_rules\.py\n(.*?)```", README, re.DOTALL)[0])
    line = re.findall(r"rewirl (train .*--rule my_rules:\w+)", README)[0].replace("HalfCheetah-v5", "Pendulum-v1")
    small = "--learning-starts 50 --total-timesteps 80 --adapt-every 10 --eval-every 40 --eval-episodes 1 --run-dir run"

    def rewirl(arguments: list[str], where: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-c", "from rewirl.cli.main import main; main()", *arguments]
        return subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=120, check=False)

    done = rewirl(shlex.split(f"{line} {small}"), tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line for line in lines if line["event"] == "diagnostics"][-1]["rewired"] > 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    lost = rewirl(["resume", str(tmp_path / "run"), "--total-timesteps", "100"], elsewhere)
    assert lost.returncode == 2 and "cannot import 'my_rules'" in lost.stderr
    assert rewirl(["resume", "run", "--total-timesteps", "100"], tmp_path).returncode == 0


def test_the_rule_in_the_readme_rewires(balanced: Rule) -> None:
    rng = np.random.default_rng(0)
    indices = np.concatenate([np.arange(20), rng.choice(np.arange(100, 400), 60, replace=False)])  # row 0 is full
    state = LayerState((20, 20), indices, rng.standard_normal(80).astype(np.float32))
    change = rewire(balanced, state, 0.2, rng)
    assert len(change.dropped) == len(change.grown) == 16
    assert np.abs(state.weights[change.dropped]).max() <= np.sort(np.abs(state.weights))[15]
    fan_in = np.bincount(indices // 20, minlength=20)
    assert fan_in[change.grown // 20].mean() < fan_in[1:].mean()
