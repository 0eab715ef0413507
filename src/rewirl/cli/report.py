"""The command `report`: a page about runs."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from rewirl.cli.errors import UsageError, usage_errors
from rewirl.cli.parse import parse
from rewirl.printing import result, say, text_only, visible
from rewirl.storage.files import write_atomically


def report(arguments: list[str]) -> int:
    """Run `rewirl report` and return its exit code."""
    options = parse(
        "report",
        arguments,
        runs=(
            tuple[Path, ...],
            dataclasses.MISSING,
            "Run directories, or directories that contain some; finished or not.",
        ),
        output=(Path, Path("report.html"), "The page: one file that needs no network. Overwritten if it exists."),
        markdown=(Path | None, None, "The tables as Markdown, written there too. None writes none."),
        figures=(
            Path | None,
            None,
            "Directory for the figures as SVG files, which the Markdown then shows. None writes none.",
        ),
    )
    try:
        with text_only():  # it quotes what it does not understand of a matplotlibrc in the working directory
            import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError("the report needs matplotlib; install it with: pip install 'rewirl[figures]'") from error
    from rewirl.experiments.report import document
    from rewirl.experiments.report.run_data import find_runs
    from rewirl.experiments.report.sound import report_on_sound_runs

    if not options.runs:
        raise UsageError("no run given; name run directories, or directories that contain some")
    with usage_errors():
        runs, problems = find_runs(options.runs)
    for path, problem in problems:
        say(f"rewirl: warning: {path} is left out: {problem}")
    if not runs:
        raise UsageError(f"no run to report on in {', '.join(map(str, options.runs))}")
    blocks = report_on_sound_runs(runs, problems, lambda problem: say(f"rewirl: warning: {problem}"))
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
            if path.exists() and (path.is_symlink() or not path.is_file()):  # a device or a link stays what it is
                path.write_text(text, encoding="utf-8")
            else:
                write_atomically(path, text.encode())
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}; choose another place") from error
    written = ", ".join(str(path) for path in (options.output, options.markdown, options.figures) if path)
    result(visible(f"wrote {written}"))
    return 0
