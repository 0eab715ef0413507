"""Which inputs matter? Sparse layers that are rewired find out. Run: python select_inputs.py [STEPS]"""

import itertools
import sys

import torch
from torch import nn

from rewirl.torch import Rewiring, SparseLinear, attribution, strength


def made_up():
    """Five of 100 inputs make the label."""
    x = torch.randn(1000, 100)
    return x, (x[:, 7] * x[:, 19] + 2 * x[:, 23].abs() - x[:, 50] + x[:, 81] > 1).long(), [7, 19, 23, 50, 81]


def monk1():
    """The first of MONK's problems (Thrun et al. 1991), one-hot: the label is 1 where a1 = a2 or a5 = 1."""
    rows = torch.tensor(list(itertools.product(range(3), range(3), range(2), range(3), range(4), range(2))))
    x = torch.cat([nn.functional.one_hot(column) for column in rows.T], dim=1).float()
    return x, ((rows[:, 0] == rows[:, 1]) | (rows[:, 4] == 0)).long(), [0, 1, 2, 3, 4, 5, 11]


for data in (made_up, monk1):
    torch.manual_seed(0)
    x, label, informative = data()
    first = SparseLinear(x.shape[1], 64, sparsity=0.8)
    model = nn.Sequential(first, nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    rewiring = Rewiring(model, optimizer, "set", drop="magnitude", adapt_every=20, adapt_fraction=0.3)
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 1500):
        some = torch.randint(len(x), (128,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[some]), label[some]).backward()
        optimizer.step()
        rewiring.step()
    for name, score in (("strength", strength(first)), ("attribution", attribution(model, x))):
        best = score.argsort(descending=True)[: len(informative)]
        print(f"{data.__name__}: inputs of most {name} {sorted(best.tolist())} of {informative}")
