"""Promises of the saved policy: always a whole one, and never somebody else's directory."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import faults
import killed_saves
import numpy as np
import pytest
from safetensors.numpy import load_file

from rewirl.storage import bundle
from rewirl.storage.bundle import sweep
from rewirl.storage.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from rewirl.storage.policy_file import PolicyError, load_policy, policy_directory, save_policy

ARRAYS = {"layer0/values": np.array([0.5, -1.0], np.float32), "layer0/rows": np.array([2, 0], np.uint16)}


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def test_a_policy_comes_back_and_safetensors_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "policy"
    save_policy(path, ARRAYS, {"agent": "ds-td3", "low": (-1.0, -2.0)})
    arrays, values = load_policy(path)
    assert values == {"agent": "ds-td3", "low": [-1.0, -2.0]}
    assert names(path) == ["manifest.json", "policy.json", "policy.safetensors"]
    for name, array in ARRAYS.items():
        assert arrays[name].tobytes() == array.tobytes() == load_file(path / "policy.safetensors")[name].tobytes()


def test_a_policy_is_replaced_even_if_the_old_one_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    save_policy(path, ARRAYS, {"n": 1})
    (path / "policy.json").write_text("?")
    (path / "manifest.json").unlink()
    save_policy(path, {}, {"n": 2})
    assert load_policy(path) == ({}, {"n": 2})
    assert names(tmp_path) == ["policy"]


def test_a_directory_with_anything_else_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "project"
    save_policy(path, ARRAYS, {})
    (path / "thesis.tex").write_text("years of work")
    with pytest.raises(PolicyError, match=r"project would be replaced, but has 'thesis\.tex'"):
        save_policy(path, ARRAYS, {})
    assert (path / "thesis.tex").read_text() == "years of work"
    page = tmp_path / "page" / "manifest.json"  # which web pages have too
    page.parent.mkdir()
    page.write_text("{}")
    with pytest.raises(PolicyError, match=r"page would be replaced, but has 'manifest\.json' besides a policy"):
        save_policy(page.parent, ARRAYS, {})
    assert page.read_text() == "{}"


def test_a_path_that_leads_through_itself_or_a_link_is_the_same_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, link = tmp_path / "policy", tmp_path / "link"
    save_policy(path, ARRAYS, {"n": 1})
    save_policy(path / ".." / "policy", ARRAYS, {"n": 2})
    assert load_policy(path)[1] == {"n": 2} and names(tmp_path) == ["policy"]
    link.symlink_to(tmp_path)
    monkeypatch.chdir(path)
    for way in (Path("../policy"), link / "policy", Path("x/..")):
        with pytest.raises(PolicyError, match="policy is the working directory"):
            save_policy(way, ARRAYS, {})
    assert load_policy(path)[1] == {"n": 2} and names(tmp_path) == ["link", "policy"]


def test_what_is_put_into_the_policy_of_a_run_stays_there(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    save_policy(path, ARRAYS, {"n": 1}, of_run=True)
    (path / ".DS_Store").write_text("mine")
    (path / "notes.json").write_text("mine too")
    (path / ".ipynb_checkpoints").mkdir()
    (path / ".ipynb_checkpoints" / "x.ipynb").write_text("{}")
    for n in (2, 3):
        save_policy(path, ARRAYS, {"n": n}, of_run=True)
        assert load_policy(path)[1] == {"n": n}
    assert (path / ".DS_Store").read_text() == "mine" and (path / "notes.json").read_text() == "mine too"
    assert names(path / ".ipynb_checkpoints") == ["x.ipynb"] and names(tmp_path) == ["policy"]


def test_several_at_once_may_save_to_one_path_and_a_whole_policy_is_there(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    save_policy(path, ARRAYS, {"n": -1})

    def save(writer: int) -> None:
        for n in range(20):
            save_policy(path, ARRAYS, {"n": 20 * writer + n})

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(save, writer) for writer in range(4)]:
            done.result()
    assert load_policy(path)[1]["n"] in (19, 39, 59, 79)
    assert names(tmp_path) == ["policy"]


def test_a_link_or_a_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "file").write_text("x")
    for name in ("link", "file"):
        with pytest.raises(PolicyError, match=f"{name} is not a directory of its own"):
            save_policy(tmp_path / name, ARRAYS, {})
    assert names(tmp_path) == ["file", "link"]


def test_a_policy_and_a_checkpoint_are_not_taken_for_each_other(tmp_path: Path) -> None:
    save_policy(tmp_path / "policy", ARRAYS, {})
    checkpoint = save_checkpoint(tmp_path, 1, ARRAYS, {})
    with pytest.raises(CheckpointError, match="says this is a 'policy'"):
        load_checkpoint(tmp_path / "policy")
    with pytest.raises(PolicyError, match="says this is a 'checkpoint'"):
        load_policy(checkpoint)


def test_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    save_policy(path, ARRAYS, {})
    whole = (path / "policy.safetensors").read_bytes()
    (path / "policy.safetensors").write_bytes(whole[:-1] + b"\xff")
    with pytest.raises(PolicyError, match=r"policy\.safetensors is damaged"):
        load_policy(path)
    with pytest.raises(PolicyError, match="nothing does not exist"):
        load_policy(tmp_path / "nothing")


def test_a_directory_of_something_else_is_said_to_be_no_policy(tmp_path: Path) -> None:
    (tmp_path / "runs" / "one").mkdir(parents=True)
    with pytest.raises(PolicyError, match=r"runs is neither the directory of a run nor a saved policy: .*; give one"):
        load_policy(policy_directory(tmp_path / "runs"))
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    for name in ("file", "link"):
        with pytest.raises(PolicyError, match=f"{name} is not a directory of its own, but a link or a file; give the"):
            load_policy(policy_directory(tmp_path / name))


def test_killed_at_any_moment_a_whole_policy_is_there(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, killed_saves.__file__, "policy", str(tmp_path)], check=True, env=environment)
    contents, aside = [], 0
    for root in sorted(tmp_path.iterdir()):
        contents.append(load_policy(root / "policy")[1]["content"])
        aside += not (root / "policy").exists()  # between the two renames
        sweep(root, re.compile("policy"))
        assert names(root) == ["policy"]
        assert load_policy(root / "policy")[1]["content"] == contents[-1]
    assert contents == sorted(contents, key=["old", "new"].index)
    assert {"old", "new"} == set(contents)
    assert aside == 1


def test_on_a_full_disk_the_old_policy_stays(tmp_path: Path) -> None:
    failures = 0
    for call in range(1000):
        path = tmp_path / str(call) / "policy"
        save_policy(path, ARRAYS, {"n": 1})
        try:
            with faults.disk_full_from(call) as calls:
                save_policy(path, ARRAYS, {"n": 2})
        except PolicyError as error:
            assert "policy cannot be written: No space left on device" in str(error)
            assert load_policy(path)[1] == {"n": 1}
            failures += 1
        else:
            assert load_policy(path)[1] == {"n": 2}
        assert ".tmp-policy" not in names(path.parent)
        if calls[0] <= call:
            break
    assert failures > 8


def test_a_policy_replaced_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "policy"
    save_policy(path, ARRAYS, {"n": 1})
    verify, replaced = bundle._verify, []

    def slow_verify(*arguments: object) -> None:
        if not replaced:
            replaced.append(True)
            save_policy(path, ARRAYS, {"n": 2})  # removes the files that are being read
        verify(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(bundle, "_verify", slow_verify)
    assert load_policy(path)[1] == {"n": 2}


def test_values_must_be_an_object(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    save_policy(path, {}, {})
    (path / "policy.json").write_text("[]")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["policy.json"] = {"size": 2, "sha256": hashlib.sha256(b"[]").hexdigest()}
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(PolicyError, match=r"policy\.json is not a JSON object"):
        load_policy(path)


def test_a_path_that_cannot_be_looked_into_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read: File name too long"):
        policy_directory(tmp_path / ("x" * 300))
