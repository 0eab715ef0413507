"""The configuration is made of its parts, and is one flat list of options for whoever uses it."""

from __future__ import annotations

import dataclasses

import docstring_parser
import pytest

from rewirl.topology import TopologyConfig
from rewirl.topology.distribution import DistributionConfig
from rewirl.topology.initial import InitialConfig
from rewirl.topology.rules.criteria import CriteriaConfig
from rewirl.topology.schedule import ScheduleConfig
from rewirl.topology.structure import StructureConfig

PARTS = (DistributionConfig, StructureConfig, InitialConfig, CriteriaConfig, ScheduleConfig)

# As version 0.1.0 wrote them into config.json and into --help.
NAMES = [
    "sparsity",
    "lambdas",
    "layer_sparsities",
    "actor_sparsity",
    "critic_sparsity",
    "initial_sparsity",
    "sparsity_start",
    "sparsity_end",
    "sparsity_schedule",  # since 0.2.0
    "lowest_sparsity",  # since 0.2.0
    "sparsity_step",  # since 0.2.0
    "loss_tolerance",  # since 0.2.0
    "distribution",
    "structure",
    "ablate_below",
    "initial_scale",
    "initial_topology",  # since 0.2.0
    "rule",
    "drop",
    "grow",
    "regrow_dropped",
    "adapt_every",
    "adapt_fraction",
    "anneal",
    "adapt_offset",
    "adapt_end",
    "adapt_actor",  # since 0.2.0
    "freeze_after",  # since 0.2.0
]


def names(kind):
    return [field.name for field in dataclasses.fields(kind)]


def test_names_and_order_are_those_of_saved_files():
    assert names(TopologyConfig) == NAMES


def test_every_option_belongs_to_one_part_that_documents_it():
    assert [name for part in PARTS for name in names(part)] == NAMES
    for part in PARTS:
        documented = {entry.arg_name for entry in docstring_parser.parse_from_object(part).params if entry.description}
        assert documented == set(names(part))


@pytest.mark.parametrize(
    ("part", "settings"),
    [
        (DistributionConfig, {"sparsity": 1.0}),
        (DistributionConfig, {"lambdas": (0.0, 64.0)}),
        (DistributionConfig, {"distribution": "even"}),
        (DistributionConfig, {"sparsity_start": 9, "sparsity_end": 9}),
        (DistributionConfig, {"distribution": "global"}),
        (DistributionConfig, {"distribution": "connectivity", "sparsity": None}),
        (StructureConfig, {"structure": "4:2"}),
        (StructureConfig, {"ablate_below": 0.3}),
        (InitialConfig, {"initial_scale": "wide"}),
        (CriteriaConfig, {"drop": "smallest"}),
        (CriteriaConfig, {"grow": "everywhere"}),
        (ScheduleConfig, {"adapt_every": 0}),
        (ScheduleConfig, {"anneal": "cosine"}),
    ],
)
def test_a_part_checks_its_own_options_alone_and_in_the_whole(part, settings):
    with pytest.raises(ValueError) as alone:
        part(**settings)
    with pytest.raises(ValueError) as whole:
        TopologyConfig(**settings)
    assert str(whole.value) == str(alone.value)
    assert next(iter(settings)) in str(alone.value)


def test_a_network_has_its_own_sparsity():
    config = TopologyConfig(lambdas=(7.0, 64.0), actor_sparsity=0.9, critic_sparsity=0.8)
    assert (config.of("actor").sparsity, config.of("actor").lambdas) == (0.9, None)
    assert config.of("critic1").sparsity == config.of("value").sparsity == 0.8
    assert type(config.of("actor")) is TopologyConfig
    assert TopologyConfig(lambdas=(7.0, 64.0)).of("actor").lambdas == (7.0, 64.0)


@pytest.mark.parametrize(
    ("settings", "summary"),
    [
        ({}, "sparsity 0.5, set"),
        ({"sparsity": 0.0}, "dense"),
        ({"sparsity": 0.0, "rule": "static"}, "dense"),
        ({"sparsity": 0.0, "rule": "static", "structure": "8x1"}, "dense"),
        ({"sparsity": 0.0, "structure": "2:4"}, "2:4, set"),
        ({"sparsity": 0.0, "actor_sparsity": 0.9}, "sparsity 0, actor 0.9, set"),
        ({"sparsity": None, "actor_sparsity": 0.9, "critic_sparsity": 0.8}, "actor 0.9, critics 0.8, set"),
        ({"sparsity": None, "structure": "2:4"}, "2:4, set"),
        ({"lambdas": (7.0, 64.0), "rule": "static"}, "lambdas 7 64, static"),
        (
            {"layer_sparsities": (0.8, 0.0, 0.25), "structure": "constant-fan-in"},
            "layers 0.8 0 0.25, constant-fan-in, set",
        ),
        ({"sparsity": 0.0, "initial_sparsity": 0.5}, "sparsity 0, at first 0.5, set"),
    ],
)
def test_the_summary_says_what_networks_have(settings, summary):
    assert TopologyConfig(**settings).summary() == summary
