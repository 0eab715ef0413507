"""Promises of the one reader of settings: a value becomes its type exactly, or is refused by its name."""

from __future__ import annotations

import enum
import json
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rewirl.noisy  # noqa: F401  (registers rewirl/Noisy-v0)
from rewirl.agents.sac import SACConfig
from rewirl.agents.td3 import TD3Config
from rewirl.exact import exactly, from_values
from rewirl.experiments.sweep.file import read_sweep
from rewirl.saved import shown
from rewirl.storage.values import from_text, to_values
from rewirl.topology import TopologyConfig

Choice = Literal["paper", "code"]
Sizes = tuple[int, ...]


class Named(enum.StrEnum):
    PAPER = "paper"


class Numbered(enum.IntEnum):
    FIFTY = 50


EXACT: list[tuple[Any, Any, Any]] = [
    (int, 50, 50),
    (int, 5e1, 50),
    (int, 1e6, 1_000_000),
    (int, -0.0, 0),
    (int, 2.0**53, 2**53),
    (int, 2**127, 2**127),
    (int, np.int64(5), 5),
    (int, np.uint8(5), 5),
    (int, np.float32(64), 64),
    (int, Numbered.FIFTY, 50),
    (float, 1, 1.0),
    (float, 2**60, 2.0**60),
    (float, 0.1, 0.1),
    (float, math.inf, math.inf),
    (float, np.float32(0.1), 0.10000000149011612),
    (float, np.float16(0.1), 0.0999755859375),
    (float, np.float64(0.1), 0.1),
    (float, np.longdouble(0.5), 0.5),
    (float, np.int32(3), 3.0),
    (bool, True, True),
    (bool, np.bool_(False), False),
    (str, "set", "set"),
    (str, np.str_("set"), "set"),
    (str, Named.PAPER, "paper"),
    (Choice, "code", "code"),
    (Choice, Named.PAPER, "paper"),
    (Sizes, [16, 16.0], (16, 16)),
    (Sizes, (), ()),
    (Sizes, np.array([16, 32]), (16, 32)),
    (tuple[float, ...], np.array([0.1], np.float32), (0.10000000149011612,)),
    (float | None, None, None),
    (float | Literal["auto"], "auto", "auto"),
    (float | Literal["auto"], 1, 1.0),
    (Sizes | None, [3], (3,)),
    (dict[str, Any], {"a": np.float32(0.1), "b": [np.int8(3), {"c": np.bool_(True)}]},
     {"a": 0.10000000149011612, "b": [3, {"c": True}]}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "expected"), EXACT, ids=lambda value: repr(value)[:40])
def test_a_value_becomes_its_type_exactly(kind, value, expected):
    result = exactly(kind, value, "x")
    assert result == expected
    assert type(result) is type(expected)
    if isinstance(result, tuple):
        assert [type(item) for item in result] == [type(item) for item in expected]


REFUSED: list[tuple[Any, Any, str]] = [
    (int, 5.5, "a whole number"),
    (int, "50", "a whole number"),
    (int, True, "a whole number"),
    (int, np.bool_(True), "a whole number"),
    (int, None, "a whole number"),
    (int, np.array(50), "a whole number"),
    (int, np.array([50]), "a whole number"),
    (int, math.nan, "a whole number"),
    (int, math.inf, "a whole number"),
    (int, 2.0**54, r"a whole number between -2\*\*53 and 2\*\*53, as a float is exact"),
    (int, 2**128, r"a whole number between -2\*\*128 and 2\*\*128"),
    (int | None, -(10**5000), r"a whole number between -2\*\*128 and 2\*\*128"),
    (int, 5 + 0j, "a whole number"),
    (int, np.datetime64("2022-01-01"), "a whole number"),
    (int, Decimal(5), "a whole number"),
    (float, "0.9", "a number"),
    (float, False, "a number"),
    (float, 2**53 + 1, "a number that float64 has exactly"),
    (float, 10**400, "a number that float64 has exactly"),
    (float, np.longdouble(1) / 3, "a number"),
    (float, np.array(0.5), "a number"),
    (float, Fraction(1, 2), "a number"),
    (bool, 1, "true or false"),
    (bool, "True", "true or false"),
    (bool, np.array(True), "true or false"),
    (str, b"set", "a word"),
    (str, Path("set"), "a word"),
    (str, 3, "a word"),
    (Choice, "cod", "'paper' or 'code'"),
    (Choice, 3, "'paper' or 'code'"),
    (Choice, ["code"], "'paper' or 'code'"),
    (Choice, np.array(["code"]), "'paper' or 'code'"),
    (Sizes, 16, "a list of which each is a whole number"),
    (Sizes, "16", "a list of which each is a whole number"),
    (Sizes, [16, 2.5], "a list of which each is a whole number"),
    (Sizes, [[16]], "a list of which each is a whole number"),
    (Sizes, np.ones((2, 2)), "a list of which each is a whole number"),
    (Sizes, {16}, "a list of which each is a whole number"),
    (float | Literal["auto"], "audo", "a number or 'auto'"),
    (dict[str, Any], [1], "a table"),
]


@pytest.mark.parametrize(("kind", "value", "what"), REFUSED, ids=lambda value: shown(value)[:40])
def test_any_other_value_is_refused_by_name(kind, value, what):
    with pytest.raises(ValueError, match=f"^learning_starts must be {what}, got "):
        exactly(kind, value, "learning_starts")


@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.text(), st.none(), st.binary(), st.complex_numbers()))
def test_a_number_that_is_taken_has_the_value_that_was_given(value):
    for kind in (int, float, bool, str):
        try:
            result = exactly(kind, value, "x")
        except ValueError:
            continue
        assert type(result) is kind
        assert result == value or (math.isnan(result) and math.isnan(value))
        assert exactly(kind, result, "x") is result or result != 0


TYPED: list[tuple[Any, list[str], Any]] = [
    (int, ["50"], 50),
    (int, ["1e6"], 1_000_000),
    (int, ["1_000"], 1_000),
    (int, ["-3"], -3),
    (float, ["3e-4"], 3e-4),
    (float, ["1"], 1.0),
    (float | None, ["None"], None),
    (float | None, ["none"], None),
    (str | None, ["none"], "none"),
    (int | None, ["7"], 7),
    (str, ["None"], "None"),
    (str | None, ["None"], None),
    (bool | None, ["True"], True),
    (bool, ["false"], False),
    (Choice, ["code"], "code"),
    (Sizes, ["16", "3e1"], (16, 30)),
    (Sizes, [], ()),
    (tuple[float, ...] | None, ["7", "64"], (7.0, 64.0)),
    (tuple[float, ...] | None, ["None"], None),
    (float | Literal["auto"], ["auto"], "auto"),
    (float | Literal["auto"], ["0.2"], 0.2),
    (dict[str, Any], ['{"a": [1, 2.5]}'], {"a": [1, 2.5]}),
]


@pytest.mark.parametrize(("kind", "words", "expected"), TYPED, ids=lambda value: repr(value)[:40])
def test_words_are_read_as_what_they_stand_for(kind, words, expected):
    result = from_text(kind, words, "x")
    assert result == expected and type(result) is type(expected)


@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        (int, ["x"], "x must be a whole number, got 'x'"),
        (int, ["0.5"], "x must be a whole number, got 0.5"),
        (int, ["None"], "x must be a whole number, got 'None'"),
        (int, ["9" * 5000], "x must be a whole number, got inf"),
        (float, ["high"], "x must be a number, got 'high'"),
        (Sizes, ["16", "a"], "x must be a list of which each is a whole number"),
        (bool, ["1"], "x must be true or false, got '1'"),
        (dict[str, Any], ["[1]"], "x must be a table"),
        (dict[str, Any], ["{"], "x must be a JSON object such as"),
        (dict[str, Any], ["[" * 100_000], "x must be a JSON object such as"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_words_that_stand_for_nothing_are_refused_by_name(kind, words, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        from_text(kind, words, "x")


INTEGERS: dict[type[Any], tuple[str, ...]] = {
    TD3Config: ("learning_starts", "buffer_size", "batch_size", "n_steps", "policy_delay", "redo_every"),
    SACConfig: ("learning_starts", "resample_noise_from", "target_update_interval"),
    TopologyConfig: ("adapt_every", "adapt_offset", "adapt_end", "sparsity_start"),
}


@pytest.mark.parametrize(("settings", "name"), [(kind, name) for kind, names in INTEGERS.items() for name in names])
def test_settings_made_in_python_are_their_types_exactly_or_refused_by_name(settings, name):
    for value in (5e1, np.int64(50), np.float32(50), np.uint8(50)):
        made = settings(**{name: value})
        assert getattr(made, name) == 50 and type(getattr(made, name)) is int
        assert from_values(settings, json.loads(json.dumps(to_values(made)))) == made
    for value in (0.5, "50", True, [50], math.nan):
        with pytest.raises(ValueError, match=f"^{name} must be"):
            settings(**{name: value})


def test_numbers_of_numpy_are_kept_to_the_bit_and_saved():
    topology = TopologyConfig(sparsity=np.float32(0.9), rule="set", adapt_fraction=np.float16(0.1))
    made = TD3Config(hidden_sizes=[64, np.int16(32)], topology=topology, gamma=np.float32(0.99), tau=1)
    assert (made.gamma, made.tau, made.hidden_sizes) == (float(np.float32(0.99)), 1.0, (64, 32))
    values = json.loads(json.dumps(to_values(made)))
    assert from_values(TD3Config, values) == made
    assert type(made.topology.sparsity) is float and made.topology.sparsity == float(np.float32(0.9))


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        (TopologyConfig, "sparsity", "0.5"),
        (TopologyConfig, "lambdas", 0.5),
        (TopologyConfig, "rule", None),
        (TopologyConfig, "regrow_dropped", 1),
        (TD3Config, "topology", 0.5),
        (TD3Config, "hidden_sizes", 64),
        (TD3Config, "gamma", "0.9"),
        (SACConfig, "learning_rate", 1 + 1j),
        (TD3Config, "bias_correction", 1),
    ],
)
def test_what_is_no_setting_at_all_is_refused_by_name(settings, name, value):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        settings(**{name: value})


def test_a_sweep_and_the_noisy_environment_read_numbers_as_settings_do(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text('agents = ["td3"]\nenvs = ["Pendulum-v1"]\nseeds = [1e0]\ntotal_timesteps = 5e1\n')
    (run,) = read_sweep(str(path)).requests
    assert (run.seed, type(run.seed)) == (1, int) and run.options["total_timesteps"] == 50
    for steps in (np.int64(3), 3.0):
        made = gymnasium.make("rewirl/Noisy-v0", env="Pendulum-v1", fraction=np.float64(0.5), permute_every=steps)
        made.close()
    with pytest.raises(ValueError, match=r"^permute_every must be"):
        gymnasium.make("rewirl/Noisy-v0", env="Pendulum-v1", fraction=0.5, permute_every=0.5)
