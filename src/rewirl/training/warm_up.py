"""The actions before the first update: uniformly random, or those of a policy that was trained before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewirl import seeding
from rewirl.environments.actions import Action, Actions
from rewirl.environments.identity import said_in, same_identity
from rewirl.environments.likeness import unlike
from rewirl.environments.source import EnvironmentSource
from rewirl.environments.spaces import UnsuitableEnvironmentError
from rewirl.saved import shown
from rewirl.storage import pretrained, strict_json
from rewirl.storage.files import exists
from rewirl.storage.policy_file import PolicyError, policy_digest
from rewirl.training.collection import AnyEnvironment
from rewirl.training.trained_policy import TrainedPolicy

NOISE = 0.1
"""Standard deviation of the noise on a policy's actions, in units of [-1, 1]: the paper's exploration noise. For
Discrete actions the probability of a random one."""


class WarmUp:
    """Chooses the actions of the first `learning_starts` steps.

    Args:
        seed: the run's seed.
        actions: those of the environment.
    """

    def __init__(self, seed: int, actions: Actions) -> None:
        """Choose uniformly until there is a policy."""
        self.policy: TrainedPolicy | None = None
        """Acts instead: a Box plus N(0, NOISE), clipped to [-1, 1]; Discrete at random with probability NOISE."""
        self._actions = actions
        self._rng = seeding.generator(seed, "warm-up")

    def action(self, observation: NDArray[np.float32]) -> Action:
        """Return the next action, as an agent would choose it, for an observation float32 [observation]."""
        if self.policy is None:
            return self._actions.random(self._rng)
        return self._actions.noisy(self.policy.act(observation[np.newaxis])[0], NOISE, self._rng)

    def state(self) -> dict[str, Any]:
        """Return the state of the random stream as JSON values; the policy never changes."""
        return seeding.state(self._rng)

    def load_state(self, values: Any) -> None:
        """Put back what `state` returned.

        Raises:
            ValueError: it is not the state of such a stream.
        """
        seeding.restore(self._rng, values)


def lasting(policy: str) -> str:
    """Return what finds a policy from any working directory: the absolute path, or the name where one of that name
    comes with Rewirl and no directory here hides it.

    Args:
        policy: as somebody gives it.
    """
    path = Path(policy)
    return path.as_posix() if _bundled(path) else str(path.absolute())


def _bundled(path: Path) -> bool:
    """Tell whether a path stands for a policy that comes with Rewirl."""
    try:
        return not exists(path) and path.as_posix() in pretrained.cards()
    except PolicyError:  # there is no list; loading says so
        return False


def _digest(path: Path) -> str | None:
    """Return the sum by which a policy is known again; None if it cannot be read."""
    if _bundled(path):
        digest: str = pretrained.cards()[path.as_posix()]["sha256"]
        return digest
    return policy_digest(path)


def load_warm_up_policy(
    path: Path, environment: AnyEnvironment, source: EnvironmentSource
) -> tuple[TrainedPolicy, dict[str, Any]]:
    """Read a policy for the warm-up and refuse one that was trained for another environment.

    Args:
        path: a run directory, or the directory of a policy; or, where there is none, the name of one that comes
            with Rewirl.
        environment: where it is to act.
        source: where that comes from.

    Returns:
        The policy, and what the run's record says of it as JSON values: sha256 (of its manifest, which has those of all
        its files, or of the archive that comes with Rewirl), agent, seed and step.

    Raises:
        PolicyError: there is no sound policy.
        UnsuitableEnvironmentError: it was trained in another environment, or with other observations or actions.
    """
    before = _digest(path)
    policy = TrainedPolicy.load(path)
    if _digest(path) != before:
        raise PolicyError(f"warm_up_policy {path} was replaced while it was read; is it still being trained?")
    trained_in = policy.about["environment"]["name"]
    module = policy.about["environment"].get("module")
    if not same_identity(said_in(module, trained_in), said_in(source.module, source.name)):
        raise UnsuitableEnvironmentError(
            f"warm_up_policy {path} was trained in {trained_in}, not in {source.name}; give one of this environment"
        )
    made = [policy.about["environment"].get("handed_over") or {}, source.values()]
    there, here = ({name: each.get(name) or None for name in ("recipe", "changes")} for each in made)
    if there != here:
        raise UnsuitableEnvironmentError(
            f"warm_up_policy {path} was trained in another {trained_in}: {shown(there)} there, {shown(here)} here"
        )
    try:
        differs, _ = unlike(made[0].get("likeness"), source.likeness)
    except ValueError as error:
        raise PolicyError(f"{path} is not a policy of Rewirl: {error}") from error
    if differs:
        raise UnsuitableEnvironmentError(f"warm_up_policy {path} was trained in another {trained_in}: {differs}")
    policy.check_fits(environment)
    there, here = ({**each.actions.values(), "shape": None} for each in (policy.spaces, environment.spaces))
    if there != here:
        raise UnsuitableEnvironmentError(
            f"warm_up_policy {path} acts within other bounds than the actions of {source.name} have: "
            f"{policy.spaces.actions.values()} there, {environment.actions.values()} here"
        )
    about = policy.about
    return policy, {"sha256": before, "agent": about["agent"], "seed": about["seed"], "step": about["step"]}


def refuse_other_arguments(path: Path, policy: TrainedPolicy, source: EnvironmentSource) -> None:
    """Refuse a policy of an environment of the same id with other arguments, where a run begins.

    Args:
        path: of the policy.
        policy: that of the warm-up.
        source: where the run's environment comes from.

    Raises:
        UnsuitableEnvironmentError: the arguments differ.
    """
    of_policy = policy.about["environment"]
    there, here = of_policy.get("kwargs") or {}, dict(source.kwargs)
    if of_policy.get("handed_over") or source.values():
        return
    if strict_json.plain(there, "kwargs") != strict_json.plain(here, "env_kwargs"):
        raise UnsuitableEnvironmentError(
            f"warm_up_policy {path} was trained in {source.name} with env_kwargs {shown(there)}, not {shown(here)}; "
            "give one of the same"
        )
