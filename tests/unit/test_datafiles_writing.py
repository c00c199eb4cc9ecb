"""Writing tables for download, and what is changed in values that a kind of file cannot hold."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datafiles import DataFileError, open_table, write_table

KINDS = ("csv", "parquet", "xlsx")

STRINGS = st.text(st.characters(exclude_categories=["Cs"]))
XML_STRINGS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\r\n")
) | st.sampled_from(["_x0041_", "<r>a & b</r>", " =1", "http://a.b", "007", "mailto:a@b", "&lt;", "</t>"])

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals()
TIMES = st.datetimes(timezones=st.none() | st.just(UTC)) | st.dates() | st.times() | st.timedeltas()
VALUES = SCALARS | TIMES | st.lists(SCALARS) | st.dictionaries(st.text(), SCALARS)


def written(folder: Path, kind: str, rows: Sequence[Sequence[object]], columns: Sequence[str] = ()) -> Path:
    path = folder / f"rows.{kind}"
    write_table(path, kind, columns or [f"c{number}" for number in range(len(rows[0]))], iter(rows))
    return path


def read(path: Path) -> list[tuple[object, ...]]:
    with open_table(path) as table:
        return [row.values for row in table.rows()]


def test_with_semicolons_numbers_have_a_decimal_comma(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_table(path, "semicolon csv", ["text", "share"], [("a;b, c", 0.5), ("d", -1e-07)])
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    assert lines == ['"text";"share"', '"a;b, c";"0,5"', '"d";"-1e-07"']


def cell(folder: Path, kind: str, value: object) -> object:
    """Write a value and return what is read."""
    return read(written(folder, kind, [("text", value)]))[0][1]


def notices(folder: Path, kind: str, value: object) -> tuple[str, ...]:
    return write_table(folder / f"rows.{kind}", kind, ["text"], [(value,)]).notices


class TestAllKinds:
    @given(rows=st.lists(st.tuples(STRINGS, STRINGS), min_size=1, max_size=5))
    def test_strings_that_no_spreadsheet_runs_are_read_back_from_csv(self, tmp_path_factory, rows):
        rows = [tuple(text.lstrip("=+-@\t\r") for text in row) for row in rows]
        assert read(written(tmp_path_factory.mktemp("csv"), "csv", rows)) == rows

    @given(rows=st.lists(st.tuples(STRINGS, STRINGS), min_size=1, max_size=5))
    def test_strings_are_read_back_from_parquet(self, tmp_path_factory, rows):
        assert read(written(tmp_path_factory.mktemp("parquet"), "parquet", rows)) == rows

    @given(
        rows=st.lists(st.tuples(XML_STRINGS.filter(bool), XML_STRINGS.filter(bool)), min_size=1, max_size=5)
    )
    def test_strings_that_xml_can_hold_are_read_back_from_excel(self, tmp_path_factory, rows):
        assert read(written(tmp_path_factory.mktemp("xlsx"), "xlsx", rows)) == rows

    @pytest.mark.parametrize("kind", KINDS)
    @given(rows=st.lists(st.tuples(st.just("not blank"), VALUES, VALUES)))
    def test_any_values_can_be_written(self, tmp_path_factory, kind, rows):
        path = tmp_path_factory.mktemp("any") / f"rows.{kind}"
        write_table(path, kind, ["a", "b", "c"], rows)
        with open_table(path) as table:
            assert [row.problem for row in table.rows()] == [None] * len(rows)

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_number_of_rows_is_returned(self, tmp_path, kind):
        assert write_table(tmp_path / "rows", kind, ["text"], [("a",), ("b",)]).rows == 2

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_table_may_have_no_rows(self, tmp_path, kind):
        path = tmp_path / f"rows.{kind}"
        assert write_table(path, kind, ["text", "label"], []).rows == 0
        with open_table(path) as table:
            assert (table.columns, list(table.rows())) == (("text", "label"), [])

    @pytest.mark.parametrize("kind", KINDS)
    def test_half_a_character_is_replaced(self, tmp_path, kind):
        assert cell(tmp_path, kind, "a\ud800é") == "a\ufffdé"

    @pytest.mark.parametrize("kind", KINDS)
    def test_half_a_character_in_the_header_is_replaced(self, tmp_path, kind):
        with open_table(written(tmp_path, kind, [("a",)], ["\udfff"])) as table:
            assert table.columns == ("\ufffd",)

    @pytest.mark.parametrize("kind", KINDS)
    def test_replaced_characters_are_a_notice(self, tmp_path, kind):
        assert notices(tmp_path, kind, "\ud800\ud800") == (
            "1 cell: halves of characters, which cannot be written, were replaced.",
        )

    @pytest.mark.parametrize("kind", KINDS)
    def test_lists_and_objects_are_written_as_json(self, tmp_path, kind):
        assert cell(tmp_path, kind, {"a": ["é", 1, None]}) == '{"a": ["é", 1, null]}'

    @pytest.mark.parametrize("kind", KINDS)
    def test_an_error_leaves_the_file_as_it_was(self, tmp_path, kind):
        def rows() -> Iterator[tuple[str]]:
            yield ("a",)
            raise ConnectionError

        path = written(tmp_path, kind, [("before",)])
        with pytest.raises(ConnectionError):
            write_table(path, kind, ["text"], rows())
        assert (read(path), list(tmp_path.iterdir())) == ([("before",)], [path])

    @pytest.mark.parametrize("kind", KINDS)
    def test_nothing_is_left_beside_the_file(self, tmp_path, kind):
        path = written(tmp_path, kind, [("a",)])
        assert list(tmp_path.iterdir()) == [path]


class TestCsv:
    @pytest.mark.parametrize(
        "text", ["=1+1", "+a", "-a", "@a", "\ta", "\ra", "-5+cmd", "--5", "+1-2", "=", "-1\n"]
    )
    def test_a_text_that_a_spreadsheet_may_run_has_an_apostrophe_before_it(self, tmp_path, text):
        assert cell(tmp_path, "csv", text) == f"'{text}"

    @pytest.mark.parametrize("text", ["-5", "+1.5", "-.5", "-1,5", "-1e-9", "a=1", " =1", "'=1"])
    def test_a_number_and_a_harmless_text_stay(self, tmp_path, text):
        assert cell(tmp_path, "csv", text) == text

    def test_a_name_of_a_column_that_a_spreadsheet_may_run_has_an_apostrophe_before_it(self, tmp_path):
        with open_table(written(tmp_path, "csv", [("a",)], ["=1+1"])) as table:
            assert table.columns == ("'=1+1",)

    def test_texts_that_a_spreadsheet_may_run_are_a_notice(self, tmp_path):
        assert notices(tmp_path, "csv", "=1+1") == (
            "1 cell: a spreadsheet could take the text for a formula, so it has a ' before it.",
        )

    def test_negative_numbers_and_infinity_stay(self, tmp_path):
        assert read(written(tmp_path, "csv", [(-5, -0.5, float("-inf"))])) == [("-5", "-0.5", "-inf")]

    def test_the_file_begins_with_the_mark_by_which_excel_knows_utf8(self, tmp_path):
        assert written(tmp_path, "csv", [("é",)]).read_bytes().startswith(b"\xef\xbb\xbf")

    def test_pandas_reads_it_without_options(self, tmp_path):
        path = written(tmp_path, "csv", [('a;\n"é"', 1, 0.5)], ["text", "n", "x"])
        assert pd.read_csv(path).to_dict("list") == {"text": ['a;\n"é"'], "n": [1], "x": [0.5]}

    def test_a_semicolon_in_the_name_of_the_only_column_is_not_taken_for_the_delimiter(self, tmp_path):
        path = tmp_path / "rows.csv"
        write_table(path, "csv", ["a;b"], [])
        with open_table(path) as table:
            assert table.columns == ("a;b",)


class TestParquet:
    @pytest.mark.parametrize(
        "values",
        [
            ("a", None, ""),
            (1, None, -(2**63)),
            (0.5, None, 1e300),
            (True, None, False),
            (datetime(2024, 1, 2, 3, 4, 5, 6), None),
            (date(2024, 1, 2), None),
            (None, None),
        ],
    )
    def test_values_of_one_type_keep_it(self, tmp_path, values):
        assert read(written(tmp_path, "parquet", [(value,) for value in values])) == [
            (value,) for value in values
        ]

    def test_whole_numbers_among_others_become_floats(self, tmp_path):
        values = [value for (value,) in read(written(tmp_path, "parquet", [(1,), (0.5,)]))]
        assert list(map(type, values)) == [float, float]

    @pytest.mark.parametrize(
        ("values", "strings"),
        [
            ((1, "a"), ("1", "a")),
            ((True, 1), ("True", "1")),
            ((2**63, 1), ("9223372036854775808", "1")),
            ((datetime(2024, 1, 2), date(2024, 1, 2)), ("2024-01-02 00:00:00", "2024-01-02")),
            ((datetime(2024, 1, 2, tzinfo=UTC), None), ("2024-01-02 00:00:00+00:00", None)),
        ],
    )
    def test_values_of_several_types_become_strings(self, tmp_path, values, strings):
        rows = [(value,) for value in values]
        assert read(written(tmp_path, "parquet", rows)) == [(string,) for string in strings]

    @pytest.mark.parametrize("last", ["a", 0.5, None])
    def test_a_type_that_only_the_last_row_shows_is_that_of_all_rows(self, tmp_path, last):
        count = 20_001
        rows = [(number,) for number in range(count)] + [(last,)]
        kept = {str: str, float: float}.get(type(last), int)
        assert read(written(tmp_path, "parquet", rows)) == [(kept(number),) for number in range(count)] + [
            (last,)
        ]

    def test_a_group_of_rows_is_not_the_whole_file(self, tmp_path):
        path = written(tmp_path, "parquet", [(number,) for number in range(25_000)])
        assert pq.ParquetFile(path).metadata.num_row_groups == 3


class TestExcel:
    @pytest.mark.parametrize(
        "value", ["a", 1, -0.5, True, datetime(2024, 1, 2, 3, 4, 5), "007", "=1+1", "-5"]
    )
    def test_values_keep_their_types(self, tmp_path, value):
        found = cell(tmp_path, "xlsx", value)
        assert (found, type(found)) == (value, type(value))

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (10**15, "1000000000000000"),
            (float("nan"), "nan"),
            (float("-inf"), "-inf"),
            (date(1899, 12, 31), "1899-12-31"),
            (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02 00:00:00+00:00"),
        ],
    )
    def test_what_excel_has_no_type_for_becomes_a_string(self, tmp_path, value, text):
        assert cell(tmp_path, "xlsx", value) == text

    @pytest.mark.parametrize("length", [32_767, 32_768, 100_000])
    @pytest.mark.parametrize("character", ["a", "é", "😀"])
    def test_a_cell_has_at_most_as_many_characters_as_excel_can_hold(self, tmp_path, length, character):
        text = cell(tmp_path, "xlsx", character * length)
        assert 32_766 <= len(text.encode("utf-16-le")) // 2 <= 32_767

    def test_a_cell_that_fits_exactly_stays(self, tmp_path):
        assert cell(tmp_path, "xlsx", "a" * 32_767) == "a" * 32_767

    def test_a_cell_that_is_cut_says_so(self, tmp_path):
        assert cell(tmp_path, "xlsx", "a" * 32_768) == "a" * 32_759 + " … (cut)"

    def test_cut_cells_are_a_notice(self, tmp_path):
        assert notices(tmp_path, "xlsx", "a" * 32_768) == (
            "1 cell: longer than 32,767 characters, which is the limit of Excel, and cut.",
        )

    def test_control_characters_are_removed(self, tmp_path):
        assert cell(tmp_path, "xlsx", "a\x00\x0b\x1f\ufffe\tb\nc") == "a\tb\nc"

    def test_removed_control_characters_are_a_notice(self, tmp_path):
        assert notices(tmp_path, "xlsx", "a\0\0") == (
            "1 cell: control characters, which Excel cannot hold, were removed.",
        )

    def test_more_columns_than_excel_has_are_refused(self, tmp_path):
        with pytest.raises(
            DataFileError, match=r"would have 16,385 columns; an Excel sheet has at most 16,384$"
        ):
            write_table(tmp_path / "rows.xlsx", "xlsx", ["c"] * 16_385, [])

    def test_more_rows_than_excel_has_are_refused(self, tmp_path):
        with pytest.raises(DataFileError, match="would have more than 1,048,575 rows"):
            write_table(tmp_path / "rows.xlsx", "xlsx", ["c"], ((None,) for _ in range(1_048_576)))


@pytest.mark.parametrize("start", ["\n=", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_a_line_feed_and_wide_signs_cannot_begin_a_formula_in_csv(tmp_path, start):
    assert cell(tmp_path, "csv", f"{start}1+1") == f"'{start}1+1"
