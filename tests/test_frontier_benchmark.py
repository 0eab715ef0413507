"""SimBa, XQC and CrossQ are timed beside SBX's with the same networks, sizes and threads; SBX here by a stand-in."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rewirl.bench import serve
from rewirl.bench.interleaved import Candidate

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SMALL = {"hidden_sizes": (16, 16), "actor_hidden_sizes": (16,)}


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def candidate(script: str, kind: str, **specification: Any) -> Any:
    common = {"sizes": [5, 2], "batch_size": 16, "threads": 1, "options": SMALL}
    return serve.load(str(BENCHMARKS / "candidates" / script))[kind]({**common, **specification})


@pytest.mark.parametrize("agent, sparsity", [("simba", None), ("static-xqc", 0.5), ("static-crossq", 0.5)])
def test_our_updates_are_timed_at_these_sizes(agent: str, sparsity: float | None) -> None:
    made = candidate("rewirl_updates.py", "rewirl", agent=agent, sparsity=sparsity)
    made.warm_up()
    assert made.tasks["update"]() == 6
    critic, actor = 7 * 16 + 2 * 8 * 16 * 16 + 16, 5 * 16 + 8 * 16 * 16 + 16 * 4
    if agent == "simba":
        assert made.facts["connections"] == actor + 2 * critic
        assert made.facts["flops"] == 6 * 16 * (actor + 2 * critic)
        one = candidate("rewirl_updates.py", "rewirl", agent=agent, options={**SMALL, "n_critics": 1})
        assert one.facts["connections"] == actor + critic


@pytest.mark.parametrize("agent, policy", [("simba", "SimbaPolicy"), ("crossq", "MlpPolicy")])
def test_sbx_has_the_same_networks_and_one_update_at_a_time(
    monkeypatch: pytest.MonkeyPatch, agent: str, policy: str
) -> None:
    done: list[tuple[int, int]] = []

    class Model:
        def __init__(self, name: str, env: Any, **settings: Any) -> None:
            assert name == policy and settings["batch_size"] == 16
            assert settings["policy_kwargs"] == {"net_arch": {"pi": [16], "qf": [16, 16]}, "n_critics": 1}
            assert (env.observation_space.shape, env.action_space.shape) == ((5,), (2,))
            assert settings["learning_starts"] > settings["buffer_size"]
            assert env.observation_space.contains(env.reset(seed=0)[0]) and not env.step(np.zeros(2))[2]
            state = SimpleNamespace(params={"Dense/kernel": np.zeros((2, 3)), "Dense/bias": np.zeros(3)})
            self.policy = SimpleNamespace(actor_state=state, qf_state=state)

        def learn(self, steps: int, log_interval: int) -> None:
            done.append((steps, 0))

        def train(self, gradient_steps: int, batch_size: int) -> None:
            done.append((gradient_steps, batch_size))

    tree = SimpleNamespace(
        keystr=str, tree_leaves_with_path=lambda parameters: [each for part in parameters for each in part.items()]
    )
    jax = SimpleNamespace(tree_util=tree, block_until_ready=lambda values: values)
    monkeypatch.setitem(sys.modules, "jax", jax)
    monkeypatch.setitem(sys.modules, "sbx", SimpleNamespace(SAC=Model, CrossQ=Model))
    made = candidate("sbx_updates.py", "sbx", agent=agent, options={**SMALL, "n_critics": 1})
    assert made.facts["connections"] == 12
    assert made.tasks["update"]() == 6 and done == [(5_000, 0), *[(1, 16)] * 6]


def test_candidates_differ_in_what_is_compared_alone(tmp_path: Path) -> None:
    import frontier

    (tmp_path / "sbx").mkdir()
    (tmp_path / "sbx" / "installed").touch()
    options = frontier.Options(environments=tmp_path, sparsities=(0.9, 0.95))
    rows = frontier.candidates_of(options, "dog-run", "simba", 1)
    assert [(row.name, row.sparsity) for row in rows] == [
        ("SBX simba", None),
        ("Rewirl simba", None),
        *((f"Rewirl static-simba, {structure}", s) for structure in ("unstructured", "8x1") for s in (0.9, 0.95)),
    ]
    assert {row.specification["options"]["n_critics"] for row in rows} == {1}
    assert {tuple(row.specification["sizes"]) for row in rows} == {(223, 38)}
    two = frontier.candidates_of(options, "Humanoid-v5", "simba", 1)
    assert all("n_critics" not in row.specification["options"] for row in two)
    assert all(row.specification["kind"] != "sbx" for row in frontier.candidates_of(options, "dog-run", "xqc", 2))


def test_the_table_compares_with_sbx_and_with_dense() -> None:
    import frontier

    def row(name: str, kind: str, rate: float, **more: Any) -> Candidate:
        specification = {"kind": kind, "task": "dog-run", "threads": 2, **more}
        facts = {"connections": 1000, **({"flops": 2.0e9} if kind == "rewirl" else {})}
        return Candidate(name, specification, facts=facts, rates={"update": [rate, rate]})

    rows = [
        row("SBX simba", "sbx", 2.0),
        row("Rewirl simba", "rewirl", 4.0),
        row("Rewirl static-simba, 8x1", "rewirl", 40.0, sparsity=0.95),
    ]
    title, _, head, _, *lines = frontier.markdown(rows, frontier.Options()).splitlines()
    assert title == "## simba, dog-run, batch 256, 2 threads"
    assert head == (
        "| agent | sparse | connections | x SBX simba | time / dense | updates/s | GFLOP/s "
        "| hours for a million updates | spread |"
    )
    assert lines[-1] == "| Rewirl static-simba, 8x1 | 95% | 1,000 | 20.00 | 0.10 | 40.0 | 80 | 6.9 | 0% |"
    assert lines[0] == "| SBX simba |  | 1,000 | 1.00 | 2.00 | 2.0 |  | 138.9 | 0% |"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"agents": ("td3",)}, "--agents has td3; there are simba, xqc, crossq"),
        ({"tasks": ("Ant-v5",)}, "--tasks has Ant-v5; there are Humanoid-v5, dog-run"),
        ({"tasks": ()}, "--tasks has nothing"),
        ({"sparsities": (1.0,)}, "must lie between 0 and 1"),
        ({"threads": (0,)}, "must be at least 1"),
        ({"environments": Path("nowhere")}, "there is no folder nowhere"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    import frontier

    with pytest.raises(SystemExit, match=message):
        frontier.Options(**options)
