"""One record in words, as a person reads them when a single case has run."""

from collections.abc import Mapping, Sequence
from typing import Any

from suite.console.summary import Summary
from suite.console.values import SPANS, Value, latency, timed_values
from suite.records import numbers
from suite.records.derived import (
    IMPRECISE,
    ceilings_of,
    constant,
    cost_per_million_tokens,
    joules_per_token,
    noted,
    operators_of,
    roofline,
    warnings_of,
)
from suite.records.machine.nvml import State
from suite.records.plain_text import one_line
from suite.records.record import Record, Status
from suite.records.stores.telemetry import gpus_of, source_states

BOUND_BY = {"compute": "arithmetic", "memory": "memory traffic"}
CLOCKS = {"thread_cpu": "thread CPU time", "wall": "wall time", "cuda_events": "device time"}
COLD = {
    "every_run": "the times above: the device's cache is flushed before every run",
    "as_warm": "no other than warm: the working set exceeds the last-level cache",
    "unknown_cache": "not timed: the system does not say how large its caches are",
    "no_memory": "not timed: too little memory is free to flush the last-level cache",
}


DISTURBED, WARNED = "~", "!"
"""Marks behind the values of a record."""
MOST_INTERRUPTED = 0.5
"""The share of a span's timings from which on context switches count as a disturbance."""
BY_OTHERS = {
    "other work was running": "other work on the CPU",
    "was throttled in": "throttling of the GPU",
    "computing on": "other processes on the GPU",
    "is shared by MPS": "other processes on the GPU",
    "also draws": "other processes on the GPU",
    "were held before": "other processes on the GPU",
}
"""Words of a warning that says who disturbed a case, and the kind that they are counted under."""


def disturbances_of(record: Record) -> list[str]:
    """Return what disturbed the timings of a record, in words; none where nothing did."""
    timed = [reading for reading in record.series("latency_s") if reading.span in SPANS]
    interrupted = [reading for reading in timed if reading.involuntary_switches]
    found = ["context switches"] if len(interrupted) > MOST_INTERRUPTED * len(timed) else []
    kinds = [kind for warning in warnings_of(record) for words, kind in BY_OTHERS.items() if words in warning]
    return found + list(dict.fromkeys(kinds))


def unchecked_of(record: Record) -> list[str]:
    """Say that only the kernel was compared with float64, if that is so."""
    said = str(record.provenance.get("layer_check"))
    return ["layer: NOT CHECKED (no definition)"] * said.startswith("none")


def other_warnings_of(record: Record) -> list[str]:
    """Return the warnings that name no disturbance, but for that of an interval that stands beside the value."""
    known = [warning for warning in warnings_of(record) if not warning.startswith(IMPRECISE)]
    return unchecked_of(record) + [warning for warning in known if not any(words in warning for words in BY_OTHERS)]


def marks_of(record: Record) -> str:
    """Return the marks that stand behind a record's values."""
    marks = DISTURBED * bool(disturbances_of(record)) + WARNED * bool(other_warnings_of(record))
    return f" {marks}" if marks else ""


def answer(record: Record, status: str, summary: Summary) -> list[str]:
    """Return lines of a name and a text. `status` is the status as it is to be shown."""
    facts = record.provenance
    reason = f": {record.reason}" if record.reason else ""
    lines = [row("status", "") + status + one_line(reason)]
    lines += [row(name, facts[name]) for name in ("shape", "mode", "match") if name in facts]
    lines += _what_ran(record)
    lines += _checks(record)
    lines += [line for span in SPANS for line in (*_timing(record, span), *_projection(record, span))]
    if "expected_by" in facts:
        lines.append(row("expected", facts["expected_by"]))
    lines += [row(name, text) for name, text in summary.lines]
    if (cold := str(facts.get("cold"))) in COLD:
        lines.append(row("cold", COLD[cold]))
    cache, mha = (constant(record, "case", metric) for metric in ("cache_bytes", "cache_bytes_mha"))
    if cache and mha:
        share = f"{numbers.percent(cache / mha)} of the {numbers.bytes_iec(mha)} that MHA keeps"
        lines.append(row("cache", f"{numbers.bytes_iec(cache)} a layer, {share}"))
    lines += _energy(record)
    if (text := watched(record)) is not None:
        lines.append(row("telemetry", text))
    lines += [row("disturbed", f"by {', '.join(causes)}") for causes in [disturbances_of(record)] if causes]
    return [*lines, *(row("warning", warning) for warning in warnings_of(record))]


def _energy(record: Record) -> Sequence[str]:
    lines = []
    for span in SPANS:
        step_j, power_w = constant(record, span, "energy_j"), constant(record, span, "energy_power_w")
        if step_j is not None and power_w is not None:
            token_j = joules_per_token(record, span)
            each = "" if token_j is None else f", {token_j:.3g} J a token"
            lines.append(row("energy", f"{span} {step_j:.3g} J a step{each}, at {power_w:.3g} W"))
    timed = latency(record, SPANS[0])
    cost = cost_per_million_tokens(record, timed.median) if timed else None
    if cost is not None:
        lines.append(row("cost", f"{cost:.3g} a million tokens through the layer, at price_per_device_hour"))
    return lines


def watched(record: Record) -> str | None:
    """Say which GPUs were watched, or why none; None where the record says nothing."""
    state, why = source_states(record).get("nvml", ("", ""))
    gpus = [f"{label} {gpu.get('name', 'without a name')} ({_use(gpu)})" for label, gpu in gpus_of(record).items()]
    text = ", ".join(gpus) if gpus else f"no GPU: not measured ({why})"
    return text if state else None


def _use(gpu: Mapping[str, Any]) -> str:
    state = "" if gpu.get("state") == State.MEASURED else f", {gpu.get('state')}"
    return ("used" if gpu.get("used") is True else "not used, charged nothing") + state


def brief(record: Record, summary: Summary) -> str:
    """Write a record's part of a line among others: its values, with a mark where a reader must know more."""
    if record.status is not Status.OK:
        return record.reason or ""
    timed = timed_values(record) or (summary.values if summary.brief is None else ())
    spans = [f"{value.title} {value.text}{_within(value)}" for value in timed]
    others = [summary.brief] if summary.brief is not None else []
    told = "   ".join([*spans, *others]) + marks_of(record)
    return "   ".join([told, *unchecked_of(record)])


def _within(value: Value) -> str:
    """Write that an interval says nothing of other launches."""
    is_of_one = value.interval is not None and value.interval.launches == 1 < value.interval.count
    return " in one launch" if is_of_one else ""


def row(name: str, text: str) -> str:
    return f"{name:<10} {one_line(str(text))}"


def _what_ran(record: Record) -> Sequence[str]:
    facts = record.provenance
    if "backend" not in facts:
        return ()
    operators = operators_of(record, "kernel")
    ran = f", whose kernel ran {', '.join(operators)}" if operators else ""
    form = f" ({facts['backend_form']})" if "backend_form" in facts else ""
    return (row("what ran", f"backend {facts['backend']}{form}{ran}"),)


def _checks(record: Record) -> Sequence[str]:
    kernel = {"": "kernel", "_dq": "dQ", "_dk": "dK", "_dv": "dV"}
    errors = [text for suffix, name in kernel.items() if (text := _error(record, "kernel", suffix, name))]
    errors += [text for text in [_error(record, "indexer", "", "indexer's choice")] if text]
    parts = (*"qkvy", "iq", "iw", "ik")
    around = [(error, part) for part in parts if (error := noted(record, "layer", f"relative_error_{part}"))]
    if around:
        errors.append(_error(record, "layer", f"_{max(around)[1]}", "around it"))
    errors += [text for text in [_error(record, "layer", "", "layer")] if text]
    quantised = noted(record, "kernel", "cache_error")
    if quantised is not None:
        errors.append(f"the quantised cache {quantised:.2g} against an unquantised one")
    errors += unchecked_of(record)
    return (row("check", f"relative error against float64: {', '.join(errors)}"),) if errors else ()


def _error(record: Record, span: str, suffix: str, name: str) -> str:
    error, allowed = (noted(record, span, metric + suffix) for metric in ("relative_error", "allowed_error"))
    return "" if error is None or allowed is None else f"{name} {error:.2g} (of {allowed:.2g} allowed)"


def _timing(record: Record, span: str) -> Sequence[str]:
    warm, cold = latency(record, span), latency(record, span, "cold_latency_s")
    if warm is None:
        return ()
    spread = f"n = {warm.count}"
    if warm.count > 1:
        across = f"over {warm.launches} launches" if warm.launches > 1 else "within one launch"
        spread = f"{warm.level:.0%} interval {numbers.seconds_range(warm.low, warm.high)} {across}, {spread}"
    clock = str(record.provenance.get("clock"))
    lines = [row(span, f"{numbers.seconds(warm.median)} median of {CLOCKS.get(clock, clock)} ({spread})")]
    share, regime = roofline(record, span, warm.median)
    ceilings, flops = ceilings_of(record, span), constant(record, span, "flops")
    traffic = constant(record, span, "traffic_bytes")
    if share is not None and ceilings and flops and traffic:
        reached = (
            f"{flops / warm.median / 1e9:.3g} of {ceilings.flops_per_s / 1e9:.3g} GFLOP/s, "
            f"{traffic / warm.median / 1e9:.3g} of {ceilings.bytes_per_s / 1e9:.3g} GB/s"
        )
        lines.append(row("", f"{numbers.percent(share)} of the roofline, bound by {BOUND_BY[regime or '']}: {reached}"))
    if cold is not None:
        slower = f"{cold.median / warm.median:.2f} times as long, n = {cold.count}"
        lines.append(row("", f"{numbers.seconds(cold.median)} with cold caches ({slower})"))
    return lines


def _projection(record: Record, span: str) -> Sequence[str]:
    bound_s, ceilings = constant(record, span, "bound_s"), ceilings_of(record, span)
    flops, traffic = constant(record, span, "flops"), constant(record, span, "traffic_bytes")
    if bound_s is None or ceilings is None or flops is None or traffic is None:
        return ()
    regime = BOUND_BY[ceilings.regime(flops=flops, traffic_bytes=traffic)]
    peaks = f"{ceilings.flops_per_s / 1e12:,.4g} TFLOP/s and {ceilings.bytes_per_s / 1e9:,.4g} GB/s"
    least = f"{numbers.seconds(bound_s)} at least, bound by {regime}: projected from {peaks}, not measured"
    return (row(span, least), *_expected(record, span))


def _expected(record: Record, span: str) -> Sequence[str]:
    """What is expected of a good kernel; the record says once by which fit."""
    expected_s, low_s, high_s = (constant(record, span, f"expected{end}_s") for end in ("", "_low", "_high"))
    if expected_s is None:
        return ()
    known = low_s is not None and high_s is not None
    ends = f"nine in ten within {numbers.seconds_range(low_s or 0, high_s or 0)}" if known else "no error is published"
    return (row("", f"{numbers.seconds(expected_s)} expected of a good kernel ({ends})"),)
