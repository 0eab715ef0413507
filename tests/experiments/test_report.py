"""The report: groups, claims and numbers from made-up runs whose truth is known, and a page that stands alone."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import make_run, recorded, rising

from rewirl.cli.main import main
from rewirl.cli.parse import parse_run
from rewirl.experiments.report import document, figures, report
from rewirl.experiments.report.judge import difference, judge, share_of_steps
from rewirl.experiments.report.pairs import values_at_share
from rewirl.experiments.report.run_data import find_runs, read_run
from rewirl.experiments.report.run_groups import command, group_runs
from rewirl.storage import run_directory
from rewirl.storage.run_directory import RunDirectoryError
from rewirl.storage.values import to_values

HERE = "HalfCheetah-v5"


def groups_of(path: Path) -> dict[str, object]:
    runs, problems = find_runs([path])
    assert problems == []
    return {item.label: item for item in group_runs(runs)[0]}


def text_of(path: Path) -> str:
    return document.markdown(report(*find_runs([path])))


def rows(text: str, start: str) -> list[list[str]]:
    """Return the rows of Markdown tables that begin with a cell."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [line for line in lines if line[0] == start]


def test_a_run_is_what_its_directory_says(tmp_path):
    run = read_run(make_run(tmp_path, "ds-td3", 3, [0.0, 500.0, 700.0], drift=lambda number: 1 - number / 10))
    assert (run.agent, run.env, run.seed, run.total) == ("ds-td3", HERE, 3, 10_000)
    assert list(run.connections) == [300] * len(run.steps) and list(run.updates) == list(run.steps)
    assert run.steps.tolist() == [0, 5000, 10_000] and run.returns.tolist() == [0, 500, 700] and run.finished
    # 100 samples: both critics at every update, the actor at every second, 6 operations per connection
    assert run.flops.tolist() == [0, 100 * 6 * (5000 * 200 + 2500 * 100), 100 * 6 * (10_000 * 200 + 5000 * 100)]
    assert run.until(9999).tolist() == [0, 500] and run.topologies[5000]["actor"]["initial_alive"] == [0.9, None]
    sac = read_run(make_run(tmp_path, "sac", 3, [0.0, 500.0]))
    assert sac.flops[1] == 256 * 6 * 5000 * 600  # its actor learns from every batch


def test_the_cost_of_a_sparsity_that_changes_is_summed_piece_by_piece(tmp_path):
    path = make_run(tmp_path, "td3", 0, [0.0, 1.0, 2.0])  # 200 connections in each network
    log = path / "metrics.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    lines[-2] = lines[-2].replace("200", "100")  # half of them are pruned in the second stretch
    log.write_text("".join(lines))
    first, later = 100 * 6 * (5000 * 400 + 2500 * 200), 100 * 6 * (5000 * 300 + 2500 * 150)
    assert read_run(path).flops.tolist() == [0, first, first + later]
    assert read_run(path).connections[-1] == 300


def test_runs_warmed_up_by_policies_made_alike_are_one_group(tmp_path):
    paths = []
    for seed in (0, 1):
        path = make_run(tmp_path, "td3", seed, [0.0, 1.0])
        record = json.loads((path / "config.json").read_text())
        record["config"]["train"]["warm_up_policy"] = f"/somewhere/td3-{seed}"
        record["config"]["warm_up_policy"] = {"sha256": str(seed), "agent": "td3", "seed": seed, "step": 500_000}
        record["config_hash"] = run_directory.hash_of(record["config"])
        (path / "config.json").write_text(json.dumps(record))
        paths.append(path)
    runs, problems = find_runs(paths)
    assert not problems
    ((found,), left_out) = group_runs(runs)
    assert (
        found.label == "td3, learning-starts 25000, warm-up-policy td3 of 500000 steps"
        and found.seeds == [0, 1]
        and not left_out
    )
    assert "--warm-up-policy /somewhere/td3-1" in command(found.runs[1])


def test_groups_are_of_equal_settings_and_named_by_what_differs(tmp_path):
    for seed in (0, 1):
        make_run(tmp_path, "ds-td3", seed, rising(1, 1))
    make_run(tmp_path, "ds-td3", 0, rising(1, 1), learning_rate=3e-4)
    make_run(tmp_path, "sac", 0, rising(1, 1), tau=0.005, target_update_interval=1)
    make_run(tmp_path, "sac", 0, rising(1, 1))
    found = groups_of(tmp_path)
    rest = "learning-starts 25000"
    assert list(found) == ["ds-drl/ds-td3", f"ds-td3, learning-rate 0.0003, {rest}", "ds-drl/sac", "ds-drl/sac-soft"]
    assert [item.of_paper for item in found.values()] == ["ds-td3", None, "sac", "sac-soft"]
    assert found["ds-drl/sac-soft"].preset == f"ds-drl/sac-soft/{HERE}" and found["ds-drl/ds-td3"].seeds == [0, 1]
    assert command(found["ds-drl/sac-soft"].runs[0]) == (
        f"rewirl train --agent sac --env {HERE} --seed 0 --total-timesteps 100000 "
        "--learning-starts 10000 --temperature 0.2 --threads 1"
    )


@pytest.mark.parametrize("agent", ["ds-td3", "sac"])
@pytest.mark.parametrize("env", ["HalfCheetah-v5", "Pendulum-v1"])
def test_the_commands_make_runs_with_the_settings_that_they_are_of(tmp_path, agent, env):
    settings = {"sparsity": 0.8, "rule": "set", "regrow_dropped": True, "hidden_sizes": (8, 9)}
    for number, own in enumerate(({}, {**settings, "learning_starts": 1_000}, settings)):
        run = read_run(make_run(tmp_path / str(number), agent, 1, rising(1, 1), env=env, **own))
        made = parse_run("train", command(run).split()[2:])
        assert json.loads(json.dumps(to_values(made.agent))) == run.settings
        assert (made.run.agent, made.run.env, made.run.seed) == (agent, env, 1)


def test_the_options_that_all_share_are_said_once(tmp_path):
    for agent in ("td3", "ds-td3"):
        make_run(tmp_path, agent, 0, rising(1, 1), gamma=0.9)
    found = groups_of(tmp_path)
    assert list(found) == ["td3", "ds-td3"] and [item.preset for item in found.values()] == [None, None]
    assert "All groups have, unless the table says otherwise: gamma 0.9, learning-starts 25000." in text_of(tmp_path)


@pytest.mark.draws
def test_runs_cut_short_are_not_in_the_final_numbers(tmp_path):
    make_run(tmp_path, "td3", 0, rising(1000, 50_000))
    make_run(tmp_path, "td3", 1, rising(3000, 50_000, count=5), total=100_000)
    item = groups_of(tmp_path)["ds-drl/td3"]
    assert item.horizon == 100_000 and item.finals().tolist() == [1000.0]
    assert rows(text_of(tmp_path), "ds-drl/td3")[0][5] == "seed 1 to 25,000"
    assert "seed 1: in progress or cut short at 25,000 of 100,000 steps" in text_of(tmp_path)
    make_run(tmp_path / "other", "sac", 0, [1.0, 2.0, 3.0], total=100_000)
    make_run(tmp_path / "other", "sac", 1, [1.0, 3.0], total=100_000)
    item = groups_of(tmp_path / "other")["ds-drl/sac"]  # none is finished: all, up to the shortest
    assert item.horizon == 5000 and item.finals().tolist() == [1.5, 2.0] and item.areas(5000).tolist() == [1.5, 2.0]


def test_a_run_that_goes_on_longer_is_not_finished_before_it_is(tmp_path):
    for seed in range(3):
        path = make_run(tmp_path, "td3", seed, rising(1000 + seed, 50_000))
    longer = make_run(tmp_path, "td3", 3, rising(3000, 50_000, count=24), total=100_000)
    log = longer / "metrics.jsonl"
    log.write_text('{"event": "total", "step": 100000, "total_timesteps": 200000}\n' + log.read_text())
    item = groups_of(tmp_path)["ds-drl/td3"]
    assert item.horizon == 100_000 and item.finals().tolist() == [1000.0, 1001.0, 1002.0, 3000.0]
    assert "seed 3: in progress or cut short at 120,000 of 200,000 steps" in text_of(tmp_path)
    assert path.is_dir()


@pytest.mark.draws
def test_a_curve_is_of_the_steps_at_which_all_runs_were_evaluated(tmp_path, monkeypatch):
    make_run(tmp_path, "td3", 0, rising(1000, 100_000))
    log = make_run(tmp_path, "td3", 1, rising(1000, 100_000)) / "metrics.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    extra = lines[3].replace('"step": 10000', '"step": 12000')  # the run ended there, and then went on
    log.write_text("".join([*lines[:4], extra, *lines[4:]]))
    drawn, spread = [], figures.spread
    monkeypatch.setattr(figures, "spread", lambda at, returns: drawn.append((at, returns)) or spread(at, returns))
    text_of(tmp_path)
    assert drawn
    for at, returns in drawn:
        assert len(at) == 21 and np.array_equal(returns[0], returns[1])


def test_numbers_are_those_of_the_runs(tmp_path):
    for seed, top in enumerate((900, 1100)):
        make_run(tmp_path, "td3", seed, rising(top, 100_000))
        make_run(tmp_path, "ds-td3", seed, rising(top + 500, 50_000))
    found = groups_of(tmp_path)
    dense, sparse = found["ds-drl/td3"], found["ds-drl/ds-td3"]
    last_ten = np.mean(np.arange(11, 21) / 20)
    np.testing.assert_allclose(dense.finals(), [900 * last_ten, 1100 * last_ten])
    np.testing.assert_allclose(dense.areas(), [450, 550])
    gap = difference(sparse, dense, "final")
    assert gap.value == pytest.approx(1500 - 1000 * last_ten)
    # Drawn means of two runs are the first, the middle or the second with 1/4, 1/2, 1/4.
    assert gap.low == pytest.approx(1400 - 1100 * last_ten) and gap.high == pytest.approx(1600 - 900 * last_ten)
    # 775 is reached as the mean of ten evaluations: by hand, the top times (k - 4.5) / 10 at evaluation k, k <= 10
    expected = []
    for top in (1400, 1600):
        means = np.convolve(rising(top, 50_000), np.ones(10) / 10, "valid")
        expected.append((int(np.argmax(means >= 1000 * last_ten)) + 9) / 20)
    share = share_of_steps(sparse, dense)
    assert share.value == pytest.approx(np.mean(expected))
    # At best 900 is to be reached and both draws are of 1600, at worst 1100 and both of 1400; 1/16 each
    assert (share.low, share.high) == pytest.approx((9 / 20, 11 / 20))
    text = text_of(tmp_path)
    beside = [line for line in rows(text, HERE) if "11,460 ± 483" in line]
    assert beside[0][3] == "1,500 ± 100 (2 at 100,000 steps)" and beside[0][5:] == [f"{1.5 / last_ten:.2f}", "1.03"]
    assert [line[4] for line in rows(text, HERE) if "1.769" in line] == ["1.956"]
    shown = [line for line in rows(text, "ds-drl/ds-td3") if "1,500 ± 100" in line]
    assert shown[0][3] == "1,500 ± 100" and shown[0][4] == "1,400 to 1,600" and shown[0][5] == "50%"
    half = 12.7062 * 100  # Student's t of one degree of freedom, times sqrt(2) * 100 / sqrt(2)
    assert shown[0][6] == f"{1500 - half:,.0f} to {1500 + half:,.0f}"
    reached = [line for line in rows(text, "ds-drl/ds-td3") if "2 of 2" in line]
    assert reached[0][8:] == ["-", "-"]  # nobody knows whether they were alone
    for run in tmp_path.iterdir():
        log = run / "metrics.jsonl"
        log.write_text(log.read_text().replace('"return_mean"', '"core_share": 0.99, "return_mean"'))
    text = text_of(tmp_path)
    reached = [line for line in rows(text, "ds-drl/ds-td3") if "2 of 2" in line]
    assert reached[0][8] == f"{200 * np.mean(expected):,.0f}"  # 10 s per evaluation
    assert reached[0][9] == "200 ± 0"
    assert "Return against time" in document.html(report(*find_runs([tmp_path])))


def test_seconds_of_runs_that_shared_a_core_are_not_shown(tmp_path):
    for seed, share in enumerate(("0.99", "0.5")):
        log = make_run(tmp_path, "td3", seed, rising(1000, 100_000)) / "metrics.jsonl"
        log.write_text(log.read_text().replace('"return_mean"', f'"core_share": {share}, "return_mean"'))
    runs, problems = find_runs([tmp_path])
    assert [run.alone for run in runs] == [True, False] and not problems
    assert "Return against time" not in document.html(report(runs, problems))
    for impossible in ('"x"', "-0.5", "NaN", "Infinity"):
        log.write_text(re.sub('"core_share": [^,]*,', f'"core_share": {impossible},', log.read_text()))
        ((_, reason),) = find_runs([tmp_path])[1]
        assert "share of a core's time" in reason or "NaN" in reason or "Infinity" in reason


def test_a_run_whose_environment_has_threads_is_reported_and_was_not_alone(tmp_path):
    log = make_run(tmp_path, "td3", 0, rising(1000, 100_000)) / "metrics.jsonl"
    log.write_text(log.read_text().replace('"return_mean"', '"core_share": 3.7, "return_mean"'))
    (run,), problems = find_runs([tmp_path])
    assert not problems and not run.alone


def test_seconds_of_two_kinds_of_processors_are_not_compared(tmp_path):
    for agent, seed, cpu in (("td3", 0, "A"), ("td3", 1, "A"), ("ds-td3", 0, "A"), ("ds-td3", 1, "B")):
        path = recorded(make_run(tmp_path, agent, seed, rising(1000, 50_000)), machine={"cpu": cpu})
        log = path / "metrics.jsonl"
        log.write_text(log.read_text().replace('"return_mean"', '"core_share": 0.99, "return_mean"'))

    def seconds() -> list[list[str]]:
        text = text_of(tmp_path)
        takes, (reached,) = rows(text, "ds-drl/td3"), [row for row in rows(text, "ds-drl/ds-td3") if "2 of 2" in row]
        return [row[4:5] for row in takes if len(row) == 6 and row[5] == "1"] + [reached[8:]]

    assert seconds() == [["-"], ["-", "-"]]
    recorded(path, machine={"cpu": "A"})
    assert seconds() == [["200 ± 0"], ["190", "200 ± 0"]]


def verdicts(path: Path, env: str | None = HERE) -> dict[tuple[str, str, str], str]:
    groups, _ = group_runs(find_runs([path])[0])
    found = [item for item in judge(groups) if item.env == env]
    return {(item.claim.agent, item.claim.other, item.claim.measure): item.verdict for item in found}


def test_claims_hold_fail_are_undecided_or_missing(tmp_path):
    for seed in range(5):
        make_run(tmp_path / "a", "td3", seed, rising(1000 + seed, 100_000))
        make_run(tmp_path / "a", "ds-td3", seed, rising(2000 + seed, 40_000))
        make_run(tmp_path / "b", "td3", seed, rising(2000 + seed, 40_000))
        make_run(tmp_path / "b", "ds-td3", seed, rising(1000 + seed, 100_000))
        make_run(tmp_path / "c", "td3", seed, rising(1000 + 100 * seed, 40_000))
        make_run(tmp_path / "c", "ds-td3", seed, rising(1210 + 90 * (2 - seed), 40_000))
    good, bad, unsure = (verdicts(tmp_path / name) for name in "abc")
    for measure in ("final", "lca", "share"):
        assert good["ds-td3", "td3", measure] == "holds"
        assert bad["ds-td3", "td3", measure] == "does not hold"
    assert unsure["ds-td3", "td3", "final"] == "undecided"
    assert good["ds-td3", "static-td3", "final"] == "missing"
    text = text_of(tmp_path / "b")
    assert "DOES NOT HOLD at 100,000 steps" in text and "static-td3 on HalfCheetah-v5: no run" in text


def test_fewer_than_five_runs_decide_nothing(tmp_path):
    for seed in range(4):
        make_run(tmp_path, "ds-td3", seed, rising(9000 + seed, 40_000))
        make_run(tmp_path, "td3", seed, rising(1000 + seed, 100_000))
        assert set(verdicts(tmp_path).values()) == {"undecided", "missing"}, seed
    assert "undecided at 100,000 steps: few runs" in text_of(tmp_path)


def test_p_is_corrected_for_the_papers_five_tasks(tmp_path):
    # Per seed alone the difference would be decided (p = 0.03), as one of five tests it is not.
    for seed, (one, other) in enumerate(zip((0, 10, 20, 30, 40), (27, 37, 47, 57, 67), strict=True)):
        make_run(tmp_path, "td3", seed, rising(1000 + one, 50_000))
        make_run(tmp_path, "ds-td3", seed, rising(1000 + other, 50_000))
    (finding,) = (
        item
        for item in judge(group_runs(find_runs([tmp_path])[0])[0])
        if (item.claim.other, item.claim.measure) == ("td3", "final")
    )
    assert finding.test is not None and 0.01 < finding.test.p < 0.05
    assert finding.p == pytest.approx(5 * finding.test.p) and finding.verdict == "undecided"


def test_another_version_of_a_task_is_a_further_test(tmp_path):
    """It made other tasks' p smaller, in the place of a task without runs."""

    def corrected():
        found = judge(group_runs(find_runs([tmp_path])[0])[0])
        of = [item for item in found if (item.claim.other, item.claim.measure) == ("td3", "final")]
        return {item.env: item.p / item.test.p for item in of if item.env is not None}

    for env, gap in (("Hopper-v5", 5000), ("Walker2d-v5", 27), ("Hopper-v4", 5000)):
        for seed in range(5):
            make_run(tmp_path, "td3", seed, rising(1000 + 10 * seed, 50_000), env)
            make_run(tmp_path, "ds-td3", seed, rising(1000 + gap + 10 * seed, 50_000), env)
        if env == "Walker2d-v5":
            assert corrected() == pytest.approx({"Hopper-v5": 5, "Walker2d-v5": 4})
    assert corrected()["Walker2d-v5"] == pytest.approx(4)  # six tests: three made, three of tasks without runs


def test_what_has_no_unit_is_left_out_by_name(tmp_path):
    for env, top in (("HalfCheetah-v5", 1000), ("Hopper-v5", 1000), ("Ant-v5", -200)):
        for seed in range(2):
            make_run(tmp_path, "td3", seed, rising(top + seed, 50_000), env)
            make_run(tmp_path, "ds-td3", seed, rising(1100 + seed, 50_000), env)
    text = text_of(tmp_path)
    assert "Left out, as the dense agent's mean is not positive there and can be no unit:" in text
    assert "ds-drl/ds-td3 over ds-drl/td3 on Ant-v5." in text
    assert (
        "All tasks together, ds-td3 has a higher final return than td3: cannot be judged, as the mean of td3 on Ant-v5 "
        "is not positive, and no unit to compare in."
    ) in text


def test_a_claim_over_all_tasks_needs_all_of_them(tmp_path):
    tasks = ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5")
    for count, env in enumerate(tasks, 1):
        for seed in range(5):
            make_run(tmp_path, "td3", seed, rising(1000 * count + seed, 100_000, 10), env)
            make_run(tmp_path, "ds-td3", seed, rising(1100 * count + seed, 40_000, 10), env)
        if count in (4, 5):
            expected = "holds" if count == 5 else "undecided"
            assert verdicts(tmp_path, None)["ds-td3", "td3", "final"] == expected
    assert "5 tasks together" in text_of(tmp_path)


def test_versions_of_a_task_are_no_further_tasks(tmp_path):
    def judged():
        found = judge(group_runs(find_runs([tmp_path])[0])[0])
        return [(item.tasks, item.verdict, item.version) for item in found if item.env is None]

    for count, env in enumerate(("HalfCheetah-v4", "HalfCheetah-v5", "Hopper-v4", "Hopper-v5", "Ant-v5"), 1):
        for seed in range(5):
            make_run(tmp_path, "td3", seed, rising(1000 * count + seed, 100_000, 10), env)
            make_run(tmp_path, "ds-td3", seed, rising(1100 * count + seed, 40_000, 10), env)
        if env == "HalfCheetah-v5":
            assert judged() == []  # one task, twice
    assert judged() == 3 * [(2, "undecided", "v4"), (3, "undecided", "v5")]  # three claims are made of these agents
    text = text_of(tmp_path)
    assert "| 2 tasks together, v4 | undecided at 50,000 steps: 2 of 5 tasks |" in text
    assert "| 3 tasks together, v5 |" in text


def test_a_task_that_two_modules_register_is_no_second_task(tmp_path):
    tasks = (("HalfCheetah-v5", "one"), ("HalfCheetah-v5", "two"), ("Hopper-v5", None), ("Ant-v5", None))
    for env, module in tasks:
        for seed in range(2):
            make_run(tmp_path / str(module), "td3", seed, rising(1000 + seed, 50_000), env, env_module=module)
            make_run(tmp_path / str(module), "ds-td3", seed, rising(1100 + seed, 50_000), env, env_module=module)
    found = judge(group_runs(find_runs([tmp_path])[0])[0])
    assert {(item.tasks, item.version) for item in found if item.env is None} == {(2, "v5")}  # Hopper and Ant


def test_a_task_with_a_single_run_leaves_the_others_their_interval(tmp_path):
    for env in ("HalfCheetah-v5", "Hopper-v5", "Ant-v5"):
        for seed in (0,) if env == "Ant-v5" else (0, 1):
            make_run(tmp_path, "td3", seed, rising(1000 + seed, 100_000, 8 if env == "Hopper-v5" else 10), env)
            make_run(tmp_path, "ds-td3", seed, rising(1100 + seed, 40_000, 10), env)
    findings = [item for item in judge(group_runs(find_runs([tmp_path])[0])[0]) if item.env is None]
    assert findings and all(item.tasks == 2 and item.test is not None for item in findings)
    assert {item.step for item in findings} == {40_000}
    for item in findings:
        if item.claim.measure != "share":
            assert item.estimate.value == pytest.approx(item.test.estimate.value) and item.estimate.value > 0
    text = text_of(tmp_path)
    assert "2 tasks together" in text and "| ds-drl/ds-td3 over ds-drl/td3 | HalfCheetah-v5, Hopper-v5 | final" in text
    assert "Ant-v5 | undecided at 50,000 steps: few runs" in text


def test_one_task_of_two_with_a_single_run_leaves_them_together(tmp_path):
    for env, seeds in (("HalfCheetah-v5", (0, 1)), ("Ant-v5", (0,))):
        for seed in seeds:
            make_run(tmp_path, "td3", seed, rising(1000 + seed, 100_000, 10), env)
            make_run(tmp_path, "ds-td3", seed, rising(1100 + seed, 40_000, 10), env)
    assert {item.tasks for item in judge(group_runs(find_runs([tmp_path])[0])[0]) if item.env is None} == {2}
    assert "| ds-drl/ds-td3 over ds-drl/td3 | Ant-v5, HalfCheetah-v5 | final return |" in text_of(tmp_path)


def test_a_share_is_tested_by_the_return_after_that_share_of_the_steps(tmp_path):
    for seed in (0, 1):
        make_run(tmp_path, "td3", seed, rising(700 + seed, 100_000, count=20))
        make_run(tmp_path, "ds-td3", seed, rising(1000 + seed, 100_000, count=30))
    found = groups_of(tmp_path)
    early, last = values_at_share(found["ds-drl/ds-td3"], found["ds-drl/td3"], 0.6)
    # after 60,000 of the 100,000 steps that both have: evaluations 3 to 12 of twenty steps up
    assert early == pytest.approx([1000 * 0.375, 1001 * 0.375]) and last == pytest.approx([700 * 0.775, 701 * 0.775])
    assert values_at_share(found["ds-drl/ds-td3"], found["ds-drl/td3"], -0.1) is None


def test_the_interval_of_a_share_leaves_out_a_fortieth_at_each_end(tmp_path):
    """That all three draws are of one run has a probability of 1/27, which is more."""
    make_run(tmp_path, "td3", 0, [700.0] * 21)
    for seed, top in enumerate((1000, 1500, 2500)):
        make_run(tmp_path, "ds-td3", seed, rising(top, 50_000))
    found = groups_of(tmp_path)
    share = share_of_steps(found["ds-drl/ds-td3"], found["ds-drl/td3"])
    assert (share.low, share.high) == pytest.approx((9 / 20, 12 / 20))


def test_a_level_never_reached_is_said_so(tmp_path):
    for seed in (0, 1):
        make_run(tmp_path, "td3", seed, rising(1000, 100_000))
        make_run(tmp_path, "ds-td3", seed, rising(100, 40_000))
    found = groups_of(tmp_path)
    share = share_of_steps(found["ds-drl/ds-td3"], found["ds-drl/td3"])
    assert (share.value, share.low, share.high) == (math.inf, math.inf, math.inf)
    (row,) = (line for line in rows(text_of(tmp_path), "ds-drl/ds-td3") if "0 of 2" in line)
    assert row[5:8] == ["not all reach it", "never", "never to never"]


def test_a_level_that_is_never_reached_on_one_task_has_no_mean_over_all(tmp_path):
    for seed in (0, 1):
        for env, top in (("HalfCheetah-v5", 1000), ("Ant-v5", 100)):
            make_run(tmp_path, "td3", seed, rising(500 + seed, 40_000), env)
            make_run(tmp_path, "ds-td3", seed, rising(top, 40_000), env)
    (line,) = (
        line
        for line in text_of(tmp_path).splitlines()
        if "has the final return of td3 after" in line and "2 tasks together" in line
    )
    assert "| not on every task | - |" in line and "never" not in line


def test_damaged_directories_are_named_and_the_others_reported(tmp_path, capsys):
    good = make_run(tmp_path / "runs", "td3", 0, rising(1000, 50_000))
    config = make_run(tmp_path / "runs", "td3", 1, rising(1000, 50_000)) / "config.json"
    config.write_text(config.read_text().replace('"seed": 1', '"seed": 7').replace('"seed":1', '"seed":7'))
    metrics = make_run(tmp_path / "runs", "td3", 2, rising(1000, 50_000)) / "metrics.jsonl"
    metrics.write_text("{]\n" + metrics.read_text())
    for seed, (name, value) in enumerate({"return_mean": "NaN", "connections": "{}", "step": '"x"'}.items(), 3):
        broken = make_run(tmp_path / "runs", "td3", seed, [1.0, 2.0]) / "metrics.jsonl"
        lines = [json.loads(line) for line in broken.read_text().splitlines()[:-1]]
        text = json.dumps(lines[1]).replace(f'"{name}": {json.dumps(lines[1][name])}', f'"{name}": {value}')
        broken.write_text(text + "\n")
    make_run(tmp_path / "runs", "td3", 6, [])
    make_run(tmp_path / "runs", "td3", 7, [], eval_every=0)
    with pytest.raises(RunDirectoryError, match="changed after the run started"):
        read_run(config.parent)
    output = tmp_path / "report.html"
    with pytest.raises(SystemExit) as ended:
        main(["report", str(tmp_path / "runs"), str(good), "--output", str(output)])
    assert ended.value.code == 0
    warned = capsys.readouterr().err
    page = output.read_text()
    assert "1 run of 1 agent on" in page
    assert f"{HERE}-td3-6 is left out: no evaluation yet\n" in warned
    assert f"{HERE}-td3-7 is left out: it was not evaluated (eval_every 0)" in warned
    for seed in range(1, 8):
        name = f"{HERE}-td3-{seed}"
        assert (
            f"{name} is left out" in warned
            and warned.count(name) == 1
            and name in page[page.index("Directories that were left out") :]
        )


def test_runs_below_a_run_are_found_and_its_own_parts_are_none(tmp_path):
    made = make_run(tmp_path / "made", "td3", 0, rising(1000, 50_000))
    made.rename(tmp_path / "runs")  # as --run-dir runs made it
    for place in (".", "checkpoints", "policy", "tensorboard"):
        make_run(tmp_path / "runs" / place, "ds-td3", 0, rising(1000, 50_000))
    runs, problems = find_runs([tmp_path / "runs"])
    assert [run.agent for run in runs] == ["td3", "ds-td3"] and not problems


def test_a_place_without_runs_is_said_beside_others(tmp_path):
    (tmp_path / "empty").mkdir()
    make_run(tmp_path / "runs", "td3", 0, rising(1000, 50_000))
    runs, problems = find_runs([tmp_path / "empty", tmp_path / "runs"])
    assert len(runs) == 1 and problems == [(tmp_path / "empty", "there is no run in it")]
    assert find_runs([tmp_path / "empty"]) == ([], [])


def test_a_copy_of_a_run_counts_once(tmp_path):
    make_run(tmp_path / "a", "td3", 0, rising(1000, 50_000, count=10), total=100_000)
    make_run(tmp_path / "b", "td3", 0, rising(1000, 50_000))
    assert groups_of(tmp_path)["ds-drl/td3"].finals().tolist() == [1000.0]
    assert "has the settings and the seed of" in text_of(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nowhere"], "no directory nowhere"), (["."], "no run to report on"), ([], "no run given")],
)
def test_what_cannot_be_reported_is_refused(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["report", *arguments])
    assert ended.value.code == 2 and message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page")
    for env in (HERE, "Hopper-v5"):
        for seed in (0, 1):
            make_run(path, "td3", seed, rising(1000 + 50 * seed, 90_000), env)
            make_run(path, "ds-td3", seed, rising(1200 + 70 * seed, 50_000), env, drift=lambda number: 0.9**number)
    make_run(path, "td3", 2, rising(1000, 50_000, count=7), total=100_000)
    make_run(path, "ds-td3", 0, rising(5, 9), env="<script>alert(1)</script>-v0")
    with pytest.raises(SystemExit):
        out = {"--output": "o/r.html", "--markdown": "o/r.md", "--figures": "o/f"}
        main(["report", str(path), *(word for flag, name in out.items() for word in (flag, str(path / name)))])
    return path / "o"


class Seen(HTMLParser):
    """Collects what must hold of every element."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: list[str] = []
        self.problems: list[str] = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        for name, value in given.items():
            if name in ("href", "xlink:href", "src") and not value.startswith("#"):
                self.problems.append(f"{tag} {name}={value}")
            self.references += re.findall(r"url\(#(.*?)\)", value or "")
            self.references += [value[1:]] if name.endswith("href") else []
        if (tag == "svg" and len(given.get("aria-label", "")) < 40) or (tag == "th" and "scope" not in given):
            self.problems.append(f"{tag} without what a reader of the screen needs")


def test_the_page_stands_alone_and_can_be_read_aloud(page):
    seen = Seen()
    seen.feed((page / "r.html").read_text())
    assert seen.problems == [] and "script" not in seen.tags
    assert len(seen.ids) == len(set(seen.ids)) and set(seen.references) <= set(seen.ids) and seen.references
    assert (
        seen.tags.count("svg") == seen.tags.count("figcaption") == 2 * 3 + 3 + 1 + 2 * 3
    )  # environments, profile, drift
    assert "<script>" not in (page / "r.html").read_text()
    assert "<script>" not in re.sub(r"(?s)```.*?```", "", (page / "r.md").read_text())


def test_the_page_has_every_part(page):
    text = (page / "r.md").read_text()
    for part in (
        "Performance profile",
        "initial connections alive",
        "; ds-drl/td3 on Hopper-v5.",
        "Environments of the paper without any run: Walker2d, Ant, Humanoid",
        "2 of the paper's 5 seeds and 100,000 of its 1,000,000 steps",
    ):
        assert part in text
    alive = [line for line in rows(text, "ds-drl/ds-td3") if line[1] == "critic1"]
    assert alive[0][2:] == ["5-8-1", "12, 16", "30.0%, 200.0%", f"{0.9**20:.1%}, dense"]
    drawn = sorted((page / "f").iterdir())
    assert len(drawn) == 16 and all(ET.parse(path).getroot().tag.endswith("svg") for path in drawn)
    assert set(re.findall(r"\]\((.*?)\)", text)) >= {f"f/{path.name}" for path in drawn}


@pytest.mark.draws
@pytest.mark.parametrize(
    "how",
    [
        {"resample_noise_from": 1},
        {"env": "rewirl/Noisy-v0", "env_kwargs": {"env": "X-v0", "fraction": 0.5}},  # 1 feature of 3 is real
    ],
)
def test_connections_of_real_features_and_of_noise_are_drawn(tmp_path, how):
    for seed in (0, 1):
        make_run(tmp_path, "ds-td3", seed, rising(1000, 50_000), drift=lambda number: 0.9**number, **how)
    text = document.html(report(*find_runs([tmp_path])))
    assert "mean over the 1 real ones and over the 2 of noise" in text
    assert (
        "to 100,000 steps: actor, real features: 4.0 to 24.0; actor, noise: 4.0 to 2.0; "
        "critics, real features: 4.0 to 4.0; critics, noise: 4.0 to 14.0." in text
    )
    assert "Noise begins at index 1. Actions begin at index 3." in text


@pytest.mark.parametrize("kwargs", [{"env": "X-v0"}, {"env": "X-v0", "fraction": "half"}])
def test_a_run_whose_noise_makes_no_sense_is_named_and_left_out(tmp_path, kwargs):
    make_run(tmp_path, "ds-td3", 0, rising(9, 9), "rewirl/Noisy-v0", drift=lambda number: 1.0, env_kwargs=kwargs)
    runs, problems = find_runs([tmp_path])
    assert runs == [] and len(problems) == 1


@pytest.mark.parametrize("permute", [{}, {"env_kwargs": {"env": "X-v0", "fraction": 0.5, "permute_every": 10_000}}])
def test_where_no_feature_stays_noise_none_is_drawn(tmp_path, permute):
    env = "rewirl/Noisy-v0" if permute else "HalfCheetah-v5"
    make_run(tmp_path, "ds-td3", 0, rising(1000, 50_000), env, drift=lambda number: 0.9**number, **permute)
    text = document.html(report(*find_runs([tmp_path])))
    assert "real features" not in text and "Actions begin at index 3." in text


@pytest.mark.draws
def test_equal_runs_give_equal_reports(page):
    runs, problems = find_runs([page.parent])
    assert document.html(report(runs, problems)) == (page / "r.html").read_text()
