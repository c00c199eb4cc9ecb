"""What storing the weights of an imported network in a smaller type changes, and whether that is too much."""

import numpy as np

from classifier.artifact import Manifest, Quantization
from training_import.conversion.comparison import Comparison
from training_import.conversion.converted import LabelSets, Quantized, UnsupportedModel
from training_import.conversion.label_sets import decisions, sets_of
from training_import.evaluation.metrics import class_places, label_matrix


def measure_quantization(
    quantized: Quantized, check: Comparison, manifest: Manifest, truth: LabelSets
) -> Quantization:
    """Return how the answers to the compared texts changed; real ones alone count if there are any.

    `truth` has the labels of the real texts; it is empty if they are not known. Raises UnsupportedModel if
    too few texts keep their label, or all of their labels.
    """
    count = check.real or check.texts
    before, after = (decisions(manifest, each[:count]) for each in (check.expected, check.imported))
    agrees = (before == after).all(axis=1)
    agreement = float(agrees.mean())
    if agreement < quantized.min_agreement:
        kind = "real" if check.real else "generated"
        hint = "" if check.real else "give real texts with --data, of which fewer are close to call; or "
        raise UnsupportedModel(
            f"in {quantized.dtype}, {int((~agrees).sum())} of {count:,} {kind} texts have another "
            f"label ({agreement:.2%} agree; {quantized.min_agreement:.2%} must); {hint}--min-agreement "
            "accepts less, and without --quantize the weights stay as they are"
        )
    cost = None
    if truth:
        sets, known = sets_of(truth), set(class_places(manifest.labels))
        right = label_matrix(sets, manifest.labels)
        if not manifest.has_several_labels:
            right = right.argmax(axis=1)[:, None]
        # No answer is right for a text with a label that the model does not have.
        can_be_right = np.array([[known.issuperset(labels)] for labels in sets])
        was_right, is_right = (
            ((each == right) & can_be_right).all(axis=1).mean() for each in (before, after)
        )
        cost = float(was_right - is_right)
    return Quantization(
        dtype=quantized.dtype,
        largest_difference=float(np.abs(check.imported - check.expected)[:count].max()),
        accuracy_cost=cost,
        agreement=agreement,
    )


def say_quantization(quantized: Quantized, measured: Quantization) -> str:
    """Say in one sentence how much smaller the network is and what that costs."""
    accuracy = ""
    if measured.accuracy_cost is not None:
        accuracy = f", and the accuracy on them falls by {100 * measured.accuracy_cost:.2f} points"
    return (
        f"Its weights are stored in {quantized.dtype}: {quantized.bytes_after / 1e6:.1f} MB instead of "
        f"{quantized.bytes_before / 1e6:.1f}. {measured.agreement or 0:.2%} of the compared texts keep their "
        f"label, no probability changes by more than {measured.largest_difference:.3f}{accuracy}."
    )
