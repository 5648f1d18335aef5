"""The page in a real browser: click, type and slide through every tab. Skipped without selenium or Chromium.

make browser        # installs selenium; Chromium and chromedriver come from the system
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adept_training.labels.records import Split
from adept_training.studio.answers import Answers
from adept_training.studio.image_sets import open_sets
from adept_training.studio.server import serving
from adept_training.studio.single_file import write_page
from adept_training.studio.sources import open_source
from tests.training.studio.conftest import EVIL_CLASS, EVIL_FILE

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Chromium and chromedriver")

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


class Page:
    """A tab of the browser with a page of the studio."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver, self.address = driver, address

    def open(self, place: str = "", width: int = 1280) -> Page:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get("about:blank")
        self.problems()  # those of a server that has ended
        self.driver.get(self.address + place)
        return self

    def run(self, script: str) -> Any:
        return self.driver.execute_script(f"return {script}")

    def until(self, script: str) -> Any:
        """Wait until an expression is true; return it."""
        for _ in range(300):
            if value := self.run(script):
                return value
            time.sleep(0.1)
        raise AssertionError(f"never true: {script}; stage: {self.run('document.body.innerText')}")

    def click(self, selector: str) -> None:
        self.until(f"document.querySelector('{selector}')")
        self.run(f"document.querySelector('{selector}').click()")

    def slide(self, name: str, value: float) -> None:
        self.run(
            f"(e => {{ e.value = {value}; e.dispatchEvent(new Event('input')); }})(document.getElementById('{name}'))"
        )

    def press(self, key: str) -> None:
        self.driver.switch_to.active_element.send_keys(key)

    def boxes(self) -> int:
        return int(self.run("document.querySelectorAll('.frame g').length"))

    def text(self, selector: str) -> str:
        return str(self.run(f"document.querySelector('{selector}').textContent"))

    def problems(self) -> list[str]:
        return [one["message"] for one in self.driver.get_log("browser")]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield made
    made.quit()


@pytest.fixture
def answers(
    tuned: Path, boxes: Path, comparison: Path, split: Split, folder: Path, make_checkpoint: Callable[..., Any],
    tmp_path: Path, one_thread: None,
) -> Answers:  # fmt: skip
    weights = make_checkpoint(folder=tmp_path / "weights")[0]
    sources = tuple(open_source(str(path)) for path in (tuned, weights, boxes, comparison))
    return Answers(sources, open_sets(sources, str(folder), split), "cpu")


@pytest.fixture
def page(driver: Any, answers: Answers) -> Iterator[Page]:
    with serving(answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield Page(driver, server.address)
        server.shutdown()
        thread.join()


def test_boxes_sliders_and_keys(page: Page) -> None:
    page.open()
    page.until("document.querySelectorAll('.frame g').length")
    assert page.text("#tabs [aria-selected=true]").startswith("Proposals")
    assert page.boxes() == 3 + 2
    assert "2 of 2 objects covered" in page.text("#panel")
    page.slide("top", 2)
    assert page.boxes() == 2 + 2
    assert "1 of 2 objects covered" in page.text("#panel")
    page.press("g")
    assert page.boxes() == 2
    page.press("j")
    assert page.until("location.hash == '#proposals/0/1'")
    page.press("k")
    assert page.until("location.hash == '#proposals/0/0'")
    page.press("]")
    assert page.until("document.querySelectorAll('.thumb').length == 6")
    page.press("?")
    assert page.until("document.getElementById('keys').open")
    assert page.problems() == []


def test_names_that_are_markup_are_text(page: Page) -> None:
    page.open("#proposals/0/29")
    page.until(f"document.querySelector('.bar .name')?.textContent == '{EVIL_FILE}'")
    assert page.run("document.querySelectorAll('img[src=x]').length") == 0
    page.open("#proposals/0/0")
    labels = "[...document.querySelectorAll('.labels span')].map(e => e.textContent)"
    page.until("document.querySelectorAll('.labels span').length")
    assert EVIL_CLASS in page.run(labels)
    assert page.run("document.querySelectorAll('img[src=x]').length") == 0
    assert page.problems() == []


def test_maps_of_two_networks(page: Page) -> None:
    page.open("#objectness/0/0")
    page.until("document.querySelectorAll('img.map').length == 2")
    titles = "[...document.querySelectorAll('figcaption b')].map(e => e.textContent).join()"
    assert page.run(titles) == "tuned,weights"
    before = page.run("document.querySelector('img.map').src")
    page.run("[...document.querySelectorAll('.choices button')].find(e => e.textContent == 'P4').click()")
    assert page.run("document.querySelector('img.map').src") != before
    page.run("(e => { e.value = 2; e.dispatchEvent(new Event('change')); })(document.getElementById('right'))")
    page.until(f"{titles} == 'tuned,random weights'")
    assert page.problems() == []


def test_scores_classes_errors_and_runs(page: Page) -> None:
    page.open("#predictions/0/0")
    page.until("document.getElementById('score')")
    page.slide("score", 0.05)
    every = page.boxes()
    page.slide("score", 1)
    assert 2 <= page.boxes() <= every, "the labeled objects are left, and what has a score of 1"
    page.press("5")
    page.until("document.querySelectorAll('#errors button').length")
    count = int(page.text(".bar .count").split(" of ")[1].split()[0])
    page.slide("score", 1)
    assert 0 < int(page.text(".bar .count").split(" of ")[1].split()[0]) <= count, "objects not found are left"
    page.slide("score", 0)
    assert int(page.text(".bar .count").split(" of ")[1].split()[0]) >= count
    page.press("j")
    assert page.text(".bar .count").startswith("2 of ")
    page.press("6")
    page.until("document.querySelectorAll('.chart circle').length == 9")
    assert "better" in page.text(".run table")
    assert page.problems() == []


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("tab", ["proposals", "views", "objectness", "predictions", "errors", "runs"])
def test_nothing_is_cut(page: Page, tab: str, width: int) -> None:
    page.open(f"#{tab}/0/0", width)
    page.until("document.querySelector('#stage') && document.querySelector('#stage').children.length")
    page.until("!document.querySelector('.wait')")
    assert page.run("document.documentElement.scrollWidth") <= width
    wide = """[...document.querySelectorAll('#main *, header *, #tabs *')].filter(e => {
        const r = e.getBoundingClientRect();
        return r.width && (r.right > innerWidth + 1 || r.left < -1) && !e.closest('.scroll, .unseen, .skip');
    }).map(e => e.outerHTML.slice(0, 80))"""
    assert page.run(wide) == []
    assert page.problems() == []


def test_light_dark_and_the_page_in_one_file(driver: Any, answers: Answers, tmp_path: Path) -> None:
    small = Answers(answers.sources, tuple(one.first(2) for one in answers.sets), "cpu", "the first 2 images")
    write_page(small, tmp_path / "page.html")
    page = Page(driver, (tmp_path / "page.html").as_uri()).open("#proposals/0/1")
    page.until("document.querySelectorAll('.frame g').length == 5")
    assert page.run("document.querySelector('.frame img').naturalWidth") == 80
    paper = page.run("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.run("getComputedStyle(document.body).backgroundColor") != paper
    shown = {"3": "img.map", "5": "#errors", "6": ".chart circle"}
    for key, selector in shown.items():
        page.press(key)
        page.until(f"document.querySelector('{selector}')")
    assert page.problems() == []
