"""An environment in a process of its own, behind the same door: several of them take their steps at the same time.

The process runs `serve` in a fresh interpreter: it neither copies this one's threads nor imports the user's script. It
makes its environment from a recipe, takes actions and answers with outcomes over a socket, and ends when that closes.
"""

from __future__ import annotations

import contextlib
import json
import struct
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl import processes
from rewirl.environments.environment import Environment, FaultyEnvironmentError, Step
from rewirl.environments.identity import registration
from rewirl.environments.source import EnvironmentSource, environment_source
from rewirl.environments.spaces import UnsuitableEnvironmentError

_READY, _RESET, _STEP, _STATE, _LOAD = b"A", b"R", b"S", b"G", b"L"
_DONE, _FAULT, _UNABLE = b"D", b"F", b"U"
_WHERE = "\0"
"""Stands in a message of the process for the words that only this process knows."""
_EPISODE = struct.Struct("<qq")
_OUTCOME = struct.Struct("<d??")


def portable(source: EnvironmentSource) -> bool:
    """Tell whether another process can make these environments: they have an id, and arguments that JSON keeps."""
    if source.id is None or source.made_by != "an id" or not sys.executable:
        return False
    try:
        return bool(json.loads(json.dumps(dict(source.kwargs), allow_nan=False)) == dict(source.kwargs))
    except (TypeError, ValueError):
        return False


def described(source: EnvironmentSource) -> dict[str, Any]:
    """Return as JSON values how another process makes the environments of a source that is `portable`."""
    assert source.id is not None and source.recipe is not None
    return {
        "id": source.id,
        "kwargs": dict(source.kwargs),
        "module": source.module,
        "wrapper": list(source.recipe.named),
        "registration": registration(source.id),
    }


def made(settings: Mapping[str, Any]) -> EnvironmentSource:
    """Return the source that `described` described.

    Raises:
        UnsuitableEnvironmentError: it cannot be found here.
        ValueError: its id means something else here.
    """
    source = environment_source(settings["id"], settings["kwargs"], settings["module"], settings["wrapper"])
    here = registration(settings["id"])
    if here != settings["registration"]:
        raise ValueError(f"the training process knows it as {settings['registration']}, the other one as {here}")
    return source


class EnvironmentProcess:
    """One environment in a process of its own; see `Environment`, whose methods it has.

    Args:
        like: an environment of the same source, whose spaces it has.
        source: where it comes from, one that is `portable`.

    Raises:
        UnsuitableEnvironmentError: there is no room for another process.
    """

    def __init__(self, like: Environment, source: EnvironmentSource) -> None:
        """Start the process; it makes its environment while this one goes on."""
        self.name, self.spaces, self.actions = like.name, like.spaces, like.actions
        self.observation_size, self.action_size = like.observation_size, like.action_size
        self.observation_space, self.action_space = like.observation_space, like.action_space
        self.changes, self.stateful = like.changes, like.stateful
        self.where: Callable[[], str] = lambda: "the first reset"
        self._outcome: bytes | None = None
        self._last: list[Any] = []
        self._made = self._closed = False
        self._in_flight = False
        try:
            self._process, self._pipe = processes.start(__name__, serve.__name__)
            try:
                self._pipe.send_bytes(json.dumps(described(source)).encode())
            except OSError:
                self._pipe.close()
                processes.end(self._process)
                raise
        except OSError as error:
            raise UnsuitableEnvironmentError(
                f"{self.name} cannot be played in a process of its own ({error}); leave env_processes out"
            ) from error

    def wait(self) -> None:
        """Wait until the environment is made there.

        Raises:
            UnsuitableEnvironmentError: it cannot be.
        """
        self._ask(_READY)
        self._made = True

    def reset(self, seed: int, step: int = 0) -> NDArray[np.float32]:
        """Begin an episode; see `Environment.reset`."""
        return self._observation(self._ask(_RESET + _EPISODE.pack(seed, step)))

    def step(self, action: Any) -> Step:
        """Take one step; see `Environment.step`."""
        self.begin(action)
        return self.finish()

    def begin(self, action: Any) -> None:
        """Let the process take one step, whose outcome `finish` waits for."""
        self._send(_STEP + np.asarray(action, self.actions.dtype).tobytes())
        self._in_flight = True

    def finish(self) -> Step:
        """Return the outcome of what `begin` began; raises as `step`."""
        answer, self._outcome = self._answer() if self._outcome is None else self._outcome, None
        answer = self._checked(answer)
        return Step(self._observation(answer[_OUTCOME.size :]), *_OUTCOME.unpack_from(answer))

    def state(self) -> list[Any]:
        """Return what the environment keeps between episodes; see `Environment.state`."""
        if not self.stateful:
            return []
        self._last = json.loads(self._ask(_STATE))
        return self._last

    def last_state(self) -> list[Any]:
        """Return what `state` does, or what it returned last once the process has ended."""
        try:
            return self._last if self._closed else self.state()
        except FaultyEnvironmentError:
            if self._process.poll() is None:
                raise
            return self._last

    def load_state(self, state: list[Any]) -> None:
        """Put back what `state` returned; see `Environment.load_state`."""
        if self.stateful or state:
            self._ask(_LOAD + json.dumps(state).encode())

    def fault(self, problem: str) -> FaultyEnvironmentError:
        """Return the error that says what is wrong with which environment at which step."""
        return FaultyEnvironmentError(f"{self.name}: {problem}, at {self.where()}")

    def close(self) -> None:
        """End the process, which closes the environment; idempotent."""
        if not self._closed and self.stateful and self._made:
            with contextlib.suppress(FaultyEnvironmentError, UnsuitableEnvironmentError, OSError, ValueError):
                self._ask_once_more()
        self._closed = True
        self._pipe.close()
        processes.end(self._process)

    def _ask_once_more(self) -> None:
        """Note the latest state, unless the process takes too long to answer."""
        if self._in_flight and self._outcome is None:
            if not self._pipe.poll(processes.PATIENCE_SECONDS):
                return
            self._outcome = self._answer()
        self._send(_STATE)
        if self._pipe.poll(processes.PATIENCE_SECONDS):
            self._last = json.loads(self._checked(self._receive()))

    def _ask(self, request: bytes) -> bytes:
        if self._in_flight and self._outcome is None:  # the answer to the step comes first
            self._outcome = self._answer()
        self._send(request)
        return self._checked(self._receive())

    def _answer(self) -> bytes:
        self._in_flight = False
        return self._receive()

    def _send(self, request: bytes) -> None:
        try:
            self._pipe.send_bytes(request)
        except OSError as error:
            raise self._ended() from error

    def _receive(self) -> bytes:
        try:
            return self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._ended() from error

    def _checked(self, answer: bytes) -> bytes:
        """Return what came with an answer, if it is none of a fault."""
        kind, rest = answer[:1], answer[1:]
        if kind == _FAULT:
            raise FaultyEnvironmentError(rest.decode().replace(_WHERE, self.where()))
        if kind == _UNABLE:
            raise UnsuitableEnvironmentError(
                f"{self.name} cannot be played in a process of its own ({rest.decode()}); leave env_processes out"
            )
        return rest

    def _observation(self, content: bytes) -> NDArray[np.float32]:
        return np.frombuffer(content, np.float32).copy()

    def _ended(self) -> FaultyEnvironmentError:
        code = processes.end(self._process)
        how = f"was killed by {processes.signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        return self.fault(f"the process of this environment {how}")


def serve(descriptor: int) -> None:
    """Play an environment as it is told through a socket, until that closes; what a process of its own runs.

    Args:
        descriptor: of the socket. First comes how to make the environment, as JSON; then requests, a byte that says
            which and what goes with it. Each has one answer of the same form.
    """
    processes.end_with_parent(descriptor)
    environment: Environment | None = None
    with Connection(descriptor) as pipe:
        try:
            settings = json.loads(pipe.recv_bytes())
            while True:
                request = pipe.recv_bytes()
                try:
                    if environment is None:
                        environment = made(settings).make_training()
                        environment.where = lambda: _WHERE
                    answer = _DONE + _carried_out(environment, request[:1], request[1:])
                except FaultyEnvironmentError as error:
                    answer = _FAULT + _encoded(str(error))
                except Exception as error:
                    answer = _UNABLE + _encoded(f"{type(error).__name__}: {error}")
                pipe.send_bytes(answer)
        except (EOFError, OSError):
            pass  # the parent is gone, or wants no more
        finally:
            if environment is not None:
                environment.close()


def _encoded(text: str) -> bytes:
    """Return a message as bytes; file names in it may have what is no character."""
    return text.encode(errors="backslashreplace")


def _carried_out(environment: Environment, request: bytes, content: bytes) -> bytes:
    """Do what a request asks for, and return what answers it."""
    if request == _STEP:
        actions = environment.actions
        after = environment.step(np.frombuffer(content, actions.dtype).reshape(actions.recorded_shape))
        return _OUTCOME.pack(after.reward, after.terminated, after.truncated) + after.observation.tobytes()
    if request == _RESET:
        return environment.reset(*_EPISODE.unpack(content)).tobytes()
    if request == _STATE:
        return json.dumps(environment.state()).encode()
    if request == _LOAD:
        environment.load_state(json.loads(content))
    return b""
