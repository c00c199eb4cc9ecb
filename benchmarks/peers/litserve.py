"""LitServe with batching, and with its fast queue between the server and the inference worker."""

from collections.abc import Mapping, Sequence

import litserve
import orjson
from fastapi import Response

from benchmarks.peers.pipeline import HOST, MAX_BATCH_SIZE, load_answers, port
from classifier.schema import PredictionAnswer

BATCH_TIMEOUT = 0.002
"""Seconds for which a batch waits until it is full. Less helps one client, more helps many."""


class Api(litserve.LitAPI):
    """Classifies texts."""

    def setup(self, device: str) -> None:
        """Load the model, once per worker."""
        del device  # the pipeline runs on the CPU
        self._answers = load_answers()

    def decode_request(self, request: Mapping[str, str]) -> str:
        """Return the text of a request."""
        return request["text"]

    def predict(self, texts: Sequence[str]) -> list[PredictionAnswer]:
        """Classify a batch."""
        return self._answers(texts)

    def encode_response(self, answer: PredictionAnswer) -> Response:
        """Encode the answer as JSON in the worker."""
        return Response(orjson.dumps(answer), media_type="application/json")


if __name__ == "__main__":
    api = Api(max_batch_size=MAX_BATCH_SIZE, batch_timeout=BATCH_TIMEOUT)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(host=HOST, port=port(), log_level="warning", generate_client_file=False)
