"""The sample of the page and README's picture of it, from the committed records: reports/sample.html and answers.png.

Needs what `make browser` installs. No machine is called the reader's: every record was taken elsewhere.
"""

import shutil

from playwright.sync_api import sync_playwright

from suite.report.command import whole_page
from suite.report.model.results import read_results
from tests.prose.readers import REFERENCE, ROOT

SAMPLE, PICTURE = ROOT / "reports/sample.html", ROOT / "reports/answers.png"
FOLDERS = {"reference CPU": "cpu", "variants": "cpu_variants", "feedback": "cpu_rl_feedback"}
WIDTH_PX, HEIGHT_PX = 1240, 860
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def main():
    results = read_results([REFERENCE / name for name in FOLDERS.values()], list(FOLDERS))
    SAMPLE.write_text(whole_page(results, here=""), encoding="utf-8")
    with sync_playwright() as playwright:
        found = next(path for name in CHROMIUM if (path := shutil.which(name)))
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
        page.goto(SAMPLE.as_uri())
        page.locator(".cards").wait_for()
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
