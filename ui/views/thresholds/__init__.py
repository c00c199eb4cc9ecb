"""The page that measures the answers on rows with right labels, and what each threshold would do."""

from collections.abc import Mapping

import streamlit as st

from classifier.schema import ModelInfo
from ui.frame import current_model, fragment, link_to, plain
from ui.jobs import Job, Progress, Stage
from ui.labels import label_thresholds
from ui.views.thresholds.all_labels import show_all_labels
from ui.views.thresholds.answers import show_answers
from ui.views.thresholds.confidence import show_confidence
from ui.views.thresholds.figures import Measured, OneLabel, Rows, SeveralLabels, labelled_rows
from ui.views.thresholds.label import show_label
from ui.views.thresholds.mistakes import show_mistakes
from ui.visit import job_of_address, list_jobs

FEW_ROWS = 100
"""With fewer rows of a label, its figures are only a hint."""

LISTED_LABELS = 10
REFRESH_SECONDS = 2.0


def show() -> None:
    """Measure the job of the address, or say how to get one."""
    st.title("Thresholds")
    job = job_of_address()
    if job is None:
        _how_to_begin()
        return
    st.markdown(f"**{plain(job.name)}**")
    progress = job.progress()
    rows = _measurable(job, progress)
    if rows is None:
        link_to("batch", "The job of these answers", job=job.id)
        return
    model = _model(progress)
    measured = Measured(
        job,
        _version(progress),
        rows,
        None if model is None else float(model["threshold"]),
        None if model is None else label_thresholds(model),
    )
    _origin(measured, progress)
    show_answers(measured)
    fragment(show_label)(measured)
    match rows:
        case OneLabel():
            fragment(show_confidence)(measured, rows)
        case SeveralLabels():
            fragment(show_all_labels)(measured, rows)
    fragment(show_mistakes)(measured)


def _how_to_begin() -> None:
    st.markdown(
        "This page measures the model on texts whose right labels you know: precision, recall, F1 and "
        "accuracy at every threshold. The page Batch classifies a file with a column of right labels; the "
        "page of its job then leads here."
    )
    link_to("batch", "Classify a file with right labels")
    list_jobs()


def _version(progress: Progress) -> str:
    return f"{progress.ended_at} {progress.classified} {progress.failed}"


def _measurable(job: Job, progress: Progress) -> Rows | None:
    """The rows of the job, or None after saying why there is nothing to measure."""
    if progress.stage is Stage.NEW:
        st.info("The file is not classified yet.", icon=":material/info:")
    elif progress.stage.is_active:
        fragment(_wait, REFRESH_SECONDS)(job)
    elif progress.choices is None or progress.choices.label_column is None:
        st.info(
            "The file was classified without a column of right labels, so nothing can be compared. Classify "
            "it again, and choose that column.",
            icon=":material/info:",
        )
    else:
        rows = labelled_rows(job, _version(progress))
        if rows.left_out:
            _say_left_out(rows)
        if len(rows.numbers):
            return rows
        st.info(
            f"No row has both an answer and a right label that the model has. Its labels are "
            f"{plain(', '.join(rows.labels)) or 'not known'}.",
            icon=":material/info:",
        )
    return None


def _wait(job: Job) -> None:
    progress = job.progress()
    st.progress(progress.share, text=f"The file is being classified: {100 * progress.share:.0f} %")
    st.caption("The figures are here once it has ended. If it pauses, the page of the job says why.")
    if not progress.stage.is_active:
        st.rerun()


def _say_left_out(rows: Rows) -> None:
    st.warning(
        f"{sum(rows.left_out.values()):,} rows are left out, because the model does not have their right "
        f"labels: {_listed(rows.left_out)}. Its labels are {plain(', '.join(rows.labels))}.",
        icon=":material/label_off:",
    )


def _model(progress: Progress) -> ModelInfo | None:
    """The model that answers now, if it is the one that answered the rows."""
    model = current_model()
    if isinstance(model, str) or progress.models != (f"{model['name']}:{model['version']}",):
        return None
    return model


def _origin(measured: Measured, progress: Progress) -> None:
    """Where the figures come from, and what speaks against trusting them."""
    rows = measured.rows
    known = "known right labels" if isinstance(rows, SeveralLabels) else "a right label"
    st.caption(
        f"{len(rows.numbers):,} of the {progress.rows:,} rows have {known} and an answer, by "
        f"{plain(', '.join(progress.models))}."
    )
    link_to("batch", "The job of these answers", job=measured.job.id)
    if len(progress.models) > 1:
        st.warning(
            "Several models answered, so these figures describe none of them. Classify the file again.",
            icon=":material/warning:",
        )
    if progress.stage is not Stage.FINISHED:
        st.warning(
            "The job did not finish; only its classified rows are measured.", icon=":material/warning:"
        )
    counts = rows.counts().have.tolist()
    few = {label: count for label, count in zip(rows.labels, counts, strict=True) if count < FEW_ROWS}
    if few:
        st.warning(
            f"Labels with fewer than {FEW_ROWS} rows: {_listed(few)}. So few rows are not enough to choose a "
            "threshold; look at the intervals.",
            icon=":material/warning:",
        )


def _listed(rows_by_label: Mapping[str, int]) -> str:
    """The first labels with their rows, and how many more labels there are."""
    listed = [f"{plain(label)} ({rows:,})" for label, rows in list(rows_by_label.items())[:LISTED_LABELS]]
    more = len(rows_by_label) - len(listed)
    return ", ".join(listed) + (f" and {more:,} more" if more else "")
