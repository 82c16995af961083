"""Records are data from anywhere: whatever stands in them is shown as text, and nothing in them breaks the page."""

import base64
import gzip
import hashlib
import html
import json
import re
from html.parser import HTMLParser

import plotly.graph_objects
import pytest

from suite.records.record import Status
from suite.records.stores.telemetry import TelemetrySample
from suite.report.command import render_sections, report
from suite.report.model.results import read_results
from suite.report.page.page import in_script
from suite.report.page.texts import load_texts
from suite.report.plot.text import figure_text
from tests.records.factory import build, store
from tests.report.attention.test_hardware import projected
from tests.report.attention.test_signmap import pair
from tests.report.reading import figures_of, sections_of, whole_text

EVIL = '</script><script>alert(1)</script><a href="https://evil.example">x</a><!--<b onclick=f()>%{x}'


def watched(said):
    """Telemetry that says the same thing wherever it may say something."""
    device = dict.fromkeys(("name", "used", "state", "power_usage_is", "other_processes"), said) | {
        "missing": {EVIL: said}
    }
    return {
        "telemetry": {
            "ticks": said,
            "sampler_cpu_share": said,
            "sources": {name: {"state": said, "why": said} for name in ("nvml", "rapl", "machine", EVIL)},
            "devices": {"gpu0": device | {"missing": {"power_instant_w": said}}, EVIL: device, "cpu": said},
            "marked_share": {"gpu0": {EVIL: 0.5, "throttled": said}, EVIL: {EVIL: 0.25}, "cpu": said},
            "event_reasons_share": {"gpu0": {EVIL: 0.5}, EVIL: said},
            "nvml": said,
        },
        "energy": {"state": said, "why": said, "source": said},
    }


HOSTILE_SERIES = [
    TelemetrySample(time_s=time_s, unix_s=value, phase=EVIL, device=device, quantity=quantity, value=value, mark=EVIL)
    for device in ("gpu0", "cpu", EVIL)
    for quantity in ("power_instant_w", "energy_j", "steal_share", EVIL)
    for time_s in (0.0, 0.5, 0.5, -1.0, float("nan"), float("inf"), 1e300)
    for value in (1.0, 3.0, 2.0, -1.0, float("nan"), float("inf"), 1e300)
]


class Elements(HTMLParser):
    """Every element and attribute, and the text of the scripts that are data."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.data, self._in = [], [], [], None

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self._in = dict(attributes).get("type") if tag == "script" else None

    def handle_endtag(self, tag):
        self._in = None

    def handle_data(self, data):
        if self._in == "application/json":
            self.data.append(json.loads(data))


def page_of(tmp_path, *records, labels=(), series=()):
    store(tmp_path / "results", *records, series=series)
    path, code = report([tmp_path / "results"], labels, out=tmp_path / "page.html")
    assert code == 0
    return path.read_text(encoding="utf-8")


def parsed(page):
    """The page without its own script, whose signs of comparison are no tags; its figures are among the data."""
    elements = Elements()
    elements.feed(re.sub(r"<script>.*?</script>", "<script></script>", page, flags=re.DOTALL))
    elements.data += figures_of(page)
    return elements


def texts(value):
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value


def check_harmless(page):
    """No element, handler or link of theirs, and no tag or template in a figure that plotly accepts."""
    elements, figures = parsed(page), figures_of(page)
    assert not {"a", "b", "img", "svg"} & set(elements.tags)
    assert not any(name.startswith("on") or name == "href" for name, _ in elements.attributes)
    ours = {"%{hovertext}<extra>%{fullData.name}</extra>", "%{y}: %{text}<extra>%{fullData.name}</extra>"}
    assert [text for text in set(texts(figures)) - ours if re.search(r"[<>$]|%\{", text)] == []
    for figure in figures:
        plotly.graph_objects.Figure(figure)
    return elements, figures


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory):
    everywhere = {"started_at": EVIL, "backend": EVIL, "clock": EVIL, "commit": EVIL, "warnings": [EVIL]}
    everywhere |= watched(EVIL)
    return page_of(
        tmp_path_factory.mktemp("hostile"),
        build(
            attention=EVIL, geometry=EVIL, phase=EVIL, provenance=everywhere, environment={"cpu": EVIL, "gpus": [EVIL]}
        ),
        build(extras={"seed": EVIL}),
        build(attention="mha", provenance=everywhere),
        build(attention="mha", backend=EVIL, provenance={"backend": EVIL}),
        *pair(geometry=EVIL, extras={"a": EVIL}, dtype=EVIL, tp=EVIL),
        projected(EVIL, EVIL, geometry=EVIL),
        build(status=Status.FAILED, reason=EVIL, seq_len=8192),
        labels=[EVIL],
        series=HOSTILE_SERIES,
    )


def test_hostile_text_makes_no_element_and_breaks_no_figure(hostile_page):
    elements, figures = check_harmless(hostile_page)
    packed = [value for name, value in elements.attributes if name == "type" and value == "application/gzip"]
    assert elements.tags.count("script") == len(packed) + 2
    assert len(figures) > 3


def test_a_figure_shows_hostile_text_as_look_alikes():
    assert figure_text('<a href="x">&lt;') == '‹a href="x"›&amp;lt;'
    assert len(figure_text("x" * 1000)) == 80


def test_data_cannot_end_the_script_that_it_stands_in():
    written = in_script({"text": EVIL})
    assert not re.search(r"[<>&]", written)
    assert json.loads(written) == {"text": EVIL}


def test_the_page_allows_its_own_scripts_by_hash_and_no_network(tmp_path):
    page = page_of(tmp_path, build())
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
    assert "'unsafe-inline'" not in policy.split(";")[1]
    assert 'showSendToCloud: false, plotlyServerURL: ""' in page
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    packed = re.findall(r'data-library="[a-z]*">(.*?)</script>', page)
    allowed = [script, *(gzip.decompress(base64.b64decode(source)).decode() for source in packed)]
    digests = [base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() for source in allowed]
    assert html.unescape(policy).split(";")[1].split()[1:] == [f"'sha256-{digest}'" for digest in digests]


ODD = (
    build(seq_len=10**19),
    build(seq_len=None),
    build(seq_len="many"),
    build(attention=None, geometry=None),
    build(latencies_s=(float("nan"), float("inf"), -1.0, 0.0, 1e300)),
    build(latencies_s=(float("nan"), 1e-3)),
    build(environment={"memory_bytes": 10**19, "gpus": {"a": [1]}, "packages": 3}),
    build(provenance={"warnings": "none", "clock": 3, "backend": ["x"], "started_at": 7, "commit": 5}),
    build(settings={"anything": [1, {"a": None}]}),
    build(status=Status.FAILED, reason="half a pair \ud800"),
    *(build(provenance=watched(said)) for said in (None, True, -1, 10**19, 1e308, "half \ud800", [1], {"a": [2]})),
    build(provenance={"telemetry": "none", "energy": 3}),
    build(provenance={"telemetry": {"devices": [1], "sources": {"nvml": 3}, "marked_share": [0.5]}}),
)


@pytest.mark.parametrize("record", ODD, ids=range(len(ODD)))
def test_an_odd_record_breaks_no_section(tmp_path, record):
    store(tmp_path / "results", record)
    sections = render_sections(read_results([tmp_path / "results"]), load_texts("en"))
    assert "trust" in {section.id for section in sections}


def test_odd_records_are_shown_and_break_no_page(tmp_path):
    assert "How far can these runs be trusted?" in whole_text(page_of(tmp_path, *ODD))


def test_a_planted_path_in_a_series_stays_off_the_page(tmp_path):
    path = "/srv/private/x"
    power = {"quantity": "power_instant_w", "value": 90.0}
    sample = TelemetrySample(time_s=0.0, unix_s=0.0, phase=path, device=path, mark=path, **power)
    page = page_of(tmp_path, build(device="cuda", provenance=watched("/srv/private/y")), series=[sample])
    assert "trust" in sections_of(page)
    assert "/srv/private" not in whole_text(page)


def test_a_record_of_an_unknown_workload_is_counted_not_drawn(tmp_path):
    record = build()
    object.__setattr__(record.case, "workload", "weather")
    page = page_of(tmp_path, record)
    assert "hold 1 cases" in whole_text(page)
    assert "latency" not in sections_of(page)


def test_planted_paths_and_secrets_stay_off_the_page(tmp_path, monkeypatch):
    (folder,) = store(tmp_path / "results", build(status=Status.FAILED, reason="R", provenance={"warnings": ["W"]}))
    monkeypatch.setenv("SERVICE_TOKEN", "hunter2-hunter2")
    record = (folder / "record.json").read_text()
    planted = record.replace('"R"', '"/srv/private/x hunter2-hunter2"').replace('"W"', '"/srv/private/y"')
    (folder / "record.json").write_text(planted)
    for format in ("html", "markdown", "csv"):
        path, _ = report([tmp_path / "results"], [], format=format, out=tmp_path / format)
        text = whole_text(path.read_text(encoding="utf-8"))
        assert "/srv/private" not in text
        assert "hunter2" not in text
