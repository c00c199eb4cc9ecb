"""Train a linear model: Naive-Bayes-weighted n-grams (Wang and Manning, ACL 2012) and idf-weighted ones."""

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
from training_import.training.task import NOTHING_TO_LEARN, Fitted, Progress, Rounding, TrainingTask
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


def train(task: TrainingTask, progress: Progress) -> Fitted:
    """Choose C (inverse regularization) on the held-out texts, then train on all texts.

    The features are the n-grams of one to four tokens that are in at least two texts. Their values are 1 or
    0, and each text is scaled to unit length. Two linear models are averaged, which costs nothing at serving
    time. In one, features are weighted by their log-count ratio of one class against the rest; in the other,
    by their inverse document frequency.
    """
    progress(f"counting n-grams in {len(task.train_rows)} texts")
    train_texts = [task.texts[row] for row in task.train_rows]
    held_out_texts = [task.texts[row] for row in task.held_out_rows]
    vectorizer = _vectorizer(task)
    try:
        counts = vectorizer.fit_transform(train_texts)
    except ValueError as error:  # scikit-learn raises it if no n-gram is left
        raise ClassifierError(NOTHING_TO_LEARN) from error
    held_out_vocabulary = tuple(name for name in vectorizer.get_feature_names_out() if " " not in name)
    features = normalize(counts)
    held_out_features = normalize(vectorizer.transform(held_out_texts))
    truth, held_out_truth = task.truth[task.train_rows], task.truth[task.held_out_rows]

    accuracies: dict[float, float] = {}
    exact: dict[float, Scores] = {}
    stored: dict[float, Scores] = {}
    for c in C_VALUES:
        progress(f"training with C = {c:g}")
        weights, intercept = _fit(features, truth, task, c)
        exact[c] = _scores(held_out_features @ weights + intercept)
        stored[c] = _scores(held_out_features @ weights.astype(STORED_TYPE) + intercept)
        accuracies[c] = float((stored[c].argmax(axis=1) == held_out_truth).mean())
    best = max(C_VALUES, key=accuracies.__getitem__)

    progress(f"counting n-grams in {len(task.texts)} texts")
    vectorizer = _vectorizer(task)
    features = normalize(vectorizer.fit_transform(task.texts))
    progress(f"training on all texts with C = {best:g}")
    weights, intercept = _fit(features, task.truth, task, best)
    progress("building the tree of n-grams")
    tree = ngram_tree([tuple(ngram.split(" ")) for ngram in vectorizer.get_feature_names_out()])
    # A text that contains an n-gram also contains its beginning, so every node of the tree is a feature.
    by_node = np.empty_like(weights)
    by_node[tree.nodes] = weights
    choices = {f"C = {c:g}": f"{accuracy:.4f}" for c, accuracy in accuracies.items()}
    return Fitted(
        model=LinearSettings(term_frequency="binary", norm="l2"),
        vocabulary=tree.vocabulary,
        weights=pack_arrays({**tree.arrays, "weights": by_node.astype(STORED_TYPE), "intercept": intercept}),
        held_out_scores=stored[best],
        held_out_vocabulary=held_out_vocabulary,
        choices=choices | {"chosen": f"C = {best:g}"},
        versions=library_versions({"scipy": scipy, "scikit-learn": sklearn}),
        rounding=Rounding(np.dtype(STORED_TYPE).name, exact[best]),
    )


def _vectorizer(task: TrainingTask) -> CountVectorizer:
    tokenizer = Tokenizer(task.text_settings)
    limit = task.text_settings.max_tokens
    return CountVectorizer(
        preprocessor=lambda text: text,
        tokenizer=lambda text: tokenizer.tokens(text)[:limit],
        token_pattern=None,
        lowercase=False,
        ngram_range=(1, MAX_NGRAM_TOKENS),
        min_df=min(MIN_DOCUMENTS, len(task.train_rows)),
        binary=True,
        dtype=np.float64,
    )


def _fit(
    features: csr_matrix, truth: NDArray[np.intp], task: TrainingTask, c: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights (n-grams, columns), already multiplied by the factors, and the intercepts (columns).

    Two classes need one column, for the second class; more classes need one each.
    """
    classes = [1] if task.classes == 2 else range(task.classes)
    frequency = np.asarray((features != 0).sum(axis=0)).ravel()
    idf = _log(features.shape[0] / frequency)
    weights = np.zeros((features.shape[1], len(classes)))
    intercept = np.zeros(len(classes))
    for column, class_ in enumerate(classes):
        is_class = truth == class_
        ratio = _log_count_ratio(features, is_class)
        for factor, member_c, share in ((ratio, c, 1.0), (idf, IDF_C, IDF_SHARE)):
            model = LinearSVC(C=member_c, random_state=task.seed, max_iter=5000)
            weighted = features @ diags(factor)
            model.fit(weighted, is_class)
            spread = round(float(model.decision_function(weighted).std()), 4)
            # A model that gives all texts the same score is left out.
            scale = share / spread if spread else 0.0
            weights[:, column] += scale * model.coef_[0] * factor
            intercept[column] += scale * model.intercept_[0]
    return weights, intercept


def _log_count_ratio(features: csr_matrix, is_class: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the logarithm of how much more often each n-gram is in texts of the class than in others."""
    present = features.astype(bool)
    inside = SMOOTHING + np.asarray(present[is_class].sum(axis=0)).ravel()
    outside = SMOOTHING + np.asarray(present[~is_class].sum(axis=0)).ravel()
    return _log((inside / inside.sum()) / (outside / outside.sum()))


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return logarithms that are the same to the last digit on every processor; `np.log` alone is not."""
    return np.log(values.astype(np.longdouble)).astype(np.float64)


def _scores(decisions: NDArray[np.float64]) -> Scores:
    return np.hstack([np.zeros_like(decisions), decisions]) if decisions.shape[1] == 1 else decisions
