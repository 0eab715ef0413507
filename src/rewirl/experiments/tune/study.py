"""A study on disk: what is tuned, the trials and their values, kept by Optuna in an SQLite file."""

from __future__ import annotations

import contextlib
import importlib
import os
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rewirl import seeding
from rewirl.experiments.sweep.file import RunRequest
from rewirl.experiments.tune.error import StudyError, TuneError
from rewirl.experiments.tune.space import Space, sampled_values, starting_point
from rewirl.options.option import INDIFFERENT
from rewirl.options.resolve import resolve
from rewirl.storage.files import lock_file
from rewirl.storage.run_directory import differences
from rewirl.storage.values import to_values

STUDY, LOCK = "study.db", "lock"
_NAME, _RECORD, _FORMAT = "rewirl", "rewirl", 1
_FIRST_TRIALS = 5
"""No trial is pruned before so many are complete."""


@dataclass(frozen=True)
class Task:
    """What is tuned."""

    request: Mapping[str, Any]
    """What all runs have, as for `resolve`: agent, environment or preset, and options."""
    space: Space
    trials: int
    """How many the study has in all."""
    seeds: Sequence[int]
    """Of the runs of a trial, whose mean counts."""
    seed: int
    """Decides what is sampled."""
    prune: bool = True
    """Whether a trial ends early that is worse than most were at the same step."""

    def record(self) -> dict[str, Any]:
        """Return what all calls for a study have in common, as JSON values."""
        settings = resolve(self.request)
        run = {name: value for name, value in to_values(settings.run).items() if name not in (*INDIFFERENT, "seed")}
        return {
            "format": _FORMAT,
            "run": run,
            "agent": to_values(settings.agent),
            "sample": {name: dimension.values() for name, dimension in self.space.items()},
            "seeds": list(self.seeds),
            "seed": self.seed,
            "prune": self.prune,
        }

    def requests(self, number: int, params: Mapping[str, Any]) -> list[RunRequest]:
        """Return the runs of a trial.

        Args:
            number: of the trial.
            params: what Optuna sampled.
        """
        options = {**self.request, **sampled_values(self.space, params)}
        agent, env = resolve(options).run.agent, resolve(options).run.env
        options = {name: value for name, value in options.items() if name not in ("agent", "env", "seed")}
        label = f"trial-{number}"
        return [RunRequest(agent, env, seed, options, None, label, label) for seed in self.seeds]


class Study:
    """The trials of a task in a directory, which one process at a time has; use it as a context manager.

    Args:
        task: what is tuned.
        directory: where the study is, made if it is missing.

    Raises:
        TuneError: Optuna is not installed; another process has the study; or the directory holds another one.
    """

    def __init__(self, task: Task, directory: Path) -> None:
        self._optuna = optuna()
        self._task, self._distributions = task, {name: each.distribution() for name, each in task.space.items()}
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = lock_file(directory / LOCK)
        except BlockingIOError as owner:
            raise TuneError(f"{directory} is in use by {owner}; stop it first, or choose another --directory") from None
        except OSError as error:
            reason = error.strerror or error
            raise TuneError(f"{directory} cannot be used: {reason}; choose another --directory") from error
        self._storage: Any = None
        self._connections: list[sqlite3.Connection] = []
        self._verbosity = self._optuna.logging.get_verbosity()
        self._optuna.logging.set_verbosity(self._optuna.logging.ERROR)
        try:
            self._study = self._opened(directory / STUDY)
            self._begin(directory)
        except BaseException:
            self.close()
            raise

    def _opened(self, path: Path) -> Any:
        unusable: tuple[type[Exception], ...] = (RuntimeError, *self._faults())
        try:
            # A path may have characters that a URL has other uses for, so the URL does not say it.
            self._storage = self._optuna.storages.RDBStorage(
                "sqlite:///study", engine_kwargs={"creator": lambda: self._connected(path)}
            )
            return self._optuna.create_study(
                storage=self._storage,
                study_name=_NAME,
                direction="maximize",
                load_if_exists=True,
                pruner=self._pruner(),
            )
        except unusable as error:
            raise TuneError(
                f"{path} is no study that can be used: {_reason(error)}; choose another --directory"
            ) from error

    def _connected(self, path: Path) -> sqlite3.Connection:
        connection = connect(path)
        self._connections.append(connection)
        return connection

    def _faults(self) -> tuple[type[Exception], ...]:
        sqlalchemy: Any = importlib.import_module("sqlalchemy")
        return sqlalchemy.exc.SQLAlchemyError, self._optuna.exceptions.OptunaError, sqlite3.Error

    @contextlib.contextmanager
    def faults_in_words(self) -> Iterator[None]:
        """Turn what Optuna and SQLite raise, such as on a full disk, into a StudyError."""
        try:
            yield
        except self._faults() as error:
            raise StudyError(f"the study cannot be read or written any more: {_reason(error)}") from error

    def _pruner(self) -> Any:
        if not self._task.prune:
            return self._optuna.pruners.NopPruner()
        quarter = resolve(self._task.request).run.total_timesteps // 4
        return self._optuna.pruners.MedianPruner(n_startup_trials=_FIRST_TRIALS, n_warmup_steps=quarter)

    def _begin(self, directory: Path) -> None:
        """Note what is tuned, or refuse a directory where something else was."""
        here, there = self._task.record(), self._study.user_attrs.get(_RECORD)
        if there is None and not self._study.get_trials(deepcopy=False):
            self._study.set_user_attr(_RECORD, here)
            point = starting_point(self._task.space, resolve(self._task.request))
            if point:
                self._study.enqueue_trial(point)
            return
        differing = list(differences(there or {}, here, ""))
        if differing:
            raise TuneError(
                "\n  ".join([f"{directory} holds a study of something else:", *differing])
                + "\nMove it away, or choose another --directory"
            )

    def ask(self) -> Any:
        """Return a new trial of Optuna's.

        What it samples depends on the study's seed, its number and the trials that are over, so a study that was
        stopped goes on as one that was not.
        """
        states = self._optuna.trial.TrialState
        number = sum(trial.state != states.WAITING for trial in self._study.get_trials(deepcopy=False))
        seed = int(seeding.generator(self._task.seed, f"trial {number}").integers(2**32))
        with warnings.catch_warnings():  # of what Optuna 4 calls experimental
            warnings.simplefilter("ignore")
            self._study.sampler = self._optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        return self._study.ask(self._distributions)

    def under_way(self) -> list[Any]:
        """Return the trials that were begun and are not over, as Optuna's."""
        running = self._study.get_trials(deepcopy=False, states=(self._optuna.trial.TrialState.RUNNING,))
        trials = [self._optuna.Trial(self._study, frozen._trial_id) for frozen in running]
        for trial in trials:
            for name, distribution in self._distributions.items():  # a kill may have come while it was sampled
                trial._suggest(name, distribution)
        return trials

    def reported(self, trial: Any) -> frozenset[int]:
        """Return the steps of which a value of a trial of Optuna's was reported."""
        return frozenset(self._study.get_trials(deepcopy=False)[trial.number].intermediate_values)

    def tell(self, trial: Any, state: str, value: float | None = None) -> None:
        """End a trial.

        Args:
            trial: Optuna's.
            state: complete, pruned or failed.
            value: of a complete one.
        """
        states = self._optuna.trial.TrialState
        ended = {"complete": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}[state]
        self._study.tell(trial, value, ended)

    def begun(self) -> int:
        """Return how many trials there are that were begun."""
        return sum(self.counts().values())

    def counts(self) -> dict[str, int]:
        """Return how many trials are complete, pruned, failed and running."""
        names = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}
        states = [trial.state.name for trial in self._study.get_trials(deepcopy=False)]
        return {name: states.count(state) for state, name in names.items()}

    def complete(self) -> list[Any]:
        """Return the complete trials as Optuna's, the best one first; of equals the first."""
        trials = self._study.get_trials(deepcopy=False, states=(self._optuna.trial.TrialState.COMPLETE,))
        return sorted(trials, key=lambda trial: (-trial.value, trial.number))

    def close(self) -> None:
        """Close the file and release the directory; idempotent."""
        if self._lock >= 0:
            if self._storage is not None:
                self._storage.remove_session()
                self._storage.engine.dispose()
            for connection in self._connections:  # of a file that is no study Optuna leaves one open
                connection.close()
            lock, self._lock = self._lock, -1
            os.close(lock)
            self._optuna.logging.set_verbosity(self._verbosity)

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def connect(path: Path) -> sqlite3.Connection:
    """Open the file of a study, for Optuna to use from its threads."""
    return sqlite3.connect(path, check_same_thread=False)


def _reason(error: Exception) -> str:
    return str(error.__cause__ or error).partition("\n")[0]


def optuna() -> Any:
    """Return Optuna.

    Raises:
        TuneError: it is not installed; says how to install it.
    """
    try:
        return importlib.import_module("optuna")
    except ImportError as error:
        raise TuneError(f"tuning needs Optuna: pip install 'rewirl[tune]' ({error})") from error
