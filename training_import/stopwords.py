"""NLTK's stop words."""

from classifier.errors import ClassifierError


def stopwords() -> tuple[str, ...]:
    """Return NLTK's English stop words; raises ClassifierError if the corpus is not installed."""
    from nltk.corpus import stopwords as corpus

    try:
        return tuple(sorted(corpus.words("english")))
    except LookupError as error:
        raise ClassifierError(
            "preprocessing.remove_stopwords needs NLTK's list of stop words: run "
            "`python -m nltk.downloader stopwords`, or set NLTK_DATA to a folder with corpora/stopwords.zip"
        ) from error
