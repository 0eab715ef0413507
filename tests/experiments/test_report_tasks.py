"""The report's section on environments that are another task after some steps."""

from __future__ import annotations

from synthetic_runs import make_run

from rewirl.experiments.report import document, report
from rewirl.experiments.report.document import Table
from rewirl.experiments.report.run_data import find_runs

ENV = "rewirl/SlipperyAnt-v0"


def changing(path, agent, seed, returns, every=10_000, module="rewirl.changing"):
    arguments = {"every": every} if every else {}
    make_run(path / str(every), agent, seed, returns, env=ENV, env_kwargs=arguments, env_module=module)


def tables(path):
    runs, problems = find_runs([path])
    assert not problems
    blocks = report(runs, problems)
    found = [block for block in blocks if isinstance(block, Table) and "each task" in block.caption]
    assert ("## Tasks that change" in document.markdown(blocks)) == bool(found)
    return found


def test_every_task_has_its_end_and_its_mean(tmp_path):
    changing(tmp_path, "td3", 0, [99, 1, 3, 10, 20, 50, 60])
    changing(tmp_path, "td3", 1, [99, 3, 5, 30, 40, 70, 80])
    changing(tmp_path, "ds-td3", 0, [99, 7, 9, 4, 6])
    ends, means = tables(tmp_path)
    assert ends.head == ["agent", "runs", "1 to 10,000", "10,001 to 20,000", "20,001 to 30,000"]
    assert [row[:2] for row in ends.rows] == [["td3", "2"], ["ds-td3", "1"]]
    # After step 10,000 exactly it is still the first task, and step 0 is before any.
    assert ends.rows == means.rows  # two evaluations a task
    assert ends.rows[0][2:] == ["3.00 ± 1.00", "25.0 ± 10.0", "65.0 ± 10.0"]
    assert ends.rows[1][2:] == ["8.00", "5.00", "-"]


def test_the_end_of_a_task_is_of_its_last_ten_evaluations(tmp_path):
    changing(tmp_path, "td3", 0, [0, *range(1, 13), *range(101, 113)], every=60_000)
    ends, means = tables(tmp_path)
    assert ends.rows[0][2:] == ["7.50", "108"] and means.rows[0][2:] == ["6.50", "106"]


def test_one_task_or_another_module_has_no_such_section(tmp_path):
    changing(tmp_path / "short", "td3", 0, [0, 1, 2, 3], every=10_000)
    assert tables(tmp_path / "short") == []
    changing(tmp_path / "other", "td3", 0, [0, 1, 2, 3, 4, 5], module="mine")
    assert tables(tmp_path / "other") == []
    changing(tmp_path / "unsaid", "td3", 0, [0, 1, 2, 3, 4, 5], every=None)
    assert tables(tmp_path / "unsaid") == []


def test_runs_whose_tasks_have_other_lengths_are_in_tables_of_their_own(tmp_path):
    changing(tmp_path, "td3", 0, [0, 1, 2, 3, 4], every=10_000)
    changing(tmp_path, "td3", 1, [0, 1, 2, 3, 4], every=5_000)
    changing(tmp_path, "td3", 2, [0, 1, 2, 3, 4], every=None)
    found = tables(tmp_path)
    assert [(table.caption.partition(":")[0], len(table.rows), len(table.head) - 2) for table in found] == [
        *[(f"{ENV}, tasks of 5,000 steps, by steps of the run", 1, 4)] * 2,
        *[(f"{ENV}, tasks of 10,000 steps, by steps of the run", 1, 2)] * 2,
    ]
