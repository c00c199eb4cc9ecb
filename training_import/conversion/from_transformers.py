"""Convert a folder of Hugging Face with a transformer in ONNX: its network, its tokenizer and its labels."""

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Calibration
from classifier.errors import ArtifactError
from classifier.pipeline import to_probabilities
from classifier.runtimes.network import NETWORK, import_onnxruntime
from classifier.runtimes.transformer import (
    INPUTS,
    MAX_TOKENIZER_BYTES,
    TOKENIZER,
    TYPES,
    TransformerRuntime,
    TransformerSettings,
    WordPieces,
    import_tokenizers,
    panics_as_errors,
    unknown_id_of,
)
from classifier.schema import MAX_TEXT_CHARS
from classifier.text import TextSettings
from classifier.validation import shortened
from training_import.conversion.checkpoints import export_checkpoint, predict_with_checkpoint
from training_import.conversion.converted import (
    ClassNames,
    Converted,
    ImportOptions,
    Original,
    Quantized,
    UnsupportedModel,
    cleaning_before,
)
from training_import.conversion.labels import class_labels
from training_import.conversion.network_files import (
    add_external_data,
    check_file,
    check_operators,
    check_weights,
    read_network,
)
from training_import.conversion.network_sizes import optimized, quantized, scales_by_batch
from training_import.onnx_graph import all_graphs
from training_import.versions import library_versions

CONFIG = "config.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
NETWORKS = (NETWORK, f"onnx/{NETWORK}")
"""Where the network of a folder is; the second place is that of the Hugging Face Hub."""

SINGLE_LABEL = "single_label_classification"
MULTI_LABEL = "multi_label_classification"
"""The values of `problem_type`. Without it, a text has one label."""

CHECKPOINTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")

TOLERANCE = 1e-4

MAX_COMPARED_TEXTS = 1000
"""Most real texts that are compared: the original runs each by itself, which takes up to 0.1 s."""

MAX_JSON_BYTES = 4 * 2**20

DEFAULT_MAX_TOKENS = 512
"""How many tokens are read if neither the folder nor the user says it."""

MAX_TOKENS = 8192
"""Most tokens that are read. Models that could read more would need gigabytes of memory for one text."""

MAX_TOKENIZER_SECONDS = 2.0
"""Most seconds that the tokenizer may take for a text of the greatest length that the service accepts."""

_LENGTHS = (*(2**power for power in range(3, MAX_TEXT_CHARS.bit_length())), MAX_TEXT_CHARS)
"""The numbers of characters of the texts that the tokenizer is tried with."""

PADDED_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "xlm-roberta-xl"})
"""The architectures whose positions begin after the id of the padding, so the first ones are never used."""

_NUMBERED = re.compile(r"LABEL_\d+")


@dataclass(frozen=True)
class TransformerFolder:
    """The files of a folder that an import reads."""

    network: Path
    tokenizer: Path
    config: Mapping[str, Any]
    tokenizer_config: Mapping[str, Any]


def convert_transformer(source: Path, options: ImportOptions) -> Converted:
    """Convert a folder; raises UnsupportedModel, which names the file and what is wrong with it."""
    checkpoint = first_existing(source, CHECKPOINTS)
    if first_existing(source, NETWORKS) is not None or checkpoint is None:
        return _convert_exported(source, options)[0]
    for path in sorted(source.iterdir()):
        if path.exists() and not path.is_file() and not path.is_dir():  # A pipe would never end.
            raise UnsupportedModel(f"{path} cannot be read: it is not a file")
    _check_fetched(checkpoint)
    if (source / CONFIG).exists():  # The exporter refuses the same, but takes many seconds to start.
        _check_task(source / CONFIG, read_json(source / CONFIG))
    with tempfile.TemporaryDirectory() as temporary:
        exported = Path(temporary) / source.resolve().name
        notes = export_checkpoint(source, exported, options.trust_pickle)
        try:
            converted, limit = _convert_exported(exported, options)
        except UnsupportedModel as error:  # It names files of the temporary folder.
            raise UnsupportedModel(str(error).replace(str(exported), str(source))) from error
    before = cleaning_before(options, converted.text)

    def original(texts: Sequence[str]) -> NDArray[np.float64]:
        cleaned = [before(text) for text in texts]
        return predict_with_checkpoint(source, cleaned, options.trust_pickle, limit)

    return replace(
        converted,
        original=original,
        description=f"{converted.description}, a checkpoint of PyTorch",
        files=(checkpoint,),
        notes=(*converted.notes, *notes),
    )


def _convert_exported(source: Path, options: ImportOptions) -> tuple[Converted, int]:
    """Convert a folder with a network; also return how many tokens are read, special ones included."""
    folder = _read_folder(source)
    _check_task(source / CONFIG, folder.config)
    if options.stopwords:
        raise UnsupportedModel("stop words cannot be removed for a transformer, which splits texts itself")
    tokenizer = read_bytes(folder.tokenizer, MAX_TOKENIZER_BYTES)
    unknown_id = read_unknown_id(folder.tokenizer, tokenizer)
    network = read_checked_network(folder.network)
    pad_id = find_pad_id(folder, tokenizer)
    limit, limit_notes = token_limit(folder, options.max_tokens, pad_id)
    text = TextSettings(
        normalize="NFC" if options.cleans else None,
        strip_html=options.strip_html,
        lowercase=False,
        remove_special_chars=options.remove_special_chars,
        max_tokens=tokens_of_a_text(folder.tokenizer, tokenizer, limit),
        keep="last" if folder.tokenizer_config.get("truncation_side") == "left" else "first",
    )
    settings = TransformerSettings(
        pad_id=pad_id,
        unknown_id=unknown_id,
        runs_alone=options.quantize is not None or scales_by_batch(network),
    )
    check_speed(folder.tokenizer, tokenizer)
    has_several_labels = folder.config.get("problem_type") == MULTI_LABEL
    calibration = Calibration(activation="sigmoid" if has_several_labels else "softmax")
    scores, classes = _original(folder.network, network, tokenizer, text, limit, pad_id, options)
    names = _class_names(source / CONFIG, folder.config)
    labels = class_labels(options, names, classes)
    numbered = [name for name in labels.names if _NUMBERED.fullmatch(name)]
    served = optimized(network)
    quantization = None
    if options.quantize is not None:
        before, served = len(served), optimized(quantized(network))
        quantization = Quantized(options.quantize, before, len(served), options.min_agreement)
    converted = Converted(
        labels=labels,
        text=text,
        model=settings,
        vocabulary=(),
        weights={NETWORK: served, TOKENIZER: tokenizer},
        calibration=calibration,
        has_several_labels=has_several_labels,
        original=lambda texts: to_probabilities(scores(texts), calibration),
        tolerance=TOLERANCE if quantization is None else 1.0,
        max_compared=MAX_COMPARED_TEXTS,
        quantization=quantization,
        words=vocabulary_words(tokenizer),
        description=f"a transformer{_architecture(folder.config)}",
        versions=library_versions({"onnxruntime": import_onnxruntime(), "tokenizers": import_tokenizers()}),
        files=(folder.network, folder.tokenizer),
        notes=(
            *(
                [
                    f"{CONFIG} calls classes {', '.join(numbered[:3])}, which does not say what they mean; "
                    "name them with --labels."
                ]
                if numbered
                else []
            ),
            *limit_notes,
        ),
    )
    return converted, limit


def _read_folder(source: Path) -> TransformerFolder:
    """Find the files of a folder; raises UnsupportedModel, which says what is missing and how to make it."""
    network = first_existing(source, NETWORKS)
    if network is None:
        others = sorted(str(each.relative_to(source)) for each in source.glob("**/*.onnx"))
        other = f". Rename {others[0]} to {NETWORK} if it is the one that you mean" if others else ""
        raise UnsupportedModel(
            f"{source} is a folder without {' or '.join(NETWORKS)}; a folder of Hugging Face with a network "
            f"in ONNX has {NETWORK}, {TOKENIZER} and {CONFIG}{other}"
        )
    for name in (TOKENIZER, CONFIG):
        if not (source / name).exists():
            raise UnsupportedModel(f"{source} has no {name}{how_to_make(name)}")
    tokenizer_config = source / TOKENIZER_CONFIG
    return TransformerFolder(
        network,
        source / TOKENIZER,
        read_json(source / CONFIG),
        read_json(tokenizer_config) if tokenizer_config.exists() else {},
    )


def first_existing(source: Path, names: Sequence[str]) -> Path | None:
    """Return the first of these files that a folder has."""
    return next((source / name for name in names if (source / name).exists()), None)


def how_to_make(name: str) -> str:
    """Say how a missing file is made."""
    if name == CONFIG:
        return (
            ", which has the labels; copy it from the checkpoint that was exported. A sentence encoder has "
            "none: `train --encoder` trains a classifier on it"
        )
    return (
        "; make it from the tokenizer's other files with transformers: "
        "`AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)`"
    )


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Read a file of at most `max_bytes`; raises UnsupportedModel."""
    try:
        check_file(path, max_bytes)
        return path.read_bytes()
    except OSError as error:
        raise UnsupportedModel(f"{path} cannot be read: {error.strerror}") from error


def _check_fetched(checkpoint: Path) -> None:
    """Raise UnsupportedModel for weights of PyTorch that were not fetched."""
    try:
        check_file(checkpoint, sys.maxsize)
    except OSError as error:
        raise UnsupportedModel(f"{checkpoint} cannot be read: {error.strerror}") from error


def read_json(path: Path) -> Mapping[str, Any]:
    """Read a file with a JSON object; raises UnsupportedModel."""
    try:
        content = json.loads(read_bytes(path, MAX_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise UnsupportedModel(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise UnsupportedModel(f"{path} is not a JSON object")
    return content


def _check_task(path: Path, config: Mapping[str, Any]) -> None:
    """Raise UnsupportedModel for a model that does not give labels to whole texts."""
    problem = config.get("problem_type")
    if problem not in (None, SINGLE_LABEL, MULTI_LABEL, "regression"):
        raise UnsupportedModel(
            f"{path}: problem_type is {_shown(problem)}; it must be {SINGLE_LABEL!r} or {MULTI_LABEL!r}"
        )
    if problem == "regression":
        raise UnsupportedModel(
            f"{path}: problem_type is 'regression'; this service predicts labels, not numbers"
        )
    architectures = config.get("architectures")
    tasks = [str(name) for name in architectures] if isinstance(architectures, list) else []
    if tasks and not any(name.endswith("ForSequenceClassification") for name in tasks):
        raise UnsupportedModel(
            f"{path}: the model is {tasks[0]}; only ...ForSequenceClassification classifies a whole text. "
            "`train --encoder` trains a classifier on a sentence encoder"
        )


def _class_names(path: Path, config: Mapping[str, Any]) -> tuple[ClassNames, ...]:
    """Return what `id2label` says; raises UnsupportedModel if its classes are not 0, 1, 2 and so on."""
    names = config.get("id2label")
    if names is None:
        return ()
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise UnsupportedModel(f"{path}: id2label is {_shown(names)}; it must be {{class: name}}")
    if set(names) != set(map(str, range(len(names)))):
        raise UnsupportedModel(
            f"{path}: id2label names the classes {_shown(list(names))}; they must be 0 to {len(names) - 1}"
        )
    return (ClassNames("id2label", {int(class_): name for class_, name in names.items()}, is_list=False),)


def _shown(value: Any) -> str:
    return shortened(repr(value), 200)


def _architecture(config: Mapping[str, Any]) -> str:
    return f" of the architecture {config['model_type']}" if isinstance(config.get("model_type"), str) else ""


def read_unknown_id(path: Path, tokenizer: bytes) -> int | None:
    """Return the id of what a tokenizer does not know, or None; raises UnsupportedModel."""
    try:
        return unknown_id_of(tokenizer)
    except (TypeError, AttributeError, KeyError) as error:
        raise UnsupportedModel(
            f"{path} is not a tokenizer: it must be a JSON object with `model`, an object with `vocab`"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UnsupportedModel(f"{path} is not a tokenizer: {error}") from error


def read_checked_network(path: Path) -> bytes:
    """Return a network with all of its weights in one file."""
    model = read_network(path)
    check_operators(path, model)
    if any(node.op_type == "Loop" for graph in all_graphs(model.graph) for node in graph.node):
        raise UnsupportedModel(
            f"{path} has the operator Loop, which no transformer needs and which can run without end"
        )
    add_external_data(path, model)
    check_weights(path, model)
    for value in model.graph.input:
        sizes = [each.dim_value for each in value.type.tensor_type.shape.dim]
        if value.name in INPUTS and (len(sizes) != 2 or any(sizes)):
            raise UnsupportedModel(
                f"{path}: the input {value.name!r} has the shape {tuple(sizes)}; the number of texts and of "
                "tokens must be open (dynamic axes)"
            )
    content: bytes = model.SerializeToString()
    return content


def find_pad_id(folder: TransformerFolder, tokenizer: bytes) -> int:
    """Return the id of the padding that the folder names, or else 0; raises UnsupportedModel."""
    padding = json.loads(tokenizer).get("padding")
    said = padding.get("pad_id") if isinstance(padding, dict) else None
    ids = [each for each in (folder.config.get("pad_token_id"), said) if each is not None]
    if wrong := [each for each in ids if type(each) is not int]:
        raise UnsupportedModel(
            f"{folder.tokenizer.parent}: the id of the padding is {_shown(wrong[0])}; it must be a whole "
            "number"
        )
    return next((each for each in ids if each >= 0), 0)


def token_limit(
    folder: TransformerFolder, max_tokens: int | None, pad_id: int
) -> tuple[int, tuple[str, ...]]:
    """Return how many tokens are read, special ones included, and what a person should know about it.

    `max_tokens` is the number that the user gave.

    The limit in `tokenizer.json` is not used: it is what an example once needed, such as 128 of MiniLM.
    """
    positions = folder.config.get("max_position_embeddings")
    if positions is not None and type(positions) is not int:
        raise UnsupportedModel(
            f"{folder.tokenizer.parent / CONFIG}: max_position_embeddings is {_shown(positions)}; it must be "
            "a whole number"
        )
    reads = positions if positions is not None and positions > 0 else None
    if reads is not None and str(folder.config.get("model_type")) in PADDED_POSITIONS:
        reads -= pad_id + 1
    if max_tokens is not None:
        if reads is not None and max_tokens > reads:
            raise UnsupportedModel(
                f"--max-tokens is {max_tokens}; the model has positions for {reads} tokens"
            )
        return max_tokens, ()
    said = folder.tokenizer_config.get("model_max_length")
    limits = [each for each in (reads, said) if isinstance(each, int | float) and 0 < each <= MAX_TOKENS]
    limit = int(min(limits, default=DEFAULT_MAX_TOKENS))
    return limit, (
        f"It reads {limit} tokens of a text, special ones included; --max-tokens can lower this number, "
        "which makes long texts faster.",
    )


def tokens_of_a_text(path: Path, tokenizer: bytes, limit: int) -> int:
    """Return how many of `limit` tokens are left for the text, without special ones.

    Raises UnsupportedModel if none are left, or if the tokenizer cannot be read.
    """
    try:
        pieces = WordPieces(tokenizer, TextSettings(max_tokens=1), None, TransformerRuntime.lock_file)
    except ArtifactError as error:
        raise UnsupportedModel(f"{path}: {error}") from error
    if limit <= pieces.special_tokens:
        raise UnsupportedModel(
            f"{path.parent}: at most {limit} tokens are read, but {pieces.special_tokens} of them are "
            "special tokens; --max-tokens must be greater"
        )
    return limit - pieces.special_tokens


def inputs_of_one_text(
    network: Iterable[tuple[str, str]], ids: Sequence[int], type_ids: Sequence[int]
) -> dict[str, NDArray[Any]]:
    """Return what a network with these inputs, each a name and a type, gets for one text without padding."""
    values: Mapping[str, Sequence[int]] = {
        "input_ids": ids,
        "attention_mask": [1] * len(ids),
        "token_type_ids": type_ids,
        "position_ids": range(len(ids)),
    }
    return {name: np.array([values[name]], TYPES.get(type_)) for name, type_ in network}


def _original(
    path: Path,
    network: bytes,
    tokenizer: bytes,
    text: TextSettings,
    limit: int,
    pad_id: int,
    options: ImportOptions,
) -> tuple[Original, int]:
    """Return a run of graph and tokenizer that shares no code with the runtime, and its number of classes.

    The run gives logits. Each text runs by itself, so there is no padding.
    """
    onnxruntime, tokenizers = import_onnxruntime(), import_tokenizers()
    options_ = onnxruntime.SessionOptions()
    options_.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(network, options_, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class for each kind of fault
        raise UnsupportedModel(f"{path} cannot be loaded by ONNX Runtime: {error}") from error
    inputs = [(each.name, each.type) for each in session.get_inputs()]
    outputs = [each.name for each in session.get_outputs()]
    pieces = tokenizers.Tokenizer.from_str(tokenizer.decode())
    pieces.no_padding()
    pieces.enable_truncation(limit, direction="right" if text.keep == "first" else "left")
    before = cleaning_before(options, text)

    def output(ids: Sequence[int], types: Sequence[int]) -> NDArray[np.float64]:
        name = "logits" if "logits" in outputs else outputs[0]
        found = session.run([name], inputs_of_one_text(inputs, ids, types))
        return np.asarray(found[0], np.float64)

    def scores(one: str) -> NDArray[np.float64]:
        with panics_as_errors():
            encoding = pieces.encode(before(one))
        return output(encoding.ids, encoding.type_ids)

    unknown = [name for name, _ in inputs if name not in INPUTS]
    if unknown:
        raise UnsupportedModel(
            f"{path} has the input {unknown[0]!r}; a transformer that classifies texts has "
            f"{', '.join(sorted(INPUTS))}, or some of them"
        )
    shape = _shape_at_the_limit(path, scores, limit)
    check_ids(path, lambda ids: output(ids, [0] * len(ids)), tokenizer, pad_id, limit)
    if len(shape) != 2:
        raise UnsupportedModel(
            f"{path} gives an output of the shape {shape} for one text; a classifier gives one score for "
            "each class. A sentence encoder needs a classifier first"
        )
    if shape[1] == 1:
        raise UnsupportedModel(
            f"{path} gives one number for a text; this service predicts labels (a regression has no labels)"
        )

    def original(texts: Sequence[str]) -> NDArray[np.float64]:
        return np.concatenate([scores(one) for one in texts])

    return original, shape[1]


def _shape_at_the_limit(path: Path, scores: Any, limit: int) -> tuple[int, ...]:
    """Return the shape of what the network gives for the longest text that it reads."""
    try:
        shape: tuple[int, ...] = scores("a " * (limit + 1)).shape
    except Exception as error:  # onnxruntime has a class for each kind of fault
        raise UnsupportedModel(
            f"{path} cannot run a text of {limit} tokens: {shortened(str(error), 300)}. If the model reads "
            "fewer, say how many with --max-tokens"
        ) from error
    return shape


def check_ids(
    path: Path, run: Callable[[Sequence[int]], object], tokenizer: bytes, pad_id: int, limit: int
) -> None:
    """Raise UnsupportedModel if the network does not know the last token of the tokenizer, or the padding.

    `run` gives the network a text's ids. Without this check, a client's text with such a token would fail.
    """
    vocabulary = import_tokenizers().Tokenizer.from_str(tokenizer.decode()).get_vocab()
    last = max(vocabulary, key=vocabulary.__getitem__, default=None)
    tokens = {} if last is None else {f"the token {last!r} of {TOKENIZER}": vocabulary[last]}
    for name, id_ in (tokens | {"the padding": pad_id}).items():
        try:
            run([id_] * min(limit, 3))
        except Exception as error:  # onnxruntime has a class for each kind of fault
            raise UnsupportedModel(
                f"{path} does not know {name}, whose id is {id_}: {shortened(str(error), 300)}"
            ) from error


def check_speed(path: Path, tokenizer: bytes) -> None:
    """Raise UnsupportedModel for a tokenizer that some text would make so slow that others wait.

    Texts become longer step by step, because a bad tokenizer would take hours for the longest ones.
    """
    pieces = import_tokenizers().Tokenizer.from_str(tokenizer.decode())
    pieces.no_padding()
    pieces.no_truncation()
    for part in ("a", "1", " ", "!", "a ", "a!", "'s ", "\n", "\u4f60", "\U0001f600", "e\u0301"):
        for count in _LENGTHS:
            begin = time.perf_counter()
            try:
                with panics_as_errors():
                    pieces.encode_batch_fast([(part * count)[:count]])
            except ArtifactError as error:
                raise UnsupportedModel(f"{path}: for {count:,} characters of {part!r}, {error}") from error
            seconds = time.perf_counter() - begin
            if seconds > MAX_TOKENIZER_SECONDS:
                raise UnsupportedModel(
                    f"{path} takes {seconds:.1f} s for {count:,} characters of {part!r}; at most "
                    f"{MAX_TOKENIZER_SECONDS:g} s are allowed, because such a text would delay others"
                )


def vocabulary_words(tokenizer: bytes) -> list[str]:
    """Return the words of a vocabulary by their ids, without pieces that are only parts of a word."""
    vocabulary = import_tokenizers().Tokenizer.from_str(tokenizer.decode()).get_vocab()
    marked = any(token.startswith(("\u2581", "\u0120")) for token in vocabulary)
    words = []
    for token in sorted(vocabulary, key=vocabulary.__getitem__):
        word = token.lstrip("\u2581\u0120")
        if word.isalpha() and (not marked or token != word):
            words.append(word)
    return words
