"""A first agent: train it, look at it, save it, use it. Run: python first_agent.py [STEPS]"""

import sys
import time

import gymnasium

import rewirl

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 8_000
run = time.strftime("runs/first-%Y%m%d-%H%M%S")  # a run has a directory of its own

agent = rewirl.DSTD3("Pendulum-v1", seed=0, gamma=0.98, weight_decay=0.0)  # half of the connections, rewired
agent.learn(steps, run_dir=run, eval_every=1_000, progress=True)

for name, layers in agent.topology.items():
    print(name, [f"{layer.mask.nnz:,} of {layer.mask.shape[0] * layer.mask.shape[1]:,}" for layer in layers])

agent.save(f"{run}-policy")
policy = rewirl.load(f"{run}-policy")
print("return of five episodes:", policy.evaluate(5).mean)

environment = gymnasium.make("Pendulum-v1")
observation, _ = environment.reset(seed=0)
print("the first action of an episode:", policy.predict(observation))
