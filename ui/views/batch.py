"""The page that classifies a whole file."""

from collections.abc import Mapping, Sequence, Set
from textwrap import shorten

import streamlit as st

from classifier.schema import ModelInfo
from datafiles import SUFFIXES, Options
from ui.charts import bars, show_chart
from ui.downloads import download_address
from ui.frame import current_model, fragment, jobs, link_to, plain
from ui.jobs import (
    CONFIDENCE_BINS,
    LABEL_SEPARATOR,
    RETRIED,
    Busy,
    Choices,
    Export,
    ExportKind,
    Filter,
    Job,
    JobError,
    Order,
    OrderBy,
    Preview,
    Progress,
    Result,
    Stage,
    Summary,
)
from ui.labels import in_words, label_thresholds
from ui.markup import download_link, percent
from ui.rows import explain_text, select_row, shown_text
from ui.visit import forget_job, job_of_address, list_jobs, open_job

REFRESH_SECONDS = 1.0
"""How often the progress of a job is looked at."""

PREVIEWS, PREVIEW_SECONDS = 64, 3600
"""How many previews are kept, and for how long."""

EXAMPLES = 3
EXAMPLE_CHARS = 200
PAGE_ROWS = 50

ENCODINGS = {"automatic": None, "UTF-8": "utf-8-sig", "Windows (cp1252)": "cp1252", "UTF-16": "utf-16"}
DELIMITERS = {"automatic": None, "comma": ",", "semicolon": ";", "tab": "\t", "vertical bar": "|"}
NO_COLUMN = "none"
SEPARATORS = {"nothing: one label, or a list": None, "vertical bar": "|", "semicolon": ";", "comma": ","}
"""Between the right labels of a cell."""

ORDERS = {
    "Row of the file": Order(),
    "Least confident first": Order(OrderBy.CONFIDENCE),
    "Most confident first": Order(OrderBy.CONFIDENCE, descending=True),
    "Label": Order(OrderBy.LABEL),
    "Shortest first": Order(OrderBy.LENGTH),
    "Longest first": Order(OrderBy.LENGTH, descending=True),
}
MOST_PROBABLE = "Most probable label"
"""The name of the order by label if a text can have several."""

ALL, PROBLEMS, MISTAKES = "All rows", "Rows without an answer", "Wrong answers"
WITHOUT_LABEL = "Rows with an answer and no label"

KINDS: dict[ExportKind, str] = {"csv": "CSV", "parquet": "Parquet", "xlsx": "Excel"}

STAGES = {
    Stage.WAITING: "It is about to start. It waits if as many jobs run as may run at the same time.",
    Stage.READING: "The file is read.",
    Stage.RUNNING: "The texts are classified.",
    Stage.PAUSED: "It waits and goes on by itself.",
    Stage.CANCELLED: "It was cancelled. What was classified is below.",
    Stage.STOPPED: "It has stopped. What was classified is below.",
    Stage.FINISHED: "All texts are classified.",
}


def show() -> None:
    """Show the job of the address, or take a file for a new one."""
    st.title("Batch: classify a file")
    job = job_of_address()
    if job is None:
        _take_file()
        return
    progress = job.progress()
    st.markdown(f"**{plain(job.name)}**")
    if progress.stage is Stage.NEW:
        _choose(job)
    else:
        _watch(job, progress)


def _take_file() -> None:
    has_several_labels = label_thresholds(current_model()) is not None
    given = "its labels, which can be none," if has_several_labels else "a label, a confidence"
    st.markdown(
        f"Every row gets {given} and the probability of each label. Rows that cannot be "
        "classified are kept with the reason. The job goes on if you close this page: its address finds it "
        "again."
    )
    uploaded = st.file_uploader(
        "A file with a text in each row",
        type=[suffix.removeprefix(".") for suffix in SUFFIXES],
        key=f"upload-{st.session_state.get('uploads', 0)}",
        help="CSV, TSV, TXT (a text a line), JSONL, Parquet or Excel; the first four also as .gz",
    )
    if uploaded is not None:
        with st.spinner("The file is stored"):
            job = jobs().create(uploaded, uploaded.name)
        # Another key drops the upload, which Streamlit would keep in memory until the visit ends.
        st.session_state["uploads"] = st.session_state.get("uploads", 0) + 1
        open_job(job)
        st.rerun()
    list_jobs()


def _choose(job: Job) -> None:
    """Let the user choose the columns, and start the job."""
    options = _options(job)
    found = _preview(job, options)
    if isinstance(found, str):
        st.error(plain(found), icon=":material/error:")
        _delete_button(job, "Take another file")
        return
    columns, sample = found.columns, found.rows
    if not sample:
        st.error("The file has no rows.", icon=":material/error:")
        _delete_button(job, "Take another file")
        return
    st.caption(f"{found.kind}, {len(columns)} column{'s' if len(columns) > 1 else ''}")
    for notice in found.notices:
        st.info(plain(notice), icon=":material/info:")
    left, right = st.columns(2, gap="large")
    text_column = left.selectbox(
        "Column with the texts",
        columns,
        columns.index(found.text_column) if found.text_column else 0,
        key=f"text-{job.id}-{len(columns)}",
    )
    labels = [NO_COLUMN, *(column for column in columns if column != text_column)]
    label_column = right.selectbox(
        "Column with the right labels, if there is one",
        labels,
        labels.index(label) if (label := _right_labels(found, text_column)) in labels else 0,
        key=f"label-{job.id}-{text_column}",
        help="With it, the page Thresholds measures how good the model is on this file.",
    )
    chosen = None if label_column == NO_COLUMN else label_column
    separator = None if chosen is None else _separator(job, found, chosen)
    with st.container(horizontal=True):
        if st.button("Classify the file", type="primary"):
            job.start(Choices(text_column, chosen, options, separator))
            st.rerun()
        _delete_button(job, "Take another file")
    place = columns.index(text_column)
    examples = [row[place] for row in sample if row[place]][:EXAMPLES]
    st.caption(f"The first texts of the column {plain(text_column)}:")
    for example in examples:
        st.markdown(f"> {plain(shorten(example, EXAMPLE_CHARS, placeholder=' …'))}")
    with st.expander(f"The first {len(sample)} rows"):
        st.dataframe(
            dict(zip(columns, zip(*sample, strict=True), strict=True)), hide_index=True, height="content"
        )


def _right_labels(found: Preview, text_column: str) -> str | None:
    """The column that seems to have right labels, by its name or because it has only labels of the model."""
    if found.label_column:
        return found.label_column
    model = current_model()
    labels = _known_labels(model)
    separators = SEPARATORS.values() if label_thresholds(model) else (None,)
    for column in found.columns:
        if column != text_column and any(
            _are_labels(found, column, separator, labels) for separator in separators
        ):
            return column
    return None


def _known_labels(model: ModelInfo | str) -> set[str]:
    return set() if isinstance(model, str) else {label.lower() for label in model["classes"]}


def _are_labels(found: Preview, column: str, separator: str | None, labels: Set[str]) -> bool:
    """Whether a column has only these labels in its first rows, and at least one of them."""
    place = found.columns.index(column)
    cells = [row[place].lower() for row in found.rows]
    pieces = cells if separator is None else [piece for cell in cells for piece in cell.split(separator)]
    values = {piece.strip() for piece in pieces} - {""}
    return bool(values) and values <= labels


def _separator(job: Job, found: Preview, column: str) -> str | None:
    """Let the user choose what is between the right labels of a row, if the model can give several."""
    model = current_model()
    if label_thresholds(model) is None:
        return None
    labels = _known_labels(model)
    fitting = (
        place
        for place, separator in enumerate(SEPARATORS.values())
        if _are_labels(found, column, separator, labels)
    )
    name = st.selectbox(
        "Between the right labels of a row",
        SEPARATORS,
        next(fitting, 0),
        key=f"separator-{job.id}-{column}",
        help="With a separator, an empty cell is a text without labels. A column of lists, which JSON and "
        "Parquet can have, needs no separator.",
    )
    return SEPARATORS[name or next(iter(SEPARATORS))]


def _options(job: Job) -> Options:
    with st.expander("How the file is read"):
        encoding, delimiter, header = st.columns(3)
        encoding_name = encoding.selectbox("Encoding", ENCODINGS, key=f"encoding-{job.id}")
        delimiter_name = delimiter.selectbox("Between the columns", DELIMITERS, key=f"delimiter-{job.id}")
        has_header = header.checkbox("The first row has the names", value=True, key=f"header-{job.id}")
        st.caption(
            "The encoding is for text files, the other two for CSV, TSV and Excel as far as they have them."
        )
    return Options(ENCODINGS[encoding_name], DELIMITERS[delimiter_name], has_header)


@st.cache_data(
    max_entries=PREVIEWS,
    ttl=PREVIEW_SECONDS,
    show_spinner="The file is looked at",
    hash_funcs={Job: lambda job: job.id},
)
def _preview(job: Job, options: Options) -> Preview | str:
    """The beginning of the file, or why it cannot be used; each widget of the page needs it anew."""
    try:
        return job.preview(options)
    except Busy:
        raise  # it is not kept, because another look may succeed
    except JobError as error:
        return str(error)


def _watch(job: Job, progress: Progress) -> None:
    """Show how far the job is, and what it has found."""
    fragment(_progress, REFRESH_SECONDS if progress.stage.is_active else None)(job)
    if progress.stage.is_active:
        if progress.classified + progress.failed:
            fragment(_results, 5 * REFRESH_SECONDS)(job)
        return
    if progress.rows:
        _downloads(job)
        _summary(job.summary(), job)
        fragment(_results)(job)


def _progress(job: Job) -> None:
    progress = job.progress()
    st.progress(progress.share, text=_share(progress))
    if progress.stage is Stage.PAUSED or progress.stage is Stage.STOPPED:
        st.warning(
            f"{plain(progress.reason or '')} {STAGES[progress.stage]} Nothing is lost.",
            icon=":material/pause_circle:",
        )
    else:
        st.markdown(STAGES[progress.stage])
    with st.container(horizontal=True, gap="medium"):
        st.metric("Rows", f"{progress.rows:,}", width="content")
        st.metric("Classified", f"{progress.classified:,}", width="content")
        st.metric("Without an answer", f"{progress.failed:,}", width="content")
        if progress.texts_per_second is not None:
            st.metric("Texts per second", f"{progress.texts_per_second:,.0f}", width="content")
        if progress.seconds_left is not None:
            st.metric("Time left", _duration(progress.seconds_left), width="content")
        elif progress.started_at and progress.ended_at:
            st.metric("Took", _duration(progress.ended_at - progress.started_at), width="content")
    if progress.models:
        st.caption(f"Answered by {plain(', '.join(progress.models))}.")
    for notice in progress.notices:
        st.caption(plain(notice))
    with st.container(horizontal=True):
        _actions(job, progress)
    if not progress.stage.is_active and st.session_state.get("watched") == job.id:
        # It has just ended: the whole page is shown anew, with all results.
        del st.session_state["watched"]
        st.rerun()
    if progress.stage.is_active:
        st.session_state["watched"] = job.id


def _share(progress: Progress) -> str:
    done = progress.classified + progress.failed
    return f"{100 * progress.share:.0f} %: {done:,} of {progress.rows:,} rows"


def _actions(job: Job, progress: Progress) -> None:
    if progress.stage.is_active:
        if st.button("Cancel", icon=":material/stop_circle:"):
            job.cancel()
            st.rerun(scope="fragment")
        _another_file_button()
        return
    if progress.stage in {Stage.CANCELLED, Stage.STOPPED} and st.button(
        "Go on", icon=":material/play_circle:"
    ):
        job.resume()
        st.rerun()
    if not RETRIED.isdisjoint(job.summary().problems) and st.button(
        "Try the failed rows again",
        icon=":material/replay:",
        help="Those that the service refused or failed on. What is wrong in the file itself stays as it is.",
    ):
        job.retry_failed()
        st.rerun()
    _another_file_button()
    _delete_button(job, "Delete this job")


def _another_file_button() -> None:
    if st.button("Classify another file", icon=":material/add:"):
        open_job(None)
        st.rerun()


def _delete_button(job: Job, label: str) -> None:
    if st.button(label, icon=":material/delete:"):
        jobs().delete(job.id)
        forget_job(job)
        open_job(None)
        st.rerun()


def _downloads(job: Job) -> None:
    st.header("Download", anchor=False)
    label = (
        f"all labels of a text (separated by “{plain(LABEL_SEPARATOR)}”), the most probable one, its"
        if job.progress().has_several_labels
        else "the label, the"
    )
    st.caption(
        f"All columns of the file with {label} confidence, the probability of each label, and the "
        "reason where there is no answer. Cells that a spreadsheet would run as a formula begin with an "
        "apostrophe."
    )
    wanted: set[ExportKind] = st.session_state.setdefault(f"exports-{job.id}", set())
    exports = {kind: job.export(kind) for kind in KINDS if kind in wanted}
    is_running = any(export.is_running for export in exports.values())
    with st.container(horizontal=True):
        for kind, name in KINDS.items():
            export = exports.get(kind)
            if export is not None and export.path is not None:
                st.html(download_link(f"Download {name}", download_address(job, kind)))
            elif export is not None and export.is_running:
                st.button(f"The {name} file is being made", disabled=True, icon=":material/hourglass:")
            else:
                st.button(f"Make the {name} file", key=f"make-{kind}", on_click=wanted.add, args=(kind,))
    for export in exports.values():
        for notice in (export.problem, *export.notices):
            if notice:
                st.caption(plain(notice))
    wanted -= {kind for kind, export in exports.items() if export.problem}
    if is_running:
        fragment(_wait_for_exports, REFRESH_SECONDS)(job, exports)


def _wait_for_exports(job: Job, before: Mapping[ExportKind, Export]) -> None:
    """Show the page anew once a file is made."""
    if any(export.is_running and not job.export(kind).is_running for kind, export in before.items()):
        st.rerun()


def _summary(summary: Summary, job: Job) -> None:
    st.header("Result", anchor=False)
    has_several_labels = job.progress().has_several_labels
    if summary.accuracy is not None:
        known, given = (
            ("right labels", "exactly the right labels")
            if has_several_labels
            else ("a right label", "the right answer")
        )
        st.markdown(
            f"**{percent(summary.accuracy)}** of the {summary.labelled:,} rows with {known} and an "
            f"answer have {given}."
        )
        link_to("thresholds", "Measure it and choose a threshold", job=job.id)
    left, right = st.columns(2, gap="large")
    with left:
        show_chart(
            bars(
                list(summary.rows_by_label),
                {"rows": list(summary.rows_by_label.values())},
                x_title="predicted label",
                y_title="rows",
            ),
            "Predicted labels",
            "How many rows got each label. A row with several labels counts for each of them; "
            f"rows with an answer and without a label: {summary.without_label:,}."
            if has_several_labels
            else "How many rows got each label.",
            key=f"labels-{job.id}",
        )
    with right:
        edges = [f"{place / CONFIDENCE_BINS:.2f}" for place in range(CONFIDENCE_BINS)]
        first = min((_first_bin(counts) for counts in summary.confidences.values()), default=0)
        show_chart(
            bars(
                edges[first:],
                {label: counts[first:] for label, counts in summary.confidences.items()},
                x_title=f"confidence, from this value to {1 / CONFIDENCE_BINS:g} more",
                y_title="rows",
            ),
            "Confidence",
            "How many rows have which confidence, by their most probable label."
            if has_several_labels
            else "How many rows of each label have which confidence.",
            key=f"confidence-{job.id}",
        )
    if summary.problems:
        st.subheader("Rows without an answer", anchor=False)
        st.table(
            {
                "reason": [plain(kind) for kind in summary.problems],
                "rows": [f"{count:,}" for count in summary.problems.values()],
            },
            hide_index=True,
        )


def _first_bin(counts: Sequence[int]) -> int:
    return next((place for place, count in enumerate(counts) if count), len(counts) - 1)


def _results(job: Job) -> None:
    """The rows, which can be filtered and sorted, and the one that is selected."""
    st.header("Rows", anchor=False)
    progress = job.progress()
    where, order = _conditions(job, progress)
    count = job.count(where)
    pages = max(1, -(-count // PAGE_ROWS))
    if not count:
        st.caption("No row is like that.")
        return
    label = "these labels" if progress.has_several_labels else "its label"
    st.caption(f"{count:,} row{'s' if count > 1 else ''}. Select one to see why it has {label}.")
    page = st.pagination(pages, key=f"page-{job.id}-{hash((where, order))}") if pages > 1 else 1
    rows = job.page(where, order, (page - 1) * PAGE_ROWS, PAGE_ROWS)
    explained = st.container()  # above the table, where it is seen
    place = select_row(
        _table_of_several(rows) if progress.has_several_labels else _table(rows),
        key=f"rows-{job.id}-{hash((where, order))}-{page}",
        alt="The rows of the file with their predictions",
    )
    if place is not None:
        with explained:
            _row(rows[place])


def _conditions(job: Job, progress: Progress) -> tuple[Filter, Order]:
    which, labels, contains, order = st.columns([2, 2, 2, 2])
    kinds, orders = [ALL, PROBLEMS, MISTAKES], dict(ORDERS)
    if progress.has_several_labels:
        kinds.append(WITHOUT_LABEL)
        orders = {MOST_PROBABLE if name == "Label" else name: order for name, order in ORDERS.items()}
    kind = which.selectbox("Show", kinds, key=f"which-{job.id}")
    chosen = labels.multiselect("Labels", progress.labels, key=f"labels-{job.id}-filter", placeholder="all")
    words = contains.text_input("Text contains", key=f"contains-{job.id}").strip()
    order_name = order.selectbox("Sort by", orders, key=f"order-{job.id}")
    low, high = st.slider("Confidence", 0.0, 1.0, (0.0, 1.0), 0.01, key=f"between-{job.id}")
    where = Filter(
        labels=frozenset(chosen) or None,
        min_confidence=low if low > 0 else None,
        max_confidence=high if high < 1 else None,
        contains=words or None,
        only_problems=kind == PROBLEMS,
        only_mistakes=kind == MISTAKES,
        only_without_label=kind == WITHOUT_LABEL,
    )
    return where, orders[order_name]


def _table(rows: Sequence[Result]) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = {
        "row": [row.number for row in rows],
        "text": [shown_text(row.text) for row in rows],
        "label": [row.label or "" for row in rows],
        "confidence": [None if row.confidence is None else 100 * row.confidence for row in rows],
    }
    if any(row.true_label is not None for row in rows):
        columns["right label"] = [row.true_label or "" for row in rows]
    if any(row.problem for row in rows):
        columns["why there is no answer"] = [row.problem or "" for row in rows]
    return columns


def _table_of_several(rows: Sequence[Result]) -> dict[str, list[object]]:
    """The table if a text can have several labels; the confidence is that of the most probable one."""
    table = _table(rows)
    columns: dict[str, list[object]] = {
        "row": table["row"],
        "text": table["text"],
        "labels": ["" if row.problem else in_words(_predicted(row)) for row in rows],
        "most probable": table["label"],
        "confidence": table["confidence"],
    }
    right = [_right(row) for row in rows]
    if any(labels is not None for labels in right):
        columns["right labels"] = ["" if labels is None else in_words(labels) for labels in right]
    if "why there is no answer" in table:
        columns["why there is no answer"] = table["why there is no answer"]
    return columns


def _predicted(row: Result) -> tuple[str, ...]:
    """All labels of a row with an answer, which a model with one label a text may have given."""
    return (row.label or "",) if row.labels is None else row.labels


def _right(row: Result) -> tuple[str, ...] | None:
    """All right labels of a row; None if they are not known."""
    return (row.true_label,) if row.true_labels is None and row.true_label is not None else row.true_labels


def _row(row: Result) -> None:
    st.subheader(f"Row {row.number:,}", anchor=False)
    if row.problem:
        st.warning(plain(row.problem), icon=":material/info:")
        st.caption(plain(shown_text(row.text)))
        return
    if row.labels is not None:
        _row_of_several(row, row.labels)
        return
    right = f", and the right label is {plain(row.true_label)}" if row.true_label is not None else ""
    st.markdown(f"The label is **{plain(row.label or '')}** with {percent(row.confidence or 0.0)}{right}.")
    for warning in row.warnings:
        st.warning(plain(warning), icon=":material/info:")
    explain_text(row.text)


def _row_of_several(row: Result, labels: Sequence[str]) -> None:
    known = _right(row)
    right = "" if known is None else f" The right ones are: {plain(in_words(known))}."
    most_probable = f"{plain(row.label or '')} with {percent(row.confidence or 0.0)}"
    st.markdown(
        f"Its labels are: **{plain(in_words(labels))}**.{right} The most probable label is {most_probable}."
    )
    for warning in row.warnings:
        st.warning(plain(warning), icon=":material/info:")
    label = row.label or ""
    names = list(dict.fromkeys((*row.probabilities, label)))
    chosen: str | None = st.selectbox(
        "Explain the label", names, names.index(label), key=f"explain-{row.number}-{label}"
    )
    explain_text(row.text, chosen)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
