"""The revision of the source that was built; written by the build."""

REVISION: str | None
