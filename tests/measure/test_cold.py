from types import SimpleNamespace

from suite.measure import cold
from suite.measure.cold import cold_state, last_level_cache_bytes, time_cold, unproven
from suite.measure.meter import cpu_clock
from suite.records.record import Reading


def cache(folder, index, size, kind):
    (folder / f"index{index}").mkdir(parents=True)
    (folder / f"index{index}" / "size").write_text(f"{size}\n")
    (folder / f"index{index}" / "type").write_text(f"{kind}\n")


def test_the_last_level_is_the_largest_that_holds_data(tmp_path):
    for index, (size, kind) in enumerate([("48K", "Data"), ("64M", "Instruction"), ("2M", "Unified")]):
        cache(tmp_path, index, size, kind)
    assert last_level_cache_bytes(tmp_path) == 2 << 20
    assert last_level_cache_bytes(tmp_path / "nothing") is None


def test_work_that_no_cache_holds_is_not_timed_again(monkeypatch):
    monkeypatch.setattr("suite.measure.cold.last_level_cache_bytes", lambda: 1000)
    assert cold_state({"kernel": {"traffic_bytes": 1001}, "layer": {"traffic_bytes": 5000}, "case": {}}) == "as_warm"
    assert cold_state({"kernel": {"traffic_bytes": 999}, "layer": {"traffic_bytes": 5000}}) == "measured"
    monkeypatch.setattr("suite.measure.cold.last_level_cache_bytes", lambda: None)
    assert cold_state({"kernel": {"traffic_bytes": 999}}) == "unknown_cache"


def test_a_flush_comes_before_every_cold_span_and_proves_itself(monkeypatch):
    monkeypatch.setattr("suite.measure.cold.last_level_cache_bytes", lambda: 32 << 20)

    def step(meter):
        for name in ("layer", "kernel"):
            with meter.span(name):
                pass

    readings = time_cold(step, cpu_clock(1, metric="cold_latency_s"), steps=2, max_seconds=60)
    assert [(reading.step, reading.span, reading.metric) for reading in readings] == [
        (step, span, metric)
        for step in (0, 1)
        for span in ("layer", "kernel")
        for metric in ("cold_latency_s", "flush_probe_ratio")
    ]


def test_a_flush_reads_more_than_the_cache_holds(monkeypatch):
    monkeypatch.setattr("suite.measure.cold.last_level_cache_bytes", lambda: 1 << 20)
    flush, read = cold.Flush(), []
    assert flush.filler.nbytes > 1 << 20
    flush.filler = SimpleNamespace(sum=lambda: read.append("filler"))
    flush("kernel")
    assert read == ["filler"]


def test_a_probe_that_stayed_warm_is_said():
    def probed(*ratios):
        cold = [Reading(step=0, span="kernel", metric="cold_latency_s", value=9.0) for _ in ratios]
        return cold + [Reading(step=0, span="kernel", metric="flush_probe_ratio", value=ratio) for ratio in ratios]

    assert unproven(probed(5.0, 1.0, 3.0)) is None
    assert unproven(probed(1.0, 2.0, 2.1)) is None
    assert "1.50 times" in unproven(probed(5.0, 1.0, 1.5))
    assert "1.30 times" in unproven(probed(1.3))
