"""Reading texts with several labels: lists, cells with a separator, and a column for each label."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datafiles import write_table
from training_import.dataset import Dataset, read_dataset
from training_import.evaluation.groups import read_groups
from training_import.label_sources import ColumnPerLabel, SeparatedLabels
from training_import.rows import DatasetError
from training_import.training.material import DataSets

BARS = SeparatedLabels("label", "|")


def listed(folder: Path, *values: object) -> Path:
    """A file of JSON lines whose texts have these values as their labels."""
    path = folder / "rows.jsonl"
    lines = [json.dumps({"text": f"text {n}", "label": value}) for n, value in enumerate(values)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def cells(folder: Path, header: str, *rows: str) -> Path:
    """A file of CSV whose texts have these further cells."""
    path = folder / "rows.csv"
    path.write_text("\n".join([f"text,{header}", *(f"text {n},{row}" for n, row in enumerate(rows))]))
    return path


def bad(dataset: Dataset) -> list[tuple[str, str]]:
    assert dataset.reading is not None
    return [(one.reason, one.sentence) for one in dataset.reading.skipped.first]


def test_a_list_has_the_labels_of_a_text(tmp_path: Path) -> None:
    dataset = read_dataset(listed(tmp_path, ["b", "a"], [], ["c"]))
    assert dataset.label_sets == [("b", "a"), (), ("c",)]
    assert dataset.classes == ("a", "b", "c")


def test_a_text_without_labels_is_not_a_bad_row(tmp_path: Path) -> None:
    dataset = read_dataset(listed(tmp_path, ["a"], []))
    assert bad(dataset) == []
    assert len(dataset.texts) == 2


def test_a_single_label_among_lists_is_a_set_of_one(tmp_path: Path) -> None:
    assert read_dataset(listed(tmp_path, "a", ["a", "b"], 1)).label_sets == [("a",), ("a", "b"), ("1",)]


def test_lists_of_one_label_each_are_single_labels(tmp_path: Path) -> None:
    dataset = read_dataset(listed(tmp_path, ["a"], "b", ["b", " b"]))
    assert (dataset.labels, dataset.label_sets) == (["a", "b", "b"], None)
    assert dataset.sets == [("a",), ("b",), ("b",)]


def test_labels_of_a_list_are_spelled_as_single_ones_and_each_counts_once(tmp_path: Path) -> None:
    dataset = read_dataset(listed(tmp_path, [" a", "a ", 1, 1.0, "1.0", True], []))
    assert dataset.sets == [("a", "1", "True"), ()]


def test_labels_of_a_list_that_are_spelled_in_another_way_are_a_notice(tmp_path: Path) -> None:
    dataset = read_dataset(listed(tmp_path, ["1.0", "TRUE"], []))
    assert dataset.reading is not None
    assert dataset.reading.notices == (
        "Labels that mean the same are spelled alike: '1.0' is '1', 'TRUE' is 'True'.",
    )


@pytest.mark.parametrize("value", [None, "", " ", "NaN", ["b"], {"b": 1}], ids=repr)
def test_a_list_with_something_that_is_no_label_is_a_bad_row(tmp_path: Path, value: object) -> None:
    dataset = read_dataset(listed(tmp_path, ["a", value], ["a", "b"]))
    assert dataset.label_sets == [("a", "b")]
    assert bad(dataset) == [
        (
            "list with something that is no label",
            f"'label' is a list with {value!r}; each of its values must be a name, a number, or true or "
            "false",
        )
    ]


@pytest.mark.parametrize("value", [[0, 1, 0], [0.0, 1.0, 0.0], [False, True, False], [0, 0], [1, 1]])
def test_a_list_of_0_and_1_for_all_labels_is_a_bad_row(tmp_path: Path, value: object) -> None:
    with pytest.raises(DatasetError, match="not 0 or 1 for each label of the model"):
        read_dataset(listed(tmp_path, *[value] * 10))


def test_a_list_of_distinct_numbers_has_labels(tmp_path: Path) -> None:
    assert read_dataset(listed(tmp_path, [0, 1], [2, 2], [1])).sets == [("0", "1"), ("2",), ("1",)]


def test_null_is_not_an_empty_list(tmp_path: Path) -> None:
    dataset = read_dataset(listed(tmp_path, None, ["a", "b"]))
    assert [reason for reason, _ in bad(dataset)] == ["no label"]


def test_parquet_has_lists_too(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"text": ["x", "y", "z"], "label": [["a", "b"], [], ["b"]]}), tmp_path / "rows.parquet"
    )
    assert read_dataset(tmp_path / "rows.parquet").label_sets == [("a", "b"), (), ("b",)]


def test_a_json_array_has_lists_too(tmp_path: Path) -> None:
    rows = [{"text": "x", "label": ["a", "b"]}, {"text": "y", "label": []}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    assert read_dataset(tmp_path / "rows.json").label_sets == [("a", "b"), ()]


def test_a_separator_is_between_the_labels_of_a_cell(tmp_path: Path) -> None:
    path = cells(tmp_path, "label", "b | a|b|", "", "|", "NaN", "c", "1.0|true")
    assert read_dataset(path, label_column=BARS).sets == [("b", "a"), (), (), (), ("c",), ("1", "True")]


def test_without_a_separator_a_cell_is_one_label(tmp_path: Path) -> None:
    dataset = read_dataset(cells(tmp_path, "label", "b|a", "c"))
    assert (dataset.labels, dataset.label_sets) == (["b|a", "c"], None)


def test_a_separator_may_have_several_characters(tmp_path: Path) -> None:
    path = cells(tmp_path, "label", "a and b", "sand")
    assert read_dataset(path, label_column=SeparatedLabels("label", " and ")).sets == [("a", "b"), ("sand",)]


def test_cells_of_a_workbook_are_separated_and_blank_ones_have_no_label(tmp_path: Path) -> None:
    rows: list[tuple[object, object]] = [("x", "a|b"), ("y", None), ("z", 3)]
    write_table(tmp_path / "rows.xlsx", "xlsx", ["text", "label"], rows)
    dataset = read_dataset(tmp_path / "rows.xlsx", label_column=BARS)
    assert dataset.sets == [("a", "b"), (), ("3",)]


def test_a_list_is_a_list_also_if_a_separator_is_named(tmp_path: Path) -> None:
    assert read_dataset(listed(tmp_path, ["a|b", "c"]), label_column=BARS).sets == [("a|b", "c")]


def test_a_column_for_each_label_has_0_or_1(tmp_path: Path) -> None:
    path = cells(tmp_path, "a,b,c", "1,0,1", "0,0,0", "true,False,1.0", "TRUE,0.0, 0 ")
    dataset = read_dataset(path, label_column=ColumnPerLabel(("a", "b", "c")))
    assert dataset.sets == [("a", "c"), (), ("a", "c"), ("a",)]


def test_columns_of_labels_may_have_booleans_and_numbers(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["x", "y"], "a": [True, False], "b": [0.0, 1.0], "c": [1, 0]}), path)
    dataset = read_dataset(path, label_column=ColumnPerLabel(("c", "b", "a")))
    assert dataset.sets == [("c", "a"), ("b",)]


@pytest.mark.parametrize(
    ("cell", "shown", "reason"),
    [
        ("2", "'2'", "neither 0 nor 1 for a label"),
        ("-1", "'-1'", "neither 0 nor 1 for a label"),
        ("0.5", "'0.5'", "neither 0 nor 1 for a label"),
        ("yes", "'yes'", "neither 0 nor 1 for a label"),
        ("", "''", "no 0 or 1 for a label"),
    ],
)
def test_a_cell_of_a_label_that_is_neither_0_nor_1_is_a_bad_row(
    tmp_path: Path, cell: str, shown: str, reason: str
) -> None:
    dataset = read_dataset(
        cells(tmp_path, "a,b", f"1,{cell}", "1,1"), label_column=ColumnPerLabel(("a", "b"))
    )
    assert bad(dataset) == [(reason, f"'b' is {shown}; it must be 0 or 1")]


def test_missing_columns_of_labels_are_named_with_their_option_once(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        read_dataset(cells(tmp_path, "a", "1"), label_column=ColumnPerLabel(("a", "first", "second")))
    assert str(caught.value).endswith(
        "there is no column 'first' and no column 'second'; it has 'text', 'a'; name the right ones with "
        "--label-columns"
    )


LABELS = st.lists(st.sampled_from("abc"), unique=True)


@given(st.lists(LABELS, min_size=1))
def test_all_ways_to_write_labels_give_the_same_sets(
    tmp_path_factory: pytest.TempPathFactory, sets: list[list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    with (folder / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", *"abc"])
        writer.writerows(["x", "|".join(one), *(int(name in one) for name in "abc")] for one in sets)
    of_lists = read_dataset(listed(folder, *sets))
    separated = read_dataset(folder / "rows.csv", label_column=BARS)
    by_column = read_dataset(folder / "rows.csv", label_column=ColumnPerLabel(tuple("abc")))
    assert of_lists.sets == separated.sets == [tuple(one) for one in sets]
    assert [set(one) for one in by_column.sets] == [set(one) for one in sets]
    assert (of_lists.label_sets is None) == all(len(one) == 1 for one in sets)


def test_a_part_of_a_data_set_has_the_labels_of_its_rows(tmp_path: Path) -> None:
    dataset = read_dataset(listed(tmp_path, ["a", "b"], [], ["c"]))
    assert dataset.only([False, True, True]).label_sets == [(), ("c",)]
    assert dataset.first(1).sets == [("a", "b")]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (([], ["b", "a"]), "the text in line 2 has 2 labels ('b', 'a')"),
        ((["a"], []), "the text in line 2 has no label"),
    ],
)
def test_a_training_refuses_several_labels_in_one_sentence(
    tmp_path: Path, values: tuple[object, ...], found: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        DataSets(read_dataset(listed(tmp_path, *values)))
    assert str(caught.value) == (
        f"rows.jsonl: {found}; training makes only models that give a text one label; import a model that "
        "gives it several from scikit-learn or Hugging Face"
    )


def test_further_data_of_a_training_has_one_label_too(tmp_path: Path) -> None:
    several = read_dataset(listed(tmp_path, ["a", "b"]))
    one = Dataset("one.csv", "", ["x"], ["a"])
    with pytest.raises(DatasetError, match="the text in line 1 has 2 labels"):
        DataSets(one, test=several)


def test_a_file_of_groups_has_one_label_a_text(tmp_path: Path) -> None:
    path = tmp_path / "groups.jsonl"
    path.write_text(json.dumps({"text": "x", "label": ["a", "b"], "group": "g", "part": "final"}))
    with pytest.raises(DatasetError, match="the figures of groups are for texts with one label each"):
        read_groups(path)
