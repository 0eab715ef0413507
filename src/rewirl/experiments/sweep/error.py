"""What is refused before a sweep begins."""


class SweepError(ValueError):
    """A sweep cannot be made as it is described; the message says where, why and what there is."""
