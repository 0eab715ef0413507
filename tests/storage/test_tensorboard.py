"""Promises of the TensorBoard writer: what it writes is there at once, and it never stops training."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import faults
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

from rewirl.storage.recorder import RunRecord
from rewirl.storage.run_directory import RunDirectory
from rewirl.storage.tensorboard import TensorBoardWriter


def events(directory: Path) -> list[list[Any]]:
    """Read all event files: records of length, its checksum, an Event, its checksum."""
    files = []
    for path in sorted(directory.iterdir()):
        data, position, found = path.read_bytes(), 0, []
        while position < len(data):
            (length,) = struct.unpack_from("<Q", data, position)
            found.append(Event.FromString(data[position + 12 : position + 12 + length]))
            position += length + 16
        files.append(found)
    return files


def fail(message: str) -> None:
    raise AssertionError(message)


def test_scalars_are_in_the_file_at_once(tmp_path: Path) -> None:
    writer = TensorBoardWriter(tmp_path / "tensorboard", warn=fail)
    writer.scalar("evaluation/return_mean", 12.5, 5000)
    writer.scalar("loss", float("nan"), 5001)
    writer.scalar("loss", 1e300, 123_456_789)
    (written,) = events(tmp_path / "tensorboard")
    writer.close()
    writer.close()
    assert [(event.step, event.summary.value[0].tag) for event in written[1:]] == [
        (5000, "evaluation/return_mean"), (5001, "loss"), (123_456_789, "loss"),
    ]  # fmt: skip
    assert [event.summary.value[0].simple_value for event in (written[1], written[3])] == [12.5, float("inf")]


def test_a_resumed_run_purges_in_a_file_of_its_own_even_within_a_second(tmp_path: Path) -> None:
    for purge_step in (None, 7, 7):
        writer = TensorBoardWriter(tmp_path, purge_step, fail)
        writer.scalar("x", 1.0, 7)
        writer.close()
    first, *resumed = events(tmp_path)
    assert len(resumed) == 2
    assert first[1].WhichOneof("what") == "summary"
    for file in resumed:
        assert (file[1].step, file[1].session_log.status) == (7, SessionLog.START)


def test_a_run_that_starts_over_or_goes_on_purges_what_is_done_again(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path, {}, instruction_set="x")
    record = RunRecord(directory, 1, fail)
    record.event("episode", 3, **{"return": 1.0})
    record.close()
    RunRecord(RunDirectory.open(tmp_path), 1, lambda text: None).close()
    RunRecord(RunDirectory.open(tmp_path), 1, fail, (3, {"metrics_offset": 0})).close()
    first, again, resumed = events(tmp_path / "tensorboard")
    assert first[1].WhichOneof("what") == "summary"
    assert (again[1].step, again[1].session_log.status) == (0, SessionLog.START)
    assert (resumed[1].step, resumed[1].session_log.status) == (4, SessionLog.START), "step 3 itself is done"


def test_a_full_disk_is_reported_once_and_what_comes_later_is_still_readable(tmp_path: Path) -> None:
    messages: list[str] = []
    writer = TensorBoardWriter(tmp_path, warn=messages.append)
    writer.scalar("x", 1.0, 1)
    with faults.files_limited_to(100):
        for step in range(2, 50):
            writer.scalar("x", 1.0, step)
    writer.scalar("x", 1.0, 50)
    writer.close()
    assert len(messages) == 1 and "cannot be written (No space left on device); some are left out" in messages[0]
    (written,) = events(tmp_path)
    assert [event.step for event in written][-1] == 50
    assert len(written) < 10


def test_records_carry_the_checksums_that_readers_demand(tmp_path: Path) -> None:
    writer = TensorBoardWriter(tmp_path, warn=fail)
    for step in range(3):
        writer.scalar("loss", step / 2, step)
    writer.close()
    (path,) = tmp_path.iterdir()
    data, position = path.read_bytes(), 0
    while position < len(data):  # checksums as TensorFlow's reader demands them
        (length,) = struct.unpack_from("<Q", data, position)
        body = data[position + 12 : position + 12 + length]
        assert struct.unpack_from("<I", data, position + 8)[0] == masked_crc32c(data[position : position + 8])
        assert struct.unpack_from("<I", data, position + 12 + length)[0] == masked_crc32c(body)
        position += length + 16
    assert position == len(data)


def test_a_directory_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    messages: list[str] = []
    writer = TensorBoardWriter(tmp_path / "file", purge_step=3, warn=messages.append)
    writer.scalar("x", 1.0, 1)
    writer.close()
    assert len(messages) == 1


def test_a_file_comes_after_those_before_it_when_the_clock_goes_back(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "events.out.tfevents.of-somebody").touch()
    (tmp_path / "notes.txt").touch()
    seen: set[Path] = set(tmp_path.iterdir())
    made = []
    for seconds in (2000, 1000, 1000, 500, 3000):
        monkeypatch.setattr("rewirl.storage.tensorboard.time.time", lambda now=seconds: now)
        TensorBoardWriter(tmp_path).close()
        made += set(tmp_path.iterdir()) - seen
        seen.update(made)
    assert len(made) == 5 and made == sorted(made)


def test_a_text_is_what_its_plugin_reads(tmp_path: Path) -> None:
    writer = TensorBoardWriter(tmp_path, warn=fail)
    writer.text("run", "**cheetah**", 0)
    writer.close()
    (value,) = events(tmp_path)[0][1].summary.value
    assert (value.tag, value.metadata.plugin_data.plugin_name) == ("run/text_summary", "text")
    assert list(value.tensor.string_val) == [b"**cheetah**"] and value.tensor.tensor_shape.dim[0].size == 1


def test_a_run_has_its_name_settings_pace_and_surviving_connections(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path / "cheetah", {"agent": {"gamma": 0.97}}, instruction_set="none")
    record = RunRecord(directory, 1, fail)
    evaluation = {"return_mean": 1.0, "connections": {"actor": 7}}
    record.event("evaluation", 0, seconds=2.0, **evaluation)
    record.event("evaluation", 1000, seconds=12.0, **evaluation)
    layers = {"connections": [30, 10, 6], "initial_alive": [0.5, 0.9, None]}
    record.event("topology", 1000, networks={"actor": layers, "dense": {"connections": [4], "initial_alive": [None]}})
    for event in ("episode", "diagnostics", "callback"):
        record.event(event, 1000, number=3, name="no number")
    record.close()
    values = [event.summary.value[0] for event in events(directory.tensorboard)[0][1:]]
    (text,) = values[0].tensor.string_val
    assert b"**cheetah**" in text and b"| gamma | 0.97 |" in text
    charts = {value.tag: value.simple_value for value in values[1:]}
    assert charts["time/steps_per_second"] == 100 and charts["connections/actor"] == 7
    assert [charts[f"{event}/number"] for event in ("episode", "diagnostics", "callback")] == [3] * 3
    assert abs(charts["initial_alive/actor"] - 0.6) < 1e-6 and "initial_alive/dense" not in charts


def test_a_name_with_bytes_that_are_no_text_is_written(tmp_path: Path) -> None:
    writer = TensorBoardWriter(tmp_path / "tensorboard", warn=fail)
    writer.text("run", "runs/caf\udce9", 0)
    writer.close()
    assert len(events(tmp_path / "tensorboard")[0]) >= 1
