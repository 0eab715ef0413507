"""A log tells by itself whether it is as it was written, and a checkpoint whether its log is."""

from __future__ import annotations

import hashlib
import json
import random

import pytest

import rewirl
from rewirl.cli.main import main
from rewirl.experiments.report.run_data import read_run
from rewirl.storage.metrics_log import MetricsLog, read_metrics

SMALL = {"hidden_sizes": (6, 5), "batch_size": 8, "learning_starts": 10, "buffer_size": 50}
LEARN = {"eval_every": 20, "eval_episodes": 1, "checkpoint_every": 20, "check": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    with rewirl.DSTD3("Pendulum-v1", seed=0, **SMALL) as agent:
        agent.learn(40, run_dir=path, **LEARN)
    return path


@pytest.fixture
def copy(run, tmp_path):
    import shutil

    return shutil.copytree(run, tmp_path / "run")


def flipped(data, bit):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def resume(path, capsys, *more):
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["resume", str(path), *map(str, more)])
    return ended.value.code, capsys.readouterr().out


def test_a_checkpoint_has_the_sum_of_its_log_and_sealed_lines_have_theirs(run):
    log = (run / "metrics.jsonl").read_bytes()
    for path in (run / "checkpoints").iterdir():
        values = json.loads((path / "state.json").read_text())["values"]
        assert hashlib.sha256(log[: values["metrics_offset"]]).hexdigest() == values["metrics_sha256"]
    sealed = [line for line in read_metrics(run / "metrics.jsonl") if "sha256" in line]
    assert [(line["event"], line["step"]) for line in sealed] == [("checkpoint", 20), ("checkpoint", 40), ("end", 40)]


def test_the_report_notices_every_bit_of_a_finished_run(copy):
    log = copy / "metrics.jsonl"
    whole = log.read_bytes()
    read_run(copy)
    missed = []
    for bit in random.Random(0).sample(range(8 * len(whole)), 400) + list(range(8 * len(whole) - 8, 8 * len(whole))):
        log.write_bytes(flipped(whole, bit))
        try:
            read_run(copy)
        except ValueError:
            continue
        missed.append(bit)
    assert missed == []


def test_resuming_notices_a_bit_and_reports_do_after_that(copy, capsys):
    log = copy / "metrics.jsonl"
    whole = log.read_bytes()
    digit = whole.index(b'"return_mean": -') + len(b'"return_mean": -')
    log.write_bytes(flipped(whole, 8 * (digit + 1)))  # of a digit another one
    code, said = resume(copy, capsys)
    assert code == 0 and f"warning: {log} was changed since it was written: lines 1 to " in said  # it has ended
    code, said = resume(copy, capsys, "--total-timesteps", 60)
    assert code == 0 and f"warning: {log} is not what it was when step 40 was saved" in said
    with pytest.raises(ValueError, match=r"was changed since it was written|had been changed when the run was resumed"):
        read_run(copy)
    code, said = resume(copy, capsys, "--total-timesteps", 80)
    assert code == 0 and "warning" not in said  # once is enough


def test_a_line_is_not_lost_or_taken_out_unnoticed(copy):
    log = copy / "metrics.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    for changed in (lines[:3] + lines[4:], [*lines[:2], lines[3], lines[2], *lines[4:]], [lines[1], *lines]):
        log.write_bytes(b"".join(changed))
        with pytest.raises(ValueError, match="do not have the sum that the last of them says"):
            read_metrics(log)
    log.write_bytes(b"".join(lines[:-1]) + lines[-1][: lines[-1].index(b', "sha256"')] + b"}\n")
    with pytest.raises(ValueError, match="it has no sum any more"):
        read_metrics(log)


def test_logs_and_checkpoints_without_sums_are_read_and_resumed(copy):
    log = copy / "metrics.jsonl"
    text = "".join(
        json.dumps({name: value for name, value in line.items() if name != "sha256"}) + "\n"
        for line in read_metrics(log)
    )
    log.write_text(text.replace("-7", "-8"))
    assert read_run(copy).last == 40


def test_lines_that_wait_for_room_are_in_the_sums_too(tmp_path, monkeypatch):
    from rewirl.storage import metrics_log

    real = metrics_log._write

    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    log = MetricsLog(tmp_path / "m", lambda message: None)
    log.write("start", step=0)
    monkeypatch.setattr(metrics_log, "_write", full)
    log.write("episode", step=1)
    log.write("checkpoint", seal=True, step=1)
    at_the_time = log.sha256
    assert at_the_time == hashlib.sha256((tmp_path / "m").read_bytes()).hexdigest()
    monkeypatch.setattr(metrics_log, "_write", real)
    log.write("end", seal=True, step=2)
    log.close()
    assert [line["event"] for line in read_metrics(tmp_path / "m")] == ["start", "episode", "checkpoint", "end"]
