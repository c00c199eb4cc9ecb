"""Predicts texts with a checkpoint by transformers, as the answers that an import is compared with."""

from collections.abc import Sequence
from pathlib import Path

import torch

from exporter.errors import RefusedCheckpoint
from exporter.folder import open_checkpoint
from exporter.network import first_line, input_names, load_network
from exporter.tokenizer import load_tokenizer


def predict(folder: Path, texts: Sequence[str], trust_pickle: bool, max_tokens: int) -> list[list[float]]:
    """Return the probabilities of the labels for each text, of which at most `max_tokens` tokens are read.

    Each text runs alone, so that no answer depends on padding. Raises RefusedCheckpoint.
    """
    checkpoint = open_checkpoint(folder, trust_pickle)
    tokenizer, _ = load_tokenizer(checkpoint)
    network, _ = load_network(checkpoint)
    names = input_names(network, tokenizer)
    rows = []
    for number, text in enumerate(texts):
        encoded = tokenizer(text, truncation=True, max_length=max_tokens, return_tensors="pt")
        tokens = encoded["input_ids"].shape[1]
        if tokens == 0:
            raise RefusedCheckpoint(f"texts[{number}] gives no tokens, so the model has no answer for it")
        try:
            with torch.inference_mode():
                logits = network(**{name: encoded[name] for name in names}, return_dict=True).logits[0]
        except (IndexError, RuntimeError) as error:
            raise RefusedCheckpoint(
                f"the model cannot score texts[{number}] with {tokens} tokens: {first_line(error)}"
            ) from error
        if not bool(torch.isfinite(logits).all()):
            raise RefusedCheckpoint(
                f"the logits of texts[{number}] are {logits.tolist()}, not finite numbers"
            )
        scores = logits.double()
        values = torch.sigmoid(scores) if checkpoint.has_several_labels else torch.softmax(scores, dim=0)
        rows.append(values.tolist())
    return rows
