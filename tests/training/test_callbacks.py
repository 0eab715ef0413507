"""Promises of callbacks: called in their moments, able to look, note and stop; one that does nothing changes no bit."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest

import rewirl

SMALL: dict[str, Any] = {
    **{"hidden_sizes": (12, 8), "learning_starts": 150, "batch_size": 8},
    **{"buffer_size": 500, "adapt_every": 20, "threads": 1},
}
_OF_THE_CLOCK = ("seconds", "core_share", "sha256")  # the last is of a checkpoint with its seconds
OFTEN: dict[str, Any] = {"eval_every": 100, "eval_episodes": 1, "checkpoint_every": 0}


def agent(**options: Any) -> rewirl.DSTD3:
    return rewirl.DSTD3("Pendulum-v1", seed=1, **{**SMALL, **options})


def lines(path: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in _OF_THE_CLOCK} for line in found]


class Witness(rewirl.Callback):
    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def on_training_start(self, moment: rewirl.Moment) -> None:
        self.seen.append(("start", moment.step, moment.total))

    def on_step(self, moment: rewirl.Moment) -> None:
        assert moment.step == moment.agent.steps and moment.reward <= 0
        if moment.step % 150 == 0:
            self.seen.append(("step", moment.step))

    def on_episode_end(self, moment: rewirl.Moment) -> None:
        self.seen.append(("episode", moment.step, moment.episode_length))

    def on_evaluation(self, moment: rewirl.Moment) -> None:
        assert moment.evaluation is not None
        self.seen.append(("evaluation", moment.evaluation_step, moment.step, len(moment.evaluation.returns)))

    def on_training_end(self, moment: rewirl.Moment) -> None:
        self.seen.append(("end", moment.step))


@pytest.mark.parametrize("threads", [1, 2])
def test_the_moments_come_in_their_order_and_change_no_bit(tmp_path, threads):
    plain, watched = agent(), agent(threads=threads)
    plain.learn(310, run_dir=tmp_path / "plain", **OFTEN)
    witness = Witness()
    watched.learn(310, run_dir=tmp_path / "watched", callback=[rewirl.Callback(), witness], **OFTEN)
    assert witness.seen == [
        ("start", 0, 310),
        *[("evaluation", step, step, 1) for step in (0, 100)],
        ("step", 150),
        ("episode", 200, 200),
        ("evaluation", 200, 200, 1),
        ("step", 300),
        *[("evaluation", step, step, 1) for step in (300, 310)],
        ("end", 310),
    ]
    assert lines(tmp_path / "watched") == lines(tmp_path / "plain")
    states = [each._run.training.state()[0] for each in (plain, watched)]
    assert all(array.tobytes() == states[1][name].tobytes() for name, array in states[0].items())
    plain.close()
    watched.close()


def test_a_function_is_called_after_every_step_and_ends_training(tmp_path):
    steps: list[int] = []

    def until(moment: rewirl.Moment) -> bool:
        steps.append(moment.step)
        return moment.step < 7

    with agent() as learner:
        learner.learn(50, run_dir=tmp_path / "run", callback=until)
        assert steps == [1, 2, 3, 4, 5, 6, 7] and learner.steps == 7
        learner.learn(3)  # callbacks are those of one call
        assert steps[-1] == 7 and learner.steps == 10
    events = [line["event"] for line in lines(tmp_path / "run")]
    assert events.count("checkpoint") == 2 and events[-1] == "end"


def test_an_evaluation_that_is_good_enough_ends_training(tmp_path):
    with agent() as learner:
        early = SimpleNamespace(on_evaluation=lambda moment: moment.step < 200)
        learner.learn(500, run_dir=tmp_path / "run", callback=early, **OFTEN)
        assert learner.steps == 200


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("last", [200, 250])
def test_who_ends_training_still_gets_the_evaluation_that_is_due(last, threads, tmp_path):
    with agent(threads=threads) as learner:
        learner.learn(250, run_dir=tmp_path / "run", callback=lambda moment: moment.step < last, **OFTEN)
        assert learner.steps == last
    events = [(line["event"], line["step"]) for line in lines(tmp_path / "run")]
    assert [step for event, step in events if event == "evaluation"] == [0, 100, 200, 250][: 3 if last == 200 else 4]
    assert (("end", 250) in events) == (last == 250)  # the last step is that of a run which lacks nothing


def test_who_wants_evaluations_gets_them_without_asking_how_often():
    seen: list[int] = []
    with agent(env_kwargs={"max_episode_steps": 5}) as learner:
        learner.learn(30, callback=SimpleNamespace(on_evaluation=lambda moment: seen.append(moment.step)))
        assert seen == [0, 30]
        learner.learn(30, callback=lambda moment: True)
    assert seen == [0, 30] and learner._run.training._evaluated == 30


def test_where_nobody_can_evaluate_it_is_told(capsys):
    env = gymnasium.wrappers.TimeLimit(gymnasium.make("Pendulum-v1"), 5)
    with rewirl.DSTD3(env, hidden_sizes=[8]) as learner:
        learner.learn(5, callback=SimpleNamespace(on_evaluation=lambda moment: None))
    assert "is not evaluated in" in capsys.readouterr().err


def test_numbers_of_ones_own_are_in_the_record(tmp_path):
    def note(moment: rewirl.Moment) -> None:
        if moment.step % 20 == 0:
            moment.record(twice=2 * moment.step, reward=moment.reward)

    with agent() as learner:
        learner.learn(40, run_dir=tmp_path / "run", callback=note, eval_every=0)
    noted = [line for line in lines(tmp_path / "run") if line["event"] == "callback"]
    assert [(line["step"], line["twice"]) for line in noted] == [(20, 40.0), (40, 80.0)]

    with agent() as learner, pytest.raises(ValueError, match="word must be a number"):
        learner.learn(5, callback=lambda moment: moment.record(word="many"))


@pytest.mark.parametrize("name", ["event", "step", "seconds", "core_share", "sha256", "connections"])
def test_a_number_of_ones_own_has_no_name_that_the_record_uses(name, tmp_path):
    with agent() as learner, pytest.raises(ValueError, match=f"{name} is a field of the record itself"):
        learner.learn(5, run_dir=tmp_path / "run", callback=lambda moment: moment.record(**{name: 1.0}), eval_every=0)


def test_self_and_fields_of_other_events_are_names_like_any_other(tmp_path):
    with agent() as learner:
        own = {"self": 1, "returns": 2, "return": 3}
        learner.learn(1, run_dir=tmp_path / "run", callback=lambda moment: moment.record(**own), eval_every=0)
    (noted,) = (line for line in lines(tmp_path / "run") if line["event"] == "callback")
    assert noted == {"event": "callback", "step": 1, **own}


@pytest.mark.parametrize("no", [False, np.False_])
def test_false_of_numpy_ends_training_too_and_nothing_else_does(no):
    with agent() as learner:
        learner.learn(50, callback=[lambda moment: 0, lambda moment: no if moment.step == 20 else None])
        assert learner.steps == 20


@pytest.mark.parametrize("wrong", [3, "log", rewirl.Callback, [lambda moment: None, object()]])
def test_what_is_no_callback_is_refused(wrong):
    with agent() as learner, pytest.raises(ValueError, match="callback must be a function of a moment"):
        learner.learn(5, callback=wrong)


def test_a_class_in_place_of_an_object_is_refused_with_the_remedy():
    with agent() as learner, pytest.raises(ValueError, match=r"Callback'>; give an object of it, Callback\(\)"):
        learner.learn(5, callback=rewirl.Callback)


def test_an_error_of_a_callback_comes_out_and_the_end_is_told():
    ends: list[int] = []

    def wrong(moment: rewirl.Moment) -> None:
        raise KeyError("mine")

    with agent() as learner, pytest.raises(KeyError, match="mine"):
        learner.learn(5, callback=[wrong, SimpleNamespace(on_training_end=lambda moment: ends.append(moment.step))])
    assert ends == [1]


@pytest.mark.parametrize("error", [KeyError("mine"), SystemExit(3)])
@pytest.mark.parametrize("moment", ["on_step", "on_episode_end", "on_evaluation"])
def test_what_was_learnt_until_a_callback_failed_is_kept(moment, error, tmp_path):
    def fail(seen: rewirl.Moment) -> None:
        if seen.step >= 200:
            raise error

    whole, failing = agent(), agent()
    whole.learn(310, run_dir=tmp_path / "whole", **OFTEN)
    with pytest.raises(type(error)):
        failing.learn(310, run_dir=tmp_path / "run", callback=SimpleNamespace(**{moment: fail}), **OFTEN)
    failing.close()
    resumed = rewirl.resume(tmp_path / "run")
    assert resumed.steps == 200
    resumed.learn()
    states = [each._run.training.state()[0] for each in (whole, resumed)]
    assert all(array.tobytes() == states[1][name].tobytes() for name, array in states[0].items())
    kept, expected = (
        [line for line in lines(tmp_path / name) if line["event"] in ("evaluation", "episode")]
        for name in ("run", "whole")
    )
    assert kept == expected
    whole.close()
    resumed.close()


def test_an_agent_that_diverged_is_not_saved_where_a_callback_failed(tmp_path, monkeypatch, capsys):
    def fail(moment: rewirl.Moment) -> None:
        if moment.step == 200:
            monkeypatch.setattr("rewirl.training.loop.not_finite", lambda agent: "a weight is nan")
            raise KeyError("mine")

    one = agent()
    with pytest.raises(KeyError, match="mine"):
        one.learn(310, run_dir=tmp_path / "run", checkpoint_every=190, callback=fail)
    one.close()
    assert "warning: the run is not saved at step 200: ds-td3 diverged in Pendulum-v1 by" in capsys.readouterr().err
    monkeypatch.undo()
    with rewirl.resume(tmp_path / "run") as resumed:
        assert resumed.steps == 190


def test_weights_and_biases_gets_settings_episodes_and_evaluations(monkeypatch):
    sent: list[dict[str, Any]] = []
    began: list[dict[str, Any]] = []
    run = SimpleNamespace(log=sent.append, finish=lambda: sent.append({"finished": True}))
    fake = SimpleNamespace(init=lambda **arguments: began.append(arguments) or run)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    callback = rewirl.WandbCallback(project="sparse", name="first")
    with agent(learning_starts=20) as learner:
        learner.learn(210, callback=callback, **OFTEN)
        learner.learn(10, callback=callback)
        callback.close()
    (arguments,) = began
    assert (arguments["project"], arguments["name"]) == ("sparse", "first")
    assert arguments["config"]["gamma"] == 0.99 and arguments["config"]["rule"] == "set"
    episodes = [values for values in sent if "episode/return" in values]
    evaluations = [values for values in sent if "evaluation/return_mean" in values]
    assert [values["step"] for values in episodes] == [200]
    assert [values["step"] for values in evaluations] == [0, 100, 200, 210, 220]
    assert "diagnostics/critic1_loss" in evaluations[-1] and sent[-1] == {"finished": True}


def test_what_the_page_on_callbacks_shows_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, wandb, mlflow = re.findall(
        r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs" / "callbacks.md").read_text(), re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    sent: list[str] = []
    fake = SimpleNamespace(
        log_params=lambda values: sent.append("params"),
        log_metric=lambda name, value, step: sent.append(f"{name} at {step}"),
        log_metrics=lambda values, step: sent.append(f"{len(values) > 0} at {step}"),
        init=lambda **arguments: SimpleNamespace(log=lambda values: sent.append("wandb")),
    )
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    small = '"Pendulum-v1", hidden_sizes=(8,), batch_size=4, learning_starts=20, threads=1'
    names: dict[str, Any] = {}
    exec(watch.replace('"Pendulum-v1"', small).replace("5_000", "1_010").replace("20_000", "2_000"), names)
    assert names["agent"].steps == 1_010
    assert '"event": "callback"' in (tmp_path / "runs/watched/metrics.jsonl").read_text()
    exec(wandb.replace("20_000", "200").replace("5_000", "100"), names)
    exec(mlflow, names)
    names["agent"].learn(100, eval_every=50, eval_episodes=1, callback=names["MLflow"]())
    assert sent.count("wandb") > 1 and sent[-2:] == ["return_mean at 1310", "True at 1310"]
    names["agent"].close()


class _Duck:
    def on_step(self, moment: rewirl.Moment) -> None: ...


class _Misnamed:
    @staticmethod
    def of(base: type, name: str) -> Any:
        return type("Mine", (base,), {name: lambda self, moment: None})()


@pytest.mark.parametrize(
    ("base", "name", "hint"),
    [
        (rewirl.Callback, "_on_step", r"as in Stable-Baselines3; here it is on_step\(self, moment\)"),
        (rewirl.Callback, "on_stepp", r"never called; did you mean on_step\?"),
        (rewirl.Callback, "_on_training_start", r"did you mean on_training_start\?"),
        (rewirl.Callback, "on_rollout_end", "did you mean on_step: a rollout is a single step"),
        (rewirl.Callback, "on_reset", "the moments are on_training_start, on_step"),
        (_Duck, "on_evaluatoin", r"did you mean on_evaluation\?"),
    ],
)
def test_a_method_that_would_never_be_called_is_refused(base: type, name: str, hint: str) -> None:
    with agent() as learner, pytest.raises(ValueError, match=hint):
        learner.learn(10, callback=_Misnamed.of(base, name))


def test_without_wandb_its_callback_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ModuleNotFoundError, match="pip install wandb"):
        rewirl.WandbCallback(project="x")


def test_a_program_that_survives_an_exit_out_of_a_callback_learns_on(tmp_path):
    def leave(moment: rewirl.Moment) -> None:
        if moment.step == 201:  # an evaluation has begun beside training
            sys.exit(3)

    one = agent(threads=2)
    with pytest.raises(SystemExit, match="3"):
        one.learn(310, run_dir=tmp_path / "run", callback=SimpleNamespace(on_step=leave), **OFTEN)
    one.learn(50, eval_every=0)
    one.learn(50, eval_every=100)
    assert one.steps == 301 and (tmp_path / "run" / "policy").is_dir()


def test_a_method_given_to_a_callback_itself_is_called():
    watch, seen = rewirl.Callback(), []
    watch.on_step = lambda moment: seen.append(moment.step)  # type: ignore[method-assign]
    agent().learn(5, callback=watch)
    assert seen == [1, 2, 3, 4, 5]
