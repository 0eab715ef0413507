"""What goes wrong with a study."""


class TuneError(ValueError):
    """Something cannot be tuned as it is described; the message says why and what can be."""


class StudyError(RuntimeError):
    """The file of a study cannot be read or written any more; the message says why."""
