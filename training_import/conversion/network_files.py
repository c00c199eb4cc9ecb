"""Read ONNX files, with their external data, and check what could not be served."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.runtimes.network import MAX_NETWORK_BYTES
from classifier.validation import shortened
from training_import.conversion.converted import UnsupportedModel
from training_import.onnx_graph import all_graphs, constants

_MAX_DIGITS = 19
"""Most digits of a place in a file, which is a number of 63 bits."""

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""The domains whose operators are part of ONNX Runtime."""


def read_network(source: Path) -> Any:
    """Return the `onnx.ModelProto` of a file, without its external data; raises UnsupportedModel."""
    import onnx

    try:
        check_size(source, MAX_NETWORK_BYTES)
        model = onnx.load_model_from_string(source.read_bytes())
    except OSError as error:
        raise UnsupportedModel(f"{source} cannot be read: {error.strerror}") from error
    except UnsupportedModel:
        raise
    except Exception as error:  # protobuf's class has no public name
        raise UnsupportedModel(f"{source} is not an ONNX file: {error}") from error
    if not model.graph.node:
        raise UnsupportedModel(f"{source} is not an ONNX file: it has no operators")
    return model


def check_size(path: Path, max_bytes: int) -> None:
    """Raise UnsupportedModel for what is not a file, which may never end, or is too large; or OSError."""
    size = path.stat().st_size
    if not path.is_file():
        raise UnsupportedModel(f"{path} cannot be read: it is not a file")
    if size > max_bytes:
        raise UnsupportedModel(f"{path} has {size:,} bytes; at most {max_bytes:,} are read")


def check_operators(source: Path, model: Any) -> None:
    """Raise UnsupportedModel for operators that are not part of ONNX Runtime."""
    local = {function.domain for function in model.functions}
    for node in (node for graph in _graphs(model) for node in graph.node):
        if node.domain not in DOMAINS | local:
            raise UnsupportedModel(
                f"{source} has the custom operator {node.domain}.{node.op_type} (node {node.name!r}); "
                "only ONNX's own operators are supported"
            )


def external_tensors(model: Any) -> list[Any]:
    """Return the tensors whose values are in another file."""
    import onnx

    external = onnx.TensorProto.EXTERNAL
    return [each for graph in _graphs(model) for each in constants(graph) if each.data_location == external]


def add_external_data(source: Path, model: Any) -> None:
    """Put the values that are in other files into the model; raises UnsupportedModel.

    A file must be in the folder of the model, because otherwise a model could name any file of the machine.
    """
    import onnx

    tensors = external_tensors(model)
    places = [(each, {entry.key: entry.value for entry in each.external_data}) for each in tensors]
    _check_total(source, sum(_number(source, each, place, "length") for each, place in places))
    contents: dict[str, bytes] = {}
    total = 0
    for tensor, place in places:
        location = place.get("location", "")
        if location not in contents:
            contents[location] = _read_data(source, tensor, location)
        begin, length = (_number(source, tensor, place, key) for key in ("offset", "length"))
        end = begin + length if "length" in place else len(contents[location])
        if end > len(contents[location]):
            raise UnsupportedModel(
                f"{source}: the weights {tensor.name!r} end at byte {end:,} of {location}, which has "
                f"{len(contents[location]):,}"
            )
        total += max(end - begin, 0)  # Weights without a length can all be the same file.
        _check_total(source, total)
        tensor.raw_data = contents[location][begin:end]
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _check_total(source: Path, total: int) -> None:
    if total + source.stat().st_size > MAX_NETWORK_BYTES:
        raise UnsupportedModel(
            f"{source} has {total:,} bytes of weights; at most {MAX_NETWORK_BYTES:,} are read. Store them in "
            "half precision or int8"
        )


def check_weights(source: Path, model: Any) -> None:
    """Raise UnsupportedModel for weights that are not finite numbers, or that do not fit their shape."""
    import onnx
    from onnx import numpy_helper

    for tensor in (tensor for graph in _graphs(model) for tensor in constants(graph)):
        if tensor.data_type in {onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING}:
            continue
        try:
            values = numpy_helper.to_array(tensor)
        except Exception as error:  # it raises what NumPy does, and ValueError
            raise UnsupportedModel(
                f"{source}: the weights {tensor.name!r} cannot be read: {error}"
            ) from error
        if values.dtype.kind == "f" and not _are_finite(values):
            raise UnsupportedModel(f"{source}: the weights {tensor.name!r} have a value that is not finite")


def _are_finite(values: NDArray[Any]) -> bool:
    """Return whether all values are finite; one alone can be minus infinity, with which padding is masked."""
    return bool(np.isfinite(values).all()) or (values.size == 1 and bool(np.isneginf(values).all()))


def _graphs(model: Any) -> Iterator[Any]:
    for part in (model.graph, *model.functions):
        yield from all_graphs(part)


def _read_data(source: Path, tensor: Any, location: str) -> bytes:
    path = PurePosixPath(location)
    if not location or path.is_absolute() or ".." in path.parts or "\\" in location:
        raise UnsupportedModel(
            f"{source} has the weights {tensor.name!r} in {location!r}, outside of its folder; only files of "
            "the folder are read"
        )
    file = source.parent / path
    try:
        check_size(file, MAX_NETWORK_BYTES)
        return file.read_bytes()
    except (OSError, ValueError) as error:  # ValueError for a NUL in the name
        why = error.strerror if isinstance(error, OSError) else error
        raise UnsupportedModel(
            f"{source} has the weights {tensor.name!r} in {location}, which cannot be read: {why}"
        ) from error


def _number(source: Path, tensor: Any, place: Mapping[str, str], key: str) -> int:
    value = place.get(key, "0")
    if not value.isascii() or not value.isdigit() or len(value) > _MAX_DIGITS:
        shown = shortened(repr(value), 50)
        raise UnsupportedModel(f"{source}: the weights {tensor.name!r} have the {key} {shown}")
    return int(value)
