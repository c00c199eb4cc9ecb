"""Make the network of a transformer faster or smaller, once, so that no start has to do it."""

import tempfile
from pathlib import Path
from typing import Any

from classifier.runtimes.network import import_onnxruntime
from training_import.onnx_graph import all_graphs


def quantized(network: bytes) -> bytes:
    """Return a network with weights in int8, one scale for each column, and activations scaled at run time.

    Weights have 7 bits, because sums of products of 8 bits overflow on processors without VNNI.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    model = onnx.load_model_from_string(network)
    add_pre_process_metadata(model)  # Otherwise a warning advises what `optimized` does afterwards.
    with tempfile.TemporaryDirectory() as folder:
        smaller = Path(folder) / "int8.onnx"
        quantize_dynamic(
            model,
            smaller,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            # The types of values behind operators of com.microsoft are not known to ONNX.
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
        return smaller.read_bytes()


def scales_by_batch(network: bytes) -> bool:
    """Return whether numbers are scaled by the largest of the whole batch; see `TransformerSettings`."""
    import onnx

    graph = onnx.load_model_from_string(network).graph
    return any(node.op_type.startswith("DynamicQuantize") for part in all_graphs(graph) for node in part.node)


def optimized(network: bytes) -> bytes:
    """Return a network with operators joined for ONNX Runtime, which any processor and a GPU can run."""
    onnxruntime: Any = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    with tempfile.TemporaryDirectory() as folder:
        faster = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(faster)
        onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        return faster.read_bytes()
