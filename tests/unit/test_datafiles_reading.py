"""Reading files of rows: what is found out, what becomes a problem of a row, and what is refused."""

import codecs
import csv
import gzip
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datafiles import (
    SUFFIXES,
    DataFileError,
    EncodingUnknown,
    Fault,
    Limits,
    Options,
    Problem,
    Row,
    Table,
    open_table,
)
from datafiles.columns import name_columns

HEADER = "text,label\n"


def made(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    packed = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(packed) if name.endswith(".gz") else packed)
    return path


def workbook(path: Path, sheets: dict[str, Iterable[Iterable[object]]], hidden: str = "") -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
        sheet.sheet_state = "hidden" if title == hidden else "visible"
    book.save(path)
    return path


def rows_of(path: Path, options: Options = Options()) -> list[Row]:
    with open_table(path, options) as table:
        return list(table.rows())


def values_of(path: Path, options: Options = Options()) -> list[tuple[object, ...]]:
    return [row.values for row in rows_of(path, options)]


def opened(path: Path, options: Options = Options()) -> Table:
    """Return a table that is closed again, to look at what was found out when it was opened."""
    with open_table(path, options) as table:
        return table


def refusal(path: Path, options: Options = Options(), limits: Limits = Limits()) -> str:
    with pytest.raises(DataFileError) as caught, open_table(path, options, limits) as table:
        list(table.rows())
    return str(caught.value)


def test_no_large_library_is_imported_before_it_is_needed():
    script = "import sys, datafiles; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"numpy", "openpyxl", "pandas", "pyarrow", "xlsxwriter"} & set(done.stdout.split())


class TestKinds:
    def test_the_endings_for_an_upload_are_those_of_all_kinds_and_of_packed_text(self):
        assert (
            *(".csv", ".tsv", ".txt", ".jsonl", ".json", ".parquet", ".xlsx"),
            *(".csv.gz", ".tsv.gz", ".txt.gz", ".jsonl.gz", ".json.gz"),
        ) == SUFFIXES

    @pytest.mark.parametrize(
        ("name", "kind", "content"),
        [
            ("ROWS.CSV", "CSV", "text\na\n"),
            ("rows.tsv", "TSV", "text\na\n"),
            ("rows.txt", "text", "a\n"),
            ("rows.jsonl", "JSONL", '{"text": "a"}\n'),
            ("rows.json", "JSON", '[{"text": "a"}]\n'),
        ],
    )
    @pytest.mark.parametrize("packed", ["", ".gz"])
    def test_the_ending_says_the_kind_of_a_text(self, tmp_path, name, kind, content, packed):
        table = opened(made(tmp_path, name + packed, content))
        assert (table.kind, table.columns) == (kind, ("text",))

    def test_the_name_that_the_user_knows_says_the_kind_and_is_in_messages(self, tmp_path):
        path = made(tmp_path, "upload-7", "")
        with pytest.raises(DataFileError, match=r"^reviews\.csv is empty$"):
            open_table(path, name="reviews.csv")

    @pytest.mark.parametrize(
        ("name", "advice"),
        [
            ("rows.xls", "'.xls'; save it as .xlsx"),
            ("rows.parquet.gz", "'.parquet.gz'; supported are .csv, "),
            ("rows", "''; supported are .csv, "),
        ],
    )
    def test_another_ending_is_refused_with_advice(self, tmp_path, name, advice):
        assert f"{name}: unknown kind of file {advice}" in refusal(tmp_path / name)

    @pytest.mark.parametrize("ending", SUFFIXES)
    def test_an_empty_file_is_refused(self, tmp_path, ending):
        path = made(tmp_path, f"rows{ending}", "")
        assert refusal(path) == f"rows{ending} is empty"

    @pytest.mark.parametrize("content", ["\n", " \n\n", "\ufeff"])
    @pytest.mark.parametrize("ending", [".json", ".jsonl"])
    def test_a_file_of_blank_json_lines_is_empty(self, tmp_path, content, ending):
        assert refusal(made(tmp_path, f"rows{ending}", content)) == f"rows{ending} is empty"

    @pytest.mark.parametrize("content", ["\n", "\r\n\r\n", "\ufeff"])
    def test_a_csv_of_blank_lines_is_empty(self, tmp_path, content):
        assert refusal(made(tmp_path, "rows.csv", content)) == "rows.csv is empty"

    def test_a_missing_file_is_refused(self, tmp_path):
        assert refusal(tmp_path / "rows.csv") == "rows.csv cannot be read: No such file or directory"

    def test_a_folder_is_refused(self, tmp_path):
        (tmp_path / "rows.csv").mkdir()
        assert refusal(tmp_path / "rows.csv") == "rows.csv cannot be read: Is a directory"

    @pytest.mark.parametrize(
        ("start", "what"),
        [
            (b"PAR1", "a Parquet file, whose name must end with .parquet"),
            (b"PK\x03\x04", "an Excel workbook or another ZIP archive, whose name must end with .xlsx"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or encrypted Office file; save it as .xlsx, "),
            (b"%PDF-1.7", "a PDF document"),
            (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        ],
    )
    @pytest.mark.parametrize("ending", [".csv", ".jsonl.gz"])
    def test_a_text_that_is_another_kind_of_file_is_refused(self, tmp_path, ending, start, what):
        path = made(tmp_path, f"rows{ending}", start + b"\0" * 100)
        assert f"rows{ending} is {what}" in refusal(path)

    @pytest.mark.parametrize("name", ["rows.csv", "rows.xlsx"])
    def test_a_gzip_file_whose_name_does_not_say_so_is_refused(self, tmp_path, name):
        path = made(tmp_path, name, gzip.compress(b"text\na\n"))
        assert (
            refusal(path)
            == f"{name} is compressed with gzip; unpack it, or if it is text, add .gz to its name"
        )

    def test_a_file_that_is_not_compressed_as_its_name_says_is_refused(self, tmp_path):
        path = tmp_path / "rows.csv.gz"
        path.write_text("text\na\n")
        assert refusal(path) == "rows.csv.gz is not a gzip file, as its ending says"

    def test_bytes_that_are_no_text_are_refused(self, tmp_path):
        message = refusal(made(tmp_path, "rows.csv", b"text,label\na\0b,x\n"))
        assert message.startswith("rows.csv is not text: it has many NUL bytes; ")

    def test_a_few_nul_characters_in_a_text_are_kept(self, tmp_path):
        path = made(tmp_path, "rows.csv", b"text,label\na\0b,x\n" + b"c,y\n" * 100)
        assert values_of(path)[:2] == [("a\0b", "x"), ("c", "y")]

    def test_a_nul_character_is_kept_if_the_encoding_is_named(self, tmp_path):
        path = made(tmp_path, "rows.csv", b"text,label\na\0b,x\n")
        assert values_of(path, Options(encoding="utf-8")) == [("a\0b", "x")]


class TestGzip:
    def test_a_truncated_gzip_file_is_refused(self, tmp_path):
        path = made(tmp_path, "rows.csv.gz", HEADER + "a,x\n" * 1000)
        path.write_bytes(path.read_bytes()[:-10])
        assert refusal(path).startswith("rows.csv.gz is a damaged gzip file: ")

    def test_a_damaged_gzip_file_is_refused(self, tmp_path):
        path = made(tmp_path, "rows.csv.gz", HEADER + "".join(f"{n},{n * 7919}\n" for n in range(1000)))
        content = bytearray(path.read_bytes())
        content[100:200] = bytes(100)
        path.write_bytes(content)
        assert refusal(path).startswith("rows.csv.gz is a damaged gzip file: ")

    def test_a_gzip_file_that_unpacks_to_more_than_the_limit_is_refused(self, tmp_path):
        path = made(tmp_path, "rows.csv.gz", HEADER + "a,x\n" * 100_000)
        assert refusal(path, limits=Limits(unpacked_bytes=300_000)) == (
            "rows.csv.gz unpacks to more than 300,000 bytes, which is the limit"
        )

    def test_a_file_that_is_not_compressed_may_be_longer(self, tmp_path):
        path = made(tmp_path, "rows.csv", HEADER + "a,x\n" * 100)
        with open_table(path, limits=Limits(unpacked_bytes=10)) as table:
            assert len(list(table.rows())) == 100


class TestEncoding:
    @pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
    def test_an_encoding_other_than_utf8_is_a_notice(self, tmp_path, encoding):
        table = opened(made(tmp_path, "rows.txt", "café".encode(encoding)))
        assert table.encoding == encoding
        assert table.notices == (
            f"The text is not in UTF-8; it is read as {encoding}. If letters are wrong, name its encoding.",
        )

    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    def test_utf8_needs_no_notice(self, tmp_path, mark):
        table = opened(made(tmp_path, "rows.txt", mark + "café"))
        assert (table.encoding, table.notices) == ("utf-8", ())

    @pytest.mark.parametrize(
        ("mark", "encoding"),
        [
            (codecs.BOM_UTF16_LE, "utf-16-le"),
            (codecs.BOM_UTF16_BE, "utf-16-be"),
            (codecs.BOM_UTF32_LE, "utf-32-le"),
            (codecs.BOM_UTF32_BE, "utf-32-be"),
            (codecs.BOM_UTF8, "utf-8"),
        ],
    )
    def test_a_byte_order_mark_decides_the_encoding(self, tmp_path, mark, encoding):
        path = made(tmp_path, "rows.csv", mark + "text\n映画\n".encode(encoding))
        assert (opened(path).columns, values_of(path)) == (("text",), [("映画",)])

    def test_an_encoding_that_was_named_is_no_notice(self, tmp_path):
        path = made(tmp_path, "rows.txt", "映画".encode("shift_jis"))
        assert opened(path, Options(encoding="shift_jis")).notices == ()

    def test_a_text_in_no_encoding_that_is_tried_asks_for_its_encoding(self, tmp_path):
        with pytest.raises(
            EncodingUnknown, match=r"^rows\.txt is not text in utf-8 or cp1252; name its encoding$"
        ):
            open_table(made(tmp_path, "rows.txt", b"\x81"))

    def test_a_truncated_utf16_file_is_not_taken_for_another_encoding(self, tmp_path):
        path = made(tmp_path, "rows.txt", "text".encode("utf-16")[:-1])
        assert refusal(path) == "rows.txt is not text in utf-16; name its encoding"


class TestCsv:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    def test_the_delimiter_is_found(self, tmp_path, delimiter):
        lines = ["text|label|id", "a, b; c|x|1", '"quoted, and ""so""; on"|y|2']
        path = made(
            tmp_path, "rows.csv", "\n".join(lines).replace("|", delimiter).replace("a, b; c", "a b c")
        )
        table = opened(path)
        assert (table.delimiter, table.columns) == (delimiter, ("text", "label", "id"))

    @pytest.mark.parametrize(
        ("delimiter", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")]
    )
    def test_a_delimiter_other_than_the_comma_is_a_notice(self, tmp_path, delimiter, name):
        path = made(tmp_path, "rows.csv", f"text{delimiter}label\na, or b{delimiter}x\n")
        assert opened(path).notices == (f"The columns are separated by {name}.",)

    def test_delimiters_in_quotes_do_not_count(self, tmp_path):
        path = made(tmp_path, "rows.csv", 'text,label\n"a;b;c",x\n"d;\n;e",y\n')
        assert values_of(path) == [("a;b;c", "x"), ("d;\n;e", "y")]

    def test_a_decimal_comma_is_not_the_delimiter(self, tmp_path):
        path = made(tmp_path, "rows.csv", "text;stars\ngood;4,5\nbad;1,0\n")
        assert values_of(path) == [("good", "4,5"), ("bad", "1,0")]

    def test_prose_with_commas_in_one_column_has_no_other_delimiter(self, tmp_path):
        path = made(tmp_path, "rows.csv", "text\ngood; very good\n")
        assert values_of(path) == [("good; very good",)]

    def test_a_first_row_longer_than_the_sample_does_not_hide_the_delimiter(self, tmp_path):
        path = made(tmp_path, "rows.csv", "text;label\n" + "word, " * 100_000 + ";x\n")
        assert opened(path).delimiter == ";"

    def test_a_delimiter_can_be_named(self, tmp_path):
        path = made(tmp_path, "rows.csv", "text~label\na~x\n")
        table = opened(path, Options(delimiter="~"))
        assert (table.columns, table.notices) == (("text", "label"), ())

    @pytest.mark.parametrize("delimiter", ["", ", ", '"', "\n"])
    def test_a_delimiter_that_cannot_be_one_is_refused(self, tmp_path, delimiter):
        path = made(tmp_path, "rows.tsv", "text\na\n")
        assert "the delimiter is " in refusal(path, Options(delimiter=delimiter))

    def test_cells_may_have_line_breaks_and_a_million_characters(self, tmp_path):
        path = tmp_path / "rows.csv"
        cells = ("a\r\nb\nc\rd", "x" * 1_000_000)
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), cells])
        assert values_of(path) == [cells]

    def test_blank_lines_are_left_out_but_counted(self, tmp_path):
        path = made(tmp_path, "rows.csv", "\n" + HEADER + "a,x\n\n\r\nb,y\n")
        assert rows_of(path) == [Row(1, 3, ("a", "x")), Row(4, 6, ("b", "y"))]

    def test_a_row_has_the_line_with_which_it_begins(self, tmp_path):
        path = made(tmp_path, "rows.csv", HEADER + 'a,x\n"b\nb\r\nb",y\nc,z\n')
        assert [row.line for row in rows_of(path)] == [2, 3, 6]

    def test_a_header_alone_has_no_rows(self, tmp_path):
        assert rows_of(made(tmp_path, "rows.csv", HEADER)) == []

    def test_without_a_header_the_columns_have_numbers(self, tmp_path):
        table = opened(made(tmp_path, "rows.csv", "a,x\nb,y\n"), Options(has_header=False))
        assert (table.columns, table.notices) == (("column 1", "column 2"), ())

    def test_without_a_header_the_first_row_is_a_row(self, tmp_path):
        path = made(tmp_path, "rows.csv", "a,x\nb,y\n")
        assert rows_of(path, Options(has_header=False)) == [Row(1, 1, ("a", "x")), Row(2, 2, ("b", "y"))]

    @pytest.mark.parametrize(
        ("line", "row"),
        [
            ("b,y,z", Row(2, 3, ("b", "y"), Problem(Fault.COLUMNS, "3 columns, where the header has 2"))),
            ("b", Row(2, 3, ("b", None), Problem(Fault.COLUMNS, "1 column, where the header has 2"))),
        ],
    )
    def test_a_row_of_another_width_is_cut_or_filled_and_has_a_problem(self, tmp_path, line, row):
        path = made(tmp_path, "rows.csv", HEADER + f"a,x\n{line}\nc,z\n")
        assert rows_of(path) == [Row(1, 2, ("a", "x")), row, Row(3, 4, ("c", "z"))]

    def test_a_row_with_wrong_quotes_has_a_problem_and_the_next_one_is_read(self, tmp_path):
        path = made(tmp_path, "rows.csv", HEADER + 'a,x\n"b" c,y\nd,z\n')
        problem = Problem(Fault.QUOTES, "the quotes in line 3 are not balanced (',' expected after '\"')")
        assert rows_of(path) == [
            Row(1, 2, ("a", "x")),
            Row(2, 3, (None, None), problem),
            Row(3, 4, ("d", "z")),
        ]

    @pytest.mark.parametrize(
        ("after", "rows"),
        [("c,z\n", [("c", "z")]), ('c,z\n"d",x\n', [("c", "z"), ("d", "x")])],
        ids=["no other quote", "another quote"],
    )
    def test_a_quote_that_is_never_closed_costs_no_other_row(self, tmp_path, after, rows):
        path = made(tmp_path, "rows.csv", HEADER + 'a,x\n"b,y\n' + after)
        first, bad, *others = rows_of(path)
        assert (first, bad.line, bad.problem.fault) == (Row(1, 2, ("a", "x")), 3, Fault.QUOTES)
        assert [row.values for row in others] == rows
        assert [row.line for row in others] == [4, 5][: len(rows)]

    def test_a_quote_that_swallows_millions_of_characters_is_refused_by_its_line(self, tmp_path):
        path = made(tmp_path, "rows.csv", HEADER + 'a,x\n"b,y\n' + ("c" * 999 + "\n") * 17_000)
        assert refusal(path) == (
            "rows.csv line 3: the row that begins here has more than 16,777,216 characters; "
            "perhaps one of its quotes is never closed"
        )

    def test_wrong_quotes_in_the_header_are_refused(self, tmp_path):
        assert refusal(made(tmp_path, "rows.csv", '"a" b,c\n')).startswith("rows.csv line 1: ")

    def test_too_many_columns_are_refused(self, tmp_path):
        path = made(tmp_path, "rows.csv", "," * 1000)
        assert refusal(path) == "rows.csv has 1,001 columns; at most 1,000 are read"

    def test_tabs_separate_the_columns_of_tsv_although_commas_would_fit(self, tmp_path):
        path = made(tmp_path, "rows.tsv", "text, or more\nred, or blue\n")
        assert values_of(path) == [("red, or blue",)]


class TestColumns:
    def test_names_that_occur_twice_or_are_missing_are_replaced(self, tmp_path):
        table = opened(made(tmp_path, "rows.csv", "text,text (2),,text, label \n"))
        assert table.columns == ("text", "text (2)", "column 3", "text (3)", "label")

    def test_replaced_names_are_a_notice(self, tmp_path):
        table = opened(made(tmp_path, "rows.csv", "text,,text\n"))
        assert table.notices == (
            "Columns whose name is missing or occurs twice are called 'column 2', 'text (2)'.",
        )

    def test_names_that_occur_twice_are_listed(self, tmp_path):
        assert opened(made(tmp_path, "rows.csv", "b,a,,b,a,c,\n")).duplicates == ("b", "a")

    @given(st.lists(st.sampled_from(["", "a", "a (2)", "a (3)", "column 1", "column 2", "column 2 (2)"])))
    def test_all_names_are_distinct_and_distinct_names_stay(self, names):
        columns = name_columns(names).columns
        assert len(set(columns)) == len(columns) == len(names)
        first = {name: names.index(name) for name in names if name}
        assert all(columns[position] == name for name, position in first.items())


class TestText:
    def test_each_line_is_a_text(self, tmp_path):
        path = made(tmp_path, "rows.txt", 'a, b\r\n\n  \n"c\n')
        assert rows_of(path) == [Row(1, 1, ("a, b",)), Row(4, 4, ('"c',))]

    def test_with_a_delimiter_it_is_read_like_csv(self, tmp_path):
        path = made(tmp_path, "rows.txt", "text|label\na|x\n")
        assert values_of(path, Options(delimiter="|")) == [("a", "x")]

    def test_a_line_of_millions_of_characters_is_refused(self, tmp_path):
        path = made(tmp_path, "rows.txt.gz", "a\n" + "b" * 2**24 + "c")
        assert refusal(path).startswith(
            "rows.txt.gz line 2: the row that begins here has more than 16,777,216"
        )


class TestJsonl:
    def test_the_columns_are_the_keys_of_all_rows(self, tmp_path):
        lines = ['{"text": "a"}'] * 2000 + ['{"stars": 5, "text": null}']
        path = made(tmp_path, "rows.jsonl", "\n".join(lines))
        with open_table(path) as table:
            assert table.columns == ("text", "stars")
            assert [row.values for row in table.rows()][-2:] == [("a", None), (None, 5)]

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ("text", "not JSON: Expecting value"),
            ("[" * 100_000, "not JSON: "),
            ("1" * 5000, "not JSON: "),
            ('["a"]', "'[\"a\"]' is not an object"),
        ],
    )
    def test_a_line_that_is_no_object_has_a_problem_and_the_next_one_is_read(self, tmp_path, line, problem):
        path = made(tmp_path, "rows.jsonl", f'{{"text": "a"}}\n\n{line}\n{{"text": "b"}}\n')
        first, bad, last = rows_of(path)
        assert (first, bad[:3], last) == (Row(1, 1, ("a",)), (3, 3, (None,)), Row(4, 4, ("b",)))
        assert bad.problem.fault is Fault.JSON
        assert bad.problem.sentence.startswith(problem)

    def test_values_keep_their_types(self, tmp_path):
        values = ("a", 1, 0.5, True, None, ["x"], {"y": "z"})
        path = made(tmp_path, "rows.jsonl", json.dumps(dict(enumerate(values))))
        assert values_of(path) == [values]

    def test_half_a_character_is_kept(self, tmp_path):
        assert values_of(made(tmp_path, "rows.jsonl", '{"text": "\\ud800"}')) == [("\ud800",)]

    def test_too_many_keys_are_refused_by_their_line(self, tmp_path):
        lines = [json.dumps({str(number): 1}) for number in range(1001)]
        assert refusal(made(tmp_path, "rows.jsonl", "\n".join(lines))) == (
            "rows.jsonl line 1001: up to here, the objects have more than 1,000 keys, which is the limit"
        )


class TestJson:
    def test_the_columns_are_the_keys_of_all_objects_and_a_row_has_its_line(self, tmp_path):
        path = made(tmp_path, "rows.json", '[\n  {"text": "a"},\n  {\n    "stars": 5,\n "text": "b"}]\n')
        assert opened(path).columns == ("text", "stars")
        assert rows_of(path) == [Row(1, 2, ("a", None)), Row(2, 3, ("b", 5))]

    def test_an_empty_array_has_no_rows(self, tmp_path):
        assert rows_of(made(tmp_path, "rows.json", " [ ] ")) == []

    def test_an_element_that_is_no_object_has_a_problem_and_the_next_one_is_read(self, tmp_path):
        path = made(tmp_path, "rows.json", '[{"text": "a"}, "b", {"text": "c"}]')
        problem = Problem(Fault.JSON, "'b' is not an object")
        assert rows_of(path) == [Row(1, 1, ("a",)), Row(2, 1, (None,), problem), Row(3, 1, ("c",))]

    def test_one_object_a_line_is_read_as_jsonl_with_a_notice(self, tmp_path):
        path = made(tmp_path, "rows.json", '\n{"text": "a"}\n{"text": "b"}\n')
        assert values_of(path) == [("a",), ("b",)]
        assert opened(path).notices == ("The file has one JSON object a line, and is read as JSONL.",)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ('{\n"text": "a"}', "rows.json is not an array of objects: it begins with '{'"),
            ("text", "rows.json is not an array of objects: it begins with 't'"),
            ('[{"a": 1}\n{"a": 2}]', "rows.json line 2: '{' follows an element of the array; it must be"),
            ('[{"a": 1}', "rows.json line 1: the end of the file follows an element of the array; it must"),
            ('[{"a": 1},\n{"a"', "rows.json line 2: not JSON: "),
            ("[" * 100_000, "rows.json line 1: not JSON: "),
        ],
    )
    def test_another_text_is_refused_with_its_place(self, tmp_path, content, message):
        assert refusal(made(tmp_path, "rows.json", content)).startswith(message)

    def test_an_array_may_be_one_line_of_millions_of_characters(self, tmp_path):
        path = made(tmp_path, "rows.json.gz", json.dumps([{"text": "a" * 2**23}] * 3))
        assert [len(text) for (text,) in values_of(path)] == [2**23] * 3

    def test_more_characters_than_the_limit_are_refused(self, tmp_path):
        path = made(tmp_path, "rows.json", '[{"text": "a"}]')
        message = refusal(path, limits=Limits(unpacked_bytes=10))
        assert message == "rows.json has more than 10 characters, which is the limit"

    def test_too_many_keys_are_refused(self, tmp_path):
        path = made(tmp_path, "rows.json", json.dumps([{str(number): 1} for number in range(1001)]))
        assert refusal(path) == "rows.json: its objects have more than 1,000 keys, which is the limit"


class TestParquet:
    def test_values_keep_their_types(self, tmp_path):
        values = ("a", 1, 0.5, True, None, datetime(2024, 1, 2, 3), date(2024, 1, 2), ["x"])
        columns = {str(number): [value] for number, value in enumerate(values)}
        pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
        assert values_of(tmp_path / "rows.parquet") == [values]

    def test_columns_may_have_the_same_name(self, tmp_path):
        pq.write_table(pa.table([["a"], ["b"]], names=["text", "text"]), tmp_path / "rows.parquet")
        assert (opened(tmp_path / "rows.parquet").duplicates, values_of(tmp_path / "rows.parquet")) == (
            ("text",),
            [("a", "b")],
        )

    def test_a_file_that_unpacks_to_more_than_the_limit_is_refused(self, tmp_path):
        texts = [f"a text that is long {number}" for number in range(10_000)]
        pq.write_table(pa.table({"text": texts}), tmp_path / "rows.parquet")
        message = refusal(tmp_path / "rows.parquet", limits=Limits(unpacked_bytes=100_000))
        assert message.endswith(" bytes; at most 100,000 are read")

    def test_text_with_this_ending_is_refused(self, tmp_path):
        path = made(tmp_path, "rows.parquet", HEADER + "a,x\n")
        assert refusal(path).startswith("rows.parquet is not a Parquet file: ")


class TestExcel:
    def test_values_keep_their_types(self, tmp_path):
        values = ("a", 1, 0.5, True, datetime(2024, 1, 2, 3, 4))
        path = workbook(tmp_path / "rows.xlsx", {"Sheet": ["abcde", values]})
        assert values_of(path) == [values]

    def test_the_first_visible_sheet_with_rows_is_read(self, tmp_path):
        sheets = {"secret": [["x"]], "empty": [], "reviews": [["text"], ["a"]], "more": [["b"]]}
        path = workbook(tmp_path / "rows.xlsx", sheets, hidden="secret")
        assert (opened(path).columns, values_of(path)) == (("text",), [("a",)])

    def test_the_sheet_that_is_read_is_a_notice_if_there_are_several(self, tmp_path):
        path = workbook(tmp_path / "rows.xlsx", {"empty": [], "reviews": [["text"], ["a"]]})
        assert opened(path).notices == ("The workbook has 2 sheets; only 'reviews' is read.",)

    def test_one_sheet_needs_no_notice(self, tmp_path):
        assert opened(workbook(tmp_path / "rows.xlsx", {"reviews": [["text"], ["a"]]})).notices == ()

    def test_a_workbook_without_rows_is_refused(self, tmp_path):
        path = workbook(tmp_path / "rows.xlsx", {"empty": [], "blank": [[None]]})
        assert refusal(path) == "rows.xlsx is empty"

    def test_blank_rows_are_left_out_but_counted(self, tmp_path):
        path = workbook(
            tmp_path / "rows.xlsx", {"a": [[], ["text", "label"], ["a", "x"], [None], ["b", None]]}
        )
        assert rows_of(path) == [Row(1, 3, ("a", "x")), Row(3, 5, ("b", None))]

    def test_a_row_wider_than_the_header_has_a_problem(self, tmp_path):
        path = workbook(tmp_path / "rows.xlsx", {"a": [["text"], ["a", "b"]]})
        problem = Problem(Fault.COLUMNS, "2 columns, where the header has 1")
        assert rows_of(path) == [Row(1, 2, ("a",), problem)]

    def test_without_a_header_the_first_row_is_a_row(self, tmp_path):
        path = workbook(tmp_path / "rows.xlsx", {"a": [["a", 1], ["b"]]})
        assert rows_of(path, Options(has_header=False)) == [Row(1, 1, ("a", 1)), Row(2, 2, ("b", None))]

    def test_escaped_characters_are_unescaped(self, tmp_path):
        path = workbook(tmp_path / "rows.xlsx", {"a": [["text"], ["a_x000D_\nb"]]})
        assert values_of(path) == [("a\r\nb",)]

    def test_a_workbook_that_unpacks_to_more_than_the_limit_is_refused(self, tmp_path):
        path = workbook(tmp_path / "rows.xlsx", {"a": [["text"]]})
        message = refusal(path, limits=Limits(unpacked_bytes=1000))
        assert message.endswith(" bytes; at most 1,000 are read")

    def test_a_part_that_is_packed_suspiciously_well_is_refused(self, tmp_path):
        path = workbook(tmp_path / "rows.xlsx", {"a": [["text"]]})
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("xl/bomb.xml", b" " * (64 * 2**20 + 1))
        assert "'xl/bomb.xml' unpacks from " in refusal(path)

    def test_a_sheet_with_more_rows_than_excel_has_is_refused(self, tmp_path):
        path = workbook(tmp_path / "rows.xlsx", {"a": [["text"], ["a"]]})
        assert "more than 1,048,576 rows" in refusal(changed(path, b'r="2"', b'r="999999999999"'))

    @pytest.mark.parametrize(
        ("old", "new"),
        [(b"</row>", b""), (b'r="A2"', b'r="ZZZZZZ2"'), (b"</worksheet>", b"")],
    )
    def test_a_damaged_workbook_is_refused(self, tmp_path, old, new):
        path = workbook(tmp_path / "rows.xlsx", {"a": [["text"], ["a"]]})
        assert refusal(changed(path, old, new)).startswith("rows.xlsx is ")

    @pytest.mark.parametrize("keep", [10, 1000, -10])
    def test_a_truncated_workbook_is_refused(self, tmp_path, keep):
        path = workbook(tmp_path / "rows.xlsx", {"a": [["text"]]})
        path.write_bytes(path.read_bytes()[:keep])
        assert refusal(path).startswith("rows.xlsx is not an Excel workbook: ")

    def test_without_openpyxl_a_workbook_is_refused(self, tmp_path, monkeypatch):
        path = workbook(tmp_path / "rows.xlsx", {"a": [["text"]]})
        monkeypatch.setitem(sys.modules, "openpyxl", None)
        assert refusal(path) == "rows.xlsx cannot be read, because the package openpyxl is not installed"

    def test_another_archive_is_refused(self, tmp_path):
        path = tmp_path / "rows.xlsx"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "no workbook")
        assert refusal(path).startswith("rows.xlsx is not an Excel workbook: ")


def changed(path: Path, old: bytes, new: bytes) -> Path:
    """Replace bytes in the sheet of a workbook."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(
                name, content.replace(old, new) if name.startswith("xl/worksheets/") else content
            )
    return path


class TestProgress:
    @pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".txt", ".parquet"])
    def test_the_share_that_is_read_grows_to_one(self, tmp_path, ending):
        texts = [f"{number * 7919 % 100_003} a text" * 20 for number in range(20_000)]
        path = tmp_path / f"rows{ending}"
        if ending == ".parquet":
            pq.write_table(pa.table({"text": texts}), path)
        else:
            made(tmp_path, path.name, "\n".join(texts))
        with open_table(path) as table:
            shares = [table.share_read() for _ in table.rows()]
        assert shares == sorted(shares)
        assert shares[0] < 0.9
        assert shares[-1] == 1

    def test_reading_needs_little_memory(self, tmp_path):
        path = tmp_path / "rows.csv"
        with path.open("w") as file:
            file.write(HEADER)
            file.writelines(f"{'a review of a film ' * 60}{number},x\n" for number in range(53_000))
        assert path.stat().st_size > 60e6
        script = (
            "import resource, sys; from pathlib import Path; from datafiles import open_table\n"
            "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "before = peak()\n"
            "with open_table(Path(sys.argv[1])) as table: count = sum(1 for _ in table.rows())\n"
            "print(count, peak() - before)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
        )
        count, kilobytes = map(int, done.stdout.split())
        assert count == 53_000
        assert kilobytes < 30_000

    def test_a_table_closes_its_file(self, tmp_path):
        table = opened(made(tmp_path, "rows.csv", HEADER + "a,x\n"))
        with pytest.raises(ValueError, match="closed file"):
            next(table.rows())


class TestHostileNames:
    def test_half_of_a_character_in_a_key_is_replaced_in_the_name_of_its_column(self, tmp_path):
        path = made(tmp_path, "a.jsonl", '{"a\\ud800b": 1}\n')
        assert opened(path).columns == ("a\ufffdb",)

    def test_a_long_name_of_a_column_is_cut_and_the_notice_says_so(self, tmp_path):
        table = opened(made(tmp_path, "a.csv", f"{'x' * 1000},b\n"))
        assert table.columns == ("x" * 200 + "…", "b")
        assert "more than 200 characters are cut" in table.notices[0]

    def test_long_names_that_differ_only_at_their_ends_stay_distinct(self, tmp_path):
        table = opened(made(tmp_path, "a.csv", f"{'x' * 300}1,{'x' * 300}2\n"))
        assert len(set(table.columns)) == 2
