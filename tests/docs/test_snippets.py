"""The Python and the sweep files on pages work as they stand there, for fewer steps."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prose import ROOT

import rewirl
from rewirl.cli.main import main
from rewirl.experiments.sweep.file import read_sweep
from rewirl.topology import make_rule

SMALL = "hidden_sizes=(12, 8), learning_starts=40, batch_size=8, threads=1"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def blocks(page: str, kind: str = "python") -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


def test_what_a_user_of_stable_baselines3_writes() -> None:
    (code,) = blocks("docs/from-sb3.md")
    code = code.replace('"Pendulum-v1", seed=0', f'"Pendulum-v1", seed=0, {SMALL}')
    assert SMALL in code and "agent.learn(8_000," in code and "agent.learn(2_000)" in code
    code = code.replace("8_000", "80").replace("2_000", "20")
    names = {"observation": np.zeros(3, np.float32)}
    exec(code, names)
    assert names["agent"].steps == 100 and names["policy"].about["step"] == 80  # type: ignore[attr-defined]
    names["agent"].close()  # type: ignore[attr-defined]


def test_resuming_from_python() -> None:
    with rewirl.DSTD3("Pendulum-v1", hidden_sizes=(12, 8), learning_starts=40, batch_size=8, threads=1) as agent:
        agent.learn(100, run_dir="runs/long", callback=lambda moment: moment.step < 60)
    (code,) = blocks("docs/guides/resume.md")
    names: dict[str, rewirl.DSTD3] = {}
    exec(code, names)
    assert names["agent"].steps == 1_060
    names["agent"].close()


def test_an_environment_of_your_own(tmp_path: Path) -> None:
    (code,) = blocks("docs/environments.md")
    (tmp_path / "my_env.py").write_text(code)
    assert code.startswith("# my_env.py")
    with rewirl.DSTD3("my_env:Reach-v0", hidden_sizes=(8,), batch_size=4, learning_starts=40) as agent:
        agent.learn(110)
        assert agent.replay.rewards.max() < 0 and agent.evaluate(1).lengths == (50,)


def test_a_rule_by_known_criteria() -> None:
    rule = next(code for code in blocks("CONTRIBUTING.md") if "ByCriteria" in code)
    names: dict[str, type] = {}
    exec(f"from rewirl.topology.rules.by_criteria import ByCriteria\n{rule}", names)
    own = make_rule("rigl", rewirl.topology.TopologyConfig())
    assert (names["RigL"].drops, names["RigL"].grows) == (type(own).drops, type(own).grows)  # type: ignore[attr-defined]


def test_every_event_of_a_run_and_its_keys_are_on_the_page() -> None:
    with rewirl.DSTD3("Pendulum-v1", hidden_sizes=(12, 8), learning_starts=40, batch_size=8, threads=1) as agent:
        agent.learn(210, "runs/first", callback=lambda moment: moment.step % 100 or moment.record(mine=1.0))
        agent.freeze()
        agent.learn(5)
    code, _ = blocks("docs/report.md")
    names: dict[str, Any] = {}
    exec(code, names)
    page = (ROOT / "docs/report.md").read_text().partition("## A run directory")[2]
    rows = {row[2:].partition(" | ")[0]: row for row in page.splitlines() if row.startswith("| `")}
    events = names["events"]
    assert {event["event"] for event in events} >= {"start", "episode", "evaluation", "callback", "freeze", "end"}
    for event in events:
        row = next(text for kinds, text in rows.items() if f"`{event['event']}`" in kinds)
        own = {"diagnostics": {"updates"}, "callback": set()}.get(event["event"], set(event))
        assert all(f"`{key}`" in row for key in own - {"event", "step"}), event
    assert names["curve"][-1][0] == 215


def test_an_operation_and_an_agent_of_your_own_are_trained_and_swept(tmp_path: Path) -> None:
    operation, agent = blocks("CONTRIBUTING.md")[1:3]
    assert operation.startswith("# square.py") and "class SquareTD3" in agent
    (tmp_path / "square.py").write_text(operation + agent)
    shutil.copy(ROOT / "tests/agents/square.cpp", tmp_path)
    (tmp_path / "squares.toml").write_text('agents = ["square:square-td3"]\nenvs = ["Pendulum-v1"]\nseeds = [0]\n')
    short = "--total-timesteps 1020 --eval-every 510 --eval-episodes 1"
    for command in ("train --agent square:square-td3 --env Pendulum-v1 --threads 2", "sweep squares.toml"):
        words = [sys.executable, "-m", "rewirl", *command.split(), *short.split()]
        ended = subprocess.run(words, capture_output=True, text=True, check=False)
        said = ended.stdout + ended.stderr
        assert ended.returncode == 0 and "evaluating between training steps" not in said, said


def test_the_sweep_of_the_guide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (text,) = blocks("docs/guides/sweep-and-report.md", "toml")
    (tmp_path / "mine.toml").write_text(text)
    assert len(read_sweep("mine.toml").requests) == 10
    quick = ["--learning-starts", "40", "--total-timesteps", "60", "--eval-every", "0"]
    with pytest.raises(SystemExit) as ended:
        main(["sweep", "mine.toml", "--directory", "runs/mine", "--seeds", "0", "--batch-size", "8", *quick])
    assert ended.value.code == 0 and "2 runs: 2 finished" in capsys.readouterr().out


def test_a_rule_of_your_own_is_tried_and_swept_beside_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = next(code for code in blocks("README.md") if code.startswith("# my_rules.py"))
    (text,) = blocks("docs/guides/invent-a-rule.md", "toml")
    (tmp_path / "my_rules.py").write_text(rule)
    monkeypatch.syspath_prepend(str(tmp_path))
    event, _ = blocks("docs/guides/invent-a-rule.md")
    exec(event, {})
    gone, come = re.findall(r"(\d+) go, (\d+) come, at units \[", capsys.readouterr().out)[0]
    assert gone == come and int(gone) > 600
    (tmp_path / "rules.toml").write_text(text)
    asked = read_sweep("rules.toml").requests
    assert sorted(request.options["rule"] for request in asked) == 5 * ["my_rules:Balanced"] + 5 * ["set"]


def test_a_rule_that_remembers_is_resumed_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, code = blocks("docs/guides/invent-a-rule.md")
    assert code.startswith("# my_momentum.py")
    (tmp_path / "my_momentum.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = {"rule": "my_momentum:Momentum", "sparsity": 0.5, "adapt_every": 10, "learning_starts": 40, "batch_size": 8}
    for name, steps in (("whole", 100), ("cut", 75)):
        with rewirl.DSTD3("Pendulum-v1", hidden_sizes=(12, 8), threads=1, **own) as agent:  # type: ignore[arg-type]
            agent.learn(100, name, callback=lambda moment, steps=steps: moment.step < steps)
            assert agent.diagnostics["rewired"] > 0
    with rewirl.resume("cut") as agent:
        agent.learn()
    whole, resumed = (Path(name, "policy", "policy.safetensors").read_bytes() for name in ("whole", "cut"))
    assert whole == resumed


def test_an_agent_of_your_own_is_trained_resumed_and_made_in_python(tmp_path: Path) -> None:
    (code,) = (code for code in blocks("docs/guides/invent-an-agent.md") if code.startswith("# weighted.py"))
    (tmp_path / "weighted.py").write_text(code)
    program = "import weighted\nfrom rewirl.cli.main import main\nmain()\n"
    short = "--pessimism 0.6 --learning-starts 40 --batch-size 8 --threads 1 --eval-every 0 --total-timesteps 80"
    (tmp_path / "mine.toml").write_text('agent = "weighted:weighted"\nenv = "Pendulum-v1"\n')
    (text,) = blocks("docs/guides/invent-an-agent.md", "toml")
    (tmp_path / "many.toml").write_text(text.replace("HalfCheetah-v5", "Pendulum-v1").replace(", 1, 2, 3, 4", ""))
    python = (
        "import rewirl\nagent = rewirl.from_preset('mine.toml', pessimism=0.6, learning_starts=40)\n"
        "agent.learn(50)\nassert agent.config['pessimism'] == 0.6\nassert rewirl.load('r').about['step'] == 90\n"
        "assert rewirl.resume('r').config['pessimism'] == 0.6\n"
    )
    commands = (
        f"train --agent weighted:weighted --env Pendulum-v1 {short} --run-dir r",
        "resume r --total-timesteps 90",
        "inspect r",
        f"train --preset mine.toml {short} --dry-run",
        f"sweep many.toml {short.replace('--pessimism 0.6 ', '')} --directory s",
    )
    for words in (
        *(["-m", "rewirl", *command.split()] for command in commands),
        ["-c", program, *f"train --agent weighted --env Pendulum-v1 {short} --run-dir q".split()],
        ["-m", "rewirl", *["resume", "q", "--env-module", "weighted", "--total-timesteps", "90"]],
        ["-c", python],
    ):
        ended = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_curves_of_many_runs_for_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    _, code = blocks("docs/report.md")
    short: dict[str, Any] = {"hidden_sizes": (8,), "learning_starts": 40, "batch_size": 8}
    for rule in ("rigl", "set"):  # which have one agent and one sparsity
        for seed in (0, 1):
            with rewirl.DSTD3("Pendulum-v1", rule=rule, seed=seed, **short) as agent:
                agent.learn(60, f"runs/mine/{rule}-{seed}", eval_every=20, eval_episodes=1)
    names: dict[str, Any] = {}
    exec(code, names)
    curves, final = names["curves"], names["final"]
    assert isinstance(curves, pandas.DataFrame) and curves["step"].tolist() == 4 * [0, 20, 40, 60]
    assert final.shape == (4,) and final.loc["rigl", 1] == pytest.approx(curves["return"][4:8].mean())


def test_an_exported_model_plays_an_episode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    (code,) = blocks("docs/export.md")
    with pytest.raises(SystemExit) as ended:
        main(["export", "Pendulum-v1/small", "--format", "onnx"])
    assert ended.value.code == 0 and "Walker2d-v5" in code
    exec(code.replace("Walker2d-v5", "Pendulum-v1"), {})
    assert "return of an episode: -" in capsys.readouterr().out
