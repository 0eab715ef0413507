"""The command `report`: a page about runs."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from pathlib import Path

from rewirl.cli.errors import UsageError, require_directory, usage_errors
from rewirl.cli.parse import parse
from rewirl.hints import did_you_mean
from rewirl.printing import quoted, result, say, text_only, visible
from rewirl.storage.files import write_output

_RUNS = Path("runs")
"""Where runs are unless told otherwise."""


def report(arguments: list[str]) -> int:
    """Run `rewirl report` and return its exit code."""
    options = parse(
        "report",
        arguments,
        runs=(
            tuple[Path, ...],
            dataclasses.MISSING,
            "Run directories, or directories that contain some; finished or not. The directory runs if none is named.",
        ),
        output=(Path, Path("report.html"), "The page: one file that needs no network. Overwritten if it exists."),
        markdown=(Path | None, None, "The tables as Markdown, written there too. None writes none."),
        figures=(
            Path | None,
            None,
            "Directory for the figures as SVG files, which the Markdown then shows. None writes none.",
        ),
        label=(
            tuple[str, ...],
            (),
            "Names for groups of runs, each as NAME=PATTERN, such as 'gradual pruning=*-prune-*': a group is called so "
            "whose run directories' names all fit the pattern. Others go by their preset, sweep, or agent and options. "
            "Runs are named before it.",
        ),
        baseline=(
            str | None,
            None,
            "The group that every other one is compared with, by its name in the report, such as 'ds-td3, sparsity "
            "0.9'. None compares sparse agents with dense ones.",
        ),
        no_published_curves=(
            bool,
            False,
            "Leave out the learning curves that others have published of the same agents and tasks, which are drawn "
            "with their sources. They enter no number.",
        ),
        agent_module=(
            tuple[str, ...],
            (),
            "Modules of your own agents, such as weighted for runs of weighted:weighted. They are imported, from the "
            "working directory too. The report imports none that only the runs name, and leaves out what it takes to "
            "know their agents: FLOPs and defaults. Runs are named before it.",
        ),
    )
    try:
        with text_only():  # it quotes what it does not understand of a matplotlibrc in the working directory
            import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError("the report needs matplotlib; install it with: pip install 'rewirl[figures]'") from error
    from rewirl.agents.registry import import_agents
    from rewirl.experiments.report import document
    from rewirl.experiments.report import report as report_on
    from rewirl.experiments.report.labels import unknown_agents
    from rewirl.experiments.report.run_data import find_runs
    from rewirl.experiments.report.run_groups import group_runs, unused
    from rewirl.experiments.report.sound import report_on_sound_runs

    places = options.runs or ((_RUNS,) if _RUNS.is_dir() else ())
    if not places:
        raise UsageError(
            f"no run given, and there is no directory {_RUNS} here; name run directories, or directories that contain "
            "some"
        )
    labels = [_label(words) for words in options.label]
    if options.markdown is not None and _same_file(options.output, options.markdown):
        raise UsageError(f"--output and --markdown are both {options.output}; give them names of their own")
    for option, file in (("--output", options.output), ("--markdown", options.markdown)):
        if file is not None:
            require_directory(f"the folder of {option}", file.parent)
            if file.is_dir():
                raise UsageError(f"{option} {file} is a directory; name a file in it")
            if options.figures is not None and _is_figure(file, options.figures):
                raise UsageError(f"{option} {file} has the name of a figure in {options.figures}; choose another one")
    if options.figures is not None:
        require_directory("--figures", options.figures)
    with usage_errors():
        import_agents(options.agent_module)
        runs, problems = find_runs(places)
    for path, problem in problems:
        say(f"rewirl: warning: {path} is left out: {problem}")
    if not runs:
        raise UsageError(f"no run to report on in {', '.join(map(str, places))}")
    if unknown := unknown_agents(runs):
        say(f"rewirl: warning: {unknown}")
    for name, pattern, why in unused(labels, runs):
        say(f"rewirl: warning: --label {quoted(f'{name}={pattern}')} names no group: {why}")
    if options.baseline is not None:
        there = list(dict.fromkeys(group.label for group in group_runs(runs, labels)[0]))
        if options.baseline not in there:
            hint = did_you_mean(repr(options.baseline), map(repr, there))  # quoted, for a name may have commas
            raise UsageError(f"--baseline names no group of runs: {options.baseline!r}; {hint}")
    make = functools.partial(
        report_on, names=labels, published_curves=not options.no_published_curves, baseline=options.baseline
    )
    blocks = report_on_sound_runs(runs, problems, lambda problem: say(f"rewirl: warning: {problem}"), make)
    texts = {options.output: document.html(blocks)}
    if options.figures is not None:
        figures = [block for block in blocks if isinstance(block, document.Figure)]
        texts |= {options.figures / f"figure-{number}.svg": figure.svg for number, figure in enumerate(figures, 1)}
    if options.markdown is not None:
        where = options.figures and Path(os.path.relpath(options.figures, options.markdown.parent)).as_posix()
        texts[options.markdown] = document.markdown(blocks, where)
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_output(path, text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}; choose another place") from error
    written = ", ".join(str(path) for path in (options.output, options.markdown, options.figures) if path)
    result(visible(f"wrote {written}"))
    return 0


def _same_file(one: Path, other: Path) -> bool:
    """Tell whether two paths are one file to be written, whatever they are called; a device takes both."""
    if one.exists() and other.exists():
        return one.is_file() and one.samefile(other)
    return one.resolve() == other.resolve()


def _is_figure(file: Path, figures: Path) -> bool:
    """Tell whether a file would be written where a figure is."""
    return file.parent.resolve() == figures.resolve() and re.fullmatch(r"figure-\d+\.svg", file.name) is not None


def _label(words: str) -> tuple[str, str]:
    """Return a name and a pattern as they were typed."""
    name, equals, pattern = words.partition("=")
    if not equals or not name.strip() or not pattern:
        raise UsageError(f"--label takes NAME=PATTERN, such as 'gradual pruning=*-prune-*', got {words!r}")
    return name.strip(), pattern
