"""Find the labels of a foreign model's classes, from what the user, its package and the model itself say."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.validation import MAX_SHOWN_CHARACTERS, shortened
from datafiles.surrogates import replace_surrogates
from training_import.conversion.converted import ClassLabels, ClassNames, ImportOptions, UnsupportedModel

NAMING_KEYS = (
    "label_encoder",
    "labels",
    "classes",
    "target_names",
    "class_names",
    "id2label",
    "label2id",
)
"""The keys of a package that name the classes."""

MAX_SHOWN_NAMES = 10

_NUMBER = re.compile(r"[+-]?\d+(\.0)?")


def read_class_names(key: str, value: Any) -> ClassNames:
    """Read the value of a key that names the classes.

    It can be a list of names, {class: name}, {name: class}, or a fitted LabelEncoder or MultiLabelBinarizer.
    Raises UnsupportedModel.
    """
    try:
        names = _known_form(key, value)
    except (TypeError, ValueError, OverflowError):  # NumPy raises ValueError for lists of different lengths.
        names = None
    if names is None:
        raise UnsupportedModel(
            f"the package's {key!r} is {shortened(repr(value), MAX_SHOWN_CHARACTERS)}; it must be a list of "
            "names, {class: name}, {name: class}, or a fitted LabelEncoder or MultiLabelBinarizer; --labels "
            "overrides it"
        )
    return names


def _known_form(key: str, value: Any) -> ClassNames | None:
    """Return the names, or None for a value of another kind."""
    value = by_index(value)
    if hasattr(value, "classes_"):  # the position in `classes_` is the class
        return ClassNames(key, _by_position(value.classes_), is_list=False)
    if isinstance(value, Mapping) and value:
        by_class = (
            value if _has_classes_as_keys(key, value) else {class_: name for name, class_ in value.items()}
        )
        names = {_key(class_): name_of(name) for class_, name in by_class.items()}
        return ClassNames(key, names, is_list=False) if len(names) == len(value) else None
    if (isinstance(value, list | tuple) or hasattr(value, "tolist")) and np.ndim(value) == 1 and len(value):
        return ClassNames(key, _by_position(value), is_list=True)
    return None


def by_index(value: Any) -> Any:
    """Return a pandas Series with an index of its own as {index: value}, and anything else as it is.

    Raises ValueError if the index has a label twice.
    """
    is_series = type(value).__module__.partition(".")[0] == "pandas" and type(value).__name__ == "Series"
    if not is_series or type(value.index).__name__ == "RangeIndex":
        return value
    by_label = dict(value.items())
    if len(by_label) != len(value):
        raise ValueError("the index of the Series has a label twice")
    return by_label


def _by_position(names: Any) -> dict[int | str, str]:
    return dict(enumerate(map(name_of, np.asarray(names).tolist())))


def _has_classes_as_keys(key: str, names: Mapping[Any, Any]) -> bool:
    """Return whether it is {class: name}; numbers are the classes, and if both are, the key says it."""
    if all(map(_is_number, names)) == all(map(_is_number, names.values())):
        return key != "label2id"
    return all(map(_is_number, names))


def class_labels(
    options: ImportOptions, said: Sequence[ClassNames], classes: int | NDArray[Any]
) -> ClassLabels:
    """Return the labels of the options, or else those of the package, or else the model's own.

    `said` is what the package says. `classes` is the number of classes, or what the model calls them. Classes
    that nothing names are called by their numbers. Raises UnsupportedModel if names contradict each other or
    do not fit the model's classes.
    """
    own = list(range(classes)) if isinstance(classes, int) else np.asarray(classes).tolist()
    if len(own) < 2:
        raise UnsupportedModel(f"the model has {len(own)} class; a classifier needs at least 2")
    labels = _unchecked(options, said, own, isinstance(classes, int))
    if len(set(labels.names)) != len(labels.names):
        raise UnsupportedModel(f"the labels are {_list(labels.names)}; each class needs a different name")
    if not all(name.strip() for name in labels.names):
        raise UnsupportedModel(f"the labels are {_list(labels.names)}; a name must not be blank")
    if strange := [name for name in labels.names if replace_surrogates(name) != name]:
        raise UnsupportedModel(
            f"the labels have the name {strange[0]!r}, which no file can hold, because half of a character "
            "(a surrogate) is missing; give --labels"
        )
    return labels


def _unchecked(
    options: ImportOptions, said: Sequence[ClassNames], own: Sequence[Any], is_count: bool
) -> ClassLabels:
    own_names = tuple(map(name_of, own))
    if options.labels is not None:
        _check_order(options.labels, own)
        notes = _other_orders(options.labels, said, own, is_count)
        return ClassLabels(options.labels, own_names, "named by --labels", notes)
    found = [(names, _named(names, own, is_count)) for names in said if not _repeats(names, own)]
    if found:
        first, labels = found[0]
        for names, others in found[1:]:
            if others != labels:
                raise UnsupportedModel(
                    f"the package names its classes in two ways, {_say(first)}, but {_say(names)}; give "
                    "--labels"
                )
        keys = " and ".join(repr(names.key) for names, _ in found)
        return ClassLabels(labels, own_names, f"named by the package's {keys}", _unused_names(first, own))
    if all(map(_is_number, own)):
        return ClassLabels(own_names, own_names, "called by their numbers", (_how_to_name(own_names),))
    return ClassLabels(own_names, own_names, "the model's own names")


def _check_order(labels: Sequence[str], own: Sequence[Any]) -> None:
    """Raise UnsupportedModel for labels that are too few or too many, or the model's own in another order."""
    if len(labels) != len(own):
        raise UnsupportedModel(
            f"the labels are {_list(labels)}; the model has {len(own)} classes, and each needs a different "
            "name"
        )
    names = list(map(name_of, own))
    if set(labels) == set(names) and list(labels) != names:
        raise UnsupportedModel(
            f"the labels are {_list(labels)}; the model has classes of the same names, but in the order "
            f"{_list(names)}"
        )


def _other_orders(
    labels: Sequence[str], said: Sequence[ClassNames], own: Sequence[Any], is_count: bool
) -> tuple[str, ...]:
    """Return a note for each part of the package that has the same names in another order than `labels`."""
    notes = []
    for names in said:
        with suppress(UnsupportedModel):  # Names that do not fit are overridden.
            others = _named(names, own, is_count)
            if set(others) == set(labels) and others != tuple(labels):
                notes.append(
                    f"--labels overrides the package's {names.key!r}, which names the same classes in "
                    f"another order: {_list(others)}."
                )
    return tuple(notes)


def _named(names: ClassNames, own: Sequence[Any], is_count: bool) -> tuple[str, ...]:
    """Return the name of each of the model's classes, in their order."""
    by_class = names.by_class
    if not all(map(_is_number, own)) and set(by_class.values()) == set(map(name_of, own)):
        return tuple(map(name_of, own))  # the package repeats the model's own names
    if (names.is_list or is_count) and len(by_class) != len(own):
        raise UnsupportedModel(
            f"the package names {len(by_class)} classes, {_say(names)}; the model has {len(own)}: "
            f"{_list(own)}; --labels overrides it"
        )
    if names.is_list and all(map(_is_number, own)):
        return tuple(by_class.values())
    missing = [class_ for class_ in own if _key(class_) not in by_class]
    if missing:
        raise UnsupportedModel(
            f"the package names the classes by {_say(names)}, but not the model's class {missing[0]!r}; "
            f"the model's classes are {_list(own)}; --labels overrides it"
        )
    return tuple(by_class[_key(class_)] for class_ in own)


def _repeats(names: ClassNames, own: Sequence[Any]) -> bool:
    """Return whether the names are only the numbers by which the model calls its classes."""
    return all(map(_is_number, own)) and list(map(_key, names.by_class.values())) == list(map(_key, own))


def _unused_names(names: ClassNames, own: Sequence[Any]) -> tuple[str, ...]:
    if len(names.by_class) == len(own):
        return ()
    known = set(map(_key, own))
    others = [name for class_, name in names.by_class.items() if class_ not in known]
    return (f"The package's {names.key!r} also names {_list(others)}, which no class of the model is.",)


def _how_to_name(labels: Sequence[str]) -> str:
    return (
        f"Nothing names the classes, so they are called {_list(labels)}; name them with --labels "
        f'"{",".join("…" for _ in labels[:MAX_SHOWN_NAMES])}" in this order.'
    )


def _is_number(class_: Any) -> bool:
    return isinstance(class_, bool | int | float) or bool(_NUMBER.fullmatch(str(class_)))


def _key(class_: Any) -> int | str:
    """Return a class as a number if it is one."""
    if isinstance(class_, np.generic):
        class_ = class_.item()
    if isinstance(class_, bool | int | float) or _NUMBER.fullmatch(str(class_)):
        number = float(class_)
        return int(number) if number.is_integer() else str(number)
    return str(class_)


def name_of(class_: Any) -> str:
    """Return how a class is called; 1.0 is called 1."""
    return str(int(class_)) if isinstance(class_, float) and class_.is_integer() else str(class_)


def _say(names: ClassNames) -> str:
    pairs = [f"{class_} is {name!r}" for class_, name in names.by_class.items()]
    return f"{names.key!r} ({_list(pairs)})"


def _list(names: Sequence[Any]) -> str:
    shown = [str(name) for name in names[:MAX_SHOWN_NAMES]]
    return ", ".join([*shown, *(["…"] if len(names) > MAX_SHOWN_NAMES else [])])
