"""Tables in Markdown show their cells as they are."""

import pytest

from training_import.markdown import markdown_table


def test_a_table_has_a_header_a_line_and_its_rows() -> None:
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.parametrize(
    ("cell", "shown"),
    [("a|b", r"a\|b"), ("<img>", r"\<img\>"), ("![x](y)", r"!\[x\](y)"), ("two\nlines", "two lines")],
)
def test_a_cell_cannot_end_its_row_or_be_read_as_markup(cell: str, shown: str) -> None:
    assert markdown_table(["a"], [[cell]]).splitlines()[-1] == f"| {shown} |"
