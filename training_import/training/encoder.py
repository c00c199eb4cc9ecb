"""Train a linear head on the embeddings of a frozen sentence encoder."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from classifier.drift.features import unknown_shares
from classifier.errors import ClassifierError
from classifier.pipeline import to_probabilities
from classifier.runtimes import Scores
from classifier.runtimes.network import NETWORK, import_onnxruntime
from classifier.runtimes.processors import processors
from classifier.runtimes.transformer import TOKENIZER, TransformerRuntime, import_tokenizers
from training_import.calibration import fit_calibration
from training_import.sentence_encoder import SentenceEncoder, classifying_network
from training_import.training.class_weights import text_weights
from training_import.training.task import Fitted, Progress, TrainingTask
from training_import.versions import library_versions

FOLDS = 5
C_VALUES = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Values of C (inverse regularization) to choose from; a larger C fits the training texts more closely."""

MAX_ITERATIONS = 1000
TEXTS_AT_ONCE = 64
"""How many texts of like lengths are embedded between two reports of the progress."""


@dataclass(frozen=True)
class Embedded:
    """What a frozen encoder makes of n texts."""

    embeddings: NDArray[np.float64]
    """Shape (n, dimensions); each row has unit length."""
    unknown_share: NDArray[np.float64]
    """The share of each text's tokens (n) that the encoder does not know."""
    cut: NDArray[np.bool_]
    """Which texts (n) have more tokens than the encoder reads."""


@dataclass(frozen=True)
class Head:
    """A linear function of embeddings: `weights` is (dimensions, classes), `bias` (classes)."""

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def scores(self, embeddings: NDArray[np.float64]) -> Scores:
        """Return the scores of n texts, (n, classes)."""
        scores: Scores = embeddings @ self.weights + self.bias
        return scores


@dataclass(frozen=True)
class ChosenHead:
    """A head whose regularization was chosen by cross-validation."""

    head: Head
    """Trained on all n texts."""
    held_out_scores: Scores
    """The scores of the n texts (n, classes), each by a head that was not trained on the text."""
    folds: int
    c: float
    losses: Mapping[float, float]
    """The log loss of the held-out scores after calibration, by C."""


def train(task: TrainingTask, progress: Progress) -> Fitted:
    """Embed the texts once, then choose and train a head; the encoder itself is not trained.

    The network of the artifact is the encoder with the head as its last layer.
    """
    encoder = task.encoder
    if encoder is None:
        raise ValueError("the task has no encoder")
    embedded = embed(encoder, task.texts, progress)
    chosen = choose_head(embedded.embeddings, task, progress)
    progress("adding the head to the encoder")
    network = classifying_network(encoder.network, chosen.head.weights, chosen.head.bias)
    return Fitted(
        model=encoder.settings,
        vocabulary=(),
        weights={NETWORK: network, TOKENIZER: encoder.tokenizer},
        held_out_scores=chosen.held_out_scores,
        held_out_unknown_share=embedded.unknown_share,
        choices={f"C = {c:g}": f"log loss {loss:.4f}" for c, loss in chosen.losses.items()}
        | {"chosen": f"C = {chosen.c:g}"},
        chosen_on=f"texts that were held out of the training in turn ({chosen.folds} folds)",
        versions=library_versions(
            {"scikit-learn": sklearn, "onnxruntime": import_onnxruntime(), "tokenizers": import_tokenizers()}
        ),
        words=encoder.words,
        notes=(*_notes(encoder), *_about_cut(embedded, encoder)),
    )


def embedding_runtime(encoder: SentenceEncoder, threads: int) -> TransformerRuntime:
    """Return the runtime that will serve the model; without a head, its scores are the embeddings."""
    return TransformerRuntime.load(
        encoder.settings,
        {NETWORK: encoder.network, TOKENIZER: encoder.tokenizer},
        (),
        encoder.text_settings,
        encoder.dimensions,
        threads,
    )


def embed(encoder: SentenceEncoder, texts: Sequence[str], progress: Progress) -> Embedded:
    """Return the embeddings of n texts, with as many threads as there are processors."""
    runtime = embedding_runtime(encoder, processors())
    embeddings = np.empty((len(texts), encoder.dimensions))
    unknown_share, cut = np.empty(len(texts)), np.empty(len(texts), bool)
    costs = np.fromiter(map(runtime.cost, texts), np.int64, len(texts))
    for rows, done, share in _parts(costs):
        progress(f"embedding {len(texts):,} texts: {done:,} done", share)
        batch = runtime.encode([texts[row] for row in rows])
        embeddings[rows] = runtime.score(batch).scores
        unknown_share[rows] = unknown_shares(batch.known, batch.unknown)
        cut[rows] = batch.cut
    if not np.isfinite(embeddings).all():
        row = int((~np.isfinite(embeddings)).any(axis=1).argmax())
        raise ClassifierError(
            f"the encoder {encoder.name} gives a value that is not finite for the text {texts[row][:60]!r}"
        )
    return Embedded(embeddings, unknown_share, cut)


def _parts(costs: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.intp], int, float]]:
    """Yield the rows of texts of like lengths, how many come before them, and the share of time of these."""
    order = costs.argsort(kind="stable")
    before = np.concatenate([[0], costs[order].cumsum()])
    for start in range(0, len(order), TEXTS_AT_ONCE):
        yield order[start : start + TEXTS_AT_ONCE], start, float(before[start] / before[-1])


def choose_head(embeddings: NDArray[np.float64], task: TrainingTask, progress: Progress) -> ChosenHead:
    """Choose C by stratified cross-validation on the n texts of a task, then train on all of them.

    The best C has the least log loss after calibration. Without calibration the loss would favour heads with
    a large C, which are surer, and the accuracy of few texts has too many ties.

    One thread is twenty times as fast as two for matrices of this size, and the last digits of the weights do
    not depend on the number of processors.
    """
    with threadpool_limits(1):
        return _choose_head(embeddings, task, progress)


def _choose_head(embeddings: NDArray[np.float64], task: TrainingTask, progress: Progress) -> ChosenHead:
    truth = task.truth
    folds = min(FOLDS, int(np.bincount(truth).max()))
    parts = list(_split(folds, truth, task.seed))
    held_out = {c: np.empty((len(truth), task.classes)) for c in C_VALUES}
    for number, (c, scores) in enumerate(held_out.items()):
        progress(f"training with C = {c:g}", number / len(C_VALUES))
        for learn, others in parts:
            scores[others] = _fit(embeddings, task, learn, c).scores(embeddings[others])
    losses = {c: _loss(scores, task) for c, scores in held_out.items()}
    best = min(losses, key=losses.__getitem__)
    progress(f"training on all texts with C = {best:g}")
    head = _fit(embeddings, task, np.arange(len(truth)), best)
    return ChosenHead(head, held_out[best], folds, best, losses)


def _split(
    folds: int, truth: NDArray[np.intp], seed: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield for each fold the texts to train on and the others.

    If a class has fewer texts than there are folds, some folds have no text of it, about which scikit-learn
    warns. Each training part has one, because two texts of a class are in different folds.
    """
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        yield from StratifiedKFold(folds, shuffle=True, random_state=seed).split(truth, truth)


def _loss(scores: Scores, task: TrainingTask) -> float:
    """Return the log loss of the scores of all texts after calibration."""
    weights = text_weights(task.class_weight, task.truth, task.classes)
    probabilities = to_probabilities(scores, fit_calibration(scores, task.truth, weights))
    losses = -np.log(np.maximum(probabilities[np.arange(len(scores)), task.truth], 1e-300))
    return round(float(np.average(losses, weights=weights)), 6)


def _fit(embeddings: NDArray[np.float64], task: TrainingTask, rows: NDArray[np.intp], c: float) -> Head:
    """Train multinomial logistic regression on these rows.

    Embeddings are first centred and divided by their root mean square distance from the centre, so that a
    value of C means the same for every encoder. Both become part of the weights.
    """
    truth = task.truth[rows]
    centre = embeddings[rows].mean(axis=0)
    centred = embeddings[rows] - centre
    # If all texts have the same embedding, there is nothing to divide by.
    spread = float(np.sqrt((centred**2).sum(axis=1).mean())) or 1.0
    model = LogisticRegression(C=c, max_iter=MAX_ITERATIONS)
    model.fit(centred / spread, truth, sample_weight=_weights(task, rows))
    weights, bias = model.coef_.T / spread, model.intercept_
    if task.classes == 2:  # scikit-learn returns only the scores of the second class.
        weights, bias = np.hstack([np.zeros_like(weights), weights]), np.array([0.0, bias[0]])
    return Head(weights, bias - centre @ weights)


def _weights(task: TrainingTask, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return how much each of these texts counts, so that each class counts as much as among all texts.

    Else the class of a held-out text would be rarer among the texts to train on, by much if there are few,
    and the cross-validation would find heads with a small C worse than they are.
    """
    of_all = text_weights(task.class_weight, task.truth, task.classes)
    wanted = np.bincount(task.truth, of_all, task.classes) / len(task.truth)
    found = np.bincount(task.truth[rows], minlength=task.classes) / len(rows)
    weights: NDArray[np.float64] = wanted[task.truth[rows]] / found[task.truth[rows]]
    return weights


def _notes(encoder: SentenceEncoder) -> tuple[str, ...]:
    return (
        f"The encoder {encoder.name} (SHA-256 {encoder.sha256}) is frozen: only a linear head on its "
        f"{encoder.dimensions} dimensions is trained.",
        *encoder.notes,
        "Texts are not cleaned, because the encoder was trained on texts as they are; the settings "
        "`preprocessing` have no effect.",
        "Each text is held out once, in one of the folds. The figures and the calibration are those of heads "
        "that were not trained on the text; the head of the model is trained on all texts.",
    )


def _about_cut(embedded: Embedded, encoder: SentenceEncoder) -> tuple[str, ...]:
    count, texts = int(embedded.cut.sum()), len(embedded.cut)
    if not count:
        return ()
    return (
        f"{count:,} of {texts:,} texts ({100 * count / texts:.1f} %) are longer than the "
        f"{encoder.max_tokens} tokens that are read of a text, and were cut.",
    )
