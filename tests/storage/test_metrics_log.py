"""Promises of the metrics log: strict JSON lines, in order, whatever happens to the process or the disk."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import faults
import numpy as np
import pytest

from rewirl.storage.metrics_log import MetricsLog, read_metrics


def fail(message: str) -> None:
    pytest.fail(f"unexpected warning: {message}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def test_each_event_is_one_line_on_disk_at_once(path: Path) -> None:
    log = MetricsLog(path, fail)
    log.write("evaluation", step=5, returns=[1.5, -2.0], connections={"actor": 7}, text="a\nb")
    assert read_metrics(path) == [
        {"event": "evaluation", "step": 5, "returns": [1.5, -2.0], "connections": {"actor": 7}, "text": "a\nb"}
    ]
    log.write("checkpoint", step=6)
    assert path.read_bytes().count(b"\n") == 2
    assert log.offset == path.stat().st_size
    log.close()
    log.close()


def test_what_is_not_finite_becomes_null_and_numpy_scalars_become_numbers(path: Path) -> None:
    log = MetricsLog(path, fail)
    log.write("update", loss=math.nan, q=[np.float32("inf"), np.float32(0.5)], n=np.int64(3), on=np.bool_(True))
    log.close()
    line = path.read_text()
    assert json.loads(line) == {"event": "update", "loss": None, "q": [None, 0.5], "n": 3, "on": True}
    assert "NaN" not in line and "Infinity" not in line


def test_a_field_that_is_not_json_is_refused_by_name_and_leaves_no_trace(path: Path) -> None:
    log = MetricsLog(path, fail)
    with pytest.raises(ValueError, match=r"weights\.w is a ndarray"):
        log.write("update", weights={"w": np.zeros(2)})
    log.write("update", step=1)
    log.close()
    assert read_metrics(path) == [{"event": "update", "step": 1}]


def test_resuming_cuts_what_was_logged_after_the_checkpoint(path: Path) -> None:
    log = MetricsLog(path, fail)
    log.write("evaluation", step=1)
    offset = log.offset
    log.write("evaluation", step=2)
    log.write("evaluation", step=3)
    log.close()
    with path.open("ab") as file:
        file.write(b'{"event": "evaluation", "st')  # kill -9
    resumed = MetricsLog(path, fail, truncate_to=offset)
    assert resumed.offset == offset
    resumed.write("evaluation", step=20)
    resumed.close()
    assert [entry["step"] for entry in read_metrics(path)] == [1, 20]


@pytest.mark.parametrize("length", [1, 27, 70_000, 200_000])
def test_a_line_cut_by_a_kill_is_ignored_by_readers_and_removed_by_the_next_writer(path: Path, length: int) -> None:
    log = MetricsLog(path, fail)
    log.write("a")
    log.close()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"event": "'.ljust(length, b"x")[:length])
    assert read_metrics(path) == [{"event": "a"}]
    assert path.stat().st_size == len(whole) + length
    log = MetricsLog(path, fail)
    log.write("b")
    log.close()
    assert read_metrics(path) == [{"event": "a"}, {"event": "b"}]
    path.write_bytes(b"x" * length)
    MetricsLog(path, fail).close()
    assert path.read_bytes() == b""


def test_a_log_that_lost_its_end_is_reported_and_goes_on(path: Path) -> None:
    log = MetricsLog(path, fail)
    log.write("a")
    log.write("b")
    offset = log.offset
    log.close()
    path.write_bytes(path.read_bytes()[:20])
    messages: list[str] = []
    log = MetricsLog(path, messages.append, truncate_to=offset)
    assert len(messages) == 1 and f"had {offset} bytes" in messages[0] and "metrics.jsonl" in messages[0]
    log.write("c")
    log.close()
    assert [entry["event"] for entry in read_metrics(path)] == ["a", "c"]


def test_an_edited_log_is_cut_at_a_line(path: Path) -> None:
    messages: list[str] = []
    log = MetricsLog(path, messages.append)
    log.write("a")
    end = log.offset
    log.write("b")
    log.close()
    log = MetricsLog(path, messages.append, truncate_to=end + 3)
    assert len(messages) == 1
    assert log.offset == end
    log.close()
    with pytest.raises(ValueError, match="negative"):
        MetricsLog(path, messages.append, truncate_to=-1)


def test_on_a_full_disk_lines_wait_in_memory_and_are_written_in_order_when_there_is_room(path: Path) -> None:
    messages: list[str] = []
    log = MetricsLog(path, messages.append)
    log.write("before", step=0)
    offset = log.offset
    with faults.files_limited_to(offset + 10):  # a short write, then an error
        for step in range(1, 4):
            log.write("during", step=step)
        assert log.offset == offset
    assert len(messages) == 1 and "metrics.jsonl cannot be written (File too large)" in messages[0]
    log.write("after", step=4)
    assert [entry["step"] for entry in read_metrics(path)] == [0, 1, 2, 3, 4]
    assert log.offset == path.stat().st_size
    with faults.files_limited_to(10):
        log.write("again", step=5)
    assert len(messages) == 2
    log.close()
    assert len(read_metrics(path)) == 6


def test_lines_that_never_found_room_are_reported_when_the_log_closes(path: Path) -> None:
    messages: list[str] = []
    log = MetricsLog(path, messages.append)
    with faults.files_limited_to(10):
        log.write("a")
        log.write("b")
        log.close()
    assert len(messages) == 2 and "the last 2 lines could not be written and are lost" in messages[1]
    MetricsLog(path, fail).close()
    assert read_metrics(path) == []


@pytest.mark.parametrize("line", [b"[1]", b"x", b'{"a": NaN}', b"", b'{"a": 1, "a": 2}', b"\xff"])
def test_a_complete_line_that_is_no_json_object_is_named(path: Path, line: bytes) -> None:
    path.write_bytes(b'{"event": "a"}\n' + line + b"\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2: not"):
        read_metrics(path)


def test_a_link_is_not_followed(path: Path) -> None:
    target = path.with_name("precious")
    target.write_text("no newline")
    path.symlink_to(target)
    with pytest.raises(OSError, match=os.strerror(40)):
        MetricsLog(path, fail)
    assert target.read_text() == "no newline"
