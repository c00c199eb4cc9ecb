"""MLServer with its Hugging Face runtime, which runs the network of the artifact in ONNX Runtime."""

import asyncio
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from mlserver import ModelSettings
from mlserver.settings import ModelParameters
from mlserver_huggingface import HuggingFaceRuntime
from onnx import helper, numpy_helper

from benchmarks.peers.mlserver import serve
from benchmarks.peers.pipeline import artifact


def write_folder(folder: Path) -> None:
    """Write the artifact in the layout of Hugging Face."""
    manifest = json.loads((artifact() / "artifact.json").read_text(encoding="utf-8"))
    shutil.copy(artifact() / "tokenizer.json", folder)
    network = onnx.load(artifact() / "model.onnx")
    _calibrate(network.graph, manifest["calibration"])
    onnx.save(network, folder / "model.onnx")
    labels = dict(enumerate(manifest["labels"]))
    config = {
        "model_type": "bert",
        "architectures": ["BertForSequenceClassification"],
        "pad_token_id": manifest["model"]["pad_id"],
        "id2label": labels,
        "label2id": {label: number for number, label in labels.items()},
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    longest = manifest["text"]["max_tokens"] + 2  # with the special tokens
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": longest,
        "pad_token": "[PAD]",
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")


def _calibrate(graph: onnx.GraphProto, calibration: dict[str, Any]) -> None:
    """Put the calibration, which the service applies itself, behind the logits."""
    (logits,) = (output.name for output in graph.output)
    for node in graph.node:
        node.output[:] = ["scores" if name == logits else name for name in node.output]
    bias = np.array(calibration["bias"] or [0.0], np.float32)
    graph.initializer.append(numpy_helper.from_array(np.array(calibration["scale"], np.float32), "scale"))
    graph.initializer.append(numpy_helper.from_array(bias, "bias"))
    graph.node.append(helper.make_node("Mul", ["scores", "scale"], ["scaled"]))
    graph.node.append(helper.make_node("Add", ["scaled", "bias"], [logits]))


def model_of(folder: Path) -> ModelSettings:
    """Return the settings of the model in a folder.

    It is not batched: the runtime would run texts one by one in any case, because the id of BERT's padding is
    0, which it takes for none; and requests that ask for their texts to be cut cannot be put together.
    """
    extra = {"task": "text-classification", "pretrained_model": str(folder), "optimum_model": True}
    return ModelSettings(
        name="classifier", implementation=HuggingFaceRuntime, parameters=ModelParameters(extra=extra)
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        write_folder(Path(temporary))
        asyncio.run(serve(model_of(Path(temporary))))
