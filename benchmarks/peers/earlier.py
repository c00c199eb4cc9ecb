"""The earlier service's design: FastAPI around `predict` of a Keras model, one text at a time."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import onnx
import uvicorn
from fastapi import FastAPI
from keras import layers, ops
from numpy.typing import NDArray

from benchmarks.peers.pipeline import CONFIDENCE_THRESHOLD, HOST, artifact, port
from classifier.answers import prediction_answer
from classifier.artifact import read_artifact
from classifier.pipeline import Prediction, to_probabilities
from classifier.runtimes.network import NETWORK
from classifier.runtimes.onnx import OnnxSettings
from classifier.schema import PredictionAnswer, PredictRequest
from classifier.text import Tokenizer


def read_weights(content: bytes) -> list[NDArray[np.float32]]:
    """Read the weights of a network of `training_import.training.cnn`, in Keras's shapes and order."""
    constants = [onnx.numpy_helper.to_array(c) for c in onnx.load_from_string(content).graph.initializer]
    embedding, kernel, bias, *dense = (c for c in constants if c.dtype == np.float32 and c.ndim)
    return [embedding, kernel.squeeze(2).transpose(2, 1, 0), bias.ravel(), *dense]


def build_network(weights: Sequence[NDArray[np.float32]], pad_id: int) -> Any:
    """Build the network with these weights, without the layers that only training needs."""
    embedding, kernel, _, hidden, _, output, _ = weights
    ids = layers.Input((None,), dtype="int32")
    mask = ops.expand_dims(ops.cast(ops.not_equal(ids, pad_id), "float32"), -1)
    embedded = layers.Embedding(*embedding.shape)(ids) * mask
    convolution = layers.Conv1D(kernel.shape[2], kernel.shape[0], padding="same", activation="relu")
    pooled = layers.GlobalMaxPooling1D()(convolution(embedded) * mask)
    scores = layers.Dense(output.shape[1])(layers.Dense(hidden.shape[1], activation="relu")(pooled))
    model = keras.Model(ids, scores)
    model.set_weights(weights)
    return model


content = read_artifact(artifact())
manifest = content.manifest
tokenizer = Tokenizer(manifest.text, content.vocabulary)
if not isinstance(manifest.model, OnnxSettings):
    raise SystemExit(f"{artifact()} is of kind {manifest.model.kind}; this server needs a network")
settings = manifest.model
weights = read_weights(content.weights[NETWORK])
model = build_network(weights, settings.pad_id)
vocabulary_size = len(weights[0]) - settings.first_id
app = FastAPI()


@app.post("/predict")
def predict(request: PredictRequest) -> PredictionAnswer:
    """Classify one text, padded to the full length. FastAPI runs a blocking endpoint in a thread."""
    ids = tokenizer.encode([request.text]).ids[:-1]
    inputs = np.full((1, manifest.text.max_tokens), settings.pad_id, np.int32)
    inputs[0, : len(ids)] = np.where(ids < vocabulary_size, ids + settings.first_id, settings.unknown_id or 0)
    (row,) = to_probabilities(model.predict(inputs, verbose=0).astype(np.float64), manifest.calibration)
    best = int(row.argmax())
    named = dict(zip(manifest.labels, row.tolist(), strict=True))
    return prediction_answer(
        request.text, Prediction(manifest.labels[best], best, named), CONFIDENCE_THRESHOLD
    )


if __name__ == "__main__":
    uvicorn.run(app, host=HOST, port=port(), access_log=False)
