"""The labels and thresholds of a model whose texts can have several labels."""

from collections.abc import Mapping
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from classifier.artifact import Manifest
from classifier.pipeline import decide_labels
from classifier.validation import listed
from training_import.conversion.converted import Converted, ImportOptions, LabelSets, UnsupportedModel
from training_import.labels import spell_label

MAX_SHOWN_THRESHOLDS = 20


def thresholds_of(converted: Converted, options: ImportOptions) -> tuple[float, ...] | None:
    """Return the thresholds that the options or the package give; None for those of every new model.

    Raises UnsupportedModel if they do not fit the labels.
    """
    names, given = converted.labels.names, options.thresholds or converted.thresholds
    source = "--thresholds has" if options.thresholds else "the package's 'thresholds' has"
    if given is None:
        return None if converted.threshold is None else (converted.threshold,) * len(names)
    if isinstance(given, Mapping):
        if given.keys() != set(names):
            wrong = sorted(given.keys() ^ set(names))
            raise UnsupportedModel(
                f"{source} other labels than the model, such as {wrong[0]!r}; the model's are "
                f"{', '.join(names)}"
            )
        return tuple(given[name] for name in names)
    if len(given) != len(names):
        raise UnsupportedModel(
            f"{source} {len(given)} numbers; the model has {len(names)} labels: {', '.join(names)}"
        )
    return given


def say_thresholds(manifest: Manifest) -> str:
    """Say from which probability on a text has each label; a sentence for the screen and the model card."""
    thresholds = manifest.label_thresholds
    if len(set(thresholds)) == 1:
        are = f"threshold of each label is {thresholds[0]:.6g}"
    else:
        named = zip(manifest.labels, thresholds, strict=True)
        each = [f"{name} {threshold:.6g}" for name, threshold in named]
        are = f"thresholds are {listed(each, MAX_SHOWN_THRESHOLDS)}"
    return (
        "A text can have several labels, or none: all whose probability is at or above their threshold. The "
        f"{are}; --thresholds sets others."
    )


def check_single_label(converted: Converted, options: ImportOptions, labels: LabelSets) -> None:
    """Raise UnsupportedModel for thresholds or labelled texts that are for models with several labels."""
    if options.thresholds is not None or converted.thresholds is not None:
        source = "--thresholds" if options.thresholds else "the package's 'thresholds'"
        raise UnsupportedModel(f"{source} is for a model that can give a text several labels; this gives one")
    if labels and not isinstance(labels[0], str):
        raise UnsupportedModel("the labelled texts have several labels each; the model gives a text one")


def sets_of(labels: LabelSets) -> list[tuple[str, ...]]:
    """Return all labels of each of n texts; a text with one label has a set of one."""
    return [(of_text,) if isinstance(of_text, str) else of_text for of_text in labels]


def classes_in_data(converted: Converted, labels: LabelSets) -> tuple[str, ...]:
    """Return what labelled texts call the classes: their names, or what the model itself calls them.

    The model's own numbers or names are only taken if none of them is also the name of a class, because then
    it would not be certain which class is meant. Raises UnsupportedModel for a label that is no class.
    """
    classes = converted.labels
    own = tuple(spell_label(name) or name for name in classes.own)
    found = set(chain.from_iterable(sets_of(labels)))
    is_certain = set(own).isdisjoint(classes.names)
    names = own if is_certain and found <= set(own) else classes.names
    if unknown := sorted(found.difference(names)):
        raise UnsupportedModel(
            f"the labelled texts have the label {unknown[0]!r}; the model's labels are "
            f"{', '.join(map(repr, names))}, and the column of --label-column must have these"
        )
    return names


def decisions(manifest: Manifest, probabilities: NDArray[np.float64]) -> NDArray[np.generic]:
    """Return what is decided about n texts from probabilities (n, classes); equal rows are equal answers.

    It is the index of the most probable class (n, 1), or whether a text has each label (n, classes).
    """
    if manifest.has_several_labels:
        return decide_labels(manifest, probabilities)
    return np.asarray(probabilities.argmax(axis=1)[:, None])
