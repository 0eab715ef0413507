"""Random streams: every consumer owns a Generator of its own, derived from the run's seed and a purpose."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from rewirl.saved import shown


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Return the random stream that belongs to `purpose` in the run with this seed.

    Args:
        seed: the run's seed, a non-negative integer.
        purpose: a name such as "replay"; different purposes give independent streams.

    Returns:
        A Generator of its own; the caller owns it and saves its state.
    """
    return np.random.Generator(np.random.PCG64DXSM(_sequence(seed, purpose)))


def episode_seed(seed: int, purpose: str, episode: int) -> int:
    """Return the seed that `env.reset` gets for one episode.

    Args:
        seed: the run's seed.
        purpose: "train" or "evaluation".
        episode: number of the episode, from 0.

    Returns:
        An integer in [0, 2**31).
    """
    return int(_sequence(seed, purpose, episode).generate_state(1, np.uint32)[0] >> 1)


def state(rng: np.random.Generator) -> dict[str, Any]:
    """Return the state of a stream as JSON values (Python's integers are unbounded, so JSON keeps it exactly)."""
    return dict(rng.bit_generator.state)


def restore(rng: np.random.Generator, saved: Any) -> None:
    """Put a stream back into a state returned by `state`.

    Raises:
        ValueError: the saved state is not one of this kind of stream.
    """
    kind = type(rng.bit_generator).__name__
    values: dict[str, Any] = saved if isinstance(saved, dict) else {}
    numbers = values.get("state")
    # NumPy checks some of it, and takes fractions for integers.
    fits = (
        values.get("bit_generator") == kind
        and isinstance(numbers, dict)
        and all(_below(2**128, numbers.get(name)) for name in ("state", "inc"))
        and _below(2, values.get("has_uint32"))
        and _below(2**32, values.get("uinteger"))
    )
    if not fits:
        raise ValueError(f"{shown(saved)} is not the state of a {kind} stream")
    rng.bit_generator.state = saved


def _below(limit: int, value: Any) -> bool:
    return type(value) is int and 0 <= value < limit


def _sequence(seed: int, purpose: str, *numbers: int) -> np.random.SeedSequence:
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    return np.random.SeedSequence(entropy=seed, spawn_key=(zlib.crc32(purpose.encode()), *numbers))
