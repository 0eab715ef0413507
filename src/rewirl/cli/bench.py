"""The command `bench`: a group of benchmarks."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

from rewirl.cli.commands import COMMANDS
from rewirl.cli.errors import UsageError, failed, usage_errors
from rewirl.cli.parse import parse
from rewirl.environments.environment import FaultyEnvironmentError
from rewirl.hints import did_you_mean
from rewirl.printing import result as show
from rewirl.storage.files import write_output

_ABOUT = """{about}

usage: rewirl bench BENCHMARK ...   (rewirl bench BENCHMARK --help explains its options)

{benchmarks}

Each prints Markdown; start with quick. Run them on a machine that does nothing else."""

BENCHMARKS = {
    "quick": ("quick", "Updates per second by sparsity, in 20 seconds."),
    "kernels": ("kernels", "One layer by density, width and batch, beside the machine's own dense matrix product."),
    "updates": ("updates", "Whole updates per second of every agent, and where their time goes."),
    "end-to-end": ("end_to_end", "Environment steps per second of whole runs, evaluations included."),
}
"""The module in rewirl.bench, and what it measures, by name."""


def bench(arguments: list[str]) -> int:
    """Run `rewirl bench` and return its exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, BENCHMARKS))
        lines = [f"  {name:<{width}}  {text}" for name, (_, text) in BENCHMARKS.items()]
        show(_ABOUT.format(about=COMMANDS["bench"].summary, benchmarks="\n".join(lines)))
        return 0
    name, *rest = arguments
    if name not in BENCHMARKS:
        raise UsageError(f"no benchmark {name!r}; {did_you_mean(name, BENCHMARKS)}")
    module = importlib.import_module(f"rewirl.bench.{BENCHMARKS[name][0]}")
    options = parse(
        f"bench {name}",
        rest,
        module.__doc__,
        benchmark=(module.Options, module.Options(), ""),
        json=(Path | None, None, "File for everything measured, every round included."),
    )
    with usage_errors():
        if options.json is not None and not options.json.parent.is_dir():
            raise UsageError(f"--json {options.json}: there is no folder {options.json.parent}")
        if options.json is not None and options.json.is_dir():
            raise UsageError(f"--json {options.json} is a folder; name a file in it")
    try:
        with usage_errors():
            result = module.run(options.benchmark)
    except FaultyEnvironmentError as error:
        return failed(error)
    show(module.markdown(result))
    if options.json is not None:
        try:
            write_output(options.json, json.dumps(result, indent=1) + "\n")
        except OSError as error:
            return failed(f"{options.json} cannot be written: {error.strerror}")
    return 0
