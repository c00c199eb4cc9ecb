"""Train a convolutional network (Kim, EMNLP 2014), and export it to ONNX."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ClassifierError
from classifier.runtimes.network import NETWORK
from classifier.runtimes.onnx import OnnxSettings
from classifier.text import Tokenizer
from training_import.keras_export import export_onnx
from training_import.tensorflow_logs import silence_tensorflow
from training_import.training.class_weights import text_weights
from training_import.training.reference import held_out_unknown_share
from training_import.training.task import NOTHING_TO_LEARN, Fitted, Progress, TrainingTask
from training_import.versions import library_versions

VOCABULARY_SIZE = 20_000
MIN_OCCURRENCES = 2
EMBEDDING_SIZE = 64
FILTERS = 128
KERNEL_SIZE = 5
HIDDEN = 64
DROPOUT = 0.4
EPOCHS = 6
BATCH_SIZE = 64

PAD_ID, UNKNOWN_ID, FIRST_ID = 0, 1, 2


def train(task: TrainingTask, progress: Progress) -> Fitted:
    """Train until the held-out loss stops falling, and keep the best epoch.

    The layers are an embedding, a convolution, global max pooling and two dense layers. Padding is masked, so
    a text's scores do not depend on its padding: a served batch is only as wide as its longest text.
    """
    silence_tensorflow()
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(task.seed)
    tf.config.experimental.enable_op_determinism()

    progress("building the vocabulary")
    tokenizer = Tokenizer(task.text_settings)
    width = task.text_settings.max_tokens
    tokens = [tokenizer.tokens(text)[:width] for text in task.texts]
    counts = Counter(token for row in task.train_rows for token in tokens[row])
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    vocabulary = tuple(token for token, count in ranked if count >= MIN_OCCURRENCES)[:VOCABULARY_SIZE]
    if not vocabulary:
        raise ClassifierError(NOTHING_TO_LEARN)
    ids = {token: FIRST_ID + i for i, token in enumerate(vocabulary)}
    inputs = np.full((len(tokens), width), PAD_ID, np.int32)
    for row, text in enumerate(tokens):
        inputs[row, : len(text)] = [ids.get(token, UNKNOWN_ID) for token in text]

    model = _network(len(vocabulary) + FIRST_ID, task.classes)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True)

    batches = -(-len(task.train_rows) // BATCH_SIZE)

    class _Report(keras.callbacks.Callback):  # type: ignore[misc]
        _epoch = 0

        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
            self._epoch = epoch
            progress(f"epoch {epoch + 1} of at most {EPOCHS}", epoch / EPOCHS)

        def on_train_batch_end(self, batch: int, logs: Mapping[str, float]) -> None:
            figures = f"loss {logs['loss']:.3f}, accuracy {100 * logs['accuracy']:.1f} %"
            share = (self._epoch + (batch + 1) / batches) / EPOCHS
            progress(f"epoch {self._epoch + 1} of at most {EPOCHS}: {figures}", share)

    def given(rows: NDArray[np.intp]) -> tuple[Any, Any, Any]:
        return inputs[rows], task.truth[rows], text_weights(task.class_weight, task.truth[rows], task.classes)

    texts, truth, weights = given(task.train_rows)
    history = model.fit(
        texts,
        truth,
        sample_weight=weights,
        batch_size=BATCH_SIZE,
        epochs=EPOCHS,
        validation_data=given(task.held_out_rows),
        callbacks=[stop, _Report()],
        verbose=0,
    ).history
    scores = model.predict(inputs[task.held_out_rows], batch_size=256, verbose=0)
    progress("exporting to ONNX")
    network = export_onnx(model)
    return Fitted(
        model=OnnxSettings(first_id=FIRST_ID, unknown_id=UNKNOWN_ID, pad_id=PAD_ID, output="logits"),
        vocabulary=vocabulary,
        held_out_scores=np.asarray(scores, np.float64),
        held_out_unknown_share=held_out_unknown_share(task, vocabulary),
        choices={
            f"epoch {number}": f"held-out loss {loss:.4f}"
            for number, loss in enumerate(history["val_loss"], start=1)
        }
        | {"chosen": f"epoch {int(np.argmin(history['val_loss'])) + 1}"},
        versions=library_versions({"tensorflow": tf, "keras": keras}),
        weights={NETWORK: network},
    )


def _network(id_count: int, classes: int) -> Any:
    """Return the compiled model, whose scores for a text do not depend on the padding after it."""
    import keras
    from keras import layers, ops

    ids = layers.Input((None,), dtype="int32", name="ids")
    mask = ops.expand_dims(ops.cast(ops.not_equal(ids, PAD_ID), "float32"), -1)
    embedded = layers.SpatialDropout1D(DROPOUT)(layers.Embedding(id_count, EMBEDDING_SIZE)(ids) * mask)
    # A ReLU gives nothing below zero, so a masked position is never the only maximum.
    features = layers.Conv1D(FILTERS, KERNEL_SIZE, padding="same", activation="relu")(embedded) * mask
    pooled = layers.Dropout(DROPOUT)(layers.GlobalMaxPooling1D()(features))
    hidden = layers.Dropout(DROPOUT)(layers.Dense(HIDDEN, activation="relu")(pooled))
    model = keras.Model(ids, layers.Dense(classes)(hidden))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model
