"""What a report or a sweep reads is bounded, and one bad run never ends a report: it is named and left out."""

from __future__ import annotations

import json
import os
import time

import numpy as np
import pytest
from synthetic_runs import make_run, rising

from rewirl.cli.main import main
from rewirl.experiments.report.document import Text
from rewirl.experiments.report.run_data import find_runs, read_run
from rewirl.experiments.report.sound import report_on_sound_runs
from rewirl.experiments.sweep.error import SweepError
from rewirl.experiments.sweep.file import read_sweep
from rewirl.experiments.sweep.index import write_index
from rewirl.storage.metrics_log import LARGEST_LOG, LONGEST_LINE, MetricsLog, read_metrics
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError

pytestmark = pytest.mark.draws  # figures of anything at all


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "runs", "ds-td3", 0, rising(9, 50_000, 12), drift=lambda step: 1 / (1 + step))


def ended(arguments):
    with pytest.raises(SystemExit) as code:
        main(list(map(str, arguments)))
    return code.value.code


@pytest.mark.parametrize(
    "text, said",
    [
        ("a" + 30_000 * ".a" + " = 1", "a key of more than 32 parts"),
        ("[" + "a" + 30_000 * " . a" + "]", "a key of more than 32 parts"),
        ('"a\\"b"' + 30_000 * '."\\"."' + " = 1", "a key of more than 32 parts"),
        ("x = {" + "''" + 30_000 * ".''" + " = 1}", "a key of more than 32 parts"),
        ("# " + 400_000 * "x" + "\n" + 300_000 * '"\\', "is not TOML"),
        ('x = {a = """\nb""", ' + 10_000 * '"a".' + "a = 1}", "a key of more than 32 parts"),
        ("a = " + 100_000 * "[", "nested too deeply|is not TOML"),
        ("a = " + 100_000 * "{a=", "nested too deeply|is not TOML"),
        ("seeds = [" + 10_000 * "9" + "]", "is not TOML"),
        ("# " + 2**20 * "x", "more than the 1,048,576 bytes"),
    ],
)
def test_a_sweep_file_is_read_in_a_moment_or_refused(text, said, tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text(text)
    began = time.process_time()
    with pytest.raises(SweepError, match=said):
        read_sweep(str(file))
    assert time.process_time() - began < 3
    assert ended(["sweep", file, "--dry-run"]) == 2


def test_an_enormous_sweep_file_is_not_read(tmp_path):
    file = tmp_path / "sweep.toml"
    file.touch()
    os.truncate(file, 50 * 2**30)
    with pytest.raises(SweepError, match="more than the 1,048,576 bytes allowed for a sweep file"):
        read_sweep(str(file))


def test_dots_in_text_and_numbers_are_no_key(tmp_path):
    file = tmp_path / "sweep.toml"
    points = ", ".join(f"0.{number:03}" for number in range(1, 200))
    file.write_text(
        f'description = "{"so " * 40}... 1.2.3"\nagents = ["td3"]\nenvs = ["A-v5"]\nseeds = [0]\ngamma = [{points}]\n'
    )
    assert len(read_sweep(str(file)).requests) == 199


def test_a_log_of_50_gigabytes_is_named_and_left_out(run, tmp_path, capsys):
    other = make_run(tmp_path / "runs", "td3", 0, rising(9, 50_000, 12))
    os.truncate(other / "metrics.jsonl", 50 * 2**30)
    found, ((path, problem),) = find_runs([tmp_path / "runs"])
    assert [one.path for one in found] == [run] and path == other
    assert f"has 53,687,091,200 bytes, more than the {LARGEST_LOG:,} of a log that is read" in problem


def test_a_line_without_an_end_is_not_read(run):
    with (run / "metrics.jsonl").open("ab") as file:
        file.truncate(file.tell() + 100 * 2**20)
    with pytest.raises(ValueError, match=f"line 28: longer than the {LONGEST_LINE:,} bytes"):
        read_run(run)


def test_only_lines_that_are_needed_are_kept(run):
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b'nt"}\n' + b'{"event": "episode"}\n' * 1000)
    assert len(read_metrics(run / "metrics.jsonl", ("topology",))) == 13


def test_a_log_that_a_resumed_run_cuts_is_not_searched_for_its_end(tmp_path):
    log = MetricsLog(tmp_path / "m")
    log.write("start", step=0)
    offset = log.offset
    log.close()
    os.truncate(tmp_path / "m", 200 * 2**30)
    began = time.process_time()
    MetricsLog(tmp_path / "m", truncate_to=offset).close()
    assert time.process_time() - began < 2 and (tmp_path / "m").stat().st_size == offset


@pytest.mark.parametrize("part", ["config.json", "index"])
def test_files_beside_it_are_bounded_too(part, run):
    if part == "index":
        (run.parent / "index.json").touch()
        os.truncate(run.parent / "index.json", 50 * 2**30)
        write_index(run.parent)
        assert json.loads((run.parent / "index.json").read_text()).keys() == {run.name}
        return
    os.truncate(run / "config.json", 5 * 2**20)
    with pytest.raises(RunDirectoryError, match="has 5,242,880 bytes, more than the 4,194,304 allowed"):
        RunDirectory.open(run, lock=False)


def changed(run, event, change):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()[:-1]]
    last = [line for line in lines if line["event"] == event][-1]
    change(last)
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def of_actor(name, value):
    return lambda line: line["networks"]["actor"].__setitem__(name, value)


@pytest.mark.parametrize(
    "event, change",
    [
        ("topology", of_actor("shapes", [[8, 3], [2, None]])),
        ("topology", of_actor("shapes", [3.0, [2, 8]])),
        ("topology", of_actor("shapes", [[0, 3], [2, 8]])),
        ("topology", of_actor("connections", [12, []])),
        ("topology", of_actor("connections", [-1, 16])),
        ("topology", of_actor("initial_alive", ["x", None])),
        ("topology", of_actor("initial_alive", [7, None])),
        ("topology", of_actor("input_connections", [1, "a", 2])),
        ("topology", of_actor("input_connections", [1, 10**400, 2])),
        ("topology", lambda line: line.update(networks=[])),
        ("topology", lambda line: line.update(networks={"actor": 1})),
        ("topology", lambda line: line["networks"].pop("critic1")),
        ("topology", lambda line: line.update(step=-3)),
        ("evaluation", lambda line: line.update(return_mean=1e308)),
        ("evaluation", lambda line: line.update(return_mean=10**400)),
        ("evaluation", lambda line: line.update(seconds=True)),
        ("evaluation", lambda line: line.update(step="60000")),
        ("evaluation", lambda line: line.update(connections=None)),
    ],
)
def test_impossible_lines_leave_the_run_out(event, change, run):
    changed(run, event, change)
    with pytest.raises(ValueError):
        read_run(run)


@pytest.mark.parametrize(
    "name, value",
    [("versions", ["x"]), ("versions", {"numpy": {}}), ("machine", 3), ("machine", {"cpu": []}), ("git_revision", 1)],
)
def test_impossible_versions_and_machines_leave_the_run_out(name, value, run):
    record = json.loads((run / "config.json").read_text())
    record[name] = value
    (run / "config.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=name):
        read_run(run)


def test_the_command_reports_on_the_others(run, tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    bad = make_run(tmp_path / "runs", "td3", 1, rising(9, 50_000, 12))
    make_run(tmp_path / "runs", "td3", 0, rising(9, 50_000, 12))
    from rewirl.experiments.report import figures
    from rewirl.experiments.report.sections import protocol

    real = protocol.command

    def fails(one):
        if one.path == bad:
            raise KeyError("not thought of")
        return real(one)

    monkeypatch.setattr(protocol, "command", fails)
    for figure in ("lines", "points", "inputs"):
        monkeypatch.setattr(figures, figure, lambda *arguments, **others: "<svg></svg>")
    assert ended(["report", tmp_path / "runs", "--output", tmp_path / "r.html", "--markdown", tmp_path / "r.md"]) == 0
    said = capsys.readouterr().err
    assert f"{bad} is left out: the report fails on it: KeyError: 'not thought of'" in said
    assert bad.name in (tmp_path / "r.md").read_text() and "2 runs of 2 agents" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize("bad", [[], [0], [4], [1, 2, 7], [0, 3, 4, 8]])
def test_the_runs_that_a_report_fails_on_are_found(bad):
    def make(runs, problems):
        if set(runs) & set(bad_runs):
            raise TypeError("a kind that nobody thought of")
        return [Text(f"{len(runs)} runs, {len(problems)} left out")]

    class Run:
        def __init__(self, number):
            self.path = f"run-{number}"

    runs = [Run(number) for number in range(9)]
    bad_runs = [runs[number] for number in bad]
    said = []
    (text,) = report_on_sound_runs(runs, [], said.append, make)
    assert text.text == f"{9 - len(bad)} runs, {len(bad)} left out"
    assert [line.split()[0] for line in said] == [f"run-{number}" for number in sorted(bad)]


def test_a_fault_of_the_report_itself_is_no_fault_of_a_run():
    def make(runs, problems):
        raise RuntimeError("always")

    with pytest.raises(RuntimeError, match="always"):
        report_on_sound_runs([type("Run", (), {"path": "x"})()], [], print, make)


def test_numbers_that_are_large_but_possible_are_reported(run):
    changed(run, "evaluation", lambda line: line.update(return_mean=3e47))
    assert np.isfinite(read_run(run).returns).all()
