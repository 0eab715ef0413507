"""The command `export`: a saved policy as files for where Rewirl is not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from rewirl.cli.errors import failed, usage_errors
from rewirl.cli.parse import parse
from rewirl.export.c_code import Tanh
from rewirl.export.files import WeightType, export_c
from rewirl.printing import result, say, visible
from rewirl.training.trained_policy import TrainedPolicy


def export(arguments: list[str]) -> int:
    """Run `rewirl export` and return its exit code."""
    options = parse(
        "export",
        arguments,
        run=(Path, dataclasses.MISSING, "Directory of a run, or of a saved policy."),
        directory=(Path, Path(), "Where the files go; made if it is not there."),
        name=(str, "policy", "Of the files, and what their functions begin with."),
        weights=(
            WeightType,
            "float32",
            "How weights are stored: int8 takes a quarter of the space, with a scale for each output, and acts a "
            "little differently.",
        ),
        tanh=(
            Tanh,
            "libm",
            "Where tanh comes from: tanhf of the C library, or a table of 580 bytes that needs no library.",
        ),
        overwrite=(bool, False, "Replace files that are there."),
    )
    with usage_errors():
        trained = TrainedPolicy.load(options.run)
        exported = export_c(trained, options.directory, options.name, options.weights, options.tanh, options.overwrite)
    for path in exported.paths:
        result(visible(path))
    result(
        f"{exported.plan.bytes:,} bytes of constants, {exported.memory:,} of working memory, "
        f"{exported.plan.products:,} multiply-adds for an action"
    )
    result(str(exported.parity))
    if exported.remark:
        say(f"rewirl: the C itself was not run: {exported.remark}")
    if options.weights == "float32" and not exported.parity.within:
        return failed("the files do not act as the policy does; rounding alone does not explain it")
    return 0
