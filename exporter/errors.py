"""The error of a checkpoint that cannot be exported exactly."""


class RefusedCheckpoint(Exception):
    """The checkpoint is refused; the message names the file and the reason in one sentence."""
