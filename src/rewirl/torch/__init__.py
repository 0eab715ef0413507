"""Truly sparse layers for PyTorch on the CPU, and their rewiring. Needs the package torch; nothing else imports it."""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("rewirl.torch needs PyTorch: pip install 'rewirl[torch]'") from error

from rewirl.torch.importance import attribution, strength
from rewirl.torch.linear import SparseLinear
from rewirl.torch.rewiring import Rewiring

__all__ = ["Rewiring", "SparseLinear", "attribution", "strength"]
