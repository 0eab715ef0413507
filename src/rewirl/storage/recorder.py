"""Where a run's record goes: into its directory, or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from rewirl.storage.checkpoint import CheckpointError, save_checkpoint
from rewirl.storage.metrics_log import CHANGED, CONTINUED, SEALED, MetricsLog
from rewirl.storage.policy_file import PolicyError, save_policy
from rewirl.storage.provenance import made_with
from rewirl.storage.run_directory import RunDirectory, RunDirectoryError
from rewirl.storage.tensorboard import TensorBoardWriter

State = tuple[Mapping[str, NDArray[Any]], Mapping[str, Any]]
"""Arrays and JSON values."""

OWN_FIELDS = frozenset({"event", "step", "seconds", "core_share", "sha256", "connections", "networks"})
"""Fields of a line that mean something wherever they are; nobody else's number can have such a name."""

_OF_ENVIRONMENTS = ("gymnasium", "mujoco", "dm_control")
"""Packages by whose version an environment may differ."""


class Recorder(Protocol):
    """What the training loop asks of the place where its record goes."""

    def event(self, event: str, step: int, /, **fields: Any) -> None:
        """Note that something happened after step `step`."""

    def checkpoint(self, step: int, state: Callable[[], State], policy: Callable[[], State]) -> bool:
        """Save what a continuation needs, and the policy; return whether both are safely saved."""

    def close(self) -> None:
        """Finish; idempotent."""


class NoRecord:
    """Keeps nothing."""

    def event(self, event: str, step: int, /, **fields: Any) -> None:
        """See Recorder."""

    def checkpoint(self, step: int, state: Callable[[], State], policy: Callable[[], State]) -> bool:
        """See Recorder."""
        return True

    def close(self) -> None:
        """See Recorder."""


class RunRecord:
    """Keeps metrics, TensorBoard events, checkpoints and the policy in a run directory.

    Of a directory that is not there any more, or somebody else's, every method but `close` raises RunDirectoryError.

    Args:
        directory: the run's directory, owned by this process.
        keep: how many checkpoints stay.
        warn: told what could not be written; the run goes on without it.
        resumed: step and values of the checkpoint that the run continues from; what was logged after it is cut off.
        core: what computes, for checkpoints to say: `kernels`, the generation, and `instruction_set`.

    Raises:
        RunDirectoryError: the metrics log cannot be written at all.
    """

    def __init__(
        self,
        directory: RunDirectory,
        keep: int,
        warn: Callable[[str], None],
        resumed: tuple[int, Mapping[str, Any]] | None = None,
        core: Mapping[str, Any] | None = None,
    ) -> None:
        """Open the log and the TensorBoard events; of a resumed run, cut off what is done again."""
        self._directory = directory
        self.keep = keep
        """How many checkpoints stay."""
        self._warn = warn
        self._core = core or {}
        self._resumed = None if resumed is None else resumed[0]
        self._evaluated: tuple[int, float] | None = None
        started_over = resumed is None and _holds_lines(directory.metrics)
        try:
            # A run without a checkpoint is started over.
            self._log = MetricsLog(directory.metrics, warn, 0 if resumed is None else int(resumed[1]["metrics_offset"]))
        except OSError as error:
            raise RunDirectoryError(f"{directory.metrics} cannot be written: {error.strerror or error}") from error
        if resumed is None:
            purge = 0 if started_over else None  # the events of the start that was killed
            self._board = TensorBoardWriter(directory.tensorboard, purge_step=purge, warn=warn)
            self._board.text("run", _description(directory), 0)
        else:
            step, values = resumed
            changed = self._log.sha256 != values.get("metrics_sha256", self._log.sha256)
            if changed:
                warn(
                    f"warning: {directory.metrics} is not what it was when step {step:,} was saved: its first "
                    f"{int(values['metrics_offset']):,} bytes have another sum. The agent is not concerned, so the run "
                    "goes on; its record says so, and reports leave it out"
                )
                self._log.write(CHANGED, step=step)
            if core is not None:
                self._tell_what_goes_on(step, made_with(**core))
            self._log.write_again(values.get("metrics_unwritten", []))
            self._board = TensorBoardWriter(directory.tensorboard, purge_step=step + 1, warn=warn)
            self.event("checkpoint", step)  # it was logged after it was saved, so it has just been cut off

    def _tell_what_goes_on(self, step: int, now: dict[str, Any]) -> None:
        """Log what goes on with a run where that is not what began it; say where environments may differ by it."""
        began = {name: self._directory.record.get(name) for name in now}
        if now == began:
            return
        self._log.write(CONTINUED, step=step, made_with=now)
        before = began["versions"] if isinstance(began["versions"], dict) else {}
        others = [
            f"{name} {before[name]}, now {version}"
            for name, version in now["versions"].items()
            if name in _OF_ENVIRONMENTS and before.get(name) not in (None, version)
        ]
        if others:
            self._warn(
                f"warning: this run began with other versions ({'; '.join(others)}), and environments may differ by "
                "them; its record says so"
            )

    @property
    def config(self) -> Mapping[str, Any]:
        """What the run's config.json says."""
        return self._directory.config

    def event(self, event: str, step: int, /, **fields: Any) -> None:
        """See Recorder."""
        self._directory.hold()
        self._log.write(event, event in SEALED, step=step, **fields)
        if event in ("evaluation", "episode", "diagnostics", "callback"):
            for name, value in fields.items():
                if isinstance(value, (int, float)):
                    self._board.scalar(f"{event}/{name}", float(value), step)
            for network, count in fields.get("connections", {}).items():
                self._board.scalar(f"connections/{network}", float(count), step)
        if event in ("evaluation", "freeze"):
            self._resumed = None  # the checkpoint there is older than this
        if event == "evaluation":
            self._pace(step, float(fields["seconds"]))
        elif event == "topology":
            self._alive(step, fields["networks"])

    def _pace(self, step: int, seconds: float) -> None:
        """Chart the steps per second since the evaluation before."""
        before, self._evaluated = self._evaluated, (step, seconds)
        if before is not None and seconds > before[1] and step > before[0]:
            self._board.scalar("time/steps_per_second", (step - before[0]) / (seconds - before[1]), step)

    def _alive(self, step: int, networks: Mapping[str, Any]) -> None:
        """Chart the share of each network's initial connections that still exist."""
        for name, network in networks.items():
            counts = [
                (count, share)
                for count, share in zip(network["connections"], network["initial_alive"], strict=True)
                if share is not None
            ]
            total = sum(count for count, _ in counts)
            if total:
                self._board.scalar(f"initial_alive/{name}", sum(c * share for c, share in counts) / total, step)

    def checkpoint(self, step: int, state: Callable[[], State], policy: Callable[[], State]) -> bool:
        """See Recorder."""
        self._directory.hold()
        # Of the step that the run continues from there is a checkpoint, but a kill may have come before the policy.
        if step != self._resumed and not self._save_checkpoint(step, state):
            return False
        try:
            save_policy(self._directory.policy, *policy(), of_run=True)
        except (PolicyError, ValueError) as error:
            self._warn(f"warning: the policy of step {step:,} is not saved, training goes on: {error}")
            return False
        return True

    def _save_checkpoint(self, step: int, state: Callable[[], State]) -> bool:
        arrays, values = state()
        offset, unwritten = self._log.offset, self._log.unwritten
        logged: dict[str, Any] = {"metrics_offset": offset, "metrics_sha256": self._log.sha256}
        if unwritten:
            logged["metrics_unwritten"] = unwritten
        logged |= {"config": self._directory.config, **self._core}
        try:
            save_checkpoint(self._directory.checkpoints, step, arrays, {**values, **logged}, self.keep)
        except (CheckpointError, ValueError) as error:  # an environment may keep more than a file takes
            self._warn(f"warning: no checkpoint at step {step:,}, training goes on: {error}")
            return False
        self.event("checkpoint", step)
        return True

    def close(self) -> None:
        """See Recorder."""
        self._board.close()
        self._log.close()
        self._directory.close()


def _holds_lines(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _description(directory: RunDirectory) -> str:
    """Return the name of a run and its settings as a table in Markdown."""
    config = directory.config
    rows = [f"**{directory.path.name}**", "", "| setting | value |", "|---|---|"]
    for part in (config.get("train", {}), config.get("agent", {}), config.get("agent", {}).get("topology", {})):
        rows += [f"| {name} | {value} |" for name, value in part.items() if name != "topology"]
    return "\n".join(rows)
