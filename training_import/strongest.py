"""The strongest n-grams of a model, for its card."""

from classifier.artifact import Artifact
from classifier.explain.strongest import StrongestNgrams, strongest_ngrams
from training_import.markdown import markdown_table

LISTED = 20
"""How many n-grams of each class the card lists."""


def strongest_section(artifact: Artifact) -> str | None:
    """Return a section of a model card; None if the model has no weights of n-grams."""
    found = strongest_ngrams(artifact, LISTED)
    if found is None:
        return None
    parts = [
        "## Strongest word groups\n\nThe weight of a word group is what it adds to the log-odds of the class "
        f"against {found[0].compared_with}, before calibration. A word after \u00ac is negated."
    ]
    in_short = strongest_ngrams(artifact, LISTED, for_short_texts=True)
    parts += (
        ["In long texts:", _table(found), "In short texts:", _table(in_short)]
        if in_short
        else [_table(found)]
    )
    return "\n\n".join(parts)


def _table(found: list[StrongestNgrams]) -> str:
    return markdown_table(
        ["class", "word groups with their weights"],
        [[one.label, "; ".join(f"{ngram} {weight:.2f}" for ngram, weight in one.ngrams)] for one in found],
    )
