"""MLServer with adaptive batching, asked over the V2 protocol."""

import asyncio

import orjson
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.pipeline import HOST, MAX_BATCH_SIZE, load_answers, port

MAX_BATCH_SECONDS = 0.0005
ANY_FREE_PORT = 0


class Peer(MLModel):
    """Classifies texts."""

    async def load(self) -> bool:
        """Load the model."""
        self._answers = load_answers()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Classify a batch; return an answer as JSON for each text."""
        answers = self._answers(StringCodec.decode_input(payload.inputs[0]))
        encoded = StringCodec.encode_output("answer", [orjson.dumps(answer).decode() for answer in answers])
        return InferenceResponse(model_name=self.name, outputs=[encoded])


async def serve(model: ModelSettings) -> None:
    """Serve a model until a signal stops the process."""
    settings = Settings(
        host=HOST,
        http_port=port(),
        grpc_port=ANY_FREE_PORT,
        metrics_port=ANY_FREE_PORT,
        parallel_workers=0,  # MLServer 1.7.1 cannot start workers with uvloop 0.23
        debug=False,
    )
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(
        serve(
            ModelSettings(
                name="classifier",
                implementation=Peer,
                max_batch_size=MAX_BATCH_SIZE,
                max_batch_time=MAX_BATCH_SECONDS,
            )
        )
    )
