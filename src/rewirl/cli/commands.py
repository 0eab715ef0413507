"""The commands of `rewirl`: where each is, and what it does in one sentence."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import NamedTuple


class Command(NamedTuple):
    """One command of the command line."""

    module: str
    """The module in `rewirl.cli` with a function of the command's name, imported when the command is run."""
    summary: str
    """One sentence for `rewirl --help` and the command's own."""


COMMANDS = {
    "train": Command("train", "Train an agent, keeping metrics, checkpoints and the policy in a run directory."),
    "resume": Command(
        "train", "Continue a run from its newest checkpoint, to the bit; a finished run is left as it is."
    ),
    "evaluate": Command("policy", "Play episodes with the saved policy of a run and print their returns."),
    "inspect": Command(
        "inspection",
        "Show layers, connections, cost and memory: of a run, rewirl inspect DIRECTORY, or of an agent by its options.",
    ),
    "watch": Command("policy", "Watch the saved policy of a run act, in a window or as a video."),
    "policies": Command("policy", "List the policies that come with Rewirl, or show the card of one."),
    "export": Command("export", "Write the saved policy of a run as C99 without other libraries, or as ONNX."),
    "sweep": Command(
        "sweep",
        "Train agents x environments x seeds x options side by side, each a run of its own; resumes where it was cut.",
    ),
    "tune": Command(
        "tune", "Search the options of an agent for the best ones: many runs, of which the bad ones end early."
    ),
    "presets": Command("presets", "List the settings of papers and of small tasks, or show one of them in full."),
    "report": Command(
        "report",
        "Write a page and tables about runs: curves, returns beside the paper's, cost, topology, what is missing.",
    ),
    "bench": Command("bench", "Measure how fast this machine runs Rewirl: single layers, updates, or whole runs."),
}


def run(name: str, arguments: list[str]) -> int:
    """Run a command.

    Args:
        name: one of `COMMANDS`.
        arguments: what follows it on the command line.

    Returns:
        The exit code.
    """
    command: Callable[[list[str]], int] = getattr(importlib.import_module(f"rewirl.cli.{COMMANDS[name].module}"), name)
    return command(arguments)
