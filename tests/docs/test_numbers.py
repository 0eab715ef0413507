"""Numbers on pages are those of the runs that are kept."""

from __future__ import annotations

import re
import sys

import pytest
from prose import ROOT

from rewirl.experiments.report.run_data import find_runs
from rewirl.experiments.report.run_groups import group_runs

REPORT = (ROOT / "results/ds-drl/report.md").read_text(encoding="utf-8")


def test_tables_of_returns_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    import returns_tables
    import write_results

    groups, _ = group_runs(find_runs([ROOT / "results/ds-drl"])[0])
    for page in write_results.PAGES_WITH_RETURNS:
        text = page.read_text(encoding="utf-8")
        assert returns_tables.ASKED.search(text)
        assert returns_tables.filled(text, groups) == text, f"{page.name}: python experiments/write_results.py ds-drl"
    for task, columns, message in (
        ("HalfCheetah-v5", "seeds, 100m", "the column '100m'; there are seeds"),
        ("Swimmer-v5", "seeds", "asks for td3 on Swimmer-v5"),
    ):
        with pytest.raises(ValueError, match=message):
            returns_tables.filled(f"<!-- returns of td3 on {task}: {columns} -->\n\n", groups)
    for name in ("returns_tables", "write_results"):
        monkeypatch.delitem(sys.modules, name)


def test_the_share_of_the_steps_in_the_paper_s_page_is_the_report_s() -> None:
    text = (ROOT / "docs/paper.md").read_text(encoding="utf-8")
    row = re.search(
        r"\| ds-drl/ds-td3 \| ds-drl/td3 \| 1,000,000 \| [\d,]+ \| \d of \d \| ([\d,]+) \| (\d+%) \|", REPORT
    )
    assert row is not None
    (share,) = re.findall(r"DS-TD3 has dense TD3's\s+final return after (\d+%) of the steps", text)
    assert share == row[2]
    rows = re.findall(r"\| [\d.]+ min \| ([\d.]+) min \| ([\d.]+) min \|", text)
    assert len(rows) == 4
    for whole, part in rows:
        assert abs(float(whole) * int(row[1].replace(",", "")) / 1e6 - float(part)) < 0.06
