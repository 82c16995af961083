"""How long a page takes: ten records read, every section built, one file written."""

import time

import pytest

from suite.report.command import report
from tests.records.factory import build, store

POINTS = [
    (attention, seq_len) for attention in ("mha", "gqa", "mqa", "mla", "mla_expanded") for seq_len in (1024, 4096)
]


@pytest.mark.benchmark(group="report: a page of ten records", timer=time.thread_time)
def test_a_page_of_ten_records(benchmark, tmp_path):
    for attention, seq_len in POINTS:
        scale = seq_len / 1024
        store(tmp_path / "results", build(attention=attention, seq_len=seq_len, latencies_s=(1e-3 * scale,) * 7))
    page = tmp_path / "page.html"
    _, code = benchmark(report, [tmp_path / "results"], [], out=page)
    assert code == 0
    assert page.stat().st_size > 1e5
