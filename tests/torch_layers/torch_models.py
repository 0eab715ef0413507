"""A small model of sparse layers, and how it learns."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import mse_loss

from rewirl.torch import SparseLinear


def model_of(structure="unstructured", sparsity=0.8, seed=0):
    return nn.Sequential(
        SparseLinear(20, 32, sparsity, structure=structure, seed=seed),
        nn.ReLU(),
        SparseLinear(32, 16, sparsity, structure=structure, seed=seed + 1),
    )


def learn(model, optimizer, rewiring=None, steps=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        x = torch.randn(64, 20, generator=generator)
        optimizer.zero_grad()
        mse_loss(model(x), torch.sin(x[:, :16])).backward()
        optimizer.step()
        if rewiring:
            rewiring.step()
