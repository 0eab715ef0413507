"""What tests of several rooms need."""

from __future__ import annotations

import ast
import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path

# Matrices of tests are small: other threads of the libraries that multiply them would only spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Modules are compiled once, and not by every process that tests start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import pytest
from hypothesis import settings

sys.dont_write_bytecode = False  # as this process took it from there
settings.register_profile("any machine", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("any machine")

HERE = Path(__file__).parent
EXTRAS = ("torch", "tensorboardX", "onnx", "onnxruntime", "optuna", "ray", "imageio_ffmpeg", "mkdocstrings", "minatar")
"""Modules that `rewirl[test-core]` may be without; tests of what needs them are skipped then."""
NEEDS = {"docs/test_site.py": "mkdocstrings", "experiments/test_sweep_ray.py": "ray", "test_benchmarks.py": "torch"}
"""Tests that need a module without importing it themselves."""


def imported(path: Path) -> set[str]:
    """Modules that a test file imports, itself or through what lies beside it."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
    beside = [file for name in names if (file := path.with_name(f"{name}.py")).exists() and file != path]
    return names.union(*map(imported, beside))


missing = {module for module in EXTRAS if find_spec(module) is None}
collect_ignore = [
    path
    for path in HERE.rglob("test_*.py")
    if missing and (imported(path) & missing or NEEDS.get(path.relative_to(HERE).as_posix()) in missing)
]

SLOW = tuple((HERE / "slow.txt").read_text().split())
"""How the paths of tests begin that `make quick` leaves out, unread: they take nine tenths of the time."""


def is_slow(path: Path) -> bool:
    return path.relative_to(HERE).as_posix().startswith(SLOW)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What the slow ones import takes as long as some of the fast ones run."""
    quick = config.option.markexpr == "quick" and collection_path.name.startswith("test_")
    return True if quick and is_slow(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not is_slow(item.path):
            item.add_marker(pytest.mark.quick)


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
