"""A whole file, as somebody with a browser classifies it."""

import csv
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pyarrow.parquet as pq
import pytest
from browsing import OpenPage, Web, choose, running_web
from playwright.sync_api import Page, expect
from server_process import Server, running_server

from datafiles import open_table

LONG_MS = 120_000
TOO_LONG = "x" * 10_001


@pytest.fixture(scope="module")
def reviews(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 reviews with labels, of which every 100th has no text and every 500th a text that is too long."""
    data = project.parent / "shared" / "data" / "imdb" / "test.parquet"
    if data.exists():
        table = pq.read_table(data)
        rows = list(zip(table["text"].to_pylist(), table["label"].to_pylist(), strict=True))
    else:
        with (project / "tests" / "data" / "imdb_test.csv").open(encoding="utf-8", newline="") as file:
            rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    chosen = random.Random(0).choices(rows, k=2000)
    path = tmp_path_factory.mktemp("files") / "reviews.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "review", "sentiment"])
        for number, (text, label) in enumerate(chosen, start=1):
            broken = "" if number % 100 == 0 else TOO_LONG if number % 100 == 50 else text
            writer.writerow([f"={number}", broken, label])
    return path


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[Server]:
    """A service that the test may stop."""
    with running_server(tmp_path, tmp_path / "server.log") as server:
        yield server


@contextmanager
def hung(service: Server) -> Iterator[None]:
    """All processes of the service are stopped meanwhile, so that no request is answered."""
    parent = psutil.Process(service.process.pid)
    processes = [parent, *parent.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def upload(page: Page, path: Path) -> None:
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_role("button", name="Classify the file")).to_be_visible()


def start(page: Page) -> None:
    page.get_by_role("button", name="Classify the file").click()
    page.wait_for_url(re.compile("job="))


def finished(page: Page) -> None:
    expect(page.get_by_text("All texts are classified.")).to_be_visible(timeout=LONG_MS)
    expect(page.get_by_role("heading", name="Download")).to_be_visible()


def figure(page: Page, title: str) -> int:
    value = page.get_by_test_id("stMetric").filter(has_text=title).get_by_test_id("stMetricValue")
    return int(value.inner_text().replace(",", ""))


def download(page: Page, kind: str, folder: Path) -> Path:
    page.get_by_role("button", name=f"Make the {kind} file").click()
    button = page.get_by_role("link", name=f"Download {kind}")
    button.wait_for(timeout=LONG_MS)
    with page.expect_download() as started:
        button.click()
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def defused(cell: str) -> str:
    """A cell as it is in a download: a spreadsheet does not run it."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell


def table_of(path: Path) -> list[dict[str, object]]:
    with open_table(path) as table:
        return [dict(zip(table.columns, row.values, strict=True)) for row in table.rows()]


def test_the_columns_are_guessed_and_shown_with_examples(
    web: Web, open_page: OpenPage, reviews: Path
) -> None:
    with open_page(web, "/batch") as page:
        upload(page, reviews)
        expect(page.get_by_label("Column with the texts")).to_have_value("review")
        expect(page.get_by_role("combobox", name="Column with the right labels")).to_have_value("sentiment")
        expect(page.locator("blockquote")).to_have_count(3)


def test_a_job_outlives_a_reload_and_its_download_has_what_the_service_answers(
    web: Web, open_page: OpenPage, service: Server, reviews: Path, tmp_path: Path
) -> None:
    with open_page(web, "/batch") as page:
        upload(page, reviews)
        with hung(service):
            start(page)
            expect(
                page.get_by_text("0 of 2,000 rows").or_(page.get_by_text("40 of 2,000 rows"))
            ).to_be_visible()
            page.reload()
            expect(page.get_by_role("button", name="Cancel")).to_be_visible()
        finished(page)
        assert figure(page, "Rows") == 2000
        assert figure(page, "Classified") == 1960
        assert figure(page, "Without an answer") == 40
        expect(page.get_by_text("of the 1,960 rows with a right label and an answer")).to_be_visible()
        rows = table_of(download(page, "CSV", tmp_path))
    with reviews.open(encoding="utf-8", newline="") as file:
        sent = list(csv.DictReader(file))
    assert [row["review"] for row in rows] == [defused(row["review"]) for row in sent]
    assert [row["sentiment"] for row in rows] == [row["sentiment"] for row in sent]
    assert [row["id"] for row in rows] == [defused(row["id"]) for row in sent]
    classified = [row for row in rows if not row["problem"]]
    assert len(classified) == 1960
    for begin in range(0, len(classified), 20):
        part = classified[begin : begin + 20]
        answer = httpx.post(f"{service.url}/predict/batch", json={"texts": [row["review"] for row in part]})
        for row, expected in zip(part, answer.json()["predictions"], strict=True):
            assert row["label"] == expected["label"]
            assert float(str(row["confidence"])) == pytest.approx(expected["confidence"])
    problems = {str(row["problem"]) for row in rows if row["problem"]}
    assert len(problems) == 2
    assert any("blank" in problem for problem in problems)
    assert any("at most 10,000" in problem or "10000" in problem for problem in problems)


def test_rows_are_filtered_and_explained(web: Web, open_page: OpenPage, reviews: Path) -> None:
    with open_page(web, "/batch") as page:
        upload(page, reviews)
        start(page)
        finished(page)
        choose(page, "Show", "Rows without an answer")
        expect(page.get_by_text("40 rows. Select one")).to_be_visible()
        choose(page, "Show", "Wrong answers")
        expect(page.get_by_text("40 rows. Select one")).not_to_be_visible()
        # The table is drawn on a canvas: its first column has the boxes that select a row.
        page.get_by_test_id("stDataFrame").locator(".dvn-scroller").click(position={"x": 16, "y": 52})
        expect(page.get_by_text("and the right label is")).to_be_visible()
        expect(page.locator(".coloured")).to_be_visible()


def test_a_job_waits_for_a_service_that_is_stopped_and_goes_on_without_losing_a_row(
    open_page: OpenPage, own_service: Server, reviews: Path, tmp_path: Path
) -> None:
    with running_web(tmp_path, own_service.url) as web, open_page(web, "/batch") as page:
        upload(page, reviews)
        own_service.stop()
        start(page)
        expect(page.get_by_text("cannot be reached")).to_be_visible()
        expect(page.get_by_text("Nothing is lost.")).to_be_visible()
        with running_server(tmp_path, tmp_path / "again.log", port=own_service.port):
            finished(page)
            assert figure(page, "Classified") == 1960


def test_a_cancelled_job_keeps_what_it_has_and_can_go_on(
    web: Web, open_page: OpenPage, service: Server, reviews: Path
) -> None:
    with open_page(web, "/batch") as page:
        upload(page, reviews)
        with hung(service):
            start(page)
            page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_text("It was cancelled.")).to_be_visible()
        page.get_by_role("button", name="Go on").click()
        finished(page)
        assert figure(page, "Classified") == 1960


def test_a_job_goes_on_after_the_web_client_was_stopped(
    open_page: OpenPage, service: Server, reviews: Path, tmp_path: Path
) -> None:
    with hung(service), running_web(tmp_path, service.url) as web, open_page(web, "/batch") as page:
        upload(page, reviews)
        start(page)
        path = page.url.removeprefix(web.url)
        expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    with running_web(tmp_path, service.url) as web, open_page(web, path) as page:
        finished(page)
        assert figure(page, "Classified") == 1960


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", "is empty"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG"),
        ("header.csv", b"text,label\n", "The file has no rows."),
        ("broken.xlsx", b"PK\x03\x04 no workbook", "Excel"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_a_file_that_cannot_be_read_gets_a_sentence(
    web: Web, open_page: OpenPage, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with open_page(web, "/batch") as page:
        page.locator("input[type=file]").set_input_files(path)
        expect(page.get_by_role("alert").filter(has_text=message)).to_be_visible()
        page.get_by_role("button", name="Take another file").click()
        expect(page.locator("input[type=file]")).to_be_attached()


def test_a_job_that_does_not_exist_says_so(web: Web, open_page: OpenPage) -> None:
    with open_page(web, "/batch?job=nothing") as page:
        expect(page.get_by_text("There is no such job any more.")).to_be_visible()


def test_the_menu_keeps_the_job(web: Web, open_page: OpenPage, tmp_path: Path) -> None:
    path = tmp_path / "kept.csv"
    path.write_text("text;Bewertung\nA great film.;Positive\nAn awful film.;negative\n", encoding="cp1252")
    with open_page(web, "/batch") as page:
        upload(page, path)
        labels = page.get_by_role("combobox", name="Column with the right labels")
        expect(labels).to_have_value("Bewertung")  # it has only labels of the model
        start(page)
        finished(page)
        page.get_by_role("link", name="Thresholds", exact=True).click()
        expect(page.get_by_role("heading", name="Worst mistakes")).to_be_visible()
        page.get_by_role("link", name="Batch", exact=True).click()
        expect(page.get_by_role("heading", name="Download")).to_be_visible()
        content = download(page, "CSV", tmp_path).read_text(encoding="utf-8-sig")
    assert content.splitlines()[0].startswith('"text";"Bewertung";"label";"confidence"')


def test_a_plain_list_of_texts_is_classified(web: Web, open_page: OpenPage, tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("A great film.\n\nAn awful film.\n", encoding="utf-8")
    with open_page(web, "/batch") as page:
        upload(page, path)
        start(page)
        finished(page)
        rows = table_of(download(page, "Excel", tmp_path))
    assert [row["label"] for row in rows] == ["positive", "negative"]
