"""Markup in what services and files say is text in every page, and nothing is asked of another host.

`open_page` fails if a page asks another host, or if the browser logs an error, as it does for what the
policy of `ui/headers.py` forbids.
"""

from collections.abc import Iterator

import httpx
import pytest
from browsing import OpenPage, Web, running_web
from hostile_service import OTHER_HOST, hostile_service, markup
from playwright.sync_api import Page

from ui.headers import POLICY

MARKED = f'"text","{markup("column")}","label"\n' + "".join(
    f'"{markup("cell")} {row}","=1+1","{markup("right")}"\n' for row in range(3)
)


@pytest.fixture(scope="module", params=[False, True], ids=["one-label", "several-labels"])
def hostile(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A web client in front of a service whose every string is markup."""
    with (
        hostile_service(has_several_labels=request.param) as url,
        running_web(tmp_path_factory.mktemp("hostile"), url) as web,
    ):
        yield web


def upload(page: Page, name: str) -> None:
    file = {"name": name, "mimeType": "text/csv", "buffer": MARKED.encode()}
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Classify the file").wait_for()


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/?text=some+text", "The same request"),
        ("/model", "What it is"),
        ("/service", "Now against training"),
    ],
)
def test_the_answers_of_a_hostile_service_are_text(
    hostile: Web, open_page: OpenPage, path: str, shown: str
) -> None:
    with open_page(hostile, path) as page:
        page.get_by_role("heading", name=shown).wait_for()
        page.wait_for_load_state("networkidle")
        assert page.locator(f'img[src^="{OTHER_HOST}"]').count() == 0


def test_a_refusal_of_a_hostile_service_is_text(hostile: Web, open_page: OpenPage) -> None:
    with open_page(hostile, "/?text=refused") as page:
        page.get_by_role("alert").first.wait_for()
        assert page.locator(f'img[src^="{OTHER_HOST}"]').count() == 0


def test_columns_texts_and_labels_of_a_file_are_text(hostile: Web, open_page: OpenPage) -> None:
    with open_page(hostile, "/batch") as page:
        upload(page, "a.csv")
        page.get_by_role("button", name="Classify the file").click()
        page.get_by_role("heading", name="Rows", exact=True).wait_for()
        page.wait_for_load_state("networkidle")
        assert page.locator(f'img[src^="{OTHER_HOST}"]').count() == 0


def test_the_name_of_a_file_is_text_in_the_list_of_the_visit(hostile: Web, open_page: OpenPage) -> None:
    with open_page(hostile, "/batch") as page:
        upload(page, "![a](https:other.test) <b>.csv")
        page.get_by_role("button", name="Classify the file").click()
        page.get_by_role("button", name="Classify another file").click()
        page.get_by_role("button", name="![a](https:other.test)").wait_for()


def test_every_answer_has_the_policy_that_forbids_other_hosts(hostile: Web) -> None:
    for path in ("/", "/_stcore/health", "/downloads/a/csv"):
        assert httpx.get(hostile.url + path).headers["content-security-policy"] == POLICY
