"""Writes a network as an ONNX graph."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from transformers import PreTrainedModel

from exporter.errors import RefusedCheckpoint
from exporter.network import first_line

OPSET = 17
"""The first opset with LayerNormalization."""

OUTPUT = "logits"

MAX_FILE_BYTES = 1_900_000_000
"""Most bytes of weights in model.onnx; a file of Protocol Buffers cannot have 2 GiB."""

EXTERNAL_WEIGHTS = "model.onnx.data"

_EXAMPLE_TOKENS = 12
_PADDING = 5
"""The second text of the example is padded, so that the graph contains what a network does with padding."""


class _Logits(torch.nn.Module):
    """A network that takes its inputs by position and returns only the logits."""

    def __init__(self, network: PreTrainedModel, names: Sequence[str]):
        super().__init__()
        self.network = network
        self.names = names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.network(**dict(zip(self.names, inputs, strict=True)), return_dict=True).logits


def write_graph(
    network: PreTrainedModel, names: Sequence[str], path: Path, max_file_bytes: int = MAX_FILE_BYTES
) -> None:
    """Write the graph, whose inputs `names` have the shape (texts, tokens); the logits are (texts, labels).

    Weights of more than `max_file_bytes` are written to a file beside it. Raises RefusedCheckpoint.
    """
    dynamic: dict[str, dict[int, str]] = {name: {0: "batch", 1: "sequence"} for name in names}
    is_large = sum(weight.nbytes for weight in network.parameters()) > max_file_bytes
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # about Python values in the graph; the import compares the answers
        try:
            torch.onnx.export(
                _Logits(network, names).eval(),
                _example(network, names),
                path,
                input_names=list(names),
                output_names=[OUTPUT],
                dynamic_axes={**dynamic, OUTPUT: {0: "batch"}},
                opset_version=OPSET,
                # The newer exporter gave the same answers for all samples, but took five times as long for a
                # MiniLM, and ONNX Runtime took 3 to 9 % longer for its graph.
                dynamo=False,
            )
        except Exception as error:  # the classes of errors differ between architectures
            raise RefusedCheckpoint(
                f"PyTorch cannot write {type(network).__name__} as an ONNX graph: {first_line(error)}"
            ) from error
    if is_large:
        _move_weights_out(path)


def _example(network: PreTrainedModel, names: Sequence[str]) -> tuple[torch.Tensor, ...]:
    config = network.config
    padding = config.pad_token_id or 0
    ids = torch.arange(2 * _EXAMPLE_TOKENS).reshape(2, -1) % (config.vocab_size - 1)
    ids[ids == padding] = config.vocab_size - 1
    ids[1, -_PADDING:] = padding
    mask = torch.ones_like(ids)
    mask[1, -_PADDING:] = 0
    values: dict[str, Any] = {
        "input_ids": ids,
        "attention_mask": mask,
        "token_type_ids": torch.zeros_like(ids),
    }
    return tuple(values[name] for name in names)


def _move_weights_out(path: Path) -> None:
    """Write the graph again with its weights in a single file beside it."""
    graph = onnx.load(path)  # with the weights, which PyTorch wrote to many files if they are too large
    for file in path.parent.iterdir():
        file.unlink()
    onnx.save_model(
        graph, path, save_as_external_data=True, all_tensors_to_one_file=True, location=EXTERNAL_WEIGHTS
    )
