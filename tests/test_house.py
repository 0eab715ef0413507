"""The shape of the repository: which room imports which, no circle, no file too long, a core that knows no Python."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
LONGEST_FILE = 400

# From the ground up. A room imports its own files and those of rooms before it in this list, never of one after it.
FLOORS = (
    ("plugins", "processes", "saved", "hints", "printing", "tested", "toml_file", "_core", "_revision"),
    ("seeding", "exact"),
    ("nn", "topology", "changing", "noisy", "minatar", "dm_control", "timed"),
    ("replay", "torch"),
    ("agents",),
    ("environments", "storage", "presets"),
    ("options",),
    ("training",),
    ("experiments", "bench", "export"),
    ("learners",),
    ("api",),
    ("cli",),
    ("__main__",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
DATA = {"src/rewirl/presets"}
"""Tables of data, which may be longer."""


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    names = {}
    for path in sorted((SOURCE / "rewirl").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports(path: Path, known: dict[str, Path]) -> dict[str, bool]:
    """The modules of the package that a file imports, and whether it needs them to be imported itself.

    Imports for type checkers alone are left out; those inside functions are not needed to import the file.
    """
    targets: dict[str, bool] = {}

    def visit(node: ast.AST, inside: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                visit(child, inside)
            return
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # A name may be a module of the package or something in its __init__.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else str(node.module) for name in names]
        else:
            names = []
        for name in names:
            if name in known or name == "rewirl._core":
                targets[name] = targets.get(name, False) or not inside
        deeper = inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, deeper)

    visit(ast.parse(path.read_text(encoding="utf-8")), False)
    return targets


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "rewirl"


def test_no_import_goes_up():
    known = modules()
    upward = [
        f"{module} imports {target}"
        for module, path in known.items()
        if module != "rewirl"
        for target in imports(path, known)
        if target != "rewirl" and room(module) != room(target) and FLOOR[room(target)] >= FLOOR[room(module)]
    ]
    assert upward == []


def test_no_imports_go_in_circles():
    known = modules()
    graph = {
        module: {target for target, needed in imports(path, known).items() if needed and target in known} - {module}
        for module, path in known.items()
    }
    for module in list(
        graph
    ):  # a package's __init__ is what its files make up: files may import the package's siblings
        parent = module.rpartition(".")[0]
        graph[module] -= {parent}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"imports go in a circle: {' <- '.join(error.args[1])}")


def test_the_topology_knows_the_ground_alone():
    known = modules()
    outside = {
        target
        for module, path in known.items()
        if room(module) == "topology"
        for target in imports(path, known)
        if room(target) != "topology"
    }
    assert outside <= {"rewirl.plugins", "rewirl.hints", "rewirl.seeding", "rewirl.saved", "rewirl.exact"}


def test_no_file_is_too_long():
    files = [
        p for folder in ("src", "native") for p in (ROOT / folder).rglob("*") if p.suffix in (".py", ".cpp", ".hpp")
    ]
    long = {
        name: lines
        for path in files
        if not any((name := path.relative_to(ROOT).as_posix()).startswith(data) for data in DATA)
        and (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST_FILE
    }
    assert long == {}


def test_lines_of_the_core_are_short():
    long = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("native", "tests/native")
        for path in sorted((ROOT / folder).rglob("*.[ch]pp"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > 120
    ]
    assert long == []


def test_the_core_outside_its_bindings_knows_no_python():
    bound = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "native").rglob("*.[ch]pp"))
        if "bindings" not in path.parts
        and re.search(r'#include\s*[<"](Python\.h|nanobind/|pybind11/)', path.read_text())
    ]
    assert bound == []
