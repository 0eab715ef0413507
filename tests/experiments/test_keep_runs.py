"""What the queue has finished is kept: every record, and a sound policy of the seed nearest to the median."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from synthetic_runs import make_run, recorded, rising

import rewirl
from rewirl.storage.policy_file import save_policy
from rewirl.storage.run_directory import RunDirectory

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("keep_runs", ROOT / "experiments" / "keep_runs.py")
assert spec is not None and spec.loader is not None
keep_runs = sys.modules["keep_runs"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(keep_runs)


def finished(path, seed, top):
    run = make_run(path, "td3", seed, rising(top, 50_000))
    log = run / "metrics.jsonl"
    log.write_text(
        log.read_text().removesuffix('{"event": "evalu') + '{"event": "end", "step": 100000, "seconds": 1}\n'
    )
    return run


def save(agent, path, step=100_000):
    """Save a policy as that of a run of so many steps."""
    agent.save(path)
    arrays, values = agent._run.policy_state(None)
    save_policy(path, arrays, {**values, "step": step})


@pytest.fixture
def queue(tmp_path):
    """Three finished runs with policies, and one in progress."""
    with rewirl.TD3("Pendulum-v1", seed=0, hidden_sizes=(8, 8), threads=1) as agent:
        for seed, top in enumerate((3000, 1000, 2000)):
            save(agent, finished(tmp_path / "queue" / "part", seed, top) / "policy")
    make_run(tmp_path / "queue" / "part", "td3", 3, rising(9000, 50_000, count=3), total=100_000)
    return tmp_path / "queue"


def listed(path):
    return json.loads((path / "part" / "policies.json").read_text())


def test_records_and_the_policy_of_the_median_seed_are_kept(queue, tmp_path, capsys):
    results = tmp_path / "results"
    assert keep_runs.main(["--directory", str(queue)], results) == 0
    assert "part: 3 new runs; 1 of 1 groups have a policy" in capsys.readouterr().out
    kept = {path.relative_to(results / "part").as_posix() for path in results.rglob("*") if path.is_file()}
    records = {f"HalfCheetah-v5-td3-{seed}/{name}" for seed in range(3) for name in ("config.json", "metrics.jsonl")}
    names = ("manifest.json", "policy.json", "policy.safetensors")
    assert kept == records | {f"HalfCheetah-v5-td3-2/policy/{name}" for name in names} | {"policies.json"}
    (entry,) = listed(results).values()
    assert entry["seed"] == 2 and entry["seeds"] == [0, 1, 2] and len(entry["sha256"]) == 64
    rewirl.load(results / "part" / "HalfCheetah-v5-td3-2" / "policy")
    assert keep_runs.main(["--directory", str(queue)], results) == 0
    assert "part: 0 new runs; 1 of 1" in capsys.readouterr().out


def test_a_policy_of_the_experiment_is_named_by_where_it_is_kept(queue, tmp_path):
    warm = finished(tmp_path / "queue" / "part" / "warm", 5, 1000).rename(queue / "part" / "warmed-5")
    shutil.rmtree(queue / "part" / "warm")
    source = queue / "part" / "HalfCheetah-v5-td3-0"
    recorded(warm, warm_up={"agent": "td3", "seed": 0, "step": 100_000}, warm_up_policy=str(source))
    assert keep_runs.main(["--directory", str(queue)], tmp_path / "results") == 0
    with RunDirectory.open(tmp_path / "results" / "part" / "warmed-5", lock=False) as kept:
        assert kept.config["train"]["warm_up_policy"] == "results/part/HalfCheetah-v5-td3-0"
    assert str(tmp_path) not in (tmp_path / "results" / "part" / "warmed-5" / "config.json").read_text()


@pytest.mark.parametrize("damage", ["cut", "none"])
def test_in_place_of_a_policy_that_is_not_sound_that_of_the_next_seed_is_kept(queue, tmp_path, damage, capsys):
    policy = queue / "part" / "HalfCheetah-v5-td3-2" / "policy"
    if damage == "cut":
        (policy / "policy.safetensors").write_bytes(b"x")
    else:
        policy.rename(policy.with_name("elsewhere"))
    results = tmp_path / "results"
    assert keep_runs.main(["--directory", str(queue)], results) == 0
    (entry,) = listed(results).values()
    assert entry["seed"] == 1 and entry["seeds"] == [0, 1, 2] and len(entry["sha256"]) == 64
    (kept,) = results.rglob("*.safetensors")
    assert kept.parent == results / "part" / "HalfCheetah-v5-td3-1" / "policy"
    assert (str(policy) in capsys.readouterr().err) == (damage == "cut")


def test_policies_that_are_too_large_are_not_kept(queue, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(keep_runs, "LARGEST", 10)
    results = tmp_path / "results"
    assert keep_runs.main(["--directory", str(queue)], results) == 0
    assert not list(results.rglob("*.safetensors"))
    (entry,) = listed(results).values()
    assert entry["seed"] == 2 and entry["sha256"] is None
    assert "more than the 10 that are kept" in capsys.readouterr().err


def test_a_run_that_went_on_is_kept_again_with_its_policy(queue, tmp_path, capsys):
    results, name = tmp_path / "results", "HalfCheetah-v5-td3-2"
    run, kept = queue / "part" / name, results / "part" / name
    for other in (0, 1):
        shutil.rmtree(queue / "part" / f"HalfCheetah-v5-td3-{other}")
    whole = (run / "metrics.jsonl").read_text()
    shorter = [line for line in whole.splitlines(keepends=True) if json.loads(line)["step"] <= 75_000]
    (run / "metrics.jsonl").write_text("".join(shorter) + '{"event": "end", "step": 75000, "seconds": 1}\n')
    assert keep_runs.main(["--directory", str(queue)], results) == 0
    assert not (kept / "policy").exists()  # it is of 100,000 steps already
    assert "it is of step 100,000, its record of 75,000" in capsys.readouterr().err
    (kept / "policy").mkdir()
    (kept / "policy" / "manifest.json").write_text("of 75,000 steps")
    (run / "metrics.jsonl").write_text(whole)
    assert keep_runs.main(["--directory", str(queue)], results) == 0
    assert "part: 1 new runs; 1 of 1 groups have a policy" in capsys.readouterr().out
    assert (kept / "metrics.jsonl").read_text() == whole
    assert json.loads((kept / "policy" / "policy.json").read_text())["step"] == 100_000


def test_without_the_queue_it_says_so(tmp_path, capsys):
    with pytest.raises(SystemExit):
        keep_runs.main(["--directory", str(tmp_path / "none")], tmp_path)
    assert "no directory" in capsys.readouterr().err


def test_what_is_listed_is_there():
    for path in (ROOT / "results").glob("*/policies.json"):
        for name, entry in json.loads(path.read_text()).items():
            manifest = path.parent / name / "policy" / "manifest.json"
            assert manifest.is_file() == (entry["sha256"] is not None), name
            if entry["sha256"]:
                assert json.loads(manifest.read_text())["files"]["policy.safetensors"]["sha256"] == entry["sha256"]
                rewirl.load(manifest.parent)


def test_no_page_of_results_names_a_directory_of_a_machine():
    pages = [*(ROOT / "results").glob("*/report.md"), *(ROOT / "results").glob("benchmarks/**/*.md")]
    assert pages
    assert [page for page in pages if re.search(r"(?<![\w.])/(home|root|work|tmp|Users)/", page.read_text())] == []
