"""Promises of the rooms of experiments and benchmarks: no circle of imports, nothing from the rooms above them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"


def modules() -> dict[str, Path]:
    paths = [path for room in ("experiments", "bench") for path in (SOURCE / "rewirl" / room).rglob("*.py")]
    names = {".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    return dict(sorted(names.items()))


def imported(path: Path) -> Iterator[str]:
    """Yield what a module imports, within functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_there_is_no_circle():
    known = modules()
    graph = {
        name: {other for other in imported(path) if other in known and other != name and not name.startswith(other)}
        for name, path in known.items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(known)
    assert "rewirl.experiments.sweep.executor" in graph["rewirl.experiments.sweep.pool"]


@pytest.mark.parametrize("name, path", modules().items())
def test_no_module_imports_from_above(name, path):
    above = ("rewirl.cli", "rewirl.api", "rewirl.bench") if "experiments" in name else ("rewirl.cli", "rewirl.api")
    assert [other for other in imported(path) if other.startswith(above)] == []
    assert len(path.read_text().splitlines()) <= 400


def test_no_module_shadows_one_of_the_standard_library():
    import sys

    assert {name.rpartition(".")[2] for name in modules()} & sys.stdlib_module_names == set()
