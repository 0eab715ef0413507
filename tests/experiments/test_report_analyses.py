"""The paper's Figures 2 to 4 in a report: which runs belong to them, and after how many steps they are compared."""

from __future__ import annotations

import re

from synthetic_runs import make_run, recorded, rising

from rewirl.experiments.report import analyses_report, document, report
from rewirl.experiments.report.run_data import find_runs


def page_of(path, of=analyses_report):
    runs, problems = find_runs([path])
    return document.markdown(of(runs) if of is analyses_report else of(runs, problems))


def rows_of(page, title):
    part = page.partition(title)[2].partition("###")[0]
    return [
        tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in part.splitlines() if line.startswith("| ")
    ]


POLICY = {"sha256": "0", "agent": "td3", "seed": 0, "step": 700_000}


def test_what_is_varied_stands_beside_the_papers_settings_in_order(tmp_path):
    for agent in ("td3", "static-td3", "ds-td3"):
        make_run(tmp_path, agent, 0, rising(1000, 50_000))
    for every in (2000, 200):
        for seed in (0, 1):
            make_run(tmp_path, "ds-td3", seed, rising(every + seed, 50_000), adapt_every=every)
    for sparsity in (0.8, 0.25):
        make_run(tmp_path, "ds-td3", 0, rising(500, 50_000, 10), sparsity=sparsity)
    warm = make_run(tmp_path / "warm", "td3", 0, rising(1000, 50_000))
    recorded(warm, warm_up=POLICY, warm_up_policy="/somewhere/HalfCheetah-v5-td3-54774669-0")
    # of two things varied none is said to be the cause, and another sparsity of the static agent is no figure of it
    make_run(tmp_path, "ds-td3", 0, rising(1, 1), sparsity=0.5, adapt_every=200)
    make_run(tmp_path, "static-td3", 0, rising(1, 1), sparsity=0.5)
    page = page_of(tmp_path)
    assert re.findall("### (.*):.*, HalfCheetah-v5\n", page) == ["Figure 2", "Figure 3", "Figure 4"]
    of_period, of_sparsity, of_policy = (rows_of(page, f"### Figure {number}")[2:] for number in (2, 3, 4))
    assert [row[0] for row in of_period] == [
        "ds-drl/td3", "ds-drl/ds-td3", "ds-td3, adapt-every 200", "ds-td3, adapt-every 2000",
    ]  # fmt: skip
    assert of_period[2][2] == "2" and of_period[2][3].startswith("200 ")
    # steps of 5,000: after 50,000 the mean of ten evaluations is 55% of what they rise to, after 100,000 all of it
    assert (of_period[0][3], of_sparsity[0][3]) == ("1,000", "550")
    assert [row[0] for row in of_sparsity[2:]] == ["ds-td3, sparsity 0.25", "ds-td3, sparsity 0.8"]
    assert [row[0] for row in of_policy] == [
        "ds-drl/td3", "ds-drl/static-td3", "ds-drl/ds-td3", "td3, warm-up-policy td3 of 700000 steps 54774669",
    ]  # fmt: skip
    assert "HalfCheetah-v5, after 50,000 steps (the paper has 1,000,000)" in page
    assert "HalfCheetah-v5, after 100,000 steps (the paper has 1,000,000)" in page
    assert "The paper's analyses" in page_of(tmp_path, report)


def test_on_the_page_many_curves_have_a_legend(tmp_path):
    make_run(tmp_path, "td3", 0, rising(1000, 50_000))
    for every in (200, 300, 400, 500, 600, 700, 800):
        make_run(tmp_path, "ds-td3", 0, rising(every, 50_000), adapt_every=every)
    legends = [block for block in analyses_report(find_runs([tmp_path])[0]) if isinstance(block, document.Legend)]
    assert [len(legend.entries) for legend in legends] == [8]


def test_a_report_without_such_runs_has_no_such_section(tmp_path):
    make_run(tmp_path, "td3", 0, rising(1000, 50_000))
    make_run(tmp_path, "ds-td3", 0, rising(1000, 50_000))
    assert "analyses" not in page_of(tmp_path, report)
