"""How the pages look, light and dark, wide and narrow. Pictures of all of them are in reports/ui."""

from itertools import product
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import HEIGHT, NARROW, WIDE, OpenPage, Web
from playwright.sync_api import Page, expect

TEXT = "Great cast, but the story goes nowhere."
SLIDER_PX = 3
"""The value above a slider's end reaches so far beyond it."""

MAX_HEIGHT = 6000
SETTLE_MS = 1000

PAGES = {
    "classify": (f"/?text={TEXT}&threshold=0.95", "Why"),
    "compare": (f"/?text={TEXT}&other=A moving, beautifully acted film.&threshold=0.9", "Why"),
    "file": ("/batch", None),
    "batch": ("/batch?job={job}", "Rows"),
    "thresholds": ("/thresholds?job={job}", "Worst mistakes"),
    "model": ("/model", "What it is"),
    "service": ("/service", "Now against training"),
}
"""Each view: its address, and a heading that is there when it is complete."""


SEVERAL = ("classify", "batch", "thresholds", "service")
"""The views that differ if a text can have several labels."""


def settled(page: Page, heading: str | None) -> None:
    if heading:
        page.get_by_role("heading", name=heading, exact=True).first.wait_for()
    page.wait_for_timeout(SETTLE_MS)  # charts are drawn after their place is there
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    expect(page.locator("[data-stale=true]")).to_have_count(0)  # what is stale is pale


def serious(page: Page) -> list[str]:
    """What axe finds that keeps people from using the page."""
    return [
        f"{one['id']} ({one['impact']}): {one['nodes'][0]['html'][:200]}"
        for one in Axe().run(page).response["violations"]
        if one["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_the_page_and_axe_finds_nothing_serious(
    web: Web, open_page: OpenPage, finished_job: str, project: Path, name: str
) -> None:
    address, heading = PAGES[name]
    with open_page(web, address.format(job=finished_job)) as page:
        _looks_right(page, heading, project, name)


@pytest.mark.parametrize("name", SEVERAL)
def test_the_same_holds_if_a_text_can_have_several_labels(
    several_web: Web, open_page: OpenPage, several_job: str, project: Path, name: str
) -> None:
    address, heading = PAGES[name]
    # Without a threshold in the address, each label has its own.
    with open_page(several_web, address.partition("&")[0].format(job=several_job)) as page:
        _looks_right(page, heading, project, f"{name}-several")


def _looks_right(page: Page, heading: str | None, project: Path, name: str) -> None:
    folder = project / "reports" / "ui"
    folder.mkdir(parents=True, exist_ok=True)
    main = page.get_by_test_id("stMain")
    for theme, width in product(("light", "dark"), (WIDE, NARROW)):
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": width, "height": HEIGHT})
        settled(page, heading)
        page.screenshot(path=folder / f"{name}-{theme}-{width}-first.png")  # what is seen at first
        height = int(main.evaluate("element => element.scrollHeight"))
        page.set_viewport_size({"width": width, "height": min(MAX_HEIGHT, max(HEIGHT, height))})
        settled(page, heading)
        page.screenshot(path=folder / f"{name}-{theme}-{width}.png")
        surplus = main.evaluate("element => element.scrollWidth - element.clientWidth")
        assert surplus <= SLIDER_PX, (theme, width)
        assert serious(page) == [], (theme, width)
