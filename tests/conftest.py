"""What tests of several rooms need."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("any machine")


class Threads:
    """The threads of this process, whoever made them."""

    def count(self) -> int:
        return sum(1 for _ in Path("/proc/self/task").iterdir())

    def come_to(self, expected: int) -> bool:
        """Whether so many are left; the system shows a thread for a moment after it has been joined."""
        end = time.monotonic() + 10
        while self.count() != expected and time.monotonic() < end:
            os.sched_yield()
        return self.count() == expected


@pytest.fixture
def process_threads() -> Threads:
    return Threads()
