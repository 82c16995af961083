"""The sections of watched runs in the browser: drawn without a complaint."""

import pytest

from suite.report.command import report
from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.looking import figure_of, section, traces
from tests.records.factory import build, store
from tests.report.reading import samples, telemetry


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Two variants on a GPU that throttled, the second for longer."""
    folder = tmp_path_factory.mktemp("watched")
    for variant, count in (("mha", 40), ("mla", 60)):
        series = samples("gpu0", "power_instant_w", [100.0] * 20, phase="prepare")
        series += samples("gpu0", "power_instant_w", [300.0] * count, start_s=2.0, marks={3: "throttled"})
        said = telemetry(marked_share={"gpu0": {"throttled": 0.1}, "cpu": {"pressured": 0.2}})
        store(folder / "results", build(attention=variant, device="cuda", provenance=said), series=series)
    path, _ = report([folder / "results"], [], out=folder / "page.html")
    return path


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_watching_saw_is_drawn_and_fits_its_screen(watch, watched, width, scheme):
    page = watch.open(watched, width=width, scheme=scheme)
    assert traces(figure_of(page, "hardware"))
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert "2 of 2 monitored runs were disturbed" in section(page, "trust").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") == width
