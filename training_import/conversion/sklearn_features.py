"""How the vectorizers of a scikit-learn pipeline, and the steps after them, turn a text into numbers."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.feature_selection import (
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    VarianceThreshold,
)
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import MaxAbsScaler, Normalizer, StandardScaler

from classifier.runtimes.hashed import MAX_LENGTH, Hashing
from classifier.text import TextSettings
from classifier.validation import first_error
from training_import.conversion.converted import ImportOptions, UnsupportedModel

MAX_TOKENS = 10_000
"""scikit-learn reads the whole text. The service accepts no text of more characters than this."""

MAX_CHARACTERS = 40_000
"""The same for n-grams of characters. The spaces around words can make a text longer than it is."""

SUPPORTED_FEATURES = (
    "CountVectorizer, TfidfVectorizer or HashingVectorizer without callables (word, char, char_wb), alone "
    "or in a FeatureUnion or ColumnTransformer; then TfidfTransformer, Normalizer with 'l1' or 'l2', "
    "SelectKBest, SelectPercentile, SelectFromModel, VarianceThreshold, MaxAbsScaler or "
    "StandardScaler(with_mean=False)"
)

Step = tuple[str, Any]
"""A step of a pipeline: its name and what was fitted."""

_SELECTORS = frozenset(
    {SelectFdr, SelectFpr, SelectFromModel, SelectFwe, SelectKBest, SelectPercentile, VarianceThreshold}
)
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """The columns that one vectorizer makes of a text, with what the steps after it do to them."""

    text: TextSettings
    ngrams: Mapping[int, tuple[str, ...]]
    """The tokens of each n-gram that a text can have, by its column in the vectorizer."""
    size: int
    """How many columns the vectorizer makes."""
    term_frequency: Literal["binary", "count", "log"]
    scale: _Floats
    """What each column of the vectorizer is multiplied by before the norm (size)."""
    norm: Literal["l1", "l2"] | None
    columns: NDArray[np.intp]
    """The vectorizer's column that each of the m columns for the classifier is."""
    factor: _Floats
    """What each of these columns is multiplied by after the norm (m)."""
    hashing: Hashing | None = None
    """How n-grams get their columns if there is no vocabulary."""

    def is_same(self, other: "View") -> bool:
        """Whether both make the same columns of every text."""
        return self is other or (
            self.ngrams is other.ngrams
            and replace(self, scale=other.scale, columns=other.columns, factor=other.factor) == other
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.columns, other.columns)
            and np.array_equal(self.factor, other.factor)
        )

    @property
    def are_counts(self) -> bool:
        """Whether the columns are what the vectorizer counts, without a norm or a factor."""
        return self.norm is None and bool((self.factor == 1).all() and (self.scale == 1).all())


def refuse(name: str, why: str, supported: str = SUPPORTED_FEATURES) -> UnsupportedModel:
    """Return the error for a step that cannot be converted."""
    return UnsupportedModel(f"step {name!r} {why}. Supported are {supported}")


def type_name(step: Any) -> str:
    """Return the name of a step's class."""
    return type(step).__name__


def flattened(name: str, estimator: Any) -> list[Step]:
    """Return the steps of a pipeline by their names, without empty ones; pipelines in it are flattened."""
    if type(estimator) is Pipeline:
        return [
            (f"{name}.{inner}" if name not in {"model", "vectorizer"} else inner, step)
            for outer, part in estimator.steps
            for inner, step in flattened(outer, part)
        ]
    return [] if estimator is None or estimator == "passthrough" else [(name, estimator)]


def read_features(steps: Sequence[Step], options: ImportOptions) -> list[View]:
    """Return the views of a text that these steps make; the first of them makes columns of texts.

    Raises UnsupportedModel, which names the step that cannot be converted.
    """
    views = _first_views(steps[0], options)
    for step in steps[1:]:
        views = _after(views, step)
    if len(views) > 1 and options.cleans:
        raise UnsupportedModel(
            "the model reads a text in several ways, so an import cannot say how texts were cleaned before"
        )
    return views


def as_presence(views: Sequence[View], name: str, threshold: float | None) -> list[View]:
    """Return views whose columns are 1 if they were above the threshold, else 0, as BernoulliNB sees them.

    If the threshold is None, nothing changes.
    """
    if threshold is None:
        return list(views)
    if not all(_tells_presence(view, threshold) for view in views):
        raise refuse(
            name, f"has binarize={threshold!r}, which does not only tell whether a text has an n-gram"
        )
    return [
        replace(
            view,
            term_frequency="binary",
            scale=np.ones(view.size),
            norm=None,
            factor=np.ones(len(view.columns)),
        )
        for view in views
    ]


def _tells_presence(view: View, threshold: float) -> bool:
    if view.hashing is not None and view.hashing.alternate_sign:
        return False  # Counts may be negative, or cancel each other.
    if threshold == 0:
        return bool((view.scale[view.columns] > 0).all() and (view.factor > 0).all())
    return 0 < threshold < 1 and view.are_counts


def _first_views(step: Step, options: ImportOptions) -> list[View]:
    name, estimator = step
    read = _FIRST.get(type(estimator))
    if read is None:
        raise refuse(name, f"is {type_name(estimator)}; the first step must be a vectorizer of texts")
    return read(step, options)


def _vectorizer(step: Step, options: ImportOptions) -> list[View]:
    _, vectorizer = step
    text = _text_settings(step, options)
    terms = sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.__getitem__)
    view = _counts(vectorizer, text, len(terms), _ngrams(step, list(map(str, terms))))
    return [_tfidf(view, step) if type(vectorizer) is TfidfVectorizer else view]


def _counts(vectorizer: Any, text: TextSettings, size: int, ngrams: Mapping[int, tuple[str, ...]]) -> View:
    """Return the view of a vectorizer that only counts n-grams, or notes which there are."""
    return View(
        text=text,
        ngrams=ngrams,
        size=size,
        term_frequency="binary" if vectorizer.binary else "count",
        scale=np.ones(size),
        norm=None,
        columns=np.arange(size),
        factor=np.ones(size),
    )


def _hashing_vectorizer(step: Step, options: ImportOptions) -> list[View]:
    name, vectorizer = step
    shortest, longest = vectorizer.ngram_range
    size = int(vectorizer.n_features)
    if vectorizer.norm not in {"l1", "l2", None}:
        raise refuse(name, f"({type_name(vectorizer)}) has norm={vectorizer.norm!r}")
    try:
        hashing = Hashing(
            features=size, shortest=shortest, longest=longest, alternate_sign=bool(vectorizer.alternate_sign)
        )
    except ValidationError as error:
        raise refuse(name, f"({type_name(vectorizer)}) cannot be imported: {first_error(error)}") from error
    view = replace(_counts(vectorizer, _text_settings(step, options), size, {}), hashing=hashing)
    return [view if vectorizer.norm is None else _normed(view, vectorizer.norm)]


def _union(step: Step, options: ImportOptions) -> list[View]:
    _, union = step
    return _side_by_side(step, union.transformer_list, options)


def _columns(step: Step, options: ImportOptions) -> list[View]:
    _, transformer = step
    text_column(step)
    return _side_by_side(step, [(part, fitted) for part, fitted, _ in transformer.transformers_], options)


def _side_by_side(step: Step, parts: Sequence[Step], options: ImportOptions) -> list[View]:
    """Return the views of all parts of a union, each times the weight that the union gives it."""
    name, union = step
    weights = union.transformer_weights or {}
    views: list[View] = []
    for part, transformer in parts:
        if transformer == "drop":
            continue
        if transformer == "passthrough":
            raise refuse(f"{name}.{part}", "passes texts through, which are no numbers")
        steps = flattened(f"{name}.{part}", transformer)
        if type(steps[0][1]) is ColumnTransformer:
            raise refuse(steps[0][0], "reads a table, which only the first step of all can do")
        made = read_features(steps, options)
        views += [replace(view, factor=view.factor * weights.get(part, 1)) for view in made]
    if not views:
        raise refuse(name, "has no vectorizer")
    return views


def text_column(step: Step) -> str | int:
    """Return the only column that a ColumnTransformer reads; raises UnsupportedModel if it reads others."""
    name, transformer = step
    used = [columns for _, fitted, columns in transformer.transformers_ if fitted != "drop"]
    distinct = {column if isinstance(column, str | int) else None for column in used}
    if len(distinct) != 1 or None in distinct:
        raise refuse(
            name,
            f"(ColumnTransformer) reads the columns {', '.join(map(repr, used))}; a text classifier reads a "
            "single column with texts, named as a plain string",
        )
    (column,) = distinct
    return column  # type: ignore[return-value]  # None is not in the set


_FIRST: Mapping[type, Callable[[Step, ImportOptions], list[View]]] = {
    CountVectorizer: _vectorizer,
    TfidfVectorizer: _vectorizer,
    HashingVectorizer: _hashing_vectorizer,
    FeatureUnion: _union,
    ColumnTransformer: _columns,
}


def _after(views: Sequence[View], step: Step) -> list[View]:
    """Return the views after a step that reads the columns of all of them."""
    name, estimator = step
    kind = type(estimator)
    if kind in _SELECTORS:
        return _selected(views, step)
    if kind is MaxAbsScaler or (kind is StandardScaler and not estimator.with_mean):
        scale = estimator.scale_  # None if a StandardScaler divides by nothing
        return list(views) if scale is None else _multiplied(views, step, 1 / np.asarray(scale, np.float64))
    if len(views) == 1 and kind is TfidfTransformer and views[0].are_counts:
        return [_tfidf(views[0], step)]
    if len(views) == 1 and kind is Normalizer and estimator.norm in {"l1", "l2"}:
        return [_normed(views[0], estimator.norm)]
    where = "at this position" if len(views) == 1 else "after several vectorizers"
    raise refuse(name, f"is {estimator!r}, which cannot be converted {where}")


def _selected(views: Sequence[View], step: Step) -> list[View]:
    name, selector = step
    kept = selector.get_support()
    _check_width(views, name, len(kept))
    parts = _split(views, kept)
    return [
        replace(view, columns=view.columns[part], factor=view.factor[part])
        for view, part in zip(views, parts, strict=True)
    ]


def _multiplied(views: Sequence[View], step: Step, factors: _Floats) -> list[View]:
    _check_width(views, step[0], len(factors))
    parts = _split(views, factors)
    return [replace(view, factor=view.factor * part) for view, part in zip(views, parts, strict=True)]


def _check_width(views: Sequence[View], name: str, width: int) -> None:
    made = sum(len(view.columns) for view in views)
    if made != width:
        raise UnsupportedModel(
            f"the steps before {name!r} make {made} features, but it was fitted on {width}; they do not "
            "belong together"
        )


def _split(views: Sequence[View], values: NDArray[Any]) -> list[NDArray[Any]]:
    return np.split(values, np.cumsum([len(view.columns) for view in views])[:-1])


def _normed(view: View, norm: Literal["l1", "l2"]) -> View:
    """Return a view with another norm; a norm before it has no effect, because it does not change ratios."""
    scale = np.zeros(view.size)
    scale[view.columns] = view.scale[view.columns] * view.factor
    return replace(view, scale=scale, norm=norm, factor=np.ones(len(view.columns)))


def _tfidf(view: View, step: Step) -> View:
    name, tfidf = step
    if tfidf.norm not in {"l1", "l2", None}:
        raise refuse(name, f"({type_name(tfidf)}) has norm={tfidf.norm!r}")
    if tfidf.use_idf:
        idf = np.asarray(tfidf.idf_, np.float64)
        _check_width([view], name, len(idf))
        view = replace(view, factor=idf)
    # The logarithm does not change a count of 1, so it does not change binary features.
    if tfidf.sublinear_tf and view.term_frequency == "count":
        if view.hashing is not None and view.hashing.alternate_sign:
            raise refuse(name, "takes the logarithm of counts that alternate_sign=True makes negative")
        view = replace(view, term_frequency="log")
    return view if tfidf.norm is None else _normed(view, tfidf.norm)


def _text_settings(step: Step, options: ImportOptions) -> TextSettings:
    """Return the cleaning that the vectorizer does, with the steps before it that the options name."""
    name, vectorizer = step
    units = _UNITS.get(vectorizer.analyzer) if isinstance(vectorizer.analyzer, str) else None
    if units is None:
        raise refuse(name, f"({type_name(vectorizer)}) has analyzer={vectorizer.analyzer!r}")
    are_words = units == "words"
    for parameter in ("preprocessor", "tokenizer") if are_words else ("preprocessor",):
        if (value := getattr(vectorizer, parameter)) is not None:
            raise refuse(name, f"({type_name(vectorizer)}) has its own {parameter}, {value!r}")
    if vectorizer.input != "content":
        raise refuse(name, f"({type_name(vectorizer)}) reads input={vectorizer.input!r}, not texts")
    if vectorizer.strip_accents not in {None, "ascii", "unicode"}:
        raise refuse(name, f"({type_name(vectorizer)}) has strip_accents={vectorizer.strip_accents!r}")
    if np.dtype(vectorizer.dtype) not in {np.dtype(t) for t in ("int32", "int64", "float32", "float64")}:
        raise refuse(
            name, f"({type_name(vectorizer)}) counts in {np.dtype(vectorizer.dtype)}, which overflows"
        )
    words: dict[str, Any] = {}
    if are_words:
        stopwords = {*(vectorizer.get_stop_words() or ()), *options.stopwords}
        words = {"token_pattern": vectorizer.token_pattern, "stopwords": tuple(sorted(stopwords))}
    elif options.stopwords:
        raise refuse(name, f"has analyzer={vectorizer.analyzer!r}; stop words before it are not supported")
    try:
        return TextSettings(
            normalize=None,
            strip_html=options.strip_html,
            lowercase=bool(vectorizer.lowercase),
            strip_accents=vectorizer.strip_accents,
            remove_special_chars=options.remove_special_chars,
            units=units,
            unknown="keep",
            max_tokens=MAX_TOKENS if are_words else MAX_CHARACTERS,
            **words,
        )
    except ValidationError as error:
        rule = first_error(error).rule
        raise refuse(name, f"({type_name(vectorizer)}) cannot be imported: {rule}") from error


_UNITS: Mapping[str, Literal["words", "characters", "characters_in_words"]] = {
    "word": "words",
    "char": "characters",
    "char_wb": "characters_in_words",
}
"""The tokens of each analyzer."""

_JOINTS: Mapping[str, str] = {"word": " ", "char": "", "char_wb": ""}
"""What is between the tokens of an n-gram of each analyzer."""


def _ngrams(step: Step, terms: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """Return the tokens of each feature that a text can have, by the feature's column."""
    found = _found_ngrams(step, terms)
    longest = max(found.values(), key=len, default=())
    if len(longest) > MAX_LENGTH:
        name, vectorizer = step
        raise refuse(
            name,
            f"({type_name(vectorizer)}) has n-grams of {len(longest)} tokens, such as "
            f"{_JOINTS[vectorizer.analyzer].join(longest)!r}; at most {MAX_LENGTH} tokens are supported",
        )
    return found


def _found_ngrams(step: Step, terms: Sequence[str]) -> dict[int, tuple[str, ...]]:
    name, vectorizer = step
    shortest, longest = vectorizer.ngram_range
    if vectorizer.analyzer != "word":
        return {
            column: tuple(term)
            for column, term in enumerate(terms)
            if _is_found(term, vectorizer.analyzer, shortest, longest)
        }
    if longest == 1:
        return {column: (term,) for column, term in enumerate(terms)}
    find_all = re.compile(vectorizer.token_pattern).findall
    for term in terms:
        if spaced := [token for token in find_all(term) if " " in token]:
            raise refuse(
                name,
                f"({type_name(vectorizer)}) makes n-grams of tokens with spaces, such as {spaced[0]!r}; "
                "it is not known where such a token ends",
            )
    split = {column: tuple(term.split(" ")) for column, term in enumerate(terms)}
    return {column: ngram for column, ngram in split.items() if shortest <= len(ngram) <= longest}


def _is_found(term: str, analyzer: str, shortest: int, longest: int) -> bool:
    """Whether a text can have an n-gram of characters, which may be in a vocabulary given by hand."""
    if analyzer == "char":
        return shortest <= len(term) <= longest
    # A word that is shorter than the shortest n-gram, with its spaces, is an n-gram itself.
    is_short_word = 2 < len(term) < shortest and term[0] == term[-1] == " " and " " not in term[1:-1]
    return "  " not in term and (shortest <= len(term) <= longest or is_short_word)
