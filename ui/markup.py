"""HTML of texts and probabilities, in which everything that came from a user or a model is escaped.

`ui/style.css` has the classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from classifier.schema import ContributionAnswer, ExplanationAnswer, RankedLabel

MAX_OPACITY = 0.45
"""At this opacity the text still has a contrast above 4.5 in both themes."""

MIN_WEIGHT = 0.05
"""Words with less than this part of the strongest word's share have no colour."""

STRONG = 0.5
"""Words with more than this part of the strongest word's share are also underlined."""


def probability_bars(ranked: Sequence[RankedLabel]) -> str:
    """A table of labels with a bar and a percentage for each."""
    rows = "".join(_probability(escape(one["label"]), one["probability"]) for one in ranked)
    return f'<table class="figures"><caption>Probability of each label</caption>{rows}</table>'


def threshold_bars(ranked: Sequence[RankedLabel], thresholds: Mapping[str, float]) -> str:
    """A table of labels with a bar, a percentage and the threshold of each, which is a line on the bar.

    The bar of a label whose threshold is not reached is paler.
    """
    rows = "".join(
        _against_threshold(escape(one["label"]), one["probability"], thresholds[one["label"]])
        for one in ranked
    )
    return (
        '<table class="figures"><caption>Probability of each label</caption>'
        '<thead><tr><th scope="col">label</th><th scope="col" class="bar">has it from the line on</th>'
        '<th scope="col" class="number">probability</th><th scope="col" class="number">threshold</th></tr>'
        f"</thead>{rows}</table>"
    )


def _against_threshold(label: str, probability: float, threshold: float) -> str:
    has_it = "is-reached" if probability >= threshold else "is-missed"
    bar = (
        f'<span class="track {has_it}"><div style="width:{100 * probability:.2f}%"></div>'
        f'<span class="line" style="left:{100 * threshold:.2f}%"></span></span>'
    )
    return (
        f'<tr><th scope="row" class="name" title="{label}">{label}</th><td class="bar">{bar}</td>'
        f'<td class="number">{percent(probability)}</td><td class="number">{percent(threshold)}</td></tr>'
    )


def _probability(label: str, probability: float) -> str:
    bar = f'<span class="track"><div style="width:{100 * probability:.2f}%"></div></span>'
    return (
        f'<tr><th scope="row" class="name" title="{label}">{label}</th><td class="bar">{bar}</td>'
        f'<td class="number">{percent(probability)}</td></tr>'
    )


def contribution_table(contributions: Sequence[ContributionAnswer]) -> str:
    """A table of parts of a text with what each adds to the score, to the left or to the right of zero."""
    largest = max((abs(one["contribution"]) for one in contributions), default=0.0)
    rows = "".join(_contribution(one, largest) for one in contributions)
    return (
        '<table class="figures"><caption>What the strongest parts of the text add to the score</caption>'
        '<thead><tr><th scope="col">part of the text</th><th scope="col" class="bar">against | for</th>'
        f'<th scope="col" class="number">adds</th></tr></thead>{rows}</table>'
    )


def _contribution(one: ContributionAnswer, largest: float) -> str:
    value = one["contribution"]
    width = 100 * abs(value) / largest if largest else 0.0
    times = f" ({len(one['places'])} times)" if len(one["places"]) > 1 else ""
    name = escape(" ".join(one["text"].split()) + times)
    bar = f'<span class="half {_side(value)}"><div style="width:{width:.1f}%"></div></span>'
    return (
        f'<tr><th scope="row" class="name" title="{name}">{name}</th><td class="bar">{bar}</td>'
        f'<td class="number">{value:+.4f}</td></tr>'
    )


def coloured_text(explanation: ExplanationAnswer) -> str:
    """The text with its words coloured by their share; a word that is pointed at shows the number."""
    strongest = max((abs(word["share"]) for word in explanation["words"]), default=0.0)
    return f'<p class="coloured">{"".join(_pieces(explanation, strongest))}</p>'


def _pieces(explanation: ExplanationAnswer, strongest: float) -> Iterator[str]:
    """The words and what is between them, in the order of the text."""
    text, end = explanation["text"], 0
    for word in explanation["words"]:
        yield escape(text[end : word["start"]])
        end = word["end"]
        yield _word(text[word["start"] : end], word["share"], strongest)
    yield escape(text[end:])


def _word(word: str, share: float, strongest: float) -> str:
    weight = abs(share) / strongest if strongest else 0.0
    if weight < MIN_WEIGHT:
        return f'<span title="{share:+.4f}">{escape(word)}</span>'
    strong = " is-strong" if weight > STRONG else ""
    return (
        f'<span class="{_side(share)}{strong}" style="--opacity:{MAX_OPACITY * weight:.3f}" '
        f'title="{share:+.4f}">{escape(word)}</span>'
    )


def _side(value: float) -> str:
    return "is-for" if value > 0 else "is-against"


def legend(label: str, compared_with: str) -> str:
    """What the colours mean."""
    name = escape(label)
    return (
        f'<p class="legend"><span class="is-for">speaks for {name}</span> '
        f'<span class="is-against">speaks against {name}</span>, compared with {escape(compared_with)}</p>'
    )


def download_link(label: str, address: str) -> str:
    """A link that looks like a button."""
    return f'<a class="download" href="{escape(address)}" download>{escape(label)}</a>'


def percent(probability: float) -> str:
    """A probability as people read it; it is never rounded to 0 % or 100 %."""
    shown = f"{100 * probability:.1f}"
    if shown == "100.0" and probability < 1:
        return "> 99.9 %"
    if shown == "0.0" and probability > 0:
        return "< 0.1 %"
    return f"{shown} %"
