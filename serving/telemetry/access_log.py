"""The access log: one line for a request, and one line a second for refusals of the same kind."""

import asyncio
import random
from collections import Counter
from typing import Any

import structlog

from classifier.errors import Refusal
from classifier.settings import LoggingSettings
from serving.telemetry.exchange import Exchange
from serving.telemetry.logs import shown

REFUSALS_SECONDS = 1.0
"""Seconds for which refusals are counted before they are logged, one line for each reason."""

_log = structlog.get_logger("classifier.access")


class AccessLog:
    """Writes a line for each request that failed in the service, and for a share of the others.

    While the level is DEBUG, it writes a line for every request, also for probes and scrapes.
    """

    def __init__(self, settings: LoggingSettings, model: str) -> None:
        """`model`: the version of the model that answers, which is the beginning of its digest."""
        self._model = model
        self._share = settings.access_share
        self._shows_texts = settings.texts
        self.is_verbose = settings.level == "DEBUG"
        self._random = random.Random(0)  # noqa: S311 - it only draws a sample
        self._refused: Counter[Refusal] = Counter()

    def request(self, exchange: Exchange, status: int, seconds: float) -> None:
        """Write the line of an answered request, if it has one."""
        if status >= 500:
            _log.error("request", **self._fields(exchange, status, seconds))
        elif self.is_verbose or (
            self._share and not exchange.is_routine and self._random.random() < self._share
        ):
            _log.info("request", **self._fields(exchange, status, seconds))

    def refusal(self, reason: Refusal) -> None:
        """Count a refused request for the line of this second."""
        if not self._refused:
            asyncio.get_running_loop().call_later(REFUSALS_SECONDS, self.write_refusals)
        self._refused[reason] += 1

    def write_refusals(self) -> None:
        """Write the lines of the refusals that have none yet."""
        refused, self._refused = self._refused, Counter()
        for reason, count in refused.items():
            _log.warning("refused", reason=str(reason), count=count)

    def _fields(self, exchange: Exchange, status: int, seconds: float) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "request_id": exchange.request_id.decode(),
            "method": exchange.method,
            "path": shown(exchange.path),
            "route": exchange.route,
            "status": status,
            "seconds": _rounded(seconds),
            "queue_seconds": _rounded(exchange.queue_seconds),
            "tokenization_seconds": _rounded(exchange.tokenization_seconds),
            "inference_seconds": _rounded(exchange.inference_seconds),
            "model": self._model,
        }
        if exchange.span is not None:
            fields["trace_id"] = f"{exchange.span.get_span_context().trace_id:032x}"
        predictions = exchange.predictions
        if predictions:
            fields["texts"] = len(predictions)
        if exchange.batches:
            fields["batch_texts"] = max(batch.texts for batch in exchange.batches)
        if len(predictions) == 1:
            fields["label"] = shown(predictions[0].label)
            fields["confidence"] = round(predictions[0].confidence, 6)
        if self._shows_texts and exchange.texts:
            fields["sent"] = list(exchange.texts)
        return {name: value for name, value in fields.items() if value is not None}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
