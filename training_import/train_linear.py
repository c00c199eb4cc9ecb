"""Naive-Bayes-weighted n-grams (Wang and Manning, ACL 2012), averaged with idf-weighted ones."""

import platform

import numpy as np
import scipy
import sklearn
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

from classifier.errors import ClassifierError
from classifier.runtimes import Scores
from classifier.runtimes.linear import LinearSettings, pack_arrays
from classifier.text import Tokenizer
from training_import.ngrams import ngram_tree
from training_import.task import NOTHING_TO_LEARN, Fitted, Progress, Rounding, Task

LONGEST_NGRAM = 4
FEWEST_DOCUMENTS = 2
SMOOTHING = 1.0
STORED = np.float16
COSTS = (1.0, 2.0, 3.0, 5.0)
"""Penalties of the NB-weighted model to choose from; a larger one fits the texts more closely."""

IDF_COST = 0.1
IDF_SHARE = 0.5
"""Of the idf-weighted model in the average, whose members are scaled to the same spread."""


def train_linear(task: Task, progress: Progress) -> Fitted:
    """Choose the penalty on the held-out texts, then learn from all.

    Features are the n-grams of one to four tokens in at least two texts, present or not, each text's scaled
    to unit length. Two linear models are averaged, which costs nothing when serving: on features weighted by
    their log-count ratio, one class against the rest, and on features weighted by their inverse document
    frequency.
    """
    progress(f"counting n-grams in {len(task.learn)} texts")
    learn = [task.texts[row] for row in task.learn]
    held_out = [task.texts[row] for row in task.held_out]
    vectorizer = _vectorizer(task)
    try:
        counts = vectorizer.fit_transform(learn)
    except ValueError as error:  # scikit-learn's, when no n-gram is left
        raise ClassifierError(NOTHING_TO_LEARN) from error
    features = normalize(counts)
    held_out_features = normalize(vectorizer.transform(held_out))
    truth, held_out_truth = task.truth[task.learn], task.truth[task.held_out]

    accuracies: dict[float, float] = {}
    exact: dict[float, Scores] = {}
    stored: dict[float, Scores] = {}
    for cost in COSTS:
        progress(f"learning with penalty {cost:g}")
        weights, intercept = _fit(features, truth, task, cost)
        exact[cost] = _scores(held_out_features @ weights + intercept)
        stored[cost] = _scores(held_out_features @ weights.astype(STORED) + intercept)
        accuracies[cost] = float((stored[cost].argmax(axis=1) == held_out_truth).mean())
    best = max(COSTS, key=accuracies.__getitem__)

    progress(f"counting n-grams in {len(task.texts)} texts")
    vectorizer = _vectorizer(task)
    features = normalize(vectorizer.fit_transform(task.texts))
    progress(f"learning from all texts with penalty {best:g}")
    weights, intercept = _fit(features, task.truth, task, best)
    progress("building the table of n-grams")
    tree = ngram_tree([tuple(ngram.split(" ")) for ngram in vectorizer.get_feature_names_out()])
    # An n-gram in two texts begins with one that is in them too, so every node of the tree is a feature.
    by_node = np.empty_like(weights)
    by_node[tree.nodes] = weights
    choices = {f"penalty {cost:g}": f"{accuracy:.4f}" for cost, accuracy in accuracies.items()}
    return Fitted(
        model=LinearSettings(term_frequency="binary", norm="l2"),
        vocabulary=tree.vocabulary,
        held_out_scores=stored[best],
        rounding=Rounding(np.dtype(STORED).name, exact[best]),
        choices=choices | {"chosen": f"penalty {best:g}"},
        versions={
            "python": ".".join(platform.python_version_tuple()[:2]),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "scikit-learn": sklearn.__version__,
        },
        weights=pack_arrays({**tree.arrays, "weights": by_node.astype(STORED), "intercept": intercept}),
    )


def _vectorizer(task: Task) -> CountVectorizer:
    tokenizer = Tokenizer(task.text_settings)
    limit = task.text_settings.max_tokens
    return CountVectorizer(
        preprocessor=lambda text: text,
        tokenizer=lambda text: tokenizer.tokens(text)[:limit],
        token_pattern=None,
        lowercase=False,
        ngram_range=(1, LONGEST_NGRAM),
        min_df=min(FEWEST_DOCUMENTS, len(task.learn)),
        binary=True,
        dtype=np.float64,
    )


def _fit(
    features: csr_matrix, truth: NDArray[np.intp], task: Task, cost: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (n-grams, columns) with the factors of the features in them, and the intercepts (columns).

    Two classes need one column, for the second; more need one each.
    """
    classes = [1] if task.classes == 2 else range(task.classes)
    frequency = np.asarray((features != 0).sum(axis=0)).ravel()
    idf = _log(features.shape[0] / frequency)
    weights = np.zeros((features.shape[1], len(classes)))
    intercept = np.zeros(len(classes))
    for column, class_ in enumerate(classes):
        is_class = truth == class_
        ratio = _log_count_ratio(features, is_class)
        for factor, penalty, share in ((ratio, cost, 1.0), (idf, IDF_COST, IDF_SHARE)):
            model = LinearSVC(C=penalty, random_state=task.seed, max_iter=5000)
            weighted = features @ diags(factor)
            model.fit(weighted, is_class)
            spread = round(float(model.decision_function(weighted).std()), 4)
            # A member that gives all texts one score says nothing.
            scale = share / spread if spread else 0.0
            weights[:, column] += scale * model.coef_[0] * factor
            intercept[column] += scale * model.intercept_[0]
    return weights, intercept


def _log_count_ratio(features: csr_matrix, is_class: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How much more often each n-gram is in texts of the class than in others, as a logarithm."""
    present = features.astype(bool)
    inside = SMOOTHING + np.asarray(present[is_class].sum(axis=0)).ravel()
    outside = SMOOTHING + np.asarray(present[~is_class].sum(axis=0)).ravel()
    return _log((inside / inside.sum()) / (outside / outside.sum()))


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same to the last digit on every processor, which numpy's vector instructions do not promise."""
    return np.log(values.astype(np.longdouble)).astype(np.float64)


def _scores(decisions: NDArray[np.float64]) -> Scores:
    return np.hstack([np.zeros_like(decisions), decisions]) if decisions.shape[1] == 1 else decisions
