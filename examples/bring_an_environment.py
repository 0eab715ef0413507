"""An environment of your own, normalised, with a callback, resumed. Run: python bring_an_environment.py [STEPS]"""

import sys
import time

import gymnasium
import numpy as np

import rewirl


class Reach(gymnasium.Env):
    """Push a point to the origin; its observations are large numbers."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.point, self.steps = self.np_random.uniform(-500, 500, 2), 0
        return self.point.astype(np.float32), {}

    def step(self, action):
        self.point, self.steps = self.point + 50 * np.asarray(action), self.steps + 1
        reward = -float(np.linalg.norm(self.point)) / 500
        return self.point.astype(np.float32), reward, False, self.steps == 50, {}


def enough(moment):  # called after every step; False ends training
    return moment.step < steps - 10


steps = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
run = time.strftime("runs/reach-%Y%m%d-%H%M%S")
with rewirl.DSTD3(Reach, seed=0, normalise_observations=True) as agent:
    agent.learn(steps, run_dir=run, callback=enough)

agent = rewirl.resume(run, env=Reach)  # it goes on where it was, to the bit
agent.learn()
print(f"step {agent.steps:,}: return {agent.evaluate(5).mean:.1f}")
