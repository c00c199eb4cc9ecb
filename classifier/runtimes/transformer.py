"""Transformers: a `tokenizer.json` of Hugging Face, and a network that ONNX Runtime runs."""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType, ModuleType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from classifier.errors import ArtifactError
from classifier.runtimes.network import (
    MAX_NETWORK_BYTES,
    NETWORK,
    Network,
    NetworkRuntime,
    check_shape,
    groups_of_similar_lengths,
)
from classifier.runtimes.processors import processors
from classifier.runtimes.runtime import RuntimeSettings, Scored
from classifier.text import TextSettings, cleaning

TOKENIZER = "tokenizer.json"

MAX_TOKENIZER_BYTES = 64 * 2**20
"""Four times the largest common tokenizer, that of XLM-R with 250,000 pieces."""

MAX_RUN_TOKENS: Mapping[str, int] = MappingProxyType({"cpu": 2048, "cuda": 16_384})
"""Most tokens, padding included, that run together on each device. More need memory, but do not make a text
faster."""

INT8_GOLDEN_TOLERANCE = 0.1
"""How far a probability of a network in int8 may be from its golden case. Now and then a processor rounds a
number up that another rounds down, and later layers amplify this: decision 20 has figures."""

BYTES_PER_TOKEN = 4
"""About how many bytes of UTF-8 a token has. `cost` estimates the tokens of a text, because to count them
would take too long on the event loop: 10 ms for 10,000 Chinese characters."""

INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids", "position_ids"})
"""The inputs that a network can have."""

TYPES = MappingProxyType({"tensor(int32)": np.int32, "tensor(int64)": np.int64})

_SURROGATE = re.compile("[\ud800-\udfff]")


class TransformerSettings(RuntimeSettings):
    """What a transformer needs to know besides its tokenizer and its network."""

    kind: Literal["transformer"] = "transformer"
    pad_id: int = Field(ge=0)
    """The id that shorter texts of a batch are padded with, on the right; the network does not read it."""
    unknown_id: int | None = Field(ge=0)
    """The id of what the tokenizer does not know; None if it knows everything, as it does if its tokens are
    bytes."""
    runs_alone: bool = False
    """Whether each text runs by itself. Networks in int8 need it: they scale numbers by the largest of the
    whole batch, so a text's answer would depend on the other texts."""


def import_tokenizers() -> ModuleType:
    """Import `tokenizers` without its threads, which would take the processors of other clients.

    Raises ModuleNotFoundError.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import tokenizers

    return tokenizers  # type: ignore[no-any-return]


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Raise ArtifactError where tokenizers panics, as it does if a regular expression takes too many steps.

    A panic of Rust is not an Exception, so nothing else would catch it. Its class cannot be imported.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ArtifactError(f"{TOKENIZER} cannot split a text: {error}") from error


@dataclass(frozen=True, slots=True)
class Tokens:
    """A batch of n texts as the tokens of a transformer."""

    encodings: Sequence[Any]
    """The `tokenizers.Encoding` of each text."""
    lengths: NDArray[np.int64]
    """How many tokens each text (n) has, special tokens included."""
    known: NDArray[np.int64]
    """How many tokens of each text (n) were read and are known, without special tokens."""
    unknown: NDArray[np.int64]
    """How many tokens of each text (n) were read and are not known."""
    cut: NDArray[np.bool_]
    """Which texts (n) had more tokens than the network reads."""


class WordPieces:
    """Splits texts into the tokens of a `tokenizer.json`, special tokens included, and cuts long texts.

    The file may ask for padding and for a length at which texts are cut. Both are ignored.
    """

    def __init__(self, content: bytes, text: TextSettings, unknown_id: int | None, lock_file: str) -> None:
        """Read the content of a `tokenizer.json`; raises ArtifactError."""
        try:
            tokenizers = import_tokenizers()
        except ModuleNotFoundError as error:
            raise ArtifactError(
                f"a transformer needs the package tokenizers, which is not installed; {lock_file} has it"
            ) from error
        try:
            with panics_as_errors():
                self._tokenizer = tokenizers.Tokenizer.from_buffer(content)
        except Exception as error:  # tokenizers raises Exception itself
            raise ArtifactError(f"{TOKENIZER} cannot be read by tokenizers: {error}") from error
        self.special_tokens: int = self._tokenizer.num_special_tokens_to_add(False)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(
            text.max_tokens + self.special_tokens, direction="right" if text.keep == "first" else "left"
        )
        self._unknown_id = unknown_id
        self._clean = cleaning(text)

    def encode(self, texts: Sequence[str]) -> Tokens:
        """Tokenize n texts; a text may have no tokens."""
        cleaned = [_SURROGATE.sub("\ufffd", self._clean(text)) for text in texts]
        with panics_as_errors():
            encodings = self._tokenizer.encode_batch_fast(cleaned)
        lengths = np.fromiter(map(len, encodings), np.int64, len(encodings))
        if self._unknown_id is None:
            unknown = np.zeros_like(lengths)
        else:
            counts = (each.ids.count(self._unknown_id) for each in encodings)
            unknown = np.fromiter(counts, np.int64, len(encodings))
        cut = np.fromiter((bool(each.overflowing) for each in encodings), bool, len(encodings))
        return Tokens(encodings, lengths, lengths - self.special_tokens - unknown, unknown, cut)

    def places(self, text: str) -> NDArray[np.int64]:
        """Return the places of the words that are read, shape (n, 2).

        A word is what the tokenizer splits into pieces. Places count characters of the text before cleaning.
        """
        cleaned, origins = self._clean.with_origins(text)
        with panics_as_errors():
            encoding = self._tokenizer.encode(_SURROGATE.sub("\ufffd", cleaned))
        pieces = [
            (word, span)
            for word, span, is_special in zip(
                encoding.word_ids, encoding.offsets, encoding.special_tokens_mask, strict=True
            )
            if not is_special and span[0] < span[1]
        ]
        words = [[span for _, span in group] for _, group in groupby(pieces, key=lambda piece: piece[0])]
        spans = [(min(start for start, _ in word), max(end for _, end in word)) for word in words]
        return origins.places(np.array(spans, np.int64).reshape(-1, 2))


class TransformerRuntime(NetworkRuntime[Tokens]):
    """Runs a transformer. It reads the tokens of its own tokenizer, not those of `classifier.text`."""

    settings_type = TransformerSettings
    max_bytes = MappingProxyType({NETWORK: MAX_NETWORK_BYTES, TOKENIZER: MAX_TOKENIZER_BYTES})
    lock_file = "requirements/transformer.txt"
    gpu_lock_file = "requirements/transformer-gpu.txt"

    @classmethod
    def check(cls, settings: TransformerSettings, labels: Sequence[str], text: TextSettings) -> None:
        """Check that no setting is about tokens, which the tokenizer decides about; see `Runtime`."""
        tokens = {"units", "token_pattern", "negation", "stopwords", "unknown"}
        default = TextSettings(max_tokens=text.max_tokens)
        changed = sorted(name for name in tokens if getattr(text, name) != getattr(default, name))
        if changed:
            raise ValueError(
                f"text.{changed[0]} is {getattr(text, changed[0])!r}; a transformer has a tokenizer of its "
                f"own, so it must be {getattr(default, changed[0])!r}"
            )

    @classmethod
    def load(
        cls,
        settings: TransformerSettings,
        weights: Mapping[str, bytes],
        vocabulary: Sequence[str | None],
        text: TextSettings,
        classes: int,
        threads: int = 0,
    ) -> Self:
        """Make a runtime from the parts of an artifact, by default with a thread for each processor."""
        if vocabulary:
            raise ArtifactError(
                f"vocabulary.json has {len(vocabulary)} tokens; those of a transformer are in {TOKENIZER}"
            )
        pieces = WordPieces(weights[TOKENIZER], text, settings.unknown_id, cls.lock_file)
        # CUDA has hardly any operators for int8, so such a network would be as slow there as on the CPU, and
        # some of its numbers would be rounded in another way.
        network = Network(
            weights[NETWORK], cls.lock_file, threads or processors(), for_gpu=not settings.runs_alone
        )
        return cls(network, settings, pieces, text, classes)

    def __init__(
        self,
        network: Network,
        settings: TransformerSettings,
        pieces: WordPieces,
        text: TextSettings,
        classes: int,
    ) -> None:
        """Raises ArtifactError for inputs or outputs that transformers do not have."""
        names = [name for name, _ in network.inputs]
        types = {type_ for _, type_ in network.inputs}
        if "input_ids" not in names or not INPUTS.issuperset(names) or not TYPES.keys() >= types:
            raise ArtifactError(
                f"{NETWORK} has the inputs {network.inputs}; a transformer has input_ids and perhaps "
                f"{', '.join(sorted(INPUTS - {'input_ids'}))}, all int32 or int64"
            )
        if len(network.outputs) > 1 and "logits" not in network.outputs:
            raise ArtifactError(
                f"{NETWORK} has the outputs {', '.join(network.outputs)}; it must have one output, or one "
                "that is called logits"
            )
        self.device = network.device
        if settings.runs_alone:
            self.golden_tolerance = INT8_GOLDEN_TOLERANCE
        self._network = network
        self._output = "logits" if "logits" in network.outputs else network.outputs[0]
        self._settings = settings
        self._pieces = pieces
        self._text = text
        self._classes = classes

    def cost(self, text: str) -> int:
        """Estimate how many tokens of a text are read; see `Runtime`."""
        size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
        return min(math.ceil(size / BYTES_PER_TOKEN), self._text.max_tokens) + self._pieces.special_tokens + 1

    def encode(self, texts: Sequence[str]) -> Tokens:
        """Tokenize n texts; see `Runtime`."""
        return self._pieces.encode(texts)

    def score(self, batch: Tokens) -> Scored:
        """Score n texts; see `Runtime`."""
        scores = np.empty((len(batch.lengths), self._classes))
        for rows in self._groups(batch.lengths):
            output = self._network.run(self._output, self._inputs(batch, rows))
            check_shape(output, (len(rows), self._classes))
            scores[rows] = output
        return Scored(scores, np.zeros(len(scores), bool))

    def _groups(self, lengths: NDArray[np.int64]) -> Iterator[NDArray[np.intp]]:
        """Yield the rows that run together."""
        for rows in groups_of_similar_lengths(lengths):
            most = max(MAX_RUN_TOKENS[self.device] // max(int(lengths[rows[-1]]), 1), 1)
            count = len(rows) if self._settings.runs_alone else math.ceil(len(rows) / most)
            yield from np.array_split(rows, count)

    def _inputs(self, batch: Tokens, rows: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
        """Return the inputs that the network has, each of shape (rows, tokens of the longest text).

        A text without tokens is read as one token of padding.
        """
        lengths = np.maximum(batch.lengths[rows], 1)
        width = int(lengths.max())
        columns = np.arange(width)
        inputs: dict[str, NDArray[Any]] = {}
        for name, type_ in self._network.inputs:
            if name == "input_ids":
                values = self._padded(
                    [batch.encodings[row].ids for row in rows], width, self._settings.pad_id
                )
            elif name == "token_type_ids":
                values = self._padded([batch.encodings[row].type_ids for row in rows], width, 0)
            elif name == "attention_mask":
                values = columns < lengths[:, None]
            else:
                values = np.broadcast_to(columns, (len(rows), width))
            inputs[name] = values.astype(TYPES[type_])
        return inputs

    @staticmethod
    def _padded(rows: Sequence[Sequence[int]], width: int, padding: int) -> NDArray[Any]:
        """Return the numbers of each row, with padding up to the same width."""
        padded = np.full((len(rows), width), padding)
        for line, row in enumerate(rows):
            padded[line, : len(row)] = row
        return padded

    def places(self, text: str) -> NDArray[np.int64]:
        """Return the places of the words, each of which can be several tokens; see `Runtime`."""
        return self._pieces.places(text)

    def describe(self) -> str:
        """Say how large the network is; see `Runtime`."""
        return f"the transformer that reads them has {self._network.megabytes:.1f} MB"


def unknown_id_of(content: bytes) -> int | None:
    """Return the id that a `tokenizer.json` gives what it does not know; None if there is none.

    Raises ValueError for a file that is not JSON.
    """
    model = json.loads(content)["model"]
    if isinstance(model.get("unk_id"), int):  # Unigram
        return int(model["unk_id"])
    unknown = model.get("unk_token")
    found = model.get("vocab", {}).get(unknown) if unknown else None
    return None if found is None else int(found)
