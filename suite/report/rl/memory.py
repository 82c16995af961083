"""Memory of a step of reinforcement learning: by owner and kind, the saving of GRPO over PPO, the GPUs that hold it.

Most of it is projected, for models that no machine at hand can train; what was measured says so in its title and its
column, and stands over the projection of the same model where there is one. Published figures stand beside the
projection of ours that is most like them.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from suite.records import holdings, numbers
from suite.records.derived import noted
from suite.records.holdings import KINDS, NOBODY, OTHER, OWNERS
from suite.records.labels import differing
from suite.records.metrics import PHASES
from suite.report.blocks import Figure, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.model import labels
from suite.report.model.experiment import drop_settings, grouped
from suite.report.model.labels import ALGORITHM, setting_text
from suite.report.model.results import Results
from suite.report.model.run import parse_number
from suite.report.plot import rows as by_row
from suite.report.plot.plots import LEGEND_ROW_PX, Point, byte_steps, linear, ticked
from suite.report.plot.rows import bars, stacked
from suite.report.rl import memory_design as design
from suite.report.rl.memory_design import TITLED, MemoryArm, MemoryExperiment, Part, Saving, settings_in_words
from suite.report.table import Column, column, label_column, part_columns, table
from suite.theory.answers.published import NEEDS, SAVING, PublishedMemory, published_memory

R = TypeVar("R")
STRIPS = dict(zip(OWNERS, ("#57606a", "#afb8c1", "#818b98", "#c8d1da", "#6e7781"), strict=True))
"""Greys that differ from their neighbours'."""
LOOKS = {
    holdings.PARAMETERS: (labels.BLUE, ""),
    holdings.GRADIENTS: (labels.SKY, "/"),
    holdings.OPTIMISER: (labels.GREEN, "x"),
    holdings.OPTIMISER_TEMPORARIES: (labels.GREEN, "-"),
    holdings.ACTIVATIONS: (labels.ORANGE, "."),
    holdings.LOGITS: (labels.VERMILION, "\\"),
    holdings.KV_CACHE: (labels.PURPLE, "|"),
    holdings.EXPERIENCE: (labels.SKY, "+"),
    holdings.GATHERED: (labels.BLUE, "+"),
    OTHER: ("#8c959f", ""),
}
"""Colour and pattern of a kind."""
FRAME_PX, ROW_PX, NAME_SHIFT_PX = 110, 78, 26
# Heights of the bar and of the strip below it, and the distance of their middles, in rows.
BAR, STRIP, STRIP_DOWN = 0.34, 0.24, 0.31
LEAST_SHARE = 0.005  # of the longest bar: smaller parts are drawn as one
COUNT_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))
GPUS_GB = (24, 48, 80, 141)
ANY = "any"  # in a published figure's settings: whatever is given


def build(results: Results) -> Section | None:
    """The section on the memory of a step, projected and measured; None without either."""
    experiments = design.memory_experiments(results)
    if not experiments:
        return None
    savings = design.savings(experiments)
    arms = [arm for experiment in experiments for arm in experiment.arms]
    lay_out = partial(_table, has_labels=results.several)
    return section(
        "rl_memory",
        figures=[_figure(experiment, experiments) for experiment in design.experiments_to_draw(experiments)],
        tables=[
            _fits_table(arms, lay_out),
            _savings_table(savings, lay_out),
            _published_table(arms, savings),
            _peaks_table(arms, lay_out),
        ],
    )


def _figure(experiment: MemoryExperiment, experiments: Sequence[MemoryExperiment]) -> Figure:
    """The figure of what an experiment's arms hold at the peak of a step, with a view for the peak of each phase."""
    arms, first = experiment.arms, experiment.arms[0].first
    phases = list(dict.fromkeys(phase for arm in arms for phase in arm.first.phases))
    kinds = {kind for arm in arms for phase in arm.first.phases.values() for _, kind in phase.parts}
    views = [View(title=say("rl_memory.peak"), figure=_stacks(arms))]
    if len(phases) > 1:
        views += [View(title=say(f"rl.phase.{phase}"), figure=_stacks(arms, phase)) for phase in phases]
    differing_names = differing([each.key for each in experiments if each.arms[0].first.model == first.model])
    unsaid = settings_in_words(experiment.key, {name for name, _ in experiment.key} - differing_names - TITLED)
    evidence, also = say(f"evidence.{first.evidence}"), say("rl_memory.also", settings=joined("list", unsaid))
    # What an algorithm without a critic saves of PPO's peak, GRPO first; else what the first arm holds.
    if savings := design.savings([experiment]):
        saving = max(savings, key=lambda saving: saving.arm.first.has_reference)
        way = "less" if saving.share >= 0 else "more"
        finding = say(f"rl_memory.finding_pair.{way}", **_saving_fields(saving))
    else:
        peak, phase = numbers.bytes_iec(first.peak), say(f"rl.phase.{first.peak_phase}")
        finding = say("rl_memory.finding", arm=arms[0].name, peak=peak, phase=phase)
    return Figure(
        title=say("rl_memory.held"),
        family=say("rl_memory.held"),
        finding=finding,
        settings=dotted(experiment.name, evidence),
        caption=joined("sentence", [say(f"rl_memory.caption.{first.evidence}"), also if unsaid else ""]),
        views=views,
        height_px=FRAME_PX + ROW_PX * len(arms) + LEGEND_ROW_PX * -(-len(kinds) // 2),
        facets=design.case_facets(first),
    )


def _stacks(arms: Sequence[MemoryArm], phase: str = "") -> dict[str, Any]:
    """A plot of what each arm holds at a phase's peak, by default its highest phase's: a bar with a part for each owner
    and kind. Colour and pattern are a kind, a strip below with a name an owner: so both read in greyscale."""
    phases = {arm: arm.first.phases.get(phase or arm.first.peak_phase) for arm in arms}
    peaks = {arm: at_peak for arm, at_peak in phases.items() if at_peak}
    longest = max(at_peak.peak for at_peak in peaks.values())
    segments: dict[Part, list[Point]] = defaultdict(list)
    strips: dict[str, list[Point]] = defaultdict(list)
    names = []
    for row, (arm, at_peak) in enumerate(peaks.items()):
        highest, fields = say(f"rl.phase.{arm.first.peak_phase}"), {"name": arm.name}
        fields["peak"] = numbers.bytes_iec(at_peak.peak)
        names.append(say("rl_memory.row", **fields) if phase else say("rl_memory.row_phase", **fields, phase=highest))
        # Parts too small to see are drawn as nobody's, at the end of the bar.
        parts = {part: size for part, size in at_peak.parts.items() if size >= LEAST_SHARE * longest}
        rest = sum(at_peak.parts.values()) - sum(parts.values())
        if rest > 0:
            parts[NOBODY, OTHER] = parts.get((NOBODY, OTHER), 0.0) + rest
        for (owner, kind), size in parts.items():
            share, name = numbers.percent(size / sum(parts.values())), say(f"rl_memory.owner.{owner}")
            hover = say("rl_memory.hover", owner=name, size=numbers.bytes_iec(size), share=share)
            segments[owner, kind].append(Point(x=size, y=row, hover=hover, facets=_facets(arm), runs=arm.run_keys))
        for owner in OWNERS:
            if size := sum(value for part, value in parts.items() if part[0] == owner):
                text = joined(" ", [say(f"rl_memory.owner.{owner}"), numbers.bytes_iec(size)])
                strips[owner].append(Point(x=size, y=row + STRIP_DOWN, text=text, facets=_facets(arm)))
    traces, in_legend = [], set[str]()
    for owner, kind in [(owner, kind) for owner in (*OWNERS, NOBODY) for kind in (*KINDS, OTHER)]:
        if points := segments.get((owner, kind)):
            colour, pattern = LOOKS[kind]
            look: dict[str, Any] = {"pattern": pattern, "width": BAR, "in_legend": kind not in in_legend}
            traces.append(bars(say(f"rl_memory.kind.{kind}"), points, colour=colour, **look))
            in_legend.add(kind)
    inside: dict[str, Any] = {"textposition": "inside", "insidetextanchor": "middle", "textangle": 0}
    look = {"width": STRIP, "in_legend": False, "textfont": {"size": 11}, **inside}
    owners = [owner for owner in OWNERS if owner in strips]
    traces += [bars(say(f"rl_memory.owner.{owner}"), strips[owner], colour=STRIPS[owner], **look) for owner in owners]
    return by_row.rows(
        names,
        traces,
        xaxis=linear(say("rl_memory.axis"), range=[0, 1.02 * longest], **ticked(byte_steps(longest))),
        shift_px=NAME_SHIFT_PX,
        uniformtext={"mode": "hide", "minsize": 10},
        **stacked(itemclick=False, itemdoubleclick=False),
    )


def _facets(arm: MemoryArm) -> dict[str, Text]:
    return {ALGORITHM: labels.option_label(ALGORITHM, arm.value(ALGORITHM))}


def _saving_fields(saving: Saving) -> dict[str, Text]:
    """What a sentence on a saving is filled in with: both algorithms, the model, the share, and both peaks."""
    return {
        "arm": labels.option_label(ALGORITHM, saving.arm.value(ALGORITHM)),
        "baseline": labels.option_label(ALGORITHM, saving.baseline.value(ALGORITHM)),
        "model": saving.arm.first.model,
        "share": numbers.percent(abs(saving.share)),
        "before": numbers.bytes_iec(saving.baseline.first.peak),
        "after": numbers.bytes_iec(saving.arm.first.peak),
    }


def _range(low: str, high: str) -> Text:
    return low if low == high else say("rl.range", low=low, high=high)


def parameters(value: float) -> str:
    """A number of parameters as models are called: 494M, 8.03B."""
    size, unit = next((pair for pair in COUNT_UNITS if value >= pair[0]), (1.0, ""))
    return f"{value / size:.3g}{unit}"


def _table(
    name: str,
    rows: Sequence[R],
    columns: Iterable[Column[R]],
    *,
    has_labels: bool,
    arm: Callable[[R], MemoryArm] = lambda row: row,  # type: ignore[assignment,return-value]
    but: Collection[str] = (),
    note: Text = "",
) -> Table:
    """A table of cases: model and algorithm, these columns, and the settings in which cases differ; its note ends with
    those that all share. `arm` gives a row's case. `but`: settings that columns of their own say."""
    sentences, differ = [note or say(f"rl_memory.{name}_note")], {}
    for workload, cases in grouped(map(arm, rows), lambda arm: arm.first.record.case.workload).items():
        keys = [case.setting for case in cases]
        differ[workload] = differing(keys) - {*TITLED, *but}
        shared = settings_in_words(keys[0], {name for name, _ in keys[0]} - differ[workload] - {*TITLED, *but})
        sentences += [say(f"rl_memory.alike.{workload}", settings=joined("list", shared))] if shared else []

    def settings(case: MemoryArm) -> Text:
        return joined("list", settings_in_words(case.setting, differ[case.first.record.case.workload]))

    names: list[Column[MemoryArm]] = [
        column("column.model", lambda case: case.first.model, facet="model"),
        column("column.algorithm", lambda case: case.name),
    ]
    details: list[Column[MemoryArm]] = [
        column("column.settings", settings, kind=Kind.LONG, only_where_known=True),
        column("fact.evidence", lambda case: say(f"evidence.{case.first.evidence}")),
        *label_column(has_labels),
    ]
    return table(
        say(f"rl_memory.{name}"),
        rows,
        [*part_columns(arm, names), *columns, *part_columns(arm, details)],
        note=joined("sentence", sentences),
        facets_of=lambda row: _facets(arm(row)),
    )


def _fits_table(arms: Sequence[MemoryArm], lay_out: Callable[..., Table]) -> Table | None:
    """The table of how many GPUs of each size hold each projection and, where it names GPUs at hand, what those have to
    spare (negative: lack) and the least time of a step. None where nothing is known."""

    def at_hand(metric: str, span: str, arm: MemoryArm) -> float | None:
        return noted(arm.first.record, span, metric)

    def smallest_set(arm: MemoryArm) -> Text:
        counts = {size: count for size in GPUS_GB if (count := design.devices_needed(size, arm)) is not None}
        sets = [(count * size, count, size) for size, count in counts.items()]
        return say("rl_memory.set", count=min(sets)[1], size=min(sets)[2]) if sets else ""

    projections = [arm for arm in arms if not arm.first.is_measured]
    # How many devices are needed depends on everything but how many there are.
    cases = grouped(projections, lambda arm: (drop_settings(arm.setting, [design.SHARDS]), arm.key))
    arms, spare = [case[0] for case in cases.values()], partial(at_hand, "spare_bytes", design.GPUS)
    if not any(design.devices_needed(size, arm) or spare(arm) is not None for arm in arms for size in GPUS_GB):
        return None
    columns: list[Column[MemoryArm]] = [
        *(column(say("rl_memory.gpu", size=gb), partial(design.devices_needed, gb), numbers.count) for gb in GPUS_GB),
        column("rl_memory.smallest", smallest_set, kind=Kind.NUMBER),
        column("rl_memory.on_one", partial(design.peak_per_device, 1), numbers.bytes_iec),
        column("rl_memory.gpus_at_hand", lambda arm: arm.first.setting(design.GPUS), only_where_known=True),
        column(
            "rl_memory.spare",
            spare,
            lambda size: f"{'−' if size < 0 else ''}{numbers.bytes_iec(abs(size))}",
            only_where_known=True,
        ),
        column("rl_memory.batch", partial(at_hand, "rollout_batch", design.GPUS), numbers.count, only_where_known=True),
    ]
    for phase in PHASES:
        title = say("rl_memory.bound", phase=say(f"rl.phase.{phase}"))
        bound_s = partial(at_hand, "bound_s", f"{design.GPUS}/{phase}")
        columns.append(column(title, bound_s, numbers.duration, only_where_known=True))
    settings = [parse_number(arm.first.setting("reserve_bytes_per_device")) for arm in arms]
    reserve: Text = say("rl_memory.reserve_unknown")
    if reserves := [value for value in settings if value is not None]:
        reserve = _range(numbers.bytes_iec(min(reserves)), numbers.bytes_iec(max(reserves)))
    sentences = [say("rl_memory.fits_note", reserve=reserve)]
    sentences += [say("rl_memory.gpus_note")] if any(spare(arm) is not None for arm in arms) else []
    return lay_out("fits", arms, columns, but={design.SHARDS, design.GPUS}, note=joined("sentence", sentences))


def _savings_table(savings: Sequence[Saving], lay_out: Callable[..., Table]) -> Table:
    """The table of what algorithms without a critic save of PPO's peak; its note begins with the range of each."""
    columns: list[Column[Saving]] = [
        column("rl_memory.against", lambda saving: saving.baseline.name),
        column("rl_memory.saved", lambda saving: saving.share, numbers.percent),
        column("rl_memory.peak", lambda saving: saving.arm.first.peak, numbers.bytes_iec),
        column("rl_memory.baseline_peak", lambda saving: saving.baseline.first.peak, numbers.bytes_iec),
        column("rl_memory.parameters", lambda saving: saving.arm.first.parameters, parameters),
    ]
    ranges = []
    for group in grouped(savings, lambda saving: (saving.arm.first.evidence, saving.arm.value(ALGORITHM))).values():
        shares, evidence = [saving.share for saving in group], say(f"evidence.{group[0].arm.first.evidence}")
        saves = _range(numbers.percent(min(shares)), numbers.percent(max(shares)))
        fields = _saving_fields(group[0])
        ranges.append(say("rl_memory.saves", **fields, evidence=evidence, saves=saves, count=len(group)))
    note = joined("sentence", [*ranges, say("rl_memory.savings_note")])
    return lay_out("savings", savings, columns, arm=lambda saving: saving.arm, note=note)


def _peaks_table(arms: Sequence[MemoryArm], lay_out: Callable[..., Table]) -> Table:
    """The table of each phase's peak, what was counted on a GPU, and the highest peak by owner and by kind."""

    def phase_peak(phase: str, arm: MemoryArm) -> float | None:
        return arm.first.phases[phase].peak if phase in arm.first.phases else None

    def part_size(place: int, name: str, arm: MemoryArm) -> float | None:
        parts = arm.first.phases[arm.first.peak_phase].parts
        return sum(size for part, size in parts.items() if part[place] == name) or None

    columns: list[Column[MemoryArm]] = [
        column("rl_memory.peak", lambda arm: arm.first.peak, numbers.bytes_iec),
        *(column(f"rl.phase.{phase}", partial(phase_peak, phase), numbers.bytes_iec) for phase in PHASES),
        *(
            column(f"rl_memory.{metric}", partial(design.on_gpu, metric), numbers.bytes_iec, only_where_known=True)
            for metric in holdings.OF_GPU
        ),
    ]
    for place, (axis, names) in enumerate({"owner": (*OWNERS, NOBODY), "kind": (*KINDS, OTHER)}.items()):
        for name in names:
            title, size = f"rl_memory.{axis}.{name}", partial(part_size, place, name)
            columns.append(column(title, size, numbers.bytes_iec, only_where_known=True))
    return lay_out("peaks", arms, columns)


def _published_table(arms: Sequence[MemoryArm], savings: Sequence[Saving]) -> Table:
    """The table of published figures, each beside the most usual of our comparable projections."""
    projections = [arm for arm in arms if not arm.first.is_measured]
    oddity = design.count_unusual_settings([arm.setting for arm in projections])
    projections.sort(key=lambda arm: oddity[arm.setting])
    shares = {saving.arm: saving.share for saving in reversed(savings) if saving.arm.first.has_reference}

    def amount(figure: PublishedMemory, count: int | None, peak: Text, share: float | None) -> Text:
        """A figure's number by its kind: a set of GPUs, a peak or a saving; empty where it is not known."""
        if figure.kind == NEEDS:
            return "" if count is None else say("rl_memory.set", count=count, size=figure.gpu_gb)
        if figure.kind == SAVING:
            return "" if share is None else numbers.percent(share)
        return peak

    def is_like(value: str, wanted: Any) -> bool:
        return bool(value) if wanted == ANY else value == ("" if wanted is None else str(wanted))

    def comparable(figure: PublishedMemory) -> tuple[Text, Text]:
        """The number of the first projection with a figure's settings, and these; empty without one. A projection says
        its peak for each number of shards, whatever its own."""
        like = dict(figure.like or {})
        shards = like.pop(design.SHARDS, 1)
        for arm in projections if figure.like is not None else ():
            settings, peak = arm.first.case_settings, design.peak_per_device(shards, arm)
            peak_text = "" if peak is None else numbers.bytes_iec(peak)
            ours = amount(figure, design.devices_needed(figure.gpu_gb, arm), peak_text, shares.get(arm))
            if ours and all(is_like(settings.get(name, ""), wanted) for name, wanted in like.items()):
                return ours, joined("list", [setting_text(name, value) for name, value in settings.items() if value])
        return "", ""

    columns: list[Column[tuple[PublishedMemory, tuple[Text, Text]]]] = [
        column("rl_memory.what", lambda row: say(f"rl_memory.what.{row[0].kind}")),
        column("published.problem", lambda row: row[0].problem, kind=Kind.LONG),
        column(
            "published.figure",
            lambda row: amount(row[0], row[0].count, row[0].peak, row[0].share),
            kind=Kind.NUMBER,
        ),
        column("rl_memory.ours", lambda row: row[1][0], kind=Kind.NUMBER),
        column("rl_memory.our_settings", lambda row: row[1][1], kind=Kind.LONG),
        column("published.source", lambda row: row[0].source, kind=Kind.LONG),
        column("column.notes", lambda row: row[0].note, kind=Kind.LONG),
    ]
    rows = [(figure, comparable(figure)) for figure in published_memory()]
    return table(say("rl_memory.published"), rows, columns, note=say("rl_memory.published_note"))
