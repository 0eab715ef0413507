"""Numbers on pages are those of the runs that are kept."""

from __future__ import annotations

import re

import pytest
from prose import ROOT

pytestmark = pytest.mark.quick

REPORT = (ROOT / "results/ds-drl/report.md").read_text(encoding="utf-8")
SEEDS_AND_FINAL = {
    "README.md": r"^\| `[a-z0-9-]+`.*?\| (\d) \| [\dk]+ \|.*\| ([\d,]+ ± [\d,]+) \| [\d.]* ?\|$",
    "docs/ds-td3.md": r"^\|.*TD3[a-z, ]*\| (\d) \| [\d,]+ \| [\de.+]+ \|(?:[^|]+\|){4} ([\d,]+ ± [\d,]+) \| [\d.]+ ±",
    "docs/ds-sac.md": r"^\|.*SAC[a-z, ]*\| (\d) \| [\d,]+ \| [\de.+]+ \|(?:[^|]+\|){4} ([\d,]+ ± [\d,]+) \| [\d.]+ ±",
}
ROWS = {"README.md": 5, "docs/ds-td3.md": 9, "docs/ds-sac.md": 2}


@pytest.mark.parametrize("page", SEEDS_AND_FINAL)
def test_final_returns_on_a_page_are_those_of_the_report(page: str) -> None:
    rows = re.findall(SEEDS_AND_FINAL[page], (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == ROWS[page]
    for seeds, final in rows:
        assert f"| 1,000,000 | {seeds} | {final} |" in REPORT, f"{page}: {final} of {seeds} seeds; copy the report's"


def test_the_share_of_the_steps_in_the_paper_s_page_is_the_report_s() -> None:
    text = (ROOT / "docs/paper.md").read_text(encoding="utf-8")
    (share,) = re.findall(r"DS-TD3 has dense TD3's\s+final return after (\d+)% of the steps, mean of four seeds", text)
    assert f"| ds-drl/ds-td3 | ds-drl/td3 | 1,000,000 | 9,876 | 4 of 4 | 333,750 | {share}% |" in REPORT
    for whole, part in re.findall(r"\| [\d.]+ min \| ([\d.]+) min \| ([\d.]+) min \|", text):
        assert abs(float(whole) * 0.33375 - float(part)) < 0.06
