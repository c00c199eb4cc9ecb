"""Generate short sentences about films whose label follows from their grammar, such as "not dull at all".

Such sentences are rare in reviews and in those of critics, but people type them first. film_phrases.json has
the words and the templates: `same_label` is for sentences with the label of their adjective, `opposite_label`
for those with the other label, and in `contrast` the adjective `adj` decides. `positive` and `negative` are
whole sentences.
"""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from training_import.dataset import Dataset

NAME = "film_phrases"
GENERATED = 3000
"""How many generated sentences of each label are used."""
VARIANTS = 3
"""How many sentences a template gives with each adjective."""

_SOURCE = Path(__file__).with_suffix(".json")
_LABELS = ("negative", "positive")


def film_phrases() -> Dataset:
    """Return the generated sentences of each label, in lower case, and the whole ones."""
    words: Mapping[str, list[str]] = json.loads(_SOURCE.read_text(encoding="utf-8"))
    generator = random.Random(0)  # noqa: S311
    texts: list[str] = []
    labels: list[str] = []
    for label, other in zip(_LABELS, reversed(_LABELS), strict=True):
        found = sorted(set(_generated(words, f"{label}_adjectives", f"{other}_adjectives")))
        chosen = sorted({*generator.sample(found, GENERATED), *words[label]})
        texts += chosen
        labels += [label] * len(chosen)
    return Dataset(NAME, hashlib.sha256("\n".join(texts).encode()).hexdigest(), texts, labels)


def _generated(words: Mapping[str, list[str]], own: str, other: str) -> list[str]:
    """Return all sentences with the label of the adjectives `own`."""
    return [
        *_filled(words, words["same_label"], words[own], words[own]),
        *_filled(words, words["opposite_label"], words[other], words[other]),
        *_filled(words, words["contrast"], words[own], words[other]),
    ]


def _filled(
    words: Mapping[str, list[str]], templates: Sequence[str], adjectives: Sequence[str], others: Sequence[str]
) -> list[str]:
    """Fill each template with each adjective; the other words are taken in turn."""

    def turn(name: str, number: int) -> str:
        return words[name][number % len(words[name])]

    return [
        template.format(
            adj=adjective,
            adj2=adjectives[(i + 7) % len(adjectives)],
            other=others[(i + 5 * j) % len(others)],
            n="n" if adjective[0] in "aeiou" else "",
            thing=turn("things", i + j + k),
            part=turn("parts", i + 2 * j + k),
            kind=turn("kinds", i + j + k),
            moment=turn("moments", i + k),
        )
        for (j, template), (i, adjective), k in product(
            enumerate(templates), enumerate(adjectives), range(VARIANTS)
        )
    ]
