"""The small checkpoints that all tests of the exporter use, with their exports and answers."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from exported import MAX_TOKENS, TEXTS, Answers

from training_import.conversion.checkpoints import (
    EXPORT_PYTHON,
    ROOT,
    export_checkpoint,
    predict_with_checkpoint,
)

os.environ["OMP_NUM_THREADS"] = "1"  # networks this small are faster so


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint of each architecture."""
    folder = tmp_path_factory.mktemp("checkpoints")
    subprocess.run([EXPORT_PYTHON, "-m", "exporter", "checkpoints", folder], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="session")
def texts(project: Path) -> list[str]:
    """The texts of the samples, of all kinds, and news."""
    data = project / "tests" / "data"
    lines = [
        *(data / "transformers" / "bert" / "expected.jsonl").read_text(encoding="utf-8").splitlines(),
        *(data / "agnews_test.jsonl").read_text(encoding="utf-8").splitlines(),
    ]
    return [json.loads(line)["text"] for line in lines][:TEXTS]


@pytest.fixture(scope="session")
def exports(
    checkpoints: Path, texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[Answers]]]:
    """The export and the answers of each checkpoint; several are made at once, as PyTorch starts slowly."""
    folder = tmp_path_factory.mktemp("exports")

    def make(name: str) -> Answers:
        export_checkpoint(checkpoints / name, folder / name, trust_pickle=False)
        return folder / name, predict_with_checkpoint(checkpoints / name, texts, False, MAX_TOKENS)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {path.name: pool.submit(make, path.name) for path in sorted(checkpoints.iterdir())}
