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
