"""The page of mistakes in Chromium: its filters, its keyboard, its colours, and that it loads nothing."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsers import CHROMIUM
from mistaken import Row, dataset_of, explaining, report_of
from playwright.sync_api import Browser, Page, sync_playwright

from training_import.evaluation.errors_page import Source, write_errors_page
from training_import.evaluation.mistakes import find_mistakes

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "REQUIRE_FULL_DATA" not in os.environ, reason="there is no Chromium on the PATH"
)

LABELS = ("anger", "fear", "joy")
HOSTILE = "Bad </script><img src=x onerror=document.title='hacked'> end"
LONG = "A very long text. " * 100
ROWS: list[Row] = [
    ("A good film", "anger", "joy", 0.75),
    (HOSTILE, "anger", "joy", 0.875),
    ("A bad, slow film", "fear", "joy", 0.625),
    (LONG, "joy", "fear", 0.5),
    ("right", "joy", "joy", 0.9),
]
MIN_CONTRAST = 4.5
"""The contrast that WCAG 2.2 asks for (1.4.3)."""

VISIBLE_TEXTS = """() => [...document.querySelectorAll('article')]
  .filter(article => !article.hidden)
  .map(article => article.querySelector('.text').textContent)"""

LOWEST_CONTRAST = """() => {
  const linear = (value) => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
  const luminance = (color) => {
    const [red, green, blue] = color.slice(0, 3).map(value => linear(value / 255));
    return .2126 * red + .7152 * green + .0722 * blue;
  };
  const parsed = (color) => {
    const parts = color.match(/[\\d.]+/g).map(Number);
    return parts.length < 4 ? [...parts, 1] : parts;
  };
  const ground = (element) => {
    if (!element) return [255, 255, 255];
    const color = parsed(getComputedStyle(element).backgroundColor);
    const alpha = color[3];
    if (alpha === 1) return color.slice(0, 3);
    return ground(element.parentElement).map((under, place) => under * (1 - alpha) + color[place] * alpha);
  };
  const withText = document.querySelectorAll('h1, p, dt, dd, th, td, summary, label, select, input, button, '
    + '.text, .text span, .legend span, li, b, .name');
  const contrasts = [...withText].filter(element => element.checkVisibility()).map(element => {
    const own = luminance(parsed(getComputedStyle(element).color)), under = luminance(ground(element));
    return (Math.max(own, under) + .05) / (Math.min(own, under) + .05);
  });
  return Math.min(...contrasts);
}"""
"""The lowest contrast of a text with what is behind it, as WCAG 2.2 computes it."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Chromium refuses to run as root in its sandbox; the page is our own.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "errors.html"
    report = report_of(ROWS, LABELS)
    explain = explaining(good=1.0, bad=1.0, slow=-1.0, film=0.25, long=0.5, end=-0.25)
    mistakes = find_mistakes(dataset_of(ROWS), report, explain, 100)
    write_errors_page(path, Source("tiny:0123", "d" * 64, "made-up.csv", "5" * 64), report, mistakes)
    return path


class Opened:
    """The page in a browser, with what it asked for and what went wrong."""

    def __init__(self, browser: Browser, file: Path, **context: Any) -> None:
        self.page: Page = browser.new_page(**context)
        self.requests: list[str] = []
        self.faults: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.faults.append(message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.goto(file.as_uri())

    @property
    def texts(self) -> list[str]:
        """The texts that are shown, in their order."""
        found: list[str] = self.page.evaluate(VISIBLE_TEXTS)
        return found


@pytest.fixture
def opened(browser: Browser, file: Path) -> Iterator[Opened]:
    found = Opened(browser, file)
    yield found
    found.page.close()


def test_the_page_asks_for_nothing_but_itself_and_reports_no_fault(opened: Opened, file: Path) -> None:
    assert (opened.requests, opened.faults) == ([file.as_uri()], [])


def test_a_hostile_text_is_shown_as_text(opened: Opened) -> None:
    assert opened.texts[0] == HOSTILE
    assert opened.page.locator("img").count() == 0
    assert opened.page.title() == "Mistakes of tiny:0123 on made-up.csv"


def test_a_script_that_someone_adds_to_the_file_does_not_run(
    browser: Browser, file: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changed.html"
    added = "<script>document.title = 'hacked'</script><img src='https://example.org/x.png'></body>"
    changed.write_text(file.read_text(encoding="utf-8").replace("</body>", added), encoding="utf-8")
    opened = Opened(browser, changed)
    assert opened.page.title() == "Mistakes of tiny:0123 on made-up.csv"
    assert len([fault for fault in opened.faults if "Content Security Policy" in fault]) == 2
    opened.page.close()


def test_the_most_confident_mistake_is_first_and_the_order_can_be_reversed(opened: Opened) -> None:
    falling = [HOSTILE, "A good film", "A bad, slow film", LONG]
    assert opened.texts == falling
    opened.page.select_option("#order", "rising")
    assert opened.texts == falling[::-1]
    opened.page.select_option("#order", "falling")
    assert opened.texts == falling


def test_a_pair_of_classes_filters_the_mistakes(opened: Opened) -> None:
    names = [
        re.sub("[\u2068\u2069]", "", name) for name in opened.page.locator("#pair option").all_inner_texts()
    ]
    assert names == ["All pairs (4)", "anger → joy (2)", "fear → joy (1)", "joy → fear (1)"]
    opened.page.select_option("#pair", index=1)
    assert opened.texts == [HOSTILE, "A good film"]
    assert opened.page.locator("#status").inner_text() == "2 of 4 mistakes"


def test_a_search_text_filters_the_mistakes_in_any_case_together_with_the_pair(opened: Opened) -> None:
    opened.page.fill("#search", "FILM")
    assert opened.texts == ["A good film", "A bad, slow film"]
    opened.page.select_option("#pair", index=2)
    assert opened.texts == ["A bad, slow film"]


def test_a_filter_that_nothing_fits_says_so(opened: Opened) -> None:
    opened.page.fill("#search", "nowhere")
    assert opened.texts == []
    assert opened.page.get_by_text("No mistake fits the filter.").is_visible()


def test_the_page_can_be_used_with_the_keyboard_alone(opened: Opened) -> None:
    keyboard = opened.page.keyboard
    reached = []
    for _ in range(10):
        keyboard.press("Tab")
        reached.append(opened.page.evaluate("document.activeElement.id || document.activeElement.className"))
        if reached[-1] == "search":
            keyboard.type("very long")
        if reached[-1] == "unfold":
            keyboard.press("Enter")
            break
    assert [name for name in reached if name] == ["pair", "search", "order", "unfold"]
    assert opened.texts == [LONG]
    assert opened.page.locator(".unfold").get_attribute("aria-expanded") == "true"


def test_a_long_text_is_folded_until_its_button_is_pressed_and_can_be_folded_again(opened: Opened) -> None:
    text, button = opened.page.locator(".long"), opened.page.locator(".unfold")
    folded = text.bounding_box()
    button.click()
    unfolded = text.bounding_box()
    button.click()
    assert unfolded["height"] > 2 * folded["height"]
    assert text.bounding_box()["height"] == folded["height"]


def test_without_javascript_everything_is_shown_and_there_is_no_filter(browser: Browser, file: Path) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(file.as_uri())
    assert page.locator("article:visible").count() == 4
    assert page.locator("select:visible, input:visible, button:visible").count() == 0
    page.context.close()


def test_a_printed_page_has_whole_texts_and_no_controls(opened: Opened) -> None:
    opened.page.emulate_media(media="print")
    assert opened.page.locator("select:visible, input:visible, button:visible").count() == 0
    text = opened.page.locator(".long")
    assert text.evaluate("element => element.scrollHeight <= element.clientHeight + 1")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(browser: Browser, file: Path, scheme: str) -> None:
    opened = Opened(browser, file, color_scheme=scheme)
    assert opened.page.evaluate(LOWEST_CONTRAST) >= MIN_CONTRAST
    opened.page.close()


def test_the_two_schemes_have_different_grounds(browser: Browser, file: Path) -> None:
    grounds = set()
    for scheme in ("light", "dark"):
        opened = Opened(browser, file, color_scheme=scheme)
        grounds.add(opened.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        opened.page.close()
    assert len(grounds) == 2


def test_a_narrow_screen_does_not_scroll_sideways(browser: Browser, file: Path) -> None:
    opened = Opened(browser, file, viewport={"width": 320, "height": 640})
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    opened.page.close()
