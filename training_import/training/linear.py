"""Train a linear model: Naive-Bayes-weighted n-grams (Wang and Manning, ACL 2012) and idf-weighted ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy
import sklearn
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, hstack
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

from classifier.errors import ClassifierError
from classifier.runtimes import Scores
from classifier.runtimes.linear import LinearSettings, familiarity, pack_arrays, short_shares
from classifier.text import Tokenizer
from training_import.calibration import fit_calibration
from training_import.ngrams import ngram_tree
from training_import.training.class_weights import text_weights
from training_import.training.reference import held_out_unknown_share
from training_import.training.task import NOTHING_TO_LEARN, Fitted, Progress, Rounding, TrainingTask
from training_import.training.word_vectors import WordVectors, word_vectors
from training_import.versions import library_versions

MAX_NGRAM_TOKENS = 4
MIN_DOCUMENTS = 2
"""An n-gram is a feature if it is in at least this many texts."""
SMOOTHING = 1.0
STORED_TYPE = np.float16
C_VALUES = (1.0, 2.0, 3.0, 5.0)
"""Values of C (inverse regularization) of the NB-weighted model to choose from; a larger C fits the training
texts more closely."""

IDF_C = 0.1
IDF_SHARE = 0.5
"""The weight of the idf-weighted model in the average; both models are first scaled to the same spread."""

SHORT_C = 1.0
SHORT_TEXT_WEIGHT = 2.0
"""How much a short text counts in the model of all texts; another text counts 1."""
VECTOR_SCALE = 0.1
"""How strongly the model of all texts prefers the same weight for words with similar vectors."""
SHARE_IN_LONG_TEXTS = 0.5
"""The weight of the model of all texts in the scores of long texts; the model of long texts alone has 1."""
SHORT_NGRAMS = 100.0
"""The value of `LinearSettings.short_ngrams`. A sentence has 40 known n-grams, a review 380 (medians)."""


DOUBTED_SHARE = 0.02
"""The share of the held-out short texts that have too little evidence for an answer without a warning."""


CALIBRATION_ROUNDS = 5

_Calibrating = tuple[float, NDArray[np.float64]]
"""A scale and a bias (columns)."""


@dataclass(frozen=True)
class _Linear:
    """One linear function of the features for each column; `weights` is (n-grams, columns)."""

    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]

    def scores(self, features: csr_matrix) -> Scores:
        """Return the scores of n texts, (n, classes)."""
        return _scores(features @ self.weights + self.intercept)

    def plus(self, other: "_Linear", share: float = 1.0) -> "_Linear":
        """Return the sum of this function and `share` times another one."""
        return _Linear(self.weights + share * other.weights, self.intercept + share * other.intercept)

    def scaled(self, calibrating: "_Calibrating") -> "_Linear":
        """Return this function after a calibration."""
        scale, bias = calibrating
        return _Linear(self.weights * scale, self.intercept * scale + bias)

    def stored(self) -> "_Linear":
        """Return this function with weights as the artifact stores them."""
        return _Linear(self.weights.astype(STORED_TYPE), self.intercept)


@dataclass(frozen=True)
class _Model:
    """The functions that score long and short texts; `short` is None if one function scores all of them."""

    is_word: NDArray[np.bool_]
    """Which n-grams have one token."""
    long: _Linear
    short: _Linear | None = None
    min_evidence: float | None = None

    def scores(self, features: csr_matrix) -> Scores:
        """Return the scores of n texts, (n, classes), as `LinearRuntime` computes them."""
        scores = self.long.scores(features)
        if self.short is None:
            return scores
        shares = short_shares(np.diff(features.indptr), SHORT_NGRAMS)[:, None]
        scores += shares * (self.short.scores(features) - scores)
        if self.min_evidence is not None:
            factor = np.minimum(self.evidence(features) / self.min_evidence, 1)
            scores *= np.where(shares > 0, factor[:, None], 1)
        return scores

    def evidence(self, features: csr_matrix) -> NDArray[np.float64]:
        """Return the evidence in each of n texts; see `LinearSettings.min_evidence`."""
        if self.short is None:
            raise ValueError("only a model for short texts measures evidence")
        shares = short_shares(np.diff(features.indptr), SHORT_NGRAMS)
        texts = np.arange(features.shape[0]).repeat(np.diff(features.indptr))
        terms = self.long.weights[features.indices].astype(np.float64)
        terms += shares[texts, None] * (self.short.weights[features.indices] - terms)
        terms = np.abs(terms * features.data[:, None])
        sums = [np.bincount(texts, column, features.shape[0]) for column in terms.T]
        is_word = self.is_word[features.indices]
        words, longer = (np.bincount(texts, mask, features.shape[0]) for mask in (is_word, ~is_word))
        evidence: NDArray[np.float64] = np.max(sums, axis=0) * familiarity(words, longer)
        return evidence

    def doubting(self, features: csr_matrix) -> "_Model":
        """Return the model that doubts texts with less evidence than nearly all of these short texts have.

        It doubts none if more of these texts have no evidence at all.
        """
        smallest = round(float(np.quantile(self.evidence(features), DOUBTED_SHARE)), 4)
        return replace(self, min_evidence=smallest or None)

    def stored(self) -> "_Model":
        """Return the model with weights as the artifact stores them."""
        return replace(
            self, long=self.long.stored(), short=None if self.short is None else self.short.stored()
        )

    def arrays(self, nodes: NDArray[np.int64]) -> dict[str, NDArray[np.floating]]:
        """Return the arrays of the artifact; `nodes` (n-grams) is the node of each n-gram."""
        by_name = {"": self.long} | ({} if self.short is None else {"short_": self.short})
        arrays: dict[str, NDArray[np.floating]] = {}
        for prefix, linear in by_name.items():
            by_node = np.empty_like(linear.weights)
            by_node[nodes] = linear.weights
            arrays[prefix + "weights"] = by_node.astype(STORED_TYPE)
            arrays[prefix + "intercept"] = linear.intercept
        return arrays


@dataclass(frozen=True)
class _Texts:
    """The features and the classes of the n texts to train on."""

    features: csr_matrix
    """The n-grams of each text, scaled to unit length, shape (n, n-grams)."""
    truth: NDArray[np.intp]
    is_short: NDArray[np.bool_]
    ngrams: Sequence[str]
    vectors: WordVectors | None
    """Vectors of the words; only for tasks with short texts."""


def train(task: TrainingTask, progress: Progress) -> Fitted:
    """Choose C (inverse regularization) on the held-out texts, then train on all texts.

    The features are the n-grams of one to four tokens that are in at least two texts. Their values are 1 or
    0, and each text is scaled to unit length. Two linear models are averaged, which costs nothing at serving
    time. In one, features are weighted by their log-count ratio of one class against the rest; in the other,
    by their inverse document frequency.

    If the task has short texts, this average is trained twice: on the long texts, and on all texts with the
    help of word vectors. The second scores short texts; both together score long texts. Each is calibrated
    on held-out texts of its own length, and texts in between are scored by a mixture.
    """
    progress(f"counting n-grams in {len(task.train_rows)} texts")
    tokenizer = Tokenizer(task.text_settings)
    tokens = [tokenizer.tokens(text)[: task.text_settings.max_tokens] for text in task.texts]
    vectorizer = _vectorizer(len(task.train_rows))
    try:
        counts = vectorizer.fit_transform([tokens[row] for row in task.train_rows])
    except ValueError as error:  # scikit-learn raises it if no n-gram is left
        raise ClassifierError(NOTHING_TO_LEARN) from error
    ngrams = vectorizer.get_feature_names_out()
    texts = _texts(task, task.train_rows, normalize(counts), ngrams, tokens, progress)
    held_out = normalize(vectorizer.transform([tokens[row] for row in task.held_out_rows]))
    truth, is_short = task.truth[task.held_out_rows], task.is_short[task.held_out_rows]
    weights = text_weights(task.class_weight, truth, task.classes)

    of_all = _fit_all(texts, task, progress) if is_short.any() else None
    is_word = _is_word(ngrams)
    long = _long_examples(texts, task)
    progress("training with inverse document frequencies")
    of_idf = _fit_idf(long, task)
    models: dict[float, _Model] = {}
    scales: dict[float, list[_Calibrating]] = {}
    accuracies: dict[float, float] = {}
    for c in C_VALUES:
        progress(f"training with C = {c:g}")
        parts = _parts(_fit_nb(long, task, c).plus(of_idf), of_all)
        scales[c] = _calibrations(is_word, parts, held_out, _HeldOut(truth, is_short, weights))
        model = _joined(is_word, parts, scales[c])
        models[c] = model if of_all is None else model.doubting(held_out[is_short])
        predicted = models[c].stored().scores(held_out).argmax(axis=1)
        accuracies[c] = float(np.average((predicted == truth)[~is_short], weights=_kept(weights, ~is_short)))
    best = max(C_VALUES, key=accuracies.__getitem__)

    progress(f"counting n-grams in {len(task.texts)} texts")
    vectorizer = _vectorizer(len(task.texts))
    features = normalize(vectorizer.fit_transform(tokens))
    texts = _texts(
        task, np.arange(len(tokens)), features, vectorizer.get_feature_names_out(), tokens, progress
    )
    of_all = _fit_all(texts, task, progress) if is_short.any() else None
    progress(f"training on all texts with C = {best:g}")
    long = _long_examples(texts, task)
    parts = _parts(_fit_nb(long, task, best).plus(_fit_idf(long, task)), of_all)
    model = replace(
        _joined(_is_word(texts.ngrams), parts, scales[best]), min_evidence=models[best].min_evidence
    )
    progress("building the tree of n-grams")
    tree = ngram_tree([tuple(ngram.split(" ")) for ngram in texts.ngrams])
    # A text that contains an n-gram also contains its beginning, so every node of the tree is a feature.
    return Fitted(
        model=LinearSettings(
            term_frequency="binary",
            norm="l2",
            short_ngrams=None if model.short is None else SHORT_NGRAMS,
            min_evidence=model.min_evidence,
        ),
        vocabulary=tree.vocabulary,
        weights=pack_arrays({**tree.arrays, **model.arrays(tree.nodes)}),
        held_out_scores=models[best].stored().scores(held_out),
        held_out_unknown_share=held_out_unknown_share(task, [name for name in ngrams if " " not in name]),
        choices={f"C = {c:g}": f"{accuracy:.4f}" for c, accuracy in accuracies.items()}
        | {"chosen": f"C = {best:g}"},
        versions=library_versions({"scipy": scipy, "scikit-learn": sklearn}),
        rounding=Rounding(np.dtype(STORED_TYPE).name, models[best].scores(held_out)),
    )


def _texts(
    task: TrainingTask,
    rows: NDArray[np.intp],
    features: csr_matrix,
    ngrams: Sequence[str],
    tokens: Sequence[Sequence[str]],
    progress: Progress,
) -> _Texts:
    features.sort_indices()  # Sums depend on the order of their terms, in the last digit.
    vectors = None
    if task.is_short.any():
        progress("making word vectors")
        # Phrases put words of opposite meaning between the same neighbours.
        vectors = word_vectors([tokens[row] for row in rows if not task.is_phrase[row]], task.seed)
    return _Texts(features, task.truth[rows], task.is_short[rows], ngrams, vectors)


@dataclass(frozen=True)
class _HeldOut:
    """What is known about the n held-out texts."""

    truth: NDArray[np.intp]
    is_short: NDArray[np.bool_]
    weights: NDArray[np.float64] | None
    """How much each text counts; None if all count the same."""

    def only(self, rows: NDArray[np.bool_]) -> "_HeldOut":
        """Return some of the texts."""
        return _HeldOut(self.truth[rows], self.is_short[rows], _kept(self.weights, rows))


def _kept(weights: NDArray[np.float64] | None, rows: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    return None if weights is None else weights[rows]


def _calibrations(
    is_word: NDArray[np.bool_], parts: Sequence[_Linear], features: csr_matrix, held_out: _HeldOut
) -> list[_Calibrating]:
    """Return what calibrates the function for long texts on long ones, and the other one on short ones.

    The score of a short text mixes both functions, so the second is scaled until the mixture is calibrated.
    """
    if len(parts) == 1:
        return []
    is_short = held_out.is_short
    short_texts, long_texts = held_out.only(is_short), held_out.only(~is_short)
    long = _calibrating(parts[0].scores(features[~is_short]), long_texts.truth, long_texts.weights)
    scale, bias = _calibrating(parts[1].scores(features[is_short]), short_texts.truth, short_texts.weights)
    for _ in range(CALIBRATION_ROUNDS):
        mixture = _Model(is_word, parts[0].scaled(long), parts[1].scaled((scale, bias)))
        again, more = _calibrating(mixture.scores(features[is_short]), short_texts.truth, short_texts.weights)
        scale, bias = scale * again, bias * again + more
    return [long, (scale, bias)]


def _calibrating(
    scores: Scores, truth: NDArray[np.intp], weights: NDArray[np.float64] | None = None
) -> _Calibrating:
    calibration = fit_calibration(scores, truth, weights)
    bias = np.zeros(1 if scores.shape[1] == 2 else scores.shape[1])
    if calibration.bias is not None:
        bias[-1] = calibration.bias[-1]
    return calibration.scale, bias


def _is_word(ngrams: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([" " not in ngram for ngram in ngrams])


def _parts(of_long: _Linear, of_all: _Linear | None) -> list[_Linear]:
    """Return the function for long texts and, if there are two, the one for short texts."""
    return [of_long] if of_all is None else [of_long.plus(of_all, SHARE_IN_LONG_TEXTS), of_all]


def _joined(is_word: NDArray[np.bool_], parts: Sequence[_Linear], scales: Sequence[_Calibrating]) -> _Model:
    """Join the functions for long and short texts, each after its calibration.

    A single function needs none, because the scores of the finished model are calibrated as well.
    """
    if len(parts) == 1:
        return _Model(is_word, parts[0])
    long, short = (part.scaled(scale) for part, scale in zip(parts, scales, strict=True))
    return _Model(is_word, long, short)


def _vectorizer(texts: int) -> CountVectorizer:
    return CountVectorizer(
        preprocessor=lambda tokens: tokens,
        tokenizer=lambda tokens: tokens,
        token_pattern=None,
        lowercase=False,
        ngram_range=(1, MAX_NGRAM_TOKENS),
        min_df=min(MIN_DOCUMENTS, texts),
        binary=True,
        dtype=np.float64,
    )


@dataclass(frozen=True)
class _Examples:
    """The n texts that a linear function is trained on."""

    features: csr_matrix
    truth: NDArray[np.intp]
    counting: NDArray[np.float64]
    """How much each text counts (n)."""


def _long_examples(texts: _Texts, task: TrainingTask) -> _Examples:
    """Return the long texts."""
    rows = ~texts.is_short
    return _examples(texts.features[rows], texts.truth[rows], np.ones(int(rows.sum())), task)


def _examples(
    features: csr_matrix, truth: NDArray[np.intp], counting: NDArray[np.float64], task: TrainingTask
) -> _Examples:
    """Return n texts, of which each counts as given, times the weight of its class."""
    weights = text_weights(task.class_weight, truth, task.classes)
    return _Examples(features, truth, counting if weights is None else counting * weights)


def _fit_all(texts: _Texts, task: TrainingTask, progress: Progress) -> _Linear:
    """Train on all texts, of which the short ones count more, with word vectors."""
    progress("training on long and short texts")
    counting = np.where(texts.is_short, SHORT_TEXT_WEIGHT, 1.0)
    vectors = None if texts.vectors is None else _by_ngram(texts.vectors, texts.ngrams)
    examples = _examples(texts.features, texts.truth, counting, task)
    return _fit_nb(examples, task, SHORT_C, vectors).plus(_fit_idf(examples, task))


@dataclass(frozen=True)
class _NgramVectors:
    """The vectors of k n-grams, times the factor by which they count."""

    columns: NDArray[np.int64]
    """The column of each of these n-grams in the features (k)."""
    vectors: NDArray[np.float64]
    """Shape (k, dimensions)."""


def _by_ngram(vectors: WordVectors, ngrams: Sequence[str]) -> _NgramVectors:
    places = {ngram: place for place, ngram in enumerate(ngrams)}
    known = [i for i, word in enumerate(vectors.words) if word in places]
    columns = np.array([places[vectors.words[i]] for i in known], np.int64)
    return _NgramVectors(columns, VECTOR_SCALE * vectors.idf[known, None] * vectors.vectors[known])


def _fit_nb(
    examples: _Examples, task: TrainingTask, c: float, vectors: _NgramVectors | None = None
) -> _Linear:
    """Train with features that are weighted by their log-count ratio of one class against the rest."""

    def ratio(is_class: NDArray[np.bool_]) -> NDArray[np.float64]:
        return _log_count_ratio(examples.features, is_class, examples.counting)

    return _fit(examples, task, ratio, c, 1.0, vectors)


def _fit_idf(examples: _Examples, task: TrainingTask) -> _Linear:
    """Train with features that are weighted by their inverse document frequency."""
    frequency = np.maximum(np.asarray((examples.features != 0).sum(axis=0)).ravel(), 1)
    idf = _log(examples.features.shape[0] / frequency)
    return _fit(examples, task, lambda _is_class: idf, IDF_C, IDF_SHARE)


def _fit(
    examples: _Examples,
    task: TrainingTask,
    factor_of: Callable[[NDArray[np.bool_]], NDArray[np.float64]],
    c: float,
    spread: float,
    vectors: _NgramVectors | None = None,
) -> _Linear:
    """Return the weights (n-grams, columns), already multiplied by the factors, and the intercepts (columns).

    Two classes need one column, for the second class; more classes need one each. `factor_of` receives which
    texts are of the class (n) and returns the factor of each n-gram. The scores of the examples have the
    standard deviation `spread`. Vectors are further features: the sum over a text's n-grams, which is linear
    in the n-grams, so the weights of these features become part of those of the n-grams.
    """
    features = examples.features
    classes = [1] if task.classes == 2 else range(task.classes)
    more = None if vectors is None else csr_matrix(features[:, vectors.columns] @ vectors.vectors)
    weights = np.zeros((features.shape[1], len(classes)))
    intercept = np.zeros(len(classes))
    for column, class_ in enumerate(classes):
        is_class = examples.truth == class_
        factor = factor_of(is_class)
        weighted = features @ diags(factor)
        if more is not None:
            weighted = hstack([weighted, more]).tocsr()
        model = LinearSVC(C=c, random_state=task.seed, max_iter=5000)
        model.fit(weighted, is_class, sample_weight=examples.counting)
        found = round(float(model.decision_function(weighted).std()), 4)
        # A model that gives all texts the same score is left out.
        scale = spread / found if found else 0.0
        weights[:, column] += scale * model.coef_[0, : len(factor)] * factor
        if vectors is not None:
            weights[vectors.columns, column] += scale * (vectors.vectors @ model.coef_[0, len(factor) :])
        intercept[column] += scale * model.intercept_[0]
    return _Linear(weights, intercept)


def _log_count_ratio(
    features: csr_matrix, is_class: NDArray[np.bool_], counting: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the logarithm of how much more often each n-gram is in texts of the class than in others."""
    present = features.astype(bool).astype(np.float64)
    inside = SMOOTHING + present.T @ (counting * is_class)
    outside = SMOOTHING + present.T @ (counting * ~is_class)
    return _log((inside / inside.sum()) / (outside / outside.sum()))


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return logarithms that are the same to the last digit on every processor; `np.log` alone is not."""
    return np.log(values.astype(np.longdouble)).astype(np.float64)


def _scores(decisions: NDArray[np.float64]) -> Scores:
    return np.hstack([np.zeros_like(decisions), decisions]) if decisions.shape[1] == 1 else decisions
