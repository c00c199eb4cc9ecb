"""A Keras model as the bytes of an ONNX file."""

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def export_onnx(model: Any) -> bytes:
    """Export by Keras's own exporter, which says nothing on standard output here.

    The same model gives the same bytes: the exporter's order and names, which come from hash values and
    counters of the process, are replaced.
    """
    import onnx

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = Path(folder) / "model.onnx"
        model.export(str(path), format="onnx", verbose=False)
        exported = onnx.load(path)
    _order(exported.graph)
    ends = (*exported.graph.input, *exported.graph.output)
    _rename(exported.graph, {value.name: value.name for value in ends})
    content: bytes = exported.SerializeToString(deterministic=True)
    return content


def _order(graph: Any) -> None:
    """Put the nodes in the order in which a walk from the outputs leaves them: each after those it reads."""
    for node in graph.node:
        for inner in _graphs(node):
            _order(inner)
    makers = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    ordered: dict[int, Any] = {}
    waiting = [makers[value.name] for value in reversed(graph.output) if value.name in makers]
    while waiting:
        node = graph.node[waiting[-1]]
        before = [makers[name] for name in _reads(node) if name in makers and makers[name] not in ordered]
        if before:
            waiting += reversed(before)
        else:
            ordered.setdefault(waiting.pop(), node)
    graph.ClearField("node")
    graph.node.extend(ordered.values())


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Number all sizes and values as the nodes meet them, and put the constants in this order.

    `names` holds the new name of what is named already, and gets those of what is in the graph.
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
        for inner in _graphs(node):
            _rename(inner, names)
        node.output[:] = [new(name) for name in node.output]
    for value in graph.output:
        value.name = new(value.name)
    constants = {constant.name: constant for constant in graph.initializer}
    used = [constants[name] for name in names if name in constants]
    for constant in used:
        constant.name = new(constant.name)
    graph.ClearField("initializer")
    graph.initializer.extend(used)
    graph.ClearField("value_info")


def _graphs(node: Any) -> list[Any]:
    """The bodies of loops and branches."""
    return [
        inner
        for attribute in node.attribute
        for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else []))
    ]


def _reads(node: Any) -> Iterator[str]:
    """The names that a node reads, those inside its loops and branches included."""
    yield from node.input
    for inner in _graphs(node):
        for step in inner.node:
            yield from _reads(step)
        yield from (value.name for value in inner.output)
