"""README's picture, from the committed records, to reports/sign_map.png: needs what `make browser` installs."""

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import suite
from suite.notebook.runs import Runs
from suite.report.model.results import read_results
from tests.prose.readers import REFERENCE, ROOT

WIDTH_PX, SCALE = 780, 1.25
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def figure():
    """Return the map for 128 heads on one device; README's caption is its title."""
    drawn = suite.plot.sign_map(Runs(read_results([REFERENCE / "cpu/sign_map"], ["AMD EPYC, one thread"])))
    return drawn.update_layout(title=None, width=WIDTH_PX)


def main():
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "map.html"
        figure().write_html(page_file, include_plotlyjs=True)
        found = next(path for name in CHROMIUM if (path := shutil.which(name)))
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH_PX + 20, "height": 900}, device_scale_factor=SCALE)
        page.goto(page_file.as_uri())
        page.locator(".main-svg").first.wait_for()
        page.locator(".svg-container").screenshot(path=ROOT / "reports/sign_map.png")
        browser.close()


if __name__ == "__main__":
    main()
