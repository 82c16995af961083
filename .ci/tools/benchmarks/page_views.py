"""What a page of `suite report` weighs, and how long a reader waits for each of its views, in headless Chromium.

    .ci/tool benchmarks.page_views PAGE [OTHER_PAGE] [--rounds 3] [--width 1440]

Bytes by kind, then milliseconds and DOM nodes of each view; of two pages side by side, measured in turn. `opening` is
from the start of the navigation to the frame after the first view and the figures in the window stand there. Any other
view is from the change of the address to that same frame, each as the first that is asked for in a page just opened,
once plotly.js has started. Beside the time on the clock stands that of the page's main thread on the CPU: on a busy
machine it alone can be compared. Of the rounds the quickest counts.
"""

import argparse
import re
import shutil
from collections import Counter
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
PACKED = re.compile(r'<script type="application/\S+" data-(\S+)="([^"]*)">(.*?)</script>', re.DOTALL)
KINDS = {
    "the frame's texts": r'<script type="application/json"[^>]*>(.*?)</script>',
    "scripts": r"<script>(.*?)</script>",
}
FIRST = "answers"
# A figure counts as drawn once plotly has made it or the page says that it is empty.
PAINTED = """
window.painted = (before) => new Promise((done) => {
  const isSeen = (plot) => plot.getBoundingClientRect().top < innerHeight && plot.getBoundingClientRect().bottom > 0;
  const isDrawn = (plot) => plot.querySelector(".main-svg") || plot.classList.contains("empty");
  const look = () => {
    const view = document.querySelector("#main > :not(noscript)");
    const isThere = view && view !== before && [...view.querySelectorAll(".plot")].filter(isSeen).every(isDrawn);
    if (isThere) requestAnimationFrame(() => setTimeout(() => done(performance.now())));
    else requestAnimationFrame(look);
  };
  look();
});
window.opened = window.painted(null);
"""
SHOW = """async (address) => {
  const [start, before] = [performance.now(), document.querySelector("#main > :not(noscript)")];
  location.hash = address;
  return (await window.painted(before)) - start;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, nargs="+", metavar="PAGE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, default=1440)
    parser.add_argument("--only", default="", help="measure only views whose address holds this text")
    options = parser.parse_args()
    weights = [_bytes_by_kind(path.read_text(encoding="utf-8")) for path in options.pages]
    for kind in dict.fromkeys(kind for weight in weights for kind in weight):
        print(f"{kind:30}", *(f"{weight[kind]:>12,}" for weight in weights), "bytes")
    print(f"{'view':44}", *(f"{'ms':>6} {'CPU ms':>6} {'nodes':>6}" for _ in options.pages))
    with sync_playwright() as playwright:
        path = next(path for name in CHROMIUM if (path := shutil.which(name)))
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for address in [FIRST, *(one for one in _addresses(browser, options.pages[0]) if options.only in one)]:
            rounds: list[list[tuple[float, float, int]]] = [[] for _ in options.pages]
            for _ in range(options.rounds):
                for place, path in enumerate(options.pages):
                    rounds[place].append(_measure(browser, path, address, options.width))
            quickest = [[min(values) for values in zip(*measured, strict=True)] for measured in rounds]
            name = "opening" if address == FIRST else address
            print(f"{name:44}", *(f"{ms:6.0f} {cpu:6.0f} {nodes:6}" for ms, cpu, nodes in quickest), flush=True)
        browser.close()


def _bytes_by_kind(text: str) -> Counter[str]:
    weight: Counter[str] = Counter(whole=len(text.encode()))
    for kind, name, content in PACKED.findall(text):
        weight[f"{kind} {name}"] = len(content)
    for kind, pattern in KINDS.items():
        weight[kind] = sum(len(content.encode()) for content in re.findall(pattern, text, re.DOTALL))
    return weight


def _addresses(browser: Browser, path: Path) -> list[str]:
    page = browser.new_page()
    page.goto(path.resolve().as_uri())
    views = page.evaluate("JSON.parse(document.getElementById('frame').textContent).views")
    page.close()
    sections = [f"{view}/{section}" for view, names in views.items() for section in names]
    return ["decide", *sections, "trust/runs", *(f"{one}?lang=zh" for one in (FIRST, sections[0]))]


def _measure(browser: Browser, path: Path, address: str, width: int) -> tuple[float, float, int]:
    """Milliseconds on the clock and of the main thread's CPU until a view is painted, and the DOM's nodes then."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.add_init_script(PAINTED)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def cpu_s() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))

    page.goto(path.resolve().as_uri(), wait_until="commit")
    took_ms, begun_s = page.evaluate("window.opened"), 0.0
    if address != FIRST:
        while not page.evaluate("window.Plotly !== undefined") or cpu_s() - begun_s > 0.01:
            begun_s = cpu_s()
            page.wait_for_timeout(100)
        begun_s = cpu_s()
        took_ms = page.evaluate(SHOW, f"#/{address}")
    used_ms = 1000 * (cpu_s() - begun_s)
    nodes = page.evaluate("document.querySelectorAll('*').length")
    page.close()
    return took_ms, used_ms, nodes


if __name__ == "__main__":
    main()
