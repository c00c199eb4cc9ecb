"""Importing networks: real Keras models are exported and answer as before."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import joblib
import keras
import numpy as np
import onnx
import pytest
import tensorflow
from keras import layers
from keras.src.legacy.preprocessing.text import Tokenizer
from onnx import TensorProto, helper

from classifier.artifact import Artifact, write_artifact
from classifier.pipeline import Classifier, load_classifier
from classifier.runtimes.network import NETWORK
from training_import.conversion.comparison import compare
from training_import.conversion.converted import ImportOptions, UnsupportedModel
from training_import.conversion.import_model import convert_and_compare, import_model
from training_import.keras_export import export_onnx

ROOT = Path(__file__).parents[2]
GOOD = ["a wonderful film", "great acting, great story", "I loved it: the best!", "funny and very clever"]
BAD = ["a terrible film", "awful acting, dull story", "I hated it: the worst!", "stupid and very slow"]
TEXTS = GOOD + BAD
LENGTH = 12


def options(**changes: object) -> ImportOptions:
    return replace(ImportOptions(name="imported"), **changes)  # type: ignore[arg-type]


def fitted_tokenizer(**settings: object) -> Tokenizer:
    tokenizer = Tokenizer(**settings)
    tokenizer.fit_on_texts(TEXTS)
    return tokenizer


def network(last: list[layers.Layer], length: int | None = LENGTH, ids: int = 40) -> keras.Model:
    """Return a network whose answers depend on order and padding, with different weights for all words."""
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            layers.Input((length,)),
            layers.Embedding(ids, 8, embeddings_initializer=keras.initializers.RandomNormal(stddev=1.0)),
            layers.Conv1D(8, 3, activation="relu"),
            layers.GlobalAveragePooling1D(),
            *last,
        ]
    )


def sigmoid_network(length: int | None = LENGTH, ids: int = 40) -> keras.Model:
    return network([layers.Dense(1, activation="sigmoid")], length, ids)


def original(model: keras.Model, tokenizer: Tokenizer, texts: list[str], **padding: str) -> np.ndarray:
    return model.predict(
        keras.utils.pad_sequences(tokenizer.texts_to_sequences(texts), LENGTH, **padding), verbose=0
    )


def answers(artifact: Artifact, folder: Path, texts: list[str]) -> np.ndarray:
    """Return the answers of a written and loaded artifact, as it is served."""
    write_artifact(artifact, folder)
    predictions = load_classifier(folder).predict(texts)
    return np.array([list(prediction.probabilities.values()) for prediction in predictions])


def saved_model(tmp_path: Path, model: keras.Model) -> Path:
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def saved_json(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "tokenizer.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def saved_package(tmp_path: Path, **content: object) -> Path:
    joblib.dump(content, tmp_path / "package.joblib")
    return tmp_path / "package.joblib"


STRANGE = ["an unheard-of film, great!", "THE BEST", "", "great " * 30 + "awful"]


@pytest.mark.parametrize("form", ["flat", "with settings", "as Keras writes it"])
def test_a_keras_file_with_its_word_index_gives_the_same_answers_after_the_import(tmp_path, form):
    tokenizer = fitted_tokenizer()
    model = sigmoid_network()
    content = {
        "flat": tokenizer.word_index,
        "with settings": {"word_index": tokenizer.word_index, "lower": True, "split": " "},
        "as Keras writes it": tokenizer.to_json(),
    }[form]
    chosen = options(word_index=saved_json(tmp_path, content))
    artifact = import_model(saved_model(tmp_path, model), chosen, TEXTS)
    expected = original(model, tokenizer, TEXTS + STRANGE)
    assert np.ptp(expected) > 0.01
    got = answers(artifact, tmp_path / "artifact", TEXTS + STRANGE)
    assert np.abs(got[:, 1:] - expected).max() <= 1e-4
    assert artifact.manifest.labels == ("0", "1")
    assert artifact.manifest.metrics["import_checked_texts"] >= 200


def test_a_keras_file_is_recognized_by_its_content(tmp_path):
    saved_model(tmp_path, sigmoid_network()).rename(tmp_path / "model.bin")
    chosen = options(word_index=saved_json(tmp_path, fitted_tokenizer().word_index))
    assert import_model(tmp_path / "model.bin", chosen).manifest.model.kind == "onnx"


def test_a_trained_recurrent_network_gives_the_same_answers_after_the_import(tmp_path):
    tokenizer = fitted_tokenizer(**{"oov_token": "<OOV>"})
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            layers.Embedding(40, 8, mask_zero=True),
            layers.Bidirectional(layers.LSTM(4)),
            layers.Dense(1),
            layers.Activation("sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy")
    padded = keras.utils.pad_sequences(tokenizer.texts_to_sequences(TEXTS), LENGTH)
    model.fit(padded, np.array([1.0] * 4 + [0.0] * 4), epochs=15, verbose=0)
    package = saved_package(
        tmp_path, model=model, tokenizer=tokenizer, threshold=0.7, max_tokens=LENGTH, vocab_size=40
    )
    artifact = import_model(package, options(trust_pickle=True))
    got = answers(artifact, tmp_path / "artifact", TEXTS + STRANGE)
    assert np.abs(got[:, 1:] - original(model, tokenizer, TEXTS + STRANGE)).max() <= 1e-4
    assert np.ptp(got[:, 1]) > 0.5
    assert artifact.manifest.threshold == 0.7
    assert "vocab_size is 40" in artifact.model_card


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"oov_token": "<OOV>"},
        {"num_words": 10},
        {"num_words": 10, "oov_token": "unk"},
        {"lower": False, "filters": "", "oov_token": "<OOV>"},
        {"filters": "aeiou\n", "split": ","},
    ],
    ids=str,
)
def test_a_package_gives_the_same_answers_with_every_setting_of_its_tokenizer(tmp_path, settings):
    tokenizer = fitted_tokenizer(**settings)
    model = sigmoid_network(length=None)
    package = saved_package(tmp_path, model=model, tokenizer=tokenizer, threshold=0.5, max_tokens=LENGTH)
    got = answers(import_model(package, options(trust_pickle=True)), tmp_path / "artifact", TEXTS + STRANGE)
    assert np.abs(got[:, 1:] - original(model, tokenizer, TEXTS + STRANGE)).max() <= 1e-4


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
def test_padding_and_truncating_follow_the_options(tmp_path, padding, truncating):
    tokenizer, model = fitted_tokenizer(), sigmoid_network()
    package = saved_package(tmp_path, model=model, tokenizer=tokenizer)
    chosen = options(trust_pickle=True, padding=padding, truncating=truncating)
    artifact = import_model(package, chosen)
    expected = original(model, tokenizer, TEXTS + STRANGE, padding=padding, truncating=truncating)
    got = answers(artifact, tmp_path / "artifact", TEXTS + STRANGE)
    assert np.abs(got[:, 1:] - expected).max() <= 1e-4
    assert f"padded ({padding}) and cut ({truncating})" in artifact.model_card


@pytest.mark.parametrize("activation", ["softmax", None])
def test_more_classes_keep_their_probabilities_and_are_named_by_the_labels(tmp_path, activation):
    tokenizer, model = fitted_tokenizer(), network([layers.Dense(3, activation=activation)])
    package = saved_package(tmp_path, model=model, tokenizer=tokenizer)
    assert import_model(package, options(trust_pickle=True)).manifest.labels == ("0", "1", "2")
    artifact = import_model(package, options(trust_pickle=True, labels=("x", "y", "z")))
    assert artifact.manifest.labels == ("x", "y", "z")
    expected = original(model, tokenizer, TEXTS)
    if activation is None:
        expected = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
    assert np.abs(answers(artifact, tmp_path / "artifact", TEXTS) - expected).max() <= 1e-4


def test_a_sigmoid_is_the_probability_of_the_class_1_that_the_package_names(tmp_path):
    tokenizer, model = fitted_tokenizer(), sigmoid_network()
    package = saved_package(tmp_path, model=model, tokenizer=tokenizer, label2id={"good": 1, "awful": 0})
    artifact = import_model(package, options(trust_pickle=True))
    assert artifact.manifest.labels == ("awful", "good")
    (prediction,) = Classifier(artifact).predict(TEXTS[:1])
    assert abs(prediction.probabilities["good"] - original(model, tokenizer, TEXTS[:1])[0, 0]) <= 1e-4


@pytest.mark.parametrize("module", ["keras_preprocessing.text", "keras.preprocessing.text"])
def test_a_tokenizer_pickled_under_a_former_name_is_read(tmp_path, module):
    model, tokenizer = sigmoid_network(), fitted_tokenizer()
    path = saved_package(tmp_path, model=model, tokenizer=tokenizer)
    now = Tokenizer.__module__.encode()

    def written(name: bytes) -> bytes:
        return b"\x8c" + bytes([len(name)]) + name

    content = path.read_bytes()
    assert content.count(written(now)) == 1
    # The frame around it also has a length; without the frame, the stream is still valid.
    renamed = content[:2] + content[11:].replace(written(now), written(module.encode()))
    assert content[2:3] == b"\x95"
    path.write_bytes(renamed)
    before = set(sys.modules)
    got = answers(import_model(path, options(trust_pickle=True)), tmp_path / "artifact", TEXTS)
    assert np.abs(got[:, 1:] - original(model, tokenizer, TEXTS)).max() <= 1e-4
    assert module not in set(sys.modules) - before


def test_words_beyond_the_embedding_are_left_out_of_a_bare_word_index(tmp_path):
    tokenizer, model = fitted_tokenizer(), sigmoid_network(ids=8)
    chosen = options(word_index=saved_json(tmp_path, tokenizer.word_index))
    artifact = import_model(saved_model(tmp_path, model), chosen)
    tokenizer.num_words = 8
    got = answers(artifact, tmp_path / "artifact", TEXTS)
    assert np.abs(got[:, 1:] - original(model, tokenizer, TEXTS)).max() <= 1e-4


def test_a_package_whose_words_are_beyond_the_embedding_is_refused(tmp_path):
    package = saved_package(tmp_path, model=sigmoid_network(ids=8), tokenizer=fitted_tokenizer())
    with pytest.raises(UnsupportedModel, match="has the id 8; the Embedding takes ids from 0 to 7"):
        import_model(package, options(trust_pickle=True))


def test_a_keras_file_without_word_index_is_refused(tmp_path):
    with pytest.raises(UnsupportedModel, match="with --word-index, or its Tokenizer in a pickle with"):
        import_model(saved_model(tmp_path, sigmoid_network()), options())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ([1], "is not a word index"),
        ({"a": "b"}, "is not a word index"),
        ({"word_index": {"a": 1}, "stem": True}, r"(?s)is not a word index.*stem"),
        ({"a": 1, "b": 1}, "words 'a' and 'b' have the same id, 1"),
        ({"word_index": {"a": 1}, "oov_token": "x"}, "oov_token 'x' has the id None"),
        ({"word_index": {"a": 1}, "split": ", "}, "split=', '; it must be a single character"),
        ({"word_index": {"a": 1}, "char_level": True}, "char_level=True"),
        ({"a": 1, "[CLS]": 2}, r"the word index has '\[CLS\]': these are sub-word pieces"),
    ],
)
def test_an_unusable_word_index_is_refused(tmp_path, content, message):
    chosen = options(word_index=saved_json(tmp_path, content))
    with pytest.raises(UnsupportedModel, match=message):
        import_model(saved_model(tmp_path, sigmoid_network()), chosen)


def test_a_lambda_layer_is_refused_and_not_run(tmp_path):
    model = network([layers.Lambda(lambda x: x * 2), layers.Dense(1, activation="sigmoid")])
    chosen = options(word_index=saved_json(tmp_path, fitted_tokenizer().word_index))
    with pytest.raises(UnsupportedModel, match=r"(?s)safe mode.*Lambda"):
        import_model(saved_model(tmp_path, model), chosen)


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ([layers.Dense(1, name="end")], "'end', has 1 units with the activation 'linear'"),
        (
            [layers.Dense(3, activation="sigmoid", name="end")],
            "'end', has 3 units with the activation 'sigmoid'",
        ),
        ([layers.Dense(1, activation="tanh", name="end")], "'end', has 1 units with the activation 'tanh'"),
        ([layers.Dense(2), layers.Dropout(0.1, name="end")], "'end', is Dropout"),
    ],
)
def test_an_output_that_is_not_a_probability_is_refused(tmp_path, last, message):
    package = saved_package(tmp_path, model=network(last), tokenizer=fitted_tokenizer())
    with pytest.raises(UnsupportedModel, match=message + ".*Supported is a Keras model"):
        import_model(package, options(trust_pickle=True))


def test_a_model_that_does_not_read_ids_is_refused(tmp_path):
    model = keras.Sequential([layers.Input((LENGTH,)), layers.Dense(1, activation="sigmoid")])
    package = saved_package(tmp_path, model=model, tokenizer=fitted_tokenizer())
    with pytest.raises(UnsupportedModel, match="no Embedding layer"):
        import_model(package, options(trust_pickle=True))


def test_a_tokenizer_of_another_kind_is_refused_by_its_name(tmp_path):
    package = saved_package(tmp_path, model=sigmoid_network(), tokenizer={"a": 1})
    with pytest.raises(UnsupportedModel, match=r"tokenizer is builtins\.dict"):
        import_model(package, options(trust_pickle=True))


def test_the_length_of_texts_must_be_known_and_agree(tmp_path):
    package = saved_package(tmp_path, model=sigmoid_network(length=None), tokenizer=fitted_tokenizer())
    with pytest.raises(UnsupportedModel, match="give --max-tokens"):
        import_model(package, options(trust_pickle=True))
    package = saved_package(tmp_path, model=sigmoid_network(), tokenizer=fitted_tokenizer(), max_tokens=50)
    with pytest.raises(UnsupportedModel, match="max_tokens is 50; the model takes only texts of 12 ids"):
        import_model(package, options(trust_pickle=True))


def test_cleaning_before_the_tokenizer_is_preserved(tmp_path):
    tokenizer, model = fitted_tokenizer(), sigmoid_network()
    package = saved_package(tmp_path, model=model, tokenizer=tokenizer)
    chosen = options(trust_pickle=True, strip_html=True, remove_special_chars=True, stopwords=("a", "and"))
    classifier = Classifier(import_model(package, chosen))
    (prediction,) = classifier.predict(["<br/>a funny AND clever 10/10 film"])
    expected = original(model, tokenizer, ["funny clever film"])
    assert abs(prediction.probabilities["1"] - expected[0, 0]) <= 1e-4


def test_a_converted_network_that_differs_from_the_original_is_refused(tmp_path):
    tokenizer, model = fitted_tokenizer(), sigmoid_network()
    artifact = import_model(
        saved_package(tmp_path, model=model, tokenizer=tokenizer), options(trust_pickle=True)
    )
    expected = original(model, tokenizer, TEXTS)
    weights = model.get_weights()
    weights[-1] += 0.01
    model.set_weights(weights)
    wrong = replace(artifact, weights={NETWORK: export_onnx(model)})
    message = r"where 0\.0001 is allowed: for the text '.+It was the worst of 8"
    with pytest.raises(UnsupportedModel, match=message):
        compare(wrong, np.hstack([1 - expected, expected]), TEXTS, 1e-4)


# ONNX with a description


def exported(tmp_path: Path, model: keras.Model) -> Path:
    model.predict(np.zeros((1, LENGTH)), verbose=0)
    path = tmp_path / "model.onnx"
    path.write_bytes(export_onnx(model))
    return path


def description(**changes: object) -> dict[str, object]:
    words = list(fitted_tokenizer().word_index)
    text = {"normalize": None, "strip_html": False, "unknown": "drop", "max_tokens": LENGTH}
    model = {"first_id": 1, "unknown_id": None, "pad_to": LENGTH, "output": "sigmoid"}
    return {"text": text, "vocabulary": words, "model": model, "labels": ["no", "yes"]} | changes


def test_an_onnx_file_with_its_description_is_imported(tmp_path):
    model = sigmoid_network()
    path = exported(tmp_path, model)
    chosen = options(tokenizer=saved_json(tmp_path, description(threshold=0.4)))
    imported = convert_and_compare(path, chosen, TEXTS)
    artifact = imported.artifact
    got = answers(artifact, tmp_path / "artifact", TEXTS)
    expected = original(model, fitted_tokenizer(), TEXTS, padding="post", truncating="post")
    assert np.abs(got[:, 1:] - expected).max() <= 1e-4
    assert artifact.manifest.labels == ("no", "yes")
    assert artifact.manifest.threshold == 0.4
    assert (imported.comparisons, artifact.manifest.metrics) == ((), {})
    assert "Nothing was compared with the original: its tokenizer did not come" in artifact.model_card
    assert "This does not compare it with the original." in artifact.model_card


@pytest.mark.parametrize("error", [0.0, 0.001])
def test_an_onnx_file_is_compared_with_the_expected_probabilities(tmp_path, error):
    model = sigmoid_network()
    yes = original(model, fitted_tokenizer(), TEXTS, padding="post", truncating="post")[:, 0].tolist()
    rows = [
        {"text": text, "no": 1 - one - error, "yes": one + error}
        for text, one in zip(TEXTS, yes, strict=True)
    ]
    expected = tmp_path / "expected.jsonl"
    expected.write_text("".join(json.dumps(row) + "\n" for row in rows))
    chosen = options(tokenizer=saved_json(tmp_path, description()), expected=expected)
    if error:
        with pytest.raises(
            UnsupportedModel, match=r"differs from the probabilities of expected\.jsonl by 0\.001"
        ):
            convert_and_compare(exported(tmp_path, model), chosen)
        return
    (compared,) = convert_and_compare(exported(tmp_path, model), chosen).comparisons
    assert (compared.texts, compared.largest <= 1e-4) == (8, True)


def test_an_onnx_model_whose_answer_depends_on_padding_is_refused(tmp_path):
    path = exported(tmp_path, sigmoid_network(length=None))
    model = {"first_id": 1, "unknown_id": None, "pad_to": None, "output": "sigmoid"}
    text = {"normalize": None, "unknown": "drop", "max_tokens": 100}
    chosen = options(tokenizer=saved_json(tmp_path, description(model=model, text=text)))
    with pytest.raises(
        UnsupportedModel, match=r"differs from its own answers to single texts|cannot score a batch"
    ):
        import_model(path, chosen)


def test_an_onnx_model_whose_output_is_not_a_probability_is_refused(tmp_path):
    path = exported(tmp_path, network([layers.Dense(2)]))
    model = {"first_id": 1, "unknown_id": None, "pad_to": LENGTH, "output": "probabilities"}
    chosen = options(tokenizer=saved_json(tmp_path, description(model=model)))
    with pytest.raises(UnsupportedModel, match=r"the probabilities sum to .* it must be 'logits'"):
        import_model(path, chosen)


def test_an_onnx_model_that_knows_fewer_words_than_described_is_refused(tmp_path):
    path = exported(tmp_path, sigmoid_network(ids=8))
    with pytest.raises(UnsupportedModel, match="cannot score a batch of texts as its description says"):
        import_model(path, options(tokenizer=saved_json(tmp_path, description())))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["one"]}, "labels: "),
        ({"extra": 1}, "extra: "),
        ({"vocabulary": [None]}, "vocabulary holds no word"),
        (
            {"vocabulary": ["film", "##s", "##ing"]},
            "the vocabulary of .* has '##s': these are sub-word pieces",
        ),
        ({"text": {"unknown": "drop", "max_tokens": 50}}, "it must be at least text.max_tokens, which is 50"),
        ({"text": {"unknown": "keep", "max_tokens": 5}}, "unknown_id is None, but text.unknown is 'keep'"),
        ({"labels": ["a", "b", "c"]}, "'sigmoid', which is for two labels"),
    ],
)
def test_an_inconsistent_description_is_refused(tmp_path, change, message):
    path = exported(tmp_path, sigmoid_network())
    with pytest.raises(UnsupportedModel, match=message):
        import_model(path, options(tokenizer=saved_json(tmp_path, description(**change))))


def test_an_onnx_file_without_a_description_is_refused(tmp_path):
    with pytest.raises(UnsupportedModel, match="give a JSON description of it with --tokenizer"):
        import_model(exported(tmp_path, sigmoid_network()), options())


def test_a_custom_operator_is_refused_by_its_name(tmp_path):
    model = onnx.load(exported(tmp_path, sigmoid_network()))
    model.graph.node[0].domain, model.graph.node[0].op_type = "my.company", "Secret"
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(UnsupportedModel, match=r"custom operator my\.company\.Secret"):
        import_model(tmp_path / "model.onnx", options(tokenizer=saved_json(tmp_path, description())))


def test_weights_in_another_file_are_refused_by_their_name(tmp_path):
    model = onnx.load(exported(tmp_path, sigmoid_network()))
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, size_threshold=0, location="w.bin")
    with pytest.raises(UnsupportedModel, match=r"has the weights .* in another file"):
        import_model(tmp_path / "model.onnx", options(tokenizer=saved_json(tmp_path, description())))


def test_weights_of_a_branch_in_another_file_are_also_found(tmp_path):
    tensor = TensorProto(name="hidden", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    branch = helper.make_graph([helper.make_node("Constant", [], ["y"], value=tensor)], "branch", [], [out])
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    onnx.save(helper.make_model(helper.make_graph([node], "g", [condition], [out])), tmp_path / "model.onnx")
    with pytest.raises(UnsupportedModel, match="has the weights 'hidden' in another file"):
        import_model(tmp_path / "model.onnx", options(tokenizer=saved_json(tmp_path, description())))


def test_an_hdf5_file_gives_the_same_answers(tmp_path):
    tokenizer, model = fitted_tokenizer(), sigmoid_network()
    model.save(tmp_path / "model.h5")
    index = saved_json(tmp_path, {"word_index": tokenizer.word_index})
    artifact = import_model(tmp_path / "model.h5", options(word_index=index))
    got = answers(artifact, tmp_path / "artifact", TEXTS + STRANGE)
    assert np.abs(got[:, 1:] - original(model, tokenizer, TEXTS + STRANGE)).max() <= 1e-4


def test_a_tokenizer_in_a_pickle_of_its_own_is_read(tmp_path):
    tokenizer, model = fitted_tokenizer(), sigmoid_network()
    joblib.dump(tokenizer, tmp_path / "tokenizer.pickle")
    chosen = options(trust_pickle=True, vectorizer=tmp_path / "tokenizer.pickle")
    artifact = import_model(saved_model(tmp_path, model), chosen)
    got = answers(artifact, tmp_path / "artifact", TEXTS)
    assert np.abs(got[:, 1:] - original(model, tokenizer, TEXTS)).max() <= 1e-4


def test_an_hdf5_file_of_weights_is_told_how_to_save_the_model(tmp_path):
    sigmoid_network().save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(UnsupportedModel, match=r"only the weights.*model\.save\('model\.keras'\)"):
        import_model(tmp_path / "model.weights.h5", options())


def test_an_hdf5_file_with_code_is_refused(tmp_path):
    model = network([layers.Lambda(lambda x: x), layers.Dense(1, activation="sigmoid")])
    model.save(tmp_path / "model.h5")
    with pytest.raises(UnsupportedModel, match="has a layer with code of its own, Lambda"):
        import_model(tmp_path / "model.h5", options())


def test_a_damaged_hdf5_file_is_refused(tmp_path):
    sigmoid_network().save(tmp_path / "model.h5")
    content = (tmp_path / "model.h5").read_bytes()
    (tmp_path / "model.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(UnsupportedModel, match="not a readable HDF5 file"):
        import_model(tmp_path / "model.h5", options())


# Models that split texts themselves


def vectorization(**settings: object) -> layers.TextVectorization:
    layer = layers.TextVectorization(**{"output_sequence_length": LENGTH, **settings})
    layer.adapt(TEXTS)
    return layer


def vectorizing_network(layer: layers.TextVectorization, shape: tuple[int, ...] = (1,)) -> keras.Model:
    """Return a network of texts, made without Sequential: it has two branches."""
    keras.utils.set_random_seed(3)
    texts = keras.Input(shape, dtype="string")
    ids = layer(texts)
    embedded = layers.Embedding(40, 8, embeddings_initializer=keras.initializers.RandomNormal(stddev=1.0))(
        ids
    )
    both = [layers.GlobalMaxPooling1D()(embedded), layers.GlobalAveragePooling1D()(embedded)]
    return keras.Model(texts, layers.Dense(3, activation="softmax")(layers.Concatenate()(both)))


NON_ASCII = ["\u00c9COLE, \u00e9t\u00e9!", "don't  stop", "hard\u00a0space A\u0130", "tabs\tand\nlines"]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"standardize": "lower"},
        {"standardize": "strip_punctuation"},
        {"standardize": None},
        {"split": "character"},
        {"max_tokens": 9},
    ],
    ids=str,
)
def test_a_model_that_splits_texts_gives_the_same_answers_with_every_setting(tmp_path, settings):
    model = vectorizing_network(vectorization(**settings))
    artifact = import_model(saved_model(tmp_path, model), options())
    texts = TEXTS + STRANGE + NON_ASCII
    expected = model.predict(tensorflow.constant([[text] for text in texts]), verbose=0)
    assert np.abs(answers(artifact, tmp_path / "artifact", texts) - expected).max() <= 1e-4
    assert artifact.manifest.labels == ("0", "1", "2")


def test_a_sequence_of_layers_that_splits_texts_gives_the_same_answers(tmp_path):
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((1,), dtype="string"),
            vectorization(),
            layers.Embedding(40, 8, mask_zero=True),
            layers.LSTM(4),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    artifact = import_model(saved_model(tmp_path, model), options(labels=("bad", "good")))
    expected = model.predict(tensorflow.constant([[text] for text in TEXTS]), verbose=0)
    got = answers(artifact, tmp_path / "artifact", TEXTS)
    assert np.abs(got[:, 1:] - expected).max() <= 1e-4


def test_nothing_of_tensorflow_reaches_the_screen(tmp_path):
    model = saved_model(tmp_path, vectorizing_network(vectorization()))
    command = [sys.executable, "-m", "cli", "import", str(model), "--name", "x"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    environment["BENTOML_HOME"] = str(tmp_path / "store")
    (tmp_path / "store").mkdir()
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    assert re.fullmatch(r" *done [\d:]+ *\n", done.stderr)


def test_texts_without_a_dimension_of_their_own_are_read(tmp_path):
    model = vectorizing_network(vectorization(), shape=())
    artifact = import_model(saved_model(tmp_path, model), options())
    assert artifact.manifest.metrics["import_largest_difference"] <= 1e-4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output_sequence_length": None}, "output_sequence_length is None"),
        ({"ngrams": 2}, "ngrams is 2"),
    ],
    ids=str,
)
def test_a_layer_that_cannot_be_converted_is_refused_with_its_setting(tmp_path, settings, message):
    model = vectorizing_network(vectorization(**settings))
    with pytest.raises(UnsupportedModel, match=message + ".*Supported is a TextVectorization layer"):
        import_model(saved_model(tmp_path, model), options())


def test_a_bag_of_words_is_refused(tmp_path):
    layer = layers.TextVectorization(output_mode="multi_hot")
    layer.adapt(TEXTS)
    model = keras.Sequential(
        [keras.Input((1,), dtype="string"), layer, layers.Dense(1, activation="sigmoid")]
    )
    with pytest.raises(UnsupportedModel, match="output_mode is 'multi_hot'"):
        import_model(saved_model(tmp_path, model), options())


@pytest.mark.parametrize("changes", [{"padding": "post"}, {"max_tokens": 5}], ids=str)
def test_an_option_that_the_layer_overrides_is_refused(tmp_path, changes):
    with pytest.raises(UnsupportedModel, match=r"has no effect|max_tokens is 5; the model reads 12"):
        import_model(saved_model(tmp_path, vectorizing_network(vectorization())), options(**changes))
