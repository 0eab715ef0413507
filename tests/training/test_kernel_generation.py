"""A run that goes on with kernels of another generation or instruction set than it was saved with says so."""

from __future__ import annotations

import json

import gymnasium
import pytest
from test_run import AGENT, config

from rewirl import _core
from rewirl.storage.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from rewirl.storage.metrics_log import read_metrics
from rewirl.training import run as runs
from rewirl.training.progress import Silent
from rewirl.training.resume import resume


@pytest.fixture
def stopped(tmp_path):
    with runs.start(config(eval_every=0), AGENT, tmp_path / "run", Silent()) as run:
        run.train(lambda: run.training.step >= 40)
    return tmp_path / "run"


def rewritten(path, value, name="kernels"):
    """Save the newest checkpoint of a run again, of another generation or instruction set; None leaves it out."""
    (newest,) = (path / "checkpoints").glob("step-*")
    saved = load_checkpoint(newest)
    values = {key: own for key, own in saved.values.items() if key != name}
    given = {} if value is None else {name: value}
    save_checkpoint(path / "checkpoints", saved.step, saved.arrays, {**values, **given})


def test_checkpoints_and_the_record_have_the_generation(stopped, capsys):
    (newest,) = (stopped / "checkpoints").glob("step-*")
    assert load_checkpoint(newest).values["kernels"] == _core.KERNEL_GENERATION
    assert json.loads((stopped / "config.json").read_text())["machine"]["kernels"] == _core.KERNEL_GENERATION
    with resume(stopped, Silent()):
        assert "generation" not in capsys.readouterr().err


@pytest.mark.parametrize(("saved", "said"), [(None, 1), (3, 3)])
def test_another_generation_is_named_when_the_run_goes_on(stopped, saved, said, monkeypatch, capsys):
    rewritten(stopped, saved)
    monkeypatch.setattr(_core, "KERNEL_GENERATION", 2)
    with resume(stopped, Silent()) as run:
        assert f"saved with generation {said} of the core's kernels and goes on with generation 2: its last bits" in (
            capsys.readouterr().err
        )
        run.train(lambda: run.training.step >= 60)
    with resume(stopped, Silent()):
        assert "generation" not in capsys.readouterr().err


def test_what_is_no_generation_is_refused(stopped):
    rewritten(stopped, "new")
    with pytest.raises(CheckpointError, match="the saved generation of kernels"):
        resume(stopped, Silent())


def test_another_instruction_set_is_named_when_the_run_goes_on(stopped, capsys):
    here = _core.instruction_set()
    with resume(stopped, Silent()) as run:
        assert "saved on" not in capsys.readouterr().err
    rewritten(stopped, "another", "instruction_set")
    with resume(stopped, Silent()) as run:
        assert f"saved on 'another' and goes on with '{here}': its last bits differ" in capsys.readouterr().err
        run.train(lambda: run.training.step >= 60)
    with resume(stopped, Silent()):
        assert "saved on" not in capsys.readouterr().err


def test_other_versions_are_named_and_recorded_when_the_run_goes_on(stopped, capsys):
    with resume(stopped, Silent()):
        pass
    assert "continued" not in {line["event"] for line in read_metrics(stopped / "metrics.jsonl")}
    record = json.loads((stopped / "config.json").read_text())
    record["versions"] |= {"gymnasium": "0.9", "numpy": "1.0"}
    (stopped / "config.json").write_text(json.dumps(record))
    with resume(stopped, Silent()) as run:
        here = gymnasium.__version__
        said = f"this run began with other versions (gymnasium 0.9, now {here}), and environments may differ by them"
        assert said in capsys.readouterr().err
        run.train(lambda: run.training.step >= 60)
    with resume(stopped, Silent()) as run:  # the line before the checkpoint stays, the one after it is written anew
        run.train()
    lines = [line for line in read_metrics(stopped / "metrics.jsonl") if line["event"] == "continued"]
    assert [line["step"] for line in lines] == [40, 60]
    assert lines[0]["made_with"]["versions"]["gymnasium"] == here and lines[0]["made_with"]["machine"]["cpu"]


def test_a_checkpoint_that_does_not_say_it_has_the_instruction_set_of_its_record(stopped, capsys):
    rewritten(stopped, None, "instruction_set")
    with resume(stopped, Silent()):
        assert "saved on" not in capsys.readouterr().err
    record = json.loads((stopped / "config.json").read_text())
    record["machine"]["instruction_set"] = "another"
    (stopped / "config.json").write_text(json.dumps(record))
    with resume(stopped, Silent()):
        assert "saved on 'another'" in capsys.readouterr().err
