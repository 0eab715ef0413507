"""Promises of the training loop, with a stand-in agent whose every number depends on everything before it."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import probe_environments as probes
import pytest
from stand_in import StandInAgent, StandInReplay

from rewirl import seeding
from rewirl.agents.normalisation import Normalisation
from rewirl.environments.environment import Environment, FaultyEnvironmentError
from rewirl.options.train import TrainConfig
from rewirl.training import episode, loop
from rewirl.training.divergence import DivergedError
from rewirl.training.evaluation import Evaluator, SerialEvaluations
from rewirl.training.loop import Training


class Memory:
    """Records in memory what the loop would write."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.checkpoints: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
        self.works = True

    def event(self, event: str, step: int, **fields: Any) -> None:
        fields.pop("seconds", None)
        fields.pop("core_share", None)
        self.events.append({"event": event, "step": step, **fields})

    def checkpoint(self, step: int, state: Any, policy: Any) -> bool:
        arrays, values = state()
        self.checkpoints[step] = ({name: array.copy() for name, array in arrays.items()}, values)
        return self.works

    def close(self) -> None:
        pass

    def named(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.events if line["event"] == event]


class Late:
    """Evaluates as a process of its own would, with a result that is there after so many questions."""

    def __init__(self, evaluator: Evaluator, questions: float) -> None:
        self.evaluator, self.questions = evaluator, questions
        self.begun: Any = None
        self.collected: list[str] = []

    def begin(self, agent: StandInAgent, when: str, step: int = 0, state: Any = None) -> None:
        assert self.begun is None, "two evaluations at a time"
        self.begun, self.asked = (copy.deepcopy(agent).predict, when, step), 0

    def ready(self) -> bool:
        self.asked += 1
        return self.asked > self.questions

    def collect(self, stop: Any = lambda: False) -> Any:
        (predict, when, step), self.begun = self.begun, None
        self.collected.append(when)
        return None if stop() else self.evaluator.evaluate(predict, when, step=step)

    def close(self) -> None: ...


class Quiet:
    def __init__(self) -> None:
        self.messages: list[str] = []

    def begin(self, step: int, total: int, learning_starts: int = 0, warm_up: str = "") -> None: ...

    def step(self, step: int) -> None: ...

    def episode(self, total_reward: float) -> None: ...

    def evaluated(self, step: int, evaluation: Any, density: float) -> None:
        self.density = density

    def message(self, text: str) -> None:
        self.messages.append(text)

    def end(self) -> None: ...


def training(make=probes.Drift, learning_starts=20, capacity=1000, agent=None, **settings: Any) -> Training:
    config = TrainConfig(env="Drift", **{"eval_every": 25, "eval_episodes": 2, "checkpoint_every": 40, **settings})
    environment = Environment(make(), "Drift")
    evaluator = Evaluator(lambda: Environment(probes.Drift(), "Drift"), config.eval_episodes, config.seed)
    made = Training(
        agent or StandInAgent(environment.observation_size, environment.action_size, config.seed),
        StandInReplay(capacity, environment.observation_size, environment.action_size),
        environment,
        config,
        learning_starts,
        lambda: ({}, {}),
        Quiet(),
    )
    made.evaluations = SerialEvaluations(evaluator)
    made.recorder = Memory()
    return made


def test_an_untrained_agent_is_evaluated_again_once_it_was_changed_or_sees_or_plays_otherwise() -> None:
    run = training(learning_starts=1000, eval_every=25)
    assert isinstance(run.evaluations, SerialEvaluations)
    played: list[int] = []
    evaluate = run.evaluations._evaluator.evaluate

    def counted(*arguments: Any) -> Any:
        played.append(run.step)
        return evaluate(*arguments)

    run.evaluations._evaluator.evaluate = counted  # type: ignore[method-assign]
    run.run(50)
    assert played == [0]
    run.changed()
    run.run(100)
    assert played == [0, 75]
    run.config = dataclasses.replace(run.config, eval_episodes=3)
    run.run(125)
    assert played == [0, 75, 125]
    run.config = dataclasses.replace(run.config, eval_episodes=2)
    run.run(150)
    assert played == [0, 75, 125]
    run.agent.normalisation = Normalisation(run.environment.observation_size, True, False, 0.99)  # moves while it acts
    run.run(200)
    assert played == [0, 75, 125, 175, 200]


def late(questions: float, **settings: Any) -> Training:
    made = training(**settings)
    assert isinstance(made.evaluations, SerialEvaluations)
    made.evaluations = Late(made.evaluations._evaluator, questions)
    return made


def same_state(one: Training, other: Training) -> None:
    (arrays, values), (other_arrays, other_values) = one.state(), other.state()
    assert arrays.keys() == other_arrays.keys()
    for name in arrays:
        assert arrays[name].dtype == other_arrays[name].dtype, name
        assert arrays[name].tobytes() == other_arrays[name].tobytes(), name
    assert {**values, "seconds": 0} == {**other_values, "seconds": 0}


def test_the_first_steps_are_random_and_the_agent_learns_once_per_step_afterwards():
    run = training(learning_starts=20)
    run.run(50)
    assert run.agent.updates == 30
    rng = seeding.generator(0, "warm-up")
    expected = np.stack([rng.uniform(-1, 1, 2).astype(np.float32) for _ in range(20)])
    np.testing.assert_array_equal(run.replay.rows[:20, 3:5], expected)
    assert not np.array_equal(run.replay.rows[20, 3:5], rng.uniform(-1, 1, 2).astype(np.float32))


def test_updates_of_every_few_steps_are_counted_from_the_end_of_the_warm_up():
    run = training(learning_starts=20)
    run.learning._updates_at = lambda step: 2 if step % 3 == 0 else 0
    run.run(30)
    assert run.agent.updates == 2 * len(range(0, 10, 3))


def test_the_environment_gets_the_stored_action_in_its_own_bounds():
    run = training()
    run.run(30)
    stored = run.replay.rows[:30, 3:5].astype(np.float64)
    np.testing.assert_allclose(run.environment.env.actions, stored * [1, 4] + [0, 2], rtol=1e-15)


@pytest.mark.parametrize("ends", [True, False])
def test_only_termination_is_stored_as_the_end(ends):
    run = training(lambda: probes.Drift(10, ends=ends), learning_starts=0)
    run.run(20)
    np.testing.assert_array_equal(np.flatnonzero(run.replay.rows[:20, -1]), [9, 19] if ends else [])


def test_the_last_observation_of_an_episode_is_stored_and_not_the_next_episodes_first():
    run = training(lambda: probes.Drift(10))
    run.run(20)
    rows = run.replay.rows
    for step in range(20):
        follows = np.array_equal(rows[step, 6:9], rows[step + 1, 0:3])
        assert follows == (step not in (9, 19))


def test_each_training_episode_has_a_seed_of_its_own():
    run = training(lambda: probes.Drift(10))
    run.run(30)
    for number in range(3):
        first = np.random.Generator(np.random.PCG64(seeding.episode_seed(0, "train", number))).normal(size=3)
        np.testing.assert_array_equal(run.replay.rows[10 * number, :3], first.astype(np.float32))


def test_events_come_at_their_steps():
    run = training(lambda: probes.Drift(30))
    assert run.run(110).finished
    record = run.recorder
    assert [line["step"] for line in record.named("evaluation")] == [0, 25, 50, 75, 100, 110]
    assert [line["step"] for line in record.named("diagnostics")] == [25, 50, 75, 100, 110]
    assert [(line["step"], line["length"]) for line in record.named("episode")] == [(30, 30), (60, 30), (90, 30)]
    assert sorted(record.checkpoints) == [40, 80, 110]
    assert record.events[0]["event"] == "start" and record.events[-1] == {"event": "end", "step": 110}
    rows = run.replay.rows[:30]
    assert record.named("episode")[0]["return"] == pytest.approx(float(rows[:, 5].astype(np.float64).sum()), rel=1e-6)
    evaluation = record.named("evaluation")[2]
    assert evaluation["updates"] == 30 and evaluation["connections"] == {"actor": 14, "target_actor": 2}
    assert evaluation["return_mean"] == pytest.approx(np.mean(evaluation["returns"]))
    assert run.progress.density == 14 / 20  # 4x3 and 2x4 places; targets do not count


@pytest.mark.parametrize(
    "settings", [{"eval_every": 0}, {"eval_every": 7}, {"eval_episodes": 5}, {"checkpoint_every": 0}]
)
def test_evaluating_and_saving_disturb_nothing(settings):
    one, other = training(), training(**settings)
    one.run(100)
    other.run(100)
    one._evaluated = other._evaluated = None
    same_state(one, other)
    assert one.recorder.named("episode") == other.recorder.named("episode")


@pytest.mark.parametrize("capacity", [1000, 33])
@pytest.mark.parametrize("at", [*range(1, 6), 19, 20, 21, 25, 29, 30, 31, 50, 60, 80, 99])
def test_a_run_resumed_at_any_step_is_the_uninterrupted_run_to_the_bit(at, capacity):
    whole = training(capacity=capacity)
    whole.run(100)
    first = training(capacity=capacity)
    assert not first.run(100, lambda: first.step >= at).finished
    arrays, values = first.recorder.checkpoints[at]
    second = training(capacity=capacity)
    second.load_state(arrays, values)
    assert second.run(100).finished
    same_state(whole, second)
    kept = [line for line in first.recorder.events if line["step"] <= at]
    assert kept + second.recorder.events == whole.recorder.events
    assert second.progress.messages == []


def test_what_was_evaluated_before_a_checkpoint_is_not_evaluated_again():
    whole = training(checkpoint_every=50)
    whole.run(100)
    second = training(checkpoint_every=50)
    second.load_state(*whole.recorder.checkpoints[50])
    second.run(100)
    assert [line["step"] for line in second.recorder.named("evaluation")] == [75, 100]
    same_state(whole, second)


def test_resuming_a_finished_run_further_equals_the_longer_run():
    whole, parts = training(), training(checkpoint_every=0)
    whole.run(100)
    parts.run(50)
    longer = training()
    longer.load_state(*parts.recorder.checkpoints[50])
    longer.run(100)
    same_state(whole, longer)


def test_running_twice_equals_running_once():
    once, twice = training(), training()
    once.run(100)
    twice.run(41)
    twice.run(100)
    once._evaluated = twice._evaluated = None
    same_state(once, twice)


@pytest.mark.parametrize("at", [1, 29, 30, 31, 45, 60, 99])
def test_an_environment_that_changes_with_the_steps_of_the_run_is_resumed_to_the_bit(at):
    whole, first, second = (training(probes.Changing) for _ in range(3))
    whole.run(100)
    begun = np.arange(100) // 30 * 30  # episodes of 30 steps
    assert np.array_equal(whole.replay.rows[:100, 6], begun)
    first.run(100, lambda: first.step >= at)
    second.load_state(*first.recorder.checkpoints[at])
    second.run(100)
    same_state(whole, second)
    assert second.progress.messages == []


@pytest.mark.parametrize("make", [training, lambda: late(5)])
def test_evaluations_are_in_what_the_environment_is_by_then(make):
    run = make()
    made = []
    run.evaluations.evaluator = run.evaluations._evaluator = Evaluator(
        lambda: made.append(probes.Changing()) or Environment(made[-1], "Changing"), 1, 0
    )
    seen = []
    run.progress.evaluated = lambda step, found, density: seen.append((step, made[0].rewirl_steps))
    run.run(60)
    assert seen == [(0, 0), (25, 25), (50, 50), (60, 60)]


def test_an_environment_that_ignores_its_seed_is_reported_and_a_new_episode_begins():
    first = training(probes.Restless)
    first.run(50, lambda: first.step >= 45)
    second = training(probes.Restless)
    second.load_state(*first.recorder.checkpoints[45])
    assert len(second.progress.messages) == 1
    assert "not deterministic" in second.progress.messages[0] and "step 45" in second.progress.messages[0]
    assert second.run(100).finished
    # Episode 1 was cut off at step 45, so episode 2 goes from 45 to 75.
    assert [(line["episode"], line["step"]) for line in second.recorder.named("episode")] == [(2, 75)]


def test_an_episode_too_long_to_record_is_left_with_a_warning(monkeypatch):
    monkeypatch.setattr(episode, "LONGEST_RECORD", 10)
    first = training(lambda: probes.Drift(25))
    first.run(100, lambda: first.step >= 40)
    assert "episode/actions" not in first.recorder.checkpoints[40][0]
    second = training(lambda: probes.Drift(25))
    second.load_state(*first.recorder.checkpoints[40])
    assert "longer than 10 steps" in second.progress.messages[0]
    # The next episode is recorded again.
    third = training(lambda: probes.Drift(25))
    second.run(100, lambda: second.step >= 45)
    third.load_state(*second.recorder.checkpoints[45])
    assert third.progress.messages == []


def test_a_stop_during_evaluation_leaves_it_to_the_resumed_run():
    whole = training()
    whole.run(60)
    first = training()
    asked = []

    def stop() -> bool:
        asked.append(first.step)
        return asked.count(25) > 4  # somewhere inside the evaluation at step 25

    first.run(60, stop)
    assert [line["step"] for line in first.recorder.named("evaluation")] == [0]
    second = training()
    second.load_state(*first.recorder.checkpoints[25])
    second.run(60)
    assert first.recorder.named("evaluation") + second.recorder.named("evaluation") == whole.recorder.named(
        "evaluation"
    )
    same_state(whole, second)


@pytest.mark.parametrize("questions", [0, 1, 4])  # before the last evaluation, and inside it
def test_a_run_stopped_before_its_last_evaluation_is_done_has_not_ended(questions):
    whole, first, second = training(), training(), training()
    whole.run(60)
    asked = []

    def stop() -> bool:
        asked.append(first.step)
        return asked.count(60) > questions

    assert not first.run(60, stop).finished
    second.load_state(*first.recorder.checkpoints[60])
    assert second.run(60).finished
    for event in ("evaluation", "episode", "end"):
        assert first.recorder.named(event) + second.recorder.named(event) == whole.recorder.named(event)
    same_state(whole, second)


def test_a_run_stopped_before_its_first_step_starts_once():
    first, second = training(), training()
    first.run(60, lambda: True)
    second.load_state(*first.recorder.checkpoints[0])
    second.run(60)
    assert len(first.recorder.named("start") + second.recorder.named("start")) == 1


def test_a_run_that_is_to_go_on_longer_says_so():
    one = training()
    one.run(60)
    one.run(60)
    one.run(80)
    assert one.recorder.named("start")[0]["total_timesteps"] == 60
    assert one.recorder.named("total") == [{"event": "total", "step": 60, "total_timesteps": 80}]


@pytest.mark.parametrize("questions", [0, 1, 3, 7, 24, 25, math.inf])
@pytest.mark.parametrize("settings", [{}, {"checkpoint_every": 50}, {"eval_every": 7, "checkpoint_every": 0}])
def test_an_evaluation_that_comes_late_leaves_the_record_and_the_state_as_they_are(questions, settings):
    serial, beside = (
        training(lambda: probes.Drift(6), **settings),
        late(questions, make=lambda: probes.Drift(6), **settings),
    )
    outcomes = serial.run(110), beside.run(110)
    same_state(serial, beside)
    assert beside.recorder.events == serial.recorder.events
    assert outcomes[0].evaluation.returns == outcomes[1].evaluation.returns
    assert beside.recorder.checkpoints.keys() == serial.recorder.checkpoints.keys()
    for step, (arrays, values) in serial.recorder.checkpoints.items():
        other_arrays, other_values = beside.recorder.checkpoints[step]
        assert {**values, "seconds": 0} == {**other_values, "seconds": 0}
        assert all(np.array_equal(array, other_arrays[name]) for name, array in arrays.items())


@pytest.mark.parametrize("questions", [0, 7, math.inf])
def test_the_topology_of_an_evaluation_is_that_of_its_own_step_beside_the_first(questions):
    run = late(questions, learning_starts=20)
    run.run(60)
    for number, line in enumerate(run.recorder.events):
        if line["event"] == "evaluation":
            beside = run.recorder.events[number + 1]
            assert (beside["event"], beside["step"]) == ("topology", line["step"])
            place = 5 + line["updates"] % 7
            inputs = np.bincount(np.array([*range(5), place]) % 3)
            assert beside["networks"] == {
                "actor": {
                    "shapes": [[4, 3], [2, 4]],
                    "connections": [6, 8],
                    "initial_alive": [5 / 6 if place != 5 else 1.0, None],
                    "input_connections": inputs.tolist(),
                }
            }
    assert len(run.recorder.named("topology")) == len(run.recorder.named("evaluation")) == 4


def test_training_goes_on_while_an_evaluation_is_in_flight():
    run = late(10, checkpoint_every=0)
    steps = []
    run.progress.evaluated = lambda step, found, density: steps.append((step, run.step))
    run.run(60)
    assert steps == [(0, 10), (25, 35), (50, 60), (60, 60)]


def test_the_agent_leaves_an_evaluation_in_flight_a_core():
    run = late(10, checkpoint_every=0, threads=2)
    used = {}
    update = run.agent.update
    run.agent.update = lambda replay: (used.setdefault(run.step, run.agent.threads), update(replay))
    run.run(60)
    begun = [step for step in used if used[step] == 1]
    assert begun == [step for step in used if step < 10 or 25 <= step < 35 or 50 <= step < 60]
    assert {2} == {used[step] for step in used if step not in begun}


def test_its_time_is_that_of_its_own_step(monkeypatch):
    run = late(10, checkpoint_every=0)
    found, times = [], []
    monkeypatch.setattr(loop.time, "perf_counter", lambda: 1000.0 + run.step)
    evaluate = run.evaluations.evaluator.evaluate
    run.evaluations.evaluator.evaluate = lambda *a, **k: dataclasses.replace(evaluate(*a, **k), seconds=7.0)
    run.progress.evaluated = lambda step, evaluation, density: found.append(evaluation.seconds)
    run.recorder.event = lambda event, step, **fields: (
        times.append(fields["seconds"]) if event == "evaluation" else None
    )
    run.run(40)
    assert [time - seconds for time, seconds in zip(times, found, strict=True)] == pytest.approx([0, 25, 40])


def test_an_evaluation_that_is_not_played_again_takes_no_time(monkeypatch):
    run = training(learning_starts=1000, checkpoint_every=0)
    times = []
    monkeypatch.setattr(loop.time, "perf_counter", lambda: 1000.0 + run.step)
    evaluate = run.evaluations._evaluator.evaluate
    run.evaluations._evaluator.evaluate = lambda *a: dataclasses.replace(evaluate(*a), seconds=7.0)
    run.recorder.event = lambda event, step, **fields: (
        times.append(fields["seconds"]) if event == "evaluation" else None
    )
    run.run(60)
    assert times == [7, 25, 50, 60]


@pytest.mark.parametrize("at", [26, 30, 39, 41, 55])
@pytest.mark.parametrize("questions", [3, math.inf])
def test_a_run_stopped_with_an_evaluation_in_flight_waits_for_it_and_resumes_to_the_bit(at, questions):
    whole = training()
    whole.run(100)
    first = late(questions)
    assert not first.run(100, lambda: first.step >= at).finished
    second = late(questions)
    second.load_state(*first.recorder.checkpoints[at])
    assert second.run(100).finished
    same_state(whole, second)
    assert first.recorder.events + second.recorder.events == whole.recorder.events


def test_a_stop_at_the_step_of_the_evaluation_leaves_it_to_the_resumed_run():
    whole, first, second = training(), late(math.inf), late(math.inf)
    whole.run(60)
    asked = []

    def stop() -> bool:
        asked.append(first.step)
        return asked.count(25) > 1  # after it has begun

    first.run(60, stop)
    assert first.evaluations.collected[-1] == "evaluation after step 25"
    assert [line["step"] for line in first.recorder.named("evaluation")] == [0]
    second.load_state(*first.recorder.checkpoints[25])
    second.run(60)
    assert first.recorder.events + second.recorder.events == whole.recorder.events


@pytest.mark.parametrize("questions", [0, math.inf])
def test_a_training_fault_comes_after_the_evaluation_before_it(questions):
    runs = []
    for run in (training, lambda **settings: late(questions, **settings)):
        runs.append(run(make=lambda: probes.Faulty(lambda o, r: (o, np.nan), at=28)))
        with pytest.raises(FaultyEnvironmentError, match="training step 28"):
            runs[-1].run(100)
    assert [line["step"] for line in runs[1].recorder.named("evaluation")] == [0, 25]
    assert runs[0].recorder.events == runs[1].recorder.events


@pytest.mark.parametrize("questions", [1, 4, math.inf])
def test_an_evaluations_fault_ends_the_run_and_loses_nothing_of_the_record(questions):
    run = late(questions, make=lambda: probes.Drift(26), checkpoint_every=0)
    collect = run.evaluations.collect

    def faulty(stop: Any = lambda: False) -> Any:
        found = collect(stop)
        if run.evaluations.collected[-1] == "evaluation after step 25":
            raise FaultyEnvironmentError("no ground under the feet")
        return found

    run.evaluations.collect = faulty
    with pytest.raises(FaultyEnvironmentError, match="no ground"):
        run.run(30)
    assert [line["step"] for line in run.recorder.named("evaluation")] == [0]
    assert [line["step"] for line in run.recorder.named("episode")] == ([26] if run.step >= 26 else [])
    assert run.step == min(25 + questions, 30)


def test_a_fault_names_the_training_step_and_all_before_it_is_saved():
    run = training(lambda: probes.Faulty(lambda o, r: (o, float("inf")), at=17))
    with pytest.raises(
        FaultyEnvironmentError, match=r"the reward is inf.*, at training step 17 \(episode 0, its step 17\)"
    ):
        run.run(100)
    assert len(run.replay) == 16 and list(run.recorder.checkpoints) == [16]


def test_a_program_that_learns_on_after_a_fault_begins_another_episode():
    faults = [math.inf]
    run = training(lambda: probes.Faulty(lambda o, r: (o, faults.pop() if faults else r), at=17), eval_every=0)
    cut: list[int] = []
    run.replay.cut = cut.append
    with pytest.raises(FaultyEnvironmentError, match="the reward is inf"):
        run.run(100)
    run.run(50)
    (over,) = run.recorder.named("episode")
    assert (over["episode"], over["step"], over["length"]) == (1, 46, 30) and cut == [0]


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_run():
    run = training()
    run.recorder.works = False
    outcome = run.run(100)
    assert outcome.finished and not outcome.saved


class Diverging(StandInAgent):
    def __init__(self, how: str) -> None:
        super().__init__(3, 2)
        self.how = how

    def update(self, replay: StandInReplay) -> None:
        super().update(replay)
        if self.updates == 30:
            if self.how == "raises":
                raise FloatingPointError("critic loss is nan")
            if self.how == "weights":
                self.weights[0, 0] = np.inf
        if self.updates >= 30 and self.how == "loss":
            self.loss = math.nan


@pytest.mark.parametrize(
    "how, message, noticed",
    [("raises", "critic loss is nan", 49), ("weights", "weights is not finite", 50), ("loss", "loss is nan", 50)],
)
def test_a_diverged_agent_stops_the_run_and_never_replaces_a_good_checkpoint(how, message, noticed):
    run = training(agent=Diverging(how))
    with pytest.raises(DivergedError, match=f"stand-in diverged in Drift by step {noticed} .*{message}"):
        run.run(100)
    assert sorted(run.recorder.checkpoints) == [40]


def test_a_diverged_agent_is_noticed_before_a_checkpoint_without_evaluations_too():
    run = training(agent=Diverging("weights"), eval_every=0)
    with pytest.raises(DivergedError, match="by step 80"):
        run.run(100)
    assert sorted(run.recorder.checkpoints) == [40]


def test_a_foreign_state_is_refused():
    run = training()
    run.run(10)
    arrays, values = run.state()
    with pytest.raises(ValueError, match="warm_up"):
        training().load_state(arrays, {name: value for name, value in values.items() if name != "warm_up"})
    with pytest.raises(ValueError, match="unknown array 'other/x'"):
        training().load_state({**arrays, "other/x": np.zeros(1)}, values)


@pytest.mark.parametrize(
    "field, value",
    [
        ("seed", -1),
        ("total_timesteps", 0),
        ("total_timesteps", 1e6 + 0.5),
        ("total_timesteps", "5"),
        ("warm_up_policy", 3),
        ("eval_every", -1),
        ("eval_episodes", 0),
        ("checkpoint_every", -5),
        ("keep_checkpoints", 0),
        ("threads", 0),
        ("threads", True),
        ("threads", 257),
        ("eval_episodes", 10_001),
        ("n_envs", 0),
        ("n_envs", 1_001),
        ("agent", ""),
        ("env_kwargs", [1]),
    ],
)
def test_impossible_settings_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        TrainConfig(**{field: value})


@pytest.mark.parametrize("questions", [0, 7, math.inf])
def test_an_untrained_agent_is_evaluated_once_and_recorded_as_if_each_time(questions):
    run, each_time = (late(questions, learning_starts=60, eval_every=10) for _ in range(2))
    told = []
    run.progress.evaluated = lambda step, evaluation, density: told.append(step)
    run.run(90)
    each_time.environment.changes = True  # such an environment gives another result later
    each_time.run(90)
    assert told == [0, 70, 80, 90]
    played = [f"evaluation after step {step}" for step in (0, 70, 80, 90)]
    assert run.evaluations.collected == played and len(each_time.evaluations.collected) == 10
    assert run.recorder.events == each_time.recorder.events
    assert len(run.recorder.named("evaluation")) == 10
