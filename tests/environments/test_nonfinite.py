"""Observations that are not finite are refused by their place, or answered with NaN where that is asked for."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from rewirl.environments import spaces as doors
from rewirl.environments.observations import ObservationError, flatten


class Actor:
    """Says 0.5 to everything, or the first choice."""

    def __init__(self, choices=False):
        self.choices = choices

    def __call__(self, vectors):
        return np.zeros(len(vectors), np.int64) if self.choices else np.full((len(vectors), 2), 0.5, np.float32)


def of(observation_space, action_space=None):
    actions = spaces.Box(-2.0, 2.0, (2,)) if action_space is None else action_space
    return doors.Spaces(doors._observations(observation_space, "E", "", 0), doors._actions(actions, "E"))


VECTOR = of(spaces.Box(-9, 9, (3,)))
NESTED = of(
    spaces.Dict(way=spaces.Box(-9, 9, (2, 3)), parts=spaces.Tuple([spaces.Box(0, 1, ()), spaces.Box(0, 1, (2,))]))
)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # NumPy's own, of 1e300
@pytest.mark.parametrize(
    "space, observation, said",
    [
        (VECTOR, [1, np.nan, 2], r"^observation\[1\] is nan, which is not a finite"),
        (VECTOR, [1, 2, -np.inf], r"^observation\[2\] is -inf"),
        (VECTOR, np.array([0, 0, 1e300]), r"^observation\[2\] is inf"),
        (VECTOR, [[1, 2, 3], [1, 2, 3], [np.nan, 2, 3]], r"^observation\[2, 0\] is nan"),
        (VECTOR, [10**400, 0, 0], "not an array of numbers"),
        (VECTOR, [None, 0, 0], "not an array of numbers"),
        (VECTOR, ["1", "2", "3"], "not an array of numbers"),
        (VECTOR, [1j, 0, 0], "not an array of numbers"),
        (VECTOR, np.ma.masked_equal([1.0, 2.0, 3.0], 2.0), "some of it is masked"),
        (
            NESTED,
            {"way": np.zeros((2, 3)), "parts": (np.nan, np.zeros(2))},
            r"^observation\['parts'\]\[0\] is nan",
        ),
        (
            NESTED,
            {"way": [[0, 0, 0], [0, np.inf, 0]], "parts": (0, [0, 0])},
            r"^observation\['way'\]\[1, 1\] is inf",
        ),
        (
            NESTED,
            {"way": np.zeros((4, 2, 3)), "parts": (np.zeros(4), np.array([[0, 0], [0, 0], [0, 0], [0, np.nan]]))},
            r"^observation\['parts'\]\[1\]\[3, 1\] is nan",
        ),
    ],
)
def test_what_is_no_finite_number_is_refused_by_its_place(space, observation, said):
    with pytest.raises(ObservationError, match=said):
        space.predict(Actor(), observation)


def test_integers_truth_values_and_numbers_of_every_size_are_numbers():
    for observation in ([1, 2, 3], [True, False, True], np.array([2**63, 0, 1], np.uint64), np.zeros(3, np.float16)):
        assert VECTOR.predict(Actor(), observation).tolist() == [1, 1]
    assert VECTOR.predict(Actor(), np.full((2, 3), 3e38)).tolist() == [[1, 1], [1, 1]]  # their squares are infinite
    assert flatten(VECTOR.observations, np.array([3e38, 1, 1]))[0].tolist() == [[np.float32(3e38), 1, 1]]


def test_nan_is_let_through_as_nan_where_it_is_asked_for():
    alone = VECTOR.predict(Actor(), [1, np.inf, 2], allow_nonfinite=True)
    assert alone.shape == (2,) and np.isnan(alone).all()
    batch = VECTOR.predict(Actor(), [[1, 2, 3], [np.nan, 2, 3], [1, 2, 3]], allow_nonfinite=True)
    assert np.isnan(batch[1]).all() and (batch[[0, 2]] == 1).all()
    with pytest.raises(ObservationError, match="has shape"):
        VECTOR.predict(Actor(), [1, np.nan], allow_nonfinite=True)


def test_a_choice_cannot_be_nan():
    space = of(spaces.Box(-9, 9, (3,)), spaces.Discrete(4))
    with pytest.raises(ValueError, match="allow_nonfinite returns NaN, which is none of actions from 0 to 3"):
        space.predict(Actor(choices=True), [1, 2, 3], allow_nonfinite=True)
    assert space.predict(Actor(choices=True), [1, 2, 3]) == 0


@pytest.mark.parametrize("large", [np.array([0, 1e39, 0]), [0, 1e39, 0], np.array([0, 1e39, 0], np.longdouble)])
def test_what_is_too_large_is_refused_without_a_warning_beside_it(large):
    with pytest.raises(ObservationError, match=r"observation\[1\] is inf"):
        VECTOR.predict(Actor(), large)
