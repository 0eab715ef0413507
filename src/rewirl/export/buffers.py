"""Where the values of an exported policy are kept: as few buffers as there are values alive at once."""

from __future__ import annotations

from typing import NamedTuple, Self

from rewirl.export.plan import LinearStep, Plan

_FLOAT = 4


class Buffers(NamedTuple):
    """Buffers of float32, used again once their values have been read for the last time."""

    sizes: tuple[int, ...]
    """Features that each buffer has room for."""

    places: dict[int, int]
    """The buffer of each value; the observation, value 0, has none."""

    @property
    def bytes(self) -> int:
        """Memory of all."""
        return _FLOAT * sum(self.sizes)

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Return the buffers of a plan.

        What is done feature by feature may write over what it reads; a product of a matrix may not.
        """
        last = {read: index for index, step in enumerate(plan.steps) for read in step.reads}
        last[len(plan.steps)] = len(plan.steps)
        sizes: list[int] = []
        places: dict[int, int] = {}
        free: list[int] = []
        for index, step in enumerate(plan.steps):
            done = [places[read] for read in dict.fromkeys(step.reads) if read and last[read] == index]
            if not isinstance(step, LinearStep):
                free += done
            # the smallest that is large enough, or the largest of those that have to grow
            fitting = sorted(free, key=lambda place: (sizes[place] < step.features, abs(sizes[place] - step.features)))
            place = fitting[0] if fitting else len(sizes)
            if fitting:
                free.remove(place)
                sizes[place] = max(sizes[place], step.features)
            else:
                sizes.append(step.features)
            places[index + 1] = place
            if isinstance(step, LinearStep):
                free += done
            if index + 1 not in last:  # nobody reads it
                free.append(place)
        return cls(tuple(sizes), places)
