"""Compares our two runtimes with the libraries that they replace or wrap, in microseconds per text.

Linear: `Classifier.score`, from the text to the scores, against `predict_proba` of the scikit-learn Pipeline
that the model was imported from (presence of 1-3-grams in two texts or more, unit length, logistic
regression).

Network: `Classifier.score`, from the text to the scores, against a bare ONNX Runtime session with the same
number of threads, which gets ids that were made before. The difference is tokenization, look-up and padding.

Both sides get the same real texts in one process, by turns, one at a time and in batches of 32. Before that
we check that both give the same answers. The figure of a round is the median over its texts. The table shows
the median, the lowest and the highest figure of the rounds.

    text-classifier bench runtimes --json reports/runtime_speed.json

Run it on a machine with nothing else to do. Fitting on all of IMDB takes about two minutes.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer

import model_store
from benchmarks.bodies import IMDB
from benchmarks.errors import WrongOption
from benchmarks.report import machine_facts
from benchmarks.spread import Spread, spread
from classifier.artifact import Artifact, read_artifact, write_artifact
from classifier.pipeline import Classifier, load_classifier, to_probabilities
from classifier.runtimes.network import NETWORK, import_onnxruntime
from classifier.runtimes.onnx import OnnxSettings
from classifier.settings import PreprocessingSettings
from classifier.text import Tokenizer
from training_import.conversion.converted import ImportOptions
from training_import.conversion.import_model import import_model
from training_import.dataset import Dataset, read_dataset
from training_import.training.material import DataSets
from training_import.training.train import train

BATCH = 32
WARM_UP = 20

Score = Callable[[int, int], object]
"""Scores the texts from a start position to an end position."""


@dataclass(frozen=True)
class Result:
    """One line of the table; times are in microseconds per text."""

    pair: str
    batch: int
    ours: Spread
    peer: Spread
    ratio: Spread
    """The peer's time divided by ours; above 1, ours is faster."""


def _round(ours: Score, peer: Score, count: int, batch: int, peer_first: bool) -> tuple[float, float]:
    """Time both by turns; return microseconds per text of ours and the peer, as medians over the batches."""
    order = [(1, peer), (0, ours)] if peer_first else [(0, ours), (1, peer)]
    times: tuple[list[float], list[float]] = ([], [])
    for start in range(0, count - batch + 1, batch):
        for side, score in order:
            begin = time.perf_counter()
            score(start, start + batch)
            times[side].append((time.perf_counter() - begin) * 1e6 / batch)
        order.reverse()
    return statistics.median(times[0]), statistics.median(times[1])


def _compare(pair: str, ours: Score, peer: Score, count: int, batch: int, rounds: int) -> Result:
    for start in range(0, min(WARM_UP, count - batch + 1)):
        ours(start, start + batch)
        peer(start, start + batch)
    times = [_round(ours, peer, count, batch, bool(number % 2)) for number in range(rounds)]
    return Result(
        pair,
        batch,
        spread([ours for ours, _ in times]),
        spread([peer for _, peer in times]),
        spread([peer / ours for ours, peer in times]),
    )


def _fit(data: Dataset) -> Pipeline:
    pipeline = make_pipeline(
        CountVectorizer(ngram_range=(1, 3), min_df=2, binary=True),
        Normalizer(),
        LogisticRegression(max_iter=1000),
    )
    return pipeline.fit(data.texts, data.labels)


def _both_loaded(pipeline: Pipeline) -> tuple[Classifier, Pipeline]:
    """Return the same model for both sides, each loaded from its file as a server loads it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.joblib"
        joblib.dump(pipeline, path)
        artifact = import_model(path, ImportOptions(name="peer", trust_pickle=True))
        write_artifact(artifact, Path(folder) / "artifact")
        return load_classifier(Path(folder) / "artifact"), joblib.load(path)


def _check_same(ours: NDArray[np.float64], peer: NDArray[np.float64], tolerance: float) -> None:
    difference = float(np.abs(ours - peer).max())
    if difference > tolerance:
        raise SystemExit(f"the scores of the two sides differ by {difference:g}; the limit is {tolerance:g}")


def _compare_linear(pipeline: Pipeline, texts: Sequence[str], rounds: int) -> list[Result]:
    classifier, pipeline = _both_loaded(pipeline)
    table = to_probabilities(classifier.score(texts), classifier.manifest.calibration)
    _check_same(table, pipeline.predict_proba(texts), 1e-6)

    def ours(start: int, end: int) -> object:
        return classifier.score(texts[start:end])

    def peer(start: int, end: int) -> object:
        return pipeline.predict_proba(texts[start:end])

    pair = "linear / scikit-learn"
    return [_compare(pair, ours, peer, len(texts), batch, rounds) for batch in (1, BATCH)]


def _session(network: bytes) -> Any:
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


def _padded(tokenizer: Tokenizer, settings: OnnxSettings, texts: Sequence[str]) -> NDArray[Any]:
    """The ids of a batch in the form that the network takes."""
    encoded = tokenizer.encode(texts)
    rows = [ids[:-1] for ids in np.split(encoded.ids, encoded.ends + 1)[:-1]]
    width = settings.pad_to or max(1, *map(len, rows))
    inputs = np.full((len(rows), width), settings.pad_id, np.int32)
    for line, ids in zip(inputs, rows, strict=True):
        first = 0 if settings.pad_side == "right" else width - len(ids)
        known = ids < tokenizer.unknown_id
        line[first : first + len(ids)] = np.where(known, ids + settings.first_id, settings.unknown_id or 0)
    return inputs


def _compare_network(artifact: Artifact, texts: Sequence[str], rounds: int) -> list[Result]:
    settings = artifact.manifest.model
    if not isinstance(settings, OnnxSettings):
        raise WrongOption(
            f"{artifact.manifest.name} is of kind {settings.kind}; the comparison needs a network"
        )
    classifier, session = Classifier(artifact), _session(artifact.weights[NETWORK])
    tokenizer = Tokenizer(artifact.manifest.text, artifact.vocabulary)
    name = session.get_inputs()[0].name
    results = []
    for batch in (1, BATCH):
        starts = range(0, len(texts) - batch + 1, 1 if batch == 1 else BATCH)
        warm_up = range(min(WARM_UP, len(texts) - batch + 1))
        inputs = {
            start: _padded(tokenizer, settings, texts[start : start + batch]) for start in {*starts, *warm_up}
        }

        def ours(start: int, end: int) -> Any:
            return classifier.score(texts[start:end])

        def peer(start: int, _: int, inputs: dict[int, NDArray[Any]] = inputs) -> Any:
            return session.run(None, {name: inputs[start]})[0]

        if settings.output == "logits":
            _check_same(ours(0, batch), peer(0, batch), 1e-5)
        results.append(_compare("network / ONNX Runtime", ours, peer, len(texts), batch, rounds))
    return results


def _show(results: Sequence[Result]) -> None:
    table = Table(title="Microseconds per text: median over rounds (lowest–highest)", title_justify="left")
    for column in ("pair", "texts per batch", "ours", "peer", "peer / ours"):
        table.add_column(column, justify="left" if column == "pair" else "right")
    for result in results:
        times = f"{result.ours:,.0f}", f"{result.peer:,.0f}", f"{result.ratio:.2f}"
        table.add_row(result.pair, str(result.batch), *times)
    Console(width=110).print(table)


def measure_runtimes(
    data: Path | None,
    texts: Path | None,
    model: str | None,
    count: int,
    rounds: int,
    network_rows: int,
    json_file: Path | None,
) -> None:
    """Compare the runtimes with their peers on real texts, and print a table.

    Without `data` and `texts`, the two parts of IMDB are used. `count` is the number of timed texts. `model`
    is the tag of a network; without it, a network is trained on `network_rows` texts. Raises WrongOption if
    the model is not a network.
    """
    console = Console(stderr=True)
    data, texts = data or IMDB / "train.parquet", texts or IMDB / "test.parquet"
    learn = read_dataset(data)
    timed = read_dataset(texts).texts[:count]
    console.print(f"fitting scikit-learn on {len(learn.texts):,} texts of {data}")
    results = _compare_linear(_fit(learn), timed, rounds)
    if model is None:
        console.print(f"training a network on {network_rows:,} texts")
        part = learn.first(network_rows)
        network = train(DataSets(part), "cnn", "benchmark", PreprocessingSettings(), seed=0).artifact
    else:
        network = read_artifact(model_store.folder_of(model))
    results += _compare_network(network, timed, rounds)
    _show(results)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        about: dict[str, object] = {
            **machine_facts(),
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
            "onnxruntime": import_onnxruntime().__version__,
            "texts": f"{len(timed)} of {texts.name}",
            "rounds": rounds,
        }
        content = about | {"results": [asdict(result) for result in results]}
        json_file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
