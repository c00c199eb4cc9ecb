"""A tiny network whose score is not a sum over words."""

from dataclasses import replace

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tiny import tiny_artifact

from classifier.artifact import Artifact
from classifier.runtimes.network import NETWORK
from classifier.runtimes.onnx import OnnxSettings
from classifier.text import TextSettings

WORD_WEIGHTS = {"good": 0.5, "great": 1.0, "bad": -0.75, "film": 0.1}
UNKNOWN_WEIGHT = 0.01


def network_artifact() -> Artifact:
    """Return a network without golden cases. Its score for "positive" is tanh of the sum of the weights."""
    weights = np.array([0, UNKNOWN_WEIGHT, *WORD_WEIGHTS.values()], np.float32)
    nodes = [
        helper.make_node("Gather", ["weights", "ids"], ["of_tokens"]),
        helper.make_node("ReduceSum", ["of_tokens", "axes"], ["sum"], keepdims=0),
        helper.make_node("Tanh", ["sum"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tanh",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])],
        [
            numpy_helper.from_array(np.stack([np.zeros_like(weights), weights], axis=1), "weights"),
            numpy_helper.from_array(np.array([1]), "axes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    artifact = tiny_artifact(
        text=TextSettings(max_tokens=2000), model=OnnxSettings(first_id=2, unknown_id=1, output="logits")
    )
    return replace(artifact, vocabulary=tuple(WORD_WEIGHTS), weights={NETWORK: model.SerializeToString()})
