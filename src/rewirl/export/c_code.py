"""A policy as C99: one header and one source file that allocate nothing.

Every identifier is made here; text of the policy's file is in comments only, through `text.comment`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rewirl.export import c_functions
from rewirl.export.buffers import Buffers
from rewirl.export.plan import (
    Box,
    ConstantStep,
    LayerNormStep,
    LinearStep,
    NormalStep,
    PairStep,
    Plan,
    ReLUStep,
    Step,
    TanhStep,
)
from rewirl.export.text import comment
from rewirl.export.weights import Rows, Weights, smallest

Tanh = Literal["libm", "table"]
"""Where tanh comes from: tanhf of the C library, or a table with cubic interpolation."""

_COLUMNS = 110
_STRETCH = 16
"""Products of a sum that are added up by themselves, where there are more. The rounding errors of a sum grow with its
length: actions of a policy with outputs of 100 were up to 1.2e-5 of half their range away."""

_TYPES = {"uint8": "uint8_t", "uint16": "uint16_t", "uint32": "uint32_t", "uint64": "uint64_t", "int8": "int8_t"}


class CFiles(NamedTuple):
    """The text of both files."""

    header: str
    source: str


def c_files(plan: Plan, name: str, tanh: Tanh) -> CFiles:
    """Return a policy as C.

    Args:
        plan: the policy.
        name: of the files, and of what they define; see `text.checked_name`.
        tanh: where tanh comes from.
    """
    source = _Source(plan, name, tanh).text()
    return CFiles(_header(plan, name, "tanhf(" in source), source)


def signature(plan: Plan, name: str) -> str:
    """Return the declaration of the function that acts, without its semicolon."""
    observation = f"const float observation[{name.upper()}_OBSERVATION_SIZE]"
    action = f"float action[{name.upper()}_ACTION_SIZE]" if isinstance(plan.head, Box) else "int64_t *action"
    return f"int {name}_act({observation}, {action})"


def _header(plan: Plan, name: str, links: bool) -> str:
    upper = name.upper()
    box = isinstance(plan.head, Box)
    action = "within the environment's bounds, in C order" if box else "the environment's number of the choice"
    counted = "ACTION_SIZE" if box else "CHOICES"
    lines = [
        *_about(plan),
        f"#ifndef REWIRL_{upper}_H",
        f"#define REWIRL_{upper}_H",
        "",
        *([] if box else ["#include <stdint.h>", ""]),
        f"#define {upper}_OBSERVATION_SIZE {plan.n_in}",
        f"#define {upper}_{counted} {plan.n_out}",
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        f"/* Writes the action for an observation: {action}.",
        " * Returns 0, or -1 where an action would be NaN: there is none then.",
        *([" * It calls tanhf of the C library: link with -lm, or export with --tanh table."] if links else []),
        " * It works in static memory: one call at a time. */",
        f"{signature(plan, name)};",
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def _refusal(plan: Plan, name: str) -> list[str]:
    """Return what refuses the header of another export, of which the caller's arrays have other sizes."""
    upper, made = name.upper(), "ACTION_SIZE" if isinstance(plan.head, Box) else "CHOICES"
    return [
        f"#if {upper}_OBSERVATION_SIZE != {plan.n_in} || {upper}_{made} != {plan.n_out}",
        f'#error "{name}.h is of another export than {name}.c"',
        "#endif",
        "",
    ]


def _about(plan: Plan) -> list[str]:
    buffers = Buffers.of(plan)
    lines = [
        "A policy of Rewirl, written by rewirl export; do not edit.",
        *map(comment, plan.about),
        f"constants: {plan.bytes} bytes of the network; working memory: {buffers.bytes} bytes, static; "
        f"{plan.products} multiply-adds",
    ]
    return ["/*", *(f" * {line}" for line in lines), " */"]


class _Source:
    """Writes the source file of a plan."""

    def __init__(self, plan: Plan, name: str, tanh: Tanh) -> None:
        self._plan, self._name, self._tanh_of = plan, name, tanh
        self._buffers = Buffers.of(plan)
        self._constants: list[str] = []

    def text(self) -> str:
        """Return the file."""
        plan = self._plan
        body = [line for index, step in enumerate(plan.steps) for line in self._step(index, step)]
        body += self._head()
        squashed = isinstance(plan.head, Box) and plan.head.squashed
        uses_tanh = squashed or any(isinstance(step, TanhStep) for step in plan.steps)
        functions = []
        if uses_tanh:
            functions += c_functions.TANH_LIBM if self._tanh_of == "libm" else c_functions.tanh_table()
        if any(isinstance(step, LayerNormStep) for step in plan.steps):
            functions += c_functions.INVERSE_ROOT
        memory = [f"static float buffer{index}[{size}];" for index, size in enumerate(self._buffers.sizes)]
        lines = [
            *_about(plan),
            f'#include "{self._name}.h"',
            *_refusal(plan, self._name),
            *(["#include <math.h>"] if uses_tanh and self._tanh_of == "libm" else []),
            "#include <stddef.h>",
            "#include <stdint.h>",
            "",
            *self._constants,
            *memory,
            "",
            *functions,
            signature(plan, self._name),
            "{",
            *(f"    {line}" if line else "" for line in body),
            "}",
        ]
        return "\n".join(lines) + "\n"

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        """Define an array and return its name."""
        flat = values.reshape(-1) if values.size else np.zeros(1, values.dtype)  # C has no empty arrays
        if flat.dtype == np.float32:
            kind, words = "float", [literal(value) for value in flat]
        else:
            kind, words = _TYPES[flat.dtype.name], [str(value) for value in flat.tolist()]
        self._constants += [f"static const {kind} {name}[{len(flat)}] = {{", *_wrapped(words), "};", ""]
        return name

    def _value(self, value: int) -> str:
        """Return the name of where a value is."""
        return f"buffer{self._buffers.places[value]}" if value else "observation"

    def _step(self, index: int, step: Step) -> Iterator[str]:
        name, made = f"step{index + 1}", self._value(index + 1)
        of = [self._value(read) for read in step.reads]
        yield f"/* {index + 1}: {comment(step.name)} */"
        match step:
            case LinearStep():
                yield from self._linear(name, step, made, of[0])
            case NormalStep():
                mean = self._constant(f"{name}_mean", step.mean)
                factor = self._constant(f"{name}_factor", step.factor_float32)
                shift = "" if step.shift is None else f" + {self._constant(f'{name}_shift', step.shift)}[i]"
                yield from _each(step, f"{made}[i] = ({of[0]}[i] - {mean}[i]) * {factor}[i]{shift};")
            case LayerNormStep():
                yield from self._layer_norm(name, step, made, of[0])
            case ReLUStep():
                negative = "0.0f" if step.slope == 0 else f"{literal(step.slope)} * {of[0]}[i]"
                yield from _each(step, f"{made}[i] = {of[0]}[i] < 0.0f ? {negative} : {of[0]}[i];")
            case TanhStep():
                yield from _each(step, f"{made}[i] = {c_functions.TANH}({of[0]}[i]);")
            case PairStep():
                sign = "*" if step.times else "+"
                yield from _each(step, f"{made}[i] = {of[0]}[i] {sign} {of[1]}[i];")
            case ConstantStep():
                values = self._constant(f"{name}_values", step.values)
                yield from _each(step, f"{made}[i] = {values}[i];")
            case _:
                raise TypeError(f"no step {type(step).__name__}")

    def _linear(self, name: str, step: LinearStep, made: str, of: str) -> Iterator[str]:
        weights = step.weights
        bias = None if step.bias is None else self._constant(f"{name}_bias", step.bias)
        scales = None if weights.scales is None else self._constant(f"{name}_scales", weights.scales)
        if weights.dense is not None:
            yield from self._dense(name, weights, made, of, bias, scales)
        for number, rows in enumerate(weights.rows):
            yield from self._sparse(f"{name}_part{number + 1}", weights, rows, made, of, bias, scales)

    def _dense(
        self, name: str, weights: Weights, made: str, of: str, bias: str | None, scales: str | None
    ) -> Iterator[str]:
        assert weights.dense is not None
        values, kind = self._constant(f"{name}_weights", weights.dense), _kind(weights.dense)
        n_out, n_in = weights.shape
        yield from (
            "{",
            f"    const {kind} *weight = {values};",
            f"    for (size_t row = 0; row < {n_out}; ++row) {{",
            "        float sum = 0.0f;",
            *_summed("i", str(n_in), n_in, ["sum"], [f"{{}} += *weight++ * {of}[i];"], "size_t i = 0"),
            f"        {made}[row] = {_result('sum', 'row', bias, scales)};",
            "    }",
            "}",
        )

    def _sparse(
        self, name: str, weights: Weights, rows: Rows, made: str, of: str, bias: str | None, scales: str | None
    ) -> Iterator[str]:
        values = self._constant(f"{name}_weights", rows.values)
        columns = self._constant(f"{name}_columns", smallest(rows.columns, weights.shape[1] - 1))
        ends = self._constant(f"{name}_ends", smallest(rows.ends, len(rows.columns)))
        members = range(rows.height)
        longest = int(np.diff(rows.ends, prepend=0).max(initial=0))
        body = [
            f"const float x = {of}[{columns}[entry]];",
            *(f"{{}} += weight[{member}] * x;" for member in members),
            f"weight += {rows.height};",
        ]
        yield from (
            "{",
            f"    const {_kind(rows.values)} *weight = {values};",
            "    size_t entry = 0;",
            f"    for (size_t group = 0; group < {rows.groups}; ++group) {{",
            f"        const size_t end = {ends}[group];",
            *(f"        float sum{member} = 0.0f;" for member in members),
            *_summed("entry", "end", longest, [f"sum{member}" for member in members], body),
        )
        for member in members:
            row = f"{rows.first + member} + group * {rows.height}"
            yield f"        {made}[{row}] = {_result(f'sum{member}', row, bias, scales)};"
        yield from ("    }", "}")

    def _layer_norm(self, name: str, step: LayerNormStep, made: str, of: str) -> Iterator[str]:
        scale = "" if step.scale is None else f" * {self._constant(f'{name}_scale', step.scale)}[i]"
        shift = "" if step.shift is None else f" + {self._constant(f'{name}_shift', step.shift)}[i]"
        share = literal(1 / step.features)
        yield from (
            "{",
            "    float mean = 0.0f, variance = 0.0f, factor;",
            *(f"    {line}" for line in _each(step, f"mean += {of}[i];")),
            f"    mean *= {share};",
            *(f"    {line}" for line in _each(step, f"variance += ({of}[i] - mean) * ({of}[i] - mean);")),
            f"    factor = {c_functions.ROOT}(variance * {share} + {literal(step.eps)});",
            *(f"    {line}" for line in _each(step, f"{made}[i] = ({of}[i] - mean) * factor{scale}{shift};")),
            "}",
        )

    def _head(self) -> list[str]:
        head, raw = self._plan.head, self._value(len(self._plan.steps))
        if isinstance(head, Box):
            arrays = {"centre": head.centre, "half": head.half, "low": head.low, "high": head.high}
            centre, half, low, high = (self._constant(f"action_{key}", array) for key, array in arrays.items())
            output = f"{c_functions.TANH}({raw}[i])" if head.squashed else f"{raw}[i]"
            return [
                "/* the action, within its bounds */",
                "int status = 0;",
                f"for (size_t i = 0; i < {self._plan.n_out}; ++i) {{",
                f"    const float value = {centre}[i] + {half}[i] * {output};",
                "    if (value != value) {",
                "        status = -1;",
                "    }",
                f"    action[i] = value < {low}[i] ? {low}[i] : value > {high}[i] ? {high}[i] : value;",
                "}",
                "return status;",
            ]
        return [
            "/* the number of the largest output */",
            "size_t best = 0;",
            f"for (size_t i = 0; i < {self._plan.n_out}; ++i) {{",
            f"    if ({raw}[i] != {raw}[i]) {{",
            "        return -1;",
            "    }",
            f"    if ({raw}[i] > {raw}[best]) {{",
            "        best = i;",
            "    }",
            "}",
            f"*action = (int64_t)best {'-' if head.start < 0 else '+'} INT64_C({abs(head.start)});",
            "return 0;",
        ]


def literal(value: Any) -> str:
    """Return a float32 as C reads it back to the bit."""
    text = str(np.float32(value))
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def _summed(
    counter: str, end: str, longest: int, sums: Sequence[str], body: Sequence[str], begin: str = ""
) -> Iterator[str]:
    """Return a loop that adds to sums; long ones in stretches.

    Args:
        counter: what is counted up to the end.
        end: where it ends.
        longest: how many turns there are at most.
        sums: what is added to.
        body: of the loop; a statement that begins with {} adds to the next of the sums.
        begin: what the counter begins with, if it is not to go on from where it is.
    """
    if longest <= _STRETCH:
        yield from (f"        for ({begin}; {counter} < {end}; ++{counter}) {{", *_indented(3, body, sums), "        }")
        return
    parts = [name.replace("sum", "part") for name in sums]
    # Four sums side by side, two where there are five rows or more: shorter ones, and fewer turns of the loop.
    side_by_side = 4 if len(sums) <= 4 else 2
    beside = [parts, *([f"{part}_{number}" for part in parts] for number in range(2, side_by_side + 1))]
    turn = [line for each in beside for line in ("{", *_indented(1, [*body, f"++{counter};"], each), "}")]
    together = [line for name, part in zip(sums, parts, strict=True) for line in _compensated(name, part)]
    yield from (
        *([f"        {begin};"] if begin else []),
        *(f"        float {name.replace('sum', 'lost')} = 0.0f;" for name in sums),
        f"        while ({end} - {counter} >= {_STRETCH}) {{",
        *(f"            float {', '.join(f'{part} = 0.0f' for part in each)};" for each in beside),
        f"            for (int turn = 0; turn < {_STRETCH // len(beside)}; ++turn) {{",
        *(f"                {line}" for line in turn),
        "            }",
        *(f"            {part} += {_tree([each[i] for each in beside[1:]])};" for i, part in enumerate(parts)),
        *together,
        "        }",
        f"        if ({counter} < {end}) {{",
        *(f"            float {part} = 0.0f;" for part in parts),
        f"            for (; {counter} < {end}; ++{counter}) {{",
        *_indented(4, body, parts),
        "            }",
        *together,
        "        }",
    )


def _tree(names: Sequence[str]) -> str:
    """Return the sum of one name or three, that of the last two first."""
    return names[0] if len(names) == 1 else f"{names[0]} + ({names[1]} + {names[2]})"


def _compensated(total: str, part: str) -> Iterator[str]:
    """Add to a sum, and keep what rounding takes from it for the next time (Kahan 1965); nothing where it overflows."""
    lost, after = total.replace("sum", "lost"), total.replace("sum", "after")
    yield from (
        f"            {part} -= {lost};",
        f"            const float {after} = {total} + {part};",
        f"            {lost} = ({after} - {total}) - {part};",
        f"            {lost} = {lost} - {lost} == 0.0f ? {lost} : 0.0f;",
        f"            {total} = {after};",
    )


def _indented(depth: int, body: Sequence[str], sums: Sequence[str]) -> Iterator[str]:
    names = iter(sums)
    for statement in body:
        yield "    " * depth + (statement.replace("{}", next(names)) if statement.startswith("{}") else statement)


def _kind(values: NDArray[Any]) -> str:
    return "float" if values.dtype == np.float32 else _TYPES[values.dtype.name]


def _result(total: str, row: str, bias: str | None, scales: str | None) -> str:
    scaled = total if scales is None else f"{total} * {scales}[{row}]"
    return scaled if bias is None else f"{scaled} + {bias}[{row}]"


def _each(step: Step, statement: str) -> list[str]:
    """Return a loop over the features of a step."""
    return [f"for (size_t i = 0; i < {step.features}; ++i) {{", f"    {statement}", "}"]


def _wrapped(words: Sequence[str]) -> Iterator[str]:
    line = "   "
    for word in words:
        if len(line) + len(word) + 2 > _COLUMNS:
            yield line
            line = "   "
        line += f" {word},"
    yield line
