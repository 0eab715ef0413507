"""Promises of a transition on its way: samples are what they would be if it were there, and wait only for it."""

from __future__ import annotations

import numpy as np
import pytest
from test_replay import ACTION, OBSERVATION, filled, row, sampled

from rewirl.replay import Batch


def expecting(replay, number):
    """Let a replay memory expect a transition; return the list of those that were waited for."""
    waited = []

    def add():
        waited.append(number)
        replay.add(*row(number))

    replay.expect(add)
    return waited


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("count", [1, 5, 9, 10, 14])
def test_samples_are_those_of_a_memory_that_has_it(count, forgets):
    waits = []
    for seed in range(30):
        early, late = filled(count - 1, seed=seed), filled(count - 1, seed=seed)
        if forgets and count > 2:
            early.forget(2), late.forget(2)
        early.add(*row(count - 1))
        waited = expecting(late, count - 1)
        expected, numbers = sampled(early, 5), sampled(late, 5)
        assert numbers.tolist() == expected.tolist()
        assert bool(waited) == (count - 1 in numbers)
        waits.append(bool(waited))
        late.settle()
        assert waited == [count - 1]
        assert sampled(early, 5).tolist() == sampled(late, 5).tolist()
        late.settle()
        assert waited == [count - 1] and len(late) == len(early)
    assert any(waits) and (count == 1 or not all(waits))


@pytest.mark.parametrize(
    "ask",
    [
        len,
        lambda replay: replay.oldest(3),
        lambda replay: replay.forget(1),
        lambda replay: replay.cut(),
        lambda replay: replay.state(),
        lambda replay: replay.sample(Batch(4, OBSERVATION, ACTION), 3, 0.9),
    ],
)
def test_all_else_waits_first(ask):
    for count in (4, 10):
        early, late = filled(count + 1), filled(count)
        waited = expecting(late, count)
        ask(early), ask(late)
        assert waited == [count]
        (arrays, values), (others, other_values) = early.state(), late.state()
        assert values == other_values
        assert all(np.array_equal(arrays[name], others[name]) for name in arrays)


def test_what_goes_wrong_while_waiting_is_said_as_it_is():
    replay = filled(1)

    def fail():
        raise RuntimeError("the simulator is gone")

    replay.expect(fail)
    with pytest.raises(RuntimeError, match="the simulator is gone"):
        sampled(replay, 50)
    assert len(replay) == 1 and set(sampled(replay)) == {0}
