"""Which run a row is about, and on which device: what tables and figures of telemetry share."""

from suite.records import numbers
from suite.records.record import Record
from suite.report.blocks import Column, Kind, Text, cell, joined, say, say_or
from suite.report.palette import rank, shown
from suite.report.rl_palette import shown_algorithm
from suite.report.timings import MOST_TOKENS, axis, extras
from suite.report.watched import CPU, Watched, cut

OF_TRAINING = ("algorithm", "task", "policy", "steps", "prompts_per_step", "num_generations", "seed")


def device_name(run: Watched, device: str) -> Text:
    """By its own name where the record has it: gpu0 · NVIDIA H100."""
    cpu = cut(run.current.record.environment.get("cpu")) if device == CPU else ""
    named = run.name_of(device) or cpu
    return joined(" · ", filter(None, [device, named]))


def run_cells(record: Record) -> list[str]:
    """Which run a row is about."""
    phase = axis(record, "phase")
    return [
        axis(record, "geometry") or numbers.NOTHING,
        shown(axis(record, "attention")) or numbers.NOTHING,
        say_or(f"phase.{phase}", phase) or numbers.NOTHING,
        cell(tokens_of(record), numbers.count),
    ]


def run_columns() -> list[Column]:
    return [
        Column(title=say("column.geometry")),
        Column(title=say("column.variant"), facet="variant"),
        Column(title=say("column.phase")),
        Column(title=say("latency.context"), kind=Kind.NUMBER),
    ]


def run_name(record: Record) -> list[Text]:
    """The same in a figure, without the variant: model, phase, context; of a training run its algorithm and seed."""
    algorithm = axis(record, "algorithm")
    if algorithm:
        about = say("rl.run", algorithm=shown_algorithm(algorithm), seed=axis(record, "seed") or numbers.NOTHING)
        return [part for part in (axis(record, "task"), about) if part]
    phase, tokens = axis(record, "phase"), tokens_of(record)
    context = say("callstyle.tokens", tokens=numbers.count(tokens)) if tokens is not None else ""
    return [part for part in (axis(record, "geometry"), say_or(f"phase.{phase}", phase), context) if part]


def tokens_of(record: Record) -> int | None:
    context = record.case.axes.get("seq_len")
    return context if isinstance(context, int) and 0 < context < MOST_TOKENS else None


def settings_cell(record: Record) -> str:
    """What else tells runs apart."""
    parts = [axis(record, "dtype"), str(record.provenance.get("backend") or axis(record, "backend")), *extras(record)]
    # What tells training runs apart stands in no other column.
    parts += [f"{name}={axis(record, name)}" for name in OF_TRAINING if axis(record, name)]
    return ", ".join(filter(None, parts))


def run_order(run: Watched) -> tuple[object, ...]:
    """As tables list runs: by label and kind of case, then as latencies are listed."""
    record = run.current.record
    names = (run.current.label, axis(record, "geometry"), axis(record, "phase"))
    return (*names, tokens_of(record) or 0, rank(axis(record, "attention")))
