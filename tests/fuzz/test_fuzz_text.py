# ruff: noqa: E501 - tables of inputs are easier to read with several entries per line
"""`classifier.text` encodes every text with every accepted token pattern, in a time linear in the text's length."""

import time
from dataclasses import dataclass
from random import Random

import numpy as np
import pytest
from fuzzing import Fuzz
from pydantic import ValidationError

from classifier.text import TextSettings, Tokenizer, clean

MAX_CHARACTERS = 10_000
CHARACTER_SECONDS = 20e-6
"""CPU time per character: twenty times what the slowest text needs, and far less than quadratic time would need."""
SPARE_SECONDS = 0.1
"""CPU time allowed for occasional work of Python, such as garbage collection."""

ALPHABETS = [
    "ab ", "aA1_ ", "<>a/! ", "<", "<a", "<!-- ", "@", "a@", "@ ", "www.", "http://", "h.:/w", "'", "-", "a-", "\n\t\r\x0b\x1c\x1f",
    "\u0300", "\u0301\u0323", "e\u0301", "\u0f71\u0f72\u0f74", "\u3099\u309a", "\U0001e944", "\u200d\ufe0f", "\ud800", "\udfff\ud800", "\x00\x01",
    "\ufdfa", "\u1e9b\u0323", "\u0130", "\u0130\u0307", "\u1100\u1161\u11a8", "\uac00", "\u0e33", "\u4e2d\u6587", "\u05d0\u05d1", "\u0663", "\u00b2\u00bd\u2160", "\u2028\u00a0",
    "\U0001f469\u200d\U0001f52c", "\u202e", "\ufeff", "\xad", "\u1d2c", "\U00010400", "\U0010ffff", "\ufb01", "\u01c5", "\xdf",
]  # fmt: skip
PATTERNS = [
    r"\w+", r"(?u)\b\w\w+\b", r"\S+", r"[^\s]+", r"[a-z]+", r"[^a]+", r"[^\W\d_]+", r"\w+(?:-\w+)*", r"\w+|[^\w\s]", r".", r"(?s).", r"[\s\S]",
    r"\b[a-z]+\b", r"[]a]+", r"[\x00-\x1f]+", r"\W+", r"(?i)[a-zİ]+", r"(?<!\w)[a-z]+", r"#?\w+", r"\B", r"\b", r"", r"a*", r"\w{1,3}", r"[\ud800-\udfff]",
]  # fmt: skip
PIECES = [
    "a", r"\w", r"\W", r"\s", r"\b", r"\B", ".", "[a-z]", "[^a]", "[]]", "(?:", "(?=", "(?!", "(?<=", "(?>", ")", "|", "+", "*", "?", "{2}", "{2,}", "{,3}", "{1,300}",
    "++", "*?", "^", "$", "(?i)", r"\1", "(", "[", r"\Z", "(?P<a>", "(?(1)", r"\d", "-", "'", "\u0130", "\ud800", "(?#", r"\N{DASH}", "(?x)", " ",
]  # fmt: skip
VOCABULARY = ["a", "b", "ab", None, "aa", "e\u0301", "\xe9", "1", "", "\ud800", "\u4e2d"]


@dataclass(frozen=True)
class Batch:
    """A text that is encoded between two other texts."""

    content: str
    changes: dict[str, object]


@dataclass(frozen=True)
class Pattern:
    """A token pattern, and a text to try it on."""

    content: str
    text: str


def drawn_text(random: Random) -> str:
    alphabets = random.sample(ALPHABETS, random.randint(1, 3))
    match random.randrange(4):
        case 0:
            return "".join(map(chr, random.choices(range(0x110000), k=random.randrange(60))))
        case 1:
            return (random.choice(alphabets) * MAX_CHARACTERS)[: random.randrange(MAX_CHARACTERS)]
        case _:
            return "".join(random.choices("".join(alphabets), k=random.choice([3, 30, 300, MAX_CHARACTERS])))


def drawn_batch(random: Random) -> Batch:
    changes = {
        "normalize": random.choice(["NFC", None]),
        "strip_html": bool(random.randrange(2)),
        "lowercase": bool(random.randrange(2)),
        "strip_accents": random.choice(["ascii", "unicode", None]),
        "remove_special_chars": bool(random.randrange(2)),
        "token_pattern": random.choice(PATTERNS),
        "stopwords": tuple(filter(None, random.sample(VOCABULARY, random.randrange(4)))),
        "unknown": random.choice(["keep", "drop"]),
        "max_tokens": random.choice([1, 2, 5, 2000]),
        "keep": random.choice(["first", "last"]),
    }
    return Batch(drawn_text(random), changes)


def drawn_pattern(random: Random) -> Pattern:
    return Pattern("".join(random.choices(PIECES, k=random.randint(1, 7))), drawn_text(random))


def cpu_seconds(call: object) -> float:
    assert callable(call)
    begin = time.process_time()
    call()
    return time.process_time() - begin


def check_time(tokenizer: Tokenizer, text: str) -> None:
    """Check the lowest of three times, because another process may have evicted the caches."""
    limit = SPARE_SECONDS + CHARACTER_SECONDS * len(text)
    if (seconds := cpu_seconds(lambda: tokenizer.encode([text]))) > limit:
        seconds = min(seconds, *(cpu_seconds(lambda: tokenizer.encode([text])) for _ in range(2)))
    assert seconds <= limit, (
        f"{len(text)} characters took {seconds:.3f} s; at limit {limit:.3f} s are allowed"
    )


def test_every_text_is_encoded_in_linear_time_and_independently_of_other_texts(fuzz: Fuzz) -> None:
    def check(batch: Batch) -> None:
        settings = TextSettings.model_validate(batch.changes)
        tokenizer = Tokenizer(settings, VOCABULARY)
        check_time(tokenizer, batch.content)
        assert isinstance(clean(batch.content, settings), str)
        single = tokenizer.encode([batch.content])
        texts = ["a b", batch.content, "b aa"]
        encoded = tokenizer.encode(texts)
        assert len(encoded.ends) == len(encoded.unknown) == len(encoded.cut) == len(texts)
        assert encoded.ids.min() >= 0
        assert encoded.ids.max() < tokenizer.id_count
        np.testing.assert_array_equal(np.flatnonzero(encoded.ids == tokenizer.separator_id), encoded.ends)
        begin, end = encoded.ends[0] + 1, encoded.ends[1]
        np.testing.assert_array_equal(encoded.ids[begin : end + 1], single.ids)
        assert (encoded.unknown[1], encoded.cut[1]) == (single.unknown[0], single.cut[0])
        assert end - begin <= settings.max_tokens
        tokens = tokenizer.tokens(batch.content)
        assert not set(tokens) & set(settings.stopwords)
        if settings.unknown == "keep":
            assert end - begin == min(len(tokens), settings.max_tokens)
            assert encoded.cut[1] == (len(tokens) > settings.max_tokens)

    fuzz(drawn_batch, check)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_every_token_pattern_is_refused_by_name_or_splits_every_text_in_linear_time(fuzz: Fuzz) -> None:
    def check(pattern: Pattern) -> None:
        try:
            settings = TextSettings(token_pattern=pattern.content, max_tokens=MAX_CHARACTERS)
        except ValidationError as error:
            if "token_pattern" not in str(error):
                raise
            return
        check_time(Tokenizer(settings), pattern.text)

    fuzz(drawn_pattern, check)
