"""Loads the tokenizer of a checkpoint as the library `tokenizers` will run it."""

from collections.abc import Iterable
from pathlib import Path

import sentencepiece
import transformers
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import SLOW_TO_FAST_CONVERTERS

from exporter.errors import RefusedCheckpoint
from exporter.folder import TOKENIZER, Checkpoint
from exporter.network import first_line

PLAIN_PROBES = (
    "a plain sentence with some words, and a number: 1999.",
    "  two  spaces inside and around  ",
    "tabs\tand\nlines\r\nend here",
    "ａｂｃ １２３ ½ ² ① ﬁ",
    "zero\u200bwidth and\u00a0no break\u3000wide",
    "日本語のテキスト。and more text",
    "faces 😀 👩‍👩‍👧 and $ % & * signs",
    "!!! ??? ... ---",
    "xylophonequartzjigsaw" * 5,
    "",
    "   ",
)
"""Texts that all tokenizers pass on to sentencepiece unchanged: no capitals, accents or quotation marks."""

PROBES = (
    *PLAIN_PROBES,
    "Capitals And ALL CAPS",
    "café naïve cafe\u0301 Straße İstanbul",
    "“quotes”, 'quotes' and ``quotes''",
    "control\x07character, next\x85line, soft\u00adhyphen",
    "Ελληνικά русский العربية हिन्दी ไทย 한국어",
    "I don't; you're it's (we'll) e-mail a_b user@example.org https://example.org/a?b=c",
)


def load_tokenizer(checkpoint: Checkpoint) -> tuple[PreTrainedTokenizerFast, tuple[str, ...]]:
    """Return the tokenizer, and notes for the user. Raises RefusedCheckpoint.

    A tokenizer.json is used as it is. transformers 5 makes most tokenizers again from their vocabulary and
    leaves out other parts of the file, such as the normalizer of a DeBERTa, which transformers 4 had trained
    models with.
    """
    own = _load_own(checkpoint)
    if not checkpoint.has_tokenizer_file:
        return _converted(checkpoint, own)
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(
            checkpoint.folder,
            local_files_only=True,
            trust_remote_code=False,
            model_input_names=own.model_input_names,
        )
    except Exception as error:  # the library has no class of its own for a broken file
        raise RefusedCheckpoint(
            f"{checkpoint.file(TOKENIZER)} cannot be read: {first_line(error)}"
        ) from error
    different = [
        text
        for text in PROBES
        if _ids(own.backend_tokenizer, text) != _ids(tokenizer.backend_tokenizer, text)
    ]
    if not different:
        return tokenizer, ()
    return tokenizer, (
        f"{TOKENIZER} was used as it is. transformers {transformers.__version__} reads {len(different)} of "
        f"{len(PROBES)} test texts differently, such as {different[0]!r}, because its {type(own).__name__} "
        "replaces parts of the file with its own.",
    )


def _load_own(checkpoint: Checkpoint) -> PreTrainedTokenizerFast:
    """Return the tokenizer that transformers makes of the files."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            checkpoint.folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # transformers raises what the conversion raises
        raise RefusedCheckpoint(
            f"transformers cannot load the tokenizer of {checkpoint.folder}: {first_line(error)}; "
            f"{_way_out(checkpoint)}"
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise RefusedCheckpoint(
            f"transformers reads texts for {checkpoint.folder} with its {type(tokenizer).__name__}, which is "
            f"written in Python; only tokenizers that a {TOKENIZER} can describe can be imported"
        )
    return tokenizer


def _converted(
    checkpoint: Checkpoint, own: PreTrainedTokenizerFast
) -> tuple[PreTrainedTokenizerFast, tuple[str, ...]]:
    """Return a tokenizer that transformers made of a vocabulary or of a file of sentencepiece."""
    missing = [name for name in _vocabulary_files(own) if not (checkpoint.folder / name).is_file()]
    if missing:
        raise RefusedCheckpoint(
            f"{checkpoint.folder} has no {TOKENIZER}, and no {' and '.join(missing)} to make it of; "
            f"{_way_out(checkpoint)}"
        )
    file = Path(getattr(own, "vocab_file", None) or "")
    if file.suffix != ".model":
        return own, (f"{TOKENIZER} was made by transformers {transformers.__version__} from the vocabulary.",)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(file))
    for tokenizer in _conversions(own):
        if all(_reads_alike(tokenizer, pieces, text) for text in PLAIN_PROBES):
            return tokenizer, (
                f"{TOKENIZER} was made by transformers {transformers.__version__} from {file.name}; it reads "
                f"{len(PLAIN_PROBES)} test texts as sentencepiece does.",
            )
    raise RefusedCheckpoint(
        f"{file} was converted by transformers {transformers.__version__}, but the result reads texts "
        f"differently from sentencepiece; {_way_out(checkpoint)}"
    )


def _conversions(own: PreTrainedTokenizerFast) -> Iterable[PreTrainedTokenizerFast]:
    """Return what transformers makes of a file of sentencepiece: first as release 5 does, then as 4 did."""
    yield own
    converter = SLOW_TO_FAST_CONVERTERS.get(type(own).__name__)
    if converter is not None:
        other = PreTrainedTokenizerFast(
            tokenizer_object=converter(own).converted(),
            model_input_names=own.model_input_names,
            truncation_side=own.truncation_side,
            model_max_length=own.model_max_length,
            added_tokens_decoder=own.added_tokens_decoder,
            **own.special_tokens_map,
        )
        if other.get_vocab() == own.get_vocab():
            yield other


def _reads_alike(
    tokenizer: PreTrainedTokenizerFast, pieces: sentencepiece.SentencePieceProcessor, text: str
) -> bool:
    """Return whether both split a text into the same pieces; their ids may differ."""
    encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    unknown = tokenizer.unk_token_id
    found = [
        None if id_ == unknown else token for id_, token in zip(encoding.ids, encoding.tokens, strict=True)
    ]
    return found == [
        None if pieces.IsUnknown(id_) else pieces.IdToPiece(id_) for id_ in pieces.EncodeAsIds(text)
    ]


def _vocabulary_files(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Return the names of the files that a tokenizer of this class is made of."""
    return [name for part, name in tokenizer.vocab_files_names.items() if part != "tokenizer_file"]


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text).ids)


def _way_out(checkpoint: Checkpoint) -> str:
    return (
        f"save {TOKENIZER} with the version of transformers that trained the model: "
        f"`AutoTokenizer.from_pretrained({str(checkpoint.folder)!r}).save_pretrained({str(checkpoint.folder)!r})`"
    )
