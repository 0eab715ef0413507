"""Numbers of a report and of the command line have the digits that their size gives them, and say what they are of."""

from __future__ import annotations

import json
import math
import re

import pytest
from synthetic_runs import make_run, rising

from rewirl.cli.main import main
from rewirl.experiments.report import document, report
from rewirl.experiments.report.aggregates import Estimate
from rewirl.experiments.report.run_data import find_runs
from rewirl.experiments.report.sections import words
from rewirl.printing import number


@pytest.mark.parametrize(
    ("value", "beside", "least", "text"),
    [
        (0.125, (), 0, "0.125"),
        (0.5, (0.03,), 0, "0.500"),
        (0.03, (0.5,), 0, "0.030"),
        (1234.5, (), 0, "1,234"),
        (-7.5, (), 0, "-7.50"),
        (0.00012, (), 0, "0.000120"),
        (0, (), 0, "0"),
        (0.0, (math.inf,), 1, "0.0"),
        (12.0, (), 1, "12.0"),
        (1e300, (), 0, f"{1e300:,.0f}"),
        (5e-324, (), 0, "0.000000000000"),
        (math.nan, (), 0, "nan"),
    ],
)
def test_a_number_has_three_digits_at_least(value, beside, least, text):
    assert number(value, *beside, least=least) == text


def test_an_interval_has_the_digits_of_its_largest_bound():
    assert words.bounds(Estimate(0.5, 0.25, 0.75), 5) == "0.250 to 0.750"
    assert words.bounds(Estimate(0.01, -0.02, 0.04), 5, words.signed) == "-0.0200 to +0.0400"
    assert words.bounds(Estimate(1500, 1400, 1600), 5) == "1,400 to 1,600"
    assert words.mean_if_all([0.25, 0.75]) == "0.500"


def test_returns_between_0_and_1_are_no_zeros(tmp_path):
    for agent, top in (("td3", 0.4), ("ds-td3", 0.6)):
        for seed in (0, 1):
            make_run(tmp_path, agent, seed, rising(top + 0.1 * seed, 40_000))
    text = document.markdown(report(*find_runs([tmp_path])))
    for part in ("0.450 ± 0.050", "0.650 ± 0.050", "+0.200", "| ds-drl/td3 | 100,000 | 0.450 |"):
        assert part in text
    assert "| 0 ± 0 " not in text


def test_a_final_return_of_few_evaluations_says_so(tmp_path):
    for agent, count in (("td3", 4), ("sac", 9), ("ds-td3", 10), ("ds-sac", 20)):
        make_run(tmp_path, agent, 0, rising(1000, 20_000, count=count))
    text = document.markdown(report(*find_runs([tmp_path])))
    untrained = "evaluations, that of the untrained policy at step 0 among them."
    assert f"td3: the final return is the mean of 5 {untrained}" in text
    assert f"sac: the final return is the mean of 10 {untrained}" in text
    assert "ds-td3: the final return is the mean" not in text and "ds-sac: the final return is the mean" not in text


def changed_log(path, change):
    """Change every evaluation that a run has logged."""
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()[:-1]]
    for line in lines:
        if line["event"] == "evaluation":
            change(line)
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_final_return_of_evaluations_before_the_first_update_says_so(tmp_path):
    def late(line):
        line["updates"] = max(0, line["step"] - 75_000)

    changed_log(make_run(tmp_path, "td3", 0, rising(1000, 20_000)), late)
    changed_log(make_run(tmp_path, "ds-td3", 0, rising(1000, 20_000, count=40)), late)
    text = document.markdown(report(*find_runs([tmp_path])))
    assert "td3: the final return is the mean of 10 evaluations, 5 of them of the untrained policy." in text
    assert "ds-td3: the final return is the mean" not in text


def test_connections_are_those_of_the_steps_beside_them(tmp_path):
    def pruned(line):
        line["connections"] = dict.fromkeys(line["connections"], 1000 - line["step"] // 1000)

    changed_log(make_run(tmp_path, "ds-td3", 0, rising(1, 1, count=20), total=200_000), pruned)
    changed_log(make_run(tmp_path, "ds-td3", 1, rising(1, 1, count=30), total=200_000), pruned)
    text = document.markdown(report(*find_runs([tmp_path])))
    assert "| ds-td3 | 100,000 | 2,700 |" in text.replace("ds-drl/", ""), "900 each; the longer run goes on to 850"


def test_runs_of_few_evaluations_reach_a_return_by_the_mean_of_those_they_have(tmp_path):
    for seed in (0, 1):
        make_run(tmp_path, "td3", seed, [0, 10, 20, 30, 40 + seed])
        make_run(tmp_path, "ds-td3", seed, [50, 60, 70, 80, 90 + seed])
    text = document.markdown(report(*find_runs([tmp_path])))
    assert "| ds-drl/ds-td3 | ds-drl/td3 | 20,000 | 20.1 | 2 of 2 | 20,000 | 100% | 100% to 100% |" in text
    assert "measured like it, as the mean of up to 10 evaluations." in text


@pytest.mark.parametrize("value", [0.007, 0.013, -0.3])
def test_who_has_the_return_to_reach_at_every_evaluation_reaches_it_whatever_the_rounding(tmp_path, value):
    for seed in range(3):
        make_run(tmp_path, "td3", seed, [value] * 21)
        make_run(tmp_path, "ds-td3", seed, [value] * 21)
    text = document.markdown(report(*find_runs([tmp_path])))
    assert "| 3 of 3 | 45,000 | 45% | 45% to 45% |" in text


def test_groups_that_were_evaluated_at_other_intervals_are_told(tmp_path):
    make_run(tmp_path, "td3", 0, rising(1000, 20_000))
    make_run(tmp_path, "sac", 0, rising(1000, 20_000))
    text = "Evaluations are at different intervals"
    assert text not in document.markdown(report(*find_runs([tmp_path])))
    make_run(tmp_path, "ds-td3", 0, rising(1000, 20_000), eval_every=1000)
    page = document.markdown(report(*find_runs([tmp_path])))
    assert text in page and "* every 5000 steps: ds-drl/td3; ds-drl/sac.\n" in page
    assert "* every 1000 steps: ds-td3, learning-starts 25000, eval-every 1000.\n" in page


def test_what_was_evaluated_once_before_it_learnt_is_one_evaluation(tmp_path):
    make_run(tmp_path, "td3", 0, [3.0])
    make_run(tmp_path, "ds-td3", 0, [4.0])
    text = document.markdown(report(*find_runs([tmp_path])))
    assert "td3: the final return is the mean of 1 evaluation, that of the untrained policy at step 0" in text
    assert "| 3.00 | 1 of 1 | 0 | 0% | one run |" in text


PRUNED = [
    *("--env", "Pendulum-v1", "--agent", "ds-td3", "--rule", "prune", "--hidden-sizes", "32", "32"),
    *("--initial-sparsity", "0", "--sparsity", "0.9", "--sparsity-end", "1000", "--adapt-every", "10"),
    *("--learning-starts", "100", "--batch-size", "10", "--total-timesteps", "2100", "--threads", "1"),
    *("--eval-every", "100", "--eval-episodes", "1"),
]


def inspected(capsys, *arguments):
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["inspect", *map(str, arguments), "--json"])
    assert ended.value.code == 0
    return json.loads(capsys.readouterr().out)


def test_inspect_and_report_agree_on_the_cost_of_a_sparsity_that_changes(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["train", *PRUNED, "--run-dir", str(tmp_path / "run")])
    (run,), _ = find_runs([tmp_path])
    before, after = inspected(capsys, *PRUNED), inspected(capsys, tmp_path / "run")
    assert before["flops"] == after["flops"] == run.flops[-1]
    assert before["changing"]["params"] == pytest.approx(run.connections[-1], abs=3)
    assert before["changing"]["sparsity"] == pytest.approx(0.9, abs=0.001) and before["sparsity"] == 0


def test_a_dry_run_shows_where_a_changing_sparsity_goes(capsys):
    with pytest.raises(SystemExit):
        main(["train", *PRUNED, "--dry-run"])
    out = capsys.readouterr().out
    assert "changing   from update 0 to 1,000; at the end of the run sparsity 0.900" in out
    said = re.search(r"0\.900, ([\d,]+) connections \(actor ([\d,]+), critic1 ([\d,]+), critic2 ([\d,]+)\)", out)
    whole, *each = (int(count.replace(",", "")) for count in said.groups())
    assert whole == sum(each)


@pytest.mark.parametrize("agent", ["td3", "ds-sac", "xqc"])
def test_inspect_and_report_agree_on_the_cost_of_a_short_run(tmp_path, capsys, agent):
    """The steps of the warm-up have no update, and cost nothing: half of this run."""
    small = [
        "--agent",
        agent,
        *PRUNED[:2],
        "--hidden-sizes",
        "16",
        "16",
        "--learning-starts",
        "30",
        "--batch-size",
        "10",
    ]
    small += ["--total-timesteps", "60", "--threads", "1", "--eval-every", "30", "--eval-episodes", "1"]
    with pytest.raises(SystemExit):
        main(["train", *small, "--run-dir", str(tmp_path / "run")])
    (run,), _ = find_runs([tmp_path])
    before, after = inspected(capsys, *small), inspected(capsys, tmp_path / "run")
    assert before["flops"] == after["flops"] == run.flops[-1] > 0 == run.flops[1]
