"""A head is trained on a published sentence encoder, all-MiniLM-L6-v2, with eight texts of a class."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tokenizers
from numpy.typing import NDArray

from benchmarks.minilm import NotFetched, fetch_minilm
from classifier.pipeline import Classifier, load_classifier
from classifier.settings import PreprocessingSettings
from training_import.conversion.sentence_encoders import read_encoder
from training_import.dataset import Dataset, read_dataset
from training_import.evaluation.evaluate import evaluate
from training_import.sentence_encoder import SentenceEncoder
from training_import.training.encoder import embed, embedding_runtime
from training_import.training.material import DataSets
from training_import.training.train import train

EXAMPLES = 8
TEXTS = [
    "A man is eating food.",
    "The stock market fell sharply.",
    "Sharply, " * 200,
    "Ünïcode ¿qué? 你好",
    "",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return fetch_minilm(tmp_path_factory.mktemp("minilm"))
    except NotFetched as error:
        if "REQUIRE_FULL_DATA" in os.environ:
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def encoder(folder: Path) -> SentenceEncoder:
    return read_encoder(folder)


@pytest.fixture(scope="module")
def few(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with eight texts of each class."""
    data = read_dataset(project / "tests" / "data" / "agnews_train.parquet")
    left = dict.fromkeys(data.classes, EXAMPLES)
    path = tmp_path_factory.mktemp("few") / "few.tsv"
    lines = ["text\tlabel"]
    for text, label in zip(data.texts, data.labels, strict=True):
        left[label] -= 1
        if left[label] >= 0:
            lines.append(f'"{text.replace(chr(34), chr(34) * 2)}"\t{label}')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def test_texts(project: Path) -> Dataset:
    return read_dataset(project / "tests" / "data" / "agnews_test.jsonl")


@pytest.fixture(scope="module")
def artifact(folder: Path, few: Path, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact that the command makes."""
    output = tmp_path_factory.mktemp("artifact")
    home = tmp_path_factory.mktemp("home")
    subprocess.run(
        [
            *(sys.executable, "-m", "cli", "train", "--encoder", folder, "--data", few),
            *("--name", "news", "--output", output),
        ],
        cwd=project,
        env=os.environ | {"BENTOML_HOME": str(home)},
        check=True,
        capture_output=True,
    )
    return output


@pytest.fixture(scope="module")
def classifier(artifact: Path) -> Classifier:
    return load_classifier(artifact)


def independent(folder: Path, text: str) -> NDArray[np.float64]:
    """Return the embedding of a text without code of this project."""
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx")
    encoding = tokenizer.encode(text)
    (vectors,) = session.run(
        None,
        {
            "input_ids": [encoding.ids],
            "attention_mask": [encoding.attention_mask],
            "token_type_ids": [encoding.type_ids],
        },
    )
    mean = vectors[0].astype(np.float64).mean(axis=0)
    embedding: NDArray[np.float64] = mean / np.linalg.norm(mean)
    return embedding


def test_embeddings_are_those_of_the_published_model(folder: Path, encoder: SentenceEncoder) -> None:
    found = embed(encoder, TEXTS, lambda _step, _share=None: None)
    assert found.cut.tolist() == [False, False, True, False, False]
    assert found.embeddings == pytest.approx(
        np.array([independent(folder, text) for text in TEXTS]), abs=1e-5
    )


def test_texts_about_the_same_have_similar_embeddings(encoder: SentenceEncoder) -> None:
    texts = ["A man is eating food.", "Someone eats a meal.", "Shares fell in New York."]
    first, same, other = embed(encoder, texts, lambda _step, _share=None: None).embeddings
    assert first @ same > 0.5
    assert first @ other < 0.2


def test_an_embedding_does_not_depend_on_its_batch(encoder: SentenceEncoder, test_texts: Dataset) -> None:
    runtime = embedding_runtime(encoder, threads=1)
    texts = [*test_texts.texts[:20], *TEXTS]
    together = runtime.score(runtime.encode(texts)).scores
    alone = np.concatenate([runtime.score(runtime.encode([text])).scores for text in texts])
    assert together == pytest.approx(alone, abs=1e-5)


def test_few_texts_of_each_class_are_enough(classifier: Classifier, test_texts: Dataset) -> None:
    assert classifier.manifest.trained_on is not None
    assert classifier.manifest.trained_on.rows == EXAMPLES * len(classifier.labels)
    assert evaluate(classifier, test_texts).evaluation.accuracy > 0.65


def test_a_long_text_is_answered_with_a_warning(classifier: Classifier) -> None:
    (prediction,) = classifier.predict(["stocks " * 400])
    assert prediction.warnings == ("cut: only the first 254 tokens of the text were read",)


def test_in_int8_a_text_runs_alone_and_most_labels_stay(
    folder: Path, few: Path, classifier: Classifier, test_texts: Dataset
) -> None:
    smaller = read_encoder(folder, quantize="int8")
    assert smaller.settings.runs_alone
    assert len(smaller.network) < 0.3 * len(read_encoder(folder).network)
    data = DataSets(read_dataset(few))
    artifact = train(data, "encoder", "int8", PreprocessingSettings(), 0, encoder=smaller).artifact
    before, after = (one.probabilities(test_texts.texts[:100]) for one in (classifier, Classifier(artifact)))
    assert (before.argmax(axis=1) == after.argmax(axis=1)).mean() > 0.9
