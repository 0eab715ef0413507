"""The report's section on plasticity, of runs that recorded it."""

from __future__ import annotations

import json

import pytest
from synthetic_runs import make_run

from rewirl.experiments.report import document, report
from rewirl.experiments.report.document import Figure, Table
from rewirl.experiments.report.run_data import find_runs


def recorded(path, values, networks=("actor", "critic1", "critic2"), **more):
    """Add diagnostics to the log of a run, at each of its evaluations but the first."""
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()[:-1]]
    steps = [line["step"] for line in lines if line["event"] == "evaluation"][1:]
    for step, value in zip(steps, values, strict=True):
        told = {}
        for number, name in enumerate(networks):
            told |= {f"{name}_dormant": value, f"{name}_effective_rank": 10.0 * (number + 1)}
            told |= {f"{name}_weight_norm": 5.0 + number}
        lines.append({"event": "diagnostics", "step": step, "updates": step, "rewired": 0.0, **told, **more})
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def blocks_of(path):
    runs, problems = find_runs([path])
    return report(runs, problems), problems


@pytest.mark.draws
def test_it_has_a_table_and_a_figure_for_every_measure(tmp_path):
    for seed, values in ((0, [0.1, 0.2, 0.4]), (1, [0.3, 0.4, 0.6])):
        recorded(make_run(tmp_path, "td3", seed, [1.0, 2.0, 3.0, 4.0]), values)
    make_run(tmp_path, "ds-td3", 0, [1.0, 2.0, 3.0, 4.0])  # of an earlier version
    blocks, problems = blocks_of(tmp_path)
    assert not problems
    text = document.markdown(blocks)
    assert text.count("## Plasticity") == 1
    (table,) = (block for block in blocks if isinstance(block, Table) and "effective rank" in block.head)
    assert [row[:2] for row in table.rows] == [["ds-drl/td3", "actor"], ["ds-drl/td3", "critics"]]
    assert table.rows[0][2:] == ["20.0 → 50.0", "10.0 → 10.0", "5.00 → 5.00", "5,000 → 15,000"]
    assert table.rows[1][3:5] == ["25.0 → 25.0", "6.50 → 6.50"]  # the mean of both critics
    titles = [block.title for block in blocks if isinstance(block, Figure)]
    assert [title for title in titles if "dormant" in title] == [
        "HalfCheetah-v5, actor: dormant units (%)",
        "HalfCheetah-v5, critics: dormant units (%)",
    ]
    assert sum("effective rank" in title or "norm of" in title for title in titles) == 4


def test_a_run_cut_short_is_in_no_number_of_networks_either(tmp_path):
    path = make_run(tmp_path, "ds-td3", 0, [0, 1, 2], total=25_000, drift=lambda number: 0.125)
    recorded(path, [0.9, 0.9])
    for seed in (1, 2):
        path = make_run(tmp_path, "ds-td3", seed, [0, 1, 2, 3, 4, 5], drift=lambda number: 1 - 0.1 * number)
        recorded(path, [0.1, 0.1, 0.1, 0.1, 0.2])
    text = document.markdown(blocks_of(tmp_path)[0])
    assert "| ds-drl/ds-td3 | actor | 10.0 → 20.0 | 10.0 → 10.0 | 5.00 → 5.00 | 5,000 → 25,000 |" in text
    assert "50.0%, dense |" in text and "12.5%, dense |" not in text
    assert "mean and standard deviation over 2 runs (and both critics), until step 25,000" in document.html(
        blocks_of(tmp_path)[0]
    )


def test_runs_that_recorded_dormant_units_alone_are_reported_as_before(tmp_path):
    path = make_run(tmp_path, "td3", 0, [1.0, 2.0])
    before = document.markdown(blocks_of(tmp_path)[0])
    lines = (path / "metrics.jsonl").read_text().splitlines()[:-1]
    lines.append(json.dumps({"event": "diagnostics", "step": 5000, "updates": 5000, "actor_dormant": 0.5}))
    (path / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
    assert document.markdown(blocks_of(tmp_path)[0]) == before and "Plasticity" not in before


@pytest.mark.parametrize("value", [1.5, -0.1, "0.1", True, None])
def test_impossible_measures_name_the_run_that_has_them(tmp_path, value):
    path = recorded(make_run(tmp_path, "td3", 0, [1.0, 2.0]), [0.5], critic1_dormant=value)
    runs, problems = find_runs([tmp_path])
    assert not runs and problems[0][0] == path.resolve() and "dormant" in problems[0][1]
