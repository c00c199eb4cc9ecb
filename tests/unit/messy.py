"""A file of labelled texts as an export from a spreadsheet can be: 10,000 rows with faults of all kinds."""

import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROWS = 10_000
BAD = {"no text": 40, "no label": 30, "wrong number of columns": 12, "unbalanced quotes": 8}
EMPTY_LINES = 25
COPIES, CONTRADICTIONS = 280, 20
"""How many rows repeat an earlier row, and how many repeat only its text and have the other label."""

_WORDS = [f"{start}{end}" for start in ("Gerät", "Kabel", "Hülle", "Akku") for end in "abcdefghijklmno"]
_OPINIONS = {"0": ("schlecht", "kaputt", "enttäuschend"), "1": ("großartig", "prima", "schön")}
_SPELLINGS = {"0": ("0", "0", "0", "0.0"), "1": ("1", "1", "1", "1.0")}


@dataclass(frozen=True)
class Messy:
    """What was written."""

    labels: Counter[str]
    """The labels of the rows that can be used, in one spelling."""
    places: list[tuple[str, int]]
    """The fault of each bad row, and the line at which it begins."""


def write_messy(path: Path, seed: int = 0) -> Messy:
    """Write the file: semicolons, cp1252, empty lines, line breaks in cells, and a NUL in the last text."""
    generator = random.Random(seed)
    rest = [kind for kind, count in BAD.items() for _ in range(count)]
    rest += ["copy"] * COPIES + ["contradiction"] * CONTRADICTIONS
    rest += ["good"] * (ROWS - 1000 - 1 - len(rest))
    generator.shuffle(rest)
    empty = Counter(generator.choices(range(ROWS), k=EMPTY_LINES))
    originals: list[tuple[str, str]] = []
    rows = ["Kommentar;Bewertung;Datum"]
    labels: Counter[str] = Counter()
    places: list[tuple[str, int]] = []
    line = 2
    for number, kind in enumerate([*["good"] * 1000, *rest, "good"]):
        rows += [""] * empty[number]
        line += empty[number]
        label = generator.choice("01")
        text = f"{_text(generator, label)} Nr. {number}" + ("\0" if number == ROWS - 1 else "")
        if kind in {"copy", "contradiction"}:
            text, label = originals.pop(generator.randrange(len(originals)))
            label = label if kind == "copy" else "10"[int(label)]
        elif kind == "good":
            originals.append((text, label))
        if kind in BAD:
            places.append((kind, line))
        else:
            labels[label] += 1
        rows.append(_row(text, generator.choice(_SPELLINGS[label]), kind))
        line += rows[-1].count("\n") + 1
    path.write_bytes("\r\n".join([*rows, ""]).encode("cp1252"))
    return Messy(labels, places)


def _text(generator: random.Random, label: str) -> str:
    """Return words, of which one in four texts has none that tells the label."""
    words = generator.choices(_WORDS, k=generator.randint(6, 14))
    if generator.random() < 0.75:
        words.insert(3, generator.choice(_OPINIONS[label]))
    chance = generator.random()
    if chance < 0.1:
        words.insert(3, "–\nund dann" if chance < 0.05 else '„so“; "na ja"')
    return " ".join(words)


def _row(text: str, label: str, kind: str) -> str:
    quoted = '"' + text.replace('"', '""') + '"' if set(text) & set(';"\n') else text
    return {
        "no text": f"  ;{label};1.11.2025",
        "no label": f"{quoted};;1.11.2025",
        "wrong number of columns": f"{quoted};{label}",
        "unbalanced quotes": f'"nie geschlossen;{label};1.11.2025',
    }.get(kind, f"{quoted};{label};1.11.2025")
