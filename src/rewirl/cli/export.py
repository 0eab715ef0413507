"""The command `export`: a saved policy as files for where Rewirl is not."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from rewirl.cli.errors import UsageError, failed, usage_errors
from rewirl.cli.parse import parse
from rewirl.cli.policy import POLICY_HELP
from rewirl.export.c_code import Tanh
from rewirl.export.files import Format, WeightType, export_c, export_onnx
from rewirl.export.plan import Precision
from rewirl.printing import result, say, visible
from rewirl.training.trained_policy import TrainedPolicy


def export(arguments: list[str]) -> int:
    """Run `rewirl export` and return its exit code."""
    if re.search(r"--format[= ](torch|pytorch)(?= |$)", " ".join(arguments)):
        raise UsageError("a module of PyTorch is made in Python: rewirl.load(DIRECTORY).to_torch()")
    options = parse(
        "export",
        arguments,
        run=(Path, dataclasses.MISSING, POLICY_HELP),
        format=(Format, "c", "C99 without other libraries, or ONNX (needs the package onnx: rewirl[export])."),
        directory=(Path, Path(), "Where the files go; made if it is not there."),
        name=(str, "policy", "Of the files, and what functions of C begin with."),
        weights=(
            WeightType,
            "float32",
            "How weights are stored: int8 takes a quarter of a weight's space, with a scale for each output, and acts "
            "a little differently. Indices of connections take what they took.",
        ),
        tanh=(
            Tanh | None,
            None,
            "Where C has its tanh from: tanhf of the C library, or a table of 580 bytes that needs no library. None is "
            "libm.",
        ),
        precision=(
            Precision | None,
            None,
            "What an ONNX model computes the network in: float64 rounds nothing away; float32 takes half the time, and "
            "is for runtimes without float64. None is float64.",
        ),
        overwrite=(bool, False, "Replace files that are there."),
    )
    if options.format == "onnx" and options.tanh is not None:
        raise UsageError("--tanh is for C: an ONNX model leaves it to what runs it")
    if options.format == "c" and options.precision is not None:
        raise UsageError("--precision is for ONNX: C computes in float32, with compensated sums")
    with usage_errors():
        trained = TrainedPolicy.load(options.run)
        where = (trained, options.directory, options.name, options.weights)
        try:
            if options.format == "onnx":
                exported = export_onnx(*where, options.precision or "float64", options.overwrite)
            else:
                exported = export_c(*where, options.tanh or "libm", options.overwrite)
        except OSError as error:
            reason = f"{options.directory} cannot be written to: {error.strerror or error}"
            raise UsageError(f"{reason}; choose another --directory") from error
    for path in exported.paths:
        result(visible(path))
    if options.format == "c":
        result(
            f"{exported.plan.bytes:,} bytes of the network's constants, {exported.memory:,} of working memory, "
            f"{exported.plan.products:,} multiply-adds for an action"
        )
    result(str(exported.parity))
    if exported.remark:
        say(f"rewirl: what was written was not run: {exported.remark}")
    if exported.failed:
        return failed("the C that was written does not work here; please report it with this policy")
    if options.weights == "float32" and not exported.parity.within:
        if exported.parity.wild:
            return failed(
                "the files do not act as the policy does in float64, nor does Rewirl's own float32: its network has "
                "numbers that are too large for that. --format onnx computes in float64"
            )
        return failed("the files do not act as the policy does; rounding alone does not explain it")
    return 0
