"""What the parts of a running service share.

The service puts these values into the state of the ASGI lifespan. The server hands that state to each
connection and to each request, so nothing has to be kept in a module or a class.
"""

import asyncio
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from classifier.batching.admission import Admission
from classifier.batching.batcher import Batcher
from classifier.pipeline import Classifier, Prediction
from classifier.settings import ApiSettings, Settings
from serving.errors import ServiceUnavailable
from serving.request.budget import ByteBudget
from serving.telemetry.recorder import Recorder

CONNECTIONS = "connections"
"""The key of the shared state under which connections find what they need."""

MAX_OCCLUSIONS = 2
"""Most explanations whose texts without parts are in the queue at the same time."""

_SERVICE = "service"


@dataclass(frozen=True)
class ConnectionContext:
    """What all connections share: the admission of requests, their records, and the bounds."""

    admission: Admission
    budget: ByteBudget
    recorder: Recorder
    max_connections: int
    request_seconds: float
    """Seconds within which the client must send or read when it is its turn. A stalled connection ends after
    at most twice this time."""
    keep_alive_seconds: float
    """Seconds for which an idle connection is kept after an answer."""
    max_connection_requests: int
    """Requests after which a connection ends at the latest; 0 means that their number is not bounded."""

    @classmethod
    def of(
        cls, settings: ApiSettings, admission: Admission, max_connections: int, recorder: Recorder
    ) -> "ConnectionContext":
        """The bounds of the settings, with nothing held and nothing counted yet."""
        return cls(
            admission=admission,
            budget=ByteBudget(settings.max_held_bytes),
            recorder=recorder,
            max_connections=max_connections,
            request_seconds=settings.request_seconds,
            keep_alive_seconds=settings.keep_alive_seconds,
            max_connection_requests=settings.max_connection_requests,
        )

    def draw_connection_requests(self) -> float:
        """The number of requests after which a new connection ends.

        It is random, so that the connections of clients that began together do not end together.
        """
        most = self.max_connection_requests
        return random.randint((most + 1) // 2, most) if most else math.inf  # noqa: S311


@dataclass(frozen=True)
class RunningService:
    """A service whose model is loaded."""

    settings: Settings
    classifier: Classifier
    batcher: Batcher[Prediction]
    connections: ConnectionContext
    model_stored_at: float
    """When the model was put into the model store, in seconds since 1970."""
    occlusions: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_OCCLUSIONS))
    """An explanation by occlusion holds one of its permits while its texts run."""

    @property
    def admission(self) -> Admission:
        """Decides whether a request is admitted."""
        return self.connections.admission

    def state(self) -> dict[str, Any]:
        """The state that the ASGI lifespan hands to connections and requests."""
        return {_SERVICE: self, CONNECTIONS: self.connections}


def running_service(scope: Mapping[str, Any]) -> RunningService:
    """The service that a request's scope belongs to; raises ServiceUnavailable if it was not started."""
    try:
        service: RunningService = scope["state"][_SERVICE]
    except KeyError:
        raise ServiceUnavailable(
            "the service was not started: what runs its ASGI app must send the events of the lifespan, as "
            "starlette's `with TestClient(app)` does",
            retry_after=1,
        ) from None
    return service
