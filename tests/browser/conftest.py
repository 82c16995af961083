"""One browser for all tests, pages from real records, and a watch on what each page does: whatever a test looks at, no
request may leave the page, nothing may fail in it, and no dialog may open.
"""

import shutil

import pytest
from playwright.sync_api import sync_playwright

from suite.records.record import Status
from suite.report.command import report
from tests.browser.looking import PATIENCE_MS
from tests.records.factory import build, store
from tests.report import hostile_folders

NAMES = ("chromium", "chromium-browser", "google-chrome")
# No updates, no first visits: the browser is to be as quiet as the page.
QUIET = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
DESKTOP, PHONE = 1440, 390

CATCH_CLIPBOARD = (
    "Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (t) => (window.copied = t) } })"
)
EVIL = (
    '=cmd|1</script><script>window.pwned = 1</script><img src="x" onerror="window.pwned = 1">'
    '<a href="javascript:window.pwned = 1">x</a><!--%{x}'
)


def chromium():
    """Where the system has it."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    assert path, f"this needs one of {', '.join(NAMES)} on PATH"
    return path


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=QUIET)
        yield found
        found.close()


def ordinary_records(slower):
    """Two geometries and types, three variants, two phases and contexts, and cases that could not run."""
    timed = [
        build(
            geometry=geometry,
            attention=attention,
            dtype=dtype,
            phase=phase,
            seq_len=seq_len,
            latencies_s=tuple(slower * rank * seq_len * 1e-6 * (1 + step / 50) for step in range(5)),
        )
        for geometry in ("deepseek-v2-lite", "llama-3.2-1b")
        for rank, attention in enumerate(("gqa", "mla", "mla_latent"), 1)
        for dtype in ("float32", "bfloat16")
        for phase in ("decode", "prefill")
        for seq_len in (64, 4096)
    ]
    return [*timed, build(status=Status.FAILED, reason="it broke", geometry="tiny", phase="train")]


def written(folder, *labelled):
    for label, records in labelled:
        store(folder / label, *records)
    labels = [label for label, _ in labelled]
    path, _ = report([folder / label for label in labels], labels, out=folder / "page.html")
    return path


@pytest.fixture(scope="session")
def ordinary(tmp_path_factory):
    """Two results side by side, of which the second took ten times as long."""
    folder = tmp_path_factory.mktemp("ordinary")
    return written(folder, ("before", ordinary_records(1)), ("after", ordinary_records(10)))


@pytest.fixture(scope="session")
def long(tmp_path_factory):
    """A page with a table of more rows than are shown at once."""
    records = [build(batch=batch, attention=name) for batch in range(1, 131) for name in ("mla", "mla_latent")]
    return written(tmp_path_factory.mktemp("long"), ("runs", records))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    """Every text of a record is one that a page must not run, nor a spreadsheet."""
    folder = tmp_path_factory.mktemp("hostile")
    said = {"started_at": EVIL, "backend": EVIL, "clock": EVIL, "commit": EVIL, "warnings": [EVIL]}
    own = {"provenance": said, "environment": {"cpu": EVIL, "gpus": [EVIL]}, "extras": {"seed": EVIL}}
    axes = {"attention": EVIL, "geometry": EVIL, "phase": EVIL, "dtype": EVIL}
    records = [build(**axes, **own, seq_len=seq_len) for seq_len in (1024, 4096)]
    records += [build(attention=name, **own) for name in ("gqa", "mla", "mla_latent")]
    records += [build(status=Status.FAILED, reason=EVIL, seq_len=8192), build(attention="gqa"), build()]
    store(folder / "results", *records)
    path, _ = report([folder / "results"], [EVIL], out=folder / "page.html")
    return path


@pytest.fixture(scope="session")
def two_hundred(tmp_path_factory):
    """Two hundred damaged and hostile run folders, with a good one among them."""
    folder = tmp_path_factory.mktemp("two_hundred")
    hostile_folders.make(folder / "results")
    store(folder / "results", build(attention="gqa"), build(attention="gqa", seq_len=64))
    path, _ = report([folder / "results"], [], out=folder / "page.html")
    return path


class Tab:
    """A tab of the browser, with all that went wrong in it.

    A new one takes 2 s of CPU before it shows anything, so a page, which is a new document, is opened in one that
    another test has left.
    """

    def __init__(self, browser, script):
        self.complaints, self.script = [], script
        self.page = page = browser.new_context().new_page()
        page.set_default_timeout(2 * PATIENCE_MS)
        page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: self._is_foreign(request.url) and self.complaints.append(request.url))
        if script:
            page.add_init_script(script)

    def leave(self):
        """Leave the page, without which it would be no new one at another address; what went wrong in it."""
        self.page.mouse.move(0, 0)
        self.page.goto("about:blank")
        complaints, self.complaints = self.complaints, []
        return complaints

    @staticmethod
    def _is_foreign(url):
        return not url.startswith(("file:", "data:", "blob:"))


class Watch:
    """Opens written pages, and knows what went wrong in any of them."""

    def __init__(self, browser, unused):
        self._browser, self._unused, self._tabs = browser, unused, []

    def open(self, path, *, address="", width=DESKTOP, scheme="light", script=None, is_whole=True):
        """The page, once it shows what the address behind the # names."""
        tab = next((tab for tab in self._unused if tab.script == script), None)
        if tab is None:
            tab = Tab(self._browser, script)
        else:
            self._unused.remove(tab)
        self._tabs.append(tab)
        page = tab.page
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(media="null", color_scheme=scheme)
        page.goto(path.as_uri() + address)
        if is_whole:
            page.locator("#main h1, #main .quiet, #main section").first.wait_for(state="attached")
        return page

    def take_complaint(self):
        """Take away the last complaint, where a test expects one."""
        return self._tabs[-1].complaints.pop()

    def end(self):
        complaints = [complaint for tab in self._tabs for complaint in tab.leave()]
        self._unused += self._tabs
        assert complaints == []


@pytest.fixture(scope="session")
def unused_tabs():
    return []


@pytest.fixture
def watch(browser, unused_tabs):
    one = Watch(browser, unused_tabs)
    yield one
    one.end()


@pytest.fixture
def open_page(watch):
    return watch.open
