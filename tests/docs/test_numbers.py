"""Numbers on pages are those of the runs that are kept."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prose import ROOT

from rewirl.experiments.report.run_data import find_runs
from rewirl.experiments.report.run_groups import group_runs
from rewirl.experiments.report.welch import welch
from rewirl.experiments.sweep.file import read_sweep
from rewirl.experiments.sweep.plan import plan

REPORT = (ROOT / "results/ds-drl/report.md").read_text(encoding="utf-8")


def test_tables_of_returns_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    import returns_tables
    import write_results

    groups, _ = group_runs(find_runs([ROOT / "results/ds-drl"])[0])
    for page in write_results.PAGES_WITH_RETURNS:
        text = page.read_text(encoding="utf-8")
        assert returns_tables.ASKED.search(text) or returns_tables.COMPARED.search(text)
        assert returns_tables.filled(text, groups) == text, f"{page.name}: python experiments/write_results.py ds-drl"
    for task, columns, message in (
        ("HalfCheetah-v5", "seeds, 100m", "the column '100m'; there are seeds"),
        ("Swimmer-v5", "seeds", "asks for td3 on Swimmer-v5"),
    ):
        with pytest.raises(ValueError, match=message):
            returns_tables.filled(f"<!-- returns of td3 on {task}: {columns} -->\n\n", groups)
    with pytest.raises(ValueError, match="asks for ds-td3 on Swimmer-v5"):
        returns_tables.filled("<!-- final returns of ds-td3 on Swimmer-v5, and of ds-td3 less td3 -->\n\n", groups)
    for name in ("returns_tables", "write_results"):
        monkeypatch.delitem(sys.modules, name)


def test_the_share_of_the_steps_in_the_paper_s_page_is_the_report_s() -> None:
    text = (ROOT / "docs/paper.md").read_text(encoding="utf-8")
    of_task = REPORT.partition("HalfCheetah-v5: steps and seconds until")[2]
    row = re.search(
        r"\| ds-drl/ds-td3 \| ds-drl/td3 \| 1,000,000 \| [\d,]+ \| \d of \d \| ([\d,]+) \| (\d+%) \|", of_task
    )
    assert row is not None
    (share,) = re.findall(r"DS-TD3 has dense TD3's\s+final return after (\d+%) of the steps", text)
    assert share == row[2]
    rows = re.findall(r"\| [\d.]+ min \| ([\d.]+) min \| ([\d.]+) min \|", text)
    assert len(rows) == 4
    for whole, part in rows:
        assert abs(float(whole) * int(row[1].replace(",", "")) / 1e6 - float(part)) < 0.06


def test_the_leads_of_five_and_ten_seeds_are_those_of_the_kept_runs() -> None:
    every, until = 20_000, 500_000
    kept = ROOT / "results"
    ten = [name for name in plan(read_sweep("blocks/paper").requests, kept / "blocks") if name.startswith("HalfCh")]
    agents = {
        name: [kept / f"ds-drl/HalfCheetah-v5-{name}-{seed}" for seed in range(5)] for name in ("td3", "static-td3")
    }
    five = [kept / f"ds-drl/HalfCheetah-v5-ds-td3-{seed}" for seed in range(5)]

    def measured(paths, of):
        runs = find_runs(paths)[0]
        assert len(runs) == len(paths)
        return np.array([of(run.returns[(run.steps % every == 0) & (run.steps <= until)]) for run in runs])

    text = (ROOT / "docs/paper.md").read_text(encoding="utf-8")
    for words, of in (("mean of the curve", np.mean), ("last ten evaluations", lambda returns: returns[-10:].mean())):
        for agent, paths in agents.items():
            leads = []
            for ours in (five, [kept / "blocks" / name for name in ten]):
                lead = welch([measured(ours, of), measured(paths, of)]).estimate
                leads.append(f"{lead.value:+,.0f} ({lead.low:+,.0f} to {lead.high:+,.0f})")
            assert f"| {words}, over `{agent}` | {leads[0]} | {leads[1]} |" in text


def test_what_is_said_of_humanoid_is_what_the_kept_runs_show() -> None:
    every = ROOT / "results"
    text = (ROOT / "docs/paper.md").read_text(encoding="utf-8")
    variants = {
        "`td3`, as in the paper": "ds-drl/Humanoid-v5-td3-?",
        "without weight decay": "why-humanoid/*-td3-without-weight-decay-*",
        "without contact forces": "why-humanoid/*-v5-td3-without-forces-*",
        "`--normalise-observations`": "why-humanoid/*-v5-td3-normalised-*",
        "`ds-td3`, as in the paper": "ds-drl/Humanoid-v5-ds-td3-?",
        "`ds-td3`, without contact forces": "why-humanoid/*-ds-td3-without-forces-*",
        "`ds-td3 --normalise-observations`": "why-humanoid/*-ds-td3-normalised-*",
    }
    for words, runs in variants.items():
        found = find_runs(sorted(every.glob(runs)))[0]
        finals = [run.until(500_000)[-10:].mean() for run in found]
        at_first = [next(line for line in events(run.path, "diagnostics") if line["step"] == 100_000) for run in found]
        dormant, rank = (
            np.mean([line[f"critic{number}_{what}"] for line in at_first for number in (1, 2)])
            for what in ("dormant", "effective_rank")
        )
        returns = ", ".join(f"{final:,.0f}" for final in finals)
        assert f"| {words} | {returns} | {dormant:.0%} | {rank:.0f} |" in text, words


def events(run: Path, name: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line["event"] == name]
