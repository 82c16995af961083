"""How much of a whole model's decode step is attention: measured steps, and shares of bytes for published models."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter

from suite.configuration.files import read_choice
from suite.records import numbers
from suite.records.derived import by_launch
from suite.report.blocks import Figure, Headline, Kind, Section, Text, View, dotted, joined, say, section
from suite.report.model.experiment import grouped
from suite.report.model.labels import variant_label, variant_style
from suite.report.model.results import Results
from suite.report.model.run import Pairs, Run, context_tokens
from suite.report.plot.plots import HEIGHT_PX, Point, Series, plot, shares, token_axis
from suite.report.table import Column, column, label_column, part_columns, table
from suite.statistics.intervals import Interval, launched_interval
from suite.theory.answers.capacity import SharedModel
from suite.theory.layers.decode_plan import ATTENTION, HEAD, KERNEL, MLP, SPANS, STEP
from suite.theory.layers.parallel import Layout

SETTINGS = ("geometry", "layers", "checkpoint", "batch", "query_len", "dtype", "device", "threads")  # of one figure
MODELS = ("llama-3.2-1b", "llama-3.1-8b", "llama-3.1-70b", "qwen3-32b", "deepseek-v2-lite", "deepseek-v3")
CONTEXTS, BATCHES = (1024, 8192, 32_768, 131_072), (1, 32)


@dataclass(frozen=True, kw_only=True, eq=False)
class StepRun(Run):
    """A record of workload=decode."""

    @cached_property
    def times(self) -> dict[str, Interval]:
        """The median time of every span with its interval over launches."""
        timed = {span: by_launch(self.record.series("latency_s", span)) for span in SPANS}
        return {span: launched_interval(launches) for span, launches in timed.items() if launches}

    @property
    def ended(self) -> bool:
        return self.is_ok and len(self.times) == len(SPANS) and context_tokens(self.record) is not None

    @property
    def tokens(self) -> int:
        return context_tokens(self.record) or 0

    @property
    def name(self) -> Text:
        return variant_label(self.axis("attention"))

    def share(self, *spans: str) -> float:
        """What these spans take of the step's time, each timed alone."""
        return sum(self.times[span].median for span in spans) / self.times[STEP].median

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return (self.constant("tokens") or 0) / self.times[STEP].median

    @property
    def shared_settings(self) -> Pairs:
        return (("label", self.label), *((name, self.axis(name)) for name in SETTINGS if self.axis(name)))


def build(results: Results) -> Section | None:
    """Build the section from records of workload=decode; without any from closed forms alone."""
    records = [current for current in results.records if current.record.case.workload == "decode"]
    runs = [run for run in (StepRun(current=current) for current in records) if run.ended]
    runs.sort(key=lambda run: (run.shared_settings, run.axis("attention"), run.tokens))
    groups = grouped(runs, lambda run: run.shared_settings)
    return section(
        "whole_step",
        explanation=say("whole_step.explanation"),
        figures=[_figure(settings, group) for settings, group in groups.items()],
        tables=[
            table(
                say("whole_step.table"), runs, [*COLUMNS, *label_column(results.several)], note=say("whole_step.note")
            ),
            table(say("whole_step.models"), projected_shares(), PROJECTED, note=say("whole_step.models_note")),
        ],
        headlines=[Headline(text=_finding(group)) for group in groups.values()],
    )


def _figure(settings: Pairs, runs: Sequence[StepRun]) -> Figure:
    """The share of attention in the step over the context, a line a variant and backend."""
    series = []
    lines = grouped(runs, lambda run: (run.axis("attention"), run.axis("backend")))
    for (variant, backend), line in lines.items():
        is_alone = sum(name == variant for name, _ in lines) == 1
        points = []
        for run in line:
            parts = {span: numbers.percent(run.share(span)) for span in (ATTENTION, KERNEL, MLP, HEAD)}
            step, rate = numbers.seconds(run.times[STEP].median), numbers.count(run.rate)
            hover = say("whole_step.hover", step=step, rate=rate, **parts)
            points.append(Point(x=run.tokens, y=run.share(ATTENTION), hover=hover, runs=[run.record.run_key]))
        name = variant_label(variant) if is_alone else dotted(variant_label(variant), backend)
        series.append(Series(name=name, points=points, style=variant_style(variant), mode="lines+markers"))
    subject = dict(settings)
    return Figure(
        title=say("whole_step.figure"),
        family=say("whole_step.figure"),
        finding=_finding(runs),
        caption=say("whole_step.caption"),
        settings=dotted(*(_setting(name, value) for name, value in settings if name != "label")),
        facets={name: subject[name] for name in ("label", "geometry", "dtype", "batch") if name in subject},
        views=[
            View(
                title="",
                figure=plot(
                    series,
                    xaxis=token_axis(say("whole_step.context"), [run.tokens for run in runs]),
                    yaxis=shares(say("whole_step.axis"), range=[0, 1]),
                ),
            )
        ],
        height_px=HEIGHT_PX,
    )


def _setting(name: str, value: str) -> Text:
    """`batch 8`, `32 layers` and the like; a value that says itself what it is stands alone."""
    return (
        say(f"whole_step.setting.{name}", value=value) if name in ("layers", "batch", "query_len", "threads") else value
    )


def _finding(runs: Sequence[StepRun]) -> Text:
    """The least and the largest share of attention at the longest context, of each variant by its fastest backend."""
    longest = max(run.tokens for run in runs)
    by_variant = grouped((run for run in runs if run.tokens == longest), lambda run: run.axis("attention"))
    fastest = [max(there, key=lambda run: run.rate) for there in by_variant.values()]
    low, high = (choose(fastest, key=lambda run: run.share(ATTENTION)) for choose in (min, max))
    ends = [low] if low is high else [low, high]
    return say(
        "whole_step.finding",
        tokens=numbers.count(longest),
        dtype=low.axis("dtype"),
        batch=runs[0].axis("batch"),
        shares=joined(
            "–", [say("whole_step.of", variant=run.name, share=numbers.percent(run.share(ATTENTION))) for run in ends]
        ),
    )


ProjectedShares = tuple[str, int, dict[int, float]]
"""A published model, a batch, and by context the share of attention, its weights and cache, in the bytes of a step."""


def projected_shares() -> list[ProjectedShares]:
    """By closed form, for bfloat16 weights and caches on one device however large."""
    rows = []
    for name in MODELS:
        settings = read_choice("geometry", name)
        model = SharedModel(settings, layout=Layout(tp=1), weights="bfloat16")
        for batch in BATCHES:
            share = {
                tokens: model.attention_bytes(batch, 1, tokens) / model.step(batch, 1, tokens).traffic_bytes
                for tokens in CONTEXTS
            }
            rows.append((name, batch, share))
    return rows


COLUMNS: list[Column[StepRun]] = [
    column("column.geometry", lambda run: run.axis("geometry"), facet="geometry"),
    column("column.variant", lambda run: run.name),
    column("whole_step.context", lambda run: run.tokens, numbers.count),
    column("column.batch", lambda run: run.axis("batch"), kind=Kind.NUMBER),
    column("column.dtype", lambda run: run.axis("dtype"), facet="dtype"),
    column("column.backend", lambda run: run.record.provenance.get("backend") or run.axis("backend")),
    column("whole_step.step", lambda run: run.times[STEP].median, numbers.seconds),
    column("whole_step.rate", lambda run: run.rate, numbers.count),
    column("whole_step.attention", lambda run: run.share(ATTENTION), numbers.percent),
    column("whole_step.kernel", lambda run: run.share(KERNEL), numbers.percent),
    column("whole_step.mlp", lambda run: run.share(MLP), numbers.percent),
    column("whole_step.head", lambda run: run.share(HEAD), numbers.percent),
    column("whole_step.parts", lambda run: run.share(ATTENTION, MLP, HEAD), numbers.percent),
]
SHARES: list[Column[dict[int, float]]] = [
    column(say("whole_step.at", tokens=numbers.count(tokens)), itemgetter(tokens), numbers.percent)
    for tokens in CONTEXTS
]
PROJECTED: list[Column[ProjectedShares]] = [
    column("column.geometry", lambda row: row[0]),
    column("column.batch", lambda row: row[1], numbers.count),
    *part_columns(lambda row: row[2], SHARES),
]
