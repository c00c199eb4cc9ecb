"""Read an archive of flat arrays safely: all sizes are checked before anything is unpacked."""

import io
import math
import re
import zipfile

import numpy as np
from numpy.typing import NDArray

from classifier.errors import ArtifactError

MAX_NUMBERS = 2**27
"""Most numbers in all arrays together: 1 GiB if each becomes eight bytes."""
MAX_MEMBERS = 64
"""Most files in the archive, each of which is an array."""
_DIRECTORY_ENTRY = b"PK\x01\x02"
# With other methods, `zipfile` unpacks a whole block at once, however large it is.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_arrays(file: str, content: bytes, names: re.Pattern[str]) -> dict[str, NDArray[np.generic]]:
    """Read the arrays of an `.npz` file, by name; `file` is its name in error messages.

    The name of each array must match `names`, and its elements must be integers or floating-point numbers.
    Raises ArtifactError. Nothing is unpickled.
    """
    members = content.count(_DIRECTORY_ENTRY)
    if members > MAX_MEMBERS:
        raise ArtifactError(f"{file} has {members} members; at most {MAX_MEMBERS} are allowed")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check(archive, file, names)
            return {name.removesuffix(".npy"): _array(archive, name) for name in archive.namelist()}
    except ArtifactError:
        raise
    except Exception as error:  # numpy, zipfile, zlib and tokenize raise a dozen classes for damaged files
        raise ArtifactError(f"{file} does not hold flat arrays: {error}") from error


def _check(archive: zipfile.ZipFile, file: str, names: re.Pattern[str]) -> None:
    seen: set[str] = set()
    numbers = 0
    for member in archive.infolist():
        name = member.filename
        if name in seen:
            raise ValueError(f"{name} occurs twice")
        seen.add(name)
        if not name.endswith(".npy"):
            raise ValueError(f"{name} is not an array")
        if not names.fullmatch(name.removesuffix(".npy")):
            raise ArtifactError(
                f"{file} holds {name.removesuffix('.npy')!r}; "
                f"the arrays of a linear model are {names.pattern}"
            )
        if member.compress_type not in _METHODS:
            raise ValueError(f"{name} is compressed by method {member.compress_type}, not by deflate")
        numbers += _declared_numbers(archive, member)
        if numbers > MAX_NUMBERS:
            raise ArtifactError(f"{file} holds {numbers} numbers; at most {MAX_NUMBERS} are allowed")


def _declared_numbers(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> int:
    """Return how many numbers the header of an array declares.

    Raises ValueError if the bytes that follow are not as many.
    """
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
    if numbers <= MAX_NUMBERS and numbers * dtype.itemsize != member.file_size - header:
        raise ValueError(
            f"{name} declares {numbers * dtype.itemsize} bytes of numbers and has {member.file_size - header}"
        )
    return numbers


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    with archive.open(name) as file:
        array: NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
    return array
