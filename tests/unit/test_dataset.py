"""Reading labelled texts: formats, encodings and refusals."""

import csv
import gzip
import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datafiles import SUFFIXES, write_table
from training_import.dataset import Dataset, iterate_texts, read_dataset, read_texts
from training_import.rows import BadRow, DatasetError, Place

ROWS = [
    ("a plain text", "positive"),
    ('commas, "quotes" and it\'s', "negative"),
    ("two\nlines\r\nand a\ttab", "positive"),
    ("café, naïve, über — “quoted”", "negative"),
] * 10
"""Twenty rows of each of two classes; cp1252 has every character of them."""


def write_csv(path: Path, rows: list[tuple[str, str]] = ROWS, encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerows([("text", "label"), *rows])
    return path


def write_jsonl(path: Path, rows: list[tuple[object, object]] = ROWS, encoding: str = "utf-8") -> Path:
    lines = [json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n" for text, label in rows]
    path.write_text("".join(lines), encoding=encoding, newline="")
    return path


def write_parquet(path: Path, rows: list[tuple[object, object]] = ROWS) -> Path:
    pq.write_table(pa.table({"text": [row[0] for row in rows], "label": [row[1] for row in rows]}), path)
    return path


def write_json(path: Path, rows: list[tuple[object, object]] = ROWS) -> Path:
    path.write_text(json.dumps([{"text": text, "label": label} for text, label in rows]), encoding="utf-8")
    return path


WRITERS = {
    ".csv": write_csv,
    ".tsv": write_csv,
    ".jsonl": write_jsonl,
    ".json": write_json,
    ".parquet": write_parquet,
}


def rows_of(dataset: Dataset) -> list[tuple[str, str]]:
    return list(zip(dataset.texts, dataset.labels, strict=True))


def refusal(path: Path, **options: str) -> str:
    with pytest.raises(DatasetError) as caught:
        read_dataset(path, **options)
    return str(caught.value)


def skipped(dataset: Dataset) -> list[tuple[str, int, str]]:
    """Return the reason, the line and the sentence of each bad row that is shown."""
    return [(bad.reason, bad.place.line, bad.sentence) for bad in dataset.reading.skipped.first]


@pytest.mark.parametrize("ending", WRITERS)
def test_every_format_gives_the_same_rows(tmp_path, ending):
    assert rows_of(read_dataset(WRITERS[ending](tmp_path / f"rows{ending}"))) == ROWS


def test_a_compressed_file_gives_the_same_rows(tmp_path):
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(write_csv(tmp_path / "rows.csv").read_bytes()))
    assert rows_of(read_dataset(path)) == ROWS


def test_a_workbook_gives_its_rows(tmp_path):
    rows = [("a text", "positive"), ("two\nlines", "negative")]
    write_table(tmp_path / "rows.xlsx", "xlsx", ["text", "label"], rows)
    assert rows_of(read_dataset(tmp_path / "rows.xlsx")) == rows


def test_the_file_extension_may_be_in_capitals(tmp_path):
    assert rows_of(read_dataset(write_csv(tmp_path / "ROWS.CSV"))) == ROWS


def test_a_dataset_has_the_name_and_digest_of_its_file(tmp_path):
    path = write_csv(tmp_path / "rows.csv")
    dataset = read_dataset(path)
    assert dataset.name == "rows.csv"
    assert dataset.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_classes_are_the_labels_in_alphabetical_order(tmp_path):
    assert read_dataset(write_csv(tmp_path / "rows.csv")).classes == ("negative", "positive")


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_common_encodings_are_recognized(tmp_path, ending, encoding):
    path = WRITERS[ending](tmp_path / f"rows{ending}", encoding=encoding)
    assert rows_of(read_dataset(path)) == ROWS


@pytest.mark.parametrize("encoding", ["latin-1", "shift_jis", "utf-16-le", "utf-32"])
def test_another_encoding_can_be_given(tmp_path, encoding):
    rows = [("Größe" if encoding == "latin-1" else "映画", label) for _, label in ROWS]
    path = write_csv(tmp_path / "rows.csv", rows, encoding)
    assert rows_of(read_dataset(path, encoding=encoding)) == rows


def test_a_byte_order_mark_is_not_part_of_the_first_column_if_the_encoding_is_named(tmp_path):
    path = write_csv(tmp_path / "rows.csv", encoding="utf-8-sig")
    assert rows_of(read_dataset(path, encoding="utf-8")) == ROWS


def test_columns_are_found_by_name_and_others_are_ignored(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("id,stars,review\n" + "1,bad,dull\n2,good,fine\n" * 10)
    dataset = read_dataset(path, text_column="review", label_column="stars")
    assert rows_of(dataset) == [("dull", "bad"), ("fine", "good")] * 10


def test_rows_may_end_with_a_carriage_return(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"text,label\r" + b"a,x\rb,y\r" * 10)
    assert rows_of(read_dataset(path)) == [("a", "x"), ("b", "y")] * 10


def test_empty_lines_are_not_rows(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "a,x\n\nb,y\n" * 10 + "\n")
    assert rows_of(read_dataset(path)) == [("a", "x"), ("b", "y")] * 10


@pytest.mark.parametrize("write", [write_jsonl, write_parquet])
def test_whole_numbers_become_labels_of_their_digits(tmp_path, write):
    ending = ".jsonl" if write is write_jsonl else ".parquet"
    path = write(tmp_path / f"rows{ending}", [("good", 1), ("bad", 0)] * 10)
    assert read_dataset(path).labels == ["1", "0"] * 10


def test_white_space_is_removed_around_a_label_and_kept_around_a_text(tmp_path):
    path = write_csv(tmp_path / "rows.csv", [(" good ", " x"), (" bad ", "y ")] * 10)
    assert rows_of(read_dataset(path)) == [(" good ", "x"), (" bad ", "y")] * 10


def test_a_field_may_be_longer_than_the_csv_modules_default(tmp_path):
    path = write_csv(tmp_path / "rows.csv", [("word " * 100_000, "x"), ("b", "y")] * 10)
    assert len(read_dataset(path).texts[0]) == 500_000


CELLS = st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip)


@given(st.lists(CELLS, min_size=1, max_size=5), CELLS, CELLS)
def test_any_rows_are_read_back_unchanged_from_csv_and_jsonl(tmp_path_factory, texts, label, other):
    folder = tmp_path_factory.mktemp("rows")
    labels = (label.strip(), other.strip() + "2")
    rows = [(text, name) for text in texts for name in labels] * 10
    if labels[0] == labels[1]:
        return
    for ending in (".csv", ".tsv", ".jsonl"):
        dataset = read_dataset(WRITERS[ending](folder / f"rows{ending}", rows), encoding="utf-8")
        assert rows_of(dataset) == rows


def line_of(number: int, ending: str) -> int:
    """Return the line or the row of row 1, 2 or 3 of ROWS, of which no earlier one has a line break."""
    return {".csv": number + 1, ".tsv": number + 1, ".json": 1}.get(ending, number)


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("blank", ["", " \t", "\u00a0"])
def test_a_row_with_a_blank_text_is_skipped_with_its_place(tmp_path, ending, blank):
    path = WRITERS[ending](tmp_path / f"rows{ending}", [*ROWS[:2], (blank, "positive"), *ROWS])
    dataset = read_dataset(path)
    assert rows_of(dataset) == [*ROWS[:2], *ROWS]
    sentence = f"'text' is {blank!r}; it must be a text that is not blank"
    assert skipped(dataset) == [("no text", line_of(3, ending), sentence)]


@pytest.mark.parametrize("ending", WRITERS)
def test_a_row_with_a_blank_label_is_skipped_with_its_place(tmp_path, ending):
    dataset = read_dataset(WRITERS[ending](tmp_path / f"rows{ending}", [*ROWS[:2], ("a text", " "), *ROWS]))
    assert rows_of(dataset) == [*ROWS[:2], *ROWS]
    sentence = "'label' is ' '; it must be a name, a number, or true or false"
    assert skipped(dataset) == [("no label", line_of(3, ending), sentence)]


def test_the_place_of_a_bad_row_is_its_line_although_rows_before_it_have_line_breaks(tmp_path):
    dataset = read_dataset(write_csv(tmp_path / "rows.csv", [*ROWS, ("", "x")]))
    assert skipped(dataset)[0][1] == 1 + 40 + 10 * 2 + 1


@pytest.mark.parametrize(("ending", "unit"), [(".csv", "line"), (".jsonl", "line"), (".parquet", "row")])
def test_a_text_has_a_place(tmp_path, ending, unit):
    dataset = read_dataset(WRITERS[ending](tmp_path / f"rows{ending}"))
    assert dataset.places[1] == Place(f"rows{ending}", unit, line_of(2, ending))


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (None, "no label"),
        (float("nan"), "no label"),
        ("NaN", "no label"),
        ([["x"]], "list with something that is no label"),
        ({"x": 1}, "label of another type"),
        (float("inf"), "label of another type"),
    ],
)
def test_a_row_without_a_label_that_can_be_used_is_skipped(tmp_path, label, reason):
    dataset = read_dataset(write_jsonl(tmp_path / "rows.jsonl", [*ROWS[:4], ("a text", label)]))
    assert dataset.reading.skipped.counts == {reason: 1}
    assert rows_of(dataset) == ROWS[:4]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no text"),
        (float("nan"), "no text"),
        (5, "text of another type"),
        (["a"], "text of another type"),
    ],
)
def test_a_row_without_a_text_that_can_be_used_is_skipped(tmp_path, text, reason):
    dataset = read_dataset(write_jsonl(tmp_path / "rows.jsonl", [*ROWS[:1], (text, "positive")]))
    assert dataset.reading.skipped.counts == {reason: 1}


LABELS = [("1.0", "1"), ("0.0", "0"), ("-2.00", "-2"), ("0.5", "0.5"), ("TRUE", "True"), ("false", "False")]


@pytest.mark.parametrize(("written", "label"), [*LABELS, ("1.10", "1.10"), ("none", "none"), ("01", "01")])
def test_a_label_of_csv_that_is_a_number_or_a_boolean_has_one_spelling(tmp_path, written, label):
    assert set(read_dataset(write_csv(tmp_path / "rows.csv", [("a text", written)] * 3)).labels) == {label}


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".parquet"])
@pytest.mark.parametrize(
    ("value", "label"), [(1.0, "1"), (1, "1"), (-0.0, "0"), (0.5, "0.5"), (True, "True"), (False, "False")]
)
def test_a_label_that_is_a_number_or_a_boolean_is_spelled_as_in_csv(tmp_path, ending, value, label):
    assert read_dataset(WRITERS[ending](tmp_path / f"rows{ending}", [("a text", value)])).labels == [label]


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_a_header_that_is_repeated_between_the_rows_is_skipped_with_its_place(tmp_path, ending):
    path = WRITERS[ending](tmp_path / f"rows{ending}")
    path.write_bytes(path.read_bytes() * 2)
    dataset = read_dataset(path)
    assert rows_of(dataset) == ROWS * 2
    assert [reason for reason, _, _ in skipped(dataset)] == ["repeated header"]


def test_a_text_that_is_called_like_its_column_is_a_row(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label\ntext,good\n")
    assert rows_of(read_dataset(path)) == [("text", "good")]


def test_a_label_has_no_half_of_a_character(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a", "label": "good\\ud800"}')
    assert read_dataset(path).labels == ["good\ufffd"]


def test_labels_that_are_spelled_in_another_way_are_a_notice(tmp_path):
    rows = [("a", "1.0"), ("b", "1"), ("c", "TRUE"), ("d", "1.0")]
    assert read_dataset(write_csv(tmp_path / "rows.csv", rows)).reading.notices == (
        "Labels that mean the same are spelled alike: '1.0' is '1', 'TRUE' is 'True'.",
    )


def test_labels_that_are_spelled_as_in_the_file_need_no_notice(tmp_path):
    assert read_dataset(write_csv(tmp_path / "rows.csv")).reading.notices == ()


def test_the_encoding_and_the_delimiter_are_told(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes("text;label\nein schöner Film;gut\n".encode("cp1252"))
    (read,) = read_dataset(path).reading.files
    assert (read.name, read.kind, read.encoding, read.delimiter) == ("rows.csv", "CSV", "cp1252", ";")
    assert len(read_dataset(path).reading.notices) == 2


def bad_rows(count: int, good: int) -> list[tuple[str, str]]:
    return [("", "x")] * count + [("a text", "x")] * good


@pytest.mark.parametrize(
    ("bad", "good", "share"), [(5, 1, 0.01), (6, 594, 0.01), (50, 50, 0.5), (0, 10, 0), (5, 1, 0.001)]
)
def test_bad_rows_up_to_a_share_or_a_few_are_skipped(tmp_path, bad, good, share):
    dataset = read_dataset(write_csv(tmp_path / "rows.csv", bad_rows(bad, good)), max_bad_rows=share)
    assert (len(dataset.texts), dataset.reading.rows, dataset.reading.skipped.total) == (
        good,
        bad + good,
        bad,
    )


@pytest.mark.parametrize(("bad", "good", "share"), [(6, 593, 0.01), (51, 49, 0.5), (1, 10, 0)])
def test_more_bad_rows_are_refused(tmp_path, bad, good, share):
    path = write_csv(tmp_path / "rows.csv", bad_rows(bad, good))
    with pytest.raises(DatasetError, match=f"{bad} of {bad + good} rows cannot be used.*--max-bad-rows "):
        read_dataset(path, max_bad_rows=share)


def test_a_refusal_counts_the_reasons_and_names_the_first_places_and_the_option(tmp_path):
    rows = [("a", "x"), ("", "x"), ("b", ""), *[("", "x")] * 4]
    path = write_csv(tmp_path / "rows.csv", rows)
    text, label = (f"'{name}' is ''; it must be {rule}" for name, rule in RULES.items())
    assert refusal(path) == (
        f"{path}: 6 of 7 rows cannot be used (5 no text, 1 no label), the first in line 3 ({text}), "
        f"line 4 ({label}), line 5 ({text}), line 6 ({text}), line 7 ({text}); at most 1 % of the rows, "
        "or 5 rows, may be skipped, and --max-bad-rows allows another share"
    )


def test_a_refusal_of_empty_labels_hints_at_the_separator(tmp_path):
    path = write_csv(tmp_path / "rows.csv", [("a", "x"), ("b", "x|y"), *[("c", "")] * 6])
    assert refusal(path).endswith(
        "; if 'x|y' is several labels and an empty cell is none, add --label-separator '|'"
    )


RULES = {"text": "a text that is not blank", "label": "a name, a number, or true or false"}


def test_a_file_whose_only_rows_are_bad_is_refused(tmp_path):
    path = write_csv(tmp_path / "rows.csv", [("", "x")])
    assert refusal(path) == (
        f"{path}: 1 of 1 rows cannot be used (1 no text), the first in line 2 "
        "('text' is ''; it must be a text that is not blank)"
    )


def test_a_further_column_has_the_rows_that_are_used(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label,part\na,x,1.0\n,x,2\nb,x,\nc,y,4\n")
    dataset = read_dataset(path, more_columns={"part": "--part"})
    assert dataset.columns == {"part": ["1", "4"]}
    assert dataset.texts == ["a", "c"]
    assert dataset.reading.skipped.counts == {"no text": 1, "no part": 1}


def test_the_column_of_the_labels_may_also_be_a_further_column(tmp_path):
    dataset = read_dataset(write_csv(tmp_path / "rows.csv"), more_columns={"label": "--group-column"})
    assert dataset.columns["label"] == dataset.labels


def test_a_part_of_a_data_set_has_the_places_and_further_columns_of_its_rows(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label,part\na,x,1\nb,y,2\n")
    dataset = read_dataset(path, more_columns={"part": None})
    part = dataset.only([False, True])
    assert (part.texts, part.columns, part.places[0].line) == (["b"], {"part": ["2"]}, 3)
    assert dataset.first(1).columns == {"part": ["1"]}


class TestSeveralFiles:
    @pytest.fixture
    def folder(self, tmp_path):
        for number, label in enumerate("zyx"):
            write_csv(tmp_path / f"part-{number}.csv", [(f"text {number}", label)])
        return tmp_path

    def test_they_are_one_data_set_in_the_order_in_which_they_are_named(self, folder):
        dataset = read_dataset([folder / "part-1.csv", folder / "part-0.csv"])
        assert rows_of(dataset) == [("text 1", "y"), ("text 0", "z")]
        assert dataset.name == "part-1.csv + part-0.csv"

    def test_the_files_of_a_pattern_are_in_alphabetical_order(self, folder):
        assert read_dataset(folder / "part-*.csv").labels == ["z", "y", "x"]

    def test_a_file_that_is_named_twice_is_read_once(self, folder):
        dataset = read_dataset([folder / "part-2.csv", folder / "part-*.csv"])
        assert dataset.labels == ["x", "z", "y"]

    def test_a_pattern_without_a_file_is_refused(self, folder):
        with pytest.raises(DatasetError, match=r"^no file matches '.*/part-\*\.parquet'$"):
            read_dataset(folder / "part-*.parquet")

    def test_a_file_may_have_the_characters_of_a_pattern_in_its_name(self, folder):
        assert read_dataset(write_csv(folder / "part-[0].csv", [("a", "b")])).labels == ["b"]

    def test_the_digest_covers_all_files_and_their_order(self, folder):
        one, other = folder / "part-0.csv", folder / "part-1.csv"
        digests = {read_dataset(files).sha256 for files in ([one], [other], [one, other], [other, one])}
        assert len(digests) == 4

    def test_the_name_has_the_first_of_many_files(self, folder):
        write_csv(folder / "part-3.csv", [("a", "b")])
        assert read_dataset(folder / "part-*.csv").name == "part-0.csv + part-1.csv + 2 more files"

    def test_files_of_the_same_name_have_their_folders_in_the_name(self, folder):
        (folder / "other").mkdir()
        other = write_csv(folder / "other" / "part-0.csv", [("a", "b")])
        assert read_dataset([folder / "part-0.csv", other]).name == f"{folder / 'part-0.csv'} + {other}"

    def test_a_bad_row_has_the_name_of_its_file_in_its_place(self, folder):
        write_csv(folder / "part-1.csv", [("", "y")] * 6)
        assert "the first in part-1.csv line 2 (" in refusal(folder / "part-*.csv")

    def test_the_share_of_bad_rows_is_that_of_all_files(self, folder):
        write_csv(folder / "part-1.csv", bad_rows(7, 0))
        write_csv(folder / "part-2.csv", bad_rows(0, 700))
        assert read_dataset(folder / "part-*.csv").reading.skipped.total == 7

    def test_a_column_that_one_of_them_lacks_is_missing_with_the_name_of_the_file(self, folder):
        (folder / "part-2.csv").write_text("text,stars\na,x\n")
        assert refusal(folder / "part-*.csv").startswith(
            f"{folder / 'part-2.csv'}: there is no column 'label'"
        )


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("option", ["text_column", "label_column"])
def test_the_error_for_a_missing_column_lists_the_existing_ones(tmp_path, ending, option):
    path = WRITERS[ending](tmp_path / f"rows{ending}")
    message = refusal(path, **{option: "review"})
    assert message == (
        f"{path}: there is no column 'review' (did you mean {option.removesuffix('_column')!r}?); "
        "it has 'text', 'label'; name the right one with "
        f"--{option.replace('_', '-')}"
    )


def test_a_file_without_a_header_shows_only_the_beginning_of_its_first_text(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(("a secret " * 100 + ",x\n") * 2)
    beginning = f"'{('a secret ' * 7)[:59]}…"
    assert refusal(path) == (
        f"{path}: there is no column 'text' (did you mean {beginning}?) and no column 'label'; it has "
        f"{beginning}, 'x'; name the right ones with --text-column and --label-column"
    )


def test_of_many_columns_only_the_first_are_shown(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(",".join(f"c{number}" for number in range(12)) + "\n" + "," * 11 + "\n")
    assert "it has 'c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7', 'c8', 'c9' and 2 more; name" in refusal(
        path
    )


@pytest.mark.parametrize(
    ("columns", "missing", "suggested"),
    [
        ("Text,label", "text", "Text"),
        ("texts,label", "text", "texts"),
        ("id,Review Text,label", "text", "Review Text"),
        ("context,review,label", "text", "review"),
        ("text,lable", "label", "lable"),
        ("text,sentiment", "label", "sentiment"),
    ],
)
def test_the_column_that_was_probably_meant_is_suggested(tmp_path, columns, missing, suggested):
    path = tmp_path / "rows.csv"
    path.write_text(f"{columns}\n" + "," * columns.count(",") + "\n")
    assert f"there is no column {missing!r} (did you mean {suggested!r}?); it has " in refusal(path)


def test_a_long_value_is_cut_in_the_sentence_of_a_bad_row(tmp_path):
    message = refusal(write_jsonl(tmp_path / "rows.jsonl", [(["a secret " * 100], "x")]))
    assert f"is ['{('a secret ' * 7)[:58]}…; it must be" in message


def test_a_duplicate_column_with_a_long_name_is_cut(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(",".join(["a secret " * 100] * 2) + "\n")
    assert refusal(path) == f"{path}: the header has column '{('a secret ' * 7)[:59]}… twice"


def test_a_json_row_without_the_key_of_the_label_is_skipped(tmp_path):
    path = write_jsonl(tmp_path / "rows.jsonl")
    path.write_text(path.read_text(encoding="utf-8") + '{"text": "no label"}\n', encoding="utf-8")
    assert skipped(read_dataset(path))[0][:2] == ("no label", 41)


@pytest.mark.parametrize(("row", "columns"), [("one", "1 column"), ("one,two,three", "3 columns")])
def test_a_row_with_a_wrong_number_of_columns_is_skipped(tmp_path, row, columns):
    path = tmp_path / "rows.csv"
    path.write_text(f"text,label\na,x\n{row}\n")
    assert skipped(read_dataset(path)) == [
        ("wrong number of columns", 3, f"{columns}, where the header has 2")
    ]


def test_a_duplicate_column_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label,text\n" + "a,x,b\n" * 20)
    assert refusal(path) == f"{path}: the header has column 'text' twice"


@pytest.mark.parametrize("row", ['"a"b,x', '"never closed,x'])
def test_a_row_with_unbalanced_quotes_is_skipped(tmp_path, row):
    path = tmp_path / "rows.csv"
    path.write_text(f"text,label\na,x\n{row}\nb,y\n")
    dataset = read_dataset(path)
    assert skipped(dataset)[0][:2] == ("unbalanced quotes", 3)
    assert rows_of(dataset) == [("a", "x"), ("b", "y")]


@pytest.mark.parametrize("line", ["text,label", '{"text": "a"', "{'text': 'a'}", "[" * 100_000, '["a", "x"]'])
def test_a_line_that_is_no_json_object_is_skipped(tmp_path, line):
    path = write_jsonl(tmp_path / "rows.jsonl")
    path.write_text(path.read_text(encoding="utf-8") + line, encoding="utf-8")
    assert skipped(read_dataset(path))[0][:2] == ("not a JSON object", 41)


def test_a_file_without_any_json_object_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('["a", "x"]\n')
    assert refusal(path) == (
        f"{path}: 1 of 1 rows cannot be used (1 not a JSON object), the first in line 1 "
        '(\'["a", "x"]\' is not an object)'
    )


@pytest.mark.parametrize("keep", [3, 100, -9])
def test_a_truncated_parquet_file_is_refused_by_its_name(tmp_path, keep):
    path = write_parquet(tmp_path / "rows.parquet")
    path.write_bytes(path.read_bytes()[:keep])
    assert f"{path} is not a Parquet file: " in refusal(path)


@pytest.mark.parametrize("compression", ["snappy", "zstd", "gzip"])
def test_a_damaged_parquet_file_is_refused_by_its_name(tmp_path, compression):
    path = tmp_path / "rows.parquet"
    texts = [f"text {i * 7919 % 10007}" for i in range(4000)]
    pq.write_table(pa.table({"text": texts, "label": ["x", "y"] * 2000}), path, compression=compression)
    content = bytearray(path.read_bytes())
    content[200:2000:7] = bytes(byte ^ 0xFF for byte in content[200:2000:7])
    path.write_bytes(content)
    assert f"{path} is not a Parquet file: " in refusal(path)


def test_parquet_strings_that_are_not_utf8_are_refused_by_the_files_name(tmp_path):
    path = tmp_path / "rows.parquet"
    buffers = pa.array([b"\xff\xfe"] * 20, pa.binary()).buffers()
    texts = pa.StringArray.from_buffers(20, *buffers[1:])
    pq.write_table(pa.table({"text": texts, "label": ["x", "y"] * 10}), path)
    assert f"{path} is not a Parquet file: " in refusal(path)


@pytest.mark.parametrize("name", ["rows.docx", "rows"])
def test_the_error_for_an_unknown_file_extension_lists_the_known_ones(tmp_path, name):
    message = refusal(tmp_path / name)
    assert f"{tmp_path / name}: unknown kind of file {Path(name).suffix!r}" in message
    assert f"supported are {', '.join(SUFFIXES)}" in message


@pytest.mark.parametrize("encoding", ["klingon", "hex"])
def test_an_unknown_encoding_is_named(tmp_path, encoding):
    path = write_csv(tmp_path / "rows.csv")
    assert refusal(path, encoding=encoding) == f"{path}: there is no encoding {encoding!r}"


@pytest.mark.parametrize("encoding", ["ascii", "utf-32", "punycode", "undefined"])
def test_a_given_encoding_that_does_not_match_is_refused_and_no_other_is_tried(tmp_path, encoding):
    path = write_csv(tmp_path / "rows.csv")
    assert f"{path} is not text in {encoding};" in refusal(path, encoding=encoding)


def test_bytes_in_an_unusual_encoding_are_refused_with_advice(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"text,label\n\x81,x\n")
    message = refusal(path)
    assert str(path) in message
    assert "--encoding" in message


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "rows.csv"
    assert refusal(path) == f"{path} cannot be read: No such file or directory"


@pytest.mark.parametrize("ending", WRITERS)
def test_an_empty_file_is_refused(tmp_path, ending):
    path = tmp_path / f"rows{ending}"
    path.write_bytes(b"")
    assert refusal(path) == f"{path} is empty"


def test_a_file_without_rows_is_refused(tmp_path):
    path = write_csv(tmp_path / "rows.csv", [])
    assert refusal(path) == f"{path} has no rows"


def test_columns_that_are_missing_are_all_said_at_once(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("Message;Category\nA long delay of the parcel;delivery\nWhere is my refund?;refund\n")
    assert refusal(path) == (
        f"{path}: there is no column 'text' (did you mean 'Message'?) and no column 'label' (did you mean "
        "'Category'?); it has 'Message', 'Category'; name the right ones with --text-column and "
        "--label-column"
    )


def test_one_class_is_too_few_to_learn_from(tmp_path):
    dataset = read_dataset(write_csv(tmp_path / "rows.csv", [("a", "x")] * 20))
    with pytest.raises(DatasetError, match=r"^rows\.csv has only the class 'x'; at least 2 are needed$"):
        dataset.check_learnable()


def test_a_class_with_too_few_rows_is_named(tmp_path):
    dataset = read_dataset(write_csv(tmp_path / "rows.csv", [("a", "x")] * 10 + [("b", "y")] * 9))
    with pytest.raises(
        DatasetError, match=r"^rows\.csv: .* each of the 2 .* at least 10 rows; class 'y' has 9\. Add"
    ):
        dataset.check_learnable()


def test_all_classes_with_too_few_rows_are_said_at_once(tmp_path):
    rows = [("a", "x")] * 10 + [(str(n), f"y{n}") for n in range(7)]
    dataset = read_dataset(write_csv(tmp_path / "rows.csv", rows))
    with pytest.raises(
        DatasetError, match=r"class 'y0' has 1, .*class 'y4' has 1, and 2 more classes have too few"
    ):
        dataset.check_learnable()


def test_texts_are_read_without_labels(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"review": "a"}\n{"review": "b"}\n')
    assert read_texts(path, "review") == ["a", "b"]
    with pytest.raises(DatasetError, match=r"there is no column 'text' .did you mean 'review'"):
        read_texts(path)


@pytest.mark.parametrize("ending", WRITERS)
def test_of_texts_alone_bad_rows_are_skipped_up_to_the_same_bound(tmp_path, ending):
    path = WRITERS[ending](tmp_path / f"rows{ending}", [*ROWS[:2], *[(" ", "positive")] * 5])
    assert read_texts(path) == [text for text, _ in ROWS[:2]]
    with pytest.raises(DatasetError, match="5 of 7 rows cannot be used"):
        read_texts(path, max_bad_rows=0)


def test_the_texts_that_are_read_one_by_one_have_bad_rows_between_them(tmp_path):
    path = write_jsonl(tmp_path / "rows.jsonl", [("a", "x"), (None, "x"), (5, "x"), ("null", "x")])
    first, none, other, last = iterate_texts(path)
    assert (first, none.reason, other.reason, last) == ("a", "no text", "text of another type", "null")


def test_texts_are_read_one_after_the_other_and_no_bad_row_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n' + "not JSON\n" * 100)
    texts = iterate_texts(path)
    assert next(texts) == "a"
    assert all(isinstance(row, BadRow) and row.reason == "not a JSON object" for row in texts)
