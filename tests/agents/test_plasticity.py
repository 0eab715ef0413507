"""What is measured of networks at every evaluation: dormant units, the rank of features, the norm of weights."""

from __future__ import annotations

import numpy as np
import pytest
import threadpoolctl
from experience import bits, measures, random_replay, through_a_file
from ppo_experience import experience as ppo_experience
from ppo_experience import make as make_ppo
from ppo_experience import play as play_ppo
from stream_experience import make as make_stream
from stream_experience import play as play_stream
from stream_experience import steps
from test_soft_agents import make as make_soft
from test_td3 import make as make_td3

from rewirl.agents import plasticity
from rewirl.agents.plasticity import effective_rank, measured, weight_norm
from rewirl.nn import Ensemble, Pool, mean_weights, mlp_network, pack


def with_singular_values(values, seed=0):
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(n, n)))[0] for n in (9, 14))
    return (left[:, : len(values)] * values @ right[: len(values)]).astype(np.float32)


def test_the_effective_rank_is_computed_by_one_thread(monkeypatch):
    def threads():
        pools = threadpoolctl.threadpool_info()
        return {pool["num_threads"] for pool in pools if pool["user_api"] == "blas"}

    plasticity._thread_pools.cache_clear()  # a library may have come since
    seen, values_of = [], np.linalg.eigvalsh
    monkeypatch.setattr(np.linalg, "eigvalsh", lambda matrix: (seen.append(threads()), values_of(matrix))[1])
    with threadpoolctl.threadpool_limits(2, "blas"):
        assert effective_rank(np.eye(3, dtype=np.float32)) == 3
        assert len(seen) == 1 and seen[0] <= {1}  # of a BLAS that threadpoolctl does not know it says nothing
        assert threads() <= {2}


@pytest.mark.parametrize(
    ("values", "rank"),
    [
        ([5.0], 1),
        ([1.0] * 9, 9),  # 8 of 9 are 89%
        ([90.0, 9.1, 0.9], 2),  # 99.1%
        ([90.0, 8.9, 1.1], 3),
        ([1.0, 1.0, 1e-3], 2),
        ([], 0),
    ],
)
def test_the_effective_rank_is_of_the_largest_singular_values_that_are_99_percent_of_all(values, rank):
    features = with_singular_values(np.array(values))
    assert effective_rank(features) == effective_rank(features.T) == rank
    assert np.isnan(effective_rank(features * np.float32("inf") if rank else np.full((2, 3), np.nan, np.float32)))


def test_a_network_is_measured_on_the_samples_of_a_batch_by_hand():
    weights = np.float32([[1, 1], [2, 0], [-1, -1], [0.02, 0]])
    biases = [np.float32([0, 0, 0.5, 0]), np.full(1, 7, np.float32)]  # the third unit is awake in padding alone
    network = mlp_network([2, 4, 1], [None, None], [weights.reshape(-1), np.ones(4, np.float32)], biases)
    ensemble = Ensemble([network], Pool(1))
    ensemble.forward(pack(np.float32([[1, 0], [0, 1], [1, 1]])))
    found = measured(ensemble, 0, mean_weights(3))
    # h = (x + y, 2 x, 0, 0.02 x): two directions; the third unit is silent, the fourth beneath a fortieth of the mean
    assert found == {"dormant": 0.5, "effective_rank": 2, "weight_norm": pytest.approx(np.sqrt(8 + 0.0004 + 4))}
    assert weight_norm(network) == found["weight_norm"]


AGENTS = {
    "td3": (make_td3, ("actor", "critic1", "critic2")),
    "simba": (lambda **k: make_soft("ds-simba", **k), ("actor", "critic1", "critic2")),
    "xqc": (lambda **k: make_soft("ds-xqc", **k), ("actor", "critic1", "critic2")),
}


@pytest.mark.parametrize("kind", AGENTS)
def test_every_replay_agent_says_it_and_learns_the_same(kind):
    make, networks = AGENTS[kind]
    asked, quiet, replays = make(), make(), [random_replay(), random_replay()]
    for _ in range(3):
        asked.update(replays[0])
        quiet.update(replays[1])
        told = asked.diagnostics()
        assert measures(*networks) <= told.keys()
        assert all(1 <= told[f"{name}_effective_rank"] <= asked.config.batch_size for name in networks)
    assert bits(asked) == bits(quiet)


def test_ppo_says_it():
    agent = make_ppo()
    play_ppo(agent, ppo_experience(100))
    told = agent.diagnostics()
    assert measures("actor", "critic") <= told.keys() and told["actor_weight_norm"] > 0


@pytest.mark.parametrize("at", [40, 300])
def test_streams_say_it_of_their_latest_states_and_after_a_restart_too(at):
    through, stopped, resumed = make_stream(), make_stream(), make_stream(seed=7)
    experience = list(steps(at + 10))
    for step in experience[:at]:
        for agent in (through, stopped):
            play_stream(agent, step)
    resumed.load_state(*through_a_file(stopped.state()))
    for step in experience[at:]:
        for agent in (through, resumed):
            play_stream(agent, step)
    told = resumed.diagnostics()
    assert told == through.diagnostics() and bits(resumed) == bits(through)
    networks = resumed._networks.online
    assert measures(*networks) <= told.keys()
    assert all(1 <= told[f"{name}_effective_rank"] <= min(at + 10, 256) for name in networks)
    # Of an earlier version without them, a state is loaded all the same.
    arrays, values = through_a_file(stopped.state())
    resumed.load_state(
        {k: a for k, a in arrays.items() if k != "latest"}, {k: v for k, v in values.items() if k != "seen"}
    )
    play_stream(resumed, experience[at])
    assert np.isfinite(list(resumed.diagnostics().values())).all()
    for change, message in (
        ({"latest": arrays["latest"][1:]}, r"the array latest is float32 \[\d+, 9\], expected float32 \[\d+, 9\]"),
        ({"latest": arrays["latest"] * np.float32("nan")}, "the array latest has numbers that are not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            resumed.load_state({**arrays, **change}, values)
    with pytest.raises(ValueError, match="the array latest is missing"):
        resumed.load_state({k: a for k, a in arrays.items() if k != "latest"}, values)
