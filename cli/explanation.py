"""Print why a text has its label: the text with its words coloured, and a sum that a person can add up."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from classifier.explain.explanation import Contribution, Explanation
from cli.console import fitted, harmless
from training_import.evaluation.passages import passages

FOR = ("color(31)", "color(31) bold", "color(231) on color(31) bold")
"""The styles of words that speak for the label, from weak to strong: blue."""
AGAINST = ("color(130)", "color(130) bold", "color(231) on color(130) bold")
"""The styles of words that speak against it: orange. People who confuse red and green can tell it from blue.

Both colours have a contrast of at least 4 to 1 with black, with white and with the text on them.
"""
COLOUR_SYSTEMS = ("256", "truecolor")
"""Terminals with these colours; those of a terminal with 16 can be hard to read on its background."""
MAX_PART_CHARACTERS = 60
"""Most characters of an n-gram or a sentence in the table."""
MAX_LISTED_WORDS = 10
"""Most words for the label, and most words against it, that are listed where there are no colours."""


def print_explanation(console: Console, text: str, explanation: Explanation, top: int) -> None:
    """Print a text and its explanation with the `top` largest contributions.

    A console without colours gets the strongest words as a list instead, and no escape codes.
    """
    prediction = explanation.prediction
    has_colours = console.color_system in COLOUR_SYSTEMS and not console.no_color
    label = harmless(explanation.label)
    _print(console, f"{harmless(prediction.label)}  {prediction.confidence:.4f}")
    if has_colours:
        console.print(_coloured(text, explanation))
        legend = Text.assemble(("for ", FOR[1]), (label, FOR[1]), ", ", ("against it", AGAINST[1]))
        console.print(legend)
    else:
        _print(console, harmless(text))
        for side, words in (
            (f"words for {label}", _strongest_words(text, explanation, 1)),
            ("words against it", _strongest_words(text, explanation, -1)),
        ):
            _print(console, f"{side}: {', '.join(words) or 'none'}")
    console.print(_sum(explanation, top))
    for line in _meaning(explanation):
        _print(console, line)


def _print(console: Console, line: str) -> None:
    console.print(Text(line), soft_wrap=True)


def _coloured(text: str, explanation: Explanation) -> Text:
    shown = Text()
    for passage in passages(text, explanation.words):
        step = passage.step(len(FOR))
        style = "" if step == 0 else FOR[step - 1] if step > 0 else AGAINST[-step - 1]
        shown.append(harmless(passage.text), style)
    return shown


def _strongest_words(text: str, explanation: Explanation, sign: int) -> list[str]:
    """The distinct words whose share has this sign, those with the largest share first, with their shares."""
    shares: dict[str, float] = {}
    for passage in passages(text, explanation.words):
        if passage.share * sign > 0:
            word = harmless(passage.text).casefold()
            shares[word] = shares.get(word, 0.0) + passage.share
    ranked = sorted(shares.items(), key=lambda item: -item[1] * sign)[:MAX_LISTED_WORDS]
    return [f"{word} ({share:+.4f})" for word, share in ranked]


def _sum(explanation: Explanation, top: int) -> Table:
    """The table whose values above the last row add up to its last row, the score."""
    table = Table(box=None, pad_edge=False, show_footer=True, header_style="", footer_style="")
    table.add_column(explanation.unit, "score", overflow="fold")
    table.add_column("contribution", f"{explanation.score:+.4f}", justify="right")
    shown, remainder = explanation.top(top)
    for contribution in shown:
        table.add_row(_part(contribution), f"{contribution.value:+.4f}")
    if remainder.count:
        noun = "other" if remainder.count == 1 else "others"
        table.add_row(f"{remainder.count:,} {noun}", f"{remainder.value:+.4f}")
    table.add_row("bias", f"{explanation.bias:+.4f}")
    if explanation.interaction:
        table.add_row("interaction", f"{explanation.interaction:+.4f}")
    return table


def _part(contribution: Contribution) -> Text:
    cut = fitted(harmless(contribution.text), MAX_PART_CHARACTERS)
    times = len(contribution.places)
    return Text(cut if times == 1 else f"{cut} ({times} times)")


def _meaning(explanation: Explanation) -> Iterator[str]:
    yield (
        f"score: log-odds of {harmless(explanation.label)} against {explanation.compared_with}, "
        "before calibration"
    )
    prediction = explanation.prediction
    probability = prediction.probabilities[explanation.label]
    line = f"probability of {harmless(explanation.label)}: {probability:.4f}"
    if len(prediction.probabilities) == 2:
        scale, bias = explanation.calibration_scale, explanation.calibration_bias
        line += f" = 1 / (1 + exp(-({scale:.4f} × {explanation.score:+.4f} {_signed(bias)})))"
    yield line
    if explanation.faithfulness is not None:
        yield (
            f"faithfulness: comprehensiveness {explanation.faithfulness.comprehensiveness:.4f}, "
            f"sufficiency {explanation.faithfulness.sufficiency:.4f}"
        )


def _signed(number: float) -> str:
    return f"{'-' if number < 0 else '+'} {abs(number):.4f}"
