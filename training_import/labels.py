"""Spell labels alike, whatever kind of file they are from."""

import math
import re
from decimal import Decimal

from datafiles.surrogates import replace_surrogates

_BOOLEANS = {"true": "True", "false": "False"}
_WHOLE_NUMBER = re.compile(r"(-?[0-9]+)\.0+")
_NOT_A_NUMBER = ("nan", "NaN")


def is_missing(value: object) -> bool:
    """Return whether a cell has no value: it is null, blank, or the number that pandas writes for neither."""
    if isinstance(value, float | Decimal):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and not value.strip())


def spell_label(value: object) -> str | None:
    """Return the label of a cell that is not missing, or None if such a value cannot be a label.

    A label is a text, a number or a boolean. 1, 1.0 and "1.0" are "1"; True, "true" and "TRUE" are "True".
    Other numbers keep their digits, and other texts lose only the white space around them. A lone surrogate,
    which no file can hold, becomes U+FFFD.
    """
    if isinstance(value, float | Decimal):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value == int(value) else str(value)
    if not isinstance(value, str | int):
        return None
    label = replace_surrogates(str(value).strip())
    whole = _WHOLE_NUMBER.fullmatch(label)
    if whole:
        return str(int(whole[1]))
    return _BOOLEANS.get(label.lower(), label)


def is_missing_label(value: object) -> bool:
    """Return whether a cell has no label: `is_missing`, or the text "nan" or "NaN", which is no class."""
    return is_missing(value) or (isinstance(value, str) and value.strip() in _NOT_A_NUMBER)
