"""The pages as a small ASGI app that the service mounts."""

from importlib import resources
from pathlib import Path

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.routing import Route as StarletteRoute
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from classifier.answers import drift_answer
from classifier.batching.admission import Stage
from classifier.pipeline import Classifier
from classifier.schema import Health, ModelInfo, ServiceInfo
from serving.pages.openapi import openapi_document
from serving.request.endpoint import json_response
from serving.request.problems import no_such_route, problem_of_status, problem_response
from serving.routes import (
    DOCS,
    DRIFT,
    HEALTH,
    INDEX,
    JSON,
    MARKDOWN,
    METRICS,
    MODEL_CARD,
    MODEL_INFO,
    OPENAPI,
    ROUTES,
)
from serving.running import running_service
from serving.telemetry.gauges import gauges
from serving.telemetry.metrics import MEDIA_TYPE

_STATIC = Path(__file__).parent / "static"

_STATUS = {
    Stage.STARTING: "starting",
    Stage.OPEN: "running",
    Stage.LEAVING: "stopping",
    Stage.CLOSED: "stopping",
    Stage.STOPPED: "stopping",
}

# The page loads nothing from another host and cannot be put into a frame.
_PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'",
}


class Pages:
    """The pages of one service."""

    def __init__(self, name: str, version: str, needs_key: bool) -> None:
        """`needs_key`: whether API keys are set."""
        self._name = name
        self._version = version
        self._needs_key = needs_key
        # All answers share the bytes of the document, which is made when the labels of the model are known.
        self._openapi = b""
        swagger = str(resources.files("bentoml._internal.server") / "static_content")
        routes: list[BaseRoute] = [
            StarletteRoute(INDEX.path, self._index),
            StarletteRoute(HEALTH.path, self._health),
            StarletteRoute(MODEL_INFO.path, self._model_info),
            StarletteRoute(MODEL_CARD.path, self._model_card),
            StarletteRoute(DRIFT.path, self._drift),
            StarletteRoute(METRICS.path, self._metrics),
            StarletteRoute(DOCS.path, self._docs),
            StarletteRoute(OPENAPI.path, self._openapi_json),
            Mount("/docs/swagger", StaticFiles(directory=swagger)),
            Mount("/docs/static", StaticFiles(directory=_STATIC)),
            StarletteRoute("/{path:path}", _NoSuchRoute()),
        ]
        self.app = Starlette(routes=routes)

    async def _index(self, request: Request) -> Response:
        service = running_service(request.scope)
        return json_response(
            ServiceInfo(
                name=self._name,
                version=self._version,
                status=_STATUS[service.admission.stage],
                endpoints={f"{route.method} {route.path}": route.summary for route in ROUTES},
            )
        )

    async def _health(self, request: Request) -> Response:
        service = running_service(request.scope)
        is_ready = service.admission.is_ready
        health = Health(
            status="healthy" if is_ready else "unhealthy",
            model_loaded=is_ready,
            device=service.classifier.device if is_ready else "none",
        )
        response = json_response(health)
        response.status_code = 200 if is_ready else 503
        return response

    async def _model_info(self, request: Request) -> Response:
        service = running_service(request.scope)
        if not service.admission.is_ready:
            return problem_of_status(503)
        return json_response(_model_info(service.classifier))

    async def _model_card(self, request: Request) -> Response:
        service = running_service(request.scope)
        if not service.admission.is_ready:
            return problem_of_status(503)
        return Response(service.classifier.model_card, media_type=MARKDOWN)

    async def _drift(self, request: Request) -> Response:
        service = running_service(request.scope)
        if not service.admission.is_ready:
            return problem_of_status(503)
        return json_response(drift_answer(service.connections.recorder.drift.report()))

    async def _metrics(self, request: Request) -> Response:
        service = running_service(request.scope)
        text = service.connections.recorder.metrics.text(list(gauges(service)))
        return Response(text, media_type=MEDIA_TYPE)

    async def _docs(self, request: Request) -> Response:  # noqa: ARG002
        return FileResponse(_STATIC / "docs.html", headers=_PAGE_HEADERS)

    async def _openapi_json(self, request: Request) -> Response:
        if not self._openapi:
            labels = running_service(request.scope).classifier.labels
            self._openapi = orjson.dumps(openapi_document(self._version, self._needs_key, labels))
        return Response(self._openapi, media_type=JSON)


def _model_info(classifier: Classifier) -> ModelInfo:
    manifest = classifier.manifest
    trained_on = manifest.trained_on
    info = ModelInfo(
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
    if manifest.has_several_labels:
        info["thresholds"] = dict(zip(manifest.labels, manifest.label_thresholds, strict=True))
    return info


class _NoSuchRoute:
    """Answers every request that no route takes, whatever its method."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = no_such_route(scope["method"], scope["path"])
        await problem_response(error)(scope, receive, send)
