"""Threads of a program take turns with the one that learns, where what they do would meddle with an update."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from rewirl.training.own_state import diagnostics_of

if TYPE_CHECKING:
    from rewirl.agents.agent import Agent

T = TypeVar("T")


class Turns:
    """Lets other threads in between two steps of the one that learns; whoever waits goes before the next step.

    An exception, such as that of Ctrl-C, leaves no turn taken wherever it comes: a lock is held by `with` alone.
    """

    def __init__(self) -> None:
        self._next, self._turn = threading.Lock(), threading.Lock()
        self._inside: set[int] = set()  # threads that have a turn or wait for one
        self._diagnostics: dict[str, float] = {}

    def step(self, do: Callable[[], T]) -> T:
        """Do a step of the thread that learns, once nobody waits."""
        me = threading.get_ident()
        try:
            self._inside.add(me)
            with self._next:
                pass
            with self._turn:
                return do()
        finally:
            self._inside.discard(me)

    def between_steps(self, do: Callable[[], T], otherwise: Callable[[], T]) -> T:
        """Wait for the end of a step that is under way, and do something before the next one.

        Args:
            do: what is done.
            otherwise: is done instead in the midst of a turn of this thread, by its handler of a signal or an
                environment: to wait for oneself would be for ever.
        """
        me = threading.get_ident()
        if me in self._inside:
            return otherwise()
        try:
            self._inside.add(me)
            with self._next, self._turn:
                return do()
        finally:
            self._inside.discard(me)

    def diagnostics(self, agent: Agent) -> dict[str, float]:
        """Return an agent's diagnostics, which it computes in the memory of the next update; in the midst of a turn of
        this thread the latest that were asked for."""
        self._diagnostics = self.between_steps(lambda: diagnostics_of(agent), lambda: self._diagnostics)
        return self._diagnostics
