"""Export a Keras model to ONNX."""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training_import.onnx_graph import inner_graphs, names_read


def export_onnx(model: Any) -> bytes:
    """Export a Keras model with Keras's own exporter, whose output and warnings are dropped.

    The same model gives the same bytes: the exporter takes the order and names of nodes from hash values and
    counters of the process, so both are replaced.
    """
    import onnx

    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(action="ignore", category=FutureWarning),
        _quiet("tensorflow"),
    ):
        path = Path(folder) / "model.onnx"
        model.export(str(path), format="onnx", verbose=False)
        exported = onnx.load(path)
    _order(exported.graph)
    ends = (*exported.graph.input, *exported.graph.output)
    _rename(exported.graph, {value.name: value.name for value in ends})
    content: bytes = exported.SerializeToString(deterministic=True)
    return content


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep a logger to errors, and give it back its own level at the end."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _order(graph: Any) -> None:
    """Sort the nodes in the order in which a depth-first walk from the outputs leaves them.

    Each node comes after those that it reads from.
    """
    for node in graph.node:
        for inner in inner_graphs(node):
            _order(inner)
    makers = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    ordered: dict[int, Any] = {}
    waiting = [makers[value.name] for value in reversed(graph.output) if value.name in makers]
    while waiting:
        node = graph.node[waiting[-1]]
        before = [makers[name] for name in names_read(node) if name in makers and makers[name] not in ordered]
        if before:
            waiting += reversed(before)
        else:
            ordered.setdefault(waiting.pop(), node)
    graph.ClearField("node")
    graph.node.extend(ordered.values())


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Number all sizes and values in the order in which the nodes use them, and sort the constants likewise.

    `names` maps old names to new ones; the names of the graph are added to it.
    """

    def new(name: str) -> str:
        return names.setdefault(name, f"v{len(names)}") if name else ""

    graph.doc_string = ""
    for value in (*graph.input, *graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = new(size.dim_param)
    for value in graph.input:
        value.name = new(value.name)
    for node in graph.node:
        node.name = ""
        node.input[:] = [new(name) for name in node.input]
        for inner in inner_graphs(node):
            _rename(inner, names)
        node.output[:] = [new(name) for name in node.output]
    for value in graph.output:
        value.name = new(value.name)
    by_name = {constant.name: constant for constant in graph.initializer}
    used = [by_name[name] for name in names if name in by_name]
    for constant in used:
        constant.name = new(constant.name)
    graph.ClearField("initializer")
    graph.initializer.extend(used)
    graph.ClearField("value_info")
