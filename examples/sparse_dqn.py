"""An agent of your own with sparse layers of PyTorch: DQN, rewired by SET. Run: python sparse_dqn.py [STEPS]"""

import copy
import sys

import gymnasium
import numpy as np
import torch
from torch import nn

from rewirl.torch import Rewiring, SparseLinear

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 8_000
torch.manual_seed(0)
rng, env = np.random.default_rng(0), gymnasium.make("CartPole-v1")
layers = nn.Linear(4, 256), nn.ReLU(), SparseLinear(256, 256, 0.9, structure="8x1"), nn.ReLU(), nn.Linear(256, 2)
q, target = nn.Sequential(*layers), copy.deepcopy(nn.Sequential(*layers))
optimizer = torch.optim.Adam(q.parameters(), lr=0.0005)
rewiring = Rewiring(q, optimizer, "set", followers=[target], adapt_every=500, adapt_fraction=0.1)
memory = torch.zeros(steps, 11)  # observation, action, reward, whether it goes on, next observation
observation, returns = env.reset(seed=0)[0], [0.0]
for step in range(steps):
    random = rng.random() < max(0.05, 1 - step / 2000)
    action = int(rng.integers(2) if random else q(torch.as_tensor(observation)).argmax())
    following, reward, terminated, truncated, _ = env.step(action)
    memory[step] = torch.tensor([*observation, action, reward, not terminated, *following])
    observation, returns[-1] = following, returns[-1] + reward
    if terminated or truncated:
        observation, returns = env.reset()[0], [*returns, 0.0]
    if step >= 200:
        seen, act, gain, goes_on, then = memory[rng.integers(step, size=128)].split([4, 1, 1, 1, 4], dim=1)
        goal = gain + 0.99 * goes_on * target(then).amax(dim=1, keepdim=True).detach()
        optimizer.zero_grad()
        nn.functional.smooth_l1_loss(q(seen).gather(1, act.long()), goal).backward()
        optimizer.step()
        rewiring.step()
        for slow, fast in zip(target.parameters(), q.parameters(), strict=True):
            slow.data.lerp_(fast.data, 0.01)
    if (step + 1) % 1000 == 0 or step + 1 == steps:
        print(f"step {step + 1:,}: return {np.mean(returns[-11:-1]):.0f}, {rewiring.rewired} connections have grown")
