"""Batch jobs against the real service: right answers, and a service that stops and comes back."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from ports import free_port
from pydantic import AnyHttpUrl

from ui.jobs import Choices, Filter, Job, Jobs, Order, Stage
from ui.settings import Settings

TEXT_AND_LABEL = Choices("text", "label")
MANY = 10_000
WaitUntil = Callable[[Callable[[], bool], str], None]


@pytest.fixture(scope="module")
def reviews(project: Path) -> list[tuple[str, str]]:
    """Texts and labels of reviews."""
    with (project / "tests" / "data" / "imdb_test.csv").open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def upload(rows: list[tuple[str, str]]) -> io.BytesIO:
    content = io.StringIO(newline="")
    csv.writer(content).writerows([("text", "label"), *rows])
    return io.BytesIO(content.getvalue().encode())


def jobs_of(folder: Path, url: str) -> Jobs:
    return Jobs(Settings(url=AnyHttpUrl(url), ui_jobs_folder=folder))


def ended(job: Job) -> bool:
    return not job.progress().stage.is_active


@pytest.fixture(scope="module")
def finished(
    server: Any,
    reviews: list[tuple[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
    wait_until: WaitUntil,
) -> Job:
    """A job that has classified all reviews."""
    job = jobs_of(tmp_path_factory.mktemp("jobs"), server.url).create(upload(reviews), "reviews.csv")
    job.start(TEXT_AND_LABEL)
    wait_until(lambda: ended(job), "the job has ended")
    return job


def test_a_job_gives_each_row_the_answer_of_the_service(
    finished: Job, server: Any, reviews: list[tuple[str, str]]
) -> None:
    texts = [text for text, _ in reviews[:100]]
    answer = httpx.post(f"{server.url}/predict/batch", json={"texts": texts}).json()
    assert [
        (result.label, result.confidence, result.probabilities)
        for result in finished.page(Filter(), Order(), 0, 100)
    ] == [(each["label"], each["confidence"], each["probabilities"]) for each in answer["predictions"]]


def test_a_job_measures_the_accuracy_of_the_model(finished: Job) -> None:
    accuracy = finished.summary().accuracy
    assert accuracy is not None
    assert accuracy > 0.85


def test_a_job_names_the_model_that_answered(finished: Job, server: Any) -> None:
    model = httpx.get(f"{server.url}/model/info").json()
    assert finished.progress().models == (f"{model['name']}:{model['version']}",)


def test_a_job_pauses_while_the_service_is_away_and_goes_on(
    serve: Any, reviews: list[tuple[str, str]], tmp_path: Path, wait_until: WaitUntil
) -> None:
    port = free_port()
    rows = (reviews * (MANY // len(reviews) + 1))[:MANY]
    job = jobs_of(tmp_path / "jobs", f"http://127.0.0.1:{port}").create(upload(rows), "reviews.csv")
    with serve(tmp_path / "store", port=port):
        job.start(TEXT_AND_LABEL)
        wait_until(lambda: job.progress().classified > 0, "the first rows are classified")
    wait_until(lambda: job.progress().stage is Stage.PAUSED, "the job is shown as paused")
    before = job.progress().classified
    with serve(tmp_path / "store", port=port):
        wait_until(lambda: ended(job), "the job has ended")
    progress = job.progress()
    assert (before < MANY, progress.classified, progress.failed) == (True, MANY, 0)
