"""Promises of checkpoints: back to the bit, whole or absent, and never trusted."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import faults
import killed_saves
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from safetensors.numpy import load_file

from rewirl import seeding
from rewirl.storage.checkpoint import CheckpointError, load_checkpoint, load_latest, save_checkpoint, sweep
from rewirl.storage.files import temporary_name
from rewirl.storage.recorder import RunRecord
from rewirl.storage.run_directory import RunDirectory
from rewirl.storage.tensors import TensorWriter, read_tensors

DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
SMALL = {
    "agent/w": np.array([[1.5, -2.0, np.nan]], np.float32),
    "agent/rows": np.array([3, 1], np.uint16),
    "replay/done": np.array([True, False, True]),
}


def fail(message: str) -> None:
    pytest.fail(f"unexpected warning: {message}")


def same(left: np.ndarray, right: np.ndarray) -> bool:
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def forge(checkpoint: Path, file: str, content: bytes) -> None:
    """Put hostile content in place, with a manifest that vouches for it."""
    (checkpoint / file).write_bytes(content)
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    manifest["files"][file] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


def overwrite(file: Path, content: bytes) -> None:
    """Write a file anew: some file systems flush one that is truncated and rewritten, which is slow."""
    file.unlink()
    file.write_bytes(content)


def tensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "checkpoints", 7, SMALL, {"x": 1.25})


# --- back to the bit ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (4, 3), (2, 3, 4)])
def test_every_dtype_and_shape_comes_back_to_the_bit_and_is_what_safetensors_reads(
    tmp_path: Path, dtype: str, shape: tuple[int, ...]
) -> None:
    rng = seeding.generator(0, f"{dtype}{shape}")
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = rng.integers(0, 2 if dtype == "?" else 256, size, dtype=np.uint8)
    array = raw.view(dtype).reshape(shape)  # any bits: NaNs with payloads, subnormals, -0.0
    path = save_checkpoint(tmp_path, 0, {"agent/odd": np.zeros(3, bool), "agent/x": array}, {})
    assert same(load_checkpoint(path).arrays["agent/x"], array)
    assert same(load_file(path / "agent.safetensors")["agent/x"], array)


@given(
    arrays_of.arrays(
        st.sampled_from([">f4", "<f8", ">i2", "u1", "?"]).map(np.dtype),
        arrays_of.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5),
    )
)
def test_strided_transposed_and_big_endian_arrays_are_stored_in_c_order_little_endian(array: np.ndarray) -> None:
    for view in (array.T, array[::-2], array[..., ::2]):
        written: list[bytes] = []

        class Sink:
            def write(self, data: Any, written: list[bytes] = written) -> None:
                written.append(bytes(data))

        TensorWriter({"x": view})(Sink())
        assert b"".join(written)[-view.nbytes or 10**9 :] == view.astype(view.dtype.newbyteorder("<")).tobytes()


@pytest.mark.parametrize(("shape", "rows"), [((3, 2), 5), ((3, 2), 3), ((0, 2), 4), ((3, 2), 2), ((), 4)])
def test_an_array_that_is_to_grow_has_room(tmp_path: Path, shape: tuple[int, ...], rows: int) -> None:
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    path = save_checkpoint(tmp_path, 1, {"replay/x": array, "replay/y": array.copy()}, {})
    read = load_checkpoint(path, {"replay/x": rows}).arrays
    assert same(read["replay/x"], array) and same(read["replay/y"], array)
    if shape:
        assert read["replay/x"].base is not None and read["replay/x"].base.shape == (max(rows, shape[0]), 2)


def test_values_come_back_exactly(tmp_path: Path) -> None:
    rng = seeding.generator(3, "values")
    values = {
        "rng": seeding.state(rng),
        "pi": 0.1 + 0.2,
        "nothing": None,
        "text": "läuft \ud800",
        "deep": [[1], {"a": [-0.0]}],
    }
    back = load_checkpoint(save_checkpoint(tmp_path, 1, {}, values)).values
    assert repr(back) == repr(values)
    other = seeding.generator(4, "values")
    seeding.restore(other, back["rng"])
    assert other.integers(2**63) == rng.integers(2**63)


def test_arrays_are_grouped_by_prefix_and_aligned(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 12, {**SMALL, "agent/b": np.ones(2), "alone": np.ones(1)}, {})
    assert path.name == "step-000000012"
    assert names(path) == [
        "agent.safetensors", "arrays.safetensors", "manifest.json", "replay.safetensors", "state.json",
    ]  # fmt: skip
    assert load_file(path / "agent.safetensors").keys() == {"agent/w", "agent/rows", "agent/b"}
    raw = (path / "agent.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    for entry in json.loads(raw[8 : 8 + length]).values():
        size = {"F64": 8, "F32": 4, "U16": 2}[entry["dtype"]]
        assert (8 + length + entry["data_offsets"][0]) % size == 0


def test_what_is_read_can_be_written_to(checkpoint: Path) -> None:
    for array in load_checkpoint(checkpoint).arrays.values():
        array[...] = 0


@pytest.mark.parametrize("strided", [False, True])
def test_neither_saving_nor_loading_holds_a_second_copy(tmp_path: Path, strided: bool) -> None:
    size = 32 * 2**20
    array = np.ones((size // 4000, 1000), np.float32)
    if strided:
        array = np.ones((size // 4000, 2000), np.float32)[:, ::2]
    tracemalloc.start()
    try:
        path = save_checkpoint(tmp_path, 0, {"replay/observations": array}, {})
        saving = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        loaded = load_checkpoint(path)
        loading = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert saving < size / 3
    assert loading < size * 1.25
    assert np.array_equal(loaded.arrays["replay/observations"], array)


@pytest.mark.parametrize(
    ("arrays", "values", "named"),
    [
        ({"agent/x": np.array([None])}, {}, "agent/x"),
        ({"agent/x": np.zeros(2, complex)}, {}, "agent/x"),
        ({"agent/x": [1.0]}, {}, "agent/x"),
        ({"../x": np.zeros(2)}, {}, r"\.\./x"),
        ({"/x": np.zeros(2)}, {}, "/x"),
        ({}, {"loss": {"q": [1.0, float("nan")]}}, r"loss\.q\[1\]"),
        ({}, {"best": float("-inf")}, "best"),
        ({}, {"a": {1: 2}}, "1"),
        ({}, {"a": b"x"}, "a"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name_and_nothing_is_written(
    tmp_path: Path, arrays: Any, values: Any, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        save_checkpoint(tmp_path, 0, arrays, values)
    assert names(tmp_path) == []


@pytest.mark.parametrize(("step", "keep"), [(-1, 1), (10**15, 1), (0, 0)])
def test_impossible_step_and_keep_are_refused(tmp_path: Path, step: int, keep: int) -> None:
    with pytest.raises(ValueError, match=r"step|keep"):
        save_checkpoint(tmp_path, step, {}, {}, keep)


# --- rotation and the newest ---


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (5, 10, 15, 20):
        save_checkpoint(tmp_path, step, SMALL, {}, keep=2)
    assert names(tmp_path) == ["step-000000015", "step-000000020"]
    latest = load_latest(tmp_path, fail)
    assert latest is not None and latest.step == 20


def test_steps_beyond_nine_digits_still_sort_by_number(tmp_path: Path) -> None:
    for step in (999_999_999, 1_000_000_000):
        save_checkpoint(tmp_path, step, {}, {})
    latest = load_latest(tmp_path, fail)
    assert latest is not None and latest.step == 1_000_000_000


def test_a_run_that_went_back_drops_the_checkpoints_it_left_behind_but_never_the_new_one(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        save_checkpoint(tmp_path, step, {}, {}, keep=3)
    save_checkpoint(tmp_path, 15, {}, {}, keep=2)
    assert names(tmp_path) == ["step-000000010", "step-000000015"]
    save_checkpoint(tmp_path, 12, {}, {}, keep=1)
    assert names(tmp_path) == ["step-000000012"]


def test_a_checkpoint_of_the_same_step_is_replaced_even_if_the_old_one_is_damaged(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 5, SMALL, {"content": "old"})
    (path / "agent.safetensors").write_bytes(b"")
    save_checkpoint(tmp_path, 5, {}, {"content": "new"})
    assert load_checkpoint(path).values == {"content": "new"}
    assert names(tmp_path) == ["step-000000005"]


def test_without_checkpoints_there_is_no_latest(tmp_path: Path) -> None:
    assert load_latest(tmp_path / "missing", fail) is None
    (tmp_path / "notes.txt").write_text("not a checkpoint")
    (tmp_path / ".tmp-step-000000001").mkdir()
    assert load_latest(tmp_path, fail) is None


def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, SMALL, {}, keep=3)
    (tmp_path / "step-000000003" / "replay.safetensors").unlink()
    (tmp_path / "step-000000002" / "manifest.json").write_text("{}")
    messages: list[str] = []
    latest = load_latest(tmp_path, messages.append)
    assert latest is not None and latest.step == 1
    assert len(messages) == 2
    assert "step-000000003/replay.safetensors cannot be read: No such file" in messages[0]
    assert "step-000000002/manifest.json must have exactly" in messages[1]


def test_when_all_are_damaged_the_run_does_not_start_from_zero(tmp_path: Path) -> None:
    for step in (1, 2):
        (save_checkpoint(tmp_path, step, SMALL, {}) / "state.json").write_text("?")
    messages: list[str] = []
    with pytest.raises(CheckpointError, match=r"(?s)step-000000002/state\.json.*step-000000001/state\.json"):
        load_latest(tmp_path, messages.append)
    assert len(messages) == 2


def test_a_renamed_checkpoint_is_refused(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match=r"state\.json is of step 7"):
        load_checkpoint(checkpoint.rename(checkpoint.with_name("step-000000009")))


# --- killed and out of space ---


@pytest.fixture(scope="module", params=["rotate", "replace"])
def killed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    base = tmp_path_factory.mktemp("killed")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, killed_saves.__file__, request.param, str(base)], check=True, env=environment)
    return sorted(base.iterdir())


def test_killed_at_any_moment_either_the_old_or_the_new_checkpoint_is_whole(killed: list[Path]) -> None:
    assert len(killed) > 15  # every write, fsync, rename and removal
    contents = []
    for root in killed:
        for name in names(root):
            if name.startswith("step-"):
                load_checkpoint(root / name)  # not only the newest: nothing half-removed keeps its name
        latest = load_latest(root, fail)
        assert latest is not None
        contents.append(latest.values["content"])
        assert all(same(latest.arrays[name], array) for name, array in killed_saves.ARRAYS.items())
    assert contents == sorted(contents, key=["old", "new"].index)  # once the new one is there it stays
    assert {"old", "new"} == set(contents)


def test_the_next_start_sweeps_up_and_goes_on(killed: list[Path]) -> None:
    left = 0
    for root in killed:
        before = load_latest(root, fail)
        left += any(name.startswith(".") for name in names(root))
        sweep(root)
        after = load_latest(root, fail)
        assert before is not None and after is not None and before.values == after.values
        assert all(name.startswith("step-") for name in names(root))
        killed_saves.save(root, 9, "next")
        assert names(root) == ["step-000000009"]
    assert left > 10


def test_saving_goes_on_without_a_sweep_too(tmp_path: Path) -> None:
    (tmp_path / ".tmp-step-000000005").mkdir()
    (tmp_path / ".tmp-step-000000005" / "agent.safetensors").write_text("half")
    save_checkpoint(tmp_path, 5, SMALL, {})
    assert names(tmp_path) == ["step-000000005"]


def test_sweep_does_not_follow_links(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    root = tmp_path / "checkpoints"
    root.mkdir()
    (root / ".tmp-step-000000001").symlink_to(precious)
    sweep(root)
    assert names(root) == [] and names(precious) == ["file"]
    sweep(tmp_path / "missing")


@pytest.mark.parametrize("step", [1, 2])
def test_on_a_full_disk_the_old_checkpoint_stays_and_nothing_else(tmp_path: Path, step: int) -> None:
    failures = 0
    for call in range(1000):
        root = tmp_path / str(call)
        save_checkpoint(root, 1, SMALL, {"content": "old"}, keep=1)
        try:
            with faults.disk_full_from(call) as calls:
                save_checkpoint(root, step, SMALL, {"content": "new"}, keep=1)
        except CheckpointError as error:
            assert f"step-{step:09d} cannot be written: No space left on device" in str(error)
            expected = "old"
            failures += 1
        else:
            expected = "new"
        latest = load_latest(root, fail)
        assert latest is not None and latest.values == {"content": expected}
        assert not [name for name in names(root) if name.startswith(".tmp-step")]
        if calls[0] <= call:
            break
    assert failures > 10
    assert names(root) == [f"step-{step:09d}"]


def test_a_write_that_the_kernel_cuts_short_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, SMALL, {})
    with faults.files_limited_to(100_000), pytest.raises(CheckpointError, match="step-000000002 cannot be written"):
        save_checkpoint(tmp_path, 2, {**SMALL, "replay/x": np.zeros(30_000)}, {})
    assert names(tmp_path) == ["step-000000001"]
    load_checkpoint(tmp_path / "step-000000001")


@pytest.mark.parametrize("part", ["state", "policy"])
def test_what_cannot_be_stored_is_a_warning_and_the_run_goes_on(tmp_path: Path, part: str) -> None:
    messages: list[str] = []
    record = RunRecord(RunDirectory.create(tmp_path, {}, instruction_set="x"), 1, messages.append)
    good, bad = ({}, {}), ({}, {"kept": float("nan")})
    assert not record.checkpoint(1, lambda: bad if part == "state" else good, lambda: bad)
    assert len(messages) == 1 and "training goes on" in messages[0] and "kept is nan" in messages[0]
    assert record.checkpoint(2, lambda: good, lambda: good)
    record.close()


def test_a_root_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_checkpoint(tmp_path / "file", 0, {}, {})
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_latest(tmp_path / "file", fail)


def test_everything_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    rename = os.rename

    def recorded_rename(source: Path, target: Path) -> None:
        calls.append(f"rename to {target.name}")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", lambda fd: calls.append(Path(f"/proc/self/fd/{fd}").readlink().name))
    monkeypatch.setattr(os, "rename", recorded_rename)
    save_checkpoint(tmp_path, 1, SMALL, {})
    *files, manifest, directory, renamed, parent = calls
    assert sorted(files) == ["agent.safetensors", "replay.safetensors", "state.json"]
    assert manifest == "manifest.json"
    assert directory == temporary_name(tmp_path / "step-000000001").name
    assert renamed == "rename to step-000000001"
    assert parent == tmp_path.name


# --- damaged and hostile ---


@pytest.mark.parametrize("file", ["agent.safetensors", "replay.safetensors", "state.json", "manifest.json"])
def test_a_file_cut_anywhere_is_refused_by_name(checkpoint: Path, file: str) -> None:
    whole = (checkpoint / file).read_bytes()
    last = len(whole) - 1 if file != "manifest.json" else len(whole) - 2  # the manifest's last newline carries nothing
    for size in range(last + 1):
        overwrite(checkpoint / file, whole[:size])
        with pytest.raises(CheckpointError, match=file):
            load_checkpoint(checkpoint)
    overwrite(checkpoint / file, whole + b"x")
    with pytest.raises(CheckpointError, match=file):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize("file", ["agent.safetensors", "replay.safetensors", "state.json"])
def test_a_flipped_bit_is_refused_by_name(checkpoint: Path, file: str) -> None:
    whole = (checkpoint / file).read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        overwrite(checkpoint / file, damaged)
        with pytest.raises(CheckpointError, match=f"{file} is damaged"):
            load_checkpoint(checkpoint)


def test_every_flipped_bit_of_the_manifest_is_noticed(tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path, 7, {}, {})
    whole = (checkpoint / "manifest.json").read_bytes()
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        overwrite(checkpoint / "manifest.json", damaged)
        with pytest.raises(CheckpointError, match=r"step-000000007/\S"):
            load_checkpoint(checkpoint)


@pytest.mark.parametrize("file", ["agent.safetensors", "state.json", "manifest.json"])
def test_a_pickle_is_never_opened(checkpoint: Path, file: str) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.mkdir, (checkpoint / "exploded",))

    content = pickle.dumps(Bomb())
    if file == "manifest.json":
        (checkpoint / file).write_bytes(content)
    else:
        forge(checkpoint, file, content)
    with pytest.raises(CheckpointError, match=file):
        load_checkpoint(checkpoint)
    assert not (checkpoint / "exploded").exists()


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "..", ".", "", "a/b", "manifest.json", "x\0", "a\n", "~", "x" * 101, ".hidden"]
)
def test_a_manifest_cannot_point_elsewhere(checkpoint: Path, name: str) -> None:
    (checkpoint.parent / "x").write_bytes(b"")
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    manifest["files"][name] = {"size": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"manifest\.json lists .* which cannot be one of its files"):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize("file", ["agent.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_only_regular_files_are_read(checkpoint: Path, file: str, kind: str) -> None:
    original = checkpoint / file
    if kind == "link":
        original.symlink_to(original.rename(checkpoint.parent / file))  # the right content, in another place
    else:
        original.unlink()
        os.mkfifo(original) if kind == "pipe" else original.mkdir()
    with pytest.raises(CheckpointError, match=f"{file} is (a symbolic link|not a regular file)"):
        load_checkpoint(checkpoint)


def test_a_checkpoint_that_is_a_link_or_a_file_is_refused(checkpoint: Path) -> None:
    link = checkpoint.with_name("step-000000008")
    link.symlink_to(checkpoint)
    with pytest.raises(CheckpointError, match="step-000000008 is not a directory of its own"):
        load_checkpoint(link)
    link.unlink()
    link.write_text("")
    with pytest.raises(CheckpointError, match="step-000000008 is not a directory of its own"):
        load_checkpoint(link)
    with pytest.raises(CheckpointError, match="step-000000001 does not exist"):
        load_checkpoint(checkpoint.with_name("step-000000001"))


TERABYTE = 2**40
ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        tensors({}, length=TERABYTE),
        tensors({}, length=2**64 - 1),
        tensors({}, length=3),
        tensors({"x": {"dtype": "F32", "shape": [TERABYTE], "data_offsets": [0, 4 * TERABYTE]}}),
        tensors({"x": {"dtype": "F32", "shape": [TERABYTE], "data_offsets": [0, 8]}}, bytes(8)),
        tensors({"x": {"dtype": "F32", "shape": [2**32, 2**32], "data_offsets": [0, 0]}}),  # 0 in 64 bits
        tensors({"x": {"dtype": "U8", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}}),
        tensors({"x": {"dtype": "U8", "shape": [0, 10**40], "data_offsets": [0, 0]}}),
        tensors({"x": {"dtype": "U8", "shape": [1] * 65, "data_offsets": [0, 1]}}, b"a"),
        tensors({"x": {**ENTRY, "shape": [-1, -2]}}, bytes(8)),
        tensors({"x": {**ENTRY, "shape": [2.0]}}, bytes(8)),
        tensors({"x": {**ENTRY, "shape": [True, 2]}}, bytes(8)),
        tensors({"x": {**ENTRY, "shape": "2"}}, bytes(8)),
        tensors({"x": {**ENTRY, "shape": [3]}}, bytes(8)),
        tensors({"x": {**ENTRY, "dtype": "F64"}}, bytes(8)),
        tensors({"x": {**ENTRY, "dtype": "O"}}, bytes(8)),
        tensors({"x": {**ENTRY, "dtype": ["F32"]}}, bytes(8)),
        tensors({"x": {**ENTRY, "data_offsets": [8, 0]}}, bytes(8)),
        tensors({"x": {**ENTRY, "data_offsets": [-8, 0]}}, bytes(8)),
        tensors({"x": {**ENTRY, "data_offsets": [0, 8, 16]}}, bytes(8)),
        tensors({"x": {**ENTRY, "data_offsets": [4, 12]}}, bytes(12)),  # a gap
        tensors({"x": ENTRY, "y": ENTRY}, bytes(8)),  # an overlap
        tensors({"x": ENTRY}, bytes(9)),
        tensors({"x": ENTRY}, bytes(7)),
        tensors({"x": {**ENTRY, "more": 1}}, bytes(8)),
        tensors({"x": [1]}, bytes(8)),
        tensors([1], bytes(8)),
        tensors({"x": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}}, b"\1\2"),
        tensors(b'{"x": ' + json.dumps(ENTRY).encode() + b', "x": ' + json.dumps(ENTRY).encode() + b"}", bytes(8)),
        tensors(b"[" * 100_000),
        tensors(b'{"x": NaN}'),
        tensors(b"\xff\xfe"),
    ],
    ids=lambda content: f"{len(content)} bytes",
)
def test_a_hostile_header_is_refused_without_taking_memory(checkpoint: Path, content: bytes) -> None:
    forge(checkpoint, "agent.safetensors", content)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"step-000000007/agent\.safetensors \w"):
            load_checkpoint(checkpoint)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "content",
    [
        b'{"step": 7, "values": {"x": NaN}}',
        b'{"step": 7, "values": {"x": -Infinity}}',
        b'{"step": 7, "values": {"x": 1e999}}',
        b'{"step": 7, "values": {"x": 1, "x": 2}}',
        b'{"step": 7, "values": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"step": 7, "values": {"x": ' + b"9" * 10_000 + b"}}",
        b'{"step": 7, "values": []}',
        b'{"step": "7", "values": {}}',
        b'{"step": true, "values": {}}',
        b'{"step": -1, "values": {}}',
        b'{"values": {}}',
        b'{"step": 7, "values": {}, "more": 1}',
        b"[]",
        b"",
        b"\xff",
    ],
)
def test_hostile_json_is_refused(checkpoint: Path, content: bytes) -> None:
    forge(checkpoint, "state.json", content)
    with pytest.raises(CheckpointError, match=r"state\.json"):
        load_checkpoint(checkpoint)


def test_json_of_an_unreasonable_size_is_not_read(checkpoint: Path) -> None:
    with (checkpoint / "manifest.json").open("wb") as file:
        file.truncate(2**40)  # a hole, not a terabyte
    with pytest.raises(CheckpointError, match=r"manifest\.json has 1,099,511,627,776 bytes"):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 3}, "format 3"),
        ({"format": 0}, "format 0"),
        ({"format": True}, "format True"),
        ({"kind": "policy"}, "'policy'"),
        ({"files": {}}, r"does not list state\.json"),
        ({"files": []}, "files"),
        ({"extra": 1}, "exactly"),
        ({"files": {"state.json": {"size": -1, "sha256": "0" * 64}}}, "impossible"),
        ({"files": {"state.json": {"size": 1.0, "sha256": "0" * 64}}}, "impossible"),
        ({"files": {"state.json": {"size": 1, "sha256": "A" * 64}}}, "impossible"),
        ({"files": {"state.json": 1}}, "exactly size and sha256"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(checkpoint: Path, change: dict[str, Any], reason: str) -> None:
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    (checkpoint / "manifest.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(CheckpointError, match=rf"manifest\.json .*{reason}"):
        load_checkpoint(checkpoint)


def test_one_array_in_two_files_is_refused(checkpoint: Path) -> None:
    shutil.copy(checkpoint / "agent.safetensors", checkpoint / "other.safetensors")
    forge(checkpoint, "other.safetensors", (checkpoint / "agent.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="which another file has too"):
        load_checkpoint(checkpoint)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail_otherwise(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz"
    path.write_bytes(struct.pack("<Q", max(0, len(content) - 8)) + content)
    with path.open("rb") as file:
        try:
            arrays = read_tensors(file, path.stat().st_size)
        except ValueError:
            return
    assert arrays == {}
