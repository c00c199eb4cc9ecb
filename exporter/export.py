"""Exports a checkpoint into a folder with the ONNX graph, its tokenizer and config.json."""

import shutil
import tempfile
from pathlib import Path

from exporter.errors import RefusedCheckpoint
from exporter.folder import CONFIG, SPECIAL_TOKENS, TOKENIZER, TOKENIZER_CONFIG, open_checkpoint
from exporter.graph import write_graph
from exporter.network import input_names, load_network
from exporter.tokenizer import load_tokenizer

GRAPH = "model.onnx"


def export(folder: Path, output: Path, trust_pickle: bool) -> tuple[str, ...]:
    """Write the folder `output`, which must not exist or be empty; return notes for the user.

    Raises RefusedCheckpoint, and then writes nothing.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RefusedCheckpoint(f"{output} exists already; the export needs a new folder")
    checkpoint = open_checkpoint(folder, trust_pickle)
    tokenizer, tokenizer_notes = load_tokenizer(checkpoint)
    network, notes = load_network(checkpoint)
    most = max(tokenizer.get_vocab().values(), default=0)
    if most >= network.config.vocab_size:
        raise RefusedCheckpoint(
            f"{folder}: the tokenizer has a token with the id {most}, but the network only knows "
            f"{network.config.vocab_size} tokens, from 0"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as temporary:
        written = Path(temporary) / output.name
        written.mkdir()
        write_graph(network, input_names(network, tokenizer), written / GRAPH)
        tokenizer.backend_tokenizer.save(str(written / TOKENIZER), pretty=False)
        for name in (CONFIG, TOKENIZER_CONFIG, SPECIAL_TOKENS):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, written / name)
        written.replace(output)
    return (*tokenizer_notes, *notes)
