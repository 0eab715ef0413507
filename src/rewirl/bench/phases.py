"""Where the time goes: seconds in each native call, and the rest, which is Python and NumPy.

It wraps whatever functions and methods `rewirl._core` has, so nothing here changes when an agent's native calls do.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from rewirl import _core

REST = "Python and NumPy"


@contextlib.contextmanager
def native_calls_timed() -> Iterator[dict[str, float]]:
    """Time every native call inside this context.

    Yields:
        Seconds by the name of the function, or Class.method, filled as calls are made.
    """
    seconds: dict[str, float] = defaultdict(float)
    replaced: list[tuple[Any, str, Any]] = []
    functions = {name: member for name, member in vars(_core).items() if _is_function(member)}
    # A module that imported a function by name holds it in its own namespace.
    homes = [module for name, module in list(sys.modules.items()) if name == "rewirl" or name.startswith("rewirl.")]
    for name, function in functions.items():
        timed = _timed(function, name, seconds)
        for home in homes:
            replaced += [(home, key, value) for key, value in list(vars(home).items()) if value is function]
            for key in [key for key, value in vars(home).items() if value is function]:
                setattr(home, key, timed)
    for kind in [member for member in vars(_core).values() if isinstance(member, type)]:
        for name, method in [(n, m) for n, m in vars(kind).items() if not n.startswith("__") and _is_function(m)]:
            replaced.append((kind, name, method))
            setattr(kind, name, _timed(method, f"{kind.__name__}.{name}", seconds))
    try:
        yield seconds
    finally:
        for home, key, value in replaced:
            setattr(home, key, value)


def profile(work: Callable[[], int], seconds: float) -> dict[str, float]:
    """Do some work again and again for about so many seconds.

    Args:
        work: returns how many units it did.
        seconds: how long.

    Returns:
        Seconds per unit by native call, and those of the rest. Timing itself costs about a microsecond per call.
    """
    done = 0
    with native_calls_timed() as native:
        start = now = time.perf_counter()
        while now - start < seconds or not done:
            done += work()
            now = time.perf_counter()
    by_call = dict(sorted(native.items(), key=lambda item: -item[1]))
    by_call[REST] = now - start - sum(by_call.values())
    return {name: value / done for name, value in by_call.items()}


def _is_function(member: Any) -> bool:
    return callable(member) and not isinstance(member, type)


def _timed(function: Any, name: str, seconds: dict[str, float]) -> Callable[..., Any]:
    @functools.wraps(function, updated=())
    def timed(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            seconds[name] += time.perf_counter() - start

    return timed
