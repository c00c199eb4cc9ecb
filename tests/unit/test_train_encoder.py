"""Training a linear head on the embeddings of a sentence encoder."""

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled import THREE, reviews, sentences
from tiny_encoder import write_encoder
from typer.testing import CliRunner, Result

from classifier.artifact import Artifact, write_artifact
from classifier.errors import ClassifierError
from classifier.pipeline import Classifier, load_classifier
from classifier.runtimes.network import NETWORK
from classifier.runtimes.transformer import TOKENIZER
from classifier.settings import PreprocessingSettings
from cli.app import app
from training_import.conversion.sentence_encoders import read_encoder
from training_import.dataset import Dataset
from training_import.evaluation.metrics import class_indices
from training_import.sentence_encoder import SentenceEncoder
from training_import.training.encoder import C_VALUES, TEXTS_AT_ONCE, choose_head, embed
from training_import.training.material import DataSets
from training_import.training.task import TrainingTask
from training_import.training.train import Trained, train

FEW = reviews(THREE, count=24)
"""Eight texts of each class."""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> SentenceEncoder:
    return read_encoder(write_encoder(tmp_path_factory.mktemp("encoders") / "tiny"))


def silent(_step: str, _share: float | None = None) -> None: ...


def trained(encoder: SentenceEncoder, data: Dataset = FEW, seed: int = 0, **options: Any) -> Trained:
    sets = DataSets(data, test=options.pop("test", None))
    return train(sets, "encoder", "few", PreprocessingSettings(), seed, encoder=encoder, **options)


def task_of(encoder: SentenceEncoder, data: Dataset, **changes: Any) -> TrainingTask:
    rows, none = np.arange(len(data.texts)), np.zeros(len(data.texts), bool)
    truth = class_indices(data.labels, data.classes)
    task = TrainingTask(
        data.texts,
        truth,
        len(data.classes),
        rows,
        rows,
        none,
        none,
        encoder.text_settings,
        0,
        encoder=encoder,
    )
    return replace(task, **changes)


def with_counts(counts: Mapping[str, int]) -> Dataset:
    """Return so many reviews of each class."""
    data = reviews(THREE, count=120)
    kept = []
    left = dict(counts)
    for label in data.labels:
        left[label] -= 1
        kept.append(left[label] >= 0)
    return data.only(kept)


def contents(artifact: Artifact, folder: Path) -> dict[str, bytes]:
    write_artifact(artifact, folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# Training and serving are the same


@pytest.mark.parametrize("data", [FEW, sentences(count=40)], ids=["three classes", "two classes"])
def test_the_artifact_gives_the_scores_of_the_head_for_the_embeddings(
    encoder: SentenceEncoder, data: Dataset, tmp_path: Path
) -> None:
    chosen = choose_head(embed(encoder, data.texts, silent).embeddings, task_of(encoder, data), silent)
    write_artifact(trained(encoder, data).artifact, tmp_path)
    texts = [*sentences(THREE, count=30, seed=9).texts, "", "nothing known", "great " * 300, "<b>Great</b>"]
    found = load_classifier(tmp_path).score(texts)
    assert found == pytest.approx(chosen.head.scores(embed(encoder, texts, silent).embeddings), abs=1e-4)


def test_the_artifact_is_a_transformer_with_the_tokenizer_of_the_encoder(encoder: SentenceEncoder) -> None:
    artifact = trained(encoder).artifact
    assert artifact.manifest.model == encoder.settings
    assert artifact.manifest.text == encoder.text_settings
    assert artifact.weights.keys() == {NETWORK, TOKENIZER}
    assert artifact.weights[TOKENIZER] == encoder.tokenizer
    assert artifact.manifest.quantization is None


def test_the_same_seed_gives_the_same_files(encoder: SentenceEncoder, tmp_path: Path) -> None:
    first, second = (trained(encoder, seed=3).artifact for _ in range(2))
    assert contents(first, tmp_path / "first") == contents(second, tmp_path / "second")


def test_the_encoder_is_the_same_at_each_reading(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path)
    assert read_encoder(folder) == read_encoder(folder)


# The head


def test_a_head_learns_the_classes_of_few_texts(encoder: SentenceEncoder) -> None:
    classifier = Classifier(trained(encoder).artifact)
    others = reviews(THREE, count=90, seed=8)
    right = [
        found.label == label
        for found, label in zip(classifier.predict(others.texts), others.labels, strict=True)
    ]
    assert np.mean(right) > 0.9


def test_the_held_out_scores_are_of_heads_that_did_not_learn_the_text(encoder: SentenceEncoder) -> None:
    labels = np.random.default_rng(1).permutation(np.repeat(["a", "b"], 30)).tolist()
    data = replace(sentences(count=60), labels=labels)
    embeddings = np.random.default_rng(2).normal(size=(60, 200))
    chosen = choose_head(embeddings, task_of(encoder, data), silent)
    truth = class_indices(data.labels, data.classes)
    assert (chosen.head.scores(embeddings).argmax(axis=1) == truth).mean() > 0.9
    assert (chosen.held_out_scores.argmax(axis=1) == truth).mean() < 0.7


def test_c_has_the_least_loss_after_calibration(encoder: SentenceEncoder) -> None:
    chosen = choose_head(embed(encoder, FEW.texts, silent).embeddings, task_of(encoder, FEW), silent)
    assert tuple(chosen.losses) == C_VALUES
    assert chosen.losses[chosen.c] == min(chosen.losses.values())


@pytest.mark.parametrize("factor", [0.01, 100])
def test_the_head_does_not_depend_on_the_scale_of_the_embeddings(
    encoder: SentenceEncoder, factor: float
) -> None:
    embeddings = embed(encoder, FEW.texts, silent).embeddings
    task = task_of(encoder, FEW)
    first = choose_head(embeddings, task, silent)
    second = choose_head(factor * embeddings + 5, task, silent)
    assert second.c == first.c
    assert second.held_out_scores == pytest.approx(first.held_out_scores, abs=1e-3)


def test_texts_with_the_same_embedding_give_finite_scores(encoder: SentenceEncoder) -> None:
    data = replace(FEW, texts=["word1"] * len(FEW.texts))
    chosen = choose_head(embed(encoder, data.texts, silent).embeddings, task_of(encoder, data), silent)
    assert np.isfinite(chosen.held_out_scores).all()


def test_balanced_classes_make_a_rare_class_more_probable(encoder: SentenceEncoder) -> None:
    data = with_counts({"bad": 30, "good": 30, "mixed": 5})
    shares = [
        Classifier(trained(encoder, data, class_weight=weight).artifact)
        .probabilities(reviews(THREE, count=60, seed=4).texts)[:, 2]
        .mean()
        for weight in (None, "balanced")
    ]
    assert shares[0] < shares[1]


# Few texts


def test_folds_are_as_many_as_the_texts_of_the_largest_class_allow(encoder: SentenceEncoder) -> None:
    data = with_counts({"bad": 3, "good": 2, "mixed": 2})
    embeddings = embed(encoder, data.texts, silent).embeddings
    assert choose_head(embeddings, task_of(encoder, data), silent).folds == 3


def test_a_class_of_two_texts_among_larger_ones_is_learned(encoder: SentenceEncoder) -> None:
    found = trained(encoder, with_counts({"bad": 40, "good": 40, "mixed": 2}))
    assert found.evaluations["held-out texts"].rows == 82
    assert any("Classes with fewer than 8 rows are hardly learned: 'mixed' (2)." in w for w in found.warnings)


def test_a_class_of_one_text_is_refused(encoder: SentenceEncoder) -> None:
    with pytest.raises(
        ClassifierError, match=r"each of the 3 classes needs at least 2 rows; class 'mixed' has 1\."
    ):
        trained(encoder, with_counts({"bad": 8, "good": 8, "mixed": 1}))


def test_a_class_that_loses_its_texts_to_the_test_is_refused(encoder: SentenceEncoder) -> None:
    data = with_counts({"bad": 8, "good": 8, "mixed": 2})
    with pytest.raises(ClassifierError, match=r"class 'mixed' has fewer than 2 texts to train on; 1 texts"):
        trained(encoder, data, test=data.only([label == "mixed" for label in data.labels]).first(1))


# What is said


def test_the_card_says_what_the_encoder_is_and_what_was_decided(encoder: SentenceEncoder) -> None:
    found = trained(encoder)
    card = found.artifact.model_card
    assert f"The encoder tiny (SHA-256 {encoder.sha256}) is frozen" in card
    assert "Texts are not cleaned, because the encoder was trained on texts as they are" in card
    assert "The best option on texts that were held out of the training in turn (5 folds) was chosen." in card
    assert all(note in card for note in found.notes)


def test_texts_that_are_cut_are_counted(tmp_path: Path) -> None:
    encoder = read_encoder(write_encoder(tmp_path, max_position_embeddings=100))
    assert (
        "24 of 24 texts (100.0 %) are longer than the 98 tokens that are read of a text, and were cut."
        in (trained(encoder).notes)
    )


def test_the_progress_counts_texts_and_its_share_grows(encoder: SentenceEncoder) -> None:
    steps: list[tuple[str, float]] = []
    texts = reviews(count=600).texts
    embed(encoder, texts, lambda step, share=None: steps.append((step, share or 0)))
    assert [step for step, _ in steps] == [
        f"embedding 600 texts: {done} done" for done in range(0, 600, TEXTS_AT_ONCE)
    ]
    shares = [share for _, share in steps]
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert 0.9 < shares[-1] < 1


def test_the_reference_for_drift_counts_the_tokens_of_the_encoder(encoder: SentenceEncoder) -> None:
    data = reviews(THREE, count=60)
    reference = trained(encoder, data).artifact.manifest.reference
    assert reference is not None
    assert reference.texts == 60
    half = replace(data, texts=[text.replace("word", "unseen") for text in data.texts])
    changed = trained(encoder, half).artifact.manifest.reference
    assert changed is not None
    assert reference.unknown_share != changed.unknown_share


def test_golden_cases_have_words_of_the_encoder(encoder: SentenceEncoder) -> None:
    words = {word for case in trained(encoder).artifact.golden for word in case.text.lower().split()}
    assert {"awful", "dull", "great"} <= words


# The command


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    data = tmp_path / "few.csv"
    with data.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *zip(FEW.texts, FEW.labels, strict=True)])
    return {"data": str(data), "encoder": str(write_encoder(tmp_path / "tiny"))}


def command(files: Mapping[str, str], *words: str) -> Result:
    options = [word for name, value in files.items() for word in (f"--{name}", value)]
    return CliRunner().invoke(app, ["train", "--name", "few", *options, *words], env={"COLUMNS": "300"})


def test_the_command_trains_and_prints_what_was_decided(files: dict[str, str], tmp_path: Path) -> None:
    result = command(files, "--max-tokens", "50", "--output", str(tmp_path / "artifact"))
    assert result.exit_code == 0, result.output
    assert "24 of 24 texts (100.0 %) are longer than the 48 tokens that are read" in result.stdout
    assert "the settings `preprocessing` have no effect" in result.stdout
    assert load_classifier(tmp_path / "artifact").manifest.text.max_tokens == 48


@pytest.mark.parametrize(
    ("without", "words", "message"),
    [
        ("", ("--kind", "linear"), "--kind linear and --encoder are both given"),
        ("encoder", ("--max-tokens", "50"), "--max-tokens is for a model with an encoder"),
    ],
)
def test_options_that_would_have_no_effect_are_wrong_usage(
    files: dict[str, str], without: str, words: tuple[str, ...], message: str
) -> None:
    result = command({name: value for name, value in files.items() if name != without}, *words)
    assert result.exit_code == 2
    assert message in result.output


def test_short_texts_are_refused(files: dict[str, str]) -> None:
    result = command(files, "--short", files["data"])
    assert str(result.exception) == "short texts are only for models of kind 'linear', not 'encoder'"


@pytest.mark.parametrize(
    ("kind", "is_given", "message"),
    [
        ("encoder", False, "a model of kind 'encoder' needs a sentence encoder; --encoder names its folder"),
        ("linear", True, "an encoder has no effect on a model of kind 'linear'"),
    ],
)
def test_an_encoder_and_its_kind_go_together(
    encoder: SentenceEncoder, kind: Any, is_given: bool, message: str
) -> None:
    with pytest.raises(ClassifierError, match=message):
        train(DataSets(FEW), kind, "few", PreprocessingSettings(), 0, encoder=encoder if is_given else None)
