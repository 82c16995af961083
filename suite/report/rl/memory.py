"""Memory of a step of reinforcement learning: by owner and kind, the saving of GRPO over PPO, the GPUs that hold it.

Most of it is projected, for models that no machine at hand can train; what was measured says so in its title and its
column, and stands over the projection of the same model where there is one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from suite.records import holdings, numbers
from suite.records.derived import noted
from suite.records.holdings import KINDS, NOBODY, OTHER, OWNERS
from suite.records.labels import differing
from suite.records.metrics import PHASES
from suite.report.blocks import Figure, Headline, Kind, Section, Table, Text, View, dotted, joined, say, section
from suite.report.model import labels
from suite.report.model.experiment import grouped, without
from suite.report.model.labels import ALGORITHM, setting_text
from suite.report.model.results import Results
from suite.report.model.run import MOST, Pairs, number_of
from suite.report.plot import rows as by_row
from suite.report.plot.marks import LINES, Point, Series
from suite.report.plot.plots import LEGEND_ROW_PX, height_px, plot
from suite.report.plot.rows import bars, stacked
from suite.report.plot.scales import byte_steps, decimal_ticks, linear, log, shares, ticked
from suite.report.rl import memory_design as design
from suite.report.rl.memory_design import MODELS, PARAMETERS, TITLED, MemoryArm, MemoryExperiment, Part, Saving, written
from suite.report.rl.memory_published import published_table
from suite.report.table import Column, column, columns_of, label_column, table

R = TypeVar("R")
Rows = Sequence[tuple[Mapping[Part, float], MemoryArm]]
"""The parts of each bar, and whose it is."""
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
BAR, STRIP, STRIP_DOWN = 0.34, 0.24, 0.31
"""Heights of the bar and of the strip below it, and the distance of their middles, in rows."""
LEAST_SHARE = 0.005
"""A share of the longest bar: smaller parts are drawn as one."""
OVER = (PARAMETERS, "seq_len", "num_generations", "prompts_per_step", "micro_batch", "shards")
"""Axes of a curve: the policy's parameters, or a setting whose values are numbers."""
COUNT_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))
GPUS_GB = (24, 48, 80, 141)
OF_A_PEAK = ("precision", "dtype", "seq_len", "prompts_per_step", "num_generations", "minibatch", "micro_batch")
"""Without these and `checkpointing` a saving of memory says nothing."""


def build(results: Results) -> Section | None:
    """Build it from projections and from runs that tracked their memory."""
    found = design.memory_experiments(results)
    if not found:
        return None
    drawn, saved = design.drawn_experiments(found), design.savings(found)
    arms = design.arms_in(found)
    return section(
        "rl_memory",
        figures=[*(_bars(experiment, found) for experiment in drawn), *map(_curves, design.telling_pairs(saved))],
        tables=[
            *(_fits_table(same, results) for same in _of_models(_to_fit(found), drawn)),
            _gpus_table(design.answered(arms), results),
            _savings_table(saved, results),
            _checks_table(design.checks(found), results),
            published_table(found, saved),
            _peaks_table("owner", arms, results),
            _peaks_table("kind", arms, results),
        ],
        headlines=[_headline(pair, arms) for pair in design.telling_pairs(design.savings(drawn))],
    )


def _algorithm(arm: MemoryArm) -> str:
    return labels.label_of(ALGORITHM, arm.value(ALGORITHM))


def _own(arms: Iterable[MemoryArm]) -> list[Text]:
    """Say what arms alone have, once for each name."""
    owned = {arm.name: joined("list", design.own_settings(arm)) for arm in arms}
    return [say("rl_memory.own", arm=name, settings=settings) for name, settings in owned.items() if settings]


def _bars(experiment: MemoryExperiment, found: Sequence[MemoryExperiment]) -> Figure:
    """Draw what is held at the peak of a step, then of each of its phases."""
    arms, first = experiment.arms, design.first_of(experiment)
    phases = list(dict.fromkeys(phase for arm in arms for phase in arm.first.phases))
    kinds = {kind for arm in arms for phase in arm.first.phases.values() for _, kind in phase.parts}
    views = [View(title=say("rl_memory.peak"), figure=_stacks(arms))]
    if len(phases) > 1:
        views += [View(title=say(f"rl.phase.{phase}"), figure=_stacks(arms, phase)) for phase in phases]
    of_model = differing([other.key for other in found if design.first_of(other).model == first.model])
    rest = written(experiment.key, {name for name, _ in experiment.key} - of_model - TITLED)
    sentences = [say(f"rl_memory.caption.{first.evidence}")]
    sentences += [say("rl_memory.also", settings=joined("list", rest))] if rest else []
    return Figure(
        title=say("rl_memory.held"),
        family=say("rl_memory.held"),
        finding=_holds(experiment),
        settings=dotted(experiment.name, say(f"evidence.{first.evidence}")),
        caption=joined("sentence", [*sentences, *_own(arms)]),
        views=views,
        height_px=FRAME_PX + ROW_PX * len(arms) + LEGEND_ROW_PX * -(-len(kinds) // 2),
        facets=_facets(first),
    )


def _facets(step: design.StepMemory) -> dict[str, Text]:
    return {"model": step.model, "evidence": say(f"evidence.{step.evidence}"), "label": step.label}


def _holds(experiment: MemoryExperiment) -> Text:
    """Tell what an algorithm without a critic saves of PPO's peak, GRPO first; else what the first arm holds."""
    saved = design.savings([experiment])
    if saved:
        first = max(saved, key=lambda saving: saving.arm.first.has_reference)
        ways = "less" if first.share >= 0 else "more"
        return say(f"rl_memory.finding_pair.{ways}", **_fields(first))
    arm = experiment.arms[0]
    phase = say(f"rl.phase.{arm.first.peak_phase}")
    return say("rl_memory.finding", arm=arm.name, peak=numbers.bytes_iec(arm.first.peak), phase=phase)


def _stacks(arms: Sequence[MemoryArm], phase: str = "") -> dict[str, Any]:
    """Draw a phase, or where none is named the one of each arm that holds most.

    A colour with a pattern is a kind; an owner is a strip below its part of the bar with its name, so that the legend
    holds kinds alone and both read in greyscale.
    """
    shown = [arm for arm in arms if not phase or phase in arm.first.phases]
    drawn = {arm: arm.first.phases[phase or arm.first.peak_phase] for arm in shown}
    longest = max(held.peak for held in drawn.values())
    rows = [(_drawn_parts(held.parts, longest), arm) for arm, held in drawn.items()]
    every = [(owner, kind) for owner in (*OWNERS, NOBODY) for kind in (*KINDS, OTHER)]
    present = [part for part in every if any(part in parts for parts, _ in rows)]
    first = {kind: owner for owner, kind in reversed(present)}
    segments = [_segment(part, rows, in_legend=first[part[1]] == part[0]) for part in present]
    owners = [owner for owner in dict(present) if owner != NOBODY]
    names = []
    for arm, held in drawn.items():
        fields = {"name": arm.name, "peak": numbers.bytes_iec(held.peak)}
        highest = say(f"rl.phase.{arm.first.peak_phase}")
        names.append(say("rl_memory.row", **fields) if phase else say("rl_memory.row_phase", **fields, phase=highest))
    return by_row.rows(
        names,
        [*segments, *(_strip(owner, rows) for owner in owners)],
        xaxis=linear(say("rl_memory.axis"), range=[0, 1.02 * longest], **ticked(byte_steps(longest))),
        shift_px=NAME_SHIFT_PX,
        uniformtext={"mode": "hide", "minsize": 10},
        **stacked(itemclick=False, itemdoubleclick=False),
    )


def _drawn_parts(parts: Mapping[Part, float], longest: float) -> dict[Part, float]:
    """The parts of a bar, those too small to see as nobody's at its end."""
    drawn = {part: value for part, value in parts.items() if value >= LEAST_SHARE * longest}
    rest = sum(parts.values()) - sum(drawn.values())
    if rest > 0:
        drawn[NOBODY, OTHER] = drawn.get((NOBODY, OTHER), 0.0) + rest
    return drawn


def _segment(part: Part, rows: Rows, *, in_legend: bool) -> dict[str, Any]:
    (owner, kind), points = part, []
    for row, (held, arm) in enumerate(rows):
        if part in held:
            size, share = numbers.bytes_iec(held[part]), numbers.percent(held[part] / sum(held.values()))
            hover = say("rl_memory.hover", owner=say(f"rl_memory.owner.{owner}"), size=size, share=share)
            points.append(Point(x=held[part], y=row, hover=hover, facets=_algorithm_facet(arm), runs=_runs(arm)))
    colour, pattern = LOOKS[kind]
    name = say(f"rl_memory.kind.{kind}")
    return bars(name, points, colour=colour, pattern=pattern, width=BAR, in_legend=in_legend)


def _algorithm_facet(arm: MemoryArm) -> dict[str, Text]:
    return {ALGORITHM: _algorithm(arm)}


def _runs(arm: MemoryArm) -> list[str]:
    return [run.record.run_key for run in arm.runs]


def _strip(owner: str, rows: Rows) -> dict[str, Any]:
    name, points = say(f"rl_memory.owner.{owner}"), []
    for row, (held, arm) in enumerate(rows):
        if size := sum(value for part, value in held.items() if part[0] == owner):
            text = joined(" ", [name, numbers.bytes_iec(size)])
            points.append(Point(x=size, y=row + STRIP_DOWN, text=text, facets=_algorithm_facet(arm)))
    inside: dict[str, Any] = {"textposition": "inside", "insidetextanchor": "middle", "textangle": 0}
    looks: dict[str, Any] = {"colour": STRIPS[owner], "width": STRIP, "in_legend": False, "textfont": {"size": 11}}
    return bars(name, points, **looks, **inside)


def _curves(pair: Sequence[Saving]) -> Figure | None:
    """Draw the saving over each thing that it depends on."""
    drawn = {over: lines for over in OVER if (lines := _lines_over(over, pair))}
    if not drawn:
        return None
    arm, baseline, most = pair[0].arm, pair[0].baseline, max(map(len, drawn.values()))
    usual = design.usual_of([saving.arm.setting for saving in pair])
    kept = tuple((name, usual[name]) for name, _ in arm.setting if name in usual)
    settings = written(kept, {name for name, _ in kept} - TITLED)
    sentences = [say("rl_memory.saving_caption", **_fields(pair[0]))]
    sentences += [say("rl_memory.usual_is", settings=joined("list", settings))] if settings else []
    views, yaxis = [], shares(say("rl_memory.saving_axis"), rangemode="tozero")
    for over, lines in drawn.items():
        xs = sorted({point.x for line in lines for point in line.points})
        ticks = decimal_ticks(xs, parameters) if over == PARAMETERS else [(x, numbers.count(x)) for x in xs]
        xaxis = log(say(f"rl_memory.over.{over}"), ticks)
        figure = plot(lines, xaxis=xaxis, yaxis=yaxis, showlegend=len(lines) > 1)
        views.append(View(title=say(f"rl_memory.view.{over}"), figure=figure))
    shares_of_pair, evidence = [saving.share for saving in pair], say(f"evidence.{arm.first.evidence}")
    low, high = (numbers.percent(end) for end in (min(shares_of_pair), max(shares_of_pair)))
    named = say("rl_memory.pair", **_fields(pair[0]))
    return Figure(
        title=say("rl_memory.saving"),
        family=say("rl_memory.saving"),
        finding=say("rl_memory.finding_saving", low=low, high=high, count=len(pair), **_fields(pair[0])),
        settings=dotted(named, evidence, *(side.name for side in (arm, baseline) if side.name != _algorithm(side))),
        facets={"evidence": evidence, "setting": named},
        caption=joined("sentence", [*sentences, *_own([baseline])]),
        views=views,
        height_px=height_px(most),
    )


def _lines_over(over: str, savings: Sequence[Saving]) -> list[Series]:
    """Lines whose experiments agree in everything else, with two points at least; of too many those that
    differ the least from what is usual.
    """
    models = {*MODELS.values()}
    varied = models if over == PARAMETERS else {over}
    of_rest: dict[Pairs, dict[float, Saving]] = defaultdict(dict)
    for saving in savings:
        if (x := saving.at(over)) is not None:
            of_rest[without(saving.arm.setting, varied)][x] = saving
    usual = design.usual_of([saving.arm.setting for saving in savings])
    odd = {key: design.unusual(key, usual) - models for key, points in of_rest.items() if len(points) > 1}
    keys = sorted(odd, key=lambda key: (len(odd[key]), -len(of_rest[key])))[: len(LINES)]
    lines = []
    for key, style in zip(keys, LINES, strict=False):
        names = differing(keys) & (odd[key] | models)
        differences = [value if name in TITLED else setting_text(name, value) for name, value in key if name in names]
        points = []
        for x, saving in sorted(of_rest[key].items()):
            facets = {"model": saving.arm.first.model}
            hover = say("rl_memory.saving_hover", **_fields(saving))
            runs = [*_runs(saving.arm), *_runs(saving.baseline)]
            points.append(Point(x=x, y=saving.share, hover=hover, facets=facets, runs=runs))
        name = joined("list", differences) or say("rl_memory.usual")
        lines.append(Series(name=name, points=points, style=style, mode="lines+markers", size=8))
    return lines


def _fields(saving: Saving) -> dict[str, Text]:
    return {
        "arm": _algorithm(saving.arm),
        "baseline": _algorithm(saving.baseline),
        "model": saving.arm.first.model,
        "saved": numbers.percent(saving.share),
        "share": numbers.percent(abs(saving.share)),
        "before": numbers.bytes_iec(saving.baseline.first.peak),
        "after": numbers.bytes_iec(saving.arm.first.peak),
    }


def parameters(value: float) -> str:
    """Write a size as models are called: 494M, 8.03B."""
    size, unit = next((pair for pair in COUNT_UNITS if value >= pair[0]), (1.0, ""))
    return f"{value / size:.3g}{unit}"


def _table(
    name: str,
    rows: Sequence[R],
    columns: Sequence[Column[R]],
    results: Results,
    *,
    arm_of: Callable[[R], MemoryArm],
    named: Sequence[Column[MemoryArm]] = (),
    has_evidence: bool = False,
    but: str = "",
    owners: Sequence[MemoryArm] | None = None,
    note: Text = "",
    **more: Any,
) -> Table:
    """Lay out cases by their model and their algorithm, or as `named` says it; then what a table says of them, and how
    they differ.

    Its note ends with what all cases agree in, and what an arm alone has, neither of which a row says.
    """
    arms, own_names, sentences = [arm_of(row) for row in rows], {}, [note or say(f"rl_memory.{name}_note")]
    for workload, same in grouped(arms, lambda arm: arm.first.workload).items():
        keys = [arm.setting for arm in same]
        own_names[workload] = differing(keys) - {*TITLED, but}
        alike = written(keys[0], {name for name, _ in keys[0]} - own_names[workload] - {*TITLED, but})
        sentences += [say(f"rl_memory.alike.{workload}", settings=joined("list", alike))] if alike else []

    def settings(arm: MemoryArm) -> Text:
        return joined("list", written(arm.setting, own_names[arm.first.workload]))

    usual: list[Column[MemoryArm]] = [
        column("column.model", lambda arm: arm.first.model),
        column("column.algorithm", lambda arm: arm.name),
    ]
    of_case: list[Column[MemoryArm]] = [
        column("column.settings", settings, kind=Kind.LONG, only_where_known=True),
        *([column("fact.evidence", lambda arm: say(f"evidence.{arm.first.evidence}"))] if has_evidence else []),
        *label_column(results.several),
    ]
    algorithms = {_algorithm(arm) for arm in arms}
    return table(
        say(f"rl_memory.{name}"),
        rows,
        [*columns_of(arm_of, named or usual), *columns, *columns_of(arm_of, of_case)],
        note=joined("sentence", [*sentences, *_own(arms if owners is None else owners)]),
        facets_of=(lambda row: _algorithm_facet(arm_of(row))) if len(algorithms) > 1 else None,
        **more,
    )


def _to_fit(experiments: Iterable[MemoryExperiment]) -> list[MemoryArm]:
    """Projections; how many devices are needed depends on everything but how many there are."""
    arms = [arm for arm in design.arms_in(experiments) if not arm.first.is_measured]
    return [group[0] for group in grouped(arms, lambda arm: (without(arm.setting, [design.SHARDS]), arm.key)).values()]


def _of_models(arms: Sequence[MemoryArm], drawn: Sequence[MemoryExperiment]) -> list[Sequence[MemoryArm]]:
    """The cases of each model, those that figures show first; models in the figures' order."""
    shown = {arm for experiment in drawn for arm in experiment.arms}
    models = {arm.first.model: place for place, arm in reversed([*enumerate(design.arms_in(drawn))])}
    of_model = grouped(arms, lambda arm: (arm.first.model, arm.label))
    places = sorted(of_model, key=lambda key: models.get(key[0], len(models)))
    return [sorted(of_model[key], key=lambda arm: arm not in shown) for key in places]


def _fits_table(arms: Sequence[MemoryArm], results: Results) -> Table | None:
    """Lay out, for one model, how many GPUs of each size hold each case."""
    if not any(design.devices_needed(size, arm) for arm in arms for size in GPUS_GB):
        return None
    usual = design.usual_of([arm.setting for arm in arms])
    told = {name: value for name, value in usual.items() if name not in {*TITLED, design.SHARDS}}
    named: Column[MemoryArm] = column(
        "column.algorithm",
        lambda arm: joined("list", [arm.name, *written(arm.setting, design.unusual(arm.setting, told))]),
    )
    columns: list[Column[MemoryArm]] = [
        *(column(say("rl_memory.gpu", size=gb), partial(design.devices_needed, gb), numbers.count) for gb in GPUS_GB),
        column("rl_memory.smallest", _smallest, kind=Kind.NUMBER),
        column("rl_memory.on_one", partial(design.peak_of_one, 1), numbers.bytes_iec),
    ]
    stated = [number_of(arm.first.setting("reserve_bytes_per_device")) for arm in arms]
    reserve: Text = say("rl_memory.reserve_unknown")
    if known := [value for value in stated if value is not None]:
        low, high = numbers.bytes_iec(min(known)), numbers.bytes_iec(max(known))
        reserve = low if low == high else say("rl.range", low=low, high=high)
    settings = joined("list", written(tuple(told.items()), told))
    sentences = [say("rl_memory.fits_note", reserve=reserve)]
    note = joined("sentence", [*sentences, say("rl_memory.usual_is", settings=settings) if settings else ""])
    first = arms[0].first
    more: dict[str, Any] = {"settings": first.model, "facets": _facets(first), "note": note}
    found = _table("fits", arms, columns, results, arm_of=lambda arm: arm, named=[named], but=design.SHARDS, **more)
    return replace(found, family=found.title)


def _gpus_table(arms: Sequence[MemoryArm], results: Results) -> Table | None:
    """Lay out what the GPUs at hand have to spare or lack, and the least time that a step takes them."""
    if not arms:
        return None

    def said(metric: str, span: str = design.GPUS) -> Callable[[MemoryArm], float | None]:
        return lambda arm: noted(arm.first.record, span, metric)

    spare = said("spare_bytes")
    columns: list[Column[MemoryArm]] = [
        column("rl_memory.gpus_at_hand", lambda arm: arm.first.setting(design.GPUS)),
        column("rl_memory.holds", lambda arm: say(f"rl_memory.holds.{'yes' if said('step_fits')(arm) else 'no'}")),
        column("rl_memory.spare", lambda arm: _above_0(spare(arm)), numbers.bytes_iec),
        column("rl_memory.lacking", lambda arm: _above_0(spare(arm), -1), numbers.bytes_iec, only_where_known=True),
        column("rl_memory.batch", said("rollout_batch"), numbers.count),
        *(
            column(say("rl_memory.bound", phase=say(f"rl.phase.{phase}")), said("bound_s", f"{design.GPUS}/{phase}"),
                   numbers.duration, only_where_known=True)
            for phase in PHASES
        ),
    ]  # fmt: skip
    return _table("gpus", arms, columns, results, arm_of=lambda arm: arm, but=design.GPUS)


def _above_0(value: float | None, sign: int = 1) -> float | None:
    """A number, or with -1 its opposite, where that is above 0."""
    return sign * value if value is not None and 0 < sign * value < MOST else None


def _smallest(arm: MemoryArm) -> Text:
    """The set with the least memory together; of equal ones the fewest devices."""
    sets = [(count * size, count, size) for size in GPUS_GB if (count := design.devices_needed(size, arm)) is not None]
    if not sets:
        return ""
    _, count, size = min(sets)
    return say("rl_memory.set", count=count, size=size)


def _savings_table(found: Sequence[Saving], results: Results) -> Table:
    columns: list[Column[Saving]] = [
        column("rl_memory.against", lambda saving: saving.baseline.name),
        column("rl_memory.saved", lambda saving: saving.share, numbers.percent),
        column("rl_memory.peak", lambda saving: saving.arm.first.peak, numbers.bytes_iec),
        column("rl_memory.baseline_peak", lambda saving: saving.baseline.first.peak, numbers.bytes_iec),
        column("rl_memory.parameters", lambda saving: saving.arm.first.parameters, parameters),
    ]
    owners = [saving.baseline for saving in found]
    return _table(
        "savings", found, columns, results, arm_of=lambda saving: saving.arm, has_evidence=True, owners=owners
    )


def _checks_table(found: Sequence[design.Check], results: Results) -> Table:
    columns: list[Column[design.Check]] = [
        column("column.phase", lambda check: say(f"rl.phase.{check.phase}")),
        column("rl_memory.measured", lambda check: check.measured, numbers.bytes_iec),
        column("rl_memory.projected", lambda check: check.projected, numbers.bytes_iec),
        column("rl_memory.projected_tokens", lambda check: check.tokens, kind=Kind.NUMBER),
        column("rl_memory.over_projected", lambda check: _over(check.measured, check.projected), numbers.times),
        column("rl_memory.allocator", lambda check: check.allocator, numbers.bytes_iec),
        column("rl_memory.over_held", lambda check: _over(check.allocator, check.measured), numbers.times),
    ]
    return _table("checks", found, columns, results, arm_of=lambda check: check.arm)


def _over(amount: float | None, over: float | None) -> float | None:
    return None if amount is None or over is None else amount / over


def _peaks_table(by: str, arms: Sequence[MemoryArm], results: Results) -> Table:
    """Lay out each phase's peak and the whole's by owner, or the whole's by kind."""
    place, names, phases = (0, (*OWNERS, NOBODY), PHASES) if by == "owner" else (1, (*KINDS, OTHER), ())
    columns: list[Column[MemoryArm]] = [
        column("rl_memory.peak", lambda arm: arm.first.peak, numbers.bytes_iec),
        *(column(f"rl.phase.{phase}", partial(_peak_in, phase), numbers.bytes_iec) for phase in phases),
    ]
    for name in names:
        held = partial(_held_at_peak, place, name)
        columns.append(column(f"rl_memory.{by}.{name}", held, numbers.bytes_iec, only_where_known=True))
    return _table(f"by_{by}", arms, columns, results, arm_of=lambda arm: arm, has_evidence=True)


def _peak_in(phase: str, arm: MemoryArm) -> float | None:
    return arm.first.phases[phase].peak if phase in arm.first.phases else None


def _held_at_peak(place: int, name: str, arm: MemoryArm) -> float | None:
    """The sum of the parts whose owner, or kind, is called so: the first or the second name of a part."""
    parts = arm.first.phases[arm.first.peak_phase].parts
    return sum(value for part, value in parts.items() if part[place] == name) or None


def _headline(pair: Sequence[Saving], arms: Sequence[MemoryArm]) -> Headline:
    """Say what is saved of the peak, of the models whose settings are the first one's."""
    first = pair[0]
    setting, evidence = first.arm.setting, first.arm.first.evidence
    telling = differing([arm.setting for arm in arms if arm.first.workload == first.arm.first.workload])
    settings = written(setting, {*OF_A_PEAK, "checkpointing", *telling} - TITLED) + design.own_settings(first.baseline)
    models = MODELS.values()
    ways = {saving: "less" if saving.share >= 0 else "more" for saving in pair}
    alike = [saving for saving in pair if without(saving.arm.setting, models) == without(setting, models)]
    detail = say(
        f"rl_memory.headline.{evidence}",
        arm=first.arm.name,
        baseline=first.baseline.name,
        items=joined("list", [say(f"rl_memory.headline.{ways[saving]}", **_fields(saving)) for saving in alike]),
        settings=say("finding.settings", settings=joined("list", settings)) if settings else "",
    )
    return Headline(text=say(f"rl_memory.point.{evidence}.{ways[first]}", **_fields(first)), detail=detail)
