"""Reading NLTK's corpus of sentences."""

import hashlib
from pathlib import Path

import nltk
import pytest
from nltk.corpus.reader import CategorizedSentencesCorpusReader
from nltk.corpus.util import LazyCorpusLoader

from classifier.errors import ClassifierError
from training_import.sentence_polarity import read_sentence_polarity


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which NLTK finds data. NLTK reads a corpus once, so the corpus is a new one."""
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    files = r"rt-polarity\.(neg|pos)"
    loader = LazyCorpusLoader(
        "sentence_polarity", CategorizedSentencesCorpusReader, files, cat_pattern=files, encoding="utf-8"
    )
    monkeypatch.setattr(nltk.corpus, "sentence_polarity", loader)
    return tmp_path


def write(folder: Path, **content: str) -> None:
    place = folder / "corpora" / "sentence_polarity"
    place.mkdir(parents=True)
    for name, text in content.items():
        (place / f"rt-polarity.{name}").write_text(text, encoding="utf-8")


def test_each_line_that_is_not_blank_is_a_sentence_with_the_label_of_its_file(folder: Path) -> None:
    write(folder, neg="dull . \n\n  a café , closed \n", pos="superb !\n")
    found = read_sentence_polarity()
    assert found.name == "sentence_polarity"
    assert found.texts == ["dull .", "a café , closed", "superb !"]
    assert found.labels == ["negative", "negative", "positive"]


def test_the_digest_is_that_of_both_files(folder: Path) -> None:
    write(folder, neg="dull\n", pos="superb\n")
    assert read_sentence_polarity().sha256 == hashlib.sha256(b"dull\nsuperb\n").hexdigest()


@pytest.mark.usefixtures("folder")
def test_a_corpus_that_is_not_installed_is_refused_with_the_command_that_installs_it() -> None:
    with pytest.raises(
        ClassifierError, match=r"run `python -m nltk.downloader sentence_polarity`, or set NLTK_DATA"
    ):
        read_sentence_polarity()
