"""Evaluation beside training, in a process of its own: environments are Python, and two of them need two interpreters.

The process runs `serve` in a fresh interpreter: it neither copies this one's threads nor imports the user's script. It
makes its environments from their id and gets every policy as JSON and safetensors over a socket. It ends when the
socket closes, so it outlives nobody; the signals of a terminal go to its parent alone, who decides.
"""

from __future__ import annotations

import io
import json
import select
import subprocess
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from rewirl import _core, agents, plugins, processes
from rewirl.environments.environment import FaultyEnvironmentError
from rewirl.environments.environment_process import described, made
from rewirl.environments.source import EnvironmentSource
from rewirl.nn.native import SOURCES, load_native
from rewirl.nn.operations import own_modules
from rewirl.storage import strict_json
from rewirl.storage.tensors import TensorWriter, read_tensors
from rewirl.training.evaluation import Evaluation, Evaluator

if TYPE_CHECKING:
    from rewirl.agents import Agent, Policy

_SLICE_MILLISECONDS = 50


class ParallelEvaluations:
    """Evaluates in a process of its own while the agent learns on, with the result that this process would have had.

    If the process cannot make the environment or dies, this process evaluates the same policy instead, and all later
    ones.

    Args:
        evaluator: plays the episodes if this process has to.
        source: where the environments come from, one for which `possible` is true.
        warn: told why this process evaluates after all.
    """

    def __init__(self, evaluator: Evaluator, source: EnvironmentSource, warn: Callable[[str], None]) -> None:
        """Start no process yet: the first evaluation does."""
        self._evaluator = evaluator
        self._source = source
        self._warn = warn
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection[Any, Any] | None = None
        self._poll = select.poll()
        self._begun: tuple[bytes, bytes] | None = None
        self._alone = False

    def begin(self, agent: Agent | Policy, when: str, step: int = 0, state: list[Any] | None = None) -> None:
        """See Evaluations."""
        arrays, values = agent.state() if isinstance(agent, agents.Policy) else agent.policy_state()
        about = {"when": when, "step": step, "state": state, "policy": values}
        self._begun = json.dumps(about).encode(), _to_bytes(arrays)
        if self._alone:
            return
        try:
            pipe = self._pipe or self._start()
            for part in self._begun:
                pipe.send_bytes(part)
        except OSError as error:
            self._give_up_process(str(error))

    def ready(self) -> bool:
        """See Evaluations."""
        return self._pipe is None or bool(self._poll.poll(0))

    def collect(self, stop: Callable[[], bool] = lambda: False) -> Evaluation | None:
        """See Evaluations."""
        assert self._begun is not None, "nothing was begun"
        begun, self._begun = self._begun, None
        if self._pipe is not None:
            while not self._poll.poll(_SLICE_MILLISECONDS):
                if stop():
                    self._end_process()
                    return None
            try:
                answer = strict_json.decode(self._pipe.recv_bytes())
            except (OSError, EOFError):
                answer = {"unable": "that process ended unexpectedly"}
            if "fault" in answer:
                raise FaultyEnvironmentError(answer["fault"])
            if "unable" not in answer:
                return Evaluation(tuple(answer["returns"]), tuple(answer["lengths"]), answer["seconds"])
            self._give_up_process(answer["unable"])
        return _evaluate(self._evaluator, begun, stop)

    def close(self) -> None:
        """See Evaluations; what has begun can still be collected, this process evaluates then."""
        self._end_process()
        self._evaluator.close()

    def _start(self) -> Connection[Any, Any]:
        self._process, self._pipe = processes.start(__name__, serve.__name__)
        self._poll.register(self._pipe.fileno(), select.POLLIN)
        settings = {
            **described(self._source),
            "episodes": self._evaluator.episodes,
            "seed": self._evaluator.seed,
            "instruction_set": _core.instruction_set(),
            "native": [str(source) for source in SOURCES],
            "operations": own_modules(),
        }
        self._pipe.send_bytes(json.dumps(settings).encode())
        return self._pipe

    def _give_up_process(self, reason: str) -> None:
        self._end_process()
        self._alone = True
        self._warn(f"evaluating between training steps from now on, not in a process beside training: {reason}")

    def _end_process(self) -> None:
        if self._pipe is not None:
            self._poll.unregister(self._pipe.fileno())
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            processes.end(self._process)
            self._process = None


def serve(descriptor: int) -> None:
    """Evaluate whatever policies come through a socket until it closes; what the process beside training runs.

    Args:
        descriptor: of the socket. First come settings as JSON; then for each evaluation JSON (`when`, `step`, `state`,
            and the values of the policy) and safetensors. The answer is JSON: returns, lengths and seconds; or `fault`,
            what is wrong with the environment; or `unable`, why there is no environment to evaluate in.
    """
    processes.end_with_parent(descriptor)
    with Connection(descriptor) as pipe:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)

        def closed() -> bool:
            return bool(poll.poll(0))  # nothing is sent while an evaluation is in flight

        evaluator: Evaluator | None = None
        try:
            settings = strict_json.decode(pipe.recv_bytes())
            while True:
                begun = pipe.recv_bytes(), pipe.recv_bytes()
                answer: dict[str, Any]
                try:
                    if evaluator is None:
                        evaluator = _evaluator(settings)
                    evaluation = _evaluate(evaluator, begun, closed)
                    if evaluation is None:
                        break
                    answer = {
                        "returns": evaluation.returns,
                        "lengths": evaluation.lengths,
                        "seconds": evaluation.seconds,
                    }
                except FaultyEnvironmentError as error:
                    answer = {"fault": str(error)}
                except Exception as error:
                    answer = {"unable": f"{settings['id']} cannot be played there ({type(error).__name__}: {error})"}
                pipe.send_bytes(json.dumps(answer).encode())
        except (EOFError, OSError):
            pass  # the parent is gone, or wants no more
        finally:
            if evaluator is not None:
                evaluator.close()


def _evaluator(settings: Mapping[str, Any]) -> Evaluator:
    _core.use_instruction_set(settings["instruction_set"])
    for native in settings["native"]:
        load_native(native)
    for module in settings["operations"]:
        plugins.import_module(module)
    source = made(settings)
    assert source.make_another is not None
    return Evaluator(source.make_another, settings["episodes"], settings["seed"])


def _evaluate(evaluator: Evaluator, begun: tuple[bytes, bytes], stop: Callable[[], bool]) -> Evaluation | None:
    about, tensors = strict_json.decode(begun[0]), begun[1]
    policy = agents.Policy.from_state(read_tensors(io.BytesIO(tensors), len(tensors)), about["policy"])
    return evaluator.evaluate(policy.predict, about["when"], stop, about["step"], about["state"])


def _to_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    TensorWriter(arrays)(buffer)
    return buffer.getvalue()
