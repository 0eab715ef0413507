"""An agent that several threads of a program use."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import rewirl

SMALL: dict[str, Any] = {"hidden_sizes": (16, 12), "batch_size": 10, "learning_starts": 20, "sparsity": 0.5, "seed": 1}

_LEFT_BEHIND = """
import threading
import rewirl

def until(moment):
    if moment.step == 40:
        learning.set()

learning = threading.Event()
agent = rewirl.DSTD3("Pendulum-v1", hidden_sizes=(256, 256), learning_starts=20, threads={threads})
threading.Thread(target=lambda: agent.learn(1_000_000, callback=until), daemon=True).start()
assert learning.wait(60)
print("the end")
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_program_ends_while_a_thread_that_it_leaves_behind_learns(threads):
    script = _LEFT_BEHIND.format(threads=threads)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stdout) == (0, "the end\n"), ended.stderr
    assert "terminate" not in ended.stderr and "leak" not in ended.stderr


def test_an_agent_learns_once_at_a_time():
    def weights(agent: rewirl.DSTD3) -> list[bytes]:
        return [layer.weights.data.tobytes() for layers in agent.topology.values() for layer in layers]

    refused: list[str] = []

    def meddle(moment: rewirl.Moment) -> None:
        if moment.step == 30:
            for attempt in (lambda: moment.agent.learn(5), moment.agent.close):
                with pytest.raises(RuntimeError, match="is learning") as caught:
                    attempt()
                refused.append(str(caught.value))

    def elsewhere(moment: rewirl.Moment) -> None:
        if moment.step == 30:
            thread = threading.Thread(target=lambda: meddle(moment))
            thread.start()
            thread.join()

    agents = [rewirl.DSTD3("Pendulum-v1", **SMALL) for _ in range(3)]
    for agent, callback in zip(agents, (None, meddle, elsewhere), strict=True):
        agent.learn(60, callback=callback)
        assert agent.steps == 60
    assert len(refused) == 4 and "DSTD3" in refused[0]
    assert weights(agents[0]) == weights(agents[1]) == weights(agents[2])
    agents[0].learn(5)  # it goes on when it is over
    for agent in agents:
        agent.close()


def test_what_another_thread_sees_and_saves_while_it_learns_is_of_one_moment(tmp_path):
    """It is rewired all the time: places and weights of two moments do not fit together."""
    often = {"adapt_every": 1, "adapt_fraction": 0.3, "hidden_sizes": (32, 32)}
    agent, alone = (rewirl.DSTD3("Pendulum-v1", **{**SMALL, **often}) for _ in range(2))
    faults: list[BaseException] = []
    over = threading.Event()

    def look() -> None:
        try:
            while not over.is_set():
                for layers in agent.topology.values():
                    for layer in layers:
                        assert layer.mask.nnz and layer.weights.nnz
                for network in agent._run.agent.networks().values():
                    network.state()
                agent.save(tmp_path / "policy")
                rewirl.load(tmp_path / "policy").predict([0.0, 1.0, 0.0])
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=look)
    thread.start()
    agent.learn(160)
    over.set()
    thread.join()
    alone.learn(160)
    assert not faults
    for name, layers in agent.topology.items():
        for layer, other in zip(layers, alone.topology[name], strict=True):
            assert (layer.weights != other.weights).nnz == 0


NORMED = {**SMALL, "hidden_sizes": (16, 16), "actor_hidden_sizes": (16, 16), "adapt_every": 2}
KINDS = [
    (rewirl.DSTD3, "Pendulum-v1", {**SMALL, "hidden_sizes": (16, 16), "structure": "8x1"}),
    (rewirl.DSXQC, "Pendulum-v1", NORMED),
    (rewirl.DSSimBa, "Pendulum-v1", NORMED),
    (rewirl.DSCrossQ, "Pendulum-v1", {**NORMED, "normalise_observations": True}),
    (rewirl.DSDQN, "CartPole-v1", SMALL),
]


@pytest.mark.parametrize(("kind", "env", "options"), KINDS)
def test_threads_predict_with_one_policy_and_one_agent_that_learns(tmp_path, kind, env, options):
    agent, alone = (kind(env, **{**options, "threads": 2}) for _ in range(2))
    for each in (agent, alone):
        each.learn(40)
    agent.save(tmp_path / "policy")
    policy = rewirl.load(tmp_path / "policy")
    rng = np.random.default_rng(0)
    batches = [rng.standard_normal((size, *agent.observation_space.shape)) for size in (1, 7, 16, 100)]
    expected = [policy.predict(batch).tobytes() for batch in batches]
    wrong: list[int] = []

    def ask(first: int) -> None:
        for turn in range(first, first + 60):
            number = turn % len(batches)
            if policy.predict(batches[number]).tobytes() != expected[number]:
                wrong.append(number)
            agent.predict(batches[number])

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    agent.learn(30)
    for thread in threads:
        thread.join()
    alone.learn(30)
    assert not wrong
    for batch in batches:
        assert agent.predict(batch).tobytes() == alone.predict(batch).tobytes()
    for each in (agent, alone):
        each.close()


@pytest.mark.parametrize(
    ("kind", "options"),
    [(rewirl.DSTD3, SMALL), (rewirl.DSSAC, SMALL), (rewirl.DSXQC, NORMED), (rewirl.DSCrossQ, NORMED)],
)
def test_diagnostics_that_another_thread_asks_for_change_nothing(kind, options):
    """They are computed in the memory that an update uses; a thread that looks all the time would fall into one."""
    agent, alone = (kind("Pendulum-v1", **options) for _ in range(2))
    faults: list[BaseException] = []
    looks: list[dict[str, float]] = []
    over = threading.Event()

    def look() -> None:
        try:
            while not over.is_set():
                looks.append(agent.diagnostics)
        except BaseException as fault:
            faults.append(fault)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    thread = threading.Thread(target=look)
    thread.start()
    try:
        agent.learn(150)
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(interval)
    alone.learn(150)
    assert not faults and looks[-1]
    for name, layers in agent.topology.items():
        for layer, other in zip(layers, alone.topology[name], strict=True):
            assert (layer.weights != other.weights).nnz == 0, name


def test_a_callback_may_wait_for_a_thread_that_asks_for_diagnostics():
    told: list[dict[str, float]] = []

    def elsewhere(moment: rewirl.Moment) -> None:
        if moment.step == 30:
            thread = threading.Thread(target=lambda: told.append(moment.agent.diagnostics))
            thread.start()
            thread.join(60)
            told.append(moment.agent.diagnostics)

    rewirl.DSTD3("Pendulum-v1", **SMALL).learn(40, callback=elsewhere)
    assert len(told) == 2 and told[0] == told[1] and "critic1_loss" in told[0]


def test_a_thread_that_is_interrupted_while_it_waits_for_diagnostics_leaves_no_turn_taken():
    """Ctrl-C comes to the main thread, anywhere in the wait; the agent learns on in another one."""
    agent = rewirl.DSTD3("Pendulum-v1", **SMALL)
    over = threading.Event()

    def learn() -> None:
        try:
            agent.learn(600)
        finally:
            over.set()

    learner = threading.Thread(target=learn, daemon=True)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    interrupts = 0
    try:
        learner.start()
        while not over.is_set():  # is_alive may be wrong after an interrupt
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.003)
                while not over.is_set():
                    assert isinstance(agent.diagnostics, dict)
            except KeyboardInterrupt:
                interrupts += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert agent.steps == 600 and interrupts > 3
    assert "critic1_loss" in agent.diagnostics


def test_a_handler_of_a_signal_may_ask_for_diagnostics():
    """In the midst of a step they are those that were asked for last: nothing is waited for, and nothing changes."""
    told: list[dict[str, float]] = []

    def handle(number: int, frame: object) -> None:
        told.append(agent.diagnostics)
        signal.setitimer(signal.ITIMER_REAL, 0.002)

    agent, alone = (rewirl.DSTD3("Pendulum-v1", **SMALL) for _ in range(2))
    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.002)
        agent.learn(300)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    alone.learn(300)
    assert len(told) > 3
    for name, layers in agent.topology.items():
        for layer, other in zip(layers, alone.topology[name], strict=True):
            assert (layer.weights != other.weights).nnz == 0, name
