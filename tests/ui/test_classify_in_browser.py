"""One text, as somebody with a browser classifies it."""

import re
import subprocess

import httpx
import pytest
from browsing import OpenPage, Web, choose
from playwright.sync_api import Page, expect
from server_process import Server

TEXT = "Great cast, but the story goes nowhere."


def classify(page: Page, text: str) -> None:
    box = page.get_by_label("Text", exact=True)
    box.fill(text)
    box.press("Control+Enter")


def figure(page: Page, title: str) -> str:
    return page.get_by_test_id("stMetric").filter(has_text=title).get_by_test_id("stMetricValue").inner_text()


def test_ctrl_enter_classifies_the_text(page: Page, service: Server) -> None:
    classify(page, TEXT)
    expect(page.get_by_test_id("stMetric").first).to_contain_text("negative")
    answer = httpx.post(f"{service.url}/predict", json={"text": TEXT}).json()
    assert figure(page, "Confidence in negative") == f"{100 * answer['confidence']:.1f} %"
    expect(page.get_by_role("table", name="Probability of each label")).to_contain_text("positive")
    expect(page.get_by_text("ms in the queue")).to_be_visible()


def test_an_example_is_classified_at_a_click(page: Page) -> None:
    page.get_by_role("button", name="Not bad, but not for me.").click()
    expect(page.get_by_label("Text", exact=True)).to_have_value("Not bad, but not for me.")
    expect(page.get_by_role("heading", name="Why")).to_be_visible()


def test_words_are_coloured_by_their_share_and_show_it(page: Page, service: Server) -> None:
    classify(page, TEXT)
    word = page.locator(".coloured span", has_text="nowhere")
    expect(word).to_have_class(re.compile("is-for"))
    answer = httpx.post(f"{service.url}/predict/explain", json={"text": TEXT}).json()
    shares = {TEXT[word["start"] : word["end"]]: word["share"] for word in answer["words"]}
    expect(word).to_have_attribute("title", f"{shares['nowhere']:+.4f}")
    expect(page.locator(".coloured span", has_text="Great")).to_have_class(re.compile("is-against"))
    expect(page.get_by_text(f"together {answer['score']:+.4f}")).to_be_visible()


def test_another_label_can_be_explained(page: Page) -> None:
    classify(page, TEXT)
    choose(page, "Explain the label", "positive")
    expect(page.locator(".coloured span", has_text="nowhere")).to_have_class(re.compile("is-against"))


def test_below_the_threshold_the_answer_is_uncertain(page: Page) -> None:
    classify(page, TEXT)
    expect(page.get_by_test_id("stMetric").first).to_contain_text("negative")
    slider = page.get_by_role("slider")
    slider.focus()
    slider.press("End")
    expect(page.get_by_test_id("stMetric").first).to_contain_text("uncertain")
    expect(page.get_by_text("is below the threshold 1")).to_be_visible()


def test_a_link_shows_another_person_the_same_answer(page: Page, web: Web, open_page: OpenPage) -> None:
    classify(page, TEXT)
    page.wait_for_url(re.compile("text=Great"))
    link = page.url.removeprefix(web.url)
    with open_page(web, link) as other:
        expect(other.get_by_label("Text", exact=True)).to_have_value(TEXT)
        expect(other.get_by_test_id("stMetric").first).to_contain_text("negative")


def test_two_texts_are_classified_side_by_side(page: Page) -> None:
    classify(page, "A great film.")
    expect(page.get_by_role("heading", name="Why")).to_be_visible()  # A click while the page changes is lost.
    page.get_by_text("Two texts side by side").click()
    other = page.get_by_label("Other text")
    other.fill("An awful film.")
    other.press("Control+Enter")
    expect(page.get_by_test_id("stMetric").filter(has_text="Answer")).to_have_text(
        [re.compile("positive"), re.compile("negative")]
    )


def test_the_request_can_be_copied_and_run(page: Page) -> None:
    classify(page, 'It\'s $5 and "good"')
    code = page.get_by_test_id("stCode").first
    expect(code).to_contain_text("curl -s")
    done = subprocess.run(["bash", "-c", code.inner_text()], capture_output=True, text=True, check=True)
    assert '"text":"It\'s $5 and \\"good\\""' in done.stdout


def test_texts_of_the_visit_are_listed(page: Page) -> None:
    classify(page, "A great film.")
    expect(page.get_by_text("Texts of this visit (1)")).to_be_visible()
    classify(page, "An awful film.")
    expect(page.get_by_text("Texts of this visit (2)")).to_be_visible()


@pytest.mark.parametrize(
    "text", ["A great <img src=x onerror=document.title='hacked'> film", "**bold** [x](y) $a$ :smile:"]
)
def test_markup_in_a_text_is_shown_as_it_is(page: Page, text: str) -> None:
    classify(page, text)
    expect(page.locator(".coloured")).to_have_text(text)
    assert page.title() != "hacked"


def test_a_text_that_is_too_long_for_a_link_is_classified(page: Page) -> None:
    classify(page, "é" * 2000)
    expect(page.get_by_text("too long for a link")).to_be_visible()
    assert "text=" not in page.url


def test_the_back_button_shows_the_text_of_before(page: Page) -> None:
    classify(page, "A great film.")
    page.wait_for_url(re.compile("great"))
    classify(page, "An awful film.")
    page.wait_for_url(re.compile("awful"))
    page.go_back()
    expect(page.get_by_label("Text", exact=True)).to_have_value("A great film.")
    expect(page.get_by_test_id("stMetric").first).to_contain_text("positive")


def test_who_comes_back_from_another_page_finds_the_text(page: Page) -> None:
    classify(page, "A great film.")
    page.wait_for_url(re.compile("great"))
    page.get_by_role("link", name="Model").click()
    expect(page.get_by_role("heading", level=1, name="Model")).to_be_visible()
    page.get_by_role("link", name="Classify").click()
    expect(page.get_by_label("Text", exact=True)).to_have_value("A great film.")


def test_a_text_that_is_too_long_is_refused_in_words(page: Page) -> None:
    classify(page, "word " * 2400)
    expect(page.get_by_role("alert").filter(has_text="at most 10")).to_be_visible()


def test_the_page_says_which_service_and_which_model_answer(page: Page, service: Server) -> None:
    version = httpx.get(f"{service.url}/model/info").json()["version"]
    sidebar = page.get_by_test_id("stSidebar")
    expect(sidebar).to_contain_text(version)
    expect(sidebar).to_contain_text(service.url)
