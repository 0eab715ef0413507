"""One task after the other in Python: what has been learnt of one is frozen before the next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rewirl.exact import a_path, exactly
from rewirl.storage.policy_file import save_policy

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rewirl.training.resume import Reopened
    from rewirl.training.run import Run


class Tasks:
    """A sequence of tasks (SpaceNet, Sokar et al. 2021), and how their policies are saved."""

    if TYPE_CHECKING:
        _run: Run
        _reopened: Reopened | None

        def _one_at_a_time(self) -> AbstractContextManager[None]: ...
        def _refuse_closed(self) -> None: ...

    @property
    def tasks(self) -> int:
        """How many tasks have ended, by `freeze` or by the option `freeze_after`."""
        return self._run.agent.tasks

    def freeze(self) -> int:
        """End a task: hidden connections and biases in use never change or go again, as many new connections come, and
        the output layer begins again with random weights. What is learnt from now on is another task. If there is a run
        directory, that is saved there at once.

        Returns:
            The number of the task that has ended, from 1.

        Raises:
            ValueError: the settings do not allow it, or not yet; or there is no free place.
            TypeError: the agent has no replay memory.
            RunDirectoryError: the run directory was deleted, moved or taken over.
            DivergedError: the agent's values are not finite.
            RuntimeError: the agent is learning, in another thread or around this callback; or it is closed.
        """
        with self._one_at_a_time():
            self._refuse_closed()
            if self._reopened is not None:
                self._reopened.record()
                self._reopened = None
            return self._run.freeze()

    def save(self, path: str | Path, task: int | None = None) -> None:
        """Save the policy as a directory, from which `rewirl.load` and `rewirl evaluate` read it.

        Args:
            path: the directory.
            task: the number of a task that has ended: of its connections and those before it alone, as it was then.
                None is the policy as it is now.

        Raises:
            ValueError: no such task has ended.
            PolicyError: it cannot be written, or `path` holds something else.
        """
        save_policy(a_path(path, "path"), *self._run.policy_state(exactly(int | None, task, "task")))
