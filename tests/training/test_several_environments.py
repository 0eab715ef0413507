"""Promises of collecting from several environments: whose transition is whose, the same bits wherever they are."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import os
import signal

import numpy as np
import probe_environments as probes
import pytest
from sameness import metrics, same_to_the_bit
from stand_in import StandInAgent, StandInReplay
from test_loop import Memory, Quiet, same_state
from test_run import AGENT, KILL_AT, config, train_and_kill, trained

import rewirl
from rewirl import processes, seeding
from rewirl.agents import DQNConfig, TD3Config
from rewirl.cli.main import main
from rewirl.environments.environment import Environment, FaultyEnvironmentError
from rewirl.environments.environment_process import EnvironmentProcess
from rewirl.environments.source import environment_source
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.options.train import TrainConfig
from rewirl.storage.checkpoint import load_latest
from rewirl.training import run as runs
from rewirl.training.episode import Episode
from rewirl.training.learning import Learning
from rewirl.training.loop import Training
from rewirl.training.progress import Silent
from rewirl.training.resume import resume

WINDOWS = dataclasses.replace(AGENT, n_steps=3, normalise_observations=True, scale_rewards=True)


def training(count, make=probes.Uneven, **settings):
    environments = [Environment(make(), "Uneven") for _ in range(count)]
    sizes = environments[0].observation_size, environments[0].action_size
    made = Training(
        StandInAgent(*sizes, 0),
        StandInReplay(1000, *sizes),
        environments,
        TrainConfig(env="Uneven", **{"eval_every": 0, "checkpoint_every": 0, **settings}),
        20,
        lambda: ({}, {}),
        Quiet(),
    )
    made.recorder = Memory()
    return made


def test_every_environment_has_its_own_episodes_and_its_own_turn():
    run = training(3)
    run.run(150)
    rows, ends = run.replay.rows[:150], 0
    for index in range(3):
        of, env, number, observation = rows[index::3], probes.Uneven(), 0, None
        for row in of:
            if observation is None:
                seed = seeding.episode_seed(0, f"train {index}" if index else "train", number)
                observation, number = env.reset(seed=seed)[0].astype(np.float32), number + 1
            assert np.array_equal(row[:3], observation)
            after, reward, terminated, truncated, _ = env.step(row[3:5].astype(np.float64) * [1, 4] + [0, 2])
            observation = after.astype(np.float32)
            assert np.allclose(row[5:6], reward, rtol=1e-6) and row[9] == terminated
            assert np.array_equal(row[6:9], observation)  # the last one of an episode too: nothing stands in for it
            if terminated or truncated:
                observation, ends = None, ends + 1
        assert number > 3
    assert len({rows[index, 0] for index in range(3)}) == 3
    events = run.recorder.named("episode")
    assert len(events) == ends and {event["environment"] for event in events} == {0, 1, 2}
    assert run.agent.updates == 130


def test_an_action_is_chosen_with_the_policy_of_its_environments_last_step(monkeypatch):
    run = training(3)
    chosen = []
    explore = run.agent.explore
    monkeypatch.setattr(
        run.agent, "explore", lambda o, at: chosen.append((run.step, run.agent.updates)) or explore(o, at)
    )
    run.run(30)
    # Steps 0 to 19 are random. The action of step 20 is chosen when step 17 of the same environment has ended.
    assert chosen == [(step, max(0, step - 20)) for step in range(18, 30)]


@pytest.mark.parametrize("count", [1, 3])
def test_saved_after_any_step_it_goes_on_to_the_bit(count):
    whole = training(count, checkpoint_every=1)
    whole.run(70)
    for step in (1, 2, 5, 17, 18, 19, 20, 21, 33, 50, 69):
        arrays, values = whole.recorder.checkpoints[step]
        other = training(count)
        other.load_state(arrays, json.loads(json.dumps(values)))
        other.run(70)
        same_state(other, whole)
        assert other.recorder.named("episode") == [e for e in whole.recorder.named("episode") if e["step"] > step]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a, v: v["episode"]["others"].pop(), "2 environments were saved, but the run has 3"),
        (lambda a, v: v["episode"].pop("others"), "1 environments were saved"),
        (lambda a, v: v["episode"]["others"].__setitem__(0, 3), "a saved episode"),
        (lambda a, v: a.update({"episode/3/actions": a["episode/1/actions"]}), "unknown array"),
        (lambda a, v: a.update({"episode/1/begun": np.full(2, 9.0)}), "not one of the environment's"),
        (lambda a, v: a.pop("episode/1/begun_row"), "has no action of 2 numbers"),
        (lambda a, v: a.update({"episode/1/begun_row": np.full(2, np.nan, np.float32)}), "has no action of 2 numbers"),
        (lambda a, v: v["episode"]["others"][0].update(began=-1), "at which the episode began"),
    ],
)
def test_impossible_episodes_are_refused_by_name(change, words):
    whole = training(3, checkpoint_every=46)
    whole.run(46)
    arrays, values = copy.deepcopy(whole.recorder.checkpoints[46])
    change(arrays, values)
    with pytest.raises(ValueError, match=words):
        training(3).load_state(arrays, values)


def test_an_episode_that_cannot_be_played_again_is_cut_where_it_is():
    whole = training(3, probes.Restless, checkpoint_every=46)
    whole.run(46)
    cut = []
    other = training(3, probes.Restless)
    other.replay.cut = cut.append
    other.load_state(*whole.recorder.checkpoints[46])
    assert cut == [0, 2, 1]  # environments 0, 1, 2; step 45 was the last, of environment 0
    assert "not deterministic" in other.progress.messages[0]
    other.run(60)
    assert other.step == 60


def test_a_program_that_learns_on_after_a_fault_cuts_the_episode_that_failed():
    faults = [math.inf]
    run = training(3, lambda: probes.Faulty(lambda o, r: (o, faults.pop() if faults else r), at=17))
    cut = []
    run.replay.cut = cut.append
    with pytest.raises(FaultyEnvironmentError, match="the reward is inf"):
        run.run(60)
    assert (run.step, cut) == (48, [2])  # step 45 was the last of environment 0
    run.run(60)
    assert run.step == 60 and cut == [2]


def test_an_episode_that_began_again_at_the_first_step_is_played_again_from_there():
    """Its number alone does not say so, and its length is not that of the run."""
    told = []
    environment = Environment(probes.Drift(), "Drift")
    reset = environment.reset
    environment.reset = lambda seed, step: told.append(step) or reset(seed, step)
    one, other = Episode(environment, 0, 1), Episode(environment, 0, 1)
    one.begin_next(0)
    one.give_up()
    one.begin_next(0)
    for _ in range(3):
        one.begin_step(np.array([0.5, 1.0]), np.zeros(2, np.float32))
        one.finish_step()
    assert other.load_state(*one.state(), step=10) is None and told == [0, 0, 0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("whole") / "run", config(n_envs=3), WINDOWS)


OPTIONS = ["--n-envs", "3", "--n-steps", "3", "--normalise-observations", "--scale-rewards"]


@pytest.mark.parametrize("processes", [(), ("--env-processes",)])
def test_killed_and_resumed_is_the_uninterrupted_run_to_the_bit(tmp_path, whole, processes):
    path = tmp_path / "run"
    killed = train_and_kill(path, 215, signal.SIGKILL, KILL_AT, *OPTIONS, *processes)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with resume(path, Silent()) as run:
        assert {type(each) for each in run.environments} == {EnvironmentProcess if processes else Environment}
        assert run.train().finished
    same_to_the_bit(path, whole)
    assert metrics(path) == metrics(whole)


def test_a_run_is_the_same_where_the_environments_offer_their_state(tmp_path):
    """Environments that keep something between episodes, and that change in the course of a run."""
    for env in ("Offering", "Changing"):
        settings = {"env": f"rewirl-tests/{env}-v0", "n_envs": 2, "total_timesteps": 150, "checkpoint_every": 0}
        here = trained(tmp_path / f"{env}-here", config(**settings), AGENT)
        parts = tmp_path / f"{env}-parts"
        with runs.start(config(**settings, env_processes=True), AGENT, parts, Silent()) as run:
            run.train(lambda run=run: run.training.step >= 97)
        with resume(parts, Silent()) as run:
            assert run.train().finished
        same_to_the_bit(parts, here)
        assert [e for e in metrics(parts) if e["event"] != "checkpoint"] == [
            e for e in metrics(here) if e["event"] != "checkpoint"
        ]


@pytest.mark.parametrize("beside", [False, True])
def test_a_process_that_is_killed_is_said_in_words_and_the_run_goes_on_to_the_bit(tmp_path, whole, beside):
    """From where it was; or from its last checkpoint, where it learnt beside a step that never ended."""
    path, options = tmp_path / "run", config(n_envs=3, env_processes=True)
    agent = dataclasses.replace(WINDOWS, scale_rewards=not beside)
    whole = trained(tmp_path / "beside", config(n_envs=3), agent) if beside else whole
    with runs.start(options, agent, path, Silent()) as run:

        def stop():
            if run.training.step == 100:
                os.kill(run.environments[1]._process.pid, signal.SIGKILL)
            return False

        words = (
            "the process of this environment was killed by SIGKILL, at training step 10[0-9] .environment 1, episode"
        )
        with pytest.raises(FaultyEnvironmentError, match=words):
            run.train(stop)
        others = [each._process for each in run.environments]
    assert all(process.poll() is not None for process in others)
    with resume(path, Silent()) as run:
        assert run.training.step >= (70 if beside else 100) and run.train().finished
    same_to_the_bit(path, whole)


def test_what_an_environment_in_a_process_keeps_is_known_once_that_has_ended(tmp_path):
    settings = {"env": "rewirl-tests/Offering-v0", "eval_every": 0}
    with runs.Run(config(**settings), AGENT, Silent()) as here:
        here.train(lambda: here.training.step >= 70)
        expected = here.environment.state()
    for action in (None, np.zeros(2, np.float32)):  # with a step that has begun it is one further
        with runs.Run(config(**settings, env_processes=True), AGENT, Silent()) as run:
            run.train(lambda run=run: run.training.step >= 70)
            if action is not None:
                run.environment.begin(action)
        assert run.environment.last_state()[0]["seen"] == expected[0]["seen"] + (action is not None)
        run.policy_state()
    with rewirl.DSTD3(
        settings["env"], env_module="probe_environments", env_processes=True, learning_starts=20
    ) as agent:
        agent.learn(120)
        environment = agent._run.environment
        os.kill(environment._process.pid, signal.SIGKILL)
        environment._process.wait()
        assert environment.last_state()[0]["seen"] > 0
        with pytest.raises(FaultyEnvironmentError, match="was killed by SIGKILL"):
            environment.state()  # which a checkpoint asks for
        agent.save(tmp_path / "policy")
        assert len(agent.evaluate(1).returns) == 1


def test_a_fault_has_the_same_words_in_a_process():
    words = []
    for there in (False, True):
        settings = config(env="rewirl-tests/Nan-v0", env_kwargs={"at": 7}, n_envs=2, env_processes=there, eval_every=0)
        with runs.Run(settings, AGENT, Silent()) as run, pytest.raises(FaultyEnvironmentError) as fault:
            run.train()
        words.append(str(fault.value))
    assert words[0] == words[1]
    assert words[0].endswith("at training step 13 (environment 0, episode 0, its step 7)")


def test_a_fault_with_what_is_no_character_is_told_by_a_process():
    settings = config(env="rewirl-tests/Lost-v0", env_processes=True, eval_every=0)
    with (
        runs.Run(settings, AGENT, Silent()) as run,
        pytest.raises(FaultyEnvironmentError, match=r"RuntimeError: no file caf\\udce9.txt .*at training step 1 "),
    ):
        run.train()


def test_a_process_in_a_step_that_never_ends_ends_with_its_parent(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # which nobody reads
    source = environment_source("rewirl-tests/Endless-v0", {"pipe": str(tmp_path / "pipe")}, "probe_environments")
    one = EnvironmentProcess(source.make_training(), source)
    try:
        one.wait()
        one.reset(0)
        one.begin(np.zeros(2, np.float32))
        one._pipe.close()  # as the system does for a parent that is gone
        assert one._process.wait(60) == 1
    finally:
        one._process.kill()
        one._process.wait()


def test_a_process_that_cannot_be_told_its_environment_is_ended(monkeypatch):
    started = []

    def start(*arguments):
        process, pipe = begin(*arguments)
        process.kill()  # as the system does where memory is short; nobody is there to be told
        process.wait()
        started.append(pipe)
        return process, pipe

    begin = processes.start
    monkeypatch.setattr(processes, "start", start)
    source = environment_source("Pendulum-v1")
    with pytest.raises(UnsuitableEnvironmentError, match="cannot be played in a process of its own"):
        EnvironmentProcess(source.make_training(), source)
    assert [pipe.closed for pipe in started] == [True]


def test_what_another_process_cannot_make_is_refused_with_the_remedy():
    with pytest.raises(
        UnsuitableEnvironmentError, match="was handed over as a function, and no other process can make it"
    ):
        rewirl.TD3(probes.Drift, env_processes=True)
    with pytest.raises(UnsuitableEnvironmentError, match="of which there is one, but n_envs is 2; give a function"):
        rewirl.TD3(probes.Drift(), n_envs=2)
    with pytest.raises(ValueError, match="n_envs must be at least 1"):
        rewirl.TD3(probes.Drift, n_envs=0)


def test_an_environment_that_a_process_makes_otherwise_is_refused_before_anything_starts(monkeypatch):
    import gymnasium

    spec = gymnasium.envs.registration.EnvSpec("OnlyHere-v0", entry_point=probes.Drift)
    monkeypatch.setitem(gymnasium.registry, "OnlyHere-v0", spec)
    with pytest.raises(UnsuitableEnvironmentError, match="OnlyHere-v0 cannot be played in a process of its own"):
        rewirl.TD3("OnlyHere-v0", n_envs=2, env_processes=True)


def test_looking_at_a_run_starts_no_process(whole, monkeypatch, capsys):
    monkeypatch.setattr(EnvironmentProcess, "__init__", lambda *_: pytest.fail("a process"))
    with pytest.raises(SystemExit) as ended:
        main(["inspect", str(whole)])
    assert ended.value.code == 0 and "normalised 402 observations" in capsys.readouterr().out  # two have begun
    with pytest.raises(SystemExit) as ended:
        main(["train", "--env", "Pendulum-v1", "--n-envs", "2", "--env-processes", "--dry-run"])
    assert ended.value.code == 0


def test_python_learns_in_pieces_from_four_environments_of_a_function_as_at_once():
    def agent():
        options = {"hidden_sizes": (8,), "learning_starts": 20, "batch_size": 8, "normalise_observations": True}
        return rewirl.DSTD3(probes.Uneven, seed=1, n_envs=4, **options)

    with agent() as pieces, agent() as whole:
        for steps in (13, 30, 18):
            pieces.learn(steps)
        whole.learn(61)
        x = np.ones((2, 3), np.float32)
        assert np.array_equal(pieces.predict(x), whole.predict(x))
        assert pieces.evaluate(2).returns == whole.evaluate(2).returns


def test_python_resumes_four_environments_of_a_function_with_a_callback_to_the_bit(tmp_path):
    options = {"hidden_sizes": (8,), "learning_starts": 20, "batch_size": 8, "n_steps": 2}
    options |= {"normalise_observations": True, "scale_rewards": True}
    seen = []
    with rewirl.DSTD3(probes.Uneven, seed=1, n_envs=4, **options) as agent:
        agent.learn(
            61, run_dir=tmp_path / "whole", eval_every=25, eval_episodes=1, callback=lambda m: seen.append(m.step)
        )
    assert seen == list(range(1, 62))
    with rewirl.DSTD3(probes.Uneven, seed=1, n_envs=4, **options) as agent:
        agent.learn(33, run_dir=tmp_path / "parts", eval_every=25, eval_episodes=1)
    with rewirl.resume(tmp_path / "parts", env=probes.Uneven) as agent:
        agent.learn(28, eval_every=25, eval_episodes=1, callback=lambda m: seen.append(m.step))
    assert seen[61:] == list(range(34, 62))
    one, other = (load_latest(tmp_path / name / "checkpoints", pytest.fail) for name in ("whole", "parts"))
    assert one.arrays.keys() == other.arrays.keys()
    assert all(one.arrays[name].tobytes() == array.tobytes() for name, array in other.arrays.items())
    assert one.values["agent"] == other.values["agent"] and one.values["episode"] == other.values["episode"]


def test_numbered_actions_go_to_a_process_and_back():
    source = environment_source("rewirl-tests/Parts-v0", {"discrete": True}, "probe_environments")
    like = source.make_training()
    there = EnvironmentProcess(like, source)
    try:
        assert np.array_equal(there.reset(5, 0), like.reset(5, 0))
        for choice in (0, 3, 4):
            action = like.actions.to_environment(choice)
            mine, other = like.step(action), there.step(action)
            assert np.array_equal(mine.observation, other.observation) and mine[1:] == other[1:]
    finally:
        there.close()


LIMITED = "gymnasium.wrappers:TimeLimit(max_episode_steps=7)"
WRAPPED = ["--wrapper", "probe_environments:Halved", "--wrapper", LIMITED]
WRAPPED += ["--wrapper", "probe_environments:Remembering"]


@pytest.mark.parametrize("threads", ["1", "2"])
def test_wrappers_by_name_are_in_training_evaluation_and_resuming(tmp_path, capsys, threads):
    path = str(tmp_path / "run")
    options = ["--env", "rewirl-tests/Drift-v0", "--env-module", "probe_environments", "--hidden-sizes", "8"]
    options += ["--learning-starts", "20", "--batch-size", "8", "--eval-every", "40", "--eval-episodes", "1"]
    options += ["--total-timesteps", "60", "--threads", threads, "--no-check", *WRAPPED, "--run-dir", path]
    for command in (["train", *options], ["resume", path, "--total-timesteps", "80"], ["evaluate", path]):
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert ended.value.code == 0, capsys.readouterr()
    limited = LIMITED.partition(":")[2]
    assert f"rewirl-tests/Drift-v0 in Halved in {limited} in Remembering" in capsys.readouterr().out
    saved = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert saved["train"]["wrapper"] == WRAPPED[1::2] and saved["train"]["env"] == "rewirl-tests/Drift-v0"
    env = rewirl.load(path)._trained.source().make_training().env
    assert [type(env), type(env.env.env)] == [probes.Remembering, probes.Halved]
    assert env.env._max_episode_steps == 7
    if threads == "2":
        assert "evaluating between training steps" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrapper", "words"),
    [
        ("Halved", "a wrapper is named as module:Class"),
        ("probe_environments:Nothing", "probe_environments has no wrapper 'Nothing'"),
        ("probe_environments:Drift", "probe_environments has no wrapper 'Drift'"),
        ("no_such_module:Halved", "cannot import the module of the wrapper no_such_module:Halved"),
        ("gymnasium.wrappers:TimeLimit", r"'max_episode_steps'. Its arguments .*TimeLimit\(name=value\)$"),
        ("gymnasium.wrappers:TimeLimit(steps=5)", r"TimeLimit\(steps=5\): TypeError: .*'steps'. Its arguments .*"),
        (
            "gymnasium.wrappers:TimeLimit(5)",
            r"its settings must be names with values, as in Python: gymnasium.wrappers:T",
        ),
        ("probe_environments:Nothing(a=1)", "probe_environments has no wrapper 'Nothing'"),
    ],
)
def test_a_wrapper_that_is_none_is_refused_with_the_remedy(wrapper, words):
    with pytest.raises(UnsuitableEnvironmentError, match=words):
        rewirl.TD3("rewirl-tests/Drift-v0", env_module="probe_environments", wrapper=[wrapper])


def test_gymnasiums_own_hint_is_passed_on(monkeypatch):
    with pytest.raises(UnsuitableEnvironmentError, match="Have you installed the proper package for NoSuch"):
        environment_source("NoSuch/Pong-v5")
    import gymnasium

    def missing():
        raise gymnasium.error.DependencyNotInstalled('run `pip install "gymnasium[box2d]"`')

    monkeypatch.setitem(gymnasium.registry, "Lacking-v0", gymnasium.envs.registration.EnvSpec("Lacking-v0", missing))
    with pytest.raises(UnsuitableEnvironmentError, match=r'run `pip install "gymnasium\[box2d\]"`'):
        environment_source("Lacking-v0").make_training()


def fetched(monkeypatch):
    """Note of each outcome whether it is fetched before, in or after the updates that follow its step."""
    noted, when = [], ["before"]
    fetch, update, finish = Learning._fetch, Learning._update, Learning.finish

    def fetching(learning, episode, store):
        noted.append(when[0])
        return fetch(learning, episode, store)

    def updating(learning, replay, updates, step):
        when[0] = "in"
        update(learning, replay, updates, step)
        when[0] = "after"

    def finishing(learning, episode, step):
        when[0] = "before"
        return finish(learning, episode, step)

    for name, function in (("_fetch", fetching), ("_update", updating), ("finish", finishing)):
        monkeypatch.setattr(Learning, name, function)
    return noted


@pytest.mark.parametrize(
    "changes",
    [{}, {"n_steps": 3}, {"update_every": 2}, {"updates_per_step": 2, "buffer_empty_every": 50, "buffer_minimum": 40}],
)
def test_one_environment_in_a_process_is_at_work_while_the_agent_learns(tmp_path, monkeypatch, changes):
    kind = DQNConfig if "update_every" in changes else TD3Config
    settings = {"hidden_sizes": (24, 16), "batch_size": 20, "learning_starts": 60, "buffer_size": 150, **changes}
    options = {"agent": "ds-dqn" if kind is DQNConfig else "ds-td3", "total_timesteps": 220}
    if kind is DQNConfig:
        options |= {"env": "CartPole-v1", "env_module": None}
    agent = kind(topology=AGENT.topology, **settings)
    here = trained(tmp_path / "here", config(**options), agent)
    noted = fetched(monkeypatch)
    beside = trained(tmp_path / "beside", config(**options, env_processes=True), agent)
    same_to_the_bit(beside, here)
    assert set(noted[:61]) == {"before"}
    if "n_steps" in changes:
        assert set(noted[61:]) == {"in"}  # each batch waits: its windows may end in the newest transition
    elif "update_every" in changes:
        assert set(noted[61::2]) == {"before"} and {"in", "after"} == set(noted[62::2])
    else:
        assert {"in", "after"} == set(noted[61:])


def test_rewards_that_are_scaled_are_waited_for(tmp_path, monkeypatch):
    agent = dataclasses.replace(AGENT, scale_rewards=True)
    here = trained(tmp_path / "here", config(total_timesteps=120), agent)
    noted = fetched(monkeypatch)
    beside = trained(tmp_path / "beside", config(total_timesteps=120, env_processes=True), agent)
    same_to_the_bit(beside, here)
    assert set(noted) == {"before"}
