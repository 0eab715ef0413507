"""The report's section on inputs: shares, bounded tables, and runs that recorded none or something impossible."""

from __future__ import annotations

import json

import pytest
from synthetic_runs import make_run

from rewirl.cli.inputs import lines_of_inputs
from rewirl.experiments.report.document import Table
from rewirl.experiments.report.run_data import read_run
from rewirl.experiments.report.run_groups import group_runs
from rewirl.experiments.report.sections.inputs import which_inputs


def scores(strength, attribution):
    return {"connections": [2] * len(strength), "strength": strength, "attribution": attribution}


def a_run(path, seed, inputs, **more):
    """A run that recorded this at its end; None for nothing."""
    run = make_run(path, "ds-td3", seed, [0, 1, 2], drift=lambda number: 1.0, **more)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()[:-1]]
    if inputs is not None:
        lines[-1]["inputs"] = inputs
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return read_run(run)


def section(*runs):
    return which_inputs(group_runs(list(runs))[0])


def test_shares_are_means_over_runs_and_critics(tmp_path):
    first = {
        "actor": scores([3.0, 1.0], [1.0, 1.0]),
        "critic1": scores([1.0, 0.0, 1.0], [0.0, 0.0, 2.0]),
        "critic2": scores([1.0, 0.0, 3.0], [0.0, 0.0, 2.0]),
    }
    second = {**first, "actor": scores([1.0, 1.0], [1.0, 3.0])}
    table = section(a_run(tmp_path, 0, first), a_run(tmp_path, 1, second))[2]
    assert isinstance(table, Table) and "mean ± standard deviation over 2 runs" in table.caption
    assert table.rows == [
        ["actor", "observation 0", "2", "62.5% ± 12.5", "37.5% ± 12.5"],
        ["actor", "observation 1", "2", "37.5% ± 12.5", "62.5% ± 12.5"],
        ["critics", "action 0", "2", "66.7% ± 0.0", "100.0% ± 0.0"],
        ["critics", "observation 0", "2", "33.3% ± 0.0", "0.0% ± 0.0"],
        ["critics", "observation 1", "2", "0.0% ± 0.0", "0.0% ± 0.0"],
    ]


def test_wide_observations_stay_readable(tmp_path):
    wide = scores([float(i) for i in range(1000)], None)
    (table,) = section(a_run(tmp_path, 0, {"actor": wide}))[2:]
    named = [row[1] for row in table.rows]
    assert named[:6] == [f"observation {i}" for i in range(999, 993, -1)] and named[6] == "... 991 between"
    assert named[7:] == ["observation 2", "observation 1", "observation 0"]
    assert {row[4] for row in table.rows} == {"not recorded", ""}
    lines = lines_of_inputs({"actor": wide}, 1000)
    assert len(lines) == 2 + 10 + 1 + 5 and "985 between" in lines[12] and lines[2].split()[-1] == "-"


def test_runs_without_inputs_have_no_section(tmp_path):
    assert section(a_run(tmp_path, 0, None)) == []
    both = section(a_run(tmp_path, 1, None), a_run(tmp_path, 2, {"actor": scores([1.0], [1.0])}))
    assert "over 1 run." in both[2].caption


@pytest.mark.parametrize(
    "inputs",
    [
        [],
        {"actor": 1},
        {"actor": {"strength": [1.0]}},
        {"actor": scores([1.0, "x"], None)},
        {"actor": scores([1.0, -1.0], None)},
        {"actor": scores([1.0], [1.0, 2.0])},
        {"actor": scores([1e300], None)},
        {"actor": scores([], None)} | {"critic1": {"connections": None, "strength": []}},
    ],
)
def test_impossible_inputs_leave_the_run_out(inputs, tmp_path):
    with pytest.raises(ValueError):
        a_run(tmp_path, 0, inputs)
