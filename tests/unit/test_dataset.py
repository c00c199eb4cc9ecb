"""Reading labelled texts: formats, encodings and refusals."""

import csv
import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_import.dataset import Dataset, DatasetError, NoText, iterate_texts, read_dataset, read_texts

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


WRITERS = {".csv": write_csv, ".tsv": write_csv, ".jsonl": write_jsonl, ".parquet": write_parquet}


def rows_of(dataset: Dataset) -> list[tuple[str, str]]:
    return list(zip(dataset.texts, dataset.labels, strict=True))


def refusal(path: Path, **options: str) -> str:
    with pytest.raises(DatasetError) as caught:
        read_dataset(path, **options)
    return str(caught.value)


@pytest.mark.parametrize("ending", WRITERS)
def test_every_format_gives_the_same_rows(tmp_path, ending):
    assert rows_of(read_dataset(WRITERS[ending](tmp_path / f"rows{ending}"))) == ROWS


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


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("blank", ["", " \t", "\u00a0"])
def test_a_blank_text_is_refused_by_its_row(tmp_path, ending, blank):
    path = WRITERS[ending](tmp_path / f"rows{ending}", [*ROWS[:2], (blank, "positive"), *ROWS])
    message = refusal(path)
    assert f"{path} row 3: text is {blank!r}" in message
    assert "not blank" in message


@pytest.mark.parametrize("ending", WRITERS)
def test_a_blank_label_is_refused_by_its_row(tmp_path, ending):
    path = WRITERS[ending](tmp_path / f"rows{ending}", [*ROWS[:2], ("a text", " "), *ROWS])
    assert f"{path} row 3: label is ' '" in refusal(path)


@pytest.mark.parametrize("label", [None, 0.5, ["x"], {"x": 1}])
def test_a_label_that_is_neither_name_nor_whole_number_is_refused_by_its_row(tmp_path, label):
    path = write_jsonl(tmp_path / "rows.jsonl", [*ROWS[:4], ("a text", label)])
    assert f"{path} row 5: label is {label!r}; it must be a name or a whole number" in refusal(path)


@pytest.mark.parametrize("labels", [["x", None], [b"x", b"y"], [0.0, 1.0]], ids=["null", "bytes", "float"])
def test_a_parquet_label_of_another_type_is_refused_by_its_row(tmp_path, labels):
    path = write_parquet(tmp_path / "rows.parquet", [("a text", label) for label in labels * 10])
    row = labels.index(None) + 1 if None in labels else 1
    assert f"{path} row {row}: label is {labels[row - 1]!r}" in refusal(path)


@pytest.mark.parametrize("text", [None, 5, ["a"]])
def test_a_text_that_is_not_a_string_is_refused_with_its_row(tmp_path, text):
    path = write_jsonl(tmp_path / "rows.jsonl", [*ROWS[:1], (text, "positive")])
    assert f"{path} row 2: text is {text!r}" in refusal(path)


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("option", ["text_column", "label_column"])
def test_the_error_for_a_missing_column_lists_the_existing_ones(tmp_path, ending, option):
    path = WRITERS[ending](tmp_path / f"rows{ending}")
    message = refusal(path, **{option: "review"})
    assert message == (
        f"{path} row 1: there is no column 'review'; it has 'text', 'label'; name the right one with "
        f"--{option.replace('_', '-')}"
    )


def test_a_file_without_a_header_shows_only_the_beginning_of_its_first_text(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(("a secret " * 100 + ",x\n") * 2)
    assert refusal(path) == (
        f"{path} row 1: there is no column 'text'; it has '{('a secret ' * 7)[:59]}…, 'x'; "
        "name the right one with --text-column"
    )


def test_of_many_columns_only_the_first_are_shown(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(",".join(f"c{number}" for number in range(12)) + "\n" + "," * 11 + "\n")
    assert "it has 'c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7', 'c8', 'c9' and 2 more; name" in refusal(
        path
    )


@pytest.mark.parametrize(
    ("text", "label"), [(["a secret " * 100], "x"), ("a", ["a secret " * 100])], ids=["text", "label"]
)
def test_a_long_value_is_cut_in_the_error(tmp_path, text, label):
    message = refusal(write_jsonl(tmp_path / "rows.jsonl", [(text, label)]))
    assert f"is ['{('a secret ' * 7)[:58]}…; it must be" in message


def test_a_duplicate_column_with_a_long_name_is_cut(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(",".join(["a secret " * 100] * 2) + "\n")
    assert refusal(path) == f"{path}: the header has column '{('a secret ' * 7)[:59]}… twice"


def test_a_json_row_without_the_column_is_named(tmp_path):
    path = write_jsonl(tmp_path / "rows.jsonl")
    path.write_text(path.read_text(encoding="utf-8") + '{"text": "no label"}\n', encoding="utf-8")
    assert f"{path} row 41: there is no column 'label'" in refusal(path)


@pytest.mark.parametrize(("row", "columns"), [("one", 1), ("one,two,three", 3)])
def test_a_wrong_number_of_columns_is_refused_by_its_row(tmp_path, row, columns):
    path = tmp_path / "rows.csv"
    path.write_text(f"text,label\na,x\n{row}\n")
    assert refusal(path) == f"{path} row 2: {columns} columns, where the header has 2"


def test_a_duplicate_column_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label,text\n" + "a,x,b\n" * 20)
    assert refusal(path) == f"{path}: the header has column 'text' twice"


@pytest.mark.parametrize("row", ['"a"b,x', '"never closed,x'])
def test_unbalanced_quotes_are_refused_by_their_line(tmp_path, row):
    path = tmp_path / "rows.csv"
    path.write_text(f"text,label\na,x\n{row}\n")
    assert f"{path} line 3: " in refusal(path)


@pytest.mark.parametrize("line", ["text,label", '{"text": "a"', "{'text': 'a'}", "[" * 100_000])
def test_a_line_that_is_not_json_is_refused_by_its_row(tmp_path, line):
    path = write_jsonl(tmp_path / "rows.jsonl")
    path.write_text(path.read_text(encoding="utf-8") + line, encoding="utf-8")
    assert f"{path} row 41: not JSON: " in refusal(path)


def test_a_line_of_json_that_is_not_an_object_is_refused_with_its_row(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('["a", "x"]\n')
    assert refusal(path) == f'{path} row 1: \'["a", "x"]\' is not an object'


@pytest.mark.parametrize("keep", [0, 3, 100, -9])
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


@pytest.mark.parametrize("name", ["rows.xlsx", "rows", "rows.csv.gz"])
def test_the_error_for_an_unknown_file_extension_lists_the_known_ones(tmp_path, name):
    message = refusal(tmp_path / name)
    assert f"{tmp_path / name}: unknown kind of file {Path(name).suffix!r}" in message
    assert ".csv, .tsv, .jsonl, .parquet" in message


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


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"")
    assert refusal(path) == f"{path} is empty"


def test_a_file_without_rows_is_refused(tmp_path):
    path = write_csv(tmp_path / "rows.csv", [])
    assert refusal(path) == f"{path} has no rows"


def test_one_class_is_too_few_to_learn_from(tmp_path):
    dataset = read_dataset(write_csv(tmp_path / "rows.csv", [("a", "x")] * 20))
    with pytest.raises(DatasetError, match=r"^rows\.csv has only the class 'x'; at least 2 are needed$"):
        dataset.check_learnable()


def test_a_class_with_too_few_rows_is_named(tmp_path):
    dataset = read_dataset(write_csv(tmp_path / "rows.csv", [("a", "x")] * 10 + [("b", "y")] * 9))
    with pytest.raises(DatasetError, match=r"^rows\.csv: class 'y' has 9 rows; .* at least 10$"):
        dataset.check_learnable()


def test_texts_are_read_without_labels(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"review": "a"}\n{"review": "b"}\n')
    assert read_texts(path, "review") == ["a", "b"]
    with pytest.raises(DatasetError, match="row 1: there is no column 'text'"):
        read_texts(path)


@pytest.mark.parametrize("ending", WRITERS)
def test_texts_alone_are_read_up_to_the_first_bad_row(tmp_path, ending):
    path = WRITERS[ending](tmp_path / f"rows{ending}", [*ROWS[:2], (" ", "positive")])
    with pytest.raises(DatasetError, match="row 3: text is ' '"):
        read_texts(path)


@pytest.mark.parametrize("ending", WRITERS)
def test_rows_without_a_text_can_be_told_apart(tmp_path, ending):
    path = WRITERS[ending](tmp_path / f"rows{ending}", [*ROWS[:2], (" ", "x"), ("", "x"), *ROWS[2:3]])
    texts = [text for text, _ in ROWS]
    assert list(iterate_texts(path)) == [*texts[:2], NoText.BLANK, NoText.BLANK, texts[2]]


def test_null_and_other_types_are_told_apart(tmp_path):
    path = write_jsonl(tmp_path / "rows.jsonl", [(None, "x"), (5, "x"), (["a"], "x"), ("null", "x")])
    assert list(iterate_texts(path)) == [NoText.NULL, NoText.NOT_TEXT, NoText.NOT_TEXT, "null"]


def test_texts_are_read_one_after_the_other(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b"}\nnot JSON\n')
    texts = iterate_texts(path)
    assert [next(texts), next(texts)] == ["a", "b"]
    with pytest.raises(DatasetError, match="row 3: not JSON"):
        next(texts)
