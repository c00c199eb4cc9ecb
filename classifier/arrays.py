"""Read an archive of flat arrays, whose sizes are checked before anything is unpacked."""

import io
import math
import re
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ArtifactError

MOST_NUMBERS = 2**27
"""In all arrays together: 1 GiB where each is computed with as eight bytes."""
MOST_MEMBERS = 64
_DIRECTORY_ENTRY = b"PK\x01\x02"
# Others unpack a whole block at once, however large it is.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_arrays(path: Path, content: bytes, names: re.Pattern[str]) -> dict[str, NDArray[np.generic]]:
    """The arrays of an `.npz` file with this content, by name.

    Each name must match `names`, and each array must be of integers or floating-point numbers. Raises
    ArtifactError, which names the file. Nothing is unpickled.
    """
    members = content.count(_DIRECTORY_ENTRY)
    if members > MOST_MEMBERS:
        raise ArtifactError(f"{path} has {members} members; at most {MOST_MEMBERS} are allowed")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check(archive, path, names)
            return {name.removesuffix(".npy"): _array(archive, name) for name in archive.namelist()}
    except ArtifactError:
        raise
    except Exception as error:  # numpy, zipfile, zlib and tokenize raise a dozen classes for damaged files
        raise ArtifactError(f"{path} does not hold flat arrays: {error}") from error


def _check(archive: zipfile.ZipFile, path: Path, names: re.Pattern[str]) -> None:
    seen: set[str] = set()
    numbers = 0
    for member in archive.infolist():
        name = member.filename
        if name in seen:
            raise ValueError(f"{name} is there twice")
        seen.add(name)
        if not name.endswith(".npy"):
            raise ValueError(f"{name} is not an array")
        if not names.fullmatch(name.removesuffix(".npy")):
            raise ArtifactError(
                f"{path} holds {name.removesuffix('.npy')!r}; "
                f"the arrays of a linear model are {names.pattern}"
            )
        if member.compress_type not in _METHODS:
            raise ValueError(f"{name} is compressed by method {member.compress_type}, not by deflate")
        numbers += _declared_numbers(archive, member)
        if numbers > MOST_NUMBERS:
            raise ArtifactError(f"{path} holds {numbers} numbers; at most {MOST_NUMBERS} are allowed")


def _declared_numbers(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """How many numbers an array has by its header, of which as much must follow as it says."""
    name = member.filename
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{name} is of version {version} of the format, not (1, 0)")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        header = file.tell()
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ValueError(f"{name} is of {dtype}, not of plain numbers")
    if any(length < 0 for length in shape):
        raise ValueError(f"{name} declares the shape {shape}")
    numbers = math.prod(shape)
    if numbers <= MOST_NUMBERS and numbers * dtype.itemsize != member.file_size - header:
        raise ValueError(
            f"{name} declares {numbers * dtype.itemsize} bytes of numbers and has {member.file_size - header}"
        )
    return numbers


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    with archive.open(name) as file:
        array: NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
    return array
