"""Promises of evaluation beside training: the serial result to the bit, and no trace of the process but its speed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import probe_environments as probes
import pytest

from rewirl import _core
from rewirl.agents import TD3Config, make_agent
from rewirl.environments.environment import FaultyEnvironmentError
from rewirl.environments.environment_process import portable
from rewirl.environments.source import environment_source
from rewirl.replay import Replay
from rewirl.topology import TopologyConfig
from rewirl.training.evaluation import Evaluation, Evaluator
from rewirl.training.evaluation_process import ParallelEvaluations

AGENT = TD3Config(hidden_sizes=(24, 16), topology=TopologyConfig(sparsity=0.5, adapt_every=2), batch_size=10)


class Beside:
    """Parallel evaluations in an environment of probe_environments, and what the training process would find."""

    def __init__(self, identity: str, module: str | None = "probe_environments", **kwargs: Any) -> None:
        self.source = environment_source(identity, kwargs, module)
        self.own = Evaluator(self.source.make_another, 3, seed=5)
        self.warnings: list[str] = []
        self.evaluations = ParallelEvaluations(self.own, self.source, self.warnings.append)
        sizes = self.source.make_training().observation_size, self.source.make_training().action_size
        self.agent = make_agent("ds-td3", AGENT, *sizes, seed=1)
        self.replay = Replay(100, *sizes, seed=1)
        rng = np.random.default_rng(0)
        for _ in range(50):
            self.replay.add(
                rng.normal(size=sizes[0]), rng.uniform(-1, 1, sizes[1]), 1.0, rng.normal(size=sizes[0]), False
            )

    def expected(self) -> Evaluation:
        found = Evaluator(self.source.make_another, 3, seed=5).evaluate(self.agent.predict, "now")
        assert found is not None
        return found

    def learn(self) -> None:
        for _ in range(4):
            self.agent.update(self.replay)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self.evaluations._process is not None
        return self.evaluations._process


@pytest.fixture
def beside() -> Iterator[Any]:
    made: list[Beside] = []

    def make(*args: Any, **kwargs: Any) -> Beside:
        made.append(Beside(*args, **kwargs))
        return made[-1]

    yield make
    for each in made:
        each.evaluations.close()


def test_it_is_in_an_environment_that_is_as_far_as_the_run(beside):
    b = beside("rewirl-tests/Changing-v0")
    found = []
    for step in (0, 70):
        b.evaluations.begin(b.agent, "now", step)
        found.append(b.evaluations.collect())
        same(found[-1], b.own.evaluate(b.agent.predict, "now", step=step))
    assert found[0].returns != found[1].returns and b.warnings == []


def same(one: Evaluation | None, other: Evaluation) -> None:
    assert one is not None and (one.returns, one.lengths) == (other.returns, other.lengths)


@pytest.mark.parametrize(
    "identity, module", [("rewirl-tests/Drift-v0", "probe_environments"), ("HalfCheetah-v5", None)]
)
def test_the_policy_of_the_beginning_is_evaluated_to_the_bit_while_the_agent_learns_on(beside, identity, module):
    b = beside(identity, module, **({} if module else {"max_episode_steps": 60}))
    found = []
    for _ in range(3):  # one process, whose environments are used again
        expected = b.expected()
        b.evaluations.begin(b.agent, "now")
        process = b.process
        b.learn()
        found.append(b.evaluations.collect())
        same(found[-1], expected)
        assert b.process is process and b.process.poll() is None
    assert len({each.returns for each in found}) == 3
    assert b.own._environments == [] and b.warnings == []
    b.evaluations.close()
    assert process.returncode == 0


def test_it_is_ready_when_the_result_is_there_and_not_before(beside, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    endless = beside("rewirl-tests/Endless-v0", pipe=str(tmp_path / "pipe"))
    endless.evaluations.begin(endless.agent, "now")
    (tmp_path / "pipe").read_text()
    assert not endless.evaluations.ready()
    b = beside("rewirl-tests/Drift-v0")
    b.evaluations.begin(b.agent, "now")
    b.evaluations._poll.poll()
    assert b.evaluations.ready()
    same(b.evaluations.collect(), b.expected())


def test_the_process_computes_with_the_same_instructions(beside):
    used = _core.instruction_set()
    try:
        for name in _core.available_instruction_sets():
            _core.use_instruction_set(name)
            b = beside("rewirl-tests/Drift-v0", length=200)
            b.evaluations.begin(b.agent, "now")
            same(b.evaluations.collect(), b.expected())
            b.evaluations.close()
    finally:
        _core.use_instruction_set(used)


def test_a_fault_is_reported_as_if_it_had_happened_here(beside):
    b = beside("rewirl-tests/Nan-v0", at=4)
    with pytest.raises(FaultyEnvironmentError) as serial:
        b.own.evaluate(b.agent.predict, "evaluation after step 50")
    b.evaluations.begin(b.agent, "evaluation after step 50")
    with pytest.raises(FaultyEnvironmentError) as parallel:
        b.evaluations.collect()
    assert str(parallel.value) == str(serial.value)
    assert str(serial.value).endswith(
        "the reward is nan, which is not a finite float32 number, at evaluation after step 50, episode 0, step 4"
    )
    assert b.warnings == []


@pytest.mark.parametrize("when", ["while it starts", "between two evaluations"])
def test_when_the_process_dies_the_same_policy_is_evaluated_here(beside, when):
    b = beside("rewirl-tests/Drift-v0")
    if when == "between two evaluations":
        b.evaluations.begin(b.agent, "now")
        same(b.evaluations.collect(), b.expected())
        b.process.kill()
        b.process.wait()
    expected = b.expected()
    b.evaluations.begin(b.agent, "now")
    if when == "while it starts":
        b.process.kill()
    b.learn()
    same(b.evaluations.collect(), expected)
    assert len(b.warnings) == 1 and b.warnings[0].startswith("evaluating between training steps from now on")
    b.evaluations.begin(b.agent, "now")  # and no second process that would die too
    assert b.evaluations._process is None and b.evaluations.ready()
    same(b.evaluations.collect(), b.expected())
    assert len(b.warnings) == 1


def test_an_interpreter_that_cannot_be_started_changes_nothing_either(beside, monkeypatch):
    b = beside("rewirl-tests/Drift-v0")
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    b.evaluations.begin(b.agent, "now")
    same(b.evaluations.collect(), b.expected())
    assert "No such file or directory" in b.warnings[0]


def test_an_environment_that_only_this_process_knows_is_evaluated_here(beside):
    gymnasium.register("rewirl-tests/OnlyHere-v0", entry_point=probes.Drift)
    try:
        b = beside("rewirl-tests/OnlyHere-v0", None)
        b.evaluations.begin(b.agent, "now")
        same(b.evaluations.collect(), b.expected())
        assert "unknown environment 'rewirl-tests/OnlyHere-v0'" in b.warnings[0]
    finally:
        del gymnasium.registry["rewirl-tests/OnlyHere-v0"]


def test_an_id_that_means_something_else_there_is_evaluated_here(beside, monkeypatch):
    spec = gymnasium.registry["rewirl-tests/Drift-v0"]
    monkeypatch.setitem(gymnasium.registry, spec.id, gymnasium.envs.registration.EnvSpec(spec.id, probes.Restless))
    b = beside("rewirl-tests/Drift-v0")
    b.evaluations.begin(b.agent, "now")
    assert b.evaluations.collect() is not None
    assert "Restless" in b.warnings[0] and "the other one as" in b.warnings[0]


@pytest.mark.parametrize(
    "source, possible",
    [
        (lambda: environment_source("Pendulum-v1"), True),
        (lambda: environment_source("Pendulum-v1", {"g": 9.0}), True),
        (lambda: environment_source("Ant-v5", {"healthy_z_range": (0.2, 1.0)}), False),  # JSON would make it a list
        (lambda: environment_source("Pendulum-v1", {"g": np.float32(9)}), False),
        (lambda: environment_source("Pendulum-v1", {"g": float("nan")}), False),
        (lambda: environment_source("Pendulum-v1", {"render": print}), False),
        (lambda: environment_source("Pendulum-v1", {"table": {1: 2}}), False),
        (lambda: environment_source(probes.Drift), False),
        (lambda: environment_source(gymnasium.make("rewirl-tests/Drift-v0")), False),
    ],
)
def test_only_what_json_tells_whole_goes_to_another_process(source, possible):
    assert portable(source()) is possible


def test_a_stop_gives_it_up_at_once_and_the_next_one_has_a_new_process(beside):
    b = beside("rewirl-tests/Drift-v0", length=10**9)
    b.evaluations.begin(b.agent, "now")
    process = b.process
    asked = iter([False, True])
    assert b.evaluations.collect(lambda: next(asked)) is None
    assert process.returncode is not None and b.warnings == []
    b.evaluations.begin(b.agent, "now")
    assert b.process is not process


def test_what_has_begun_survives_closing(beside):
    b = beside("rewirl-tests/Drift-v0")
    expected = b.expected()
    b.evaluations.begin(b.agent, "now")
    b.evaluations.close()
    b.learn()
    same(b.evaluations.collect(), expected)


def test_signals_to_the_process_do_nothing(beside):
    b = beside("rewirl-tests/Drift-v0")
    b.evaluations.begin(b.agent, "now")
    b.evaluations.collect()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        b.process.send_signal(each)
    b.evaluations.begin(b.agent, "now")
    same(b.evaluations.collect(), b.expected())
    assert b.warnings == []
    assert os.getsid(b.process.pid) != os.getsid(0)  # so the keyboard's signals do not even reach it


# Dies without a word in the middle of an evaluation that never ends.
ORPHAN = """
import os, signal, sys
from test_evaluation_process import Beside
b = Beside("rewirl-tests/Endless-v0", pipe=sys.argv[1])
b.evaluations.begin(b.agent, "now")
open(sys.argv[1]).read()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_ends_with_its_parent_even_in_the_middle_of_an_evaluation(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    # The pipe of its standard output, which it shares, is only at its end when both processes are gone.
    ended = subprocess.run(
        [sys.executable, "-c", ORPHAN, str(tmp_path / "pipe")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        timeout=60,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL and ended.stderr == ""


# As a user's script without an `if __name__ == "__main__"`: it would start itself again and again if it were imported.
SCRIPT = """
import rewirl
print("the script runs")
agent = rewirl.DSTD3("Pendulum-v1", threads=2, hidden_sizes=[16], learning_starts=50, batch_size=10, buffer_size=500)
print(agent.learn(120, eval_every=50, eval_episodes=2, progress=True).steps)
"""


def test_a_users_script_is_not_imported_again(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    ran = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.count("the script runs") == 1 and ran.stdout.endswith("\n120\n") and ran.stderr == ""
    assert ran.stdout.count("return") == 3  # untrained it is evaluated once
