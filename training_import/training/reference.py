"""Make the reference for drift from the texts that were held out of the training."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Calibration
from classifier.drift.features import TextFeatures, unknown_shares
from classifier.drift.reference import Reference, build_reference
from classifier.pipeline import to_probabilities
from classifier.text import Tokenizer
from training_import.training.task import Fitted, TrainingTask


def held_out_unknown_share(task: TrainingTask, vocabulary: Sequence[str]) -> NDArray[np.float64]:
    """Return the share of each held-out text's tokens (held out) that are not in a vocabulary."""
    texts = [task.texts[row] for row in task.held_out_rows]
    encoded = Tokenizer(task.text_settings, vocabulary).encode(texts)
    return unknown_shares(encoded.known, encoded.unknown)


def held_out_reference(
    texts: Sequence[str],
    fitted: Fitted,
    rows: NDArray[np.bool_],
    calibration: Calibration,
) -> Reference | None:
    """Return the reference that the held-out texts give; None if there are too few of them.

    `rows` (held out) says which scores are those of these n texts. The scores and the unknown tokens are
    those of the model that was not trained on these texts. The finished model may have been trained on them.
    It then knows more of their words, and is surer of their labels, than it is with any other text.
    """
    probabilities = to_probabilities(fitted.held_out_scores[rows], calibration)
    predicted = probabilities.argmax(axis=1)
    features = TextFeatures(
        characters=np.array([len(text) for text in texts], np.float64),
        unknown_share=fitted.held_out_unknown_share[rows],
        confidence=probabilities[np.arange(len(texts)), predicted],
        label=predicted,
    )
    return build_reference(features, probabilities.shape[1])
