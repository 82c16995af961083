"""The sample of the page and the pictures of it in READMEs, from the committed records, all in reports/.

Needs what `make browser` installs, and a font with Chinese characters. No machine is called the reader's: every record
was taken elsewhere.
"""

import shutil

from playwright.sync_api import sync_playwright

from suite.report.command import whole_page
from tools.prose.readers import ROOT, sample_results

REPORTS = ROOT / "reports"
SAMPLE = REPORTS / "sample.html"
WIDTH_PX, HEIGHT_PX = 1240, 990
PICTURES = {
    "answers.png": ("answers", None),
    "answers.zh.png": ("answers?lang=zh", None),
    "decode.png": ("speed/latency", "figure"),
    "tiers.png": ("quality/quality_tiers", "figure"),
}
"""The address of each, and what of it is shown: all that a window holds, or the first of its kind."""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def main():
    """Write the sample report, and draw each picture of it in a browser."""
    SAMPLE.write_text(whole_page(sample_results(), here=""), encoding="utf-8")
    with sync_playwright() as playwright:
        chromium = next(path for name in CHROMIUM if (path := shutil.which(name)))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (address, part) in PICTURES.items():
            page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
            page.goto(f"{SAMPLE.as_uri()}#/{address}")
            content = page.locator("main .cards, main .main-svg").first
            content.wait_for(state="attached", timeout=60_000)
            (page.locator(f"main {part}").first if part else page).screenshot(path=REPORTS / name)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
