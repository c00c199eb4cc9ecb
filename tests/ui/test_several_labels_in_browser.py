"""Texts with several labels, as somebody with a browser classifies them."""

import re
from pathlib import Path

from browsing import OpenPage, Web, choose
from playwright.sync_api import expect
from several import NONE, ONE, TWO

from datafiles import open_table


def test_a_text_is_shown_with_its_labels_and_thresholds(several_web: Web, open_page: OpenPage) -> None:
    with open_page(several_web) as page:
        page.get_by_label("Text", exact=True).fill(TWO)
        page.get_by_label("Text", exact=True).press("Control+Enter")
        expect(page.get_by_text("The text has 2 of 3 labels: acting, plot.")).to_be_visible()
        rows = page.get_by_role("table", name="Probability of each label").get_by_role("row")
        expect(rows).to_have_count(4)
        expect(rows.nth(1)).to_contain_text(re.compile(r"plot.*97\.7 %.*70\.0 %"))
        expect(rows.nth(3)).to_contain_text(re.compile(r"music.*6\.0 %.*50\.0 %"))
        choose(page, "Explain the label", "acting")
        expect(page.get_by_text("compared with a text without this label")).to_be_visible()
        expect(page.locator(".coloured span", has_text="cast")).to_have_class(re.compile("is-for"))


def test_one_threshold_replaces_those_of_all_labels(several_web: Web, open_page: OpenPage) -> None:
    with open_page(several_web, f"/?text={TWO}") as page:
        expect(page.get_by_text("The text has 2 of 3 labels")).to_be_visible()
        page.get_by_text("One threshold for all labels").click()
        slider = page.get_by_role("slider", name=re.compile("Threshold"))
        expect(slider).to_be_visible()
        slider.press("End")
        expect(page.get_by_text("The text has no label")).to_be_visible()
        page.wait_for_url(re.compile("threshold=1"))


def test_a_file_is_classified_and_its_download_has_all_labels(
    several_web: Web, open_page: OpenPage, tmp_path: Path
) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text(f'review,subjects\n"{TWO}",acting|plot\n{ONE},music|plot\n{NONE},\n', encoding="utf-8")
    with open_page(several_web, "/batch") as page:
        page.locator("input[type=file]").set_input_files(path)
        page.get_by_role("button", name="Classify the file").click()
        expect(page.get_by_text("66.7 % of the 3 rows with right labels")).to_be_visible()
        page.get_by_role("button", name="Make the CSV file").click()
        link = page.get_by_role("link", name="Download CSV")
        link.wait_for()
        with page.expect_download() as started:
            link.click()
        started.value.save_as(tmp_path / "classified.csv")
        with open_table(tmp_path / "classified.csv") as table:
            place = table.columns.index("labels")
            assert [row.values[place] for row in table.rows()] == ["acting|plot", "music", ""]
        page.get_by_test_id("stDataFrame").last.locator(".dvn-scroller").click(position={"x": 16, "y": 52})
        expect(page.get_by_text("Its labels are: acting, plot.")).to_be_visible()
        page.get_by_role("link", name="Measure it and choose a threshold").click()
        expect(page.get_by_test_id("stMetric").filter(has_text="Exactly right").first).to_contain_text(
            "66.7 %"
        )
