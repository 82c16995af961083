"""The section of what fits: the fastest on top, what is computed and expected apart, refused cases with their sizes."""

from suite.console.capacity import summary
from suite.records.case import Case
from suite.records.record import Evidence, Record, Status, constant_readings
from suite.report.command import render_sections
from suite.report.page.texts import load_texts
from tests.records.factory import ENVIRONMENT, PROVENANCE
from tests.report.test_sections import read, table_of
from tests.theory.test_capacity import plan


def record(geometry, hardware="h200-sxm-141gb", **changes):
    sizes = {"seq_len": 32_768, "query_len": 1, "tp": 8, "parallel": "dp", "weights": "fp8", **changes}
    found = plan(geometry, hardware, **sizes)
    return Record(
        case=Case(workload="capacity", axes={"geometry": geometry, **sizes, "hardware": hardware}, extras={}),
        run_key="0123456789abcdef" * 4,
        status=Status.OK if found.refusal is None else Status.UNSUPPORTED,
        reason=found.refusal,
        evidence=Evidence.PROJECTED,
        settings={},
        environment=ENVIRONMENT,
        provenance=PROVENANCE,
        readings=[] if found.refusal else list(constant_readings(found.constants())),
    )


def test_the_table_has_the_fastest_model_first(tmp_path):
    results = read(tmp_path, record("deepseek-v3", parallel="tp"), record("deepseek-v3"), record("qwen3.5-397b-a17b"))
    rows = table_of(results, "cache", 1)
    assert [row["Model"] for row in rows] == ["qwen3.5-397b-a17b", "deepseek-v3", "deepseek-v3"]
    assert [row["Device"] for row in rows[1:]] == [f"8 × h200-sxm-141gb, {way}" for way in ("dp", "tp")]
    assert rows[1]["Batch"] == "104"
    assert rows[0]["Tokens/s expected"] == "–"
    assert float(rows[1]["Tokens/s expected"].replace(",", "")) < float(rows[1]["Tokens/s at most"].replace(",", ""))


def test_what_does_not_fit_says_how_large_it_is(tmp_path):
    (row,) = table_of(read(tmp_path, record("deepseek-v3", tp=1)), "cache", 1)
    assert row["Why"].startswith("the weights, 625 GiB on each device, do not fit")


def test_a_headline_has_the_fastest_model_and_its_batch(tmp_path):
    (section,) = [
        one for one in render_sections(read(tmp_path, record("deepseek-v3")), load_texts("en")) if one.id == "cache"
    ]
    assert section.headlines[-1].text.startswith("deepseek-v3 on 8 × h200-sxm-141gb, dp: a batch of 104, at most ")


def test_a_terminal_says_what_fits_and_what_it_serves():
    said = dict(summary(record("deepseek-v3")).lines)
    assert said["batch"] == "104 sequences at most, over all devices"
    assert "tokens a second at most" in said["step"]
