"""The texts that every server classifies: one half whole reviews, one half single sentences."""

import random
import re
from pathlib import Path

from classifier.schema import MAX_TEXT_CHARS
from training_import.dataset import read_texts

ROOT = Path(__file__).parents[1]
IMDB = ROOT.parent / "shared" / "data" / "imdb"
SLICES = ROOT / "tests" / "data"
COUNT = 2000
SEED = 0

_SENTENCE_END = re.compile(r"(?<=[.!?])\s|<br")


def request_texts() -> tuple[str, list[str]]:
    """Return the file's name and about 2,000 texts in random order, which is the same at each call.

    The texts are reviews of every length that the contract accepts, and the first sentences of as many other
    reviews. If the whole data set is missing, they come from the slice of it that the tests use.
    """
    name, reviews = request_reviews()
    generator = random.Random(SEED)  # noqa: S311
    half = min(COUNT, len(reviews)) // 2
    sentences = [_SENTENCE_END.split(review, maxsplit=1)[0] for review in reviews[half : 2 * half]]
    texts = reviews[:half] + [sentence for sentence in sentences if sentence.strip()]
    generator.shuffle(texts)
    return name, texts


def request_reviews() -> tuple[str, list[str]]:
    """Return the file's name and all its reviews that the contract accepts, in the same random order."""
    path = IMDB / "test.parquet"
    if not path.exists():
        path = SLICES / "imdb_test.csv"
    reviews = [text for text in map(str.strip, read_texts(path)) if len(text) <= MAX_TEXT_CHARS]
    random.Random(SEED).shuffle(reviews)  # noqa: S311
    return path.name, reviews
