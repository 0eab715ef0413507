"""Threads of a program take turns with the one that learns, where what they do would meddle with an update."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Turns:
    """A lock that whoever waits for it gets next: a thread that takes a turn for each step lets others in between."""

    def __init__(self) -> None:
        self._next, self._turn = threading.Lock(), threading.Lock()
        self._owner: int | None = None

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for a turn and have it; a thread that has one already goes on."""
        if self._owner == threading.get_ident():
            yield
            return
        with self._next:
            self._turn.acquire()
        self._owner = threading.get_ident()
        try:
            yield
        finally:
            self._owner = None
            self._turn.release()
