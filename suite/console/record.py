"""One record in words, as a person reads them when a single case has run."""

from collections.abc import Iterator
from statistics import median

from suite.console.summary import SPANS, Summary, latency, timed_values
from suite.machine.nvml import State
from suite.machine.plain_text import one_line
from suite.records import derived, numbers
from suite.records.metrics import DECODE
from suite.records.record import Record, Status
from suite.records.stores.telemetry import recorded_gpus, source_states

BOUND_BY = {"compute": "arithmetic", "memory": "memory traffic"}
CLOCKS = {"thread_cpu": "thread CPU time", "wall": "wall time", "cuda_events": "device time"}
COLD = {
    "every_run": "the times above are cold: the device's cache is flushed before every run",
    "as_warm": "the same as warm: the working set exceeds the last-level cache",
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
    kinds = [kind for warning in derived.run_warnings(record) for words, kind in BY_OTHERS.items() if words in warning]
    return switches + list(dict.fromkeys(kinds))


def unchecked_layer(record: Record) -> list[str]:
    """A list of one warning where only the kernel was compared with float64, else an empty one."""
    return ["layer: NOT CHECKED (no definition)"] * str(record.provenance.get("layer_check")).startswith("none")


def other_warnings(record: Record) -> list[str]:
    """Warnings that name no disturbance, without that of a wide interval, which stands beside the value."""
    told_elsewhere = (derived.IMPRECISE, *BY_OTHERS)
    warnings = [text for text in derived.run_warnings(record) if not any(words in text for words in told_elsewhere)]
    return unchecked_layer(record) + warnings


def value_marks(record: Record) -> str:
    """The marks behind a record's values with a blank before them, as ` ~!`; empty where nothing is to be marked."""
    marks = DISTURBED * bool(find_disturbances(record)) + WARNED * bool(other_warnings(record))
    return f" {marks}" if marks else ""


def row(name: str, text: str) -> str:
    """A line of a name, filled up to ten letters, and a text without line breaks."""
    return f"{name:<10} {one_line(str(text))}"


def answer(record: Record, status: str, summary: Summary) -> list[str]:
    """Every line that is shown of a single case: status, settings, checks, times, memory, energy and warnings.
    `status`: as it is to be shown, with its colour."""
    facts, reason = record.provenance, f": {record.reason}" if record.reason else ""
    lines = [(name, facts[name]) for name in ("shape", "mode", "match") if name in facts]
    if "backend" in facts:
        operators = ", ".join(derived.span_operators(record, "kernel"))
        form = f" ({facts['backend_form']})" if "backend_form" in facts else ""
        kernel = f"; operators of its kernel: {operators}" if operators else ""
        lines.append(("what ran", f"backend {facts['backend']}{form}{kernel}"))
    if errors := [*_errors(record), *unchecked_layer(record)]:
        lines.append(("check", f"relative error against float64: {', '.join(errors)}"))
    lines += [line for span in SPANS for line in (*_timing(record, span), *_projection(record, span))]
    lines += [("expected", facts["expected_by"])] if "expected_by" in facts else []
    lines += summary.lines
    lines += [("cold", COLD[cold])] if (cold := str(facts.get("cold"))) in COLD else []
    cache, mha = (derived.constant(record, "case", metric) for metric in ("cache_bytes", "cache_bytes_mha"))
    lines += [("cache", _beside_mha(cache, mha, "per layer"))] if cache and mha else []
    lines += _energy(record)
    lines += [("telemetry", text) for text in [watched(record)] if text is not None]
    lines += [("disturbed", f"by {', '.join(causes)}") for causes in [find_disturbances(record)] if causes]
    lines += [("warning", warning) for warning in derived.run_warnings(record)]
    return [row("status", "") + status + one_line(reason), *(row(name, text) for name, text in lines)]


def decode_cost(record: Record) -> list[tuple[str, str]]:
    """Lines of the cache per token and the decode time of a trained decoder; none for what the record does not have."""
    lines = []
    cache, mha = (derived.constant(record, "case", f"cache_bytes_per_token{of}") for of in ("", "_mha"))
    if cache is not None and mha is not None:
        lines.append(("cache", _beside_mha(cache, mha, "per token")))
    times_s = [reading.value for reading in record.series("latency_s", DECODE)]
    behind = record.settings.get("decode_len")
    if times_s and isinstance(behind, int):
        time = f"{numbers.seconds(median(times_s))} per token after {numbers.count(behind)} tokens, n = {len(times_s)}"
        lines.append(("decode", time))
    return lines


def _beside_mha(cache: float, mha: float, each: str) -> str:
    share = f"{numbers.percent(cache / mha)} of MHA's {numbers.bytes_iec(mha)}"
    return f"{numbers.bytes_iec(cache)} {each}, {share}"


def _errors(record: Record) -> Iterator[str]:
    """Yield the error of each checked part with its limit, and that of a quantised cache without one."""
    around = [(error, part) for part in AROUND if (error := derived.noted(record, "layer", f"relative_error_{part}"))]
    worst = [("layer", f"_{max(around)[1]}", "rest of the layer")] if around else []
    for span, suffix, name in (*CHECKED, *worst, ("layer", "", "layer")):
        error, allowed = (
            derived.noted(record, span, metric + suffix) for metric in ("relative_error", "allowed_error")
        )
        if error is not None and allowed is not None:
            yield f"{name} {error:.2g} (limit {allowed:.2g})"
    if (quantised := derived.noted(record, "kernel", "cache_error")) is not None:
        yield f"quantised cache {quantised:.2g} (compared with an unquantised one)"


def _timing(record: Record, span: str) -> Iterator[tuple[str, str]]:
    """Yield a span's median with its interval, its share of the roofline and its cold time, as far as it was timed."""
    warm, cold = latency(record, span), latency(record, span, "cold_latency_s")
    if warm is None:
        return
    spread, clock = f"n = {warm.count}", str(record.provenance.get("clock"))
    if warm.count > 1:
        across = f"over {warm.launches} launches" if warm.launches > 1 else "within one launch"
        spread = f"{warm.level:.0%} interval {numbers.seconds_range(warm.low, warm.high)} {across}, {spread}"
    yield span, f"{numbers.seconds(warm.median)} median of {CLOCKS.get(clock, clock)} ({spread})"
    share, regime = derived.roofline(record, span, warm.median)
    ceilings, flops = derived.measured_ceilings(record, span), derived.constant(record, span, "flops")
    traffic = derived.constant(record, span, "traffic_bytes")
    if share is not None and ceilings and flops and traffic:
        reached = (
            f"{flops / warm.median / 1e9:.3g} of {ceilings.flops_per_s / 1e9:.3g} GFLOP/s, "
            f"{traffic / warm.median / 1e9:.3g} of {ceilings.bytes_per_s / 1e9:.3g} GB/s"
        )
        yield "", f"{numbers.percent(share)} of the roofline, bound by {BOUND_BY[regime or '']}: {reached}"
    if cold is not None:
        slower = f"{cold.median / warm.median:.2f}× the time above, n = {cold.count}"
        yield "", f"{numbers.seconds(cold.median)} with cold caches ({slower})"


def _projection(record: Record, span: str) -> Iterator[tuple[str, str]]:
    """Yield a span's projected bound, and its expected time if there is one; nothing if it was not projected."""
    bound_s, ceilings = derived.constant(record, span, "bound_s"), derived.measured_ceilings(record, span)
    flops, traffic = derived.constant(record, span, "flops"), derived.constant(record, span, "traffic_bytes")
    if bound_s is None or ceilings is None or flops is None or traffic is None:
        return
    regime = BOUND_BY[ceilings.regime(flops=flops, traffic_bytes=traffic)]
    peaks = f"{ceilings.flops_per_s / 1e12:,.4g} TFLOP/s and {ceilings.bytes_per_s / 1e9:,.4g} GB/s"
    yield span, f"at least {numbers.seconds(bound_s)}, bound by {regime}: computed from {peaks}, not measured"
    expected_s, low_s, high_s = (derived.constant(record, span, f"expected{end}_s") for end in ("", "_low", "_high"))
    if expected_s is not None:
        ends = "its error is not known"
        if low_s is not None and high_s is not None:
            ends = f"nine in ten within {numbers.seconds_range(low_s, high_s)}"
        yield "", f"{numbers.seconds(expected_s)} expected of a good kernel ({ends})"


def _energy(record: Record) -> Iterator[tuple[str, str]]:
    """Yield the measured energy of each span per step, and the cost of a million tokens."""
    for span in SPANS:
        step_j, power_w = derived.constant(record, span, "energy_j"), derived.constant(record, span, "energy_power_w")
        if step_j is not None and power_w is not None:
            token_j = derived.joules_per_token(record, span)
            each = "" if token_j is None else f", {token_j:.3g} J per token"
            yield "energy", f"{span} {step_j:.3g} J per step{each}, at {power_w:.3g} W"
    timed = latency(record, SPANS[0])
    cost = derived.cost_per_million_tokens(record, timed.median) if timed else None
    if cost is not None:
        yield "cost", f"{cost:.3g} per million tokens through the layer, by price_per_device_hour"


def watched(record: Record) -> str | None:
    """A text of the GPUs that telemetry watched, or why it watched none; None where the record says nothing."""
    state, why = source_states(record).get("nvml", ("", ""))
    gpus = []
    for label, gpu in recorded_gpus(record).items():
        measured = "" if gpu.get("state") == State.MEASURED else f", {gpu.get('state')}"
        use = "used" if gpu.get("used") is True else "not used by the case"
        gpus.append(f"{label} {gpu.get('name', 'without a name')} ({use}{measured})")
    text = ", ".join(gpus) if gpus else f"no GPU was measured ({why})"
    return text if state else None


def brief(record: Record, summary: Summary) -> str:
    """A record's part of a line among others: its values with their marks, or the reason why it is not ok."""
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
