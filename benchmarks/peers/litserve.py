"""LitServe with batching, its inference worker and its server joined by its fast queue."""

from collections.abc import Mapping, Sequence

import litserve
import orjson
from fastapi import Response

from benchmarks.peers.pipeline import HOST, MAX_BATCH_SIZE, load_answers, port
from classifier.schema import PredictionAnswer

BATCH_TIMEOUT = 0.002
"""Seconds that a batch waits unless it is full: less answers one caller sooner, more answers many faster."""


class Api(litserve.LitAPI):
    """Classifies texts."""

    def setup(self, device: str) -> None:
        """Load the model, once in each worker."""
        del device  # the pipeline runs on the CPU
        self._answers = load_answers()

    def decode_request(self, request: Mapping[str, str]) -> str:
        """The text of a request."""
        return request["text"]

    def predict(self, texts: Sequence[str]) -> list[PredictionAnswer]:
        """Classify a batch."""
        return self._answers(texts)

    def encode_response(self, answer: PredictionAnswer) -> Response:
        """The answer as JSON, made in the worker."""
        return Response(orjson.dumps(answer), media_type="application/json")


if __name__ == "__main__":
    api = Api(max_batch_size=MAX_BATCH_SIZE, batch_timeout=BATCH_TIMEOUT)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(host=HOST, port=port(), log_level="warning", generate_client_file=False)
