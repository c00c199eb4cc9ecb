"""Generate texts from a vocabulary, for golden cases and for comparing two implementations of a model."""

import random
from collections.abc import Sequence

from classifier.artifact import Artifact, GoldenCase
from classifier.pipeline import Classifier
from datafiles.surrogates import replace_surrogates

GOLDEN_CASES = 32

EDGE_CASES = (
    "A simple sentence.",
    "NOT good, but not bad either: it's 10/10 for effort!!!",
    "<br /><br />Tags <b>inside</b> a text, and a < b > c.",
    "Visit https://example.com/a?b=c or write to someone@example.com now",
    "caf\u00e9 na\u00efve \u00fcber stra\u00dfe \u0130stanbul",
    "cafe\u0301 with a combining accent",
    "\u4f60\u597d\uff0c\u4e16\u754c",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",
    "\U0001f600 \U0001f44d\U0001f3fd emoji \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "tabs\tand\nnew lines\r\nand\u00a0hard spaces",
    "snake_case CamelCase l33t 3.14 1,000 -5 a b c d",
    "don\u2019t won't o'clock rock'n'roll",
    "...",
)
"""Texts that cleaning and tokenization could get wrong."""

ANY_WORDS = tuple(" ".join(EDGE_CASES).split())
"""Words for a model without a vocabulary."""


def generated_texts(
    vocabulary: Sequence[str | None], count: int, seed: int, max_words: int = 60
) -> list[str]:
    """Generate `count` texts: the edge cases, then random words of the vocabulary.

    Some texts have an unknown word, and some are in capitals. None is from the training data, so the texts
    may be published with the artifact.
    """
    generator = random.Random(seed)  # noqa: S311
    words = [word for word in vocabulary if word] or ANY_WORDS
    texts = list(EDGE_CASES[:count])
    while len(texts) < count:
        chosen = [
            # Frequent words, which most n-grams consist of, have low ids.
            words[min(int(len(words) * generator.random() ** 3), len(words) - 1)]
            for _ in range(generator.randint(1, max_words))
        ]
        if generator.random() < 0.2:
            chosen.insert(generator.randrange(len(chosen)), "xyzzyq")
        text = " ".join(chosen)
        texts.append(text.upper() if generator.random() < 0.1 else text)
    return texts


def golden_cases(artifact: Artifact, words: Sequence[str | None], seed: int) -> tuple[GoldenCase, ...]:
    """Generate texts from words, with the probabilities that the artifact gives them now.

    None has a token with a lone surrogate, which no file can hold. The probabilities are rounded to nine
    digits, which are the same on every processor, so training again gives the same file.
    """
    writable = [word for word in words if word and replace_surrogates(word) == word]
    texts = generated_texts(writable, GOLDEN_CASES, seed)
    probabilities = Classifier(artifact).probabilities(texts)
    return tuple(
        GoldenCase(text=text, probabilities=tuple(round(p, 9) for p in row))
        for text, row in zip(texts, probabilities.tolist(), strict=True)
    )
