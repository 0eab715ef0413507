"""The benchmarks measure what they say: products counted, ratios within rounds, honest comparisons."""

from __future__ import annotations

import importlib.util
import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest

from rewirl.bench import serve
from rewirl.bench.interleaved import Candidate, doubts, measure, ratio

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

STAND_IN = {
    "sparse_utils.py": "",
    "utils.py": """
import numpy as np

class ReplayBuffer:
    def __init__(self, state_dim, action_dim, max_size):
        self.state = np.zeros((max_size, state_dim))
        self.action = np.zeros((max_size, action_dim))
        self.next_state = np.zeros((max_size, state_dim))
        self.reward = np.zeros((max_size, 1))
        self.not_done = np.zeros((max_size, 1))
        self.size = 0
""",
    "TD3.py": """
import numpy as np
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.l1 = torch.nn.Linear(3, 2)

class TD3:
    def __init__(self, state_dim, action_dim, max_action, noHidNeurons):
        print("chatter that must not reach the protocol")
        self.actor, self.critic, self.action_dim = Net(), Net(), action_dim

    def train(self, replay, batch_size):
        assert replay.size == len(replay.state) and replay.not_done.all() and replay.next_state.any(), "not filled"
        assert batch_size == 32

    def select_action(self, state):
        return np.zeros(self.action_dim)
""",
    "DS_TD3.py": """
import TD3

class SETSparseTD3(TD3.TD3):
    def __init__(self, epsilonHid1, epsilonHid2, **sizes):
        super().__init__(**sizes)
        assert (epsilonHid1, epsilonHid2) == (7, 64)
""",
}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.syspath_prepend(str(BENCHMARKS / "candidates"))


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    for name, text in STAND_IN.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def row(name: str, threads: int, rates: list[float], sparsity: float | None = None) -> Candidate:
    specification = {"threads": threads, "sparsity": sparsity}
    return Candidate(name, specification, facts={"connections": 1000}, rates={"update": rates})


def test_products_of_an_update_are_nine_large_ones_and_five_in_every_second() -> None:
    import products

    critic, actor = list(products.products_of_critic_update()), list(products.products_of_actor_update())
    assert sum(n_in == n_out == 256 for _, n_in, n_out, _ in critic) == 9
    assert sum(n_in == n_out == 256 for _, n_in, n_out, _ in actor) == 5
    # By hand, weights multiplied per sample: forward, gradients of parameters, gradients of hidden units.
    actor_weights, critic_weights = 17 * 256 + 256 * 256 + 256 * 6, 23 * 256 + 256 * 256 + 256
    by_hand = actor_weights + 4 * critic_weights + 2 * critic_weights + 2 * (256 * 256 + 256)
    assert sum(n_in * n_out for _, n_in, n_out, _ in critic) == by_hand
    by_hand = 2 * actor_weights + (256 * 256 + 256 * 6) + critic_weights + (6 * 256 + 256 * 256 + 256)
    assert sum(n_in * n_out for _, n_in, n_out, _ in actor) == by_hand


def test_ratio_is_the_median_within_rounds() -> None:
    # The machine was ten times as fast in the last round: the ratio of medians would be 30 / 4.
    assert ratio([2.0, 30.0, 60.0], [1.0, 4.0, 30.0]) == 2.0


def test_reference_is_compared_at_its_best_and_as_sparse() -> None:
    import updates

    rows = [
        row("Rewirl TD3", 1, [200.0, 200.0]),
        row("Rewirl DS-TD3", 1, [400.0, 400.0], 0.8),
        row("Rewirl TD3", 2, [300.0, 300.0]),
        row("reference TD3", 1, [100.0, 100.0]),
        row("reference TD3", 2, [160.0, 160.0]),
        row("reference DS-TD3", 1, [50.0, 50.0], 0.8),
        row("reference DS-TD3", 2, [40.0, 40.0], 0.8),
        row("reference DS-TD3", 1, [10.0, 10.0], 0.51),
        row("Rewirl DS-TD3 8x1", 1, [800.0, 800.0], 0.8),
        row("dense products", 1, [500.0, 500.0]),
        row("dense products", 1, [400.0, 400.0]),
    ]
    lines = updates.table(rows, "update", "updates/s").splitlines()
    assert lines[0] == (
        "| agent | sparse | threads | connections | x reference DS-TD3, as sparse | x reference TD3 "
        "| x Rewirl TD3, same threads | x dense products alone | updates/s | spread |"
    )
    assert lines[3] == "| Rewirl DS-TD3 | 80% | 1 | 1,000 | 8.00 | 2.50 | 2.00 | 0.80 | 400 | 0% |"
    assert lines[10] == "| Rewirl DS-TD3 8x1 | 80% | 1 | 1,000 | 16.00 | 5.00 | 4.00 | 1.60 | 800 | 0% |"
    assert lines[4] == "| Rewirl TD3 |  | 2 | 1,000 |  | 1.88 | 1.00 | 0.60 | 300 | 0% |"


def test_a_busy_machine_and_a_restless_candidate_are_told() -> None:
    quiet, restless = row("quiet", 1, []), row("restless", 2, [])
    quiet.processor_shares, restless.processor_shares = [1.0, 0.99], [1.9, 1.8]
    assert doubts([quiet, restless], seconds=10.0) == []
    restless.idle_seconds = 1.0
    assert "restless, 2 threads computed for 1.0 s while others" in doubts([quiet, restless], seconds=10.0)[0]
    quiet.processor_shares, restless.processor_shares = [0.5, 0.5], [0.6, 0.6]
    assert "busy" in doubts([quiet, restless], seconds=100.0)[0]
    quiet.idle_seconds, quiet.processor_shares = 1.0, [1.0]
    assert doubts([quiet], seconds=1.0) == []  # there is nobody whom it could have disturbed


def test_reference_gets_the_lambdas_of_the_sparsity() -> None:
    import reference

    assert reference.lambdas(0.51) == (7.0, 64.0)
    first, second = reference.lambdas(0.9)
    assert first == pytest.approx(second)
    critic = first * (23 + 256) + second * (256 + 256) + 256
    assert critic == pytest.approx(0.1 * (23 * 256 + 256 * 256 + 256))


def test_candidates_answer_from_processes_of_their_own(stand_in: Path) -> None:
    import updates

    options = updates.Options(
        batch_size=32,
        threads=(1,),
        sparsities=(0.51,),
        structures=("unstructured", "8x1"),
        reference=stand_in,
        as_published_after=4,
        rounds=2,
        seconds=0.05,
    )
    rows = {str(c): c for c in updates.candidates_of(options)}
    assert list(rows) == [
        "Rewirl TD3, 1 threads",
        "Rewirl DS-TD3, 51% sparse, 1 threads",
        "Rewirl DS-TD3 8x1, 51% sparse, 1 threads",
        "reference TD3, 1 threads",
        "reference DS-TD3, 51% sparse, 1 threads",
        "as-published reference TD3, 1 threads",
        "as-published reference DS-TD3, 51% sparse, 1 threads",
        "dense products, 1 threads",  # of both libraries
    ]
    rewirl, in_blocks, reference, published = (c for c in rows.values() if c.sparsity)
    (products, *_) = (c for c in rows.values() if c.name == "dense products")
    measure([rewirl, in_blocks, reference, published, products], options.rounds, options.seconds)
    assert abs(rewirl.connections - 106_000) < 2_000 and abs(in_blocks.connections - 106_000) < 2_000
    assert f"| dense products by {products.facts['library']} |" in updates.report([products], options)
    assert reference.connections == 12
    assert (reference.facts["denormals"], published.facts["denormals"]) == (0.0, pytest.approx(1.0, rel=1e-3))
    for candidate in (rewirl, reference, published):
        assert all(len(candidate.rates[task]) == 2 for task in ("update", "explore"))
        assert candidate.process.poll() is not None
    json.dumps(updates.record([rewirl, reference], options))
    assert "| Rewirl DS-TD3 | 51% | 1 |" in updates.report([rewirl, reference], options)


def test_rate_counts_calls_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def task() -> int:
        nonlocal now
        now += 0.03
        return 3

    monkeypatch.setattr(serve.time, "perf_counter", lambda: now)
    monkeypatch.setattr(serve.time, "process_time", lambda: now / 2)
    per_second, processor_share = serve.rate(task, 1.0)
    assert per_second == pytest.approx(100)
    assert processor_share == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reference", "."], "lacks DS_TD3.py, TD3.py, utils.py, sparse_utils.py: give a checkout of GhadaSokar/"),
        (["--threads", "0"], "must be at least 1"),
        (["--as-published-after", "100"], "--as-published-after needs --reference DIR"),
        (["--sparsities", "1.5"], "must lie between 0 and 1"),
        (["--instruction-set", "sse9"], "is not there; this machine runs: "),
        (["--json", "nowhere/out.json"], "there is no folder nowhere"),
    ],
)
def test_impossible_options_are_refused_before_anything_starts(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["updates.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCHMARKS / "updates.py"), run_name="__main__")
    # A text that ends a program is printed by it, and its exit code is 1.
    assert isinstance(ended.value.code, str) or ended.value.code == 1
    assert message in f"{ended.value.code}{capsys.readouterr().err}"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("versions.py --other /nowhere/python", "there is no Python /nowhere/python"),
        ("versions.py --other python --starts 0", "--starts, --rounds and --threads must be at least 1"),
        ("versions.py --other python --agents td4", "agents must be among td3, "),
        ("versions.py --other python --json nowhere/out.json", "there is no folder nowhere"),
        ("stream.py --rounds 0", "--rounds must be at least 1"),
        ("stream.py --sparsities 1", "--sparsities must be at least 0 and below 1"),
        ("stream.py --json nowhere/out.json", "there is no folder nowhere"),
        ("torch_layer.py --add nowhere.json", "--add nowhere.json: there is no such file"),
        ("microcontroller.py", "there is no arm-none-eabi-gcc, arm-none-eabi-size, qemu-system-arm"),
    ],
)
def test_what_is_missing_or_impossible_is_said_at_once(
    command: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command.startswith("stream.py"):
        pytest.importorskip("torch")
    script, *arguments = command.split()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda tool: sys.executable if str(tool) == "python" else None)
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with pytest.raises(SystemExit, match=message):
        runpy.run_path(str(BENCHMARKS / script), run_name="__main__")


@pytest.mark.parametrize("script", ["stream.py", "torch_layer.py"])
def test_torch_is_asked_for_where_it_is_missing(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", [script])
    with pytest.raises(SystemExit, match="rewirl\\[oracle\\]"):
        runpy.run_path(str(BENCHMARKS / script), run_name="__main__")


def test_memory_table_by_hand() -> None:
    import memory

    shapes = {"actor": [(4, 2), (1, 4)], "target_actor": [(4, 2), (1, 4)]}
    assert memory.dense_bytes(shapes) == 4 * 12 * (4 + 1)
    mib = 2**20
    tiny = {"peak_bytes": 10 * mib}
    agents = [
        {"sparsity": 0.99, "connections": 1000, "peak_bytes": 11 * mib, "shapes": {"actor": [(1024, 1024)]}},
        {"sparsity": 0.98, "connections": 2000, "peak_bytes": 11 * mib + 50_000, "shapes": {"actor": [(1024, 1024)]}},
    ]
    lines = memory.table(agents, tiny).splitlines()
    assert lines[2] == "| 99.0% | 1,000 | 1.0 MiB | 1049 |  | 16 MiB | 6.2% |"
    assert lines[3] == "| 98.0% | 2,000 | 1.0 MiB | 549 | 50 | 16 MiB | 6.5% |"


def test_memory_is_that_of_an_agent_that_was_updated_and_rewired() -> None:
    import memory

    agent = memory.measure(width=64, sparsity=0.8, batch_size=16)
    places = (17 + 64 + 6) * 64 + 2 * (23 + 64 + 1) * 64
    assert agent["connections"] == pytest.approx(0.2 * places, rel=0.1)
    assert agent["rewired"] > 0
    assert agent["shapes"]["target_critic1"] == [[64, 23], [64, 64], [1, 64]]
    assert 1e7 < agent["peak_bytes"] < 1e9


def test_scale_holds_the_connections_while_the_width_grows(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import scale

    options = scale.Options(
        widths=(256, 320),
        width=64,
        sparsities=(0.8,),
        structures=("unstructured", "4x1"),
        batch_size=8,
        rounds=2,
        seconds=0.01,
        json=tmp_path / "out.json",
    )
    scale.main(options)
    out = capsys.readouterr().out
    rows = json.loads((tmp_path / "out.json").read_text())["contestants"]
    sparse = ["ds-td3, 256 wide", "ds-td3, 320 wide", "ds-td3, 64 wide"]
    assert [row["name"] for row in rows] == ["td3, 256 wide", *sparse, *(f"{name}, 4x1" for name in sparse)]
    dense, paper, wide, other, *in_blocks = (row["facts"]["connections"] for row in rows)
    assert in_blocks == pytest.approx([paper, wide, other], rel=0.03)
    assert dense == scale.places(256) and paper == pytest.approx(0.49 * dense, rel=0.02)
    assert wide == pytest.approx(0.49 * dense, rel=0.02) and other == pytest.approx(0.2 * scale.places(64), rel=0.05)
    assert "| td3, 256 wide |  | 214,784 | 1.00 |" in out
    for impossible in ({"widths": (0,)}, {"sparsities": (1.0,)}, {"seconds": 0.0}, {"json": tmp_path / "no" / "x"}):
        with pytest.raises(SystemExit):
            scale.Options(**impossible)


def test_the_share_of_events_is_what_they_take_beyond_other_updates() -> None:
    import rules

    # From update 1,001 on: three slow ones around 2,000, at 5 instead of 1, and the slow first event left out.
    times = [1.0] * 999 + [100.0] + [1.0] * 999 + [5.0] * 3 + [1.0] * 500
    assert rules.share_of_events(times, 1002) == pytest.approx(12 / (len(times) - 1002 + 12))


def test_every_rule_is_timed_and_pruning_has_ended(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import rules

    rules.main(rules.Options(batch_size=8, rounds=2, seconds=0.01, settle=0, json=tmp_path / "out.json"))
    rows = json.loads((tmp_path / "out.json").read_text())["contestants"]
    assert [row["name"] for row in rows] == list(rules.RULES)
    assert all(row["facts"]["connections"] == pytest.approx(21_480, rel=0.01) for row in rows)
    assert "| static | 21,481 |" in capsys.readouterr().out
    for impossible in ({"sparsity": 1.0}, {"settle": -1}, {"rounds": 0}, {"json": tmp_path / "no" / "x"}):
        with pytest.raises(SystemExit):
            rules.Options(**impossible)


def test_limits_table_by_hand_and_impossible_options() -> None:
    import limits

    shares = {"forward": [0.5, 0.7, 0.6], "input gradient": [0.4], "weight gradient": []}
    layer = {
        "width": 64,
        "density": 0.5,
        "batch": 100,
        "tiles": 1,
        "tile": 112,
        "contestants": [{"name": "even", "shares": shares}],
    }
    lines = limits.markdown(layer).splitlines()
    assert lines[0] == "## 64 x 64, density 0.5, batch 100, 1 x 112 samples"
    assert lines[4:] == ["| forward | 60% |", "| input gradient | 40% |", "| weight gradient | restless |"]
    for impossible in ({"widths": (96,)}, {"densities": (1.5, 0.1, 0.06)}, {"densities": (0.5,)}, {"rounds": 0},
                       {"candidates": ("9x1",)}):  # fmt: skip
        with pytest.raises(SystemExit):
            limits.Options(**impossible)


def test_limits_are_measured_with_the_tiles_of_a_batch(tmp_path: Path) -> None:
    import limits

    from rewirl import _core
    from rewirl.nn.tiles import tile_shape

    program = tmp_path / "limits"
    program.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps({{'arguments': sys.argv[1:]}}))\n")
    program.chmod(0o755)
    tiles, tile = tile_shape(300)
    arguments = ["3", "256", "0.5", str(tiles), str(tile // _core.LANE), "dense", "8x1"]
    found = limits.measure(program, 256, 0.5, 300, 3, ["dense", "8x1"])
    assert found == {
        "width": 256, "density": 0.5, "batch": 300, "tiles": tiles, "tile": tile, "arguments": arguments
    }  # fmt: skip
