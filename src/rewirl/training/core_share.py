"""What share of a core's time a run has."""

from __future__ import annotations

import time


class CoreShare:
    """Processor time over wall clock, from one call to the next.

    Args:
        threads: of the run. With more than one, waiting is part of the work and nothing can be said.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._clocks = (0.0, 0.0)

    def begin(self) -> None:
        """Begin to measure."""
        self._clocks = (time.perf_counter(), time.process_time())

    def measure(self) -> dict[str, float]:
        """Return the share since it was last measured, as `core_share`; nothing for several threads."""
        before = self._clocks
        self.begin()
        if self._threads != 1:
            return {}
        wall, processor = (now - then for now, then in zip(self._clocks, before, strict=True))
        return {"core_share": round(processor / max(wall, 1e-9), 4)}
