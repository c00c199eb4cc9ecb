"""The convolutional network (Kim, EMNLP 2014): embedding, Conv1D, global max pooling, dense; then ONNX."""

import os
import platform
from collections import Counter
from typing import Any

import numpy as np

from classifier.errors import ClassifierError
from classifier.runtimes.onnx import NETWORK, OnnxSettings
from classifier.text import Tokenizer
from training_import.keras_export import export_onnx
from training_import.task import NOTHING_TO_LEARN, Fitted, Progress, Task

VOCABULARY_SIZE = 20_000
FEWEST_OCCURRENCES = 2
EMBEDDING_SIZE = 64
FILTERS = 128
KERNEL_SIZE = 5
HIDDEN = 64
DROPOUT = 0.4
EPOCHS = 6
BATCH_SIZE = 64

PAD_ID, UNKNOWN_ID, FIRST_ID = 0, 1, 2


def train_cnn(task: Task, progress: Progress) -> Fitted:
    """Learn until the held-out loss stops falling, and keep the best epoch.

    Padding is masked, so a text's scores do not depend on how far it was padded: served batches are as wide
    as their longest text, not as `max_tokens`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(task.seed)
    tf.config.experimental.enable_op_determinism()

    progress("building the vocabulary")
    tokenizer = Tokenizer(task.text_settings)
    width = task.text_settings.max_tokens
    tokens = [tokenizer.tokens(text)[:width] for text in task.texts]
    counts = Counter(token for row in task.learn for token in tokens[row])
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    vocabulary = tuple(token for token, count in ranked if count >= FEWEST_OCCURRENCES)[:VOCABULARY_SIZE]
    if not vocabulary:
        raise ClassifierError(NOTHING_TO_LEARN)
    ids = {token: FIRST_ID + i for i, token in enumerate(vocabulary)}
    inputs = np.full((len(tokens), width), PAD_ID, np.int32)
    for row, text in enumerate(tokens):
        inputs[row, : len(text)] = [ids.get(token, UNKNOWN_ID) for token in text]

    model = _network(len(vocabulary) + FIRST_ID, task.classes)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True)

    class _Report(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
            progress(f"epoch {epoch + 1} of at most {EPOCHS}")

    history = model.fit(
        inputs[task.learn],
        task.truth[task.learn],
        batch_size=BATCH_SIZE,
        epochs=EPOCHS,
        validation_data=(inputs[task.held_out], task.truth[task.held_out]),
        callbacks=[stop, _Report()],
        verbose=0,
    ).history
    scores = model.predict(inputs[task.held_out], batch_size=256, verbose=0)
    progress("exporting to ONNX")
    network = export_onnx(model)
    return Fitted(
        model=OnnxSettings(first_id=FIRST_ID, unknown_id=UNKNOWN_ID, pad_id=PAD_ID, output="logits"),
        vocabulary=vocabulary,
        held_out_scores=np.asarray(scores, np.float64),
        choices={
            f"epoch {number}": f"held-out loss {loss:.4f}"
            for number, loss in enumerate(history["val_loss"], start=1)
        }
        | {"chosen": f"epoch {int(np.argmin(history['val_loss'])) + 1}"},
        versions={
            "python": ".".join(platform.python_version_tuple()[:2]),
            "numpy": np.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
        weights={NETWORK: network},
    )


def _network(id_count: int, classes: int) -> Any:
    """The compiled model; its answer for a text does not depend on the padding behind it."""
    import keras
    from keras import layers, ops

    ids = layers.Input((None,), dtype="int32", name="ids")
    mask = ops.expand_dims(ops.cast(ops.not_equal(ids, PAD_ID), "float32"), -1)
    embedded = layers.SpatialDropout1D(DROPOUT)(layers.Embedding(id_count, EMBEDDING_SIZE)(ids) * mask)
    # After a ReLU nothing is below zero, so a masked position never wins the maximum.
    features = layers.Conv1D(FILTERS, KERNEL_SIZE, padding="same", activation="relu")(embedded) * mask
    pooled = layers.Dropout(DROPOUT)(layers.GlobalMaxPooling1D()(features))
    hidden = layers.Dropout(DROPOUT)(layers.Dense(HIDDEN, activation="relu")(pooled))
    model = keras.Model(ids, layers.Dense(classes)(hidden))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model
