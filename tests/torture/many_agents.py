"""A thousand agents in one process, and processes forked and spawned from one in which agents live."""

from __future__ import annotations

import contextlib
import gc
import itertools
import multiprocessing
import os
import random
import resource
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scenario import Score, scenario
from trainees import Output, Trainee

import rewirl

_SMALL: dict[str, Any] = {"hidden_sizes": [16, 16], "batch_size": 10, "learning_starts": 10, "buffer_size": 100}
_SMALL |= {"adapt_every": 2}  # so that nothing is to be warned of
_SMALLER = {**_SMALL, "actor_hidden_sizes": [16]}
_KINDS: tuple[tuple[Any, dict[str, Any]], ...] = (
    (rewirl.TD3, _SMALL),
    (rewirl.DSTD3, _SMALL),
    (rewirl.SAC, _SMALL),
    (rewirl.DSSAC, _SMALL),
    (rewirl.StaticTD3, {**_SMALL, "structure": "8x1"}),
    (rewirl.StaticSAC, {**_SMALL, "n_envs": 2, "normalise_observations": True}),
    (rewirl.DSXQC, {**_SMALLER, "structure": "8x1"}),
    (rewirl.DSSimBa, _SMALLER),
    (rewirl.DSCrossQ, {**_SMALLER, "n_envs": 2}),
    (rewirl.XQC, _SMALLER),
    (rewirl.DSDQN, {**_SMALL, "env": "CartPole-v1"}),
)
_MEGABYTES = 8
"""How much a process may have grown by in the end: what allocators keep for themselves, and caches."""

_CHILDREN_SECONDS = 60
OBSERVATION = np.linspace(-1, 1, 3, dtype=np.float32)


def an_agent(number: int, threads: int) -> Any:
    """Make a small agent and let it learn a little."""
    kind, options = _KINDS[number % len(_KINDS)]
    options = {"env": "rewirl-tests/Drift-v0", **options}
    agent = kind(seed=number, threads=threads, env_module="probe_environments", **options)
    agent.learn(16)
    return agent


@scenario("many-agents", 1000)
def many_agents(runs: int, seed: int, directory: Path) -> Score:
    """Make so many agents, close some, forget the others; then fork and spawn beside a living one."""
    score = Score()
    with score.trial(f"{runs} agents"):
        score.faults += runs
        _in_a_process(lambda: _come_and_go(runs, seed))
    children = max(1, min(5, runs // 100))
    ways = itertools.product(("fork", "spawn", "forkserver"), (1, 2))
    for (method, threads), number in zip(ways, (1, 6, 7, 8, 3, 4), strict=True):
        with score.trial(f"{method} beside an agent with {threads} threads"):
            score.faults += 1
            _in_a_process(partial(_beside, method, threads, children, number))
            score.compared += 1
    return score


def _come_and_go(runs: int, seed: int) -> None:
    rng = random.Random(seed)
    few = max(len(_KINDS) * 4, runs // 10)  # imports and caches come with the first
    for number in range(few):
        an_agent(number, 1 + number % 2).close()
    gc.collect()
    before = _held()
    for number in range(runs):
        agent = an_agent(number, 1 + rng.randrange(2))
        agent.predict(np.resize(OBSERVATION, agent.observation_space.shape))
        if rng.random() < 0.5:
            agent.close()
        del agent
    gc.collect()
    after = _held()
    assert after[0] == before[0], f"{after[0]} threads in place of {before[0]}"
    assert after[1] == before[1], f"{after[1]} open files in place of {before[1]}"
    assert after[2] - before[2] < _MEGABYTES, f"{after[2] - before[2]:.1f} MB more"


def _held() -> tuple[int, int, float]:
    """Return threads, open files, and megabytes in memory of this process."""
    threads = len(list(Path("/proc/self/task").iterdir()))
    files = len(list(Path("/proc/self/fd").iterdir()))
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return threads, files, pages * resource.getpagesize() / 1e6


def _beside(method: str, threads: int, children: int, number: int) -> None:
    agent = an_agent(number, threads)
    twin = an_agent(number, threads)  # learns what a child that inherits the first one learns
    twin.learn(20)
    expected = twin.predict(OBSERVATION).tobytes(), an_agent(number + 1, 2).predict(OBSERVATION).tobytes()
    context = multiprocessing.get_context(method)
    for _ in range(children):
        ours, theirs = context.Pipe()
        inherited = agent if method == "fork" else None
        process = context.Process(target=in_a_child, args=(theirs, inherited, number + 1))
        process.start()
        theirs.close()
        answered = ours.poll(_CHILDREN_SECONDS)
        if not answered:
            process.kill()
        process.join()
        assert answered, "the child hangs"
        of_inherited, of_new = ours.recv()
        assert inherited is None or of_inherited == expected[0], "an inherited agent learns something else"
        assert of_new == expected[1], "a new agent learns something else"
        assert process.exitcode == 0, f"exit code {process.exitcode} of the child"
        ours.close()
    agent.learn(20)
    assert agent.predict(OBSERVATION).tobytes() == expected[0], "the parent's agent learns something else afterwards"
    agent.close()


def in_a_child(pipe: Any, inherited: Any, number: int) -> None:
    """Use an inherited agent and a new one, close or forget them, and tell what they would do."""
    found = None
    if inherited is not None:
        inherited.learn(20)
        found = inherited.predict(OBSERVATION).tobytes()
    new = an_agent(number, 2)
    told = found, new.predict(OBSERVATION).tobytes()
    if inherited is not None:
        inherited.close()
    del inherited, new
    gc.collect()
    pipe.send(told)


def _in_a_process(act: Callable[[], None]) -> None:
    """Do something in a process of its own, in which nothing has happened before."""
    output = Output()

    def prepare() -> None:
        try:
            act()
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()
            os._exit(1)
        os._exit(0)

    code = None
    with contextlib.suppress(AssertionError):
        trainee = Trainee([], output.write, prepare)
        assert trainee.ended(20 * _CHILDREN_SECONDS)
        code = trainee.code
    text = output.text()
    assert code == 0, text[-1500:]
