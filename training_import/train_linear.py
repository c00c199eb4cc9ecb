"""Naive-Bayes-weighted n-grams with a linear model (Wang and Manning, "Baselines and Bigrams", ACL 2012)."""

import platform

import numpy as np
import scipy
import sklearn
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

from classifier.runtime import LinearSettings, Scores
from classifier.text import Tokenizer
from training_import.ngrams import ngram_tree
from training_import.train import Fitted, Progress, Task

LONGEST_NGRAM = 3
FEWEST_DOCUMENTS = 2
SMOOTHING = 1.0
STORED = np.float16
COSTS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Penalties of the linear model to choose from; a larger one fits the texts more closely."""


def train_linear(task: Task, progress: Progress) -> Fitted:
    """Choose the penalty on the held-out texts, then learn from all.

    Features are the n-grams of one to three tokens in at least two texts, present or not; each text's are
    scaled to unit length and weighted by their log-count ratio, one class against the rest.
    """
    progress(f"counting n-grams in {len(task.learn)} texts")
    learn = [task.texts[row] for row in task.learn]
    held_out = [task.texts[row] for row in task.held_out]
    vectorizer = _vectorizer(task)
    features = normalize(vectorizer.fit_transform(learn))
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
        exact_scores=exact[best],
        choices=choices | {"chosen": f"penalty {best:g}"},
        versions={
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "scikit-learn": sklearn.__version__,
        },
        arrays={**tree.arrays, "weights": by_node.astype(STORED), "intercept": intercept},
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
    """Weights (n-grams, columns) with the log-count ratios in them, and the intercepts (columns).

    Two classes need one column, for the second; more need one each.
    """
    classes = [1] if task.classes == 2 else range(task.classes)
    weights = np.empty((features.shape[1], len(classes)))
    intercept = np.empty(len(classes))
    for column, class_ in enumerate(classes):
        is_class = truth == class_
        ratio = _log_count_ratio(features, is_class)
        model = LinearSVC(C=cost, random_state=task.seed, max_iter=5000)
        model.fit(features @ diags(ratio), is_class)
        weights[:, column] = model.coef_[0] * ratio
        intercept[column] = model.intercept_[0]
    return weights, intercept


def _log_count_ratio(features: csr_matrix, is_class: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How much more often each n-gram is in texts of the class than in others, as a logarithm."""
    present = features.astype(bool)
    inside = SMOOTHING + np.asarray(present[is_class].sum(axis=0)).ravel()
    outside = SMOOTHING + np.asarray(present[~is_class].sum(axis=0)).ravel()
    ratio: NDArray[np.float64] = np.log((inside / inside.sum()) / (outside / outside.sum()))
    return ratio


def _scores(decisions: NDArray[np.float64]) -> Scores:
    return np.hstack([np.zeros_like(decisions), decisions]) if decisions.shape[1] == 1 else decisions
