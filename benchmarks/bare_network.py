"""Measures how much of the speed of ONNX Runtime is left when the service runs a transformer.

The service answers the texts at 64 connections. The bare network then runs as many of the same texts in this
process: their ids are ready, and texts of like lengths are in one batch. Both are measured in each round, so
other load on the machine affects both alike.

    text-classifier bench bare-network --artifact transformer
"""

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.artifacts import KINDS, prepare
from benchmarks.bodies import request_texts
from benchmarks.closed_loop import check_wrk, load
from benchmarks.errors import WrongOption
from benchmarks.report import machine_facts
from benchmarks.rounds import CAPACITY_CLIENTS, WARM_UP_SECONDS
from benchmarks.servers import SERVERS, running
from benchmarks.spread import Spread, spread
from classifier.artifact import Artifact, read_artifact
from classifier.runtimes.network import NETWORK, groups_of_similar_lengths, import_onnxruntime
from classifier.runtimes.processors import processors
from classifier.runtimes.transformer import MAX_RUN_TOKENS, TOKENIZER, TransformerSettings, WordPieces
from training_import.markdown import markdown_table

SERVICE = SERVERS[0]


@dataclass(frozen=True)
class Share:
    """The service next to the bare network, over all rounds."""

    artifact: str
    service: Spread
    """Texts per second at 64 connections."""
    bare: Spread
    """Texts per second of the bare network."""
    ratio: Spread
    p50_ms: Spread
    p99_ms: Spread


class _BareNetwork:
    """A network with the ids of all texts."""

    def __init__(self, artifact: Artifact, texts: Sequence[str]) -> None:
        settings = TransformerSettings.model_validate(artifact.manifest.model)
        pieces = WordPieces(artifact.weights[TOKENIZER], artifact.manifest.text, settings.unknown_id, "")
        self._encodings = pieces.encode(texts).encodings
        self._lengths = np.array([len(encoding.ids) for encoding in self._encodings])
        self._pad_id = settings.pad_id
        onnxruntime: Any = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = processors()
        self._session = onnxruntime.InferenceSession(
            artifact.weights[NETWORK], options, providers=["CPUExecutionProvider"]
        )
        self._names = [each.name for each in self._session.get_inputs()]

    def texts_per_second(self, count: int) -> float:
        """Run the first `count` texts; begin again if there are fewer."""
        rows = np.arange(count) % len(self._lengths)
        batches = [
            self._inputs(rows[part])
            for group in groups_of_similar_lengths(self._lengths[rows])
            for part in np.array_split(
                group, -(-len(group) * int(self._lengths[rows[group]].max()) // MAX_RUN_TOKENS["cpu"])
            )
            if len(part)
        ]
        begin = time.perf_counter()
        for batch in batches:
            self._session.run(None, batch)
        return count / (time.perf_counter() - begin)

    def _inputs(self, rows: NDArray[np.intp]) -> dict[str, NDArray[np.int64]]:
        lengths = self._lengths[rows]
        columns = np.arange(lengths.max())
        ids = np.full((len(rows), len(columns)), self._pad_id)
        for line, row in enumerate(rows):
            ids[line, : lengths[line]] = self._encodings[row].ids
        values = {
            "input_ids": ids,
            "attention_mask": (columns < lengths[:, None]).astype(np.int64),
            "token_type_ids": np.zeros_like(ids),
            "position_ids": np.broadcast_to(columns, ids.shape),
        }
        return {name: values[name] for name in self._names}


def _share(artifact: str, rounds: int, seconds: float, folder: Path) -> Share:
    texts = request_texts()[1]
    served = prepare(KINDS[artifact], folder)
    bare = _BareNetwork(read_artifact(served.folder), texts)
    bodies = folder / "bodies.jsonl"
    bodies.write_bytes(b"".join(SERVICE.encoded(text) + b"\n" for text in texts))
    loads, rates = [], []
    with running(SERVICE, served, folder / "service.log") as service:
        load(service.url, bodies, CAPACITY_CLIENTS, WARM_UP_SECONDS)
        for _ in range(rounds):
            loads.append(load(service.url, bodies, CAPACITY_CLIENTS, seconds))
            rates.append(bare.texts_per_second(loads[-1].answers))
    return Share(
        artifact=artifact,
        service=spread([one.requests_per_second for one in loads]),
        bare=spread(rates),
        ratio=spread([one.requests_per_second / rate for one, rate in zip(loads, rates, strict=True)]),
        p50_ms=spread([one.p50_ms for one in loads]),
        p99_ms=spread([one.p99_ms for one in loads]),
    )


def measure_bare_network(artifacts: str, rounds: int, seconds: float, json_file: Path | None) -> None:
    """Measure each artifact and print a table; `seconds` is the length of each load.

    Raises WrongOption and BenchmarkError.
    """
    names = [name.strip() for name in artifacts.split(",")]
    for name in names:
        if not name.startswith("transformer") or name not in KINDS:
            known = ", ".join(kind for kind in KINDS if kind.startswith("transformer"))
            raise WrongOption(f"artifact {name!r} is no transformer; these are {known}")
    check_wrk()
    console = Console(stderr=True)
    shares = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            console.print(f"{name}: {rounds} rounds")
            shares.append(_share(name, rounds, seconds, Path(folder)))
    print(  # noqa: T201
        markdown_table(
            ("artifact", "service texts/s", "bare texts/s", "ratio", "p50 ms", "p99 ms"),
            [
                (
                    one.artifact,
                    f"{one.service:,.1f}",
                    f"{one.bare:,.1f}",
                    f"{one.ratio:.2f}",
                    f"{one.p50_ms:,.0f}",
                    f"{one.p99_ms:,.0f}",
                )
                for one in shares
            ],
        )
    )
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        content = {"facts": machine_facts(), "shares": [asdict(one) for one in shares]}
        json_file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
