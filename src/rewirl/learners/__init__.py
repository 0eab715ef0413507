"""The agents in Python, a class for each of the registry. Written by `python -m rewirl.learners.generate`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rewirl.learners.crossq import CrossQ
    from rewirl.learners.dqn import DQN
    from rewirl.learners.ds_crossq import DSCrossQ
    from rewirl.learners.ds_dqn import DSDQN
    from rewirl.learners.ds_ppo import DSPPO
    from rewirl.learners.ds_pqn import DSPQN
    from rewirl.learners.ds_sac import DSSAC
    from rewirl.learners.ds_simba import DSSimBa
    from rewirl.learners.ds_stream_ac import DSStreamAC
    from rewirl.learners.ds_stream_q import DSStreamQ
    from rewirl.learners.ds_stream_sarsa import DSStreamSARSA
    from rewirl.learners.ds_td3 import DSTD3
    from rewirl.learners.ds_xqc import DSXQC
    from rewirl.learners.ppo import PPO
    from rewirl.learners.pqn import PQN
    from rewirl.learners.sac import SAC
    from rewirl.learners.simba import SimBa
    from rewirl.learners.static_crossq import StaticCrossQ
    from rewirl.learners.static_dqn import StaticDQN
    from rewirl.learners.static_ppo import StaticPPO
    from rewirl.learners.static_pqn import StaticPQN
    from rewirl.learners.static_sac import StaticSAC
    from rewirl.learners.static_simba import StaticSimBa
    from rewirl.learners.static_stream_ac import StaticStreamAC
    from rewirl.learners.static_stream_q import StaticStreamQ
    from rewirl.learners.static_stream_sarsa import StaticStreamSARSA
    from rewirl.learners.static_td3 import StaticTD3
    from rewirl.learners.static_xqc import StaticXQC
    from rewirl.learners.stream_ac import StreamAC
    from rewirl.learners.stream_q import StreamQ
    from rewirl.learners.stream_sarsa import StreamSARSA
    from rewirl.learners.td3 import TD3
    from rewirl.learners.xqc import XQC

__all__ = [
    "DQN",
    "DSDQN",
    "DSPPO",
    "DSPQN",
    "DSSAC",
    "DSTD3",
    "DSXQC",
    "PPO",
    "PQN",
    "SAC",
    "TD3",
    "XQC",
    "CrossQ",
    "DSCrossQ",
    "DSSimBa",
    "DSStreamAC",
    "DSStreamQ",
    "DSStreamSARSA",
    "SimBa",
    "StaticCrossQ",
    "StaticDQN",
    "StaticPPO",
    "StaticPQN",
    "StaticSAC",
    "StaticSimBa",
    "StaticStreamAC",
    "StaticStreamQ",
    "StaticStreamSARSA",
    "StaticTD3",
    "StaticXQC",
    "StreamAC",
    "StreamQ",
    "StreamSARSA",
]

_MODULES = {
    "CrossQ": "crossq",
    "DQN": "dqn",
    "DSCrossQ": "ds_crossq",
    "DSDQN": "ds_dqn",
    "DSPPO": "ds_ppo",
    "DSPQN": "ds_pqn",
    "DSSAC": "ds_sac",
    "DSSimBa": "ds_simba",
    "DSStreamAC": "ds_stream_ac",
    "DSStreamQ": "ds_stream_q",
    "DSStreamSARSA": "ds_stream_sarsa",
    "DSTD3": "ds_td3",
    "DSXQC": "ds_xqc",
    "PPO": "ppo",
    "PQN": "pqn",
    "SAC": "sac",
    "SimBa": "simba",
    "StaticCrossQ": "static_crossq",
    "StaticDQN": "static_dqn",
    "StaticPPO": "static_ppo",
    "StaticPQN": "static_pqn",
    "StaticSAC": "static_sac",
    "StaticSimBa": "static_simba",
    "StaticStreamAC": "static_stream_ac",
    "StaticStreamQ": "static_stream_q",
    "StaticStreamSARSA": "static_stream_sarsa",
    "StaticTD3": "static_td3",
    "StaticXQC": "static_xqc",
    "StreamAC": "stream_ac",
    "StreamQ": "stream_q",
    "StreamSARSA": "stream_sarsa",
    "TD3": "td3",
    "XQC": "xqc",
}


def __getattr__(name: str) -> Any:
    """Import an agent when it is first asked for, so that `import rewirl` costs next to nothing."""
    if name in _MODULES:
        return getattr(importlib.import_module(f"rewirl.learners.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'rewirl.learners' has no attribute {name!r}")
