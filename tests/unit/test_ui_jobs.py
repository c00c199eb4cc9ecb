"""Jobs as the pages use them, with real files and worker processes; the service answers as it is told."""

import io
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_classifier import FakeClassifier, Reply, fake_classifier, predictions, problem
from pydantic import AnyHttpUrl

from datafiles import Options, open_table
from ui.jobs import Choices, ExportKind, Filter, Job, JobError, Jobs, Order, Stage
from ui.jobs import database as db
from ui.jobs.export import all_columns
from ui.jobs.locks import try_lock
from ui.settings import Settings

DEADLINE_SECONDS = 30


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"timed out after {DEADLINE_SECONDS} s waiting until {what}"
        pause.wait(0.02)


def workers(job: Job) -> list[int]:
    """The process ids of the workers of a job."""
    wanted = f"CLASSIFIER_UI_JOB_FOLDER={job.path.parent}\0".encode()
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdecimal() and _is_worker(process, wanted):
                found.append(int(process.name))
        except OSError:  # it has ended
            continue
    return found


def _is_worker(process: Path, variable: bytes) -> bool:
    is_any = b"ui.jobs.worker\0" in (process / "cmdline").read_bytes()
    return is_any and variable in (process / "environ").read_bytes()


def csv(rows: int) -> io.BytesIO:
    lines = [
        f"text {row}{' good' * (row % 2)},{'positive' if row % 2 else 'negative'}" for row in range(rows)
    ]
    return io.BytesIO("\n".join(["text,label", *lines]).encode())


def ended(job: Job) -> bool:
    return not job.progress().stage.is_active


def run(job: Job, choices: Choices = Choices("text", "label")) -> None:  # noqa: B008 - it is frozen
    job.start(choices)
    wait_until(lambda: ended(job), "the job has ended")


@pytest.fixture
def service() -> Iterator[FakeClassifier]:
    with fake_classifier() as service:
        yield service


@pytest.fixture
def settings(tmp_path: Path, service: FakeClassifier) -> Settings:
    return Settings(url=AnyHttpUrl(service.url), ui_jobs_folder=tmp_path / "jobs")


@pytest.fixture
def jobs(settings: Settings) -> Iterator[Jobs]:
    """All jobs; those that a test leaves running are cancelled at its end."""
    jobs = Jobs(settings)
    yield jobs
    for path in settings.jobs_folder.iterdir():
        if job := jobs.find(path.name):
            job.cancel()


class Gate:
    """Answers one batch, and holds the others until it is opened."""

    def __init__(self, before: int = 1) -> None:
        self.is_open = threading.Event()
        self.reached = threading.Event()
        self._before = before
        self._lock = threading.Lock()

    def __call__(self, batch: list[str]) -> Reply:
        with self._lock:
            self._before -= 1
            is_held = self._before < 0
        if is_held:
            self.reached.set()
            self.is_open.wait(DEADLINE_SECONDS)
        return predictions(batch)


def test_a_file_is_classified_by_a_process_of_its_own(jobs: Jobs) -> None:
    job = jobs.create(csv(250), "a.csv")
    run(job)
    progress = job.progress()
    assert (progress.stage, progress.rows, progress.classified, progress.share) == (
        Stage.FINISHED,
        250,
        250,
        1.0,
    )


def test_results_are_in_the_order_of_the_file(jobs: Jobs) -> None:
    job = jobs.create(csv(450), "a.csv")
    run(job)
    page = job.page(Filter(), Order(), 0, 1000)
    assert [(result.number, result.text.split()[1]) for result in page] == [
        (n + 1, str(n)) for n in range(450)
    ]


def test_the_worker_does_not_load_streamlit(project: Path) -> None:
    code = (
        "import sys, ui.jobs.worker, ui.jobs.reading, ui.jobs.sending, ui.jobs.export; "
        "print('streamlit' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
    )
    assert found.stdout == "False\n"


def test_hostile_rows_have_their_problems_and_the_others_are_classified(jobs: Jobs) -> None:
    rows = ['"good"', '""', "7", "null", '"half \\ud83d"', f'"{"x" * 10_001}"', '"a\\u0000b"']
    lines = [f'{{"text": {row}}}' for row in rows]
    job = jobs.create(io.BytesIO("\n".join([*lines, "[1]", "{"]).encode()), "a.jsonl")
    run(job, Choices("text"))
    assert (job.progress().stage, job.progress().classified, job.progress().failed) == (Stage.FINISHED, 2, 7)


def test_a_column_of_numbers_is_not_text(jobs: Jobs) -> None:
    job = jobs.create(io.BytesIO(b'{"text": 1}\n{"text": 2}\n'), "a.jsonl")
    run(job, Choices("text"))
    assert job.summary().problems == {"not text": 2}


def test_a_file_that_cannot_be_read_stops_the_job_with_the_reason(jobs: Jobs) -> None:
    job = jobs.create(io.BytesIO(b"%PDF-1.7"), "a.csv")
    run(job)
    assert (job.progress().stage, job.progress().reason) == (Stage.STOPPED, "a.csv is a PDF document.")


def test_a_worker_that_is_killed_goes_on_where_it_was(jobs: Jobs, service: FakeClassifier) -> None:
    gate = service.answer = Gate(before=3)
    job = jobs.create(csv(1000), "a.csv")
    job.start(Choices("text", "label"))
    wait_until(gate.reached.is_set, "requests hang")
    wait_until(lambda: job.progress().classified == 300, "the answers are stored")
    os.kill(workers(job)[0], signal.SIGKILL)
    gate.is_open.set()
    wait_until(lambda: ended(job), "the job has ended")
    assert [result.number for result in job.page(Filter(), Order(), 0, 2000)] == list(range(1, 1001))


def test_what_was_stored_before_a_crash_is_not_sent_again(jobs: Jobs, service: FakeClassifier) -> None:
    gate = service.answer = Gate(before=3)
    job = jobs.create(csv(1000), "a.csv")
    job.start(Choices("text", "label"))
    wait_until(lambda: job.progress().classified == 300, "the answers are stored")
    stored = {result.text for result in job.page(Filter(), Order(), 0, 2000)}
    os.kill(workers(job)[0], signal.SIGKILL)
    gate.is_open.set()
    wait_until(lambda: ended(job), "the job has ended")
    assert {service.sent[text] for text in stored} == {1}


def test_a_worker_that_is_asked_to_end_stores_its_answers_and_the_job_goes_on(
    jobs: Jobs, service: FakeClassifier
) -> None:
    gate = service.answer = Gate(before=1)
    job = jobs.create(csv(1000), "a.csv")
    job.start(Choices("text", "label"))
    wait_until(gate.reached.is_set, "requests hang")
    os.kill(workers(job)[0], signal.SIGTERM)
    gate.is_open.set()
    wait_until(lambda: ended(job), "the job has ended")
    assert (job.progress().classified, set(service.sent.values())) == (1000, {1})


def test_a_worker_that_crashes_each_time_stops_the_job(jobs: Jobs, settings: Settings) -> None:
    job = jobs.create(csv(10), "a.csv")
    with db.connection(settings.jobs_folder / job.id / "job.sqlite") as database:
        database.execute("DROP TABLE texts")
    run(job)
    assert "ended 4 times in a row" in (job.progress().reason or "")


def test_two_tabs_that_press_at_once_start_one_worker(jobs: Jobs, service: FakeClassifier) -> None:
    gate = service.answer = Gate(before=0)
    job_id = jobs.create(csv(100), "a.csv").id

    def press(_: int) -> None:
        job = jobs.find(job_id)
        assert job is not None
        job.start(Choices("text", "label"))
        job.progress()

    with ThreadPoolExecutor(8) as tabs:
        list(tabs.map(press, range(16)))
    wait_until(gate.reached.is_set, "a request hangs")
    job = jobs.find(job_id)
    assert job is not None
    assert len(workers(job)) == 1


def test_a_worker_is_in_a_session_of_its_own(jobs: Jobs, service: FakeClassifier) -> None:
    gate = service.answer = Gate(before=0)
    job = jobs.create(csv(10), "a.csv")
    job.start(Choices("text"))
    wait_until(gate.reached.is_set, "a request hangs")
    assert os.getsid(workers(job)[0]) != os.getsid(0)


def test_a_second_start_does_not_change_the_choices(jobs: Jobs) -> None:
    job = jobs.create(csv(10), "a.csv")
    job.start(Choices("text", "label"))
    job.start(Choices("label"))
    choices = job.progress().choices
    assert choices == Choices("text", "label")


def test_a_job_that_is_cancelled_ends_while_its_requests_hang(jobs: Jobs, service: FakeClassifier) -> None:
    gate = service.answer = Gate(before=1)
    job = jobs.create(csv(1000), "a.csv")
    job.start(Choices("text", "label"))
    wait_until(gate.reached.is_set, "requests hang")
    job.cancel()
    wait_until(lambda: not workers(job), "the worker has ended")
    assert job.progress().stage is Stage.CANCELLED


def test_a_cancelled_job_can_be_resumed(jobs: Jobs, service: FakeClassifier) -> None:
    gate = service.answer = Gate(before=1)
    job = jobs.create(csv(1000), "a.csv")
    job.start(Choices("text", "label"))
    wait_until(gate.reached.is_set, "requests hang")
    job.cancel()
    gate.is_open.set()
    job.resume()
    wait_until(lambda: ended(job), "the job has ended")
    assert (job.progress().stage, job.progress().classified) == (Stage.FINISHED, 1000)


def test_rows_that_the_service_failed_on_can_be_sent_again(jobs: Jobs, service: FakeClassifier) -> None:
    service.answer = lambda batch: problem(413, "not this") if "text 0" in batch else predictions(batch)
    job = jobs.create(csv(10), "a.csv")
    run(job)
    service.answer = predictions
    job.retry_failed()
    wait_until(lambda: ended(job), "the job has ended")
    assert (job.progress().classified, job.progress().failed) == (10, 0)


def test_rows_that_the_file_has_wrong_are_not_sent_again(jobs: Jobs) -> None:
    job = jobs.create(io.BytesIO(b'text\n"  "\ngood\n'), "a.csv")
    run(job, Choices("text"))
    job.retry_failed()
    assert (job.progress().stage, job.progress().failed) == (Stage.FINISHED, 1)


def test_a_job_waits_while_others_run(tmp_path: Path, service: FakeClassifier) -> None:
    gate = service.answer = Gate(before=0)
    settings = Settings(url=AnyHttpUrl(service.url), ui_jobs_folder=tmp_path, ui_running_jobs=1)
    jobs = Jobs(settings)
    first, second = jobs.create(csv(10), "a.csv"), jobs.create(csv(10), "b.csv")
    first.start(Choices("text"))
    wait_until(gate.reached.is_set, "the first job runs")
    second.start(Choices("text"))
    stage = second.progress().stage
    gate.is_open.set()
    wait_until(lambda: ended(first) and ended(second), "both jobs have ended")
    assert (stage, second.progress().stage) == (Stage.WAITING, Stage.FINISHED)


def test_active_jobs_go_on_after_a_restart(jobs: Jobs, settings: Settings) -> None:
    job = jobs.create(csv(10), "a.csv")
    with db.connection(settings.jobs_folder / job.id / "job.sqlite") as database:
        db.start(database, Choices("text"))
    jobs.recover()
    wait_until(lambda: job.progress().stage is Stage.FINISHED, "the job is finished")


@pytest.mark.parametrize(
    "job_id", ["", ".", "..", "../x", "a" * 21, "a" * 23, "a" * 21 + "/", "a" * 21 + "\n", "~"]
)
def test_an_id_that_is_not_one_of_a_job_finds_none(jobs: Jobs, job_id: str) -> None:
    assert jobs.find(job_id) is None


def test_the_id_of_a_job_finds_it_again(jobs: Jobs) -> None:
    job = jobs.create(csv(1), "a.csv")
    found = jobs.find(job.id)
    assert found is not None
    assert found.name == "a.csv"


def test_only_the_owner_can_read_the_files_of_a_job(jobs: Jobs, settings: Settings) -> None:
    job = jobs.create(csv(10), "a.csv")
    run(job)
    job.export("csv")
    wait_until(lambda: not job.export("csv").is_running, "the file is written")
    files = list((settings.jobs_folder / job.id).rglob("*"))
    assert {path.stat().st_mode & 0o077 for path in [settings.jobs_folder, job.path.parent, *files]} == {0}


def test_the_upload_is_kept_byte_for_byte(jobs: Jobs) -> None:
    content = os.urandom(3 * 2**20 + 1)
    assert jobs.create(io.BytesIO(content), "a.csv").path.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("/etc/passwd.csv", "passwd.csv"),
        ("C:\\data\\a.csv", "a.csv"),
        ("a\n\u202eb.csv", "a__b.csv"),
        ("x" * 300 + ".csv.gz", "x" * 75 + "…" + "x" * 68 + ".csv.gz"),
    ],
)
def test_the_name_of_a_file_is_made_harmless_and_keeps_its_ending(jobs: Jobs, name: str, kept: str) -> None:
    assert jobs.create(csv(1), name).name == kept


def test_a_preview_reads_the_file_with_the_options(jobs: Jobs) -> None:
    preview = jobs.create(io.BytesIO(b"a|b\nc|d\n"), "a.csv").preview(Options(delimiter="|"))
    assert (preview.columns, preview.rows) == (("a", "b"), (("c", "d"),))


def test_a_preview_of_a_file_that_cannot_be_used_says_why(jobs: Jobs) -> None:
    with pytest.raises(JobError, match=r"a\.csv is empty\."):
        jobs.create(io.BytesIO(), "a.csv").preview(Options())


def test_a_preview_of_a_small_file_that_unpacks_to_gigabytes_takes_bounded_memory(jobs: Jobs) -> None:
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), pa.array(["a" * 30_000_000]))
    file = io.BytesIO()
    pq.write_table(pa.table({"text": repeated}), file)
    with pytest.raises(JobError, match="takes too much memory"):
        jobs.create(file, "a.parquet").preview(Options())


def test_a_preview_shows_half_of_a_character_as_a_question_mark(jobs: Jobs) -> None:
    job = jobs.create(io.BytesIO(b'{"text": "a \\ud800 b"}\n'), "a.jsonl")
    assert job.preview(Options()).rows == (("a ? b",),)


def test_the_arguments_of_a_worker_do_not_have_the_id_of_its_job(jobs: Jobs, service: FakeClassifier) -> None:
    gate = Gate()
    service.answer = gate
    job = jobs.create(csv(250), "a.csv")
    job.start(Choices("text"))
    wait_until(gate.reached.is_set, "a batch is held")
    (worker,) = workers(job)
    arguments = Path(f"/proc/{worker}/cmdline").read_bytes()
    gate.is_open.set()
    assert job.id.encode() not in arguments


def limited(settings: Settings, **limits: float) -> Jobs:
    return Jobs(settings.model_copy(update=limits))


def age(job: Job, days: float) -> None:
    """Make all files of a job older."""
    for path in job.path.parent.iterdir():
        os.utime(path, (time.time() - days * 86_400,) * 2)


def test_a_job_beyond_the_number_deletes_the_oldest(settings: Settings) -> None:
    jobs = limited(settings, ui_max_jobs=2)
    first, second = jobs.create(csv(1), "a.csv"), jobs.create(csv(1), "b.csv")
    age(first, 1)
    third = jobs.create(csv(1), "c.csv")
    assert [jobs.find(job.id) is None for job in (first, second, third)] == [True, False, False]


def test_a_job_beyond_the_bytes_deletes_the_oldest(settings: Settings) -> None:
    jobs = limited(settings, ui_max_jobs_bytes=1_100_000)
    first = jobs.create(io.BytesIO(b"x" * 600_000), "a.csv")
    jobs.create(io.BytesIO(b"x" * 600_000), "b.csv")
    assert jobs.find(first.id) is None


def test_a_job_that_is_too_old_is_deleted(settings: Settings) -> None:
    jobs = limited(settings, ui_max_job_days=1)
    old = jobs.create(csv(1), "a.csv")
    age(old, 2)
    jobs.create(csv(1), "b.csv")
    assert jobs.find(old.id) is None


def test_a_job_that_is_active_is_not_deleted_for_another(settings: Settings, service: FakeClassifier) -> None:
    gate = service.answer = Gate(before=0)
    jobs = limited(settings, ui_max_jobs=1)
    running = jobs.create(csv(10), "a.csv")
    running.start(Choices("text"))
    with pytest.raises(JobError, match="There is no room for another job: 1 of at most 1 jobs"):
        jobs.create(csv(1), "b.csv")
    gate.is_open.set()
    wait_until(lambda: ended(running), "the job has ended")


def test_a_file_that_is_larger_than_all_jobs_may_be_is_refused(settings: Settings) -> None:
    with pytest.raises(JobError, match="The file has 2,000 bytes; all jobs together may have 1,000"):
        limited(settings, ui_max_jobs_bytes=1000).create(io.BytesIO(b"x" * 2000), "a.csv")


def test_what_was_left_half_made_is_deleted(jobs: Jobs, settings: Settings) -> None:
    left = [settings.jobs_folder / name for name in (".new-x", ".deleted-x")]
    for path in left:
        path.mkdir()
    jobs.create(csv(1), "a.csv")
    assert not any(path.exists() for path in left)


def test_a_deleted_job_is_not_found_again(jobs: Jobs) -> None:
    job = jobs.create(csv(1), "a.csv")
    jobs.delete(job.id)
    assert jobs.find(job.id) is None


def test_a_page_of_a_deleted_job_says_so(jobs: Jobs) -> None:
    job = jobs.create(csv(1), "a.csv")
    jobs.delete(job.id)
    with pytest.raises(JobError, match="This job was deleted"):
        job.progress()


def test_a_job_that_runs_is_not_deleted(jobs: Jobs, service: FakeClassifier) -> None:
    service.answer = Gate(before=0)
    job = jobs.create(csv(10), "a.csv")
    job.start(Choices("text"))
    with pytest.raises(JobError, match="Cancel it first"):
        jobs.delete(job.id)


def test_a_key_reaches_the_worker(tmp_path: Path, service: FakeClassifier) -> None:
    settings = Settings(url=AnyHttpUrl(service.url), api_key="secret", ui_jobs_folder=tmp_path)  # type: ignore[arg-type]
    job = Jobs(settings).create(csv(1), "a.csv")
    run(job, Choices("text"))
    assert service.keys == {"Bearer secret"}


@pytest.mark.parametrize("kind", ["csv", "parquet", "xlsx"])
def test_an_export_has_all_columns_and_the_results(jobs: Jobs, kind: ExportKind) -> None:
    job = jobs.create(io.BytesIO("text,other,label\ngood,é,positive\n,2,x\n".encode()), "a.csv")
    run(job)
    wait_until(lambda: not job.export(kind).is_running, "the file is written")
    path = job.export(kind).path
    assert path is not None, job.export(kind).problem
    with open_table(path) as table:
        first = next(table.rows()).values
    assert tuple(map(str, first[:5])) == ("good", "é", "positive", "positive", "0.54")


def test_an_export_is_made_anew_once_the_results_have_changed(jobs: Jobs, service: FakeClassifier) -> None:
    service.answer = lambda batch: problem(413, "no") if "text 0" in batch else predictions(batch)
    job = jobs.create(csv(4), "a.csv")
    run(job)
    wait_until(lambda: not job.export("csv").is_running, "the file is written")
    service.answer = predictions
    job.retry_failed()
    wait_until(lambda: ended(job), "the job has ended")
    assert job.export("csv").is_running


def test_an_export_that_fails_says_why(jobs: Jobs, settings: Settings) -> None:
    job = jobs.create(csv(4), "a.csv")
    run(job)
    (settings.jobs_folder / job.id / "upload").write_bytes(b"")
    wait_until(lambda: not job.export("csv").is_running, "the process has ended")
    assert job.export("csv").problem == "The file cannot be written: a.csv is empty."


def test_an_export_whose_process_was_killed_says_so(jobs: Jobs, settings: Settings) -> None:
    job = jobs.create(csv(4), "a.csv")
    run(job)
    with db.connection(settings.jobs_folder / job.id / "job.sqlite") as database:
        db.begin_export(database, "csv", db.state(database).version)
    assert job.export("csv").problem == "The process that wrote the file ended before the file was complete."


def test_two_exports_of_one_kind_are_not_written_at_once(jobs: Jobs, settings: Settings) -> None:
    job = jobs.create(csv(4), "a.csv")
    run(job)
    lock = try_lock(settings.jobs_folder / job.id / "export-csv.lock")
    assert lock is not None
    with lock:
        assert job.export("csv").is_running


def test_a_job_that_was_not_started_has_no_export(jobs: Jobs) -> None:
    assert (
        jobs.create(csv(4), "a.csv").export("csv").problem == "The file can be made once the job has ended."
    )


def test_the_columns_of_an_export_differ_from_those_of_the_file() -> None:
    assert all_columns(["text", "label", "label (predicted)"], ["a"], has_several_labels=False) == [
        "text",
        "label",
        "label (predicted)",
        "label (predicted 2)",
        "confidence",
        "probability of a",
        "warnings",
        "problem",
    ]


@contextmanager
def small_files() -> Iterator[None]:
    """Let no file of this process grow beyond some kilobytes, as on a full disk, not even its output."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_job_whose_database_cannot_be_written_leaves_nothing_behind(jobs: Jobs, settings: Settings) -> None:
    with small_files(), pytest.raises(JobError, match=r"The file cannot be stored: .*[^.]\.$"):
        jobs.create(csv(1), "a.csv")
    assert [path.name for path in settings.jobs_folder.iterdir()] == [".create.lock"]


def test_a_folder_that_is_gone_is_an_error_in_words(jobs: Jobs, settings: Settings) -> None:
    settings.jobs_folder.rename(settings.jobs_folder.with_name("moved"))
    with pytest.raises(JobError, match=r"The file cannot be stored: "):
        jobs.create(csv(1), "a.csv")
    settings.jobs_folder.with_name("moved").rename(settings.jobs_folder)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE job SET choices = '{'",
        "UPDATE job SET choices = '[1]'",
        "UPDATE job SET choices = '{}'",
        """UPDATE job SET choices = '{"text_column": "text", "options": {}, "later": 1}'""",
        "UPDATE job SET choices = replace(hex(zeroblob(100000)), '0', '[')",
        "UPDATE job SET choices = x'fffe00'",
        "UPDATE job SET stage = 'junk'",
        "UPDATE job SET models = 'x'",
        "UPDATE job SET labels = 'null'",
        "DELETE FROM job",
    ],
    ids=lambda change: change[:60],
)
def test_a_job_whose_state_is_damaged_keeps_no_other_job_waiting(
    jobs: Jobs, settings: Settings, change: str
) -> None:
    job = jobs.create(io.BytesIO(b"text\ngood\n"), "a.csv")
    with db.connection(settings.jobs_folder / job.id / "job.sqlite") as database:
        database.execute(change)
    with pytest.raises(JobError, match="its state is damaged"):
        job.progress()
    jobs.recover()
    jobs.delete(job.id)
    assert jobs.find(job.id) is None
