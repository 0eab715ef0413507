"""The libraries whose dense matrix products are the yardstick: MKL, which torch ships, and OpenBLAS, which NumPy ships.

Which is faster depends on the processor, so that both are asked.
"""

from __future__ import annotations

import ctypes
import importlib.util
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HELD_BACK = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Variables that keep OpenBLAS from its best kernels for the processor; the processes of candidates do without them."""


class Blas(NamedTuple):
    """One library, with as many threads as it was asked for."""

    name: str
    """Such as `OpenBLAS in NumPy (SkylakeX)`."""

    array: Callable[[Any], Any]
    """Turns a NumPy array into one of the library's, without a copy."""

    multiply: Callable[[Any, Any, Any], object]
    """multiply(left, right, out): a matrix by a matrix or a vector."""


def libraries(threads: int) -> list[Blas]:
    """Return all that are installed, NumPy's first.

    Args:
        threads: of torch; those of NumPy's library are limited by environment variables.
    """
    found = [Blas(_numpy_name(), np.asarray, lambda left, right, out: np.dot(left, right, out=out))]
    if importlib.util.find_spec("torch"):
        import torch

        torch.set_num_threads(threads)
        name = "MKL in torch" if torch.backends.mkl.is_available() else "torch without MKL"  # type: ignore[no-untyped-call]

        def multiply(left: Any, right: Any, out: Any) -> object:
            return (torch.mv if right.ndim == 1 else torch.mm)(left, right, out=out)

        found.append(Blas(name, torch.from_numpy, multiply))
    return found


def fastest(tasks: Sequence[Callable[[], object]], turns: int = 7) -> int:
    """Return which of some tasks takes the least time, by the best of several turns each."""
    best = [float("inf")] * len(tasks)
    for _ in range(turns):
        for number, task in enumerate(tasks):
            start = time.perf_counter()
            task()
            best[number] = min(best[number], time.perf_counter() - start)
    return best.index(min(best))


def _numpy_name() -> str:
    blas: str = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    kernel = _openblas_kernel() if "openblas" in blas else None
    name = "OpenBLAS" if "openblas" in blas else blas
    return f"{name} in NumPy" + (f" ({kernel})" if kernel else "")


def _openblas_kernel() -> str | None:
    """Return whose kernels the OpenBLAS of this process runs, such as SkylakeX; None if it cannot tell."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return None
    paths = {line.split(maxsplit=5)[-1].strip() for line in maps.read_text().splitlines() if "openblas" in line}
    for path in sorted(paths):
        library = ctypes.CDLL(path)
        for prefix in ("scipy_openblas", "openblas"):
            for suffix in ("64_", ""):
                function = getattr(library, f"{prefix}_get_corename{suffix}", None)
                if function is not None:
                    function.restype = ctypes.c_char_p
                    return str(function().decode())
    return None
