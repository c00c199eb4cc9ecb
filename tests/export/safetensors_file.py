"""Reads and changes the tensors of a .safetensors file, without its library."""

import json
from pathlib import Path
from typing import Any

Tensors = dict[str, tuple[dict[str, Any], bytes]]
"""The description, with `dtype` and `shape`, and the bytes of each tensor."""


def read_tensors(path: Path) -> Tensors:
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    tensors = {}
    for name, about in json.loads(content[8:start]).items():
        if name != "__metadata__":
            first, last = about.pop("data_offsets")
            tensors[name] = (about, content[start + first : start + last])
    return tensors


def write_tensors(path: Path, tensors: Tensors) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, (about, values) in tensors.items():
        header[name] = about | {"data_offsets": [len(data), len(data) + len(values)]}
        data += values
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + data)
