"""A rule of your own: drop small weights of busy inputs, grow at random. Run: python invent_a_rule.py [STEPS]"""

import sys

import numpy as np

import rewirl
from rewirl.topology import Rule, random_free_indices


class Relieve(Rule):
    """An input with many connections loses some; where they grow again is chance."""

    def drop_score(self, state, fraction, rng):
        _, n_in = state.shape
        inputs = state.indices % n_in  # an index is row * n_in + column
        fan_out = np.bincount(inputs, minlength=n_in)
        return np.abs(state.weights) / fan_out[inputs]  # the lowest scores go

    def grow(self, state, occupied, count, rng):
        return random_free_indices(occupied, state.total, count, rng)


if __name__ == "__main__":
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 8_000
    for rule in ("set", "invent_a_rule:Relieve"):  # a rule by its name, and one by module:Class
        agent = rewirl.DSTD3("Pendulum-v1", seed=0, sparsity=0.8, rule=rule, adapt_every=50)
        agent.learn(steps)
        print(f"{rule}: return {agent.evaluate(5).mean:.1f}")
