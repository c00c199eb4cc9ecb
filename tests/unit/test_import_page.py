"""docs/import.md says the same as the errors that list what can be imported."""

import re
from pathlib import Path

import pytest

from training_import.conversion import from_keras
from training_import.conversion.labels import NAMING_KEYS
from training_import.conversion.sklearn_classifiers import SUPPORTED_CLASSIFIERS
from training_import.conversion.sklearn_features import SUPPORTED_FEATURES

PAGE = (Path(__file__).parents[2] / "docs" / "import.md").read_text(encoding="utf-8")
TABLE = [line for line in PAGE.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize(
    "supported",
    [SUPPORTED_FEATURES, SUPPORTED_CLASSIFIERS, from_keras.SUPPORTED],
    ids=["features", "classifiers", "Keras"],
)
def test_the_table_has_every_class_that_the_error_lists(supported: str) -> None:
    classes = set(
        re.findall(r"\b[A-Z][a-z]+(?:[A-Z]\w*)+|\b(?:Dense|Embedding|Normalizer|Tokenizer)\b", supported)
    )
    assert classes
    assert {name for name in classes if not any(f"`{name}" in line for line in TABLE)} == set()


def test_the_page_has_every_key_that_names_classes() -> None:
    assert {key for key in NAMING_KEYS if f"`{key}`" not in PAGE} == set()
