"""Recognize a vocabulary of sub-word pieces, which a tokenizer of words cannot use."""

from collections.abc import Sequence

from training_import.conversion.converted import UnsupportedModel

SPECIAL_TOKENS = ("[CLS]", "[SEP]", "[MASK]")
"""Tokens of transformers. Nothing else puts them into a vocabulary, so one of them is enough."""

MARKS = ("##", "▁", "Ġ")
"""What a piece begins with: the marks of WordPiece, of SentencePiece, and of the byte-level BPE of GPT."""

MIN_PIECES = 2
MIN_SHARE_OF_PIECES = 0.01
"""Fewest pieces, and smallest share of all words, that make a list of words a vocabulary of pieces.

A list of words can have a stray "##" or a few Maltese words with Ġ. In the vocabularies of BERT, XLM-R and
GPT-2, about a fifth of the words or more has a mark.
"""


def refuse_pieces(what: str, words: Sequence[str | None]) -> None:
    """Raise UnsupportedModel if a vocabulary has sub-word pieces; `what` is what the message calls it."""
    known = [word for word in words if word]
    special = [word for word in known if word in SPECIAL_TOKENS]
    pieces = [word for word in known if word.startswith(MARKS) and word not in MARKS]
    is_subword = len(pieces) >= max(MIN_PIECES, MIN_SHARE_OF_PIECES * len(known))
    if special or is_subword:
        first = special[0] if special else pieces[0]
        raise UnsupportedModel(
            f"{what} has {first!r}: these are sub-word pieces, as transformers have. A description of words "
            "would give the model other ids than in its training. Import the whole folder of the transformer "
            "instead, with its tokenizer.json"
        )
