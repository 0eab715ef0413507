"""TensorBoard scalars beside the metrics log."""

from __future__ import annotations

from pathlib import Path


class TensorBoardWriter:
    """Writer of TensorBoard event files."""

    def __init__(self, directory: Path, purge_step: int | None = None) -> None:
        """Start an event file.

        Args:
            directory: where the event files are.
            purge_step: on resume, the first step to be written again; TensorBoard hides older events from there on.
        """
        raise NotImplementedError

    def scalar(self, name: str, value: float, step: int) -> None:
        """Write one value."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what is pending and close the file; idempotent."""
        raise NotImplementedError
