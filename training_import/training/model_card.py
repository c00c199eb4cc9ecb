"""Write MODEL_CARD.md: what a person should know about a model before trusting it."""

from collections.abc import Mapping, Sequence

import numpy as np

from classifier.artifact import Artifact
from classifier.pipeline import Classifier
from training_import.evaluation.metrics import Evaluation
from training_import.markdown import markdown_table


def trained_model_card(
    artifact: Artifact,
    before: Evaluation,
    after: Evaluation,
    test: Evaluation | None,
    choices: Mapping[str, str],
    held_out_texts: Sequence[str],
) -> str:
    """Return the card of a trained model.

    `before` and `after` are its evaluations on the held-out texts before and after calibration; `test` is
    the one on the test texts, if there are any.
    """
    manifest = artifact.manifest
    trained_on = manifest.trained_on
    source = (
        ""
        if trained_on is None
        else f"{trained_on.rows:,} texts of {trained_on.name} (SHA-256 {trained_on.sha256})"
    )
    parts = [
        f"# {manifest.name}\n\n"
        f"A text classifier (kind *{manifest.model.kind}*) for {len(manifest.labels)} classes: "
        f"{', '.join(manifest.labels)}.\n\n"
        f"Trained on {source}, seed {manifest.seed}. Libraries: "
        + ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
        + ".",
        "## Choice\n\nThe best option on a held-out fifth of the training texts was chosen.\n\n"
        + markdown_table(["option", "held-out result"], [[name, value] for name, value in choices.items()]),
        _evaluation("Held-out texts", after)
        + f"\n\nECE before calibration {before.ece:.4f}, after {after.ece:.4f} "
        f"({manifest.calibration.method}; {manifest.calibration.scale:.4f} times the scores"
        + ("" if manifest.calibration.bias is None else f", plus {manifest.calibration.bias[-1]:.4f}")
        + ").",
    ]
    if test is not None:
        parts.append(_evaluation("Test texts, evaluated once", test))
    if manifest.quantization is not None:
        stored = manifest.quantization
        parts.append(
            f"## Smaller weights\n\nStored as {stored.dtype}: no held-out probability moved by more than "
            f"{stored.largest_difference:.6f}, and accuracy fell by {100 * stored.accuracy_cost:.2f} points."
        )
    parts.append("## Cost of one text\n\n" + _cost(artifact, held_out_texts))
    parts.append(
        "## Limits\n\nThe model knows the language and the subject of its training texts and nothing else. "
        "An answer has a warning if the model knows less than half of the text's words. Probabilities are "
        "calibrated for texts like those above. Do not use the model as the only basis for decisions about "
        "people."
    )
    return "\n\n".join(parts) + "\n"


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
