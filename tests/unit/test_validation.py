"""Validation errors as sentences, and suggestions for misspelt names."""

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from classifier.validation import BrokenRule, first_error, is_misspelt, nearest, unknown_key


class Inner(BaseModel):
    numbers: list[int]
    odd: int = 1

    @field_validator("odd")
    @classmethod
    def _is_odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"odd is {value}; it must be odd")
        return value


class Outer(BaseModel):
    inner: Inner
    name: str = Field(default="", max_length=3)


def broken(content: object) -> BrokenRule:
    with pytest.raises(ValidationError) as refused:
        Outer.model_validate(content)
    return first_error(refused.value)


def test_an_error_names_the_place_and_the_rule() -> None:
    assert str(broken({"inner": {"numbers": [1, "x"]}})).startswith(
        "inner.numbers.1: Input should be a valid"
    )


def test_an_error_with_its_value_names_place_value_and_rule() -> None:
    assert broken({"inner": {"numbers": []}, "name": "long"}).with_value() == (
        "name is 'long': String should have at most 3 characters"
    )


def test_a_long_value_is_truncated() -> None:
    message = broken({"inner": {"numbers": []}, "name": "x" * 500}).with_value()
    assert message.startswith("name is 'xxx")
    assert "… (502 characters): String should" in message
    assert len(message) < 250


def test_a_message_of_our_own_is_repeated_unchanged() -> None:
    rule = broken({"inner": {"numbers": [], "odd": 2}})
    assert rule.names_its_values
    assert rule.rule == "odd is 2; it must be odd"


def test_the_place_of_an_error_about_the_whole_input_is_content() -> None:
    assert broken([]).place == "content"


def test_the_nearest_name_is_found() -> None:
    assert nearest("prot", ["host", "port", "path"]) == "port"
    assert nearest("", ["only"]) == "only"


def test_an_unknown_key_is_reported_with_its_section_and_the_nearest_key() -> None:
    assert unknown_key("prot", ["host", "port"], "api") == (
        "section 'api' has no key 'prot'; the nearest is 'port'"
    )


@pytest.mark.parametrize(
    "word", ["CLASIFIER", "CLASSIFIERS", "CLASSIFEIR", "CLASSIFYER", "LASSIFIE", "CLLASSIFIERR"]
)
def test_a_word_with_one_or_two_wrong_letters_counts_as_misspelt(word: str) -> None:
    assert is_misspelt(word, "CLASSIFIER")


@pytest.mark.parametrize("word", ["CLASSIFIER", "CLASSY", "CLASSIFICATION", "CASFIER", "", "REIFISSALC"])
def test_the_right_word_and_unrelated_words_do_not_count_as_misspelt(word: str) -> None:
    assert not is_misspelt(word, "CLASSIFIER")
