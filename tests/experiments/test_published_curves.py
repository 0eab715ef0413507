"""Published curves: what is known of them, where they are drawn, and that they are in no number."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_runs import make_run, rising

from rewirl.cli.main import main
from rewirl.experiments.report import document, report
from rewirl.experiments.report.published_curves import DATA, beside, published_curves
from rewirl.experiments.report.run_data import find_runs
from rewirl.experiments.report.run_groups import group_runs

DOG = "dm_control/dog-run-v0"
TWICE = {"action_repeat": 2}


def drawn(path):
    runs, problems = find_runs([path])
    assert not problems
    return {curve.label: curve for curve in beside(group_runs(runs)[0])}


def test_every_curve_has_its_points_source_and_licence():
    assert DATA.stat().st_size < 100_000
    curves = published_curves()
    assert len({curve.label for curve in curves}) == len(curves) == 64
    for curve in curves:
        assert len(curve.steps) == len(curve.mean) == len(curve.deviation) > 5
        assert np.all(np.diff(curve.steps) > 0) and np.all(curve.deviation >= 0)
        assert curve.licence in ("MIT", "Apache 2.0") and curve.source.endswith(".csv") and curve.seeds >= 5
    by_label = {curve.label: curve for curve in curves}
    early = by_label["xqc, published (HalfCheetah-v4)"]
    assert (early.steps[1], early.mean[1], early.deviation[1]) == (100_000, 8597.3, 1533.5)
    ends = [round(by_label[f"simba, critic {width}, published (dog-run)"].mean[-1]) for width in (128, 256, 512, 1024)]
    assert ends == [107, 257, 545, 552]


def test_curves_of_the_same_agents_and_task_are_drawn_as_far_as_the_runs_go(tmp_path):
    make_run(tmp_path, "ds-xqc", 0, rising(1, 1), total=200_000)
    make_run(tmp_path, "td3", 0, rising(1, 1))
    (curve,) = drawn(tmp_path).values()
    assert curve.label == "xqc, published (HalfCheetah-v4)" and curve.steps.tolist() == [0, 100_000, 200_000]


@pytest.mark.parametrize(
    "env, kwargs",
    [("Pendulum-v1", {}), ("HalfCheetah-v5", {"forward_reward_weight": 2}), ("other/HalfCheetah-v5", {})],
)
def test_another_task_or_a_changed_one_has_none(tmp_path, env, kwargs):
    make_run(tmp_path, "ds-xqc", 0, rising(1, 1), env, env_kwargs=kwargs)
    assert drawn(tmp_path) == {}


def test_a_step_that_holds_its_action_twice_is_two_published_ones(tmp_path):
    sizes = [(512, 512), (256, 256)]
    for width in sizes:
        make_run(tmp_path, "simba", 0, rising(1, 1), DOG, 500_000, env_kwargs=TWICE, hidden_sizes=width)
    curves = drawn(tmp_path)
    assert set(curves) == {f"simba, critic {width}, published (dog-run)" for width in (512, 256)}
    for curve in curves.values():
        assert (curve.steps[1], curve.steps[-1]) == (50_000, 500_000)
    make_run(tmp_path, "xqc", 0, rising(1, 1), DOG)  # of one control step a step
    assert drawn(tmp_path) == {}


@pytest.mark.draws
def test_they_are_shown_with_their_source_and_in_no_number(tmp_path):
    for seed in (0, 1):
        for agent in ("xqc", "ds-xqc"):
            make_run(tmp_path, agent, seed, rising(10 + seed, 1))
    runs, problems = find_runs([tmp_path])
    shown, plain = report(runs, problems), report(runs, problems, published_curves=False)
    added = [block for block in shown if block not in plain]
    figure, table = added
    assert isinstance(figure, document.Figure) and "Grey, with a mark at every point" in figure.alt
    assert isinstance(table, document.Table) and "no other number" in table.caption
    assert table.rows == [
        [
            "xqc, published (HalfCheetah-v4)", "100,000", "8,597 ± 1,534", "10",
            "danielpalenicek/xqc:results/xqc.csv", "MIT",
        ]
    ]  # fmt: skip
    assert len([block for block in plain if block not in shown]) == 1  # the same figure without them


def test_the_command_leaves_them_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs", "xqc", 0, rising(1, 1))
    for arguments in (["--markdown", "with.md"], ["--markdown", "without.md", "--no-published-curves"]):
        with pytest.raises(SystemExit, match="0"):
            main(["report", *arguments])
    assert "danielpalenicek/xqc" in (tmp_path / "with.md").read_text()
    assert "published" not in (tmp_path / "without.md").read_text()
