"""What a scenario of the torture suite is: a function that does harm, and says what came of it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Score:
    """What a scenario did and saw."""

    faults: int = 0
    """Faults injected: kills, signals, failing system calls, damaged inputs."""

    survived: int = 0
    """Those after which everything promised was true."""

    compared: int = 0
    """Runs compared with an undisturbed one, to the bit."""

    refused: int = 0
    """What had to be refused with a clear message and was: inputs, directories, second owners."""

    problems: list[str] = field(default_factory=list)
    """What did not hold, in words."""

    notes: list[str] = field(default_factory=list)
    """What could not be tried on this machine, and other remarks."""

    @property
    def holds(self) -> bool:
        """Whether everything did."""
        return not self.problems and self.survived == self.faults

    @contextmanager
    def trial(self, name: str) -> Iterator[None]:
        """Count the faults added inside as survived unless something raises; that becomes a problem of this name."""
        before = self.faults
        try:
            yield
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(where.filename).name}:{where.lineno}"
            self.problems.append(f"{name}: {type(error).__name__} at {place}: {error}")
        else:
            self.survived += self.faults - before


Scenario = Callable[[int, int, Path], Score]
"""Called with how many runs, a seed, and an empty directory that is removed afterwards."""

SCENARIOS: dict[str, tuple[Scenario, int]] = {}
"""Every scenario and its usual number of runs, by name."""


def scenario(name: str, runs: int) -> Callable[[Scenario], Scenario]:
    """Make a function known to the command as `name`, with so many runs unless told otherwise."""

    def register(function: Scenario) -> Scenario:
        SCENARIOS[name] = function, runs
        return function

    return register
