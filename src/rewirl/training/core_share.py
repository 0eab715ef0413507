"""How much of a core a run had."""

from __future__ import annotations

import time


class CoreShare:
    """Measures processor time over wall-clock time of this process: 1 is a core to itself."""

    def __init__(self) -> None:
        self._before = self._now()

    def since_last(self) -> float:
        """Return the share since the last call, or since it was made."""
        before, self._before = self._before, self._now()
        wall, processor = (now - then for now, then in zip(self._before, before, strict=True))
        return round(processor / max(wall, 1e-9), 4)

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()
