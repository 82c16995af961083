"""One record in words, as a person reads them when a single case has run."""

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from suite.console.summary import SPANS, Summary, latency, timed_values
from suite.records import numbers
from suite.records.derived import (
    IMPRECISE,
    constant,
    cost_per_million_tokens,
    joules_per_token,
    measured_ceilings,
    noted,
    roofline,
    run_warnings,
    span_operators,
)
from suite.records.machine.nvml import State
from suite.records.metrics import DECODE
from suite.records.plain_text import one_line
from suite.records.record import Record, Status
from suite.records.stores.telemetry import recorded_gpus, source_states

BOUND_BY = {"compute": "arithmetic", "memory": "memory traffic"}
CLOCKS = {"thread_cpu": "thread CPU time", "wall": "wall time", "cuda_events": "device time"}
COLD = {
    "every_run": "the times above: the device's cache is flushed before every run",
    "as_warm": "no other than warm: the working set exceeds the last-level cache",
    "unknown_cache": "not timed: the system does not say how large its caches are",
    "no_memory": "not timed: too little memory is free to flush the last-level cache",
}
CHECKED = (
    *(("kernel", suffix, name) for suffix, name in (("", "kernel"), ("_dq", "dQ"), ("_dk", "dK"), ("_dv", "dV"))),
    ("indexer", "", "indexer's choice"),
)
# Parts of the layer around the kernel, of which the worst error is shown.
AROUND = (*"qkvy", "iq", "iw", "ik")
# Marks behind the values of a record.
DISTURBED, WARNED = "~", "!"
# The share of a span's timings from which on context switches count as a disturbance.
MOST_INTERRUPTED = 0.5
# Words of a warning that says who disturbed a case, and the kind that they are counted under.
BY_OTHERS = {
    "other work was running": "other work on the CPU",
    "was throttled in": "throttling of the GPU",
    "computing on": "other processes on the GPU",
    "is shared by MPS": "other processes on the GPU",
    "also draws": "other processes on the GPU",
    "were held before": "other processes on the GPU",
}


def find_disturbances(record: Record) -> list[str]:
    """What disturbed the timings of a record, in words; none where nothing did."""
    timed = [reading for reading in record.series("latency_s") if reading.span in SPANS]
    interrupted = [reading for reading in timed if reading.involuntary_switches]
    switches = ["context switches"] if len(interrupted) > MOST_INTERRUPTED * len(timed) else []
    kinds = [kind for warning in run_warnings(record) for words, kind in BY_OTHERS.items() if words in warning]
    return switches + list(dict.fromkeys(kinds))


def unchecked_layer(record: Record) -> list[str]:
    """A warning, where only the kernel was compared with float64."""
    return ["layer: NOT CHECKED (no definition)"] * str(record.provenance.get("layer_check")).startswith("none")


def other_warnings(record: Record) -> list[str]:
    """The warnings that name no disturbance, but for that of an interval that stands beside the value."""
    told_elsewhere = (IMPRECISE, *BY_OTHERS)
    warnings = [text for text in run_warnings(record) if not any(words in text for words in told_elsewhere)]
    return unchecked_layer(record) + warnings


def value_marks(record: Record) -> str:
    """The marks that stand behind a record's values."""
    marks = DISTURBED * bool(find_disturbances(record)) + WARNED * bool(other_warnings(record))
    return f" {marks}" if marks else ""


def row(name: str, text: str) -> str:
    return f"{name:<10} {one_line(str(text))}"


def answer(record: Record, status: str, summary: Summary) -> list[str]:
    """Lines of a name and a text. `status`: as it is to be shown, with its colour."""
    facts, reason = record.provenance, f": {record.reason}" if record.reason else ""
    lines = [(name, facts[name]) for name in ("shape", "mode", "match") if name in facts]
    if "backend" in facts:
        operators = ", ".join(span_operators(record, "kernel"))
        form = f" ({facts['backend_form']})" if "backend_form" in facts else ""
        kernel = f", whose kernel ran {operators}" if operators else ""
        lines.append(("what ran", f"backend {facts['backend']}{form}{kernel}"))
    if errors := [*_errors(record), *unchecked_layer(record)]:
        lines.append(("check", f"relative error against float64: {', '.join(errors)}"))
    lines += [line for span in SPANS for line in (*_timing(record, span), *_projection(record, span))]
    lines += [("expected", facts["expected_by"])] if "expected_by" in facts else []
    lines += summary.lines
    lines += [("cold", COLD[cold])] if (cold := str(facts.get("cold"))) in COLD else []
    cache, mha = (constant(record, "case", metric) for metric in ("cache_bytes", "cache_bytes_mha"))
    lines += [("cache", _beside_mha(cache, mha, "a layer"))] if cache and mha else []
    lines += _energy(record)
    lines += [("telemetry", text) for text in [watched(record)] if text is not None]
    lines += [("disturbed", f"by {', '.join(causes)}") for causes in [find_disturbances(record)] if causes]
    lines += [("warning", warning) for warning in run_warnings(record)]
    return [row("status", "") + status + one_line(reason), *(row(name, text) for name, text in lines)]


def decode_cost(record: Record) -> list[tuple[str, str]]:
    """The cache and the time of a token in a trained decoder; none of what a record does not say."""
    lines = []
    cache, mha = (constant(record, "case", f"cache_bytes_per_token{of}") for of in ("", "_mha"))
    if cache is not None and mha is not None:
        lines.append(("cache", _beside_mha(cache, mha, "a token")))
    times_s = [reading.value for reading in record.series("latency_s", DECODE)]
    behind = record.settings.get("decode_len")
    if times_s and isinstance(behind, int):
        time = f"{numbers.seconds(median(times_s))} a token behind {numbers.count(behind)}, n = {len(times_s)}"
        lines.append(("decode", time))
    return lines


def _beside_mha(cache: float, mha: float, each: str) -> str:
    share = f"{numbers.percent(cache / mha)} of the {numbers.bytes_iec(mha)} that MHA keeps"
    return f"{numbers.bytes_iec(cache)} {each}, {share}"


def _errors(record: Record) -> Iterator[str]:
    around = [(error, part) for part in AROUND if (error := noted(record, "layer", f"relative_error_{part}"))]
    worst = [("layer", f"_{max(around)[1]}", "around it")] if around else []
    for span, suffix, name in (*CHECKED, *worst, ("layer", "", "layer")):
        error, allowed = (noted(record, span, metric + suffix) for metric in ("relative_error", "allowed_error"))
        if error is not None and allowed is not None:
            yield f"{name} {error:.2g} (of {allowed:.2g} allowed)"
    if (quantised := noted(record, "kernel", "cache_error")) is not None:
        yield f"the quantised cache {quantised:.2g} against an unquantised one"


def _timing(record: Record, span: str) -> Iterator[tuple[str, str]]:
    warm, cold = latency(record, span), latency(record, span, "cold_latency_s")
    if warm is None:
        return
    spread, clock = f"n = {warm.count}", str(record.provenance.get("clock"))
    if warm.count > 1:
        across = f"over {warm.launches} launches" if warm.launches > 1 else "within one launch"
        spread = f"{warm.level:.0%} interval {numbers.seconds_range(warm.low, warm.high)} {across}, {spread}"
    yield span, f"{numbers.seconds(warm.median)} median of {CLOCKS.get(clock, clock)} ({spread})"
    share, regime = roofline(record, span, warm.median)
    ceilings, flops = measured_ceilings(record, span), constant(record, span, "flops")
    traffic = constant(record, span, "traffic_bytes")
    if share is not None and ceilings and flops and traffic:
        reached = (
            f"{flops / warm.median / 1e9:.3g} of {ceilings.flops_per_s / 1e9:.3g} GFLOP/s, "
            f"{traffic / warm.median / 1e9:.3g} of {ceilings.bytes_per_s / 1e9:.3g} GB/s"
        )
        yield "", f"{numbers.percent(share)} of the roofline, bound by {BOUND_BY[regime or '']}: {reached}"
    if cold is not None:
        slower = f"{cold.median / warm.median:.2f} times as long, n = {cold.count}"
        yield "", f"{numbers.seconds(cold.median)} with cold caches ({slower})"


def _projection(record: Record, span: str) -> Iterator[tuple[str, str]]:
    bound_s, ceilings = constant(record, span, "bound_s"), measured_ceilings(record, span)
    flops, traffic = constant(record, span, "flops"), constant(record, span, "traffic_bytes")
    if bound_s is None or ceilings is None or flops is None or traffic is None:
        return
    regime = BOUND_BY[ceilings.regime(flops=flops, traffic_bytes=traffic)]
    peaks = f"{ceilings.flops_per_s / 1e12:,.4g} TFLOP/s and {ceilings.bytes_per_s / 1e9:,.4g} GB/s"
    yield span, f"{numbers.seconds(bound_s)} at least, bound by {regime}: projected from {peaks}, not measured"
    expected_s, low_s, high_s = (constant(record, span, f"expected{end}_s") for end in ("", "_low", "_high"))
    if expected_s is not None:
        ends = "no error is published"
        if low_s is not None and high_s is not None:
            ends = f"nine in ten within {numbers.seconds_range(low_s, high_s)}"
        yield "", f"{numbers.seconds(expected_s)} expected of a good kernel ({ends})"


def _energy(record: Record) -> Iterator[tuple[str, str]]:
    for span in SPANS:
        step_j, power_w = constant(record, span, "energy_j"), constant(record, span, "energy_power_w")
        if step_j is not None and power_w is not None:
            token_j = joules_per_token(record, span)
            each = "" if token_j is None else f", {token_j:.3g} J a token"
            yield "energy", f"{span} {step_j:.3g} J a step{each}, at {power_w:.3g} W"
    timed = latency(record, SPANS[0])
    cost = cost_per_million_tokens(record, timed.median) if timed else None
    if cost is not None:
        yield "cost", f"{cost:.3g} a million tokens through the layer, at price_per_device_hour"


def watched(record: Record) -> str | None:
    """Which GPUs were watched, or why none; None where the record says nothing."""
    state, why = source_states(record).get("nvml", ("", ""))
    gpus = [
        f"{label} {gpu.get('name', 'without a name')} ({_use(gpu)})" for label, gpu in recorded_gpus(record).items()
    ]
    text = ", ".join(gpus) if gpus else f"no GPU: not measured ({why})"
    return text if state else None


def _use(gpu: Mapping[str, Any]) -> str:
    state = "" if gpu.get("state") == State.MEASURED else f", {gpu.get('state')}"
    return ("used" if gpu.get("used") is True else "not used, charged nothing") + state


def brief(record: Record, summary: Summary) -> str:
    """A record's part of a line among others: its values, with a mark where a reader must know more."""
    if record.status is not Status.OK:
        return record.reason or ""
    timed = timed_values(record) or (summary.values if summary.brief is None else ())
    texts = []
    for value in timed:
        # Such an interval says nothing of other launches.
        is_of_one_launch = value.interval is not None and value.interval.launches == 1 < value.interval.count
        texts.append(f"{value.labelled}{' in one launch' * is_of_one_launch}")
    texts += [] if summary.brief is None else [summary.brief]
    return "   ".join(["   ".join(texts) + value_marks(record), *unchecked_layer(record)])
