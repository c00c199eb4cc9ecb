"""Made-up reviews and sentences with labels, for tests of training."""

import numpy as np

from training_import.dataset import Dataset

TWO = ("negative", "positive")
THREE = ("bad", "good", "mixed")
OPINIONS = (("awful", "dull", "weak"), ("great", "superb", "fine"), ("uneven", "average", "usual"))
"""Words of each class, in the order of the labels."""
OTHER_WORDS = tuple(f"word{number}" for number in range(40))


def texts_of(name: str, labels: tuple[str, ...], count: int, words: int, seed: int) -> Dataset:
    """Return texts of so many words, of which every fourth is an opinion, one in five of another class."""
    generator = np.random.default_rng(seed)
    texts = []
    for row in range(count):
        kinds = np.where(
            generator.random(words) < 0.8, row % len(labels), generator.integers(0, len(labels), words)
        )
        texts.append(
            " ".join(
                str(generator.choice(OPINIONS[kind] if place % 4 == 0 else OTHER_WORDS))
                for place, kind in enumerate(kinds.tolist())
            )
        )
    return Dataset(name, "5" * 64, texts, [labels[row % len(labels)] for row in range(count)])


def reviews(labels: tuple[str, ...] = TWO, count: int = 90, seed: int = 1) -> Dataset:
    """Return long texts."""
    return texts_of("reviews.csv", labels, count, 160, seed)


def sentences(labels: tuple[str, ...] = TWO, count: int = 240, seed: int = 2) -> Dataset:
    """Return short texts."""
    return texts_of("sentences.csv", labels, count, 9, seed)
