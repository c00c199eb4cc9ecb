"""Walk through an ONNX graph and the graphs inside its loops and branches."""

from collections.abc import Iterator
from typing import Any


def inner_graphs(node: Any) -> list[Any]:
    """Return the graphs that a node runs: the bodies of its loops and branches."""
    return [
        graph
        for attribute in node.attribute
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else []))
    ]


def all_graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph or function, and every graph inside it at any depth."""
    yield graph
    for node in graph.node:
        for inner in inner_graphs(node):
            yield from all_graphs(inner)


def constants(graph: Any) -> Iterator[Any]:
    """Yield the tensors that a graph or function holds itself, without those of its inner graphs."""
    yield from getattr(graph, "initializer", ())
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors


def names_read(node: Any) -> Iterator[str]:
    """Yield the names of the values that a node reads, those inside its loops and branches included."""
    yield from node.input
    for graph in inner_graphs(node):
        for step in graph.node:
            yield from names_read(step)
        yield from (value.name for value in graph.output)
