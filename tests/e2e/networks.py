"""An ONNX network whose answers a test can predict."""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def mean_network(embeddings: NDArray[np.float32]) -> bytes:
    """Return a network whose two logits are the mean of the embeddings (ids, 2) of a text's tokens."""
    nodes = [
        helper.make_node("Gather", ["embeddings", "ids"], ["embedded"]),
        helper.make_node("ReduceMean", ["embedded"], ["logits"], axes=[1], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(embeddings, "embeddings")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content
