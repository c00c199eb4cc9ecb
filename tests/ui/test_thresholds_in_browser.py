"""A threshold, as somebody with a browser chooses it."""

import re

from browsing import OpenPage, Web, choose
from playwright.sync_api import expect


def test_a_threshold_is_tuned_for_a_wanted_recall_and_can_be_copied(
    web: Web, open_page: OpenPage, finished_job: str
) -> None:
    with open_page(web, f"/thresholds?job={finished_job}") as page:
        slider = page.get_by_role("slider", name=re.compile("from this probability on"))
        expect(slider).to_have_value("0.5")
        choose(page, "Threshold for", "a wanted recall")
        expect(page.get_by_text("a recall of at least 95 %")).to_be_visible()
        expect(slider).not_to_have_value("0.5")
        chosen = float(slider.input_value())
        expect(page.get_by_test_id("stCode").first).to_contain_text(f">= {chosen:g}")


def test_the_confidence_for_a_wanted_accuracy_is_in_the_lines_for_config_yaml(
    web: Web, open_page: OpenPage, finished_job: str
) -> None:
    with open_page(web, f"/thresholds?job={finished_job}") as page:
        button = page.get_by_role("button", name=re.compile("which gives it and leaves most answers"))
        (threshold,) = re.findall(r"Take ([\d.]+),", button.inner_text())
        button.click()
        expect(page.get_by_text(f"confidence_threshold: {threshold}")).to_be_visible()


def test_a_mistake_is_explained(web: Web, open_page: OpenPage, finished_job: str) -> None:
    with open_page(web, f"/thresholds?job={finished_job}") as page:
        table = page.get_by_test_id("stDataFrame").last
        table.scroll_into_view_if_needed()
        table.locator(".dvn-scroller").click(position={"x": 16, "y": 52})
        expect(page.locator(".coloured")).to_be_visible()
