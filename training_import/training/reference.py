"""Make the reference for drift from the texts that were held out of the training."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Calibration
from classifier.drift.features import TextFeatures, unknown_shares
from classifier.drift.reference import Reference, build_reference
from classifier.pipeline import to_probabilities
from classifier.text import TextSettings, Tokenizer
from training_import.training.task import Fitted


def held_out_reference(
    texts: Sequence[str],
    settings: TextSettings,
    fitted: Fitted,
    rows: NDArray[np.bool_],
    calibration: Calibration,
) -> Reference | None:
    """Return the reference that the held-out texts give; None if there are too few of them.

    `rows` (held out) says which scores are those of these n texts. The scores and the vocabulary are those
    of the model that was not trained on these texts. The finished model may have been trained on them too.
    It then knows more of their words, and is surer of their labels, than it is with any other text.
    """
    probabilities = to_probabilities(fitted.held_out_scores[rows], calibration)
    predicted = probabilities.argmax(axis=1)
    encoded = Tokenizer(settings, fitted.held_out_vocabulary).encode(texts)
    features = TextFeatures(
        characters=np.array([len(text) for text in texts], np.float64),
        unknown_share=unknown_shares(encoded.known, encoded.unknown),
        confidence=probabilities[np.arange(len(texts)), predicted],
        label=predicted,
    )
    return build_reference(features, probabilities.shape[1])
