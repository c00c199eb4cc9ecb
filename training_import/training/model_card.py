"""Write MODEL_CARD.md: what a person should know about a model before trusting it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from classifier.artifact import Artifact
from classifier.pipeline import Classifier
from training_import.evaluation.groups import CONFIDENT, GroupMetrics
from training_import.evaluation.metrics import Evaluation
from training_import.markdown import markdown_table
from training_import.overlap import MIN_SHARE, SHINGLE_TOKENS
from training_import.strongest import strongest_section
from training_import.training.class_weights import ClassWeight

_BALANCED = (
    "Class weight: balanced. A text counts n / (classes × texts of its class), so a rare class counts as "
    "much as a frequent one."
)


@dataclass(frozen=True)
class Figures:
    """What was found while a model was trained."""

    before: Evaluation
    """On the held-out texts, before calibration."""
    after: Evaluation
    """On the held-out texts, after calibration."""
    short_after: Evaluation | None
    """On the held-out short texts, after calibration."""
    test: Evaluation | None
    short_test: Evaluation | None
    groups: Sequence[GroupMetrics]
    choices: Mapping[str, str]
    """The options that were compared on the held-out texts, with their results."""
    chosen_on: str
    """The texts that they were compared on."""
    notes: Sequence[str]
    """What was decided about the model, one sentence each."""
    left_out: int
    """How many training texts overlapped with test texts."""
    class_weight: ClassWeight | None = None


def trained_model_card(artifact: Artifact, figures: Figures, held_out_texts: Sequence[str]) -> str:
    """Return the card of a trained model; `held_out_texts` are those of `figures.after`."""
    manifest = artifact.manifest
    before, after, choices = figures.before, figures.after, figures.choices
    source = " and on ".join(
        f"{data.rows:,} texts of {data.name} (SHA-256 {data.sha256})"
        for data in (manifest.trained_on, *manifest.short_trained_on)
        if data is not None
    )
    parts = [
        f"# {manifest.name}\n\n"
        f"A text classifier (kind *{manifest.model.kind}*) for {len(manifest.labels)} classes: "
        f"{', '.join(manifest.labels)}.\n\n"
        f"Trained on {source}, seed {manifest.seed}. Libraries: "
        + ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
        + "."
        + (f"\n\n{_BALANCED}" if figures.class_weight else "")
        + _left_out(figures)
        + "".join(f"\n\n{note}" for note in figures.notes),
        f"## Choice\n\nThe best option on {figures.chosen_on} was chosen.\n\n"
        + markdown_table(["option", "held-out result"], [[name, value] for name, value in choices.items()]),
        _evaluation("Held-out texts", after)
        + f"\n\nECE before calibration {before.ece:.4f}, after {after.ece:.4f} "
        f"({manifest.calibration.method}; {manifest.calibration.scale:.4f} times the scores"
        + ("" if manifest.calibration.bias is None else f", plus {manifest.calibration.bias[-1]:.4f}")
        + ").",
    ]
    if figures.short_after is not None:
        parts.append(_evaluation("Held-out short texts", figures.short_after))
    if figures.test is not None:
        parts.append(_evaluation("Test texts, evaluated once", figures.test))
    if figures.short_test is not None:
        parts.append(_evaluation("Short test texts, evaluated once", figures.short_test))
    if figures.groups:
        parts.append(_by_group(figures.groups))
    if manifest.quantization is not None:
        stored = manifest.quantization
        cost = stored.accuracy_cost
        parts.append(
            f"## Smaller weights\n\nStored as {stored.dtype}: no held-out probability moved by more than "
            f"{stored.largest_difference:.6f}"
            + ("." if cost is None else f", and accuracy fell by {100 * cost:.2f} points.")
        )
    strongest = strongest_section(artifact)
    if strongest is not None:
        parts.append(strongest)
    parts.append("## Cost of one text\n\n" + _cost(artifact, held_out_texts))
    parts.append(
        "## Limits\n\nThe model knows the language and the subject of its training texts and nothing else. "
        "An answer has a warning if the model knows less than half of the text's words"
        + (", or if the words of a short text say little to it" if figures.short_after else "")
        + ". Probabilities are calibrated for texts like those above"
        + (", as if all classes were equally frequent" if figures.class_weight else "")
        + ". Do not use the model as the only basis "
        "for decisions about people."
    )
    return "\n\n".join(parts) + "\n"


def _left_out(figures: Figures) -> str:
    if figures.test is None and figures.short_test is None:
        return ""
    share = f"at least {100 * MIN_SHARE:.0f} %"
    if not figures.left_out:
        return (
            "\n\nOverlap with the test: no text was left out of the training. A text would be left out if "
            f"{share} of its sequences of {SHINGLE_TOKENS} words were in test texts."
        )
    return (
        f"\n\nOverlap with the test: {figures.left_out} more texts were left out of the training, because "
        f"{share} of their sequences of {SHINGLE_TOKENS} words are in test texts."
    )


def _by_group(groups: Sequence[GroupMetrics]) -> str:
    rows = [
        [
            row.group,
            str(row.texts),
            "" if row.accuracy is None else f"{100 * row.accuracy:.1f} %",
            f"{row.mean_confidence:.2f}",
            f"{100 * row.confident_share:.0f} %",
        ]
        for row in groups
    ]
    header = ["group", "texts", "accuracy", "mean confidence", f"confidence above {CONFIDENT}"]
    return (
        "## Sentences by group, evaluated once\n\n"
        + markdown_table(header, rows)
        + "\n\nNo class is right for a text of a group without an accuracy."
    )


def _evaluation(title: str, figures: Evaluation) -> str:
    overall = markdown_table(
        ["texts", "accuracy", "ROC AUC", "log loss", "ECE"],
        [
            [
                f"{figures.rows:,}",
                f"{100 * figures.accuracy:.2f} %",
                f"{figures.roc_auc:.4f}",
                f"{figures.log_loss:.4f}",
                f"{figures.ece:.4f}",
            ]
        ],
    )
    by_class = markdown_table(
        ["class", "precision", "recall", "F1", "texts"],
        [
            [row.label, f"{row.precision:.4f}", f"{row.recall:.4f}", f"{row.f1:.4f}", f"{row.support:,}"]
            for row in figures.by_class
        ],
    )
    confusion = markdown_table(
        ["truth \\ predicted", *figures.labels],
        [
            [label, *(f"{count:,}" for count in row)]
            for label, row in zip(figures.labels, figures.confusion, strict=True)
        ],
    )
    return f"## {title}\n\n{overall}\n\n{by_class}\n\n{confusion}"


def _cost(artifact: Artifact, texts: Sequence[str]) -> str:
    """Say what a text costs, in operations, which are the same on every machine."""
    classifier = Classifier(artifact)
    batch = classifier.encode(texts)
    lengths = batch.known + batch.unknown
    words = f"The median held-out text has {np.median(lengths):.0f} tokens, the longest {lengths.max()}"
    return (
        f"{words}; {classifier.describe()}. "
        "`text-classifier evaluate` measures the time per text on your machine."
    )
