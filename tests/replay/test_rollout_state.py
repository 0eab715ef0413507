"""What a rollout has saved it takes back."""

import numpy as np
import pytest

from rewirl.replay import Rollout


def _rollout() -> Rollout:
    rollout = Rollout(4, 2, 1)
    rollout.begin(0, np.zeros(2, np.float32), np.ones(1, np.float32))
    rollout.end(0, 1.0, np.array([np.inf, 0], np.float32), terminated=False, truncated=False)
    rollout.begin(0, np.array([np.inf, 0], np.float32), np.ones(1, np.float32))
    return rollout


def test_states_that_overflowed_as_they_were_normalised_are_no_reason_to_lose_a_run() -> None:
    rollout = _rollout()
    restored = Rollout(4, 2, 1).restored(*rollout.state())
    np.testing.assert_array_equal(restored.state()[0]["rows"], rollout.state()[0]["rows"])
    np.testing.assert_array_equal(restored.state()[0]["begun"], rollout.state()[0]["begun"])


@pytest.mark.parametrize(("name", "column"), [("rows", 2), ("rows", 5), ("begun", 2)])
def test_actions_and_rewards_that_are_not_finite_are_refused(name: str, column: int) -> None:
    arrays, values = _rollout().state()
    arrays[name][0, column] = np.nan
    with pytest.raises(ValueError, match="actions or rewards that are not finite"):
        Rollout(4, 2, 1).restored(arrays, values)


@pytest.mark.parametrize(
    ("name", "index", "number", "message"),
    [
        ("ends", (0, 1), 2, "ends of a rollout are neither 0 nor 1"),
        ("ends", (0, 0), 1, "an episode terminated without an end"),
        ("environments", 0, -1, "environments with impossible numbers"),
    ],
)
def test_ends_and_environments_that_cannot_be_are_refused(
    name: str, index: int | tuple[int, int], number: int, message: str
) -> None:
    arrays, values = _rollout().state()
    arrays[name][index] = number
    with pytest.raises(ValueError, match=message):
        Rollout(4, 2, 1).restored(arrays, values)


def test_a_rollout_of_which_it_would_be_too_late_to_learn_is_refused() -> None:
    arrays, values = _rollout().state()
    with pytest.raises(ValueError, match="has 1 steps; this one is learnt from with 1"):
        Rollout(1, 2, 1).restored(arrays, values)


def test_only_the_latest_step_of_an_environment_ends_where_its_episode_is_given_up() -> None:
    rollout = Rollout(9, 1, 1)
    for environment in (0, 1, 0, 1, 2):
        rollout.begin(environment, np.zeros(1, np.float32), np.zeros(1, np.float32))
        rollout.end(environment, 0.0, np.zeros(1, np.float32), terminated=False, truncated=False)
    rollout.cut(0)
    rollout.cut(3)  # where there was no step
    assert rollout.over[:5].tolist() == [0, 0, 1, 0, 0] and not rollout.terminated.any()
