"""The BentoML service, put together from its parts."""

from pathlib import Path
from typing import Any

import bentoml

from classifier import __version__
from classifier.batching.admission import Admission, Stage
from classifier.errors import ClassifierError
from classifier.settings import load_settings
from serving import composition
from serving.bentoml_api import bentoml_api, bentoml_batch_api
from serving.feedback import check_feedback
from serving.in_process import InProcess, new_batcher
from serving.pages.app import Pages
from serving.process import listening
from serving.process.address import listening_address
from serving.process.building import build_arguments
from serving.process.heartbeat import start_heartbeat
from serving.process.memory import release_when_idle, settle_memory
from serving.process.model import check_model, load_model, with_model_of_bento
from serving.process.slow_models import with_time_for
from serving.process.stopping import drain, drain_on_sigterm
from serving.process.supervision import supervise
from serving.process.verbosity import change_level_on_signal
from serving.request import endpoints, protocol
from serving.request.access import Access
from serving.request.edge import Edge
from serving.routes import CLASSIFY
from serving.running import ConnectionContext, RunningService
from serving.telemetry.event_loop import measure_lag
from serving.telemetry.logs import configure_logging, exit_with_error
from serving.telemetry.recorder import new_recorder

NAME = "text-classifier"

try:
    settings = with_model_of_bento(load_settings(), Path(__file__).parent, NAME)
except ClassifierError as error:
    raise SystemExit(f"error: {error}") from None
configure_logging(settings.logging)
try:
    access = Access.load(settings.api)
    address = listening_address(settings.api.host)
    supervise(NAME, settings.worker.max_silent_seconds)
    check_model(settings)
    check_feedback(settings.feedback)
    of_build: dict[str, Any] = {}
    if arguments := build_arguments():
        from image.bento import prepare_build  # A Bento does not have this package.

        of_build = prepare_build(settings.model, arguments.gpu)
except ClassifierError as error:
    exit_with_error(error, settings.logging)
composition.install(NAME)
protocol.install()
listening.install()


@bentoml.service(
    name=NAME,
    http={"host": address, "port": settings.api.port},
    # Our own metrics are bounded; BentoML's have a label for every path that a client makes up.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    # BentoML's proxy of a dependency closes its connections after 100 requests, even unanswered ones.
    runner_connection={"max_requests": 10**12, "max_age": 1e9},
    # BentoML's spans would cost half the throughput; serving/telemetry/traces.py makes ours, if asked to.
    tracing={"excluded_urls": ".*"},
    **of_build,
)
@bentoml.asgi_app(Pages(NAME, __version__, access.needs_key).app, path="/")
class TextClassifier:
    """Classifies texts with the model that the settings name."""

    model = bentoml.models.BentoModel(settings.model.tag)

    def __init__(self) -> None:
        classifier = load_model(Path(self.model.path), settings)
        with_time = with_time_for(classifier, settings)
        admission = Admission(with_time.batching)
        recorder = new_recorder(with_time, classifier)
        batcher = new_batcher(classifier, with_time, admission, recorder.batch)
        batcher.calibrate(classifier.samples)
        max_connections = listening.room_for_connections(settings.api.max_connections)
        connections = ConnectionContext.of(settings.api, admission, max_connections, recorder)
        stored_at = self.model.info.creation_time.timestamp()
        self.running = RunningService(with_time, classifier, batcher, connections, stored_at)
        self.in_process = InProcess(self.running)
        admission.stage = Stage.OPEN

    def __is_ready__(self) -> bool:
        return self.running.admission.is_ready

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def attend_process(self) -> None:
        """Take over the signals and the memory of the process, which only a server does."""
        recorder = self.running.connections.recorder
        drain_on_sigterm(self.drain)
        change_level_on_signal(settings.logging.level, recorder.access_log)
        start_heartbeat()
        settle_memory()
        recorder.metrics.watch_garbage_collection()
        measure_lag(recorder.metrics.event_loop_lag)
        release_when_idle(lambda: not recorder.metrics.in_progress)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def drain(self) -> None:
        """Finish the requests that were admitted, and refuse new ones."""
        await drain(self.running)

    predict = bentoml_api(endpoints.PREDICT)
    predict_batch = bentoml_api(endpoints.PREDICT_BATCH)
    predict_top_k = bentoml_api(endpoints.PREDICT_TOP_K)
    predict_thresholds = bentoml_api(endpoints.PREDICT_THRESHOLDS)
    predict_explain = bentoml_api(endpoints.PREDICT_EXPLAIN)
    feedback = bentoml_api(endpoints.FEEDBACK)
    classify = bentoml_batch_api(CLASSIFY, endpoints.classify, max_batch_size=1000, max_latency_ms=10_000)


TextClassifier.add_asgi_middleware(  # type: ignore[attr-defined]
    Edge, endpoints=endpoints.ENDPOINTS, access=access
)
