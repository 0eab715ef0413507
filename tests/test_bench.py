"""What `rewirl bench` measures is what it says, and what it prints is what it measured."""

from __future__ import annotations

import json
import re
import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rewirl import _core, nn
from rewirl.bench import blas, end_to_end, kernels, phases, quick, synthetic, updates
from rewirl.cli.bench import BENCHMARKS
from rewirl.cli.main import main
from rewirl.training.evaluation import Evaluation

MACHINE = {"cpu": "abacus", "cores": 1, "instructions": [], "system": "none"}


@pytest.fixture
def rewirl(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        assert isinstance(exit_.value.code, int)
        return exit_.value.code, *capsys.readouterr()

    return call


# --- Kernels -----------------------------------------------------------


def layers(batch_size: int, **others: Any) -> kernels.Kernels:
    return kernels.Kernels({"width": 32, "batch_size": batch_size, "densities": [1.0, 0.25], "threads": 1, **others})


def test_kernels_ask_the_layer_for_what_they_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(nn.Ensemble, "forward", lambda self, x: calls.append(("forward", self.networks[0].connections)))
    monkeypatch.setattr(nn.Ensemble, "input_gradients", lambda self, x, gradients: calls.append("input gradients"))
    monkeypatch.setattr(
        nn.Ensemble, "backward", lambda self, x, gradients, inputs_from=None: calls.append(("backward", inputs_from))
    )
    timed = layers(20, dense=False)
    assert list(timed.tasks) == [f"{kernel} {density}" for density in ("1", "0.25") for kernel in kernels.KERNELS]
    expected = {
        "forward": [("forward", 256)],
        "input gradient": ["input gradients"],
        "weight gradient": [("backward", None)],
        "all three": [("forward", 256), ("backward", 0)],
    }
    for kernel, wanted in expected.items():
        calls.clear()
        assert timed.tasks[f"{kernel} 0.25"]() == 1
        assert calls == wanted


@pytest.fixture
def torch_threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return what torch was told to use, instead of telling it, which would outlast the test."""
    torch = pytest.importorskip("torch")

    told: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    return told


@pytest.mark.parametrize("torch", [True, False])
def test_dense_products_multiply_matrices_of_the_layers_shape(
    torch: bool, monkeypatch: pytest.MonkeyPatch, torch_threads: list[int]
) -> None:
    if not torch:
        monkeypatch.setattr(blas.importlib.util, "find_spec", lambda name: None)
    shapes: list[Any] = []
    dot = np.dot
    monkeypatch.setattr(np, "dot", lambda a, b, out: shapes.append((a.shape, b.shape)) or dot(a, b, out=out))
    libraries = blas.libraries(threads=2)
    assert torch_threads == ([2] if torch else [])
    assert [" in torch" in each.name for each in libraries] == ([False, True] if torch else [False])
    for library in libraries:
        products = kernels.products_by(library, 32, 20)
        assert all(product() == 1 for product in products.values()) and list(products) == list(kernels.KERNELS)
        acting = kernels.products_by(library, 32, 1)
        assert list(acting) == ["forward"] and acting["forward"]() == 10
    forward, inputs, weights = ((20, 32), (32, 32)), ((20, 32), (32, 32)), ((32, 20), (20, 32))
    assert shapes[:6] == [forward, inputs, weights, forward, inputs, weights]


def test_the_dense_product_is_the_faster_librarys(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [blas.Blas(name, np.asarray, lambda left, right, out: np.dot(left, right, out=out)) for name in ("a", "b")]
    monkeypatch.setattr(blas, "libraries", lambda threads: made)
    now = 0.0

    def task(seconds: float) -> Callable[[], int]:
        def pass_time() -> int:
            nonlocal now
            now += seconds
            return 1

        return pass_time

    monkeypatch.setattr(blas.time, "perf_counter", lambda: now)
    assert blas.fastest([task(3.0), task(1.0), task(2.0)]) == 1
    monkeypatch.setattr(kernels, "products_by", lambda of, *sizes: {"all three": task(1.0 if of.name == "b" else 2.0)})
    assert kernels.dense_products(32, 20, threads=1)[1] == "b"


def test_the_kernels_of_openblas_are_named() -> None:
    (numpys, *_) = blas.libraries(1)
    built_with: str = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    if sys.platform == "linux" and "scipy-openblas" in built_with:
        assert re.fullmatch(r"OpenBLAS in NumPy \(\w+\)", numpys.name)


def test_a_single_sample_is_acting(monkeypatch: pytest.MonkeyPatch, torch_threads: list[int]) -> None:
    acted: list[Any] = []
    monkeypatch.setattr(nn.Network, "act", lambda self, x: acted.append(x.shape))
    timed = layers(1)
    assert list(timed.tasks) == ["forward 1", "forward 0.25", "forward dense product"]
    assert timed.tasks["forward 0.25"]() == 10 and acted == [(32,)] * 10


def test_the_kernel_table_by_hand() -> None:
    tasks = {
        "forward": (4e6, 1e6),
        "input gradient": (2e6, 1e6),
        "weight gradient": (1e6, 1e6),
        "all three": (1e6, 5e5),
    }
    rates = {f"{kernel} {name}": [1.0, rate, rate] for kernel, (sparse, dense) in tasks.items()
             for name, rate in (("0.25", sparse), ("dense product", dense))}  # fmt: skip
    found = {"width": 10, "batch": 50, "blas": "an abacus", "rates": rates}
    blocks = {f"all three 0.25 {height}x1": [1.0, 2e6, 2e6] for height in (2, 5)}
    in_blocks = {**found, "rates": {**rates, **blocks}}
    result = {"densities": [0.25], "threads": 1, "rounds": 3, "seconds": 1.0, "machine": MACHINE, "versions": {}}
    lines = kernels.markdown({**result, "groups": [found]}).splitlines()
    # forward: 2 x 25 connections x 50 samples x 4e6 calls a second are 10 GFLOP/s, 40 if it were dense.
    assert "| 0.25 | 10 / 40 (x 4.00) | 5 / 20 (x 2.00) | 2.5 / 10 (x 1.00) | 7.5 / 30 (x 2.00) |" in lines
    assert "| dense product | 10 | 10 | 10 | 15 |" in lines
    lines = kernels.markdown({**result, "groups": [in_blocks], "heights": [2, 5]}).splitlines()
    # Of 25 connections 24 are in blocks of two outputs and 25 in blocks of five.
    assert any(line.endswith("| all three, 2x1 | all three, 5x1 |") for line in lines)
    assert any(line.endswith("| 14.4 / 60 (x 4.00) | 15 / 60 (x 4.00) |") for line in lines)


@pytest.mark.parametrize(("heights", "message"), [((1,), "between 2 and 8"), ((4, 5), "32 outputs are no whole")])
def test_impossible_heights_are_refused(heights: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kernels.Options(widths=(32,), heights=heights)


def test_bench_kernels(rewirl: Any, tmp_path: Path) -> None:
    small = shlex.split("--widths 32 --batches 1 20 --densities 1 0.25 --rounds 2 --seconds 0.001")
    code, out, err = rewirl("bench", "kernels", *small, "--json", tmp_path / "out.json")
    assert code == 0, err
    assert "### 32 x 32, one sample (acting)" in out and "### 32 x 32, batch 20" in out
    acting, training = json.loads((tmp_path / "out.json").read_text())["groups"]
    assert len(acting["rates"]) == 1 + 2 * 3 and len(training["rates"]) == 4 * (1 + 2 * 3)
    assert "| density | forward | forward, 4x1 | forward, 8x1 |" in out
    assert all(len(rates) == 2 for rates in training["rates"].values())


# --- Updates -----------------------------------------------------------


def test_the_quick_benchmark_prints_as_it_goes() -> None:
    lines: list[str] = []
    measured = quick.run(quick.Options(seconds=0.05, batch_size=16), lines.append)
    assert [line.partition(":")[0] for line in lines] == [
        "td3, dense",
        *(f"ds-td3, {percent}% sparse" for percent in (51, 80, 90, 95)),
    ]
    connections = [row["connections"] for row in measured["agents"]]
    assert connections == sorted(connections, reverse=True)
    assert quick.markdown(measured).count("updates/s") == 1
    with pytest.raises(ValueError, match="seconds must be more than 0"):
        quick.Options(seconds=0)


def test_the_quick_ratios_are_medians_within_rounds() -> None:
    # The machine was slow in the first round, and fast in the second: the ratio of the medians would be 3.
    dense = {"name": "td3", "sparsity": None, "connections": 10, "rates": [10.0, 40.0, 20.0]}
    sparse = {"name": "ds-td3", "sparsity": 0.9, "connections": 1, "rates": [20.0, 80.0, 60.0]}
    result = {"agents": [dense, sparse], "machine": MACHINE, "batch_size": 8, "threads": 1}
    assert "| ds-td3, 90% sparse | 1 | 60 | 2.00 |" in quick.markdown(result)


@pytest.mark.parametrize(
    ("dense", "hidden_sizes"),
    [("td3", (256, 256)), ("td3", (512, 512)), ("sac", (64, 64)), ("simba", (64,)), ("xqc", (64, 64)), ("dqn", (64,))],
)
def test_a_network_is_as_sparse_as_its_row_says(dense: str, hidden_sizes: tuple[int, ...]) -> None:
    def connections(agent: str, sparsity: float | None) -> int:
        made = synthetic.agent_of(agent, synthetic.settings(agent, sparsity, hidden_sizes=hidden_sizes), threads=1)
        return synthetic.connections_of(made)

    sparse = connections(f"static-{dense}", 0.51)
    assert sparse == pytest.approx(0.49 * connections(dense, None), rel=0.02)


def test_every_native_call_is_timed_and_nothing_else() -> None:
    imported_by_name = sys.modules["rewirl.nn.tiles"].__dict__
    imported_by_name["a_name_of_its_own"] = _core.empty_tiles
    network = nn.initialised(4, [nn.Linear("output", n_out=3)], {"output": None}, np.random.default_rng(0))
    before = {name: getattr(_core, name) for name in dir(_core)}
    try:
        with phases.native_calls_timed() as seconds:
            imported_by_name["a_name_of_its_own"](1, 4, 16)
            network.act(np.ones(4, dtype=np.float32))
            with pytest.raises(ValueError, match="features"):
                network.act(np.ones(5, dtype=np.float32))
        assert set(seconds) == {"empty_tiles", "Network.act"} and min(seconds.values()) > 0
        assert imported_by_name["a_name_of_its_own"] is before["empty_tiles"]
    finally:
        del imported_by_name["a_name_of_its_own"]
    assert {name: getattr(_core, name) for name in dir(_core)} == before
    network.act(np.ones(4, dtype=np.float32))
    assert set(seconds) == {"empty_tiles", "Network.act"}


def test_phases_add_up_to_the_time_that_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def native(took: float) -> None:
        nonlocal now
        now += took

    def work() -> int:
        nonlocal now
        _core.adam(0.03)  # type: ignore[call-arg, arg-type]
        _core.forward(0.01)  # type: ignore[call-arg, arg-type]
        _core.forward(0.01)  # type: ignore[call-arg, arg-type]
        now += 0.05
        return 2

    monkeypatch.setattr(_core, "adam", native)
    monkeypatch.setattr(_core, "forward", lambda took: native(took))
    monkeypatch.setattr(phases.time, "perf_counter", lambda: now)
    found = phases.profile(work, 0.95)
    assert found == {"adam": pytest.approx(0.015), "forward": pytest.approx(0.01), phases.REST: pytest.approx(0.025)}
    assert list(found) == ["adam", "forward", phases.REST]


def test_dense_agents_are_timed_once_and_sparse_ones_at_every_sparsity() -> None:
    options = updates.Options(sparsities=(0.51, 0.9), threads=(1, 2))
    found = [(row.name, row.sparsity) for row in updates.candidates_of(options) if row.threads == 2]
    assert found[:3] == [("td3", None), ("static-td3", 0.51), ("static-td3", 0.9)]
    assert {name for name, _ in found} == set(options.agents)


def test_blocks_are_timed_beside_single_connections() -> None:
    options = updates.Options(("td3", "ds-td3"), sparsities=(0.9,), threads=(1,), structures=("unstructured", "8x1"))
    rows = updates.candidates_of(options)
    assert [row.name for row in rows] == ["td3", "ds-td3", "ds-td3 8x1"]
    assert [row.specification.get("structure") for row in rows] == [None, None, "8x1"]


def test_the_update_tables_by_hand() -> None:
    one = {"name": "td3", "sparsity": None, "threads": 1, "connections": 2000,
           "rates": {"update": [100.0, 200.0], "explore": [7.0, 7.0]},
           "phases": {"forward": 5e-3, "Network.act": 1e-5, phases.REST: 1e-3}}  # fmt: skip
    other = {"name": "ds-td3", "sparsity": 0.9, "threads": 1, "connections": 200,
             "rates": {"update": [400.0, 800.0], "explore": [9.0, 9.0]},
             "phases": {"forward": 1e-3, "update_targets": 2e-3, phases.REST: 5e-4}}  # fmt: skip
    result = {
        "batch_size": 100,
        "rounds": 2,
        "seconds": 1.0,
        "machine": MACHINE,
        "versions": {},
        "agents": [one, other],
    }
    lines = updates.markdown(result).splitlines()
    assert "| ds-td3 | 90% | 1 | 200 | 4.00 | 600 | 33% | 9 |" in lines
    assert (
        "| agent | sparse | threads | update | `forward` | `update_targets` | other native calls | Python and NumPy |"
        in lines
    )
    assert "| td3 |  | 1 | 6,010 | 5,000 | 0 | 10 | 1,000 |" in lines
    assert "| ds-td3 | 90% | 1 | 3,500 | 1,000 | 2,000 | 0 | 500 |" in lines


def test_bench_updates(rewirl: Any, tmp_path: Path) -> None:
    small = shlex.split("--agents td3 ds-td3 --sparsities 0.9 --threads 1 --batch-size 8 --rounds 2 --seconds 0.02")
    code, out, err = rewirl("bench", "updates", *small, "--json", tmp_path / "out.json")
    assert code == 0, err
    assert "| ds-td3 | 90% | 1 | 21," in out
    for agent in json.loads((tmp_path / "out.json").read_text())["agents"]:
        assert len(agent["rates"]["update"]) == len(agent["rates"]["explore"]) == 2
        assert {"forward", "backward", "regress", phases.REST} <= set(agent["phases"])
        assert 1 / sum(agent["phases"].values()) < 5 * max(agent["rates"]["update"])


# --- End to end --------------------------------------------------------


def test_whole_periods_are_timed_and_the_first_evaluation_is_not_typical(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = end_to_end.Watch(10, 30)
    for step, now, evaluation_seconds in [
        (0, 0.0, 100.0), (5, 1.0, None), (10, 2.0, 4.0), (20, 7.0, 6.0), (29, 14.0, None), (30, 16.0, 5.0)
    ]:  # fmt: skip
        monkeypatch.setattr(end_to_end.time, "perf_counter", lambda now=now: now)
        if step:
            watch.step(step)
        if evaluation_seconds is not None:
            watch.evaluated(step, Evaluation((1.0,), (1,), evaluation_seconds), 1.0)
    assert watch.step_seconds() == pytest.approx((16 - 2) / 20)
    assert watch.evaluation_seconds() == 5.0  # the first one makes the environments


@pytest.mark.parametrize("threads", [1, 2])
def test_an_evaluation_per_period_is_within_what_is_timed(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    seen: list[tuple[str, int]] = []

    class Order(end_to_end.Watch):
        def step(self, step: int) -> None:
            seen.append(("step", step))
            super().step(step)

        def evaluated(self, step: int, evaluation: Evaluation, density: float) -> None:
            seen.append(("evaluation", step))
            super().evaluated(step, evaluation, density)

    monkeypatch.setattr(end_to_end, "Watch", Order)
    options = end_to_end.Options(
        agents=("td3",), env="Pendulum-v1", threads=(threads,), steps=35, learning_starts=15, eval_every=20,
        eval_episodes=1, batch_size=8, hidden_sizes=(8,), rounds=1,
    )  # fmt: skip
    end_to_end.run(options)
    begin, end = seen.index(("step", 20)), seen.index(("step", 60))
    if threads == 1:
        assert [what for what in seen[begin:end] if what[0] == "evaluation"] == [("evaluation", 20), ("evaluation", 40)]
    assert seen[-1] == ("evaluation", 60)


TIMED = {"first": 1_000, "timed": 5_000, "eval_every": 1_000, "updates_per_step": 0.5}


def test_the_table_of_whole_runs_by_hand() -> None:
    run = {
        "agent": "td3", "threads": 2, "step_seconds": [9.0, 0.002, 0.001], "evaluation_seconds": [3.0, 2.0, 1.0],
        **TIMED,
    }  # fmt: skip
    options = end_to_end.Options(eval_every=1000)
    result = {**vars(options), "machine": MACHINE, "versions": {}, "runs": [run]}
    # a million steps are 2,000 s
    assert "| td3 | 2 | 500 | 0.5 | 2.00 | 33.3 | 1.00 |" in end_to_end.markdown(result)


def test_presets_are_compared_with_the_first_of_as_many_threads() -> None:
    names = ("ds-drl/ds-td3/HalfCheetah-v5", "fast/td3/HalfCheetah-v5")
    runs = [
        {"agent": name, "threads": threads, "step_seconds": seconds, "evaluation_seconds": [1.0], **TIMED}
        for threads, name, seconds in [
            (1, names[0], [0.004, 0.002]), (1, names[1], [0.001, 0.001]), (2, names[0], [0.001]), (2, names[1], [0.002])
        ]
    ]  # fmt: skip
    result = {**vars(end_to_end.Options(presets=names)), "machine": MACHINE, "versions": {}, "runs": runs}
    text = end_to_end.markdown(result)
    assert "| preset | threads |" in text and "## Whole runs of presets" in text
    # of the rounds a quarter and a half; a million steps are 1,000 s
    assert f"| {names[1]} | 1 | 1,000 | 0.5 | 1.00 | 16.7 | 0.38 |" in text
    assert f"| {names[1]} | 2 | 500 | 0.5 | 1.00 | 33.3 | 2.00 |" in text


def test_presets_are_run_with_their_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    start = end_to_end.training_run.start
    monkeypatch.setattr(
        end_to_end.training_run, "start",
        lambda config, agent, path, shown: made.append((config, agent)) or start(config, agent, path, shown),
    )  # fmt: skip
    options = end_to_end.Options(
        presets=("small/pendulum", "small/mountain-car"), threads=(1,), steps=10, learning_starts=300, eval_every=300,
        eval_episodes=1, rounds=1,
    )  # fmt: skip
    runs = end_to_end.run(options)["runs"]
    assert [run["agent"] for run in runs] == ["small/pendulum", "small/mountain-car"]
    assert [config.env for config, _ in made] == ["Pendulum-v1", "MountainCarContinuous-v0"]
    assert {agent.learning_starts for _, agent in made} == {300}
    assert [agent.exploration for _, agent in made] == ["normal", "ornstein-uhlenbeck"]


def test_presets_without_a_replay_memory_are_timed_over_whole_rollouts(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def once(options: end_to_end.Options, settings: Any) -> end_to_end.Watch:
        made.append(settings)
        watch = end_to_end.Watch(0, 1)
        watch._times, watch._evaluations = {0: 0.0, 1: 1.0}, [1.0, 1.0]
        return watch

    monkeypatch.setattr(end_to_end, "_run_once", once)
    presets = ("cleanrl/ppo/CartPole-v1", "stream-x/stream-ac/HalfCheetah-v5", "small/cartpole")
    result = end_to_end.run(end_to_end.Options(presets=presets, threads=(1,), eval_every=1_000, steps=2_500, rounds=1))
    for number, period in enumerate((2 * 512, 1_000, 1_000)):
        run, config = result["runs"][number], made[number].run
        assert run["eval_every"] == config.eval_every == period and run["first"] % period == run["timed"] % period == 0
        assert run["first"] >= 1_000 and run["timed"] >= 2_500 and run["first"] + run["timed"] == config.total_timesteps
    assert [run["updates_per_step"] for run in result["runs"]] == [4 / 128, 1.0, 1 / 2]
    text = end_to_end.markdown(result)
    assert "an update each" not in text and "Every 1,000 to 1,024 steps" in text


def test_bench_end_to_end_leaves_nothing_behind(rewirl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    seen: list[bool] = []
    start = end_to_end.training_run.start
    monkeypatch.setattr(
        end_to_end.training_run, "start",
        lambda config, agent, path, shown: seen.append(tmp_path in path.parents) or start(config, agent, path, shown),
    )  # fmt: skip
    small = shlex.split(
        "--env Pendulum-v1 --agents ds-td3 --sparsity 0.8 --hidden-sizes 16 16 --batch-size 8 --threads 1 --steps 40 "
        "--learning-starts 10 --eval-every 25 --eval-episodes 2 --rounds 2"
    )
    code, out, err = rewirl("bench", "end-to-end", *small, "--json", "out.json")
    assert code == 0, err
    assert seen == [True, True] and [path.name for path in tmp_path.iterdir()] == ["out.json"]
    assert "## Whole runs on Pendulum-v1, batch 8" in out
    (run,) = json.loads(Path("out.json").read_text())["runs"]
    assert len(run["step_seconds"]) == len(run["evaluation_seconds"]) == 2
    assert min(*run["step_seconds"], *run["evaluation_seconds"]) > 0


# --- The command line --------------------------------------------------


def test_every_benchmark_is_listed_and_explains_its_options(rewirl: Any) -> None:
    _, overview, _ = rewirl("bench", "--help")
    for name in BENCHMARKS:
        assert f"\n  {name} " in overview
        code, text, _ = rewirl("bench", name, "--help")
        assert code == 0 and f"usage: rewirl bench {name}" in text and "--threads" in text and "--json" in text


REFUSED = {
    "benchmark": ("kernel", "no benchmark 'kernel'; did you mean kernels?"),
    "density": ("kernels --densities 0", "densities must be above 0 and at most 1"),
    "nothing left": ("kernels --widths 4 --densities 0.01", "no connection would be left of density 0.01 of 4 x 4"),
    "width": ("kernels --widths 0", "widths, batches, threads and rounds must be at least 1"),
    "no width": ("kernels --widths", "at least one number"),
    "agent": ("updates --agents ds-td4", "agents must be among td3, "),
    "rollouts": ("end-to-end --agents ppo", "Name others by presets, such as --presets cleanrl/ppo/CartPole-v1"),
    "sparsity": ("updates --sparsities 1", "sparsities must lie between 0 and 1"),
    "no sparsity": ("updates --agents ds-td3 --sparsities", "ds-td3 need at least one of sparsities"),
    "structure": ("updates --structures 9x1", "structure must be unstructured"),
    "rounds": ("updates --rounds 0", "must be at least 1"),
    "steps": ("end-to-end --steps 0", "steps must be at least 1"),
    "threads": ("end-to-end --threads 0", "threads must be at least 1"),
    "preset": ("end-to-end --presets fast/td3/HalfCheeta-v5", "did you mean fast/td3/HalfCheetah-v5?"),
    "of presets": ("end-to-end --presets small/pendulum --batch-size 8", "leave --batch-size out"),
    "environment": ("end-to-end --env HalfCheeta-v5", "did you mean HalfCheetah-v5?"),
    "folder": ("kernels --json nowhere/out.json", "there is no folder nowhere"),
    "no file": ("kernels --json .", "is a folder; name a file in it"),
}


@pytest.mark.parametrize("arguments, message", REFUSED.values(), ids=REFUSED.keys())
def test_impossible_benchmarks_are_refused_before_anything_starts(
    rewirl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = rewirl("bench", *arguments.split())
    assert code == 2 and message in err, err
