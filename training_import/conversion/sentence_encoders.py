"""Read a folder of Hugging Face with a sentence encoder in ONNX."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ArtifactError
from classifier.runtimes.network import Network
from classifier.runtimes.processors import processors
from classifier.runtimes.transformer import (
    INPUTS,
    MAX_TOKENIZER_BYTES,
    TOKENIZER,
    TransformerRuntime,
    TransformerSettings,
    WordPieces,
)
from classifier.text import TextSettings
from classifier.validation import listed, shortened
from training_import.conversion.converted import UnsupportedModel
from training_import.conversion.from_transformers import (
    CHECKPOINTS,
    CONFIG,
    NETWORKS,
    TOKENIZER_CONFIG,
    TransformerFolder,
    check_ids,
    check_speed,
    find_pad_id,
    first_existing,
    how_to_make,
    inputs_of_one_text,
    read_bytes,
    read_checked_network,
    read_json,
    read_unknown_id,
    token_limit,
    tokens_of_a_text,
    vocabulary_words,
)
from training_import.conversion.network_sizes import optimized, quantized, scales_by_batch
from training_import.sentence_encoder import LOGITS, SentenceEncoder, embedding_network

TOKEN_OUTPUTS = ("last_hidden_state", "token_embeddings")
"""What exporters call the vectors of the tokens; the second name is that of sentence-transformers."""

TEXT_OUTPUT = "sentence_embedding"
"""What sentence-transformers calls the vector of a text, which it pools as its authors decided."""

DEFAULT_MAX_TOKENS = 256
"""How many tokens are read unless the user says it. Most sentence encoders were trained on 128 or 256 tokens,
and the time of a text grows with its tokens."""

_SHOWN_OUTPUTS = 5


@dataclass(frozen=True)
class _Output:
    """The output of a network that embeddings are made from."""

    name: str
    is_pooled: bool
    """Whether it has one vector for each text, not one for each token."""
    dimensions: int


def read_encoder(
    source: Path, max_tokens: int | None = None, quantize: Literal["int8"] | None = None
) -> SentenceEncoder:
    """Read a folder; raises UnsupportedModel, which names the file and what is wrong with it.

    `max_tokens` is how many tokens of a text are read, special tokens included; at most
    `DEFAULT_MAX_TOKENS` if it is None. `quantize` is the type that the weights are stored in.
    """
    import onnx

    folder = _read_folder(source)
    tokenizer = read_bytes(folder.tokenizer, MAX_TOKENIZER_BYTES)
    unknown, padding = read_unknown_id(folder.tokenizer, tokenizer), find_pad_id(folder, tokenizer)
    limit = _limit(folder, max_tokens, padding)
    text = TextSettings(max_tokens=tokens_of_a_text(folder.tokenizer, tokenizer, limit))
    pieces = WordPieces(tokenizer, text, unknown, TransformerRuntime.lock_file)
    check_speed(folder.tokenizer, tokenizer)
    content = read_checked_network(folder.network)
    output = _output(folder.network, content, pieces, limit, tokenizer, padding)
    model = onnx.load_model_from_string(content)
    network = embedding_network(model, output.name, output.is_pooled)
    if quantize is not None:
        network = quantized(network)
    return SentenceEncoder(
        name=source.resolve().name,
        sha256=hashlib.sha256(content + tokenizer).hexdigest(),
        network=optimized(network),
        tokenizer=tokenizer,
        settings=TransformerSettings(pad_id=padding, unknown_id=unknown, runs_alone=scales_by_batch(network)),
        dimensions=output.dimensions,
        max_tokens=text.max_tokens,
        words=vocabulary_words(tokenizer),
        notes=(_how_pooled(output), *_about_limit(limit, max_tokens), *_about_type(quantize)),
    )


def _read_folder(source: Path) -> TransformerFolder:
    """Find the files of a folder; raises UnsupportedModel, which says what is missing and how to make it."""
    if not source.is_dir():
        raise UnsupportedModel(
            f"{source} is not a folder; an encoder is a folder with {NETWORKS[0]} and {TOKENIZER}"
        )
    network = first_existing(source, NETWORKS)
    if network is None:
        found = first_existing(source, CHECKPOINTS)
        if found is not None:
            raise UnsupportedModel(
                f"{source} is a checkpoint of PyTorch ({found.name}) without a network in ONNX; export it "
                f"with `optimum-cli export onnx --task feature-extraction --model {source} OUTPUT` (pip "
                "install optimum-onnx), and give OUTPUT"
            )
        raise UnsupportedModel(f"{source} has no {' or '.join(NETWORKS)}, the network of the encoder")
    if not (source / TOKENIZER).exists():
        raise UnsupportedModel(f"{source} has no {TOKENIZER}{how_to_make(TOKENIZER)}")
    config, tokenizer_config = (
        read_json(source / name) if (source / name).exists() else {} for name in (CONFIG, TOKENIZER_CONFIG)
    )
    return TransformerFolder(network, source / TOKENIZER, config, tokenizer_config)


def _limit(folder: TransformerFolder, max_tokens: int | None, padding: int) -> int:
    """Return how many tokens are read, special tokens included."""
    limit, _ = token_limit(folder, max_tokens, padding)
    return limit if max_tokens is not None else min(limit, DEFAULT_MAX_TOKENS)


def _about_limit(limit: int, max_tokens: int | None) -> Sequence[str]:
    if max_tokens is not None:
        return ()
    return (
        f"It reads {limit} tokens of a text, special ones included; --max-tokens sets another number, and a "
        "text takes longer the more tokens are read.",
    )


def _about_type(quantize: str | None) -> Sequence[str]:
    if quantize is None:
        return ()
    return (f"The encoder's weights are stored in {quantize}; the head is trained on what it gives then.",)


def _how_pooled(output: _Output) -> str:
    if output.is_pooled:
        return f"The vector of a text is the output {output.name} of the encoder, scaled to unit length."
    return (
        f"The vector of a text is the mean of the output {output.name} over its tokens, scaled to unit "
        "length."
    )


def _output(
    path: Path, content: bytes, pieces: WordPieces, limit: int, tokenizer: bytes, padding: int
) -> _Output:
    """Find the output with the vectors, and run a text that is as long as the encoder reads.

    Raises UnsupportedModel if the network is not an encoder, or cannot run such a text.
    """
    try:
        network = Network(content, TransformerRuntime.lock_file, threads=processors())
    except ArtifactError as error:
        raise UnsupportedModel(f"{path}: {error}") from error
    names = [name for name, _ in network.inputs]
    unknown = [name for name in names if name not in INPUTS]
    if unknown or "input_ids" not in names:
        raise UnsupportedModel(
            f"{path} has the inputs {listed(names, _SHOWN_OUTPUTS)}; a sentence encoder has input_ids and "
            f"perhaps {', '.join(sorted(INPUTS - {'input_ids'}))}"
        )
    name = _vectors_of(path, network.outputs)
    (encoding,) = pieces.encode(["a " * (limit + 1)]).encodings

    def run(ids: Sequence[int], type_ids: Sequence[int]) -> NDArray[np.float64]:
        return network.run(name, inputs_of_one_text(network.inputs, ids, type_ids))

    try:
        found = run(encoding.ids, encoding.type_ids)
    except Exception as error:  # onnxruntime has a class for each kind of fault
        raise UnsupportedModel(
            f"{path} cannot run a text of {limit} tokens: {shortened(str(error), 300)}. If the encoder reads "
            "fewer, say how many with --max-tokens"
        ) from error
    is_pooled = found.ndim == 2 and found.shape[0] == 1
    if not is_pooled and (found.ndim != 3 or found.shape[:2] != (1, len(encoding.ids))):
        raise UnsupportedModel(
            f"{path}: for a text of {len(encoding.ids)} tokens the output {name!r} has the shape "
            f"{found.shape}; it must be (texts, tokens, dimensions) or (texts, dimensions)"
        )
    if not np.isfinite(found).all():
        raise UnsupportedModel(f"{path}: the output {name!r} has a value that is not finite")
    if not is_pooled and "attention_mask" not in names:
        raise UnsupportedModel(
            f"{path} has no input attention_mask, which says over which tokens the mean is taken"
        )
    check_ids(path, lambda ids: run(ids, [0] * len(ids)), tokenizer, padding, limit)
    return _Output(name, is_pooled, found.shape[-1])


def _vectors_of(path: Path, outputs: Sequence[str]) -> str:
    """Return the name of the output that embeddings are made from."""
    found = next((name for name in (TEXT_OUTPUT, *TOKEN_OUTPUTS) if name in outputs), None)
    if found is not None:
        return found
    if LOGITS in outputs:
        raise UnsupportedModel(
            f"{path} has the output {LOGITS}, so it is not a sentence encoder; `text-classifier import` "
            "takes finished classifiers"
        )
    if len(outputs) > 1:
        raise UnsupportedModel(
            f"{path} has the outputs {listed(outputs, _SHOWN_OUTPUTS)}; a sentence encoder has one output, "
            f"or one that is called {', '.join((*TOKEN_OUTPUTS, TEXT_OUTPUT))}"
        )
    return outputs[0]
