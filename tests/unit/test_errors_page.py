"""The page of mistakes as HTML: it loads nothing, everything in it is escaped, and every bound is said."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mistaken import Row, dataset_of, explaining, report_of

from classifier.schema import MAX_TEXT_CHARS
from training_import.evaluation.errors_page import (
    COLOUR_STEPS,
    FOLDED_CHARACTERS,
    MAX_SHOWN_PAIRS,
    TEMPLATES,
    PageError,
    Source,
    render_errors_page,
    write_errors_page,
)
from training_import.evaluation.mistakes import Mistakes, find_mistakes

LABELS = ("negative", "positive")
SOURCE = Source("tiny:0123456789ab", "d" * 64, "made-up.csv", "5" * 64)
HOSTILE = "</script><img src=x onerror=\"alert('1')\"> &amp; {{ 7 * 7 }}"


class Page(HTMLParser):
    """The elements of a page, with the text of those that have a class."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "dt", "dd"}:
            self.text += " "

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def rendered(rows: list[Row], labels: tuple[str, ...] = LABELS, most: int = 100, **values: float) -> str:
    report = report_of(rows, labels)
    return render_errors_page(
        SOURCE, report, find_mistakes(dataset_of(rows), report, explaining(**values), most)
    )


def wrong(text: str) -> list[Row]:
    return [(text, "negative", "positive", 0.9), ("fine", "positive", "positive", 0.9)]


def test_the_head_says_what_the_mistakes_are_from() -> None:
    shown = " ".join(Page(rendered(wrong("good"))).text.split())
    assert "tiny:0123456789ab on made-up.csv: 1 of 2 texts are wrong. " in shown
    assert "Accuracy 50.00 %" in shown
    assert f"Digest of the model {'d' * 64} SHA-256 of the data set {'5' * 64}" in shown
    assert "negative positive 1 1" in shown


def test_the_head_says_that_not_all_mistakes_are_on_the_page() -> None:
    shown = " ".join(Page(rendered(wrong("good") * 3, most=2)).text.split())
    assert "3 of 6 texts are wrong, and this page has the 2 most confident of them. " in shown
    assert "negative positive 3 2" in shown


def test_a_text_with_html_is_shown_as_text() -> None:
    page = Page(rendered(wrong(HOSTILE)))
    assert HOSTILE in page.text
    assert not page.all("img")
    assert len(page.all("script")) == 1


@given(st.text(st.sampled_from("<>&\"'/scriptmgonerror=x!-{}% \n"), min_size=1, max_size=80))
def test_no_text_adds_an_element_or_an_attribute(text: str) -> None:
    plain, page = Page(rendered(wrong("good"))), Page(rendered(wrong(text), s=1.0, i=-1.0))
    ours = [element for element in page.elements if element[0] not in {"span", "li", "b"}]
    assert ours == [element for element in plain.elements if element[0] not in {"span", "li", "b"}]


def test_labels_and_names_are_escaped() -> None:
    labels = ("<b>bad</b>", "<i>good</i>")
    rows = [("text", labels[0], labels[1], 0.9), ("text", labels[1], labels[1], 0.9)]
    report = report_of(rows, labels)
    mistakes = find_mistakes(dataset_of(rows), report, explaining(), 1)
    source = Source("<u>tag</u>", "<u>digest</u>", "<u>data</u>", "<u>sha</u>")
    page = Page(render_errors_page(source, report, mistakes))
    assert not page.all("i")
    assert not page.all("u")


def test_the_page_names_no_other_file_and_no_address() -> None:
    page = Page(rendered(wrong("good film"), good=1.0))
    names = {name for _, attributes in page.elements for name in attributes}
    assert not names & {"src", "href", "srcset", "action", "data", "poster", "style", "onclick"}
    assert not page.all("link")
    for asset in TEMPLATES.iterdir():
        assert not re.search(r"https?:|//[a-z]|@import|url\(|fetch\(|XMLHttp", asset.read_text())


def test_the_policy_allows_only_the_style_and_the_script_of_the_page() -> None:
    content = rendered(wrong("good"))
    (policy,) = [
        meta["content"] for meta in Page(content).all("meta") if "Content-Security-Policy" in meta.values()
    ]
    hashes = {
        tag: base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        for tag, inside in re.findall(r"<(style|script)>(.*?)</\1>", content, re.DOTALL)
    }
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{hashes['style']}'; script-src 'sha256-{hashes['script']}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_a_word_has_the_colour_of_its_side_and_its_share_as_its_title() -> None:
    spans = Page(rendered(wrong("good and bad film"), good=2.0, bad=-1.0, film=0.0625)).all("span")
    shown = [(span.get("class"), span["title"]) for span in spans if "title" in span]
    assert shown == [("for5", "+2.000"), ("against2", "−1.000"), (None, "+0.062")]


def test_the_style_has_every_colour_that_a_word_can_have() -> None:
    style = (TEMPLATES / "errors.css").read_text()
    for step in range(1, COLOUR_STEPS + 1):
        assert f".for{step}, .against{step} " in style


@pytest.mark.parametrize(("length", "is_long"), [(FOLDED_CHARACTERS, False), (FOLDED_CHARACTERS + 1, True)])
def test_a_long_text_can_be_unfolded(length: int, is_long: bool) -> None:
    assert len(Page(rendered(wrong("a" * length))).all("button")) == is_long


def test_the_end_of_a_text_that_is_too_long_is_counted_instead_of_shown() -> None:
    page = Page(rendered(wrong("a" * MAX_TEXT_CHARS + " good"), good=1.0))
    assert "5 more characters of this text are not on this page." in page.text
    assert not [span for span in page.all("span") if "title" in span]


def test_pairs_beyond_the_bound_are_counted_together() -> None:
    labels = tuple(f"label{number:02}" for number in range(12))
    rows = [("text", truth, label, 0.5) for truth in labels for label in labels if truth != label]
    shown = " ".join(Page(rendered(rows, labels)).text.split())
    others = 12 * 11 - MAX_SHOWN_PAIRS
    assert f"{others} other pairs {others}" in shown


def test_without_mistakes_the_page_says_so_and_has_no_filter() -> None:
    page = Page(rendered([("fine", "positive", "positive", 0.9), ("fine", "negative", "negative", 0.9)]))
    assert "The model made no mistake on this data set." in page.text
    assert not page.all("select")


def test_a_text_with_a_lone_surrogate_can_be_written(tmp_path: Path) -> None:
    rows = wrong("a \ud800 text")
    report = report_of(rows, LABELS)
    path = tmp_path / "errors.html"
    write_errors_page(path, SOURCE, report, find_mistakes(dataset_of(rows), report, explaining(), 1))
    assert "a ? text" in path.read_text(encoding="utf-8")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    report = report_of(wrong("good"), LABELS)
    with pytest.raises(PageError, match=re.escape(f"{tmp_path} cannot be written: Is a directory")):
        write_errors_page(tmp_path, SOURCE, report, Mistakes((), ()))
