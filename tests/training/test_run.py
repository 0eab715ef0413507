"""Promises of whole runs with the real DS-TD3: killed and resumed, one is the uninterrupted run to the bit."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import probe_environments as probes
import pytest
from sameness import metrics, same_to_the_bit

from rewirl.agents import TD3Config
from rewirl.environments.environment import FaultyEnvironmentError
from rewirl.environments.source import environment_source
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.options.train import TrainConfig
from rewirl.printing import program
from rewirl.storage.checkpoint import CheckpointError, load_latest
from rewirl.storage.run_directory import RunDirectoryError
from rewirl.topology import TopologyConfig
from rewirl.training import run as runs
from rewirl.training.evaluation_process import ParallelEvaluations
from rewirl.training.progress import Silent
from rewirl.training.resume import reopen, resume
from rewirl.training.trained_policy import TrainedPolicy

# Rewired on every fifth update, so that a resumed run meets topologies that have moved apart from their targets.
AGENT = TD3Config(
    hidden_sizes=(24, 16),
    topology=TopologyConfig(sparsity=0.5, adapt_every=5, adapt_fraction=0.2),
    batch_size=20,
    learning_starts=60,
    buffer_size=150,
)
OPTIONS = shlex.split(
    "--env rewirl-tests/Drift-v0 --env-module probe_environments --seed 3 --hidden-sizes 24 16 --sparsity 0.5 "
    "--adapt-every 5 --adapt-fraction 0.2 --batch-size 20 --learning-starts 60 --buffer-size 150 "
    "--eval-every 100 --eval-episodes 2 --checkpoint-every 70 --total-timesteps 400 --threads 1"
)
OF_ANY_AGENT = shlex.split("--seed 3 --eval-every 100 --eval-episodes 2 --checkpoint-every 70 --threads 1")


def config(**settings: Any) -> TrainConfig:
    return TrainConfig(
        **{
            "env": "rewirl-tests/Drift-v0",
            "env_module": "probe_environments",
            "seed": 3,
            "total_timesteps": 400,
            "eval_every": 100,
            "eval_episodes": 2,
            "checkpoint_every": 70,
            "threads": 1,
            **settings,
        }
    )


def trained(path: Path, settings: TrainConfig | None = None, agent: TD3Config = AGENT) -> Path:
    with runs.start(settings or config(), agent, path, Silent()) as run:
        assert run.train().finished
    return path


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("whole") / "run")


# Ends a process without any clean-up at a chosen step, as kill -9 or a power cut would.
# Signals that whoever runs the tests ignores, as nohup does, would be ignored by the run too, so they are reset.
KILL_AT = """
import os, signal, sys
for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(each, signal.SIG_DFL)
from rewirl.training.loop import Training
advance = Training._advance
def advance_or_die(self):
    if self.step == int(sys.argv[1]):
        os.kill(os.getpid(), int(sys.argv[2]))
    advance(self)
Training._advance = advance_or_die
from rewirl.cli.main import main
main(sys.argv[3:])
"""


# Evaluations are collected as late as they may be, so there is always one in flight.
IN_FLIGHT = """
from rewirl.training.evaluation_process import ParallelEvaluations
ParallelEvaluations.ready = lambda self: False
"""


def train_and_kill(
    path: Path, at: int, by: int, program: str = KILL_AT, *options: str, common: Sequence[str] = OPTIONS
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, str(at), str(int(by)), "train", *common, *options, "--run-dir", str(path)],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                [str(Path(__file__).parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
            ),
        },
        timeout=60,
        check=False,
    )


# Before the first checkpoint, in the warm-up, in mid-episode with a full replay memory, and just after a checkpoint.
@pytest.mark.parametrize("at", [30, 97, 215, 350])
def test_killed_and_resumed_is_the_uninterrupted_run_to_the_bit(tmp_path, uninterrupted, at):
    path = tmp_path / "run"
    killed = train_and_kill(path, at, signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    orphan = path / "checkpoints" / ".tmp-step-000000999"  # as a kill in the middle of a checkpoint leaves it
    orphan.mkdir(parents=True, exist_ok=True)
    (orphan / "agent.safetensors").write_bytes(b"half")
    with resume(path, Silent()) as run:
        assert not orphan.exists()
        assert run.train().finished
    same_to_the_bit(path, uninterrupted)
    assert metrics(path) == metrics(uninterrupted)


def test_a_resumed_run_reads_its_replay_memory_once(uninterrupted, monkeypatch):
    read = []
    load_state = runs.Training.load_state

    def noting(self, arrays, values, own=False):
        read.append(arrays["replay/transitions"])
        load_state(self, arrays, values, own)

    monkeypatch.setattr(runs.Training, "load_state", noting)
    run = reopen(uninterrupted, Silent(), ended=True)
    run.close()
    assert run.run.training.replay.transitions.shape[0] == AGENT.buffer_size
    assert np.shares_memory(run.run.training.replay.transitions, read[0])


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_the_run_and_resuming_it_is_exact_and_idempotent(tmp_path, uninterrupted, by):
    path = tmp_path / "run"
    stopped = train_and_kill(path, 187, by)
    assert stopped.returncode == 128 + by, stopped.stderr
    assert f"Stopped by {by.name} and saved at step 188; go on with: {program()} resume {path}" in stopped.stdout
    with resume(path, Silent()) as run:
        assert run.train().finished
    same_to_the_bit(path, uninterrupted)
    saved = [line for line in metrics(path) if not (line["event"] == "checkpoint" and line["step"] == 188)]
    assert saved == metrics(uninterrupted)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert resume(path, Silent()) is None
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


def test_a_signal_in_the_last_step_leaves_the_last_evaluation_to_the_resumed_run(tmp_path, uninterrupted):
    path = tmp_path / "run"
    stopped = train_and_kill(path, config().total_timesteps - 1, signal.SIGTERM)
    assert stopped.returncode == 128 + signal.SIGTERM, stopped.stdout + stopped.stderr
    with resume(path, Silent()) as run:
        assert run.train().finished
    same_to_the_bit(path, uninterrupted)
    of_both = [[line for line in metrics(one) if line["event"] != "checkpoint"] for one in (path, uninterrupted)]
    assert of_both[0] == of_both[1]


def test_a_second_signal_ends_at_once_and_leaves_the_checkpoint_before(tmp_path):
    twice = KILL_AT.replace("int(sys.argv[2]))", "int(sys.argv[2])); os.kill(os.getpid(), int(sys.argv[2]))", 1)
    ended = train_and_kill(tmp_path / "run", 100, signal.SIGTERM, twice)
    assert ended.returncode == -signal.SIGTERM
    assert sorted(entry.name for entry in (tmp_path / "run" / "checkpoints").iterdir()) == ["step-000000070"]


@pytest.mark.parametrize("ready", [None, lambda self: True, lambda self: False])
def test_two_threads_and_evaluation_beside_training_give_the_same_to_the_bit(
    tmp_path, uninterrupted, monkeypatch, capfd, ready
):
    if ready is not None:
        monkeypatch.setattr(ParallelEvaluations, "ready", ready)
    processes = []
    start = ParallelEvaluations._start
    monkeypatch.setattr(ParallelEvaluations, "_start", lambda self: processes.append(self) or start(self))
    same_to_the_bit(trained(tmp_path / "run", config(threads=2)), uninterrupted)
    assert metrics(tmp_path / "run") == metrics(uninterrupted)
    assert len(processes) == 1 and capfd.readouterr() == ("", "")
    assert processes[0]._process is None


def test_one_thread_stays_one_process(uninterrupted, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", pytest.fail)
    with runs.Run(config(total_timesteps=110), AGENT, Silent()) as run:
        assert run.train().evaluation is not None


def test_an_environment_of_the_programs_own_is_evaluated_in_it(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", pytest.fail)
    source = environment_source(probes.Drift)
    with runs.Run(config(total_timesteps=110, threads=2), AGENT, Silent(), source) as run:
        assert run.train().evaluation is not None


@pytest.mark.parametrize("at", [0, 1, 105, 210])
def test_killed_with_an_evaluation_in_flight_and_resumed_is_the_uninterrupted_run(tmp_path, uninterrupted, at):
    path = tmp_path / "run"
    killed = train_and_kill(path, at, signal.SIGKILL, IN_FLIGHT + KILL_AT, "--threads", "2")
    assert (killed.returncode, killed.stderr) == (-signal.SIGKILL, "")  # and no other process holds its output open
    with resume(path, Silent()) as run:  # nor its directory
        assert run.train().finished
    same_to_the_bit(path, uninterrupted)
    assert metrics(path) == metrics(uninterrupted)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_with_an_evaluation_in_flight_waits_for_it(tmp_path, uninterrupted, by):
    path = tmp_path / "run"
    to_the_group = (IN_FLIGHT + KILL_AT).replace("os.kill(os.getpid(),", "os.setpgid(0, 0) or os.killpg(0,")
    stopped = train_and_kill(path, 105, by, to_the_group, "--threads", "2")
    assert (stopped.returncode, stopped.stderr) == (128 + by, "")
    assert f"Stopped by {by.name} and saved at step 106" in stopped.stdout
    assert metrics(path)[-2]["event"] == "diagnostics" and metrics(path)[-2]["step"] == 100
    with resume(path, Silent()) as run:
        assert run.train().finished
    same_to_the_bit(path, uninterrupted)
    assert [line for line in metrics(path) if line["step"] != 106] == metrics(uninterrupted)


def test_evaluating_and_saving_change_nothing_that_is_learnt(tmp_path, uninterrupted):
    with runs.start(config(eval_every=0, checkpoint_every=0), AGENT, tmp_path / "run", Silent()) as run:
        run.train()
    one, other = (load_latest(path / "checkpoints", pytest.fail) for path in (tmp_path / "run", uninterrupted))
    for name, array in one.arrays.items():
        assert array.tobytes() == other.arrays[name].tobytes(), name
    assert one.values["agent"] == other.values["agent"] and one.values["replay"] == other.values["replay"]


def test_another_seed_learns_something_else(tmp_path, uninterrupted):
    other = trained(tmp_path / "run", config(seed=4))
    with pytest.raises(AssertionError):
        same_to_the_bit(other, uninterrupted)


def test_the_topology_moves_but_keeps_its_size(uninterrupted):
    evaluations = [line for line in metrics(uninterrupted) if line["event"] == "evaluation"]
    for line in evaluations:
        for name in ("actor", "critic1", "critic2"):
            assert line["connections"][name] == evaluations[0]["connections"][name]
    assert [line for line in metrics(uninterrupted) if line["event"] == "diagnostics"][-1]["rewired"] > 100


def test_the_record_of_drift_is_what_the_final_topology_says(uninterrupted):
    lines = [line for line in metrics(uninterrupted) if line["event"] == "topology"]
    saved = load_latest(uninterrupted / "checkpoints", pytest.fail)
    with runs.Run(config(), AGENT, Silent()) as run:
        names = ("actor", "critic1", "critic2")
        first = {name: [layer.places() for layer in run.agent.networks()[name].layers] for name in names}
        run.training.load_state(saved.arrays, saved.values)
        for name in names:
            found = lines[-1]["networks"][name]
            for index, layer in enumerate(run.agent.networks()[name].layers):
                kept = len(set(first[name][index].tolist()) & set(layer.places().tolist()))
                expected = None if layer.dense else kept / len(first[name][index])
                assert found["initial_alive"][index] == expected
                assert found["connections"][index] == layer.connections
            layer = run.agent.networks()[name].layers[0]
            if layer.dense:
                assert name == "actor" and found["input_connections"] is None
                continue
            mask = np.zeros(layer.shape, bool)
            mask.flat[layer.places()] = True
            assert found["input_connections"] == mask.sum(axis=0).tolist()
    shares = [line["networks"]["critic1"]["initial_alive"][1] for line in lines]
    assert shares[0] == 1.0 and 0.1 < shares[-1] < 0.9


def test_a_finished_run_can_go_on_and_equals_the_longer_run(tmp_path, uninterrupted):
    path = trained(tmp_path / "run", config(total_timesteps=250))
    assert resume(path, Silent()) is None
    with resume(path, Silent(), total_timesteps=400) as run:
        assert run.train().finished
    same_to_the_bit(path, uninterrupted)
    assert resume(path, Silent()) is None


def test_a_corrupt_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path, uninterrupted, capsys):
    path = trained(tmp_path / "run")
    newest = path / "checkpoints" / "step-000000400" / "agent.safetensors"
    content = bytearray(newest.read_bytes())
    content[-5] ^= 1
    newest.write_bytes(content)
    with resume(path, Silent()) as run:
        assert run.training.step == 350
        run.train()
    assert "agent.safetensors" in capsys.readouterr().err
    same_to_the_bit(path, uninterrupted)
    assert metrics(path) == metrics(uninterrupted)


def test_no_sound_checkpoint_at_all_is_refused_rather_than_started_over(tmp_path):
    path = trained(tmp_path / "run", config(total_timesteps=100))
    for file in path.rglob("*.safetensors"):
        file.write_bytes(b"")
    with pytest.raises(CheckpointError):
        resume(path, Silent())


def test_a_run_in_use_or_of_another_configuration_is_refused(tmp_path):
    path = tmp_path / "run"
    with runs.start(config(), AGENT, path, Silent()):
        with pytest.raises(RunDirectoryError, match="in use"):
            resume(path, Silent())
        with pytest.raises(RunDirectoryError, match="in use"):
            runs.start(config(), AGENT, path, Silent())
    with pytest.raises(RunDirectoryError, match=r"train.seed: 3 there, 4 here"):
        runs.start(config(seed=4), AGENT, path, Silent())
    with pytest.raises(RunDirectoryError, match=r"rewirl\.resume"):
        runs.start(config(), AGENT, path, Silent())


def test_the_first_nan_stops_the_run_and_all_before_it_is_saved(tmp_path):
    settings = config(env="rewirl-tests/Nan-v0", eval_every=0, env_kwargs={"at": 25}, checkpoint_every=10)
    message = r"rewirl-tests/Nan-v0: the reward is nan.*training step 25 "
    with (
        runs.start(settings, AGENT, tmp_path / "run", Silent()) as run,
        pytest.raises(FaultyEnvironmentError, match=message),
    ):
        run.train()
    assert load_latest(tmp_path / "run" / "checkpoints", pytest.fail).step == 24


def test_a_full_disk_does_not_end_the_run(tmp_path, monkeypatch, capsys):
    from rewirl.storage import recorder

    real = recorder.save_checkpoint

    def full(root: Path, step: int, *more: Any) -> Path:
        if step == 70:
            raise CheckpointError("no space left on device")
        return real(root, step, *more)

    monkeypatch.setattr(recorder, "save_checkpoint", full)
    path = trained(tmp_path / "run", config(total_timesteps=150))
    assert "no checkpoint at step 70, training goes on: no space left" in capsys.readouterr().err
    assert [line["step"] for line in metrics(path) if line["event"] == "checkpoint"] == [140, 150]


class Killed(BaseException):
    """Ends a run where a kill would, without the time that a process takes."""


def killed_in(monkeypatch, name: str, when, path: Path) -> None:
    """Train until the recorder is about to do what `name` says, in the circumstances of `when`."""
    from rewirl.storage import recorder

    owner = recorder if hasattr(recorder, name) else recorder.RunRecord
    real = getattr(owner, name)

    def dies(*arguments: Any, **more: Any) -> Any:
        if when(*arguments):
            raise Killed
        return real(*arguments, **more)

    with (
        monkeypatch.context() as patched,
        runs.start(config(), AGENT, path, Silent()) as run,
        pytest.raises(Killed),
    ):
        patched.setattr(owner, name, dies)
        run.train()


@pytest.mark.parametrize(
    "name, when",
    [
        ("save_policy", lambda path, arrays, values: values["step"] == 400),
        ("event", lambda self, event, step: event == "end"),
    ],
)
def test_a_run_killed_after_its_last_checkpoint_gets_its_policy_and_its_end_when_resumed(
    tmp_path, uninterrupted, monkeypatch, name, when
):
    path = tmp_path / "run"
    killed_in(monkeypatch, name, when, path)
    assert load_latest(path / "checkpoints", pytest.fail).step == 400
    with resume(path, Silent()) as run:
        outcome = run.train()
        assert outcome.finished and outcome.saved
    same_to_the_bit(path, uninterrupted)
    assert metrics(path) == metrics(uninterrupted)
    assert resume(path, Silent()) is None


def test_a_run_whose_last_policy_could_not_be_saved_has_not_ended(tmp_path, uninterrupted, monkeypatch):
    from rewirl.storage import recorder
    from rewirl.storage.policy_file import PolicyError

    def full(*_: Any, **named: Any) -> None:
        raise PolicyError("no space left on device")

    path = tmp_path / "run"
    with monkeypatch.context() as patched, runs.start(config(), AGENT, path, Silent()) as run:
        patched.setattr(recorder, "save_policy", full)
        assert not run.train().saved
    with resume(path, Silent()) as run:
        assert run.train().saved
    same_to_the_bit(path, uninterrupted)
    assert metrics(path) == metrics(uninterrupted)


def test_a_run_saved_before_its_first_evaluation_starts_once(tmp_path, uninterrupted):
    path = tmp_path / "run"
    with runs.start(config(), AGENT, path, Silent()) as run:
        assert run.train(lambda: True).step == 0
    with resume(path, Silent()) as run:
        run.train()
    same_to_the_bit(path, uninterrupted)
    assert [line for line in metrics(path) if line != {"event": "checkpoint", "step": 0}] == metrics(uninterrupted)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_whose_directory_is_deleted_ends_and_does_not_make_it_again(tmp_path, threads):
    path = tmp_path / "run"
    with runs.start(config(threads=threads), AGENT, path, Silent()) as run:

        def delete() -> bool:
            if run.training.step == 110:
                shutil.rmtree(path)
            return False

        with pytest.raises(RunDirectoryError, match="was deleted or moved"):
            run.train(delete)
        # The end of the episode is recorded; with two threads the evaluation after step 100 perhaps before that.
        assert run.training.step == 120 if threads == 1 else 110 <= run.training.step <= 120
    assert not path.exists()


def test_lines_that_wait_for_room_when_a_checkpoint_is_saved_are_in_a_run_resumed_from_it(
    tmp_path, uninterrupted, monkeypatch
):
    from rewirl.storage import metrics_log

    path = tmp_path / "run"

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched, runs.start(config(), AGENT, path, Silent()) as run:
        # Full for the log from before the checkpoint at step 140 until after it; killed later, before the next one.
        def around(write=metrics_log._write) -> bool:
            patched.setattr(metrics_log, "_write", full if 115 <= run.training.step <= 145 else write)
            return run.training.step == 200

        run.train(around)
    shutil.rmtree(path / "checkpoints" / "step-000000200")
    with resume(path, Silent()) as run:
        assert run.training.step == 140
        run.train()
    same_to_the_bit(path, uninterrupted)
    assert metrics(path) == metrics(uninterrupted)


@pytest.mark.parametrize("resumed", [False, True])
def test_a_log_that_cannot_be_opened_is_refused_with_its_name_and_frees_the_directory(tmp_path, monkeypatch, resumed):
    from rewirl.storage import metrics_log

    path = tmp_path / "run"
    if resumed:
        trained(path, config(total_timesteps=100))

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    begin = (lambda: resume(path, Silent(), 200)) if resumed else (lambda: runs.start(config(), AGENT, path, Silent()))
    with monkeypatch.context() as patched:
        patched.setattr(metrics_log, "sync_directory", full)
        with pytest.raises(RunDirectoryError, match=r"metrics\.jsonl cannot be written: No space left"):
            begin()
    with begin() as run:
        assert run.train().finished


def test_the_policy_file_is_enough_to_act_and_to_find_the_environment_again(uninterrupted):
    policy = TrainedPolicy.load(uninterrupted)
    observations = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    with resume(uninterrupted, Silent(), total_timesteps=401) as run:
        np.testing.assert_array_equal(policy.act(observations), run.agent.predict(observations))
    assert policy.source().id == "rewirl-tests/Drift-v0"
    actions = policy.predict(observations)
    assert actions.dtype == np.float32 and actions.shape == (7, 2)
    np.testing.assert_allclose(actions, policy.act(observations) * [1, 4] + [0, 2], rtol=1e-6)
    assert policy.predict([0.0, 1.0, 2.0]).shape == (2,)
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        policy.predict(np.zeros(4))


def test_a_policy_that_does_not_fit_together_is_refused(tmp_path, uninterrupted):
    from rewirl.storage.policy_file import PolicyError, load_policy, save_policy

    arrays, values = load_policy(uninterrupted / "policy")
    for name, wrong in [
        ("observation_size", 4),
        ("observation_size", None),
        ("bounds", {"low": [0], "high": [1], "dtype": "float32"}),
        ("bounds", {"low": [0, 0], "high": [1, 1], "dtype": "object"}),
        ("actor", {"sizes": [3, 24, 16]}),
        ("agent", None),
    ]:
        broken = {key: value for key, value in values.items() if key != name or wrong is not None}
        save_policy(tmp_path / "policy", arrays, {**broken, **({name: wrong} if wrong is not None else {})})
        with pytest.raises(PolicyError, match="not a policy of Rewirl"):
            TrainedPolicy.load(tmp_path / "policy")


def test_an_environment_that_cannot_be_made_again_is_not_evaluated():
    source = environment_source(probes.Drift())
    with pytest.raises(UnsuitableEnvironmentError, match="cannot be made a second time"):
        runs.Run(config(), AGENT, Silent(), source)
    with runs.Run(config(eval_every=0), AGENT, Silent(), source) as run:
        run.train()


def test_the_record_says_how_the_run_was_made(uninterrupted):
    record = json.loads((uninterrupted / "config.json").read_text())
    assert record["config"]["train"]["env"] == "rewirl-tests/Drift-v0"
    assert record["config"]["agent"]["topology"]["adapt_every"] == 5
    assert list((uninterrupted / "tensorboard").iterdir())


def test_the_real_thing_on_mujoco_resumes_to_the_bit(tmp_path):
    settings = TrainConfig(env="HalfCheetah-v5", total_timesteps=330, eval_every=0, checkpoint_every=0, threads=2)
    agent = TD3Config(
        hidden_sizes=(32, 32),
        topology=TopologyConfig(sparsity=0.6, adapt_every=20),
        learning_starts=200,
        buffer_size=1000,
    )
    trained(tmp_path / "whole", settings, agent)
    with runs.start(settings, agent, tmp_path / "parts", Silent()) as run:
        run.train(lambda: run.training.step >= 271)
    with resume(tmp_path / "parts", Silent()) as run:
        run.train()
    same_to_the_bit(tmp_path / "whole", tmp_path / "parts")
