"""The only module that speaks HTTP: typed answers of the service, and its errors in words."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Generic, NoReturn, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from classifier.schema import (
    BatchAnswer,
    DriftAnswer,
    ExplanationAnswer,
    Health,
    ModelInfo,
    PredictionAnswer,
    Problem,
    ProblemError,
    ServiceInfo,
)
from classifier.validation import shortened
from serving.routes import (
    DRIFT,
    HEALTH,
    INDEX,
    METRICS,
    MODEL_CARD,
    MODEL_INFO,
    PREDICT,
    PREDICT_BATCH,
    PREDICT_EXPLAIN,
    Route,
)
from ui.settings import Settings

PATIENCE_SECONDS = 8.0
"""A page tries again for so long while the service is busy or away."""

UNREACHABLE_SECONDS = 2.0
"""The same while nothing answers at the address."""

CONNECT_SECONDS = 3.0
MAX_ANSWER_BYTES = 32 * 2**20
ANSWER_SECONDS = 35.0
"""The longest time without a byte of an answer. The service itself gives up a step after 30 s, the default of
`api.request_seconds`."""

MAX_DETAIL_CHARS = 500
"""Most characters of what the service says about an error. A job keeps it for each row."""

_ERROR_NUMBER = re.compile(r"\[Errno -?\d+\] ")
_TIMING = re.compile(r"(\w+);dur=([\d.]+)")

T = TypeVar("T")


class ServiceError(Exception):
    """The service did not give an answer; the message is a sentence for the user."""


class Unreachable(ServiceError):
    """Nothing answers at the address of the service, or not in time."""


class Overloaded(ServiceError):
    """The service is full, starting or stopping; the same request succeeds later."""

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """The seconds that the service asks to wait, if it says so."""


class Unauthorized(ServiceError):
    """The service wants another API key."""


class Rejected(ServiceError):
    """The service does not take this request, and would not take it later."""

    def __init__(self, message: str, errors: Sequence[ProblemError] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)


class Broken(ServiceError):
    """The service failed, or what answers at its address is not this service."""


@dataclass(frozen=True)
class Answer(Generic[T]):
    """An answer of the service with the time that it took."""

    value: T
    seconds: float
    """From sending the request to the last byte of the answer; of the last attempt, if there were several."""
    request_id: str | None
    """The id under which the log of the service knows the request."""
    timing: dict[str, float] = field(default_factory=dict)
    """What the service says in Server-Timing, in seconds by name; empty unless `api.server_timing` is set."""


class Client:
    """A client of one service, for any number of threads.

    It tries again while the service is busy or away, for at most `patience_seconds`; 0 tries once. An
    attempt fails after `answer_seconds` without a byte. It connects directly: proxies of the environment are
    for other hosts.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.address = settings.address
        key = settings.api_key
        self._http = httpx.Client(
            base_url=self.address,
            headers={"authorization": f"Bearer {key.get_secret_value()}"} if key else {},
            timeout=httpx.Timeout(answer_seconds, connect=min(CONNECT_SECONDS, answer_seconds)),
            limits=httpx.Limits(max_connections=100, keepalive_expiry=30.0),
            trust_env=False,
        )
        self._patience_seconds = patience_seconds

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def predict(self, text: str, threshold: float | None = None) -> Answer[PredictionAnswer]:
        """Classify one text."""
        more = {} if threshold is None else {"threshold": threshold}
        return self._ask(PREDICT, _PREDICTION, {"text": text, **more})

    def predict_batch(self, texts: Sequence[str]) -> Answer[BatchAnswer]:
        """Classify up to 100 texts."""
        return self._ask(PREDICT_BATCH, _BATCH, {"texts": list(texts)})

    def explain(self, text: str, label: str | None = None, top: int = 10) -> Answer[ExplanationAnswer]:
        """Classify one text, and say what each part adds to the score of a label."""
        more = {} if label is None else {"label": label}
        return self._ask(PREDICT_EXPLAIN, _EXPLANATION, {"text": text, "top": top, **more})

    def service_info(self) -> Answer[ServiceInfo]:
        """Describe the service."""
        return self._ask(INDEX, _SERVICE)

    def model_info(self) -> Answer[ModelInfo]:
        """Describe the model that answers."""
        return self._ask(MODEL_INFO, _MODEL)

    def health(self) -> Answer[Health]:
        """Say whether the model is ready. A service that is not ready is no error here."""
        return self._ask(HEALTH, _HEALTH, accepted=(200, 503))

    def drift(self) -> Answer[DriftAnswer]:
        """Compare the last texts with the held-out texts of the model."""
        return self._ask(DRIFT, _DRIFT)

    def model_card(self) -> str:
        """The model card in Markdown."""
        content, _ = self._content(MODEL_CARD, None, (200,))
        return content.decode(errors="replace")

    def metrics(self) -> str:
        """The metrics in the text format of Prometheus."""
        content, _ = self._content(METRICS, None, (200,))
        return content.decode(errors="replace")

    def _ask(
        self,
        route: Route,
        answer: TypeAdapter[T],
        body: dict[str, Any] | None = None,
        accepted: tuple[int, ...] = (200,),
    ) -> Answer[T]:
        begin = perf_counter()
        content, headers = self._content(route, body, accepted)
        seconds = perf_counter() - begin
        try:
            value = answer.validate_json(content)
        except ValidationError as error:
            raise Broken(
                f"What answers at {self.address}{route.path} is not this service: {error.errors()[0]['msg']}"
            ) from error
        timing = {name: float(ms) / 1000 for name, ms in _TIMING.findall(headers.get("server-timing", ""))}
        return Answer(value, seconds, headers.get("x-request-id"), timing)

    def _content(
        self, route: Route, body: dict[str, Any] | None, accepted: tuple[int, ...]
    ) -> tuple[bytes, httpx.Headers]:
        if not self._patience_seconds:
            return self._once(route, body, accepted)
        retrying = Retrying(
            retry=retry_if_exception_type((Overloaded, Unreachable)),
            wait=_wait,
            stop=self._has_tried_enough,
            reraise=True,
        )
        return retrying(self._once, route, body, accepted)

    def _has_tried_enough(self, state: RetryCallState) -> bool:
        """Whether to give up. Where nothing answers, waiting helps only while a service is replaced."""
        error = state.outcome.exception() if state.outcome else None
        most = UNREACHABLE_SECONDS if isinstance(error, Unreachable) else self._patience_seconds
        return (state.seconds_since_start or 0.0) >= min(most, self._patience_seconds)

    def _once(
        self, route: Route, body: dict[str, Any] | None, accepted: tuple[int, ...]
    ) -> tuple[bytes, httpx.Headers]:
        # The service refuses a lone surrogate, which JSON files can contain; the encoder here does not.
        encoded = (
            None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
        )
        headers = {} if encoded is None else {"content-type": "application/json"}
        try:
            with self._http.stream(route.method, route.path, content=encoded, headers=headers) as response:
                content = bytearray()
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > MAX_ANSWER_BYTES:
                        raise Broken(
                            f"The answer of {self.address}{route.path} has over {MAX_ANSWER_BYTES} bytes."
                        )
        except httpx.TimeoutException as error:
            raise Unreachable(f"The service at {self.address} did not answer in time.") from error
        except httpx.TransportError as error:
            reason = _ERROR_NUMBER.sub("", str(error)) or type(error).__name__
            raise Unreachable(f"The service at {self.address} cannot be reached: {reason}.") from error
        except httpx.DecodingError as error:
            raise Broken(f"What answers at {self.address} is not this service: {error}.") from error
        if response.status_code not in accepted:
            self._refuse(response, bytes(content))
        return bytes(content), response.headers

    def _refuse(self, response: httpx.Response, content: bytes) -> NoReturn:
        """Raise the error that says what the service answered."""
        status = response.status_code
        try:
            problem = _PROBLEM.validate_json(content)
        except ValidationError:
            problem = None
        detail = shortened(
            problem["detail"] if problem else f"HTTP {status} {response.reason_phrase}", MAX_DETAIL_CHARS
        )
        if status in {httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS}:
            raise Overloaded(f"The service is busy: {detail}.", _retry_after(response))
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise Unauthorized(f"The service wants an API key: {detail}. CLASSIFIER_API_KEY names it.")
        if problem and status in {httpx.codes.REQUEST_TIMEOUT, httpx.codes.GATEWAY_TIMEOUT}:
            raise Overloaded(f"The service was too slow: {detail}.", None)
        if problem and 400 <= status < 500:
            raise Rejected(detail, problem.get("errors", ()))
        if problem:
            raise Broken(f"The service failed: {detail}.")
        if status in {httpx.codes.BAD_GATEWAY, httpx.codes.GATEWAY_TIMEOUT}:
            raise Unreachable(f"A proxy answers at {self.address}, and does not reach the service: {detail}.")
        raise Broken(f"What answers at {self.address} is not this service: {detail}.")


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdecimal() and len(value) < 6 else None


_backoff = wait_random_exponential(multiplier=0.2, max=4.0)


def _wait(state: RetryCallState) -> float:
    """The seconds until the next attempt: what the service asks for, and some more, by chance."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, Overloaded) else None
    return (asked or 0.0) + _backoff(state)


_PREDICTION: TypeAdapter[PredictionAnswer] = TypeAdapter(PredictionAnswer)
_BATCH: TypeAdapter[BatchAnswer] = TypeAdapter(BatchAnswer)
_EXPLANATION: TypeAdapter[ExplanationAnswer] = TypeAdapter(ExplanationAnswer)
_SERVICE: TypeAdapter[ServiceInfo] = TypeAdapter(ServiceInfo)
_MODEL: TypeAdapter[ModelInfo] = TypeAdapter(ModelInfo)
_HEALTH: TypeAdapter[Health] = TypeAdapter(Health)
_DRIFT: TypeAdapter[DriftAnswer] = TypeAdapter(DriftAnswer)
_PROBLEM: TypeAdapter[Problem] = TypeAdapter(Problem)
