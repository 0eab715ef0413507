"""The machine that a measurement was made on, and measurements as Markdown tables."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

from rewirl.processes import cores

Description = dict[str, str | int | list[str]]

INSTRUCTION_SETS = ("sse4_2", "avx", "f16c", "fma", "avx2", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")


def describe() -> Description:
    """Return the processor's name, the cores this process may use, its vector instructions and the system."""
    fields = _cpuinfo()
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    return {
        "cpu": fields.get("model name") or platform.processor() or platform.machine(),
        "cores": cores(),
        "instructions": [name for name in INSTRUCTION_SETS if name in flags],
        "system": platform.platform(terse=True),
    }


def markdown(described: Description, used_versions: dict[str, str]) -> str:
    """Return a machine and versions as two lines of Markdown."""
    instructions = described["instructions"]
    assert isinstance(instructions, list)
    return "\n".join(
        [
            f"Machine: {described['cpu']}, {described['cores']} cores ({' '.join(instructions)}), "
            f"{described['system']}.  ",
            "Versions: " + ", ".join(f"{name} {number}" for name, number in used_versions.items()) + ".",
        ]
    )


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """Return a Markdown table.

    Args:
        headings: of the columns.
        rows: cells of each row.
        words: how many columns hold words, from the left; the others hold numbers, which are set flush right.
    """
    lines = [headings, ["---"] * words + ["---:"] * (len(headings) - words), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _cpuinfo() -> dict[str, str]:
    """Return the fields of the first processor in Linux's /proc/cpuinfo; nothing elsewhere."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    first = path.read_text().split("\n\n")[0]
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
