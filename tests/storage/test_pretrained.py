"""The policies that come with Rewirl: whole, small, and loaded as those of strangers are."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest

import rewirl
from rewirl.cli.commands import run
from rewirl.cli.errors import UsageError
from rewirl.storage import pretrained

ROOT = Path(__file__).parents[2]


def test_each_is_the_one_of_its_card():
    cards = pretrained.cards()
    assert cards
    assert sum(pretrained.archive(name).stat().st_size for name in cards) <= 2_000_000
    assert {path.name for path in pretrained.DIRECTORY.glob("*.zip")} == {pretrained.archive(n).name for n in cards}
    for name, card in cards.items():
        content = pretrained.archive(name).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (card["sha256"], card["bytes"])
        policy = rewirl.load(name)
        assert policy.about["environment"]["name"] == name.partition("/")[0]
        assert policy.about["agent"] == card["agent"]
        assert policy.about["step"] == card["steps"]
        assert sum(layer.connections for layer in policy.topology["actor"]) == card["connections"]
        observation = np.zeros(card["sizes"][0])
        assert np.isfinite(policy.predict(observation)).all()
        assert card["episodes"] == 100


def test_a_damaged_one_and_a_missing_one_are_refused(monkeypatch, tmp_path):
    name = next(iter(pretrained.cards()))
    content = bytearray(pretrained.archive(name).read_bytes())
    content[1000] ^= 1
    monkeypatch.setattr(pretrained, "DIRECTORY", tmp_path)
    with pytest.raises(rewirl.PolicyError, match="cannot be read: No such file"):
        rewirl.load(name)
    pretrained.archive(name).write_bytes(content)
    with pytest.raises(rewirl.PolicyError, match=r"another SHA-256 sum than its card says; install Rewirl again"):
        rewirl.load(name)


def test_a_name_that_is_nearly_one_gets_a_hint_and_a_directory_goes_first(monkeypatch, tmp_path):
    name = next(iter(pretrained.cards()))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(rewirl.PolicyError, match=f"no such policy comes with Rewirl; did you mean {name}"):
        rewirl.load(name[:-1])
    Path(name).mkdir(parents=True)
    with pytest.raises(
        rewirl.PolicyError, match=rf"manifest\.json.* The policy {name} that comes .* is hidden by /.*{name}"
    ):
        rewirl.load(name)


def test_no_room_for_temporary_files_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(rewirl.PolicyError, match=r"cannot be unpacked among temporary files: .*; make room there"):
        rewirl.load(next(iter(pretrained.cards())))


@pytest.mark.parametrize("content", [None, "{", "[]", '{"Pendulum-v1/small": {}}', '{"Pendulum-v1/small": 3}', "\xff"])
def test_a_broken_list_hurts_only_those_who_ask_for_it(monkeypatch, tmp_path, content):
    pretrained.cards.cache_clear()
    monkeypatch.setattr(pretrained, "DIRECTORY", tmp_path / "bundle")
    (tmp_path / "bundle").mkdir()
    if content is not None:
        (tmp_path / "bundle" / "cards.json").write_text(content, encoding="latin-1")
    with rewirl.TD3("Pendulum-v1", hidden_sizes=(8,)) as agent:
        agent.save(tmp_path / "saved")
    assert rewirl.load(tmp_path / "saved").about["agent"] == "td3"
    said = r"the list of the policies that come with Rewirl, .*cards\.json, cannot be read: .*; install Rewirl again"
    with pytest.raises(rewirl.PolicyError, match=f"there is no Pendulum-v1/small, and {said}"):
        rewirl.load("Pendulum-v1/small")
    with pytest.raises(UsageError, match=said):
        run("policies", [])


@pytest.fixture
def bundle():
    spec = importlib.util.spec_from_file_location("bundle_policies", ROOT / "experiments" / "bundle_policies.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_bundle_is_made_from_kept_policies(bundle, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bundle, "EPISODES", 1)
    for seed in (0, 1):
        run_dir = tmp_path / "results" / "x" / f"run-{seed}"
        options = {"hidden_sizes": (8,), "batch_size": 4, "learning_starts": 10, "sparsity": 0.5}
        with rewirl.StaticTD3("Pendulum-v1", seed=seed, **options) as agent:
            agent.learn(20, run_dir=run_dir, eval_every=20, eval_episodes=1)
    finals = [one_return(tmp_path / "results" / "x" / f"run-{seed}") for seed in (0, 1)]
    target, made = tmp_path / "bundle", {"Pendulum-v1/sparse": "x/run-1"}
    assert bundle.main([], tmp_path / "results", target, made) == 0
    (card,) = (cards := json.loads((target / "cards.json").read_text())).values()
    assert (card["seed"], card["steps"], card["environment"]) == (1, 20, "Pendulum-v1")
    assert card["sparsity"] == pytest.approx(0.5, abs=0.1) and card["return_mean"] < 0
    ends = [f"{value:,.0f}" for value in (finals[1], min(finals), max(finals))]
    assert card["made"] == (
        f"results/x/run-1 ends at a final return of {ends[0]}; its 2 kept seeds end between {ends[1]} and {ends[2]}"
    )
    monkeypatch.setattr(bundle, "card", None)  # nothing has changed, so nothing is played again
    (target / "stale.zip").touch()
    assert bundle.main([], tmp_path / "results", target, made) == 0
    assert json.loads((target / "cards.json").read_text()) == cards
    assert [path.name for path in target.glob("*.zip")] == ["Pendulum-v1--sparse.zip"]
    monkeypatch.setattr(bundle, "LARGEST", 100)
    with pytest.raises(SystemExit):
        bundle.main([], tmp_path / "results", target, made)
    assert "more than 100; leave some out" in capsys.readouterr().err


def one_return(run):
    """The mean of a run's evaluations, which are fewer than ten."""
    events = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    returns = [event["return_mean"] for event in events if event["event"] == "evaluation"]
    return sum(returns) / len(returns)


def test_the_bundle_is_what_its_list_says(bundle):
    assert {name: f"results/{run} ends" for name, run in bundle.BUNDLED.items()} == {
        name: card["made"].partition(" at a final")[0] for name, card in pretrained.cards().items()
    }
