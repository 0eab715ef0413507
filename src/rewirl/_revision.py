"""The revision."""

REVISION = None
