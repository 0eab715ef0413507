"""Random experience for agents under test, and their state as bits."""

from __future__ import annotations

import json

import numpy as np

from rewirl.replay import Replay

OBSERVATION, ACTION = 7, 3


def random_replay(seed=0, transitions=200):
    rng = np.random.default_rng(seed)
    replay = Replay(transitions, OBSERVATION, ACTION, seed)
    for _ in range(transitions):
        replay.add(
            rng.normal(size=OBSERVATION),
            rng.uniform(-1, 1, ACTION),
            rng.normal(),
            rng.normal(size=OBSERVATION),
            rng.random() < 0.1,
        )
    return replay


def observations(count, seed=9):
    return np.random.default_rng(seed).normal(size=(count, OBSERVATION)).astype(np.float32)


def bits(agent):
    arrays, values = agent.state()
    return {name: array.tobytes() for name, array in arrays.items()}, json.dumps(values)


def through_a_file(state):
    return {name: array.copy() for name, array in state[0].items()}, json.loads(json.dumps(state[1]))


def restored(make, at, after, replay=random_replay, observation=None):
    """Return an agent that learnt without a break, and one restored in between, equal to the bit there and at the end.

    With an observation both explore there after each update, and act alike.
    """

    def learn(agent, memory, updates):
        actions = []
        for _ in range(updates):
            agent.update(memory)
            if observation is not None:
                actions.append(agent.explore(observation))
        return actions

    through, stopped = make(), make()
    replays = [replay(), replay()]
    assert np.array_equal(learn(through, replays[0], at), learn(stopped, replays[1], at))
    resumed, memory = make(seed=77, threads=2), replay(seed=78)
    resumed.load_state(*through_a_file(stopped.state()))
    memory.load_state(*through_a_file(replays[1].state()))
    assert bits(resumed) == bits(stopped)
    assert np.array_equal(learn(through, replays[0], after), learn(resumed, memory, after))
    assert bits(resumed) == bits(through)
    assert resumed.diagnostics() == through.diagnostics()
    return through, resumed


def passes(agent, name):
    """The ensemble in which a network of an actor-critic learns, and its number there."""
    critics = tuple(each for each in ("critic1", "critic2") if each in agent.networks())
    names = ("actor",) if name == "actor" else critics
    return agent._networks.ensemble(*names), names.index(name)


def gradient(agent, name, array):
    """The gradient of an array of a network, such as hidden1.values, from its last step."""
    ensemble, number = passes(agent, name)
    return ensemble.gradient(number, array)


def topology(network):
    return [layer.places().tobytes() for layer in network.layers]


def measures(*networks):
    """The names that diagnostics have for what is measured of these networks."""
    return {f"{name}_{what}" for name in networks for what in ("dormant", "effective_rank", "weight_norm")}
