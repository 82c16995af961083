"""One decode step of a whole model, as a terminal shows it."""

from suite.console.summary import Cost, HeadlineValue, Summary, latency
from suite.records import numbers
from suite.records.derived import constant, noted
from suite.records.record import Record
from suite.theory.layers.decode_plan import ATTENTION, HEAD, KERNEL, MLP, SPANS, STEP


def summary(record: Record) -> Summary:
    """The step's time and tokens a second, the share of each part in it, and what its parts come to together."""
    medians = {span: interval for span in SPANS if (interval := latency(record, span)) is not None}
    tokens, step = constant(record, "case", "tokens"), medians.get(STEP)
    if step is None or tokens is None or len(medians) < len(SPANS):
        return Summary()
    whole_s = step.median

    def share(span: str) -> str:
        """`1.23 ms, 45% of the step`"""
        return f"{numbers.seconds(medians[span].median)}, {numbers.percent(medians[span].median / whole_s)} of the step"

    error, allowed = (noted(record, STEP, name) for name in ("relative_error_y", "allowed_error_y"))
    parts_s = sum(medians[span].median for span in (ATTENTION, MLP, HEAD))
    lines = [
        ("step", f"{numbers.seconds(whole_s)}, {numbers.count(tokens / whole_s)} tokens per second"),
        ("attention", f"{share(ATTENTION)}; its kernels {share(KERNEL)}"),
        ("rest", f"MLPs {share(MLP)}; head {share(HEAD)}"),
        ("parts", f"timed alone come to {numbers.percent(parts_s / whole_s)} of the step"),
        ("logits", f"relative error against float64: {error:.2g} (limit {allowed:.2g})"),
    ]
    values = [
        HeadlineValue("step_latency_s", "step", whole_s, numbers.seconds, step),
        HeadlineValue("tokens_per_s", "tokens/s", tokens / whole_s, numbers.count),
        HeadlineValue("attention_share", "attention", medians[ATTENTION].median / whole_s, numbers.percent),
    ]
    return Summary(lines=lines, values=values, cost=Cost(number=whole_s, interval=step))
