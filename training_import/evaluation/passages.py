"""Split a text into the passages that a picture of its explanation colours."""

from collections.abc import Sequence
from dataclasses import dataclass

from classifier.explain.explanation import Word


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a text: a word with a share, or everything between two such words."""

    text: str
    share: float
    """What the word adds to the score of the explained label; 0 between words."""
    strength: float
    """The share relative to the largest absolute share in the text, from -1 to 1."""

    def step(self, steps: int) -> int:
        """Return which of `steps` colours on the side of its sign the passage has; 0 is none."""
        return round(self.strength * steps)


def passages(text: str, words: Sequence[Word]) -> list[Passage]:
    """Split a text into its passages, which together are the text.

    The words are in the order of the text. Those with a share of 0 get no passage of their own. Words whose
    places overlap, as of a character that cleaning turns into several words, are one passage with the sum of
    their shares.
    """
    apart = _apart([word for word in words if word.share])
    largest = max((abs(word.share) for word in apart), default=0.0)
    found: list[Passage] = []
    end = 0
    for word in apart:
        start, word_end = word.place
        if start > end:
            found.append(Passage(text[end:start], 0.0, 0.0))
        found.append(Passage(text[start:word_end], word.share, word.share / largest if largest else 0.0))
        end = word_end
    if end < len(text):
        found.append(Passage(text[end:], 0.0, 0.0))
    return found


def _apart(words: Sequence[Word]) -> list[Word]:
    """Join words whose places overlap."""
    joined: list[Word] = []
    for word in words:
        if joined and word.place[0] < joined[-1].place[1]:
            before = joined.pop()
            place = before.place[0], max(before.place[1], word.place[1])
            joined.append(Word(place, before.share + word.share))
        else:
            joined.append(word)
    return joined
