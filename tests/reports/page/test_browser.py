"""The page in a real browser: headless Chromium with its network watched."""

from __future__ import annotations

import base64
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from reports.page.build import ReportPaths
from tests import report_samples as samples

pytestmark = pytest.mark.browser

AXE = Path(sys.prefix) / "axe"  # where tests/servers.sh puts axe-core
ARMS = "#arm-table tbody tr:not([data-fixed])"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    return samples.whole_report(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Chromium that logs its console and every request, and may not resolve any name."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium with chromedriver here (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    chrome.get("about:blank")  # what Chromium asks for to show its own first page is over
    yield chrome
    chrome.quit()


@pytest.fixture
def page(browser: webdriver.Chrome, report: ReportPaths) -> webdriver.Chrome:
    """The report, freshly opened at desk width in light colours."""
    look(browser, 1400, "light")
    browser.get(report.html.as_uri())
    return browser


def look(browser: webdriver.Chrome, width: int, theme: str) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)


def find(page: webdriver.Chrome, selector: str) -> Any:
    return page.find_element(By.CSS_SELECTOR, selector)


def column(page: webdriver.Chrome, title: str) -> list[str]:
    """The visible texts of a column of the arm table, from the top down."""
    script = """
      const heads = [...document.querySelectorAll('#arm-table thead th')];
      const at = heads.findIndex((head) => head.querySelector('.title').textContent === arguments[0]);
      return [...document.querySelectorAll(arguments[1])]
        .filter((row) => !row.hidden).map((row) => row.cells[at].firstElementChild?.matches('.key')
          ? row.cells[at].childNodes[1].textContent.trim() : row.cells[at].textContent.trim());"""
    return list(page.execute_script(script, title, ARMS))


def press(page: webdriver.Chrome, title: str) -> Any:
    script = """
      const heads = [...document.querySelectorAll('#arm-table thead th')];
      const head = heads.find((head) => head.querySelector('.title').textContent === arguments[0]);
      head.scrollIntoView({block: 'center'});
      return head;"""
    head = page.execute_script(script, title)
    head.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    return head


def test_no_error_and_no_request_leaves_the_page(browser: webdriver.Chrome, report: ReportPaths) -> None:
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(report.html.as_uri())
    browser.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    console = [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert console == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requested = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert report.html.as_uri() in requested
    assert [url[:80] for url in requested if not url.startswith("data:") and url != report.html.as_uri()] == []


def test_every_picture_loads(page: webdriver.Chrome) -> None:
    images = page.find_elements(By.TAG_NAME, "img")
    assert len(images) > 60
    empty = page.execute_script(
        "return [...document.images].filter((i) => !(i.complete && i.naturalWidth)).map((i) => i.alt)"
    )
    assert empty == []


def test_the_words_on_the_cards_are_those_of_the_file(page: webdriver.Chrome, report: ReportPaths) -> None:
    records = json.loads(report.verdicts.read_text(encoding="utf-8"))["verdicts"]
    shown = {
        card.get_attribute("id"): card.find_element(By.CSS_SELECTOR, ".verdict .word").text
        for card in page.find_elements(By.CSS_SELECTOR, "article.card")
    }
    # Of the verdicts of a claim the first is its answer.
    assert shown == {f"claim-{record['claim']['id']}": record["word"] for record in reversed(records)}


def test_the_arm_table_sorts_both_ways_by_number(page: webdriver.Chrome) -> None:
    def rates() -> list[float]:
        return [float(text.split(" ± ")[0]) for text in column(page, "rate")]

    unsorted = rates()
    head = press(page, "rate")
    assert rates() == sorted(unsorted) != unsorted
    assert head.get_attribute("aria-sort") == "ascending"
    press(page, "rate")
    assert rates() == sorted(unsorted, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    press(page, "arm")
    assert head.get_attribute("aria-sort") == "none"
    assert column(page, "arm") == sorted(column(page, "arm"))


def test_floor_and_ceiling_stay_on_top_however_arms_are_sorted(page: webdriver.Chrome) -> None:
    script = (
        "return [...document.querySelectorAll('#arm-table tbody tr')].map((row) => row.cells[0].textContent.trim())"
    )
    names = ["model without latents", "histogram of each pixel", "originals"]
    for _ in range(2):
        press(page, "rate")
        assert page.execute_script(script)[:3] == names
    page.find_element(By.CSS_SELECTOR, "[data-for=arm-table] [data-filter]").send_keys("mae-mean")
    assert page.execute_script(script)[:3] == names


def test_an_own_objective_offers_no_sorting(page: webdriver.Chrome) -> None:
    refused = page.find_elements(By.CSS_SELECTOR, "#arm-table th[data-refused]")
    assert [head.find_elements(By.TAG_NAME, "button") for head in refused] == [[]] * 6
    assert "win these by construction" in find(page, "#gate").text


def test_the_arm_table_filters_by_words(page: webdriver.Chrome) -> None:
    box = find(page, "[data-for=arm-table] [data-filter]")
    box.send_keys("MAE sum")
    assert column(page, "arm") == [f"mae-sum-b{beta}" for beta in ("0.1", "1", "2", "4")]
    assert find(page, "[data-for=arm-table] output").text == "4 of 24 rows"
    box.clear()
    box.send_keys("no such arm")
    assert column(page, "arm") == []


def test_columns_are_shown_by_their_kind(page: webdriver.Chrome) -> None:
    def titles() -> list[str]:
        script = """
          return [...document.querySelectorAll('#arm-table thead th')]
            .filter((head) => head.checkVisibility()).map((head) => head.querySelector('.title').textContent);"""
        return list(page.execute_script(script))

    assert {"arm", "rate"} <= set(titles())
    assert "reduction" not in titles()
    Select(find(page, "[data-for=arm-table] select")).select_by_value("settings")
    assert {"arm", "loss", "reduction"} <= set(titles())
    assert "rate" not in titles()
    Select(find(page, "[data-for=arm-table] select")).select_by_value("all")
    assert {"rate", "reduction"} <= set(titles())


def test_images_are_zoomed(page: webdriver.Chrome) -> None:
    zoom = find(page, "[data-for=reconstructions] [data-zoom]")
    strip = find(page, "#reconstructions img.strip")
    before = strip.size["height"]
    zoom.send_keys(Keys.END)
    assert strip.size["height"] == 168 > before
    assert strip.value_of_css_property("image-rendering") == "pixelated"


def test_originals_stay_on_top_however_rows_are_sorted(page: webdriver.Chrome) -> None:
    button = find(page, "#reconstructions thead button")
    for _ in range(2):
        button.send_keys(Keys.ENTER)
        assert find(page, "#reconstructions tbody tr th").text == "originals"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_light_and_dark_are_followed_and_switched(browser: webdriver.Chrome, report: ReportPaths, theme: str) -> None:
    def paper() -> str:
        return str(browser.execute_script("return getComputedStyle(document.documentElement).backgroundColor"))

    look(browser, 1400, theme)
    browser.get(report.html.as_uri())
    browser.execute_script("localStorage.clear(); location.reload()")
    colours = {"light": "rgb(253, 252, 249)", "dark": "rgb(22, 24, 28)"}
    other = {"light": "dark", "dark": "light"}[theme]
    assert paper() == colours[theme]
    find(browser, "#theme").send_keys(Keys.ENTER)
    assert paper() == colours[other]
    scheme = "return getComputedStyle(document.querySelector('img.plot')).colorScheme"
    assert browser.execute_script(scheme) == other  # what pictures inside the page go by
    browser.execute_script("localStorage.clear()")


@pytest.mark.parametrize("width", [390, 768, 1400])
def test_the_page_never_scrolls_sideways(browser: webdriver.Chrome, report: ReportPaths, width: int) -> None:
    look(browser, width, "light")
    browser.get(report.html.as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_the_first_stop_of_the_keyboard_skips_to_the_verdicts(page: webdriver.Chrome) -> None:
    find(page, "body").send_keys(Keys.TAB)
    assert page.switch_to.active_element.text == "Skip to the content"
    page.switch_to.active_element.send_keys(Keys.ENTER)
    assert page.current_url.endswith("#main")


def test_the_page_is_whole_without_its_script(browser: webdriver.Chrome, report: ReportPaths) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(report.html.as_uri())
        assert len(browser.find_elements(By.CSS_SELECTOR, ARMS)) == 24
        assert not find(browser, "#theme").is_displayed()
        assert not find(browser, ".tools").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_it_prints(page: webdriver.Chrome, tmp_path: Path) -> None:
    pdf = page.print_page()
    assert len(pdf) > 100_000


def test_the_first_screen_answers_every_claim_beside_the_pictures(
    browser: webdriver.Chrome, report: ReportPaths
) -> None:
    look(browser, 1280, "light")
    browser.get(report.html.as_uri())
    records = json.loads(report.verdicts.read_text(encoding="utf-8"))["verdicts"]
    claims = list(dict.fromkeys(record["claim"]["id"] for record in records))
    links = browser.find_elements(By.CSS_SELECTOR, ".answers a")
    assert [link.get_attribute("href").partition("#claim-")[2] for link in links] == claims
    answers, glance = find(browser, ".answers").rect, find(browser, ".glance").rect
    assert answers["x"] + answers["width"] < glance["x"]
    assert glance["y"] + 200 < 900  # the originals and the losses at one beta, without scrolling
    losses = [row.text.split("\n")[0] for row in browser.find_elements(By.CSS_SELECTOR, ".glance .row > span")]
    assert losses[:4] == ["originals", "BCE", "MSE", "MAE"]


def test_the_part_one_reads_is_marked(page: webdriver.Chrome) -> None:
    def marked() -> list[str]:
        return [link.text for link in page.find_elements(By.CSS_SELECTOR, ".contents [aria-current]")]

    assert marked() == ["In short"]
    script = "document.getElementById('arms').scrollIntoView({behavior: 'instant'})"
    page.execute_script(script)
    page.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    assert marked() == ["Arms"]


def test_pictures_of_a_loss_and_a_beta_are_enlarged_below_the_originals(page: webdriver.Chrome) -> None:
    entry = find(page, "#reconstructions-by-beta td a")
    shown = find(page, "#enlarged")
    assert not shown.is_displayed()
    entry.send_keys(Keys.ENTER)
    assert shown.is_displayed()
    alts = [image.get_attribute("alt") for image in shown.find_elements(By.TAG_NAME, "img")]
    assert alts == ["reconstructions: originals", entry.find_element(By.TAG_NAME, "img").get_attribute("alt")]
    shown.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert not shown.is_displayed()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_table_of_a_claims_comparisons_fits(browser: webdriver.Chrome, report: ReportPaths, width: int) -> None:
    look(browser, width, "light")
    browser.get(report.html.as_uri())
    wide = """
      return [...document.querySelectorAll('table.stacked')].map((table) => table.closest('.scroll'))
        .filter((scroll) => scroll.scrollWidth > scroll.clientWidth).length"""
    assert browser.execute_script("return document.querySelectorAll('table.stacked').length") > 4
    assert browser.execute_script(wide) == 0


def test_it_prints_without_a_ground_on_few_sheets(page: webdriver.Chrome) -> None:
    pdf = base64.b64decode(page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert len(re.findall(rb"/Type\s*/Page[^s]", pdf)) < 20
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    ground = "return getComputedStyle(document.documentElement).backgroundColor"
    assert page.execute_script(ground) == "rgba(0, 0, 0, 0)"
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_no_violation(browser: webdriver.Chrome, report: ReportPaths, width: int, theme: str) -> None:
    source = AXE / "node_modules" / "axe-core" / "axe.min.js"
    if not source.exists():
        pytest.skip(f"axe-core is not installed (sh tests/servers.sh, or: npm install --prefix {AXE} axe-core)")
    look(browser, width, theme)
    browser.get(report.html.as_uri())
    browser.set_script_timeout(120)
    browser.execute_script(source.read_text(encoding="utf-8"))
    run = """
      const told = (rule) => rule.id + ': ' + rule.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join('; ');
      axe.run(document, {resultTypes: ['violations']})
        .then((found) => arguments[0](found.violations.map(told)), (error) => arguments[0]([String(error)]))"""
    assert browser.execute_async_script(run) == []
