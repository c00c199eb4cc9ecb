"""Loads the network of a checkpoint, with every weight from the checkpoint."""

import inspect
from collections.abc import Sequence

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from exporter.errors import RefusedCheckpoint
from exporter.folder import CONFIG, Checkpoint

MAX_SHOWN_NAMES = 5


def load_network(checkpoint: Checkpoint) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """Return the network with weights in float32, and notes for the user.

    Raises RefusedCheckpoint if a weight is missing, has another shape or is not finite. transformers gives
    random values to missing weights, and says it only in a warning.
    """
    try:
        _check_size(checkpoint)
        network, report = AutoModelForSequenceClassification.from_pretrained(
            checkpoint.folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=not checkpoint.is_pickle,
            weights_only=True,
            dtype=torch.float32,
            attn_implementation="eager",  # other implementations of attention have no exact form in ONNX
            ignore_mismatched_sizes=True,  # so that the report names them
            output_loading_info=True,
        )
    except RefusedCheckpoint:
        raise
    except Exception as error:  # the classes of errors differ between architectures and files
        raise RefusedCheckpoint(
            f"transformers cannot load {checkpoint.folder}: {first_line(error)}"
        ) from error
    _check_shapes(checkpoint, report["mismatched_keys"])
    if missing := sorted(report["missing_keys"]):
        raise RefusedCheckpoint(
            f"{checkpoint.folder} has no weights for {_list(missing)}, so these parts of "
            f"{type(network).__name__} would have random values; train the model as a classifier first"
        )
    if errors := report["error_msgs"]:
        raise RefusedCheckpoint(f"transformers cannot load {checkpoint.folder}: {first_line(errors[0])}")
    _check_values(checkpoint, network)
    if network.config.num_labels != checkpoint.labels:
        raise RefusedCheckpoint(
            f"{checkpoint.file(CONFIG)} has {checkpoint.labels} labels, but the network that transformers "
            f"makes of it has {network.config.num_labels}"
        )
    unused = sorted(report["unexpected_keys"])
    notes = [f"Weights of the checkpoint that {type(network).__name__} does not use: {_list(unused)}."]
    return network.eval(), tuple(notes if unused else [])


def _check_size(checkpoint: Checkpoint) -> None:
    """Raise RefusedCheckpoint for a network that its weights cannot fill, before memory is taken for it."""
    config = AutoConfig.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        network = AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
    parameters = sum(weight.numel() for weight in network.parameters())
    files = [*checkpoint.folder.glob("*.safetensors"), *checkpoint.folder.glob("*.bin")]
    saved = sum(file.stat().st_size for file in files)
    if parameters > saved:
        raise RefusedCheckpoint(
            f"{checkpoint.file(CONFIG)} describes a network of {parameters:,} weights, but its files of "
            f"weights have only {saved:,} bytes"
        )


def input_names(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Return the inputs of the network for a single text, in the order of the graph's inputs."""
    takes = inspect.signature(network.forward).parameters
    names = ["input_ids", "attention_mask"]
    # With one type or none, as RoBERTa and DeBERTa have, the ids of types change nothing.
    has_types = getattr(network.config, "type_vocab_size", 2) > 1
    if "token_type_ids" in takes and "token_type_ids" in tokenizer.model_input_names and has_types:
        names.append("token_type_ids")
    return tuple(name for name in names if name in takes)


def first_line(error: object) -> str:
    """Return the first line of an error's message that is not blank."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next(filter(None, lines), type(error).__name__)


def _check_shapes(
    checkpoint: Checkpoint, mismatched: Sequence[tuple[str, Sequence[int], Sequence[int]]]
) -> None:
    for name, saved, expected in sorted(mismatched):
        raise RefusedCheckpoint(
            f"{checkpoint.folder}: the weight {name!r} has the shape {tuple(saved)}, but in the network that "
            f"{CONFIG} describes it has {tuple(expected)}"
        )


def _check_values(checkpoint: Checkpoint, network: PreTrainedModel) -> None:
    for name, weight in network.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise RefusedCheckpoint(
                f"{checkpoint.folder}: the weight {name!r} has values that are not finite numbers (NaN or "
                "infinity); the model is broken"
            )


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MAX_SHOWN_NAMES])
    return f"{shown} and {len(names) - MAX_SHOWN_NAMES} more" if len(names) > MAX_SHOWN_NAMES else shown
