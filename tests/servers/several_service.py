"""A real service whose model gives a text several labels, or none."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server_process import PROJECT, Server, environment, running_server
from several import NAME, write_several

_SAVE = "import sys, pathlib, model_store; model_store.save(pathlib.Path(sys.argv[1]))"


@contextmanager
def running_several(folder: Path, **settings: str) -> Iterator[Server]:
    """Start a server with the model of `several.py` in a store of its own; stop it at the end."""
    artifact = write_several(folder / "artifact")
    # BentoML reads the place of its store once, so saving in another one needs a process.
    subprocess.run(
        [sys.executable, "-c", _SAVE, artifact], cwd=PROJECT, env=environment(folder, {}), check=True
    )
    with running_server(folder, folder / "server.log", CLASSIFIER__MODEL__NAME=NAME, **settings) as server:
        yield server
