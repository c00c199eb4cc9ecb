"""The web client beside the service: its pod, and a page in a real browser while the service is updated."""

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote_plus

import pytest
import yaml
from browsers import CHROMIUM
from cluster import (
    APPLICATION,
    ASK_WITH_CLIENT,
    BEHIND_A_PORT,
    ENVIRONMENT,
    FOR_TESTS,
    PODS,
    REPORTS,
    TEXTS,
    Models,
    environments,
    forwarded,
    in_namespace,
    make,
    objects,
)
from playwright.sync_api import Page, expect, sync_playwright

from k8s.environment.loading import ENVIRONMENTS_PATH
from ui.markup import percent
from ui.views.classify import MAX_HISTORY

WITH_UI = REPORTS / "environments-ui.yaml"
DEPLOYMENT = "deployment/text-classifier-ui"
SELECTOR = "app.kubernetes.io/name=text-classifier-ui"
PATIENCE_MS = 30_000
PAUSE_MS = 2000
"""Between two texts during an update."""


def deploy(image: str) -> str:
    return make("deploy", IMAGE=image, ENVIRONMENTS=str(WITH_UI))


@pytest.fixture(scope="module", autouse=True)
def with_ui(namespace: None, images: Mapping[str, str]) -> None:  # noqa: ARG001
    """Deploy the first image, with the web client of `local`."""
    section = yaml.safe_load(ENVIRONMENTS_PATH.read_text(encoding="utf-8"))[ENVIRONMENT]["ui"]
    environments(WITH_UI, ENVIRONMENT, {**FOR_TESTS, "ui": section | {"image": images["ui"]}})
    deploy(images["first"])


def run(*command: str, check: bool = True) -> str:
    """What a command prints in the container of the web client."""
    return in_namespace("exec", DEPLOYMENT, "--", *command, check=check).strip()


def test_a_deployment_waits_until_its_pod_is_ready() -> None:
    (pod,) = objects("pods", "--selector", SELECTOR)
    (status,) = pod["status"]["containerStatuses"]
    assert (status["ready"], status["restartCount"]) == (True, 0)


def test_no_request_to_the_service_reaches_its_pod() -> None:
    (pod,) = objects("pods", "--selector", SELECTOR)
    slices = objects("endpointslices", "--selector", "kubernetes.io/service-name=text-classifier")
    addresses = {
        address for one in slices for endpoint in one["endpoints"] for address in endpoint["addresses"]
    }
    assert addresses
    assert pod["status"]["podIP"] not in addresses


def test_the_client_in_its_pod_gets_the_right_answer(models: Models) -> None:
    confidence = float(run("python", "-c", ASK_WITH_CLIENT, TEXTS[0]))
    assert confidence == pytest.approx(max(models[0][TEXTS[0]].values()), abs=1e-6)


@pytest.mark.parametrize("folder", ["/", "/app", "/packages", "/etc"])
def test_its_container_cannot_write_to(folder: str) -> None:
    write = "import pathlib, sys; pathlib.Path(sys.argv[1], 'x').write_text('x')"
    assert "Read-only file system" in run("python", "-c", write, folder, check=False)


@pytest.mark.parametrize("folder", ["/tmp", "/jobs"])  # noqa: S108
def test_its_container_can_write_to(folder: str) -> None:
    write = "import pathlib, sys; pathlib.Path(sys.argv[1], 'x').write_text('x')"
    assert run("python", "-c", write, folder) == ""


def test_it_has_no_token_for_the_api_server() -> None:
    assert "No such file" in run("ls", "/var/run/secrets", check=False)


@pytest.fixture
def page() -> Iterator[Page]:
    with (
        forwarded("text-classifier-ui") as url,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as browser,
    ):
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(url)
        page.get_by_role("heading", level=1).wait_for()
        yield page


def classify(page: Page, text: str, number: int) -> None:
    """Classify the text of this number in the visit, and wait until the page has worked on it.

    The list of the visit has at most `MAX_HISTORY` texts, so after that many only the address tells.
    """
    box = page.get_by_label("Text", exact=True)
    box.fill(text)
    box.press("Control+Enter")
    expect(page).to_have_url(re.compile(re.escape(quote_plus(text))), timeout=PATIENCE_MS)
    listed = min(number, MAX_HISTORY)
    expect(page.get_by_text(f"Texts of this visit ({listed})")).to_be_visible(timeout=PATIENCE_MS)


def expect_confidence(page: Page, probabilities: Mapping[str, float]) -> None:
    figure = page.get_by_test_id("stMetric").filter(has_text="Confidence in").get_by_test_id("stMetricValue")
    expect(figure).to_have_text(percent(max(probabilities.values())), timeout=PATIENCE_MS)


def pods_of_the_service() -> int:
    """How many pods there are, with those that are terminating, which still answer on kept connections."""
    return len(objects("pods", "--selector", f"app.kubernetes.io/name={APPLICATION}"))


def test_a_page_keeps_its_visit_while_every_pod_of_the_service_is_replaced(
    page: Page, images: Mapping[str, str], models: Models
) -> None:
    loads: list[str] = []
    page.on("load", lambda loaded: loads.append(loaded.url))
    classify(page, TEXTS[0], 1)
    expect_confidence(page, models[0][TEXTS[0]])
    number = 1
    with ThreadPoolExecutor(1) as pool:
        update = pool.submit(deploy, images["second"])
        while not update.done() or pods_of_the_service() > PODS:
            number += 1
            classify(page, f"{TEXTS[0]} {number}", number)
            page.wait_for_timeout(PAUSE_MS)
        update.result()
    classify(page, TEXTS[1], number + 1)
    expect_confidence(page, models[1][TEXTS[1]])
    assert loads == []


def test_its_objects_are_deleted_when_it_is_turned_off(images: Mapping[str, str]) -> None:
    make("deploy", IMAGE=images["second"], ENVIRONMENTS=str(BEHIND_A_PORT))
    kinds = "deployments,services,networkpolicies"
    assert objects(kinds, "--selector", SELECTOR) == []
    assert len(objects(kinds)) == 3
