"""Each view as Streamlit runs it, without a browser, in front of a real service."""

import csv
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import streamlit as st
from browsing import Web
from ports import free_port
from server_process import PROJECT, Server, wait_until
from streamlit.testing.v1 import AppTest

from datafiles import Options
from serving.routes import PREDICT_EXPLAIN
from serving.telemetry.catalogue import REQUESTS
from ui.jobs import Choices, Job, Jobs
from ui.jobs.locks import wait_for_lock
from ui.measurements import parse_sample
from ui.settings import settings

SECONDS = 30
TEXT = "Great cast, but the story goes nowhere."


def classify_page() -> None:
    from ui.frame import framed
    from ui.views import classify

    framed(classify.show)()


def batch_page() -> None:
    from ui.frame import framed
    from ui.views import batch

    framed(batch.show)()


def model_page() -> None:
    from ui.frame import framed
    from ui.views import model

    framed(model.show)()


def service_page() -> None:
    from ui.frame import framed
    from ui.views import service

    framed(service.show)()


def thresholds_page() -> None:
    from ui.frame import framed
    from ui.views import thresholds

    framed(thresholds.show)()


def test_a_setting_that_is_wrong_is_one_sentence() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("streamlit"), "run", "ui/app.py", "--server.headless", "true"],
        cwd=PROJECT,
        env=os.environ | {"CLASSIFIER_URL": "nonsense", "STREAMLIT_SERVER_PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert "error: CLASSIFIER_URL is 'nonsense': Input should be a valid URL" in done.stderr
    assert "Traceback" not in done.stderr


View = Callable[[], None]
VIEWS = (classify_page, batch_page, model_page, service_page, thresholds_page)


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """The settings of this process can be changed by environment variables."""
    monkeypatch.setenv("CLASSIFIER_UI_JOBS_FOLDER", str(tmp_path / "jobs"))
    _forget()
    yield monkeypatch
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    settings.cache_clear()
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture
def with_service(configured: pytest.MonkeyPatch, service: Server) -> None:
    configured.setenv("CLASSIFIER_URL", service.url)
    _forget()


def run(view: View, **query: str) -> AppTest:
    app = AppTest.from_function(view, default_timeout=SECONDS)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def words(app: AppTest) -> str:
    """All text of a page in Markdown, captions and alerts."""
    shown = [*app.markdown, *app.caption, *app.error, *app.warning, *app.info, *app.title, *app.header]
    return "\n".join(element.value for element in shown)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.usefixtures("with_service")
def test_every_view_has_one_title_and_says_which_model_answers(service: Server, view: View) -> None:
    app = run(view)
    assert not app.exception
    assert len(app.title) == 1
    version = httpx.get(f"{service.url}/model/info").json()["version"]
    assert f"version {version}" in "\n".join(element.value for element in app.sidebar.caption)


@pytest.mark.parametrize("view", VIEWS)
def test_no_view_shows_a_stack_trace_while_the_service_is_away(
    configured: pytest.MonkeyPatch, view: View
) -> None:
    configured.setenv("CLASSIFIER_URL", "http://127.0.0.1:9")
    _forget()
    app = run(view)
    assert not app.exception
    assert "The service does not answer" in "\n".join(element.value for element in app.sidebar.markdown)


def test_a_view_that_needs_the_service_says_what_to_do(configured: pytest.MonkeyPatch) -> None:
    configured.setenv("CLASSIFIER_URL", "http://127.0.0.1:9")
    _forget()
    (error,) = run(service_page).error
    assert "cannot be reached" in error.value
    assert "make serve" in error.value


def test_an_address_of_something_else_is_recognized(configured: pytest.MonkeyPatch, web: Web) -> None:
    configured.setenv("CLASSIFIER_URL", web.url)
    _forget()
    (error,) = run(model_page).error
    assert "is not this service" in error.value


@pytest.mark.usefixtures("with_service")
def test_a_fault_of_a_page_is_logged_and_not_shown(
    configured: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    configured.setattr("ui.views.model.FIGURES", None)
    app = run(model_page)
    (error,) = app.error
    assert "This page has failed" in error.value
    assert "TypeError" not in error.value
    assert "TypeError" in caplog.text


@pytest.mark.usefixtures("with_service")
def test_a_text_of_the_address_is_classified(service: Server) -> None:
    app = run(classify_page, text=TEXT, threshold="0.5")
    assert app.text_area(key="text").value == TEXT
    answer = httpx.post(f"{service.url}/predict", json={"text": TEXT}).json()
    assert [metric.value for metric in app.metric] == [
        answer["label"],
        f"{100 * answer['confidence']:.1f} %",
    ]


@pytest.mark.usefixtures("with_service")
def test_the_threshold_of_the_address_decides() -> None:
    app = run(classify_page, text=TEXT, threshold="1")
    assert app.metric[0].value == "uncertain"


def explanations(service: Server) -> float:
    """How many explanations the service has answered."""
    sample = parse_sample(httpx.get(f"{service.url}/metrics").text, at=0)
    return sample.value(REQUESTS.name, route=(PREDICT_EXPLAIN.path,))


@pytest.mark.usefixtures("with_service")
def test_another_threshold_does_not_explain_the_text_again(service: Server) -> None:
    app = run(classify_page, text=TEXT)
    before = explanations(service)
    app.slider(key="threshold").set_value(0.99).run()
    assert app.metric[0].value == "uncertain"
    assert explanations(service) == before
    app.text_area(key="text").set_value("A great film.").run()
    assert explanations(service) == before + 1


@pytest.mark.usefixtures("with_service")
def test_a_file_that_could_not_be_looked_at_for_others_is_looked_at_again(tmp_path: Path) -> None:
    with io.BytesIO(b"text\na fine film\n") as upload:
        job = Jobs(settings()).create(upload, "one.csv")
    with ExitStack() as others, pytest.MonkeyPatch.context() as impatient:
        impatient.setattr("ui.jobs.preview.SECONDS", 0.2)
        for number in range(settings().ui_running_jobs):
            others.enter_context(wait_for_lock(tmp_path / "jobs" / f".preview-{number}.lock"))
        (error,) = run(batch_page, job=job.id).error
        assert "Other files are being looked at" in error.value
    app = run(batch_page, job=job.id)
    assert not app.error
    assert "a fine film" in words(app)


@pytest.mark.parametrize("threshold", ["", "many", "nan", "-1", "7"])
@pytest.mark.usefixtures("with_service")
def test_a_threshold_that_is_no_threshold_is_not_an_error(threshold: str) -> None:
    app = run(classify_page, text=TEXT, threshold=threshold)
    assert not app.error
    assert 0 <= app.slider(key="threshold").value <= 1


@pytest.mark.usefixtures("with_service")
def test_a_warning_of_the_service_is_shown() -> None:
    (warning,) = run(classify_page, text="Xyzzyq qqwxz zzkjq.").warning
    assert "the model knows 0 of the text's 3 tokens" in warning.value.replace("\\", "")


@pytest.mark.usefixtures("with_service")
def test_a_blank_text_is_not_sent() -> None:
    app = run(classify_page, text="   ")
    assert "Nothing to classify yet" in words(app)


@pytest.mark.usefixtures("with_service")
def test_the_model_page_shows_the_figures_of_the_model(service: Server) -> None:
    metrics = httpx.get(f"{service.url}/model/info").json()["metrics"]
    app = run(model_page)
    assert app.metric[0].value == f"{100 * metrics['test_accuracy']:.2f} %"
    assert "## Strongest word groups" in words(app)


@pytest.mark.usefixtures("with_service")
def test_the_service_page_compares_now_with_training() -> None:
    app = run(service_page)
    assert "is **ready**" in words(app)
    assert "are compared with" in words(app)


@pytest.fixture
def job(with_service: None, project: Path, tmp_path: Path) -> Job:  # noqa: ARG001
    """A finished job with right labels and one row that is blank."""
    path = tmp_path / "reviews.csv"
    with (project / "tests" / "data" / "imdb_test.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows, (" ", "positive")])
    with path.open("rb") as upload:
        job = Jobs(settings()).create(upload, path.name)
    job.start(Choices("text", "label", Options()))
    wait_until(lambda: job.progress().stage == "finished", "the job is finished")
    return job


def test_a_finished_job_is_shown_with_its_numbers(job: Job) -> None:
    app = run(batch_page, job=job.id)
    progress = job.progress()
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Rows"] == f"{progress.rows:,}"
    assert shown["Without an answer"] == "1"
    assert f"of the {progress.classified:,} rows with a right label" in words(app)


@pytest.mark.usefixtures("with_service")
def test_a_new_job_offers_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    path.write_text("id,comment,comment\n1,a fine film,x\n", encoding="utf-8")
    with path.open("rb") as upload:
        job = Jobs(settings()).create(upload, path.name)
    app = run(batch_page, job=job.id)
    (text_column, *_) = [box for box in app.selectbox if box.label == "Column with the texts"]
    assert text_column.options == ["id", "comment", "comment (2)"]
    assert text_column.value == "comment"
    assert any("comment (2)" in info.value.replace("\\", "") for info in app.info)


def test_the_thresholds_of_a_job_with_right_labels_are_shown(job: Job) -> None:
    app = run(thresholds_page, job=job.id)
    assert not app.error
    assert "reviews" in words(app)
