"""Functions that exported C has of its own, so that it needs little or nothing of a mathematical library."""

from __future__ import annotations

import numpy as np

TANH = "policy_tanh"
ROOT = "policy_inverse_root"

TANH_LIBM = [f"static float {TANH}(float x)", "{", "    return tanhf(x);", "}", ""]

_STEPS = 16
"""Points of the table in a unit of x."""

_LIMIT = 9
"""From there on tanh(x) is 1 in float32 but for its last bit."""

INVERSE_ROOT = [
    "/* 1 / sqrt(x) for x > 0: a first guess from the bits of x, then four steps of Newton's method; 0 for infinity */",
    f"static float {ROOT}(float x)",
    "{",
    "    union {",
    "        float number;",
    "        uint32_t bits;",
    "    } root;",
    "    root.number = x;",
    "    root.bits = UINT32_C(0x5f3759df) - (root.bits >> 1);",
    "    for (int i = 0; i < 4; ++i) {",
    "        root.number *= 1.5f - 0.5f * x * root.number * root.number;",
    "    }",
    "    return x - x == 0.0f ? root.number : 1.0f / x;",
    "}",
    "",
]


def tanh_table() -> list[str]:
    """Return a tanh that interpolates in a table, with an error below 3e-7.

    Between two points it is the cubic that has the values and the slopes 1 - tanh(x)^2 of both.
    """
    points = _LIMIT * _STEPS + 1
    values = [str(np.float32(np.tanh(index / _STEPS))) for index in range(points)]
    lines = [", ".join(f"{value}f" for value in values[start : start + 8]) for start in range(0, points, 8)]
    return [
        f"static const float tanh_table[{points}] = {{",
        *(f"    {line}," for line in lines),
        "};",
        "",
        "/* the cubic between two points of the table with the values and slopes of both */",
        f"static float {TANH}(float x)",
        "{",
        f"    const float place = (x < 0.0f ? -x : x) * {_STEPS}.0f;",
        "    float t, low, high, slope_low, slope_high, result;",
        "    size_t index;",
        "    if (x != x) {",
        "        return x;",
        "    }",
        f"    if (place >= {points - 1}.0f) {{",
        "        return x < 0.0f ? -1.0f : 1.0f;",
        "    }",
        "    index = (size_t)place;",
        "    t = place - (float)index;",
        "    low = tanh_table[index];",
        "    high = tanh_table[index + 1];",
        f"    slope_low = (1.0f - low * low) * {1 / _STEPS}f;",
        f"    slope_high = (1.0f - high * high) * {1 / _STEPS}f;",
        "    result = low + t * (slope_low + t * (3.0f * (high - low) - 2.0f * slope_low - slope_high",
        "                                         + t * (2.0f * (low - high) + slope_low + slope_high)));",
        "    return x < 0.0f ? -result : result;",
        "}",
        "",
    ]
