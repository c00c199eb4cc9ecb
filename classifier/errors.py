"""The errors of the core. `serving.errors` says what a client gets for them over HTTP."""

from collections.abc import Sequence
from enum import StrEnum

from classifier.validation import MAX_SHOWN_CHARACTERS, shortened


class Refusal(StrEnum):
    """Why the service did not take or finish a request that was in order."""

    STARTING = "starting"
    DRAINING = "draining"
    QUEUE_TEXTS = "queue_texts"
    QUEUE_CHARACTERS = "queue_characters"
    QUEUE_TIME = "queue_time"
    HELD_BYTES = "held_bytes"
    CONNECTIONS = "connections"
    DEADLINE = "deadline"
    CLIENT_TIMEOUT = "client_timeout"
    SLOW_CLIENT = "slow_client"
    BENTOML_QUEUE = "bentoml_queue"


class ClassifierError(Exception):
    """Base of all errors of this project; the message names the thing, its value and the rule."""


class SettingsError(ClassifierError):
    """The configuration cannot be used; the service does not start."""


class ArtifactError(ClassifierError):
    """The model artifact cannot be used; the service does not start."""


class Unavailable(ClassifierError):
    """The service cannot take this request now; the client may retry after `retry_after` seconds."""

    def __init__(self, detail: str, reason: Refusal, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.reason = reason
        self.retry_after = retry_after


class QueueFull(Unavailable):
    """So much is already waiting or held that this request would exceed a bound."""


class Draining(Unavailable):
    """The service is about to stop and takes no more requests."""

    def __init__(self, detail: str, reason: Refusal = Refusal.DRAINING, retry_after: int = 1) -> None:
        super().__init__(detail, reason, retry_after)


class DeadlinePassed(ClassifierError):
    """The text waited until its deadline; the model did not run on it."""


class NotBinary(ClassifierError):
    """A decision by a single threshold was requested from a model with more than two classes."""


class WrongResultCount(ClassifierError):
    """A run of the model did not return one result for each text."""


class UnknownLabel(ClassifierError):
    """The model has no such label."""

    def __init__(self, label: str, labels: Sequence[str]) -> None:
        shown = shortened(label, MAX_SHOWN_CHARACTERS)
        super().__init__(f"label is {shown!r}, which is none of the {len(labels)} labels of the model")
