from __future__ import annotations

import pytest

from rewirl.topology import TopologyConfig, density_at
from rewirl.topology.schedule import ScheduleConfig


def events(schedule, updates):
    return [update for update in range(1, updates + 1) if schedule.due(update)]


def test_events_fall_on_every_period_from_the_first_full_one():
    assert events(ScheduleConfig(adapt_every=1000), 3500) == [1000, 2000, 3000]


def test_the_offset_moves_them_and_the_end_is_the_last():
    assert events(ScheduleConfig(adapt_every=1000, adapt_offset=2), 3500) == [2, 1002, 2002, 3002]
    assert events(ScheduleConfig(adapt_every=10, adapt_end=30), 100) == [10, 20, 30]
    assert events(ScheduleConfig(adapt_every=10, adapt_end=29), 100) == [10, 20]
    assert events(ScheduleConfig(adapt_every=1, adapt_end=0), 100) == []


def test_the_fraction_is_constant():
    assert {ScheduleConfig(adapt_fraction=0.3).fraction_at(update) for update in (1, 10, 10**6)} == {0.3}


def test_cosine_annealing_ends_at_zero():
    schedule = ScheduleConfig(adapt_every=100, adapt_fraction=0.4, adapt_end=1000, anneal="cosine")
    assert schedule.fraction_at(0) == 0.4
    assert schedule.fraction_at(500) == pytest.approx(0.2)
    assert schedule.fraction_at(250) == pytest.approx(0.2 * (1 + 2**-0.5))
    assert schedule.fraction_at(1000) == schedule.fraction_at(5000) == pytest.approx(0)


def test_a_changing_density_follows_the_cubic():
    def at(update):
        return density_at(update, 1.0, 0.1, 200, 800)

    assert at(1) == at(200) == 1.0
    assert at(800) == at(10**6) == 0.1
    assert at(500) == pytest.approx(0.1 + 0.9 / 8)
    assert at(350) == pytest.approx(0.1 + 0.9 * 0.75**3)
    assert density_at(500, 0.2, 0.75, 0, 1000) == pytest.approx(0.75 - 0.55 / 8)  # it may grow too


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"initial_sparsity": 1.0, "rule": "prune"}, "initial_sparsity must be"),
        ({"initial_sparsity": 0.0, "rule": "static"}, "needs a rule by which it changes"),
        ({"rule": "prune"}, "the rule prune needs an initial_sparsity"),
        ({"sparsity_start": 10, "sparsity_end": 10}, "sparsity_start"),
        ({"sparsity_start": -1}, "sparsity_start"),
        ({"actor_sparsity": 1.0}, "actor_sparsity must be"),
        ({"critic_sparsity": -0.1}, "critic_sparsity must be"),
        ({"initial_scale": "wide"}, "initial_scale must be"),
        ({"grow": "everywhere"}, "grow must be"),
        ({"anneal": "linear"}, "anneal must be"),
    ],
)
def test_impossible_configurations_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        TopologyConfig(**settings)


@pytest.mark.parametrize("end", [None, 0])
def test_cosine_annealing_needs_an_end(end):
    with pytest.raises(ValueError, match="anneal cosine needs adapt_end"):
        TopologyConfig(anneal="cosine", adapt_end=end)


@pytest.mark.parametrize(
    "settings",
    [
        {"adapt_every": 0},
        {"adapt_fraction": -0.1},
        {"adapt_fraction": 1.1},
        {"adapt_offset": 1000},
        {"adapt_offset": -1},
    ],
)
def test_impossible_schedules_are_refused_by_name(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))} must be"):
        ScheduleConfig(**settings)
