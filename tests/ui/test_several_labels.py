"""Each view as Streamlit runs it, in front of a service whose model gives a text several labels, or none."""

import io

import pytest
import streamlit as st
from server_process import Server, wait_until
from several import NONE, ONE, TWO
from streamlit.testing.v1 import AppTest
from test_views import (
    VIEWS,
    View,
    batch_page,
    classify_page,
    model_page,
    run,
    service_page,
    thresholds_page,
    words,
)

from ui.jobs import Choices, Job, Jobs
from ui.settings import settings

CSV = (
    "review,subjects\n"
    f'"{TWO}",acting|plot\n'
    f"{ONE},music|plot\n"
    f"{NONE},\n"
    "The acting and the music.,music|acting\n"
    "A story about songs.,music\n"
    " ,plot\n"
    "The plot.,costumes\n"
)
"""Texts with their right labels; the second and the fifth are answered wrongly, the sixth is blank."""


@pytest.fixture
def several(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, several_service: Server
) -> None:
    monkeypatch.setenv("CLASSIFIER_UI_JOBS_FOLDER", str(tmp_path_factory.mktemp("jobs")))
    monkeypatch.setenv("CLASSIFIER_URL", several_service.url)
    settings.cache_clear()
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture
def job(several: None) -> Job:  # noqa: ARG001
    with io.BytesIO(CSV.encode()) as upload:
        job = Jobs(settings()).create(upload, "reviews.csv")
    job.start(Choices("review", "subjects", label_separator="|"))
    wait_until(lambda: job.progress().stage == "finished", "the job is finished")
    return job


def html(app: AppTest) -> str:
    return "\n".join(element.proto.body for element in app.get("html"))


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.usefixtures("several")
def test_no_view_fails(view: View) -> None:
    app = run(view)
    assert not app.exception
    assert not app.error


@pytest.mark.usefixtures("several")
def test_a_text_is_shown_with_all_its_labels() -> None:
    app = run(classify_page, text=TWO)
    assert metrics(app) == {"acting": "67.9 %", "plot": "97.7 %"}
    assert "The text has 2 of 3 labels: acting, plot." in words(app)
    assert "together they can be more or less than 100 %" in words(app).replace("\\", "")


@pytest.mark.usefixtures("several")
def test_each_bar_has_the_threshold_of_its_label() -> None:
    page = html(run(classify_page, text=TWO))
    assert [page.count(f"left:{place}.00%") for place in (30, 50, 70)] == [1, 1, 1]
    assert page.count("is-reached") - page.count(".is-reached") == 2


@pytest.mark.usefixtures("several")
def test_a_text_without_labels_is_said_to_have_none() -> None:
    app = run(classify_page, text=NONE)
    assert metrics(app) == {"Labels": "none"}
    assert "The text has no label, because no probability reaches its threshold" in words(app)


@pytest.mark.usefixtures("several")
def test_the_thresholds_of_the_model_are_not_replaced_unless_the_user_wants_it() -> None:
    app = run(classify_page, text=TWO)
    assert not [slider for slider in app.slider if slider.key == "threshold"]
    assert '"threshold"' not in app.code[0].value
    app.toggle(key="one-threshold").set_value(True).run()
    app.slider(key="threshold").set_value(0.9).run()
    assert metrics(app) == {"plot": "97.7 %"}
    assert '"threshold": 0.9' in app.code[0].value
    assert html(app).count("left:90.00%") == 3


@pytest.mark.usefixtures("several")
def test_the_address_can_have_one_threshold_for_all_labels() -> None:
    assert metrics(run(classify_page, text=TWO, threshold="0.9")) == {"plot": "97.7 %"}


@pytest.mark.usefixtures("several")
def test_any_label_is_explained_against_a_text_without_it() -> None:
    app = run(classify_page, text=TWO)
    (chosen,) = [box for box in app.selectbox if box.label == "Explain the label"]
    assert (chosen.value, chosen.options) == ("plot", ["acting", "music", "plot"])
    chosen.set_value("music").run()
    assert "speaks for music" in html(app)
    assert "compared with a text without this label" in html(app)


@pytest.mark.usefixtures("several")
def test_the_texts_of_the_visit_are_listed_with_their_labels() -> None:
    app = run(classify_page, text=TWO)
    app.text_area(key="text").set_value(NONE).run()
    assert list(app.dataframe[0].value["label"]) == ["no label", "acting, plot"]


@pytest.mark.usefixtures("several")
def test_the_service_page_has_the_threshold_of_each_label() -> None:
    app = run(service_page)
    assert "A text can have several labels, or none" in words(app)
    table = app.table[0].value
    assert dict(zip(table["label"], table["threshold"], strict=True)) == {
        "acting": "0.3",
        "music": "0.5",
        "plot": "0.7",
    }


@pytest.mark.usefixtures("several")
def test_the_model_page_has_the_thresholds_and_none_of_a_second_label() -> None:
    shown = run(model_page).table[0].value.to_string().replace("\\", "")
    assert "acting 0.3, music 0.5, plot 0.7" in shown
    assert "several, or none" in shown
    assert "second label" not in shown


@pytest.mark.usefixtures("several")
def test_the_separator_of_the_right_labels_is_guessed_and_kept() -> None:
    with io.BytesIO(b"text,subjects\nThe cast.,acting|plot\nParis,\n") as upload:
        job = Jobs(settings()).create(upload, "reviews.csv")
    app = run(batch_page, job=job.id)
    boxes = {box.label: box.value for box in app.selectbox}
    assert boxes["Column with the right labels, if there is one"] == "subjects"
    assert boxes["Between the right labels of a row"] == "vertical bar"
    next(button for button in app.button if button.label == "Classify the file").click().run()
    assert job.progress().choices == Choices("text", "subjects", label_separator="|")


def test_a_finished_job_counts_the_rows_of_each_label(job: Job) -> None:
    app = run(batch_page, job=job.id)
    assert not app.exception
    assert not app.error
    assert job.summary().rows_by_label == {"acting": 2, "music": 3, "plot": 3}
    assert "counts for each of them; rows with an answer and without a label: 1." in words(app)
    assert "of the 6 rows with right labels and an answer have exactly the right labels" in words(app)


def test_the_rows_of_a_job_have_all_their_labels(job: Job) -> None:
    table = run(batch_page, job=job.id).dataframe[0].value
    assert list(table["labels"])[:4] == ["acting, plot", "music", "no label", "acting, music"]
    assert list(table["right labels"])[:4] == ["acting, plot", "music, plot", "no label", "acting, music"]
    assert list(table["labels"])[5] == ""


def test_rows_without_a_label_can_be_shown_alone(job: Job) -> None:
    app = run(batch_page, job=job.id)
    (show,) = [box for box in app.selectbox if box.label == "Show"]
    show.set_value("Rows with an answer and no label").run()
    assert list(app.dataframe[0].value["row"]) == [3]


def test_the_rows_with_a_label_are_all_that_have_it(job: Job) -> None:
    app = run(batch_page, job=job.id)
    app.multiselect[0].set_value(["acting"]).run()
    assert list(app.dataframe[0].value["row"]) == [1, 4]


def test_rows_can_be_sorted_by_the_most_probable_label(job: Job) -> None:
    app = run(batch_page, job=job.id)
    (order,) = [box for box in app.selectbox if box.label == "Sort by"]
    order.set_value("Most probable label").run()
    shown = [label for label in app.dataframe[0].value["most probable"] if label]
    assert shown == sorted(shown)


def test_the_thresholds_page_measures_sets_of_labels(job: Job) -> None:
    app = run(thresholds_page, job=job.id)
    assert not app.exception
    assert not app.error
    shown = metrics(app)
    assert (shown["Exactly right"], shown["Rows"]) == ("60.0 %", "5")
    assert {"Micro F1", "Macro F1"} <= shown.keys()
    assert "ECE" not in shown
    assert "There is no confusion matrix of all labels" in words(app)
    assert "There is no threshold of the confidence" in words(app)
    assert "1 rows are left out" in words(app)


def test_the_threshold_of_a_label_begins_at_that_of_the_model(job: Job) -> None:
    app = run(thresholds_page, job=job.id)
    (label,) = [box for box in app.selectbox if box.label == "Label"]
    label.set_value("plot").run()
    (slider,) = [slider for slider in app.slider if slider.label.startswith("Threshold: plot")]
    assert slider.value == pytest.approx(0.7)
    assert "does not have it below it" in words(app)
    assert "from the label's own threshold on, now 0.7" in words(app).replace("\\", "")


def test_one_threshold_for_all_labels_is_measured(job: Job) -> None:
    app = run(thresholds_page, job=job.id)
    (slider,) = [slider for slider in app.slider if slider.label == "Threshold of all labels"]
    slider.set_value(1.0).run()
    (table,) = [table.value for table in app.table if "Micro F1" in table.value.to_string()]
    assert "5 texts of 5" in table.to_string()
    assert not app.exception


def test_a_job_of_a_column_with_one_label_is_measured_as_well(several: None) -> None:  # noqa: ARG001
    with io.BytesIO(b"text,label\nThe plot.,plot\nThe cast.,acting\nSongs.,plot\n") as upload:
        job = Jobs(settings()).create(upload, "one.csv")
    job.start(Choices("text", "label"))
    wait_until(lambda: job.progress().stage == "finished", "the job is finished")
    app = run(thresholds_page, job=job.id)
    assert not app.error
    assert metrics(app)["Rows"] == "3"
