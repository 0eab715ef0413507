from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import chisquare

from rewirl import seeding
from rewirl.nn import reference, unpack
from rewirl.replay import Batch, Replay

OBSERVATION, ACTION = 3, 2


def row(number):
    """A transition whose every number says which one it is."""
    return (
        number + np.array([0.1, 0.2, 0.3]),
        np.array([number, -number]) / 1000,
        number + 0.5,
        number + np.array([0.6, 0.7, 0.8]),
        number % 3 == 0,
    )


def filled(count, capacity=10, seed=0):
    replay = Replay(capacity, OBSERVATION, ACTION, seed)
    for number in range(count):
        replay.add(*row(number))
    return replay


def sampled(replay, size=200):
    """The numbers of the transitions in a batch, after seeing that no transition is mixed with another."""
    batch = replay.sample(Batch(size, OBSERVATION, ACTION))
    numbers = np.floor(unpack(batch.rewards, size)[:, 0]).astype(int)
    parts = (batch.states, batch.actions, batch.rewards, batch.next_states)
    for part, expected in enumerate(zip(*[row(number)[:4] for number in numbers], strict=True)):
        expected = np.array(expected, dtype=np.float32).reshape(size, -1)
        assert np.array_equal(unpack(parts[part], size), expected)
    assert np.array_equal(unpack(batch.continues, size)[:, 0], numbers % 3 != 0)
    return numbers


def test_transitions_come_back_whole_into_the_right_places():
    assert set(sampled(filled(7))) == set(range(7))


def test_the_latest_replace_the_oldest():
    for count in (9, 10, 11, 15, 20, 37):
        replay = filled(count)
        assert len(replay) == min(count, 10)
        assert set(sampled(replay)) == set(range(max(0, count - 10), count))


def test_sampling_is_uniform():
    replay = filled(10)
    counts = np.bincount(np.concatenate([sampled(replay, 500) for _ in range(20)]), minlength=10)
    assert chisquare(counts).pvalue > 1e-3


def test_sampling_follows_the_stream_of_its_own():
    expected = seeding.generator(7, "replay").integers(9, size=50)
    assert np.array_equal(sampled(filled(9, seed=7), 50), expected)
    assert not np.array_equal(sampled(filled(9, seed=8), 50), expected)


@pytest.mark.parametrize("size", [1, 16, 100, 129, 300])
def test_a_batch_is_states_and_actions_side_by_side_with_a_mean(size):
    batch = Batch(size, OBSERVATION, ACTION)
    batch.next_actions[...] = 7.0
    filled(10).sample(batch)
    assert np.array_equal(batch.states_actions[:, :3], batch.states)
    assert np.array_equal(batch.states_actions[:, 3:], batch.actions)
    assert np.array_equal(batch.next_states_actions[:, :3], batch.next_states)
    assert (batch.next_actions == 7.0).all()
    width = batch.weights.shape[2]
    assert np.array_equal(batch.weights, reference.pack(np.full((size, 1), np.float32(1 / size)), width))
    for tiles in (batch.states, batch.actions, batch.next_states, batch.rewards, batch.continues):
        assert np.isfinite(tiles).all()


def test_observations_of_other_types_are_stored_as_float32_copies():
    replay = Replay(3, 2, 1, 0)
    observation = np.array([1, 2], dtype=np.int64)
    replay.add(observation, np.array([0.5]), np.float64(1.25), np.array([3.0, 4.0], dtype=np.float64), np.True_)
    observation[:] = 9
    batch = replay.sample(Batch(1, 2, 1))
    assert batch.states[0, :, 0].tolist() == [1, 2]
    assert batch.next_states[0, :, 0].tolist() == [3, 4]
    assert batch.rewards[0, 0, 0] == 1.25
    assert batch.continues[0, 0, 0] == 0


def test_an_empty_memory_has_nothing_to_sample():
    with pytest.raises(ValueError, match="the replay memory is empty"):
        Replay(3, 2, 1, 0).sample(Batch(4, 2, 1))


@pytest.mark.parametrize("sizes", [(0, 2, 1), (3, 0, 1), (3, 2, 0), (-1, 2, 1)])
def test_sizes_are_at_least_one(sizes):
    with pytest.raises(ValueError, match="must be at least 1"):
        Replay(*sizes, seed=0)


# State


def through_a_file(replay):
    arrays, values = replay.state()
    return {name: array.copy() for name, array in arrays.items()}, json.loads(json.dumps(values))


@pytest.mark.parametrize("count", [0, 1, 9, 10, 13, 20])
def test_a_restored_memory_goes_on_to_the_bit(count):
    replay, restored = filled(count), Replay(10, OBSERVATION, ACTION, seed=99)
    if count:
        sampled(replay)
    restored.load_state(*through_a_file(replay))
    assert len(restored) == len(replay)
    for number in range(count, count + 6):
        replay.add(*row(number))
        restored.add(*row(number))
        assert np.array_equal(sampled(replay), sampled(restored))
    assert replay.state()[1] == restored.state()[1]


@pytest.mark.parametrize("count", [0, 7, 13])
def test_what_was_read_into_memory_of_its_size_is_not_copied(count):
    replay, restored = filled(count), Replay(10, OBSERVATION, ACTION, seed=99)
    arrays, values = through_a_file(replay)
    room = np.full((10, arrays["transitions"].shape[1]), np.nan, np.float32)
    arrays["transitions"] = room[: len(replay)]
    arrays["transitions"][...] = replay.state()[0]["transitions"]
    restored.load_state(arrays, values, own=True)
    assert restored.transitions is room
    for number in range(count, count + 6):
        replay.add(*row(number))
        restored.add(*row(number))
        assert np.array_equal(sampled(replay), sampled(restored))


def test_the_memory_of_another_is_copied():
    replay, restored = filled(13), Replay(10, OBSERVATION, ACTION, seed=99)
    restored.load_state(*replay.state())
    assert not np.shares_memory(replay.transitions, restored.transitions)


def changed(replay, transitions=None, **values):
    arrays, saved = through_a_file(replay)
    if transitions is not None:
        arrays["transitions"] = transitions(arrays["transitions"])
    return arrays, {**saved, **values}


def with_number(column, number):
    def change(array):
        array[1, column] = number
        return array

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"capacity": 11}, "holds 11 transitions, this one 10"),
        ({"capacity": None}, "holds None transitions, this one 10"),
        ({"transitions": with_number(1, np.nan)}, "not finite"),
        ({"transitions": with_number(OBSERVATION, -1.5)}, r"actions that are not in \[-1, 1\]"),
        ({"transitions": with_number(OBSERVATION + ACTION - 1, 1.5)}, r"actions that are not in \[-1, 1\]"),
        ({"transitions": with_number(-1, 0.5)}, "ends that are neither 0 nor 1"),
        ({"transitions": lambda a: a[:, :-1]}, r"float32 \[6, 9\], expected float32 \[any, 10\]"),
        ({"transitions": lambda a: a.astype(np.float64)}, "is float64"),
        ({"transitions": lambda a: a[0]}, r"\[10\]"),
        ({"transitions": lambda a: np.concatenate([a, a])}, "has 12 transitions, more than 10"),
        ({"cursor": 5}, "the cursor 5 .* does not fit its 6 transitions"),
        ({"cursor": -1}, "the cursor -1"),
        ({"cursor": None}, "the cursor None"),
        ({"cursor": 6.0}, "the cursor 6.0"),
        ({"rng": {}}, "not the state of a PCG64DXSM stream"),
        ({"rng": None}, "not the state of a PCG64DXSM stream"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(change, message):
    replay = filled(3)
    before = through_a_file(replay)
    with pytest.raises(ValueError, match=message):
        replay.load_state(*changed(filled(6), **change))
    after = through_a_file(replay)
    assert before[1] == after[1]
    assert before[0]["transitions"].tobytes() == after[0]["transitions"].tobytes()


def test_a_full_memory_has_its_cursor_inside():
    with pytest.raises(ValueError, match="the cursor 10"):
        filled(3).load_state(*changed(filled(13), cursor=10))
    _, values = through_a_file(filled(3))
    with pytest.raises(ValueError, match="transitions of the saved replay memory is missing"):
        filled(3).load_state({}, values)


# Noise drawn anew


def noisy(count=9, seed=0, noise_from=1):
    replay = Replay(10, OBSERVATION, ACTION, seed, noise_from)
    for number in range(count):
        replay.add(*row(number))
    return replay


@pytest.mark.parametrize("steps", [1, 3])
def test_noise_is_drawn_anew_whenever_it_is_sampled_and_the_rest_is_as_it_was(steps):
    fresh, stored = Batch(1000, OBSERVATION, ACTION), Batch(1000, OBSERVATION, ACTION)
    one, other = noisy(), filled(9)
    one.sample(fresh, steps, 0.5)
    other.sample(stored, steps, 0.5)
    for name in ("actions", "outcomes"):
        assert np.array_equal(getattr(fresh, name), getattr(stored, name))
    assert np.array_equal(one.sample(fresh, steps, 0.5).actions, other.sample(stored, steps, 0.5).actions)
    seen = []
    for name in ("states", "next_states"):
        assert np.array_equal(getattr(fresh, name)[:, :1], getattr(stored, name)[:, :1])
        seen += [unpack(getattr(fresh, name)[:, column : column + 1], 1000)[:, 0] for column in (1, 2)]
    for column in seen:
        assert column.mean() == pytest.approx(0, abs=0.15) and column.std() == pytest.approx(1, abs=0.1)
    assert np.abs(np.corrcoef(seen) - np.eye(4)).max() < 0.15


def test_the_noise_is_of_a_stream_of_its_own_which_is_saved():
    replay, again, batches = noisy(), noisy(seed=9), [Batch(40, OBSERVATION, ACTION) for _ in range(2)]
    replay.sample(batches[0])
    again.load_state(*through_a_file(replay))
    before = batches[0].states.copy()
    for each, batch in zip((replay, again), batches, strict=True):
        each.sample(batch)
    assert np.array_equal(batches[0].states_actions, batches[1].states_actions)
    assert np.array_equal(batches[0].next_states, batches[1].next_states)
    assert not np.array_equal(before[:, 1:], batches[0].states[:, 1:])
    assert "noise_rng" not in filled(9).state()[1]
    with pytest.raises(ValueError, match="not the state of a PCG64DXSM stream"):
        again.load_state(*through_a_file(filled(9)))


@pytest.mark.parametrize("noise_from", [-1, 3])
def test_noise_begins_with_a_feature_that_there_is(noise_from):
    with pytest.raises(ValueError, match="observations have 3 features"):
        noisy(noise_from=noise_from)


# Windows of several steps

GAMMA = 0.5


def windows(replay, steps, size=300):
    """For each window drawn the number of its first transition, then what it holds: reward, continues, next number."""
    batch = replay.sample(Batch(size, OBSERVATION, ACTION), steps, GAMMA)
    first = np.round(unpack(batch.states, size)[:, 0] - 0.1).astype(int)
    last = np.round(unpack(batch.next_states, size)[:, 0] - 0.6).astype(int)
    found = {}
    for key, *value in zip(
        first, unpack(batch.rewards, size)[:, 0], unpack(batch.continues, size)[:, 0], last, strict=True
    ):
        assert found.setdefault(int(key), value) == value
    return found


def episode(replay, numbers, terminated=False, truncated=False):
    """Add transitions with rewards of their own numbers; the last ends the episode, or does not."""
    for number in numbers:
        over = number == numbers[-1]
        state, action, _, next_state, _ = row(number)
        replay.add(state, action, float(number), next_state, terminated and over, truncated and over)


def test_windows_sum_rewards_up_to_the_end_of_their_episode():
    """Three steps, by hand: 1 to 4 end in a terminal state, 5 and 6 at a time limit, 7 and 8 go on."""
    replay = Replay(20, OBSERVATION, ACTION, 0)
    episode(replay, [1, 2, 3, 4], terminated=True)
    episode(replay, [5, 6], truncated=True)
    episode(replay, [7, 8])
    assert windows(replay, 3) == {
        1: [1 + 2 / 2 + 3 / 4, 1 / 4, 3],
        2: [2 + 3 / 2 + 4 / 4, 0, 4],
        3: [3 + 4 / 2, 0, 4],
        4: [4, 0, 4],
        5: [5 + 6 / 2, 1 / 2, 6],  # a time limit is no end of the task: it bootstraps from the state it was cut in
        6: [6, 1, 6],
        7: [7 + 8 / 2, 1 / 2, 8],  # nothing has been added after 8 yet
        8: [8, 1, 8],
    }


def test_windows_do_not_go_round_the_ring_into_other_times():
    replay = Replay(5, OBSERVATION, ACTION, 0)
    episode(replay, list(range(1, 8)))  # 3 4 5 6 7 are left, and 6 7 lie before 3 in memory
    assert windows(replay, 3) == {
        3: [3 + 4 / 2 + 5 / 4, 1 / 4, 5],
        4: [4 + 5 / 2 + 6 / 4, 1 / 4, 6],
        5: [5 + 6 / 2 + 7 / 4, 1 / 4, 7],
        6: [6 + 7 / 2, 1 / 2, 7],
        7: [7, 1, 7],
    }


def test_an_episode_that_is_broken_off_is_cut():
    replay = Replay(20, OBSERVATION, ACTION, 0)
    replay.cut()  # of nothing
    episode(replay, [1, 2])
    replay.cut()
    episode(replay, [3])
    assert windows(replay, 2) == {1: [1 + 2 / 2, 1 / 2, 2], 2: [2, 1, 2], 3: [3, 1, 3]}


def test_windows_stay_in_their_environment():
    """Two environments take turns, even and odd numbers. 4 and 7 end episodes, 5 was given up; 1 is overwritten."""
    replay = Replay(11, OBSERVATION, ACTION, 0, environments=2)
    for number in range(1, 13):
        episode(replay, [number], terminated=number == 4, truncated=number == 7)
        if number == 9:
            replay.cut(4)
    assert windows(replay, 3) == {
        2: [2 + 4 / 2, 0, 4],
        3: [3 + 5 / 2, 1 / 2, 5],
        4: [4, 0, 4],
        5: [5, 1, 5],
        6: [6 + 8 / 2 + 10 / 4, 1 / 4, 10],
        7: [7, 1, 7],
        8: [8 + 10 / 2 + 12 / 4, 1 / 4, 12],
        9: [9 + 11 / 2, 1 / 2, 11],
        10: [10 + 12 / 2, 1 / 2, 12],
        11: [11, 1, 11],
        12: [12, 1, 12],
    }


def test_a_window_of_one_step_is_a_transition():
    one, other = filled(9), filled(9)
    direct, window = Batch(100, OBSERVATION, ACTION), Batch(100, OBSERVATION, ACTION)
    one.sample(direct)
    other.sample(window, 2, 0.0)  # what comes after the first counts nothing
    assert np.array_equal(direct.states_actions, window.states_actions)
    assert np.array_equal(direct.rewards, window.rewards)
    assert one.state()[1] == other.state()[1]


def test_the_states_between_the_steps_of_a_window_come_with_their_discounts():
    """The trajectory of the first of these tests, windows of four steps: which states are passed on the way."""
    replay = Replay(20, OBSERVATION, ACTION, 0)
    episode(replay, [1, 2, 3, 4], terminated=True)
    episode(replay, [5, 6], truncated=True)
    episode(replay, [7, 8, 9])
    batch = Batch(300, OBSERVATION, ACTION)
    plain = replay.state()[1]["rng"]
    batch.keep_between(3)
    replay.sample(batch, 4, GAMMA)
    assert batch.steps == 4
    first = np.round(unpack(batch.states, 300)[:, 0] - 0.1).astype(int)
    passed = {}
    for index, number in enumerate(first):
        found = []
        for tiles in batch.between:
            *state, discount = unpack(tiles, 300)[index]
            number_passed = round(float(state[0]) - 0.6)
            whole = number_passed + np.array([0.6, 0.7, 0.8])
            assert state == ([0, 0, 0] if discount == 0 else pytest.approx(whole, rel=1e-6))
            found += [(number_passed, float(discount))] if discount else []
        assert passed.setdefault(int(number), found) == found
    assert passed == {
        1: [(1, 1 / 2), (2, 1 / 4), (3, 1 / 8)],  # the state after 1, after 2, after 3; after 4 it is over
        2: [(2, 1 / 2), (3, 1 / 4)],
        3: [(3, 1 / 2)],
        4: [],
        5: [(5, 1 / 2)],  # after 6 it is cut, which is where it bootstraps
        6: [],
        7: [(7, 1 / 2), (8, 1 / 4)],
        8: [(8, 1 / 2)],
        9: [],
    }
    again, without = Replay(20, OBSERVATION, ACTION, 0), Batch(300, OBSERVATION, ACTION)
    again.load_state(*through_a_file(replay))
    seeding.restore(again._rng, plain)
    again.sample(without, 4, GAMMA)
    assert np.array_equal(without.outcomes, batch.outcomes)
    assert np.array_equal(without.next_states, batch.next_states)


def test_there_is_a_state_between_each_two_steps():
    batch = Batch(30, OBSERVATION, ACTION)
    batch.keep_between(3)
    with pytest.raises(ValueError, match="a state between each two"):
        filled(9).sample(batch, 3, GAMMA)
    assert filled(9).sample(batch, 1).steps == 1
    batch.between = [batch.states] * 3  # without room for the discount
    with pytest.raises(ValueError, match="rows have 4 columns, the tiles 3 features"):
        filled(9).sample(batch, 4, GAMMA)


def test_noise_is_drawn_anew_in_the_states_between_too():
    fresh, stored = Batch(40, OBSERVATION, ACTION), Batch(40, OBSERVATION, ACTION)
    for replay, batch in ((noisy(), fresh), (filled(9), stored)):
        batch.keep_between(2)
        replay.sample(batch, 3, GAMMA)
    for one, other in zip(fresh.between, stored.between, strict=True):
        assert np.array_equal(one[:, [0, 3]], other[:, [0, 3]])
        assert (one[:, 1:3] != other[:, 1:3]).all()


def test_ends_of_episodes_are_saved():
    replay = Replay(20, OBSERVATION, ACTION, 0)
    episode(replay, [1, 2], truncated=True)
    episode(replay, [3, 4, 5])
    arrays, values = replay.state()
    again = Replay(20, OBSERVATION, ACTION, 9)
    again.load_state({name: array.copy() for name, array in arrays.items()}, json.loads(json.dumps(values)))
    assert windows(again, 3) == windows(replay, 3)
    with pytest.raises(ValueError, match="ends of the saved replay memory"):
        again.load_state({**arrays, "ends": np.zeros(4, np.uint8)}, values)


@pytest.mark.parametrize("steps", [2, 3])
def test_long_windows_value_a_chain_as_single_steps_do(steps):
    """Against a reference written as the definition reads, on random episodes around a ring."""
    rng = np.random.default_rng(steps)
    replay, log = Replay(60, OBSERVATION, ACTION, 0), []
    for number in range(150):
        terminated, truncated = rng.random(2) < (0.1, 0.1)
        state, action, _, next_state, _ = row(number)
        reward = float(np.float32(rng.normal()))
        replay.add(state, action, reward, next_state, bool(terminated), bool(truncated))
        log.append((reward, bool(terminated), bool(truncated)))
    found = windows(replay, steps, 3000)
    assert set(found) == set(range(90, 150))
    for start, (reward, continues, last) in found.items():
        total, k = 0.0, start
        while True:
            total += GAMMA ** (k - start) * log[k][0]
            if log[k][1] or log[k][2] or k == 149 or k - start == steps - 1:
                break
            k += 1
        assert (last, continues) == (k, (not log[k][1]) * GAMMA ** (k - start))
        assert reward == pytest.approx(total, rel=1e-6, abs=1e-6)


# Forgetting


def test_the_oldest_are_shown_and_forgotten_first():
    replay = filled(13)  # 3 to 12 are left
    states, actions = replay.oldest(3)
    assert states[:, 0] == pytest.approx([3.1, 4.1, 5.1], rel=1e-6)
    assert actions[:, 0] == pytest.approx([0.003, 0.004, 0.005], rel=1e-6)
    replay.forget(4)
    assert len(replay) == 6 and set(sampled(replay)) == set(range(7, 13))
    for number in (13, 14, 15):  # there is room again
        replay.add(*row(number))
    assert len(replay) == 9 and set(sampled(replay)) == set(range(7, 16))
    for number in (16, 17):
        replay.add(*row(number))
    assert len(replay) == 10 and set(sampled(replay)) == set(range(8, 18))
    replay.forget(100)
    assert len(replay) == 1 and set(sampled(replay)) == {17}
    assert len(replay.oldest(5)[0]) == 1


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("count", [7, 13, 15])
def test_a_memory_that_has_forgotten_goes_on_to_the_bit(count, steps):
    replay, again = filled(count), Replay(10, OBSERVATION, ACTION, 99)
    replay.forget(4)
    arrays, values = replay.state()
    again.load_state({name: array.copy() for name, array in arrays.items()}, json.loads(json.dumps(values)))
    for number in range(count, count + 9):
        batches = [Batch(40, OBSERVATION, ACTION) for _ in range(2)]
        replay.sample(batches[0], steps, GAMMA)
        again.sample(batches[1], steps, GAMMA)
        assert np.array_equal(batches[0].outcomes, batches[1].outcomes)
        assert np.array_equal(batches[0].states_actions, batches[1].states_actions)
        for each in (replay, again):
            each.add(*row(number))
