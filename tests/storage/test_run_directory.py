"""Promises of the run directory: one owner, one configuration, a complete record."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rewirl.printing import command_line
from rewirl.storage import provenance
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError

STAMP = Path(__file__).parents[2] / "cmake" / "revision.cmake"
CMAKE = shutil.which("cmake", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])) or "cmake"
CONFIG = {"agent": "ds-td3", "seed": 3, "td3": {"gamma": 0.99, "hidden": (256, 256)}}
OWNER = """
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from rewirl.storage.run_directory import RunDirectory
run = RunDirectory.open(Path(sys.argv[1]))
print("owned", flush=True)
sys.stdin.read()
"""


def create(path: Path, config: dict[str, Any] = CONFIG) -> RunDirectory:
    return RunDirectory.create(path, config, instruction_set="avx2")


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def other_process(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_the_record_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "cheetah"
    with create(path) as run:
        record = json.loads((path / "config.json").read_text())
        assert record == run.record
    assert record["config"] == {"agent": "ds-td3", "seed": 3, "td3": {"gamma": 0.99, "hidden": [256, 256]}}
    assert record["versions"]["python"] == platform.python_version()
    assert record["versions"]["numpy"] == np.__version__
    assert {"rewirl", "gymnasium", "mujoco"} <= record["versions"].keys()
    assert record["machine"]["instruction_set"] == "avx2"
    assert record["machine"]["cores"] == os.cpu_count()
    assert record["machine"]["cpu"] and record["machine"]["platform"]
    assert "git_revision" in record
    # sha256 of {"agent":"ds-td3","seed":3,"td3":{"gamma":0.99,"hidden":[256,256]}}, by coreutils
    assert record["config_hash"] == "c3b14bfb0f805bd182130373a94ca5412abf940dcd2ffe739bcacbbb816b9fb4"


@pytest.fixture
def asked_again() -> Iterator[Callable[[], None]]:
    """Return what forgets the revision, which is asked once in a process."""
    provenance.git_revision.cache_clear()
    yield provenance.git_revision.cache_clear
    provenance.git_revision.cache_clear()


def test_an_installed_package_records_what_it_was_built_from_and_source_in_its_repository_where_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_again: Callable[[], None]
) -> None:
    monkeypatch.setattr(provenance, "REVISION", "0123abc-dirty")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "site-packages" / "run_directory.py"))
    with create(tmp_path / "installed") as run:
        assert run.record["git_revision"] == "0123abc-dirty"
    monkeypatch.setattr(provenance, "_git", lambda *arguments: "4567def")
    asked_again()
    with create(tmp_path / "in its repository") as run:
        assert run.record["git_revision"] == "4567def"


def stamped(source: Path, **environment: str) -> str | None:
    """Return what the build would write for this source."""
    output = source.parent / "_revision.py"
    subprocess.run(
        [CMAKE, f"-DSOURCE={source}", f"-DOUTPUT={output}", "-P", str(STAMP)],
        check=True,
        env={name: value for name, value in os.environ.items() if name != "REWIRL_REVISION"} | environment,
    )
    found: dict[str, Any] = {}
    exec(output.read_text(), found)
    revision: str | None = found["REVISION"]
    return revision


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_build_stamps_the_revision_of_a_clone_of_a_worktree_and_of_nothing_else(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / "CMakeLists.txt").write_text("first")
    assert stamped(clone) is None
    git(clone, "init")
    git(clone, "add", "CMakeLists.txt")
    git(clone, "commit", "-m", "first")
    revision = git(clone, "rev-parse", "HEAD")
    (clone / "untracked").mkdir()
    assert stamped(clone) == revision and len(revision) == 40
    git(clone, "worktree", "add", str(tmp_path / "worktree"))  # where .git is a file
    assert stamped(tmp_path / "worktree") == revision
    (clone / "CMakeLists.txt").write_text("second")
    assert stamped(clone) == f"{revision}-dirty"
    assert stamped(clone, REWIRL_REVISION="v1.2") == "v1.2"
    assert stamped(clone, REWIRL_REVISION='"; import os') is None
    (clone / "untracked" / "CMakeLists.txt").write_text("unpacked inside somebody else's repository")
    assert stamped(clone / "untracked") is None


def test_an_existing_run_opens_with_its_configuration_and_paths(tmp_path: Path) -> None:
    create(tmp_path / "run").close()
    with RunDirectory.open(tmp_path / "run") as run:
        assert run.config["td3"] == {"gamma": 0.99, "hidden": [256, 256]}
        assert [run.metrics.name, run.checkpoints.name, run.policy.name, run.tensorboard.name] == [
            "metrics.jsonl", "checkpoints", "policy", "tensorboard",
        ]  # fmt: skip
        assert run.metrics.parent == run.path == tmp_path / "run"


def test_the_same_run_again_names_resume(tmp_path: Path) -> None:
    path = tmp_path / "my run"
    create(path).close()
    before = (path / "config.json").read_bytes()
    with pytest.raises(RunDirectoryError, match=f"already holds this run; continue it with: rewirl.resume\\('{path}'"):
        create(path)
    with command_line(), pytest.raises(RunDirectoryError, match=f"continue it with: .*rewirl resume '{path}'$"):
        create(path)
    assert (path / "config.json").read_bytes() == before
    RunDirectory.open(path).close()  # and the refused process does not keep the lock


def test_another_configuration_is_refused_with_the_differing_keys(tmp_path: Path) -> None:
    create(tmp_path).close()
    other = {"agent": "ds-td3", "seed": 4, "td3": {"gamma": 0.98, "hidden": [256, 256]}, "new": None}
    with pytest.raises(RunDirectoryError) as caught:
        create(tmp_path, other)
    lines = str(caught.value).splitlines()
    assert [line.strip() for line in lines[1:-1]] == [
        "seed: 3 there, 4 here",
        "td3.gamma: 0.99 there, 0.98 here",
        "new: absent there, null here",
    ]
    assert "rewirl.resume('" in lines[-1] and lines[-1].endswith("choose another run_dir")
    with pytest.raises(RunDirectoryError, match=r"td3: .* there, absent here"):
        create(tmp_path, {"agent": "ds-td3", "seed": 3})


def test_a_directory_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunDirectoryError, match=r"holds 'thesis\.tex' but no run"):
        create(tmp_path)
    with pytest.raises(RunDirectoryError, match="holds no run"):
        RunDirectory.open(tmp_path)
    with pytest.raises(RunDirectoryError, match="is not a directory"):
        create(tmp_path / "thesis.tex")
    assert names(tmp_path) == ["thesis.tex"]


def test_a_process_killed_while_creating_does_not_block_the_directory(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("123\n")
    killed = subprocess.Popen(["true"])
    killed.wait()
    for name in (".tmp-config.json", f".tmp-config.json.{killed.pid}-{killed.pid}"):
        (tmp_path / name).write_text('{"conf')
    create(tmp_path).close()
    assert names(tmp_path) == ["config.json", "lock"]


def test_a_second_process_is_refused_by_the_first_ones_number_and_a_killed_one_frees_the_run(tmp_path: Path) -> None:
    create(tmp_path).close()
    first = other_process(tmp_path)
    try:
        assert first.stdout is not None and first.stdout.readline() == "owned\n"
        for attempt in (RunDirectory.open, create):
            with pytest.raises(RunDirectoryError, match=f"is in use by process {first.pid};"):
                attempt(tmp_path)
        assert RunDirectory.open(tmp_path, lock=False).config["seed"] == 3  # looking is allowed
        first.send_signal(signal.SIGKILL)
        first.communicate()
    finally:
        first.kill()
        first.communicate()
    with RunDirectory.open(tmp_path):
        second = other_process(tmp_path)
        _, errors = second.communicate("")
        assert second.returncode != 0
        assert f"is in use by process {os.getpid()};" in errors


def test_looking_changes_nothing(tmp_path: Path) -> None:
    create(tmp_path).close()
    (tmp_path / ".tmp-policy").mkdir()
    (tmp_path / "lock").unlink()
    RunDirectory.open(tmp_path, lock=False).close()
    assert names(tmp_path) == [".tmp-policy", "config.json"]
    RunDirectory.open(tmp_path).close()  # the owner tidies up
    assert names(tmp_path) == ["config.json", "lock"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not strict JSON"),
        (b"[]", "not the record of a run"),
        (b'{"config": 1}', "not the record of a run"),
        (b'{"format": 9, "config": {}}', "has format 9"),
        (b'{"format": 1, "config": {"seed": 4}, "config_hash": "0"}', "was changed after the run started"),
        (b'{"format": 1, "config": {"x": NaN}, "config_hash": "0"}', "NaN"),
    ],
)
def test_a_damaged_config_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    create(tmp_path).close()
    (tmp_path / "config.json").write_bytes(content)
    for lock in (False, True):
        with pytest.raises(RunDirectoryError, match=rf"config\.json .*{reason}"):
            RunDirectory.open(tmp_path, lock=lock)
    with pytest.raises(RunDirectoryError, match=reason):
        create(tmp_path)


def test_a_configuration_that_is_not_json_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"config\.gamma is nan"):
        create(tmp_path / "run", {"gamma": float("nan")})
    assert names(tmp_path) == []


def test_a_run_that_was_deleted_or_moved_is_not_held_any_more(tmp_path: Path) -> None:
    with create(tmp_path / "run") as run:
        run.hold()
        (tmp_path / "run").rename(tmp_path / "moved")
        with pytest.raises(RunDirectoryError, match=f"{tmp_path / 'run'} was deleted or moved"):
            run.hold()
        (tmp_path / "moved").rename(tmp_path / "run")
        run.hold()
        shutil.rmtree(tmp_path / "run")
        with pytest.raises(RunDirectoryError, match="was deleted or moved"):
            run.hold()
    assert not (tmp_path / "run").exists()


def test_a_lock_file_that_was_deleted_is_made_again_unless_another_process_was_faster(tmp_path: Path) -> None:
    with create(tmp_path) as run:
        (tmp_path / "lock").unlink()
        run.hold()
        with pytest.raises(
            RunDirectoryError, match=r"in use by this program: .*agent\.close\(\)[^;]* with that agent$"
        ):
            RunDirectory.open(tmp_path)
        with pytest.raises(RunDirectoryError, match="with that agent, or choose another run_dir"):
            create(tmp_path)
        (tmp_path / "lock").unlink()
        with RunDirectory.open(tmp_path) as other, pytest.raises(RunDirectoryError, match="is in use by"):
            other.hold()
            run.hold()


@pytest.mark.parametrize("config", [CONFIG, {"agent": "td3"}])
def test_a_run_does_not_go_on_in_the_directory_of_another_one(tmp_path: Path, config: dict[str, Any]) -> None:
    with create(tmp_path / "run") as run:
        (tmp_path / "run").rename(tmp_path / "moved")
        create(tmp_path / "run", config).close()
        with pytest.raises(RunDirectoryError, match=r"deleted or moved .* there is another run by now"):
            run.hold()
        RunDirectory.open(tmp_path / "run").close()  # which has not been locked


def test_a_directory_that_was_closed_is_not_held(tmp_path: Path) -> None:
    run = create(tmp_path)
    run.close()
    with pytest.raises(RunDirectoryError, match=r"has been closed; its run goes on with: rewirl\.resume"):
        run.hold()


def test_an_owner_with_the_same_number_in_another_container_is_not_taken_for_this_program(tmp_path: Path) -> None:
    create(tmp_path).close()
    descriptor = os.open(tmp_path / "lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    with pytest.raises(RunDirectoryError, match=f"is in use by process {os.getpid()}; stop it first"):
        RunDirectory.open(tmp_path)
    os.close(descriptor)


FORKS = """
import os, signal, sys
from collections.abc import Callable, Iterator
from pathlib import Path
from rewirl.storage.run_directory import RunDirectory
run = RunDirectory.open(Path(sys.argv[1]))
if os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_forked_from_the_owner_does_not_keep_the_run_when_the_owner_is_killed(tmp_path: Path) -> None:
    create(tmp_path).close()
    with subprocess.Popen(
        [sys.executable, "-c", FORKS, str(tmp_path)],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as owner:
        assert owner.wait(60) == -signal.SIGKILL
        RunDirectory.open(tmp_path).close()


def test_a_run_that_begins_while_its_directory_is_looked_at_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = Path.iterdir

    def meanwhile(path: Path) -> Iterator[Path]:
        monkeypatch.setattr(Path, "iterdir", entries)
        create(path).close()
        return entries(path)

    monkeypatch.setattr(Path, "iterdir", meanwhile)
    with pytest.raises(RunDirectoryError, match="already holds this run"):
        create(tmp_path)
