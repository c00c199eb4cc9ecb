"""Measures the web client in front of a real service, with a real browser.

A batch job is compared with a client that does nothing but send the same texts, with asyncio and as many
requests in flight; both take turns, so other load on the machine affects both alike. Then the browser opens
pages, clicks beside a running job, and runs ten jobs one after the other.

    text-classifier bench web-client
"""

import asyncio
import csv
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import httpx
import psutil
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console

from benchmarks.artifacts import KINDS, prepare
from benchmarks.bodies import ROOT, request_reviews
from benchmarks.errors import BenchmarkError
from benchmarks.peers.pipeline import HOST
from benchmarks.report import machine_facts
from benchmarks.servers import SERVERS, free_port, running
from benchmarks.spread import Spread, spread
from classifier.schema import MAX_TEXTS
from training_import.markdown import markdown_table
from ui.jobs import Choices, Job, Jobs, Stage
from ui.settings import Settings

SERVICE = SERVERS[0]
COMPARED_ROWS = 10_000
SMALL_ROWS = 2_000
JOBS = 10
CLICKS = 12
OPENINGS = 5
SAMPLE_SECONDS = 0.2
PATIENCE_MS = 180_000
_MEBIBYTE = 2**20


@dataclass(frozen=True)
class WebClientFigures:
    """What was measured."""

    bare: Spread
    """Texts per second of the asyncio client."""
    classifying: Spread
    """Texts per second of a job, from its first to its last request."""
    whole: Spread
    """Texts per second of a job with its start and the reading of the file."""
    ratio: Spread
    """`classifying` divided by `bare` of the same round."""
    whole_ratio: Spread
    first_page_seconds: Spread
    """From opening the address in a new browser session to a page that can be typed into."""
    click_seconds: Spread
    """From a click on an example to its answer, beside a running job."""
    large_rows: int
    large_seconds: float
    """The time of the job of `large_rows` rows, with the reading of the file."""
    idle_mebibytes: float
    """Resident memory of the web client before the first visit."""
    peak_mebibytes: float
    """Largest resident memory of the web client during upload, job and download of `large_rows` rows."""
    worker_peak_mebibytes: float
    """Largest resident memory of the job's own processes."""
    after_jobs_mebibytes: tuple[float, ...]
    """Resident memory of the web client after each of ten jobs."""


class _Memory:
    """The largest resident memory of the web client and of the processes of its jobs, sampled in a thread."""

    def __init__(self, client: psutil.Process) -> None:
        self._client = client
        self.peak = self.worker_peak = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "_Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, self._client.memory_info().rss)
            for process in psutil.process_iter(["cmdline"]):
                if any(part.startswith("ui.jobs.") for part in process.info["cmdline"] or ()):
                    try:
                        self.worker_peak = max(self.worker_peak, process.memory_info().rss)
                    except psutil.NoSuchProcess:
                        continue


async def _bare_client(url: str, texts: Sequence[str], in_flight: int) -> float:
    """Return texts per second of a client that only sends, decodes and forgets."""
    slots = asyncio.Semaphore(in_flight)

    async def send(client: httpx.AsyncClient, part: Sequence[str]) -> None:
        async with slots:
            response = await client.post("/predict/batch", json={"texts": part})
            response.raise_for_status()
            response.json()

    parts = [texts[first : first + MAX_TEXTS] for first in range(0, len(texts), MAX_TEXTS)]
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        begin = time.perf_counter()
        await asyncio.gather(*(send(client, part) for part in parts))
        return len(texts) / (time.perf_counter() - begin)


def _write_reviews(path: Path, reviews: Sequence[str], rows: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["number", "text"])
        writer.writerows(enumerate(islice(cycle(reviews), rows)))


def _job(settings: Settings, path: Path) -> tuple[float, float]:
    """Return the seconds of a whole job, and those from its first to its last request."""
    jobs = Jobs(settings)
    with path.open("rb") as upload:
        job = jobs.create(upload, path.name)
    begin = time.perf_counter()
    job.start(Choices("text"))
    read = begin
    while (progress := job.progress()).stage.is_active:
        if progress.stage in {Stage.WAITING, Stage.READING}:
            read = time.perf_counter()
        time.sleep(0.01)
    end = time.perf_counter()
    _check_finished(job)
    jobs.delete(job.id)
    return end - begin, end - read


def _check_finished(job: Job) -> None:
    progress = job.progress()
    if progress.stage is not Stage.FINISHED or progress.failed:
        raise BenchmarkError(f"the job is {progress.stage}, {progress.failed} rows failed: {progress.reason}")


@contextmanager
def _web_client(url: str, folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Start the web client; yield its address and its process."""
    port = free_port()
    process = psutil.Popen(
        [Path(sys.executable).with_name("streamlit"), "run", "ui/app.py"],
        cwd=ROOT,
        env=os.environ
        | {"CLASSIFIER_URL": url, "CLASSIFIER_UI_JOBS_FOLDER": str(folder / "jobs")}
        | {"STREAMLIT_SERVER_PORT": str(port), "STREAMLIT_SERVER_HEADLESS": "true"},
        stdout=(folder / "web.log").open("wb"),
        stderr=-2,
    )
    address = f"http://{HOST}:{port}"
    try:
        for _ in range(300):
            try:
                if httpx.get(f"{address}/_stcore/health", trust_env=False).is_success:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        else:
            raise BenchmarkError(f"the web client did not start; {folder / 'web.log'} says why")
        yield address, process
    finally:
        process.terminate()
        process.wait(20)


def _opened(browser: Browser, address: str) -> Page:
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    return page


def _seconds(step: Callable[[], object]) -> float:
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def _open_first_page(browser: Browser, address: str) -> float:
    page = browser.new_context().new_page()

    def opened() -> None:
        page.goto(address)
        page.get_by_label("Text", exact=True).wait_for()
        page.get_by_role("button", name="Classify", exact=True).wait_for()

    seconds = _seconds(opened)
    page.context.close()
    return seconds


def _start_job(page: Page, path: Path) -> None:
    page.locator("input[type=file]").set_input_files(path)
    page.get_by_role("button", name="Classify the file").click()


def _wait_for_end(page: Page) -> None:
    page.get_by_text("All texts are classified.").wait_for()
    page.get_by_role("button", name="Make the CSV file").wait_for()


def _click(page: Page, number: int) -> float:
    """Click an example, whose answer differs from that of the one before; return the time to its answer."""
    names = ("A moving, beautifully acted", "Two hours of my life that I")
    labels = ("positive", "negative")
    page.get_by_role("button", name=re.compile(names[number % 2])).click(no_wait_after=True)
    begin = time.perf_counter()
    page.get_by_test_id("stMetric").filter(has_text=f"Confidence in {labels[number % 2]}").wait_for()
    return time.perf_counter() - begin


def _compare(url: str, folder: Path, reviews: Sequence[str], rounds: int) -> list[tuple[float, float, float]]:
    """Return texts per second of the bare client, of a job that classifies, and of a whole job, by round."""
    settings = Settings.model_validate({"url": url, "ui_jobs_folder": folder / "compared"})
    texts = list(islice(cycle(reviews), COMPARED_ROWS))
    path = folder / "compared.csv"
    _write_reviews(path, reviews, COMPARED_ROWS)
    found = []
    for _ in range(rounds):
        bare = asyncio.run(_bare_client(url, texts, settings.ui_requests_in_flight))
        whole, classifying = _job(settings, path)
        found.append((bare, COMPARED_ROWS / classifying, COMPARED_ROWS / whole))
    return found


def _run_jobs(page: Page, address: str, path: Path, process: psutil.Process) -> list[float]:
    """Run ten jobs one after the other in one visit; return the resident memory in MiB after each."""
    page.goto(f"{address}/batch")
    after = []
    for _ in range(JOBS):
        _start_job(page, path)
        _wait_for_end(page)
        after.append(process.memory_info().rss / _MEBIBYTE)
        page.get_by_role("button", name="Classify another file").click()
    return after


def _click_beside(browser: Browser, address: str) -> list[float]:
    page = _opened(browser, address)
    page.get_by_label("Text", exact=True).wait_for()
    _click(page, 0)
    return [_click(page, number) for number in range(1, CLICKS + 1)]


def _run_large_job(browser: Browser, address: str, path: Path) -> tuple[float, list[float]]:
    """Upload, classify and download a large file; return the seconds until its end, and those of clicks."""
    page = _opened(browser, address)
    page.goto(f"{address}/batch")
    begin = time.perf_counter()
    _start_job(page, path)
    page.get_by_text("Texts per second").wait_for()
    clicks = _click_beside(browser, address)
    _wait_for_end(page)
    seconds = time.perf_counter() - begin
    page.get_by_role("button", name="Make the CSV file").click()
    button = page.get_by_role("link", name="Download CSV")
    button.wait_for()
    with page.expect_download() as download:
        button.click()
    download.value.save_as(path.with_name("download.csv"))
    return seconds, clicks


def measure_web_client(rounds: int, large_rows: int, json_file: Path | None) -> None:
    """Measure jobs, pages and memory, and print a table. Raises BenchmarkError."""
    console = Console(stderr=True)
    reviews = request_reviews()[1]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        served = prepare(KINDS["linear"], folder)
        _write_reviews(folder / "small.csv", reviews, SMALL_ROWS)
        _write_reviews(folder / "large.csv", reviews, large_rows)
        with running(SERVICE, served, folder / "service.log") as service:
            url = f"http://{HOST}:{service.port}"
            console.print(f"{rounds} rounds of a bare client and a job, {COMPARED_ROWS:,} texts each")
            pairs = _compare(url, folder, reviews, rounds)
            with _web_client(url, folder) as (address, process), sync_playwright() as playwright:
                console.print(f"pages, {JOBS} jobs of {SMALL_ROWS:,} rows, and one of {large_rows:,}")
                idle = process.memory_info().rss
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox"]
                )
                openings = [_open_first_page(browser, address) for _ in range(1 + OPENINGS)][1:]
                after = _run_jobs(_opened(browser, address), address, folder / "small.csv", process)
                with _Memory(process) as memory:
                    large_seconds, clicks = _run_large_job(browser, address, folder / "large.csv")
                browser.close()
    bare, classifying, whole = zip(*pairs, strict=True)
    figures = WebClientFigures(
        bare=spread(bare),
        classifying=spread(classifying),
        whole=spread(whole),
        ratio=spread([mine / other for mine, other in zip(classifying, bare, strict=True)]),
        whole_ratio=spread([mine / other for mine, other in zip(whole, bare, strict=True)]),
        first_page_seconds=spread(openings),
        click_seconds=spread(clicks),
        large_rows=large_rows,
        large_seconds=large_seconds,
        idle_mebibytes=idle / _MEBIBYTE,
        peak_mebibytes=memory.peak / _MEBIBYTE,
        worker_peak_mebibytes=memory.worker_peak / _MEBIBYTE,
        after_jobs_mebibytes=tuple(after),
    )
    print(_table(figures))  # noqa: T201
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        content = {"facts": machine_facts(), "figures": asdict(figures)}
        json_file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _table(figures: WebClientFigures) -> str:
    rows = {
        "asyncio client, texts/s": f"{figures.bare:,.0f}",
        "job while it classifies, texts/s": f"{figures.classifying:,.0f}",
        "whole job, texts/s": f"{figures.whole:,.0f}",
        "classifying / asyncio client": f"{figures.ratio:.2f}",
        "whole job / asyncio client": f"{figures.whole_ratio:.2f}",
        "first page, s": f"{figures.first_page_seconds:.2f}",
        "click beside a running job, s": f"{figures.click_seconds:.3f}",
        f"job of {figures.large_rows:,} rows, s": f"{figures.large_seconds:.0f}",
        "memory of the web client, idle, MiB": f"{figures.idle_mebibytes:.0f}",
        f"the same with {figures.large_rows:,} rows, at most": f"{figures.peak_mebibytes:.0f}",
        "memory of a job's process, at most, MiB": f"{figures.worker_peak_mebibytes:.0f}",
        "memory after each of ten jobs, MiB": ", ".join(f"{one:.0f}" for one in figures.after_jobs_mebibytes),
    }
    return markdown_table(("figure", "value"), rows.items())
