"""Checks the files of a checkpoint before any library reads them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.errors import RefusedCheckpoint

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
SPECIAL_TOKENS = "special_tokens_map.json"
ADAPTER = "adapter_config.json"

SAFE_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PICKLED_WEIGHTS = ("pytorch_model.bin", "pytorch_model.bin.index.json")

TASK = "ForSequenceClassification"
"""How the name of an architecture ends that gives one row of logits for a text."""

REGRESSION = "regression"
MULTI_LABEL = "multi_label_classification"

DEFAULT_LABELS = 2
"""How many labels transformers assumes if config.json does not say it."""


@dataclass(frozen=True)
class Checkpoint:
    """A folder whose files were checked."""

    folder: Path
    config: Mapping[str, Any]
    labels: int
    is_pickle: bool
    """Whether the weights are pickled."""

    @property
    def has_several_labels(self) -> bool:
        """Whether a text can have several labels."""
        return self.config.get("problem_type") == MULTI_LABEL

    @property
    def has_tokenizer_file(self) -> bool:
        """Whether the folder has a tokenizer.json."""
        return (self.folder / TOKENIZER).is_file()

    def file(self, name: str) -> str:
        """Return how a message calls a file of this folder."""
        return str(self.folder / name)


def open_checkpoint(folder: Path, trust_pickle: bool) -> Checkpoint:
    """Check the files of a checkpoint; raises RefusedCheckpoint with the reason."""
    if not folder.is_dir():
        raise RefusedCheckpoint(f"{folder} is not a folder; a checkpoint is a folder with {CONFIG}")
    config = _read_object(folder / CONFIG)
    if config is None:
        raise RefusedCheckpoint(f"{folder} has no {CONFIG}, which says what the network is")
    _refuse_custom_code(folder / CONFIG, config)
    _refuse_custom_code(folder / TOKENIZER_CONFIG, _read_object(folder / TOKENIZER_CONFIG) or {})
    _check_task(folder / CONFIG, config)
    _check_weights_as_saved(folder, config)
    return Checkpoint(folder, config, _labels(folder / CONFIG, config), _is_pickle(folder, trust_pickle))


def _read_object(path: Path) -> dict[str, Any] | None:
    """Return the object of a JSON file; None if there is no such file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RefusedCheckpoint(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RefusedCheckpoint(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise RefusedCheckpoint(f"{path} has a {type(content).__name__}; it must have a JSON object")
    return content


def _refuse_custom_code(path: Path, content: Mapping[str, Any]) -> None:
    if content.get("auto_map"):
        raise RefusedCheckpoint(
            f"{path} has 'auto_map', so the checkpoint needs Python code that comes with it. Such code is "
            "never run; only architectures and tokenizers of the library transformers can be exported"
        )


def _check_task(path: Path, config: Mapping[str, Any]) -> None:
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or len(architectures) != 1:
        raise RefusedCheckpoint(
            f"{path}: architectures is {architectures!r}; it must be a list with one name, which ends with "
            f"{TASK}"
        )
    if not str(architectures[0]).endswith(TASK):
        raise RefusedCheckpoint(
            f"{path}: the architecture is {architectures[0]!r}; only architectures whose names end with "
            f"{TASK} give labels to a text"
        )
    problem = config.get("problem_type")
    if problem == REGRESSION:
        raise RefusedCheckpoint(
            f"{path}: problem_type is {problem!r}; a regression gives a number, and only classifiers can be "
            "imported"
        )


def _labels(path: Path, config: Mapping[str, Any]) -> int:
    """Return the number of labels, on which all of config.json must agree."""
    names = config.get("id2label")
    number = config.get("num_labels")
    if names is not None:
        keys = sorted(map(str, names), key=lambda key: (len(key), key)) if isinstance(names, dict) else None
        if keys != [str(position) for position in range(len(names))]:
            raise RefusedCheckpoint(
                f"{path}: the keys of id2label are {keys}; they must be the positions of the logits, from 0"
            )
        if number is not None and number != len(names):
            raise RefusedCheckpoint(
                f"{path}: num_labels is {number!r}, but id2label has {len(names)} labels; correct the file"
            )
        number = len(names)
    labels = DEFAULT_LABELS if number is None else number
    if not isinstance(labels, int) or labels < 1:
        raise RefusedCheckpoint(f"{path}: num_labels is {labels!r}; it must be a whole number, at least 2")
    if labels == 1:
        raise RefusedCheckpoint(
            f"{path}: the model has one label, which makes it a regression; a classifier needs at least 2"
        )
    return labels


def _check_weights_as_saved(folder: Path, config: Mapping[str, Any]) -> None:
    if (folder / ADAPTER).exists():
        raise RefusedCheckpoint(
            f"{folder} has {ADAPTER}: an adapter changes the weights of another model; merge both with peft "
            "(`model.merge_and_unload()`) and save the result with `save_pretrained`"
        )
    if config.get("quantization_config"):
        raise RefusedCheckpoint(
            f"{folder / CONFIG} has 'quantization_config': the weights are quantized; export the checkpoint "
            "that they were made from"
        )
    if name := config.get("transformers_weights"):
        raise RefusedCheckpoint(
            f"{folder / CONFIG}: transformers_weights is {name!r}; the weights must be in {SAFE_WEIGHTS[0]}"
        )


def _is_pickle(folder: Path, trust_pickle: bool) -> bool:
    """Return whether the weights are pickled; raises RefusedCheckpoint if they may not be read."""
    safe = _first(folder, SAFE_WEIGHTS)
    pickled = _first(folder, PICKLED_WEIGHTS)
    found = safe or pickled
    if found is None:
        raise RefusedCheckpoint(
            f"{folder} has no weights of PyTorch; they must be in {SAFE_WEIGHTS[0]}, or in shards that "
            f"{SAFE_WEIGHTS[1]} lists"
        )
    if safe is None and not trust_pickle:
        raise RefusedCheckpoint(
            f"{found} is a pickle, and nothing of it was read; if you trust its source, give --trust-pickle, "
            "which reads only weights from it"
        )
    if found.suffix == ".json":
        _check_shards(found)
    return safe is None


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _check_shards(index: Path) -> None:
    shards = (_read_object(index) or {}).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise RefusedCheckpoint(f"{index} has no 'weight_map', which says in which file each weight is")
    for name in sorted(set(map(str, shards.values()))):
        if name != Path(name).name:
            raise RefusedCheckpoint(f"{index} names the file {name!r}, which is not in the folder itself")
        if not (index.parent / name).is_file():
            raise RefusedCheckpoint(f"{index} names the file {name!r}, which does not exist")
