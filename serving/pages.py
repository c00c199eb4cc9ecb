"""The routes that are no prediction, as a small ASGI app that the service mounts."""

import functools
from importlib import resources
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.routing import Route as StarletteRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from classifier.pipeline import Classifier
from classifier.schema import Health, ModelInfo, ServiceInfo
from serving.endpoint import json_response
from serving.metrics import metrics_response
from serving.openapi import openapi_document
from serving.problems import no_such_route, problem_of_status, problem_response
from serving.routes import DOCS, HEALTH, INDEX, METRICS, MODEL_INFO, OPENAPI, ROUTES

_STATIC = Path(__file__).parent / "static"

# Nothing is loaded from another host, and the page may not be framed.
_PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'",
}


class Pages:
    """The app and the model it tells of, which is there once the service has started."""

    def __init__(self, name: str, version: str, needs_key: bool) -> None:
        self._name = name
        self._version = version
        self._needs_key = needs_key
        self._classifier: Classifier | None = None
        swagger = str(resources.files("bentoml._internal.server") / "static_content")
        routes: list[BaseRoute] = [
            StarletteRoute(INDEX.path, self._index),
            StarletteRoute(HEALTH.path, self._health),
            StarletteRoute(MODEL_INFO.path, self._model_info),
            StarletteRoute(METRICS.path, metrics_response),
            StarletteRoute(DOCS.path, self._docs),
            StarletteRoute(OPENAPI.path, self._openapi_json),
            Mount("/docs/swagger", StaticFiles(directory=swagger)),
            Mount("/docs/static", StaticFiles(directory=_STATIC)),
            StarletteRoute("/{path:path}", _NoSuchRoute()),
        ]
        self.app = Starlette(routes=routes)

    def serve(self, classifier: Classifier | None) -> None:
        """Tell of this model from now on; None while none can answer."""
        self._classifier = classifier

    @property
    def is_ready(self) -> bool:
        """Whether the model can answer."""
        return self._classifier is not None

    @functools.cached_property
    def _openapi(self) -> dict[str, object]:
        return openapi_document(self._version, self._needs_key)

    async def _index(self, request: Request) -> Response:  # noqa: ARG002
        return json_response(
            ServiceInfo(
                name=self._name,
                version=self._version,
                status="running" if self.is_ready else "starting",
                endpoints={f"{route.method} {route.path}": route.summary for route in ROUTES},
            )
        )

    async def _health(self, request: Request) -> Response:  # noqa: ARG002
        loaded = self._classifier is not None
        health = Health(
            status="healthy" if loaded else "unhealthy",
            model_loaded=loaded,
            device=self._classifier.device if self._classifier else "none",
        )
        response = json_response(health)
        response.status_code = 200 if loaded else 503
        return response

    async def _model_info(self, request: Request) -> Response:  # noqa: ARG002
        if self._classifier is None:
            return problem_of_status(503)
        return json_response(_model_info(self._classifier))

    async def _docs(self, request: Request) -> Response:  # noqa: ARG002
        return FileResponse(_STATIC / "docs.html", headers=_PAGE_HEADERS)

    async def _openapi_json(self, request: Request) -> Response:  # noqa: ARG002
        return json_response(self._openapi)


def _model_info(classifier: Classifier) -> ModelInfo:
    manifest = classifier.manifest
    trained_on = manifest.trained_on
    return ModelInfo(
        model_type=manifest.model.kind,
        num_classes=len(manifest.labels),
        classes=list(manifest.labels),
        device=classifier.device,
        max_input_length=manifest.text.max_tokens,
        name=manifest.name,
        version=classifier.version,
        digest=classifier.digest,
        threshold=manifest.threshold,
        trained_on=None
        if trained_on is None
        else {"name": trained_on.name, "sha256": trained_on.sha256, "rows": trained_on.rows},
        metrics=manifest.metrics,
    )


class _NoSuchRoute:
    """Answers whatever no route took, for every method."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = no_such_route(scope["method"], scope["path"])
        await problem_response(error)(scope, receive, send)
