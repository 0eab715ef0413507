"""Promises of tuning: same seed and one worker, same trials, however often it is cut; bad ones end early."""

from __future__ import annotations

import math
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from waiting import until as wait_until

import rewirl
from rewirl.agents import AGENTS
from rewirl.cli import tune as command
from rewirl.cli.executors import in_words
from rewirl.cli.main import main
from rewirl.experiments.sweep.estimate import speed_key
from rewirl.experiments.sweep.file import read_sweep
from rewirl.experiments.sweep.plan import RunStatus
from rewirl.experiments.tune import study as study_of
from rewirl.experiments.tune import trials as trials_of
from rewirl.experiments.tune.best import corner, preset_of
from rewirl.experiments.tune.error import StudyError, TuneError
from rewirl.experiments.tune.prepare import make_task
from rewirl.experiments.tune.session import Outcome
from rewirl.experiments.tune.session import study as run_study
from rewirl.experiments.tune.space import asked_space, starting_point, usual_space
from rewirl.experiments.tune.study import Study, Task
from rewirl.options.resolve import resolve
from rewirl.presets.preset_file import preset_text
from rewirl.storage.checkpoint import saved_step
from rewirl.storage.run_directory import RunDirectory
from rewirl.topology.rules.set import SET

PROBES = str(Path(__file__).parents[1] / "training")
STEPS = list(range(0, 1001, 100))
REQUEST = {"agent": "ds-td3", "env": "Pendulum-v1", "total_timesteps": 1000, "eval_every": 100, "learning_starts": 150}
SPACE = ["learning-rate=log:1e-5:1e-2", "sparsity=0.5,0.8,0.9"]


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """A test survives no power failure."""

    def unsafe(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, check_same_thread=False)
        try:
            connection.execute("PRAGMA synchronous = OFF")
        except sqlite3.Error:  # it is no database
            connection.close()
            raise
        return connection

    monkeypatch.setattr(study_of, "connect", unsafe)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def task(trials: int = 20, seeds: tuple[int, ...] = (0,), sample: list[str] = SPACE, **more: Any) -> Task:
    return Task(REQUEST, asked_space(sample, REQUEST), trials, seeds, seed=3, **more)


def good_near_1e_3(run: dict[str, Any], step: int) -> float:
    """Rises with the steps, and the further, the nearer the learning rate is to 1e-3; a little by seed."""
    away = abs(math.log10(run["agent"]["learning_rate"]) + 3)
    return step / 100 * (3 - away) + 0.01 * run["train"]["seed"]


class Scripted:
    """An executor that trains nothing: an evaluation of every run at a time, with a return as one likes."""

    def __init__(self, returns: Callable[[dict, int], float] = good_near_1e_3, workers: int = 1, cut: int = -1) -> None:
        self.workers, self.returns = workers, returns
        self.cut = cut
        """After so many messages it fails as a process that is killed."""
        self.runs: dict[str, tuple[dict, list[int]]] = {}
        self.left: list[str] = []
        self.started: list[str] = []
        self.closed = False

    def start(self, name: str, run: dict, measure: bool = False) -> None:
        assert name not in self.runs and len(self.runs) < self.workers
        self.started.append(name)
        every = run["train"]["eval_every"]
        self.runs[name] = (run, list(range(0, run["train"]["total_timesteps"] + 1, every)))

    def wait(self, seconds: float) -> list[tuple[str, dict]]:
        messages: list[tuple[str, dict]] = []
        for name, (run, steps) in list(self.runs.items()):
            if self.cut == 0:
                raise KeyboardInterrupt
            self.cut -= 1
            if name in self.left:
                self.left.remove(name)
                messages.append((name, {"ended": "stopped"}))
                del self.runs[name]
                continue
            step = steps.pop(0)
            value = self.returns(run, step)
            if isinstance(value, dict):
                messages.append((name, value))
                del self.runs[name]
                continue
            messages.append((name, {"step": step, "return": value}))
            if not steps:
                messages.append((name, {"ended": "finished"}))
                del self.runs[name]
        return messages

    def stop(self, name: str | None = None) -> None:
        self.left += list(self.runs) if name is None else [name]

    def close(self) -> None:
        self.closed = True


class Heard:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def changed(self, row: Any, text: str) -> None: ...

    def message(self, text: str) -> None:
        self.lines.append(text)

    def refresh(self, rows: Any) -> None: ...

    def close(self, rows: Any) -> None: ...


def made(directory: Path, what: Task, executor: Scripted, view: Heard | None = None) -> Outcome:
    result = run_study(what, directory, executor, view or Heard(), lambda: False)
    assert executor.closed
    return result


def kept(directory: Path) -> list[tuple]:
    """What a study says of its trials."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{directory}/study.db")
    saved = optuna.load_study(study_name="rewirl", storage=storage).trials
    storage.remove_session()
    storage.engine.dispose()
    return [(t.number, t.state.name, t.params, t.intermediate_values, t.value) for t in saved]


def test_the_best_is_found_bad_trials_end_early_and_the_first_is_what_one_has(tmp_path):
    heard = Heard()
    outcome = made(tmp_path, task(26), Scripted(), heard)
    trials = kept(tmp_path)
    assert [trial[0] for trial in trials] == list(range(26))
    states = [trial[1] for trial in trials]
    assert states[:5] == 5 * ["COMPLETE"], "none is pruned before five are complete"
    assert states.count("PRUNED") > 5 and states.count("COMPLETE") + states.count("PRUNED") == 26
    assert outcome.counts == {
        "complete": states.count("COMPLETE"),
        "pruned": states.count("PRUNED"),
        "failed": 0,
        "running": 0,
    }
    for _, state, params, values, value in trials:
        away = abs(math.log10(params["learning_rate"]) + 3)
        assert list(values) == [step for step in STEPS if 150 < step <= max(values)], "the untrained do not count"
        if state == "COMPLETE":
            assert value == pytest.approx(9 * (3 - away)) == pytest.approx(values[1000]), "a mean of 8, 9 and 10"
        else:
            assert max(values) >= 250, "none is pruned in its first quarter"
            assert max(values) < 1000
    assert trials[0][2]["learning_rate"] == 1e-3 and trials[0][2]["sparsity"] == "0.5"
    best = max((trial for trial in trials if trial[4] is not None), key=lambda trial: trial[4])
    assert best[0] == 0 and outcome.best == tmp_path / "best.toml"
    assert any(line.startswith("trial 0, return 27.0: learning-rate 0.001, sparsity 0.5") for line in outcome.lines)
    assert sum("return of a trial: mean over its last 3 evaluations" in line for line in outcome.lines) == 1
    assert sum(" pruned, return " in line and "worse at step" in line for line in heard.lines) == states.count("PRUNED")


def test_without_pruning_every_trial_comes_to_its_end(tmp_path):
    made(tmp_path, task(9, prune=False), Scripted())
    assert {trial[1] for trial in kept(tmp_path)} == {"COMPLETE"}


def test_a_study_cut_anywhere_goes_on_to_the_same_trials(tmp_path):
    made(tmp_path / "whole", task(14), Scripted())
    whole = kept(tmp_path / "whole")
    assert {trial[1] for trial in whole} == {"COMPLETE", "PRUNED"}
    cut = 0
    for size in (1, 7, 38, 11, 13, 41, 3):
        with pytest.raises(KeyboardInterrupt):
            made(tmp_path / "parts", task(14), Scripted(cut=size))
        cut += 1
    made(tmp_path / "parts", task(12), Scripted())
    made(tmp_path / "parts", task(14), Scripted())
    assert kept(tmp_path / "parts") == whole and cut == 7
    assert (tmp_path / "parts" / "best.toml").read_text() == (tmp_path / "whole" / "best.toml").read_text()
    again = Scripted()
    assert made(tmp_path / "parts", task(14), again).counts["complete"] > 0 and again.started == []


def test_another_seed_samples_other_values(tmp_path):
    made(tmp_path / "a", task(4), Scripted())
    made(tmp_path / "b", Task(REQUEST, task().space, 4, (0,), seed=4), Scripted())
    a, b = kept(tmp_path / "a"), kept(tmp_path / "b")
    assert a[0] == b[0] and all(one[2] != other[2] for one, other in zip(a[1:], b[1:], strict=True))


def test_several_seeds_are_one_trial_whose_value_is_their_mean(tmp_path):
    executor = Scripted(workers=3)
    made(tmp_path, task(6, seeds=(5, 6, 7)), executor)
    trials = kept(tmp_path)
    assert len(executor.started) == 18 and trials[0][4] == pytest.approx(27 + 0.06)
    assert [name[-2:] for name in executor.started[:3]] == ["-5", "-6", "-7"]


def test_side_by_side_as_many_trials_run_as_there_are_workers(tmp_path):
    executor = Scripted(workers=4)
    made(tmp_path, task(12), executor)
    assert len(executor.started) == 12 and len(kept(tmp_path)) == 12


def test_what_diverges_counts_as_bad_and_what_fails_does_not_count(tmp_path):
    def returns(run: dict, step: int) -> Any:
        if step == 300 and run["agent"]["learning_rate"] > 3e-3:
            return {"ended": "failed", "reason": "ds-td3 diverged", "diverged": True}
        if step == 300 and run["agent"]["topology"]["sparsity"] == 0.9:
            return {"ended": "failed", "reason": "too sparse\nfor these layers"}
        return good_near_1e_3(run, step)

    heard = Heard()
    made(tmp_path, task(16), Scripted(returns), heard)
    for _, state, params, _, _ in kept(tmp_path):
        if params["learning_rate"] > 3e-3:
            assert state == "PRUNED"
        elif params["sparsity"] == "0.9":
            assert state in ("FAIL", "PRUNED")
    assert any(re.match(r"trial \d+ failed.*\(too sparse\)$", line) for line in heard.lines)


def test_a_study_whose_first_trials_all_fail_is_given_up(tmp_path):
    executor = Scripted(lambda run, step: {"ended": "failed", "reason": "no disk"})
    outcome = made(tmp_path, task(50), executor)
    assert len(executor.started) == 5 and outcome.best is None
    assert outcome.problem == "all 5 trials failed, the last one because no disk"


def test_values_that_were_sampled_before_are_not_trained_again(tmp_path):
    executor = Scripted(workers=2)
    outcome = made(tmp_path, task(9, sample=["sparsity=0.5,0.8"], prune=False), executor)
    assert outcome.counts["complete"] == 9 and len(executor.started) == 2
    assert (tmp_path / "best.toml").read_text().startswith("# Trial 0, the best of 9"), "of equals the first"


def test_what_is_over_already_is_told_before_the_next_trial_is_sampled(tmp_path, monkeypatch):
    running: list[int] = []
    ask = Study.ask
    monkeypatch.setattr(Study, "ask", lambda self: running.append(self.counts()["running"]) or ask(self))
    small = task(7, sample=["sparsity=0.5,0.8"])
    assert made(tmp_path / "whole", small, Scripted()).counts["complete"] == 7
    assert running == 7 * [0], "Optuna does not know what a trial came to that it has not been told of"

    with Study(small, tmp_path / "killed") as study:  # a kill came after the run and before Optuna was told
        study.ask()
    monkeypatch.setattr("rewirl.experiments.sweep.schedule.run_status", lambda run: RunStatus("finished", 1000))
    monkeypatch.setattr(trials_of, "evaluations", lambda path: {step: step / 100 for step in STEPS})
    made(tmp_path / "killed", small, Scripted())
    assert running[7:] == 7 * [0]


def test_a_trial_is_not_ended_early_where_nothing_is_left_to_save(tmp_path):
    def falls_at_last(run: dict[str, Any], step: int) -> float:
        return -1e6 if "-trial-6-" in run["name"] and step == 1000 else step

    made(tmp_path / "last", task(7), Scripted(falls_at_last))
    assert {trial[1] for trial in kept(tmp_path / "last")} == {"COMPLETE"}

    executor = Scripted(lambda run, step: -step * run["agent"]["topology"]["sparsity"])
    made(tmp_path / "again", task(9, sample=["sparsity=0.5,0.8"]), executor)
    trials = kept(tmp_path / "again")
    assert {trial[1] for trial in trials} == {"COMPLETE"}, "its run is whole"
    assert any(trial[2]["sparsity"] == "0.8" for trial in trials[5:]) and len(executor.started) == 2


def test_a_value_says_of_how_many_evaluations_it_is(tmp_path):
    for eval_every, said in ((400, "last 2 evaluations"), (1000, "last evaluation")):
        few = Task({**REQUEST, "eval_every": eval_every}, task().space, 2, (0,), seed=3)
        outcome = made(tmp_path / said, few, Scripted())
        assert f"mean return of the {said}, seed 0" in (tmp_path / said / "best.toml").read_text()
        assert any(f"mean over its {said}, of the trained agent" in line for line in outcome.lines)


def test_a_run_that_was_left_is_begun_again_when_it_is_sampled_again(tmp_path, monkeypatch):
    """The first five are complete; whatever is 0.9 sparse is pruned, again and again, and nothing waits for ever."""
    returns = {0.5: 2.0, 0.8: 1.9, 0.9: 0.0, 0.7: 1.5}
    executor = Scripted(lambda run, step: step * returns[run["agent"]["topology"]["sparsity"]], workers=2)
    outcome = made(tmp_path, task(16, sample=["sparsity=0.5,0.7,0.8,0.9"]), executor)
    assert sum(outcome.counts.values()) == 16 and outcome.counts["running"] == outcome.counts["failed"] == 0
    assert outcome.counts["pruned"] > 0


def test_only_what_a_trial_made_and_nobody_holds_is_tidied_away(tmp_path):
    def kept(name, held):
        run = RunDirectory.create(tmp_path / name, {}, instruction_set="portable")
        (run.path / "checkpoints").mkdir()
        if not held:
            run.close()
        trials_of._remove(SimpleNamespace(path=run.path), "checkpoints")
        run.close()
        return (run.path / "checkpoints").is_dir()

    assert not kept("Pendulum-v1-ds-td3-trial-3-1f2e3d4c-0", held=False)
    assert kept("Pendulum-v1-ds-td3-trial-4-1f2e3d4d-0", held=True)
    assert kept("Pendulum-v1-ds-td3-1f2e3d4e-0", held=False)  # of a sweep into the same directory


@pytest.fixture
def whole(tmp_path):
    made(tmp_path / "whole", task(3), Scripted())
    return tmp_path / "whole"


def test_a_directory_with_another_study_is_refused_with_what_differs(whole):
    for other, named in (
        (Task({**REQUEST, "gamma": 0.9}, task().space, 3, (0,), 3), r"agent\.gamma: 0\.99 there, 0\.9 here"),
        (task(3, seeds=(1,)), r"seeds: \[0\] there, \[1\] here"),
        (task(3, sample=["sparsity=0.5,0.8"]), r"sample\.learning_rate: .* there, absent here"),
        (task(3, prune=False), "prune: true there, false here"),
    ):
        with pytest.raises(TuneError, match=named):
            made(whole, other, Scripted())
    more = Task({**REQUEST, "threads": 2, "checkpoint_every": 7}, task().space, 4, (0,), 3)
    assert made(whole, more, Scripted()).counts["complete"] == 4


def test_a_study_in_use_damaged_or_no_study_is_refused_in_words(whole, tmp_path):
    with Study(task(3), whole), pytest.raises(TuneError, match=f"in use by process {os.getpid()}"):
        made(whole, task(3), Scripted())
    (whole / "study.db").write_bytes(b"no database at all, but long enough to be read as one" * 100)
    with pytest.raises(TuneError, match=r"study\.db is no study that can be used: .*not a database"):
        made(whole, task(3), Scripted())
    (tmp_path / "file").touch()
    with pytest.raises(TuneError, match="cannot be used: File exists"):
        made(tmp_path / "file", task(3), Scripted())


def test_a_study_that_can_no_longer_be_written_is_an_error_in_words(whole):
    class Full(Scripted):
        def wait(self, seconds: float) -> list[tuple[str, dict]]:
            if (whole / "study.db").is_file():
                (whole / "study.db").unlink()
                (whole / "study.db").mkdir()
            return super().wait(seconds)

    with pytest.raises(StudyError, match="cannot be read or written any more"):
        made(whole, task(9), Full())


def test_optunas_own_messages_stay_away_and_are_back_afterwards(tmp_path, capsys):
    before = optuna.logging.get_verbosity()
    made(tmp_path, task(2), Scripted())
    assert optuna.logging.get_verbosity() == before and capsys.readouterr() == ("", "")


# --- What is sampled ---------------------------------------------------------


def test_the_usual_space_is_what_help_calls_typical_stretched_to_what_one_has():
    request = {"preset": "small/swimmer"}
    space = usual_space(request)
    assert list(space) == [
        *("learning_rate", "batch_size", "gamma", "tau", "exploration_noise"),
        *("sparsity", "structure", "adapt_every", "adapt_fraction"),
    ]
    assert (space["gamma"].low, space["gamma"].high, space["gamma"].log) == (0.98, 0.9999, False)
    assert (space["learning_rate"].low, space["learning_rate"].high, space["learning_rate"].log) == (3e-4, 1e-3, True)
    assert space["structure"].choices == ("unstructured", "4x1", "8x1")
    assert starting_point(space, resolve(request)).keys() == space.keys()


@pytest.mark.parametrize(
    "request_, without",
    [
        ({"agent": "td3"}, {"sparsity", "structure", "adapt_every", "adapt_fraction"}),
        ({"agent": "static-sac"}, {"adapt_every", "adapt_fraction", "exploration_noise"}),
        ({"agent": "ds-crossq"}, {"tau"}),
        ({"agent": "ds-dqn", "env": "CartPole-v1"}, {"tau", "exploration_noise"}),
        ({"preset": "ds-drl/ds-sac/HalfCheetah-v5"}, {"tau"}),
        ({"preset": "rnm/2-of-4-td3/HalfCheetah-v5"}, {"sparsity", "structure"}),
        ({"preset": "snip/td3/HalfCheetah-v5"}, {"adapt_every", "adapt_fraction"}),
        ({"agent": "ds-td3", "gamma": 0.9, "layer_sparsities": [0.5, 0, 0]}, {"gamma", "sparsity"}),
    ],
)
def test_the_usual_space_leaves_out_what_an_agent_has_no_use_for_and_what_is_said(request_, without):
    space = usual_space({"env": "HalfCheetah-v5", **request_} if "agent" in request_ else request_)
    assert space and not without & set(space)


@pytest.mark.parametrize("agent", AGENTS)
def test_every_agent_has_a_space_with_what_it_can_use_most(agent):
    entry = AGENTS[agent]
    env = "Pendulum-v1" if "Box" in entry.actions else "CartPole-v1"
    space = usual_space({"agent": agent, "env": env})
    most = {"learning_rate", "gamma"} | ({"batch_size"} if entry.replay else set())
    most |= {"clip_range", "gae_lambda", "entropy_coefficient"} if agent.endswith("ppo") else set()
    most |= {"return_lambda", "epsilon_end"} if agent.endswith("pqn") else set()
    streams = "stream-" in agent  # which have no batches, in which blocks pay
    most |= set() if entry.dense else {"sparsity"} if streams else {"sparsity", "structure"}
    most |= {"adapt_every", "adapt_fraction"} if agent.startswith("ds-") else set()
    most |= {"target_update_interval", "epsilon_end"} if agent.endswith("dqn") else set()
    most |= {"epsilon_end"} if agent.endswith(("stream-q", "stream-sarsa")) else set()
    most |= {"tau"} if entry.targets and not agent.endswith("dqn") else set()
    assert space.keys() - {"exploration_noise"} == most
    assert ("exploration_noise" in space) == agent.endswith("td3")


def test_a_short_run_rewires_at_least_twice():
    assert usual_space({**REQUEST, "adapt_every": 100}).keys().isdisjoint({"adapt_every"})
    short = usual_space({**REQUEST, "total_timesteps": 3150})["adapt_every"]
    assert (short.low, short.high) == (500, 1500)


class Sized(SET):
    def __init__(self, config, a=(), b=0):
        super().__init__(config)


SIZED = f"{__name__}:Sized"


@pytest.mark.parametrize(
    "words, values",
    [
        ("batch-size=log:32:512", {"low": 32, "high": 512, "log": True}),
        ("batch_size=32:64", {"low": 32, "high": 64, "log": False}),
        ("gamma", {"low": 0.98, "high": 0.995, "log": False}),
        ("hidden-sizes=64 64, 256 256", {"choices": ["64 64", "256 256"]}),
        ("structure=unstructured,2:4", {"choices": ["unstructured", "2:4"]}),
        ("grow", {"choices": ["paper", "random", "gradient"]}),
        (
            f"rule={SIZED}(a='x)y,('),{SIZED}(a=\"it's, (\")",
            {"choices": [f"{SIZED}(a='x)y,(')", f'{SIZED}(a="it\'s, (")']},
        ),
        (f"rule=set,{SIZED}(a=(1, 2), b=3), {SIZED}()", {"choices": ["set", f"{SIZED}(a=(1, 2), b=3)", f"{SIZED}()"]}),
        ("adapt-actor", {"choices": ["True", "False"]}),
    ],
)
def test_what_to_sample_is_said_in_a_few_words(words, values):
    ((dimension),) = asked_space([words], REQUEST).values()
    assert dimension.values() == values
    assert all(resolve({**REQUEST, dimension.option.name: value}) for value in dimension.corners())


@pytest.mark.parametrize(
    "words, message",
    [
        ("learning-rat=1:2", "did you mean learning_rate"),
        ("total-timesteps=100,200", "is the same for all runs of a study"),
        ("sparsity=0.5", "one value is --sparsity VALUE"),
        ("learning-rate=1e-3:1e-4", "the lower end of an interval comes first"),
        ("learning-rate=log:0:1", "begins above 0"),
        ("noise-clip=0:inf", "an interval has two finite ends, got 0:inf"),
        ("rule=set,nosuch", "no rule 'nosuch'; there are static, set"),
        ("learning-rate=a:b", "learning_rate must be a number"),
        ("gamma=0.9:2", "gamma must be between 0 and 1, got 2.0"),
        ("gamma=0.9:0.95:0.99", "LOW:HIGH"),
        ("structure=unstructured,9x9", "structure must be"),
        ("batch-size=1.5,2", "a whole number"),
        ("adapt-offset", "no typical interval here; give one, adapt-offset=LOW:HIGH, or values, adapt-offset=A,B"),
        ("lambdas", "no values to choose from here; give at least two, lambdas='A A,B B'"),
        ("lambdas=1:5", "lambdas=1:5: give at least two values, 'A A,B B'; one value is --lambdas VALUE"),
        ("rule", "give at least two, rule=A,B"),
        ("rule=0:1", "rule=0:1: give at least two values, A,B; one value"),
        ("gamma=0.9", "give an interval, LOW:HIGH or log:LOW:HIGH, or at least two values, A,B; one value is"),
        ("sparsity=None,0.5", "a preset file could not hold it"),
        ("eval-every=1:2", "same for all runs"),
        ("total_timesteps", "same for all runs"),
        ("learning-starts=1:2", "has a value of its own too"),
    ],
)
def test_what_cannot_be_sampled_is_refused_in_words(words, message):
    with pytest.raises(TuneError, match=message):
        asked_space([words], REQUEST)
    with pytest.raises(TuneError, match="twice"):
        asked_space(["gamma", "gamma=0.9:0.95"], REQUEST)


def test_the_values_of_a_list_are_sampled_as_the_remedy_says():
    assert asked_space(["lambdas=3 4,7 64"], REQUEST)["lambdas"].corners() == [(3.0, 4.0), (7.0, 64.0)]


def test_values_that_only_go_together_may_be_sampled_together():
    space = asked_space(["rule=set,prune", "initial-sparsity=0,0.2"], REQUEST)
    assert list(space) == ["rule", "initial_sparsity"]


@pytest.mark.parametrize("agent", ["ds-td3", "ds-sac", "xqc", "static-simba", "ds-crossq"])
def test_a_preset_is_the_settings_of_its_trial(tmp_path, agent):
    request = {"agent": agent, "env": "HalfCheetah-v5", "total_timesteps": 30_000, "env_kwargs": {"a b": [1, 0.5]}}
    what = Task(request, usual_space(request), 1, (0,), 0)
    params = corner(what)
    path = tmp_path / "one.toml"
    path.write_text(preset_text(preset_of(what, params), "two\nlines"))
    values = {name: what.space[name].value(value) for name, value in params.items()}
    assert resolve({"preset": str(path)}) == resolve({**request, **values})
    content = tomllib.loads(path.read_text())
    assert set(values) <= set(content) and "seed" not in content and "threads" not in content


def test_a_setting_that_no_file_can_hold_is_refused_before_anything_begins():
    request = {"preset": "snip/td3/HalfCheetah-v5", "env_kwargs": {"a": None}}
    with pytest.raises(ValueError, match="env_kwargs"):
        corner(Task(request, asked_space(["gamma"], request), 1, (0,), 0))


@pytest.mark.parametrize("starts", [150, 100])
def test_a_value_is_the_mean_of_the_last_evaluations_of_all_seeds(starts):
    """Of an agent that has learnt: after 100 random steps there is no update yet."""
    run = SimpleNamespace(agent_config=resolve({**REQUEST, "learning_starts": starts}).agent)
    rows: list[Any] = [
        SimpleNamespace(evaluations=values, run=run)
        for values in (
            {0: 9.0, 100: 9.0, 200: 1.0, 300: 2.0, 400: 3.0, 500: 4.0, 600: 5.0},
            {0: 0.0, 100: 9.0, 200: 3.0, 300: 4.0, 400: 5.0, 600: 7.0},
        )
    ]
    assert trials_of.Trial(None, rows).values() == {200: 2.0, 300: 2.5, 400: 3.0, 600: 13 / 3}


# --- The command -------------------------------------------------------------

SMALL = [
    *("--env", "rewirl-tests/Drift-v0", "--env-module", "probe_environments", "--hidden-sizes", "24", "16"),
    *("--batch-size", "20", "--learning-starts", "60", "--buffer-size", "300", "--total-timesteps", "600"),
    *("--eval-every", "200", "--eval-episodes", "2", "--checkpoint-every", "200"),
]
SAMPLED = ["--sample", "learning-rate=log:1e-4:1e-2", "sparsity=0.3,0.5", "--sample", "structure=unstructured,4x1"]


def ended(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


def begin(directory: Path) -> subprocess.Popen[str]:
    reset = "import signal; [signal.signal(each, signal.SIG_DFL) for each in (signal.SIGINT, signal.SIGTERM)]; "
    return subprocess.Popen(
        [
            *(sys.executable, "-c", f"{reset}import sys; from rewirl.cli.main import main; main(sys.argv[1:])"),
            *("tune", *SMALL, *SAMPLED, "--trials", "2", "--workers", "1", "--directory", str(directory)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([PROBES, os.environ.get("PYTHONPATH", "")])},
    )


def test_a_study_stopped_in_the_middle_of_a_run_goes_on_to_the_bit_and_its_best_trains(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(PROBES)
    whole = ["tune", *SMALL, *SAMPLED, "--trials", "2", "--workers", "1", "--directory", tmp_path / "whole"]
    assert ended(*whole) == 0
    out = capsys.readouterr().out
    assert "2 of 2 trials: 2 complete" in out and "best is a preset" in out
    stopped = begin(tmp_path / "parts")
    wait_until(lambda: any((saved_step(run) or 0) >= 200 for run in (tmp_path / "parts").glob("*trial-*")), stopped)
    stopped.send_signal(signal.SIGINT)
    said, _ = stopped.communicate(timeout=60)
    assert stopped.returncode == 130 and "stopped; the same command goes on" in said and "Traceback" not in said, said
    assert "1 running" in said
    assert ended(*whole[:-1], tmp_path / "parts") == 0
    assert "continued at step" in capsys.readouterr().out
    assert kept(tmp_path / "parts") == kept(tmp_path / "whole")
    best = tmp_path / "parts" / "best.toml"
    assert best.read_bytes() == (tmp_path / "whole" / "best.toml").read_bytes()
    assert list((tmp_path / "parts").rglob("checkpoints")) == [], "each holds a replay memory"
    assert len(list((tmp_path / "parts").glob("*/policy"))) == 2
    assert ended("train", "--preset", best, "--total-timesteps", 100, "--run-dir", tmp_path / "run") == 0
    trained = resolve({"preset": str(best), "total_timesteps": 100})
    assert f"{trained.agent.learning_rate}" in (tmp_path / "run" / "config.json").read_text()
    assert ended("presets", best) == 0 and "Drift-v0" in capsys.readouterr().out
    assert ended(*whole, "--dry-run") == 0  # of what is there already
    assert (
        "2 trials of 600 steps" in (said := capsys.readouterr().out) and "2 of them over already: none is left" in said
    )
    assert ended(*whole, "--gamma", 0.5, "--dry-run") == 2
    assert "holds a study of something else" in capsys.readouterr().err


def test_what_is_left_when_the_hours_are_over_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(PROBES)
    words = ("tune", *SMALL, "--sample", "gamma", "--trials", 2, "--workers", 1, "--directory", tmp_path / "study")
    assert ended(*words, "--hours", "1e-9") == 0
    said = capsys.readouterr().out
    assert "0 of 2 trials: none begun" in said and "left for lack of time; the same command goes on" in said


def test_a_dry_run_says_what_is_sampled_and_how_long_it_takes_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(PROBES)
    monkeypatch.chdir(tmp_path)
    assert ended("tune", *SMALL, "--sample", "gamma", "--trials", 7, "--seeds", 0, 1, "--workers", 1, "--dry-run") == 0
    out = capsys.readouterr().out
    assert "gamma  0.98 to 0.995\n" in out and "will not be rewired" in out  # as every trial will say
    assert re.search(r"7 trials of 600 steps of ds-td3 on \S+Drift-v0 with each of 2 seeds: about \d+ seconds?", out)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_measures_the_settings_as_they_are_and_every_worker_makes_whole_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(PROBES)
    monkeypatch.chdir(tmp_path)
    measured: list[Any] = []

    def rates(runs: list[Any], executor: Any) -> tuple[dict[bytes, dict[str, float]], dict[bytes, str]]:
        measured.extend(runs)
        return {speed_key(runs[0]): {"warm_up": 1.0, "learning": 1.0, "evaluation": 0.0, "episode": 0.0}}, {}

    monkeypatch.setattr(command, "measured", rates)
    words = ["--sample", "gamma", "--trials", 7, "--seeds", 0, "--seeds", 1, "--workers", 4, "--dry-run"]
    assert ended("tune", *SMALL, *words) == 0
    # 14 runs of 600 seconds: four workers make two, three or four each
    time = "with each of 2 seeds: about 40.0 minutes with 4 at a time"
    assert f"{time}, and less as bad ones end early\n" in capsys.readouterr().out
    assert len(measured) == 14 and measured[0].agent_config.gamma == 0.99
    assert ended("tune", *SMALL, *words, "--no-prune") == 0
    assert f"{time}\n" in capsys.readouterr().out


def test_a_dry_run_measures_a_trial_where_the_settings_as_they_are_are_impossible(tmp_path, capsys, monkeypatch):
    """The paper's lambdas are for two hidden layers."""
    monkeypatch.chdir(tmp_path)
    words = ["--agent", "ds-td3", "--env", "HalfCheetah-v5", "--hidden-sizes", 8, 8, 8, "--total-timesteps", 2_000]
    assert ended("tune", *words, "--sample", "sparsity=0.5,0.8", "--trials", 2, "--workers", 1, "--dry-run") == 0
    assert "2 trials of 2,000 steps of ds-td3 on HalfCheetah-v5" in capsys.readouterr().out


def test_times_are_told_in_words():
    told = [in_words(seconds) for seconds in (0.2, 1.6, 59, 60, 3_000, 3_600, 9_000)]
    assert told == ["1 second", "2 seconds", "59 seconds", "1.0 minutes", "50.0 minutes", "1.0 hours", "2.5 hours"]


def test_help_says_that_a_run_has_one_thread(capsys):
    assert ended("tune", *SMALL, "--help") == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert re.search(r"--threads INT [^-]*\(default: 1\)", text)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--trials", "0"], "--trials must be at least 1"),
        (["--eval-every", "0"], "tuning compares evaluations"),
        (["--workers", "0"], "--workers must be at least 1"),
        (["--hours", "0"], "--hours must be positive"),
        (["--sample", "gamma=1:2"], "gamma must be between 0 and 1"),
        (["--agent", "td3", "--sample", "sparsity=0.5,0.9", "--lambdas", "7", "64"], "sparsity and lambdas both"),
        (["--env", "CartPole-v1"], "CartPole-v1 has the action space Discrete"),
        (["--total-timesteps", "900"], "nothing would be learnt"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_anything_is_written(tmp_path, capsys, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    assert ended("tune", "--env", "Pendulum-v1", "--total-timesteps", "2000", *options) == 2
    assert message in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_without_optuna_its_extra_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert ended("tune", "--env", "Pendulum-v1", "--total-timesteps", "2000") == 2
    assert "pip install 'rewirl[tune]'" in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_python_tunes_too_and_makes_the_best_agent(tmp_path, monkeypatch):
    monkeypatch.setattr("rewirl.api.ProcessPool", lambda workers: Scripted(workers=workers))
    options = {name: value for name, value in REQUEST.items() if name not in ("agent", "env")}
    what = {"env": "Pendulum-v1", "sample": SPACE, "trials": 3, "seed": 3, "seeds": (0,), "workers": 1}
    best = rewirl.tune(**what, directory=tmp_path / "python", **options)
    made(tmp_path / "other", task(3), Scripted())
    assert kept(tmp_path / "python") == kept(tmp_path / "other")
    with rewirl.from_preset(best) as agent:
        assert agent.config["learning_rate"] == 1e-3 and agent.name == "ds-td3"
    with pytest.raises(ValueError, match="learning_rat"):
        rewirl.tune("Pendulum-v1", learning_rat=1.0)
    for name, value in {"workers": 0, "trials": -1, "sample": "gamma", "seeds": 3, "prune": "no"}.items():
        with pytest.raises(ValueError, match=f"{name} must be "):
            rewirl.tune(**{**what, name: value}, directory=tmp_path / "none", **options)
    assert not (tmp_path / "none").exists()
    monkeypatch.setattr(
        "rewirl.api.ProcessPool", lambda workers: Scripted(lambda *_: {"ended": "failed", "reason": "x"})
    )
    with pytest.raises(RuntimeError, match="all 5 trials failed, the last one because x"):
        rewirl.tune(**{**what, "trials": 9}, directory=tmp_path / "bad", **options)


def test_what_the_page_shows_works(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "guides" / "tune.md").read_text()
    (code,), (sweep, preset) = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL) for kind in ("python", "toml"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rewirl.api.ProcessPool", lambda workers: Scripted(workers=1))
    assert "trials=24" in code and "agent.learn(run_dir" in code
    names: dict[str, Any] = {}
    exec(code.replace("trials=24", "trials=3").replace("agent.learn(run_dir", "agent.learn(60, run_dir"), names)
    assert names["best"] == Path("tune/Pendulum-v1-ds-td3/best.toml") and names["agent"].steps == 60
    assert (tmp_path / "runs" / "tuned" / "policy").is_dir()
    names["agent"].close()
    (tmp_path / "sweep.toml").write_text(sweep)
    assert {request.label for request in read_sweep("sweep.toml").requests} == {"small", "best"}
    (tmp_path / "mine.toml").write_text(preset)
    settings = resolve({"preset": "mine.toml", "sparsity": 0.9})
    assert settings.agent.topology.structure == "4x1" and settings.agent.topology.sparsity == 0.9
    words = re.search(r"^rewirl tune .*--sample (.*)$", page, re.MULTILINE)[1]
    assert list(asked_space(shlex.split(words), {"env": "HalfCheetah-v5"})) == [
        *("learning_rate", "sparsity", "adapt_fraction")
    ]
    table = re.findall(r"^\| `(.+?)` \| samples|^\| `(\S.*?)` \|", page, re.MULTILINE)
    for words in filter(None, (b for _, b in table)):
        assert asked_space(shlex.split(words), {"env": "HalfCheetah-v5"}), words


def test_the_policy_of_the_warm_up_is_found_again_from_another_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given, kept in (("here", str(tmp_path / "here")), ("Pendulum-v1/small", "Pendulum-v1/small")):
        made = make_task({**REQUEST, "warm_up_policy": given}, SPACE)
        assert made.request["warm_up_policy"] == kept
