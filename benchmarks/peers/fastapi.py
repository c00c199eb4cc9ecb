"""FastAPI with the model on the event loop, without batching."""

import orjson
import uvicorn
from fastapi import FastAPI, Response

from benchmarks.peers.pipeline import HOST, load_answers, port
from classifier.schema import PredictRequest

app = FastAPI()
answers = load_answers()


@app.post("/predict")
async def predict(request: PredictRequest) -> Response:
    """Classify one text. FastAPI sends a Response unchanged: it neither validates nor encodes it."""
    (answer,) = answers([request.text])
    return Response(orjson.dumps(answer), media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, host=HOST, port=port(), loop="uvloop", http="httptools", access_log=False)
