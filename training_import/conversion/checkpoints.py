"""Export a checkpoint of Hugging Face, and predict with it, in the environment of the exporter."""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_import.conversion.converted import UnsupportedModel

ROOT = Path(__file__).parents[2]

EXPORT_PYTHON = ROOT / ".venv-export" / "bin" / "python"
"""The interpreter of the environment that `make export-deps` makes."""

REFUSED = 2
"""The exit code of the exporter for a checkpoint that it refuses, and for an error that it caught."""

KEPT_VARIABLES = ("PATH", "TMPDIR", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""The environment variables that the exporter receives; none of them names an account or a server."""


def export_checkpoint(
    source: Path, output: Path, trust_pickle: bool, python: Path = EXPORT_PYTHON
) -> tuple[str, ...]:
    """Write model.onnx, tokenizer.json and config.json of a checkpoint to a new folder; return notes.

    Raises UnsupportedModel; then nothing is written.
    """
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as temporary:
        written = Path(temporary) / output.name
        arguments = [str(source.resolve()), str(written.resolve()), *_trust(trust_pickle)]
        notes = _run(source, "export", arguments, python)
        written.rename(output)
    return tuple(map(str, notes))


def predict_with_checkpoint(
    source: Path, texts: Sequence[str], trust_pickle: bool, max_tokens: int, python: Path = EXPORT_PYTHON
) -> NDArray[np.float64]:
    """Return the probabilities (n, classes) that transformers gives, reading at most `max_tokens` tokens.

    Raises UnsupportedModel.
    """
    arguments = [str(source.resolve()), f"--max-tokens={max_tokens}", *_trust(trust_pickle)]
    return np.array(_run(source, "predict", arguments, python, json.dumps(list(texts))), np.float64)


def _trust(trust_pickle: bool) -> list[str]:
    return ["--trust-pickle"] if trust_pickle else []


def _run(source: Path, command: str, arguments: Sequence[str], python: Path, given: str = "") -> Any:
    """Run a command of the exporter with `given` as standard input, and return its result."""
    if not python.exists():
        raise UnsupportedModel(
            f"{source} is a checkpoint of PyTorch; `make export-deps` makes the environment that exports it "
            f"(5.6 GB), or export it yourself with `optimum-cli export onnx --model {source} OUT`"
        )
    with tempfile.TemporaryDirectory() as home:  # so that no settings or caches of the user have an effect
        done = subprocess.run(
            [python, "-m", "exporter", command, *arguments],
            cwd=ROOT,
            env={name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ} | {"HOME": home},
            input=given,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    if done.returncode == 0:
        return json.loads(done.stdout)
    said = done.stderr.strip().splitlines()
    why = said[-1] if said else "it gave no reason"
    if done.returncode == REFUSED:
        raise UnsupportedModel(why)
    raise UnsupportedModel(f"the exporter could not {command} {source}: it {_end(done.returncode)}: {why}")


def _end(code: int) -> str:
    if code < 0:
        return f"was ended by the signal {signal.Signals(-code).name}"
    return f"ended with code {code}"
