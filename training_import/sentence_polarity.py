"""Read NLTK's corpus of sentences by film critics (Pang and Lee, ACL 2005)."""

import hashlib

from classifier.errors import ClassifierError
from training_import.dataset import Dataset

NAME = "sentence_polarity"
_LABELS = {"rt-polarity.neg": "negative", "rt-polarity.pos": "positive"}


def read_sentence_polarity() -> Dataset:
    """Return its 10,662 sentences, one a line, with the labels negative and positive.

    Raises ClassifierError if the corpus is not installed.
    """
    from nltk.corpus import sentence_polarity as corpus

    texts: list[str] = []
    labels: list[str] = []
    digest = hashlib.sha256()
    try:
        for file, label in _LABELS.items():
            content = corpus.open(file).read()
            digest.update(content.encode())
            lines = [line.strip() for line in content.splitlines()]
            texts += filter(None, lines)
            labels += [label] * (len(texts) - len(labels))
    except LookupError as error:
        raise ClassifierError(
            "NLTK's corpus sentence_polarity is not installed: run `python -m nltk.downloader "
            f"{NAME}`, or set NLTK_DATA to a folder with corpora/{NAME}.zip"
        ) from error
    return Dataset(NAME, digest.hexdigest(), texts, labels)
