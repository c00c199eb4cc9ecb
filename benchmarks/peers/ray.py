"""Ray Serve with `@serve.batch` in one replica."""

import orjson
import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.pipeline import HOST, MAX_BATCH_SIZE, load_answers, port
from classifier.schema import PredictionAnswer

OBJECT_STORE_BYTES = 100_000_000
MAX_ONGOING_REQUESTS = 10_000


@serve.deployment(max_ongoing_requests=MAX_ONGOING_REQUESTS, ray_actor_options={"num_cpus": 1})
class Peer:
    """Classifies texts."""

    def __init__(self) -> None:
        self._answers = load_answers()

    @serve.batch(max_batch_size=MAX_BATCH_SIZE, batch_wait_timeout_s=0)
    async def predict(self, texts: list[str]) -> list[PredictionAnswer]:
        """Classify a batch."""
        return self._answers(texts)

    async def __call__(self, request: Request) -> Response:
        """Classify one text."""
        answer = await self.predict((await request.json())["text"])
        return Response(orjson.dumps(answer), media_type="application/json")


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES)
    serve.start(http_options={"host": HOST, "port": port()}, logging_config={"enable_access_log": False})
    app = Peer.bind()  # type: ignore[attr-defined]
    serve.run(app, route_prefix="/predict", blocking=True)
