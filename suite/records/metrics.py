"""What each metric is called, its unit and which way is better. Report axes and gate directions come from here."""

from suite.records.metric import Better, Metric
from suite.records.quality_metrics import QUALITY_METRICS
from suite.records.rl_metrics import RL_METRICS


def _metric(name: str, unit: str, label: str, better: Better, *, exact: bool = False) -> Metric:
    return Metric(name=name, unit=unit, label=label, better=better, exact=exact)


METRICS = {
    metric.name: metric
    for metric in (
        _metric("latency_s", "s", "Latency", Better.LOWER),
        _metric("flops", "FLOP", "Useful FLOPs", Better.LOWER, exact=True),
        _metric("traffic_bytes", "B", "Least memory traffic", Better.LOWER, exact=True),
        _metric("cache_bytes", "B", "KV cache of one layer", Better.LOWER, exact=True),
        _metric("cache_bytes_counted", "B", "KV cache of one layer, counted on the tensors", Better.LOWER, exact=True),
        _metric("cache_bytes_mha", "B", "KV cache of one layer under MHA", Better.NEITHER, exact=True),
        _metric("parameter_count", "", "Parameters of one layer", Better.NEITHER, exact=True),
        _metric("peak_bytes", "B", "Allocator peak above what was allocated before", Better.LOWER, exact=True),
        _metric("match_residual", "", "Share by which match=params or match=cache misses", Better.NEITHER, exact=True),
        _metric("flops_with_recomputation", "FLOP", "FLOPs if scores are computed again", Better.NEITHER, exact=True),
        _metric("cold_latency_s", "s", "Latency after the caches were flushed", Better.LOWER),
        _metric("flush_probe_ratio", "", "Time to read a small probe after a flush, over warm", Better.NEITHER),
        _metric("bound_s", "s", "Least time at the specification's ceilings", Better.LOWER, exact=True),
        _metric("relative_error", "", "Relative Frobenius error against float64", Better.LOWER),
        _metric("allowed_error", "", "Largest error that passes", Better.NEITHER),
        *(
            metric
            for of, whose in (
                *(("q", "the layer's queries"), ("k", "the layer's keys"), ("v", "the layer's values")),
                *(("y", "the layer's output"), ("scale", "the layer's factor on the scores")),
                *(("dq", "the queries' gradient"), ("dk", "the keys' gradient"), ("dv", "the values' gradient")),
            )
            for metric in (
                _metric(f"relative_error_{of}", "", f"The same of {whose}", Better.LOWER),
                _metric(f"allowed_error_{of}", "", "Largest error of it that passes", Better.NEITHER),
            )
        ),
        _metric("tokens", "", "New tokens of one step", Better.NEITHER, exact=True),
        _metric("energy_j", "J", "Energy of one step, by the difference of a counter", Better.LOWER),
        _metric("energy_power_w", "W", "Mean power while the energy was taken", Better.NEITHER),
        _metric("energy_window_s", "s", "Time over which the energy was taken", Better.NEITHER),
        _metric("ceiling_flops_per_s", "FLOP/s", "Arithmetic ceiling", Better.HIGHER),
        _metric("ceiling_bytes_per_s", "B/s", "Memory ceiling at this working set", Better.HIGHER),
        *RL_METRICS,
        *QUALITY_METRICS,
    )
}
