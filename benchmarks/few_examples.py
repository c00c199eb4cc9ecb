"""Compares the kinds of model that can be trained, by how many examples a class has.

For each seed and number of examples a sample of the training texts is drawn, the same for all kinds. A kind
that needs more rows of a class gets the fewest that it takes. All models are tested on the same test texts,
once. A text is embedded only once for all models with the encoder: a test of the project shows that the
finished artifact gives the scores that the head gives for its embedding.

    text-classifier bench few-examples --encoder FOLDER --data train.parquet --test test.parquet
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import WrongOption
from benchmarks.report import machine_facts
from benchmarks.spread import Spread, spread
from classifier.pipeline import Classifier
from classifier.settings import PreprocessingSettings
from training_import.calibration import fit_calibration
from training_import.conversion.sentence_encoders import read_encoder
from training_import.dataset import Dataset, read_dataset
from training_import.evaluation.metrics import class_indices, evaluate_scores
from training_import.markdown import markdown_table
from training_import.sentence_encoder import SentenceEncoder
from training_import.training.encoder import choose_head, embed, embedding_runtime
from training_import.training.material import DataSets
from training_import.training.task import TrainingTask
from training_import.training.train import train
from training_import.training.trainers import TRAINERS, Kind

KINDS: tuple[Kind, ...] = ("encoder", "linear", "cnn")
TIMED_TEXTS = 200


@dataclass(frozen=True)
class Model:
    """The figures of one model."""

    accuracy: float
    """In percent, on the test texts."""
    ece: float
    seconds: float
    """How long the training took, embeddings included."""
    milliseconds: float
    """The processor time of a text in a batch, one thread, cleaning or tokenization included."""


@dataclass(frozen=True)
class Row:
    """The models of a kind that were trained on samples of one size, one for each seed."""

    kind: Kind
    examples: int
    """How many a class has."""
    models: Sequence[Model]

    def cells(self) -> list[str]:
        """Return the line of the table."""
        accuracies = [model.accuracy for model in self.models]
        return [
            str(self.examples),
            self.kind,
            f"{np.mean(accuracies):.1f} ± {np.std(accuracies, ddof=1) if len(accuracies) > 1 else 0:.1f}",
            f"{np.mean([model.ece for model in self.models]):.3f}",
            f"{self._spread('seconds').median:.1f}",
            f"{self._spread('milliseconds').median:.2f}",
        ]

    def _spread(self, name: str) -> Spread:
        return spread([getattr(model, name) for model in self.models])


@dataclass(frozen=True)
class _Embedding:
    """What an encoder makes of all texts, and how long it takes."""

    rows: Mapping[str, int]
    embeddings: NDArray[np.float64]
    training_seconds: float
    """For a text of a training, which uses all threads."""
    milliseconds: float
    """The processor time of a text in a batch, one thread."""

    def of(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the embeddings of n texts, (n, dimensions)."""
        found: NDArray[np.float64] = self.embeddings[[self.rows[text] for text in texts]]
        return found


def measure_few_examples(
    encoder: Path, data: Path, test: Path, examples: str, seeds: int, tested: int, output: Path
) -> None:
    """Train and test all kinds on all sizes, and write the table to a Markdown file after each line."""
    sizes = _sizes(examples)
    pool, texts = read_dataset(data), _sample(read_dataset(test), tested)
    samples = {
        (size, seed): _examples(pool, size, seed)
        for size in {max(size, TRAINERS[kind].min_rows_of_a_class) for size in sizes for kind in KINDS}
        for seed in range(seeds)
    }
    sentence_encoder = read_encoder(encoder)
    used = dict.fromkeys(
        text for (size, _), sample in samples.items() if size in sizes for text in sample.texts
    )
    embedding = _embed(sentence_encoder, list(used), texts.texts)
    rows: list[Row] = []
    for size in sizes:
        for kind in KINDS:
            count = max(size, TRAINERS[kind].min_rows_of_a_class)
            models = []
            for seed in range(seeds):
                sample = samples[count, seed]
                if kind == "encoder":
                    models.append(_model_with_encoder(sentence_encoder, embedding, sample, texts, seed))
                else:
                    models.append(_model(kind, sample, texts, seed))
            rows.append(Row(kind, count, models))
            _write(output, rows, texts, seeds)


def _sizes(examples: str) -> list[int]:
    words = examples.split(",")
    if not all(word.isascii() and word.isdigit() and int(word) >= 2 for word in words):
        raise WrongOption(f"--examples is {examples!r}; it must be numbers from 2, as in 8,32")
    return [int(word) for word in words]


def _write(output: Path, rows: Sequence[Row], test: Dataset, seeds: int) -> None:
    header = ["examples a class", "kind", "accuracy", "ECE", "training, s", "a text, ms"]
    facts = ", ".join(f"{name}: {value}" for name, value in machine_facts().items())
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(
        f"{seeds} seeds, {len(test.texts):,} test texts of {test.name}. {facts}\n\n"
        + markdown_table(header, [row.cells() for row in rows])
        + "\n",
        encoding="utf-8",
    )


def _sample(dataset: Dataset, count: int) -> Dataset:
    """Return so many texts, always the same ones."""
    chosen = np.zeros(len(dataset.texts), bool)
    chosen[np.random.default_rng(0).permutation(len(chosen))[:count]] = True
    return dataset.only(chosen.tolist())


def _examples(pool: Dataset, size: int, seed: int) -> Dataset:
    """Return `size` texts of each class."""
    generator = np.random.default_rng(seed)
    truth = class_indices(pool.labels, pool.classes)
    chosen = np.zeros(len(truth), bool)
    for class_ in range(len(pool.classes)):
        chosen[generator.permutation(np.flatnonzero(truth == class_))[:size]] = True
    return pool.only(chosen.tolist())


def _quiet(step: str, share: float | None = None) -> None: ...


def _embed(encoder: SentenceEncoder, texts: Sequence[str], test: Sequence[str]) -> _Embedding:
    begin = time.perf_counter()
    learn = embed(encoder, texts, _quiet).embeddings
    seconds = (time.perf_counter() - begin) / len(texts)
    tested = embed(encoder, test, _quiet).embeddings
    runtime = embedding_runtime(encoder, threads=1)
    milliseconds = _milliseconds(lambda timed: runtime.score(runtime.encode(timed)), test)
    rows = {text: row for row, text in enumerate((*texts, *test))}
    return _Embedding(rows, np.concatenate([learn, tested]), seconds, milliseconds)


def _milliseconds(score: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    """Return the processor time of a text in a batch, which other programs change less than its duration."""
    timed = texts[:TIMED_TEXTS]
    score(timed)
    begin = time.process_time()
    score(timed)
    return (time.process_time() - begin) * 1000 / len(timed)


def _model_with_encoder(
    encoder: SentenceEncoder, embedding: _Embedding, sample: Dataset, test: Dataset, seed: int
) -> Model:
    begin = time.perf_counter()
    rows, none = np.arange(len(sample.texts)), np.zeros(len(sample.texts), bool)
    truth = class_indices(sample.labels, sample.classes)
    task = TrainingTask(
        sample.texts,
        truth,
        len(sample.classes),
        rows,
        rows,
        none,
        none,
        encoder.text_settings,
        seed,
        encoder=encoder,
    )
    chosen = choose_head(embedding.of(sample.texts), task, _quiet)
    calibration = fit_calibration(chosen.held_out_scores, truth)
    seconds = time.perf_counter() - begin + embedding.training_seconds * len(rows)
    figures = evaluate_scores(
        sample.classes,
        class_indices(test.labels, sample.classes),
        chosen.head.scores(embedding.of(test.texts)),
        calibration,
    )
    return Model(100 * figures.accuracy, figures.ece, seconds, embedding.milliseconds)


def _model(kind: Kind, sample: Dataset, test: Dataset, seed: int) -> Model:
    begin = time.perf_counter()
    artifact = train(DataSets(sample), kind, "few-examples", PreprocessingSettings(), seed).artifact
    seconds = time.perf_counter() - begin
    classifier = Classifier(artifact)
    milliseconds = _milliseconds(classifier.score, test.texts)
    figures = evaluate_scores(
        artifact.manifest.labels,
        class_indices(test.labels, artifact.manifest.labels),
        classifier.score(test.texts),
        artifact.manifest.calibration,
    )
    return Model(100 * figures.accuracy, figures.ece, seconds, milliseconds)
