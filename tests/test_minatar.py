"""The games of MinAtar: registered under the package's ids, flat, and continued to the bit."""

from __future__ import annotations

import gymnasium
import minatar
import numpy as np
import pytest
from sameness import metrics, same_to_the_bit

from rewirl import minatar as games
from rewirl.environments.source import environment_source
from rewirl.options.resolve import resolve
from rewirl.presets.minatar import GAMES
from rewirl.training import run as runs
from rewirl.training.progress import Silent
from rewirl.training.resume import resume


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.filterwarnings("ignore:.*is out of date:DeprecationWarning")  # of v0, by Gymnasium
@pytest.mark.parametrize("version", ["v0", "v1"])
def test_every_game_is_there_with_flat_frames(game, version):
    source = environment_source(f"MinAtar/{game}-{version}", module="rewirl.minatar")
    environment = source.make_training()
    assert environment.observation_size == 100 * environment.env.unwrapped.game.n_channels
    assert environment.actions.size == (
        6 if version == "v0" else len(environment.env.unwrapped.game.minimal_action_set())
    )
    first = environment.reset(seed=3)
    assert first.dtype == np.float32 and set(np.unique(first)) <= {0, 1}
    environment.close()


def test_a_submarine_that_stays_at_the_surface_comes_to_an_end():
    environment = gymnasium.make("MinAtar/Seaquest-v1")
    environment.reset(seed=0)
    over = [environment.step(0)[2:4] for _ in range(10_000)]  # nothing is done at all
    assert over[-1] == (False, True) and not any(any(each) for each in over[:-1])


def test_a_game_is_drawn_as_a_picture_that_a_video_takes():
    environment = gymnasium.make("MinAtar/Breakout-v1", render_mode="rgb_array")
    environment.reset(seed=0)
    picture = environment.render()
    plain = environment.env.unwrapped.render()  # the package's: a colour per square, in [0, 1]
    assert picture.dtype == np.uint8 and picture.shape == (320, 320, 3)
    assert np.array_equal(picture[16::32, 16::32], np.rint(255 * plain)) and len(np.unique(picture)) > 2
    assert environment.metadata["render_fps"] == 15


def test_it_is_the_packages_game():
    wrapped, plain = gymnasium.make("MinAtar/Breakout-v1"), minatar.Environment("breakout")
    observation, _ = wrapped.reset(seed=5)
    plain.seed(5)
    plain.reset()
    assert np.array_equal(observation, plain.state())
    rng = np.random.default_rng(0)
    for choice in rng.integers(3, size=200):
        observation, reward, terminated, *_ = wrapped.step(int(choice))
        expected, over = plain.act(plain.minimal_action_set()[choice])
        assert (reward, terminated) == (expected, over) and np.array_equal(observation, plain.state())
        if over:
            plain.reset()
            wrapped.reset()


def test_the_last_action_is_put_back():
    one = games.make("breakout", True)
    one.env.unwrapped.game.last_action = 3
    other = games.make("breakout", True)
    other.load_rewirl_state(one.rewirl_state())
    assert other.env.unwrapped.game.last_action == 3
    with pytest.raises(ValueError, match="the last action is -1"):
        other.load_rewirl_state(-1)


def test_a_preset_trains_and_goes_on_to_the_bit(tmp_path):
    run, agent = resolve(
        {
            "preset": "dopamine/ds-dqn/Breakout-v1", "total_timesteps": 400, "learning_starts": 100, "eval_every": 0,
            "hidden_sizes": (24, 16), "adapt_every": 10, "buffer_size": 500, "threads": 1,
        }
    )  # fmt: skip
    paths = [tmp_path / name for name in ("whole", "parts")]
    with runs.start(run, agent, paths[0], Silent()) as whole:
        assert whole.train().finished and whole.agent.updates == 75
    with runs.start(run, agent, paths[1], Silent()) as part:
        part.train(lambda: part.training.step >= 233)
    with resume(paths[1], Silent()) as part:
        part.train()
    same_to_the_bit(*paths)
    episodes = [[line for line in metrics(path) if line["event"] == "episode"] for path in paths]
    assert episodes[0] == episodes[1]
