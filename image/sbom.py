"""The bill of materials of an image: its Python packages, as CycloneDX writes them."""

from pathlib import Path

import bentoml

from image.bento import BuildError
from image.tools import run_module


def write_bill(bento: bentoml.Bento, folder: Path) -> Path:
    """Write the bill of materials of the Bento's lock file; returns its path. Raises BuildError."""
    lock = Path(bento.path_of("env/python/requirements.txt"))
    folder.mkdir(parents=True, exist_ok=True)
    bill = folder / f"{bento.tag.version}.cdx.json"
    command = ["requirements", str(lock), "--output-reproducible", "--output-format", "JSON", "--output-file"]
    done = run_module("cyclonedx_py", *command, str(bill))
    if done.returncode:
        raise BuildError(f"cyclonedx-py ended with {done.returncode}: {done.stderr.strip()}")
    return bill
