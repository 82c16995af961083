"""How long a page takes until it answers, in headless Chromium; needs what `make browser` installs.

    python tests/benchmarks/page_opening.py PAGE [TIMES]

Prints the seconds from navigating to the page until a click on a header of its first table has sorted that table, and
until its first figure is drawn, each the median of several fresh starts.
"""

import sys
import time
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import DESKTOP, QUIET, chromium
from tests.browser.looking import figure_of


def main(path: Path, times: int = 3) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=QUIET)
        found = [opened(browser.new_page(viewport={"width": DESKTOP, "height": 900}), path) for _ in range(times)]
        browser.close()
    answers, drawn = (median(column) for column in zip(*found, strict=True))
    size = f"{path.stat().st_size / 1e6:.2f} MB"
    print(f"{size}: its first table answers after {answers:.2f} s, a figure is drawn after {drawn:.2f} s")


def opened(page: Page, path: Path) -> tuple[float, float]:
    """Seconds until the first table sorts, and until the first figure is drawn."""
    begun = time.perf_counter()
    page.goto(path.resolve().as_uri(), wait_until="commit")
    page.locator("th button").first.click()
    page.locator("th[aria-sort=ascending]").first.wait_for(state="attached")
    answers = time.perf_counter() - begun
    figure_of(page, page.locator("section:has(figure)").first.get_attribute("id"))
    drawn = time.perf_counter() - begun
    page.close()
    return answers, drawn


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:3]))
