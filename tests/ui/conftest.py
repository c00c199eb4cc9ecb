"""Fixtures: a real service, the web client in front of it, and pages of a real browser."""

import csv
import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from browsers import CHROMIUM
from browsing import HEIGHT, PATIENCE_MS, WIDE, OpenPage, Web, running_web
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, sync_playwright
from server_process import Server, running_server, wait_until
from several import NONE, ONE, TWO
from several_service import running_several

from datafiles import Options
from ui.jobs import Choices, Jobs
from ui.settings import Settings


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that all tests share; a test that stops it needs one of its own."""
    folder = tmp_path_factory.mktemp("service")
    with running_server(folder, folder / "server.log", CLASSIFIER__API__SERVER_TIMING="true") as server:
        yield server


@pytest.fixture(scope="session")
def several_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service whose model gives a text several labels, or none."""
    with running_several(tmp_path_factory.mktemp("several")) as server:
        yield server


@pytest.fixture(scope="session")
def several_web(several_service: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A web client of that service."""
    with running_web(tmp_path_factory.mktemp("several-web"), several_service.url) as running:
        yield running


@pytest.fixture(scope="session")
def web(service: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A web client that all tests share."""
    with running_web(tmp_path_factory.mktemp("web"), service.url) as running:
        yield running


@pytest.fixture(scope="session")
def context() -> Iterator[BrowserContext]:
    """One browser, whose pages share what they have loaded."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(color_scheme="light", accept_downloads=True)
        context.set_default_timeout(PATIENCE_MS)
        yield context
        browser.close()


def _is_probe(url: str) -> bool:
    """Whether Streamlit's page asks where its server is: it tries the path of the page first."""
    path = httpx.URL(url).path
    return path.endswith(("/_stcore/health", "/_stcore/host-config")) and path.count("/") > 2


@pytest.fixture(scope="session")
def open_page(context: BrowserContext) -> OpenPage:
    """Open a page. At its end nothing was asked of another host, and the browser has logged no error."""

    @contextmanager
    def open_page(web: Web, path: str = "/") -> Iterator[Page]:
        page = context.new_page()
        page.set_viewport_size({"width": WIDE, "height": HEIGHT})
        errors: list[str] = []
        foreign: list[str] = []

        def on_console(message: ConsoleMessage) -> None:
            if message.type == "error" and not _is_probe(message.location["url"]):
                errors.append(message.text)

        def on_request(request: Request) -> None:
            if not request.url.startswith((web.url, web.url.replace("http", "ws"), "data:", "blob:")):
                foreign.append(request.url)

        page.on("console", on_console)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", on_request)
        page.goto(web.url + path)
        page.get_by_role("heading", level=1).wait_for()
        yield page
        page.close()
        assert foreign == []
        assert errors == []

    return open_page


@pytest.fixture
def page(web: Web, open_page: OpenPage) -> Iterator[Page]:
    """The first page of the web client."""
    with open_page(web) as page:
        yield page


@pytest.fixture(scope="session")
def finished_job(web: Web, project: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished job with right labels."""
    path = tmp_path_factory.mktemp("files") / "reviews.csv"
    with (project / "tests" / "data" / "imdb_test.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [("text", "label"), *random.Random(0).sample(rows, len(rows)), ("", "positive")]
        )
    settings = Settings(url=web.service_url, ui_jobs_folder=web.jobs)
    with path.open("rb") as upload:
        made = Jobs(settings).create(upload, path.name)
    made.start(Choices("text", "label", Options()))
    wait_until(lambda: made.progress().stage == "finished", "the job is finished")
    return made.id


@pytest.fixture(scope="session")
def several_job(several_web: Web) -> str:
    """A finished job whose texts can have several labels, with right ones."""
    rows = [
        (TWO, "acting|plot"),
        (ONE, "music|plot"),
        (NONE, ""),
        ("The songs and the cast.", "music|acting"),
    ]
    lines = [f'"{text}",{labels}' for text, labels in rows * 30]
    settings = Settings(url=several_web.service_url, ui_jobs_folder=several_web.jobs)
    with io.BytesIO("\n".join(["text,subjects", *lines]).encode()) as upload:
        made = Jobs(settings).create(upload, "reviews.csv")
    made.start(Choices("text", "subjects", Options(), label_separator="|"))
    wait_until(lambda: made.progress().stage == "finished", "the job is finished")
    return made.id
