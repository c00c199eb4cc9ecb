"""Makes small random checkpoints of the common architectures, and their exports for tests."""

import csv
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import onnx
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForSequenceClassification

from exporter.export import GRAPH, export
from exporter.folder import MULTI_LABEL, TOKENIZER, TOKENIZER_CONFIG
from exporter.predict import predict

DATA = Path(__file__).parents[1] / "tests" / "data"

MAX_TOKENS = 64
"""Most tokens that the samples read, with the special ones."""

SEED = 2
"""With this seed, no network gives almost all texts the same label."""

BERT_TOKENS: Mapping[str, str] = MappingProxyType(
    {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
)
ALBERT_TOKENS: Mapping[str, str] = MappingProxyType(
    {**BERT_TOKENS, "pad_token": "<pad>", "unk_token": "<unk>"}
)
ROBERTA_TOKENS: Mapping[str, str] = MappingProxyType(
    {
        "cls_token": "<s>",
        "pad_token": "<pad>",
        "sep_token": "</s>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }
)
"""The special tokens of the families of models, in the order of their ids."""

SIZES: Mapping[str, Any] = MappingProxyType(
    {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": MAX_TOKENS,
        "initializer_range": 0.6,  # large enough for probabilities that differ between texts
    }
)

FILL = "The pilot's café had 3 naïve guests, who paid $4.50 each & left at 11:59 — 「日本」 😀! "
"""A text of all kinds of characters; samples repeat it."""

TEXTS = (
    "Good.",
    "bad",
    "A",
    "...",
    "!?!?!",
    "-",
    "\u200b",
    "42",
    "This film is wonderful, and its music even more so.",
    "this film is wonderful, and its music even more so.",
    "THIS FILM IS NOT WONDERFUL!",
    "Oil prices fell on Tuesday as traders waited for a report about supplies.",
    "  spaces   before,  inside and after  ",
    "a tab\tand a line\nand another\r\nend",
    "Ünïcödé façade, naïve résumé, Škoda, Łódź",
    "cafe\u0301 and café",
    "ＦＵＬＬ width １２３ and ﬁne ligatures ½ ™",
    "😀",
    "great 👍🏽 family 👩‍👩‍👧 flag 🇫🇷",
    "日本語のレビューです。とても良い。",
    "这部电影很好看，但是太长了。",
    "한국어 문장과 English words",
    "Русский текст с English и 数字 123",
    "العربية من اليمين to left",
    "हिन्दी में एक वाक्य",
    "https://example.org/path?query=1#part and user@example.org",
    "don't can't won't it's we'll I'd",
    "[CLS] and [SEP] or <s> and </s> in a text",
    "▁underline ▁▁ and #hash ##hash",
    "x" * 120,
    "word " * 100,
    "1234567890 " * 30,
    "日" * 90,
    "😀" * 70,
    FILL,
    FILL * 4,
)
"""Texts that tokenizers read in different ways; those from the slices of real data follow."""

REAL_TEXTS = 4


@dataclass(frozen=True)
class Sample:
    """A small checkpoint; its weights are random, but always the same."""

    name: str
    config: str
    """The class of the configuration in transformers."""
    labels: tuple[str, ...]
    tokenizer: Callable[[Sequence[str]], Tokenizer]
    """Trains a tokenizer on texts."""
    tokenizer_config: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What differs from SIZES in the configuration."""
    dtype: torch.dtype = torch.float32
    max_shard_size: str = "1GB"


def write_checkpoints(output: Path) -> tuple[str, ...]:
    """Write each sample's checkpoint to a folder of its name; return the names."""
    for sample in SAMPLES:
        _write_checkpoint(sample, output / sample.name)
    return tuple(sample.name for sample in SAMPLES)


def write_samples(output: Path) -> tuple[str, ...]:
    """Write each sample's export with expected.jsonl, and the checkpoint of the first; return the names.

    Folders of these names are replaced.
    """
    texts = [*TEXTS, *_training_texts()[:REAL_TEXTS]]
    for sample in SAMPLES:
        with tempfile.TemporaryDirectory() as temporary:
            checkpoint = Path(temporary) / sample.name
            _write_checkpoint(sample, checkpoint)
            exported = output / sample.name
            shutil.rmtree(exported, ignore_errors=True)
            export(checkpoint, exported, trust_pickle=False)
            _shorten_names(exported / GRAPH)
            _write_expected(exported, texts, predict(checkpoint, texts, False, MAX_TOKENS))
    first = SAMPLES[0]
    kept = output / f"{first.name}-checkpoint"
    shutil.rmtree(kept, ignore_errors=True)
    _write_checkpoint(first, kept)
    return (*(sample.name for sample in SAMPLES), kept.name)


def _shorten_names(path: Path) -> None:
    """Give the values inside of a graph short names, because names are half of so small a graph."""
    model = onnx.load(path)
    graph = model.graph
    kept = {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    short: dict[str, str] = {"": ""}
    for node in graph.node:
        for name in node.output:
            short[name] = name if name in kept else f"v{len(short)}"
    for node in graph.node:
        node.name = ""
        node.input[:] = [short.get(name, name) for name in node.input]
        node.output[:] = [short[name] for name in node.output]
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, path)


def _write_expected(folder: Path, texts: Sequence[str], probabilities: Sequence[Sequence[float]]) -> None:
    with (folder / "expected.jsonl").open("w", encoding="utf-8") as file:
        for text, row in zip(texts, probabilities, strict=True):
            line = {"text": text, "probabilities": [round(value, 9) for value in row]}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _write_checkpoint(sample: Sample, folder: Path) -> None:
    folder.mkdir(parents=True)
    tokenizer = sample.tokenizer(_training_texts())
    tokenizer.save(str(folder / TOKENIZER))
    (folder / TOKENIZER_CONFIG).write_text(
        json.dumps({**sample.tokenizer_config, "model_max_length": MAX_TOKENS}, indent=2) + "\n"
    )
    config = getattr(transformers, sample.config)(
        **{**SIZES, **sample.settings},
        vocab_size=tokenizer.get_vocab_size(),
        id2label=dict(enumerate(sample.labels)),
        label2id={label: number for number, label in enumerate(sample.labels)},
    )
    torch.manual_seed(SEED)
    network = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():  # so that a class does not win for all texts
        for weight in network.parameters():
            if weight.ndim == 1 and not bool(weight.any()):
                weight.normal_(std=0.1)
    network.to(sample.dtype).save_pretrained(folder, max_shard_size=sample.max_shard_size)


def _training_texts() -> list[str]:
    news = (DATA / "agnews_test.jsonl").read_text(encoding="utf-8").splitlines()
    with (DATA / "imdb_test.csv").open(encoding="utf-8", newline="") as file:
        reviews = [row["text"] for row in csv.DictReader(file)]
    return [json.loads(line)["text"] for line in news] + reviews


Trained = Callable[[Sequence[str]], Tokenizer]
"""Trains a tokenizer on texts."""


def _word_pieces(lowercase: bool) -> Trained:
    def train(texts: Sequence[str]) -> Tokenizer:
        tokenizer = Tokenizer(models.WordPiece(unk_token=BERT_TOKENS["unk_token"]))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece(prefix="##")
        special = list(BERT_TOKENS.values())
        tokenizer.train_from_iterator(
            texts,
            trainers.WordPieceTrainer(
                vocab_size=300, limit_alphabet=70, special_tokens=special, show_progress=False
            ),
        )
        tokenizer.post_processor = _template(tokenizer, BERT_TOKENS)
        return tokenizer

    return train


def _padded_word_pieces(texts: Sequence[str]) -> Tokenizer:
    """Train a tokenizer whose file has a fixed length, as files of sentence-transformers have."""
    tokenizer = _word_pieces(lowercase=False)(texts)
    tokenizer.enable_truncation(max_length=16)
    tokenizer.enable_padding(length=16, pad_id=0, pad_token=BERT_TOKENS["pad_token"])
    return tokenizer


def _byte_pairs(special: Mapping[str, str], normalizer: normalizers.Normalizer | None = None) -> Trained:
    def train(texts: Sequence[str]) -> Tokenizer:
        tokenizer = Tokenizer(models.BPE())
        if normalizer is not None:
            tokenizer.normalizer = normalizer
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=list(special.values()),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        tokenizer.post_processor = _template(tokenizer, special)
        return tokenizer

    return train


def _unigrams(special: Mapping[str, str], *steps: normalizers.Normalizer) -> Trained:
    def train(texts: Sequence[str]) -> Tokenizer:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.Sequence(list(steps))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=300,
            special_tokens=list(special.values()),
            unk_token=special["unk_token"],
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        tokenizer.post_processor = _template(tokenizer, special)
        return tokenizer

    return train


def _template(tokenizer: Tokenizer, special: Mapping[str, str]) -> processors.TemplateProcessing:
    first, last = special["cls_token"], special["sep_token"]
    return processors.TemplateProcessing(
        single=f"{first}:0 $A:0 {last}:0",
        pair=f"{first}:0 $A:0 {last}:0 $B:1 {last}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (first, last)],
    )


_COMPATIBLE = (normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip())
"""In place of sentencepiece's table of characters, which is larger than all samples together."""

_LOWERED = (
    normalizers.Replace("``", '"'),
    normalizers.Replace("''", '"'),
    normalizers.NFKD(),
    normalizers.StripAccents(),
    normalizers.Lowercase(),
)

_ROBERTA = {
    "max_position_embeddings": MAX_TOKENS + 2,  # its positions begin behind that of padding
    "type_vocab_size": 1,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
}

SAMPLES = (
    Sample(
        "bert",
        "BertConfig",
        ("negative", "positive"),
        _word_pieces(lowercase=True),
        {"tokenizer_class": "BertTokenizer", "do_lower_case": True, **BERT_TOKENS},
    ),
    Sample(
        "distilbert",
        "DistilBertConfig",
        ("negative", "neutral", "positive"),
        _padded_word_pieces,
        {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": False, **BERT_TOKENS},
        {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    ),
    Sample(
        "roberta",
        "RobertaConfig",
        ("Business", "Sci/Tech", "Sports", "World"),
        _byte_pairs(ROBERTA_TOKENS),
        {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": False, **ROBERTA_TOKENS},
        _ROBERTA,
    ),
    Sample(
        "deberta-v2",
        "DebertaV2Config",
        ("negative", "neutral", "positive"),
        _unigrams(BERT_TOKENS, *_COMPATIBLE),
        {"tokenizer_class": "DebertaV2Tokenizer", "do_lower_case": False, **BERT_TOKENS},
        {
            "relative_attention": True,
            "position_buckets": 8,
            "pos_att_type": ["p2c", "c2p"],
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
    ),
    Sample(
        "electra",
        "ElectraConfig",
        ("no", "yes"),
        _word_pieces(lowercase=True),
        {"tokenizer_class": "ElectraTokenizer", "do_lower_case": True, **BERT_TOKENS},
        {"embedding_size": 8},
        dtype=torch.float16,
    ),
    Sample(
        "albert",
        "AlbertConfig",
        ("Business", "Sci/Tech", "Sports", "World"),
        _unigrams(ALBERT_TOKENS, *_LOWERED),
        {"tokenizer_class": "AlbertTokenizer", "do_lower_case": True, **ALBERT_TOKENS},
        {"embedding_size": 8},
    ),
    Sample(
        "xlm-roberta",
        "XLMRobertaConfig",
        ("negativo", "neutro", "positivo"),
        _unigrams(ROBERTA_TOKENS, *_COMPATIBLE),
        {"tokenizer_class": "XLMRobertaTokenizer", **ROBERTA_TOKENS},
        _ROBERTA,
        max_shard_size="15KB",
    ),
    Sample(
        "modernbert",
        "ModernBertConfig",
        ("ham", "spam"),
        _byte_pairs(BERT_TOKENS, normalizers.NFC()),
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_input_names": ["input_ids", "attention_mask"],
            **BERT_TOKENS,
        },
        {
            "local_attention": 8,
            "global_attn_every_n_layers": 2,
            "pad_token_id": 0,
            "bos_token_id": 2,
            "cls_token_id": 2,
            "eos_token_id": 3,
            "sep_token_id": 3,
        },
    ),
    Sample(
        "several-labels",
        "BertConfig",
        ("business", "science", "sports"),
        _word_pieces(lowercase=True),
        {"tokenizer_class": "BertTokenizer", "do_lower_case": True, **BERT_TOKENS},
        {"problem_type": MULTI_LABEL},
    ),
)
"""ELECTRA has float16 weights, those of XLM-R are in three files, and DistilBERT's tokenizer file pads."""
