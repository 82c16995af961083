"""The same case on every device that is known: measured where it ran, projected where only a specification is.

A projection is the least time that two published ceilings allow for the closed forms that a measured record holds, or
what a projected record says. Groups are those that sections/hardware.py draws; sections/projection.py has the rest.
"""

import functools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from suite.records.derived import constant
from suite.records.record import Evidence, Record
from suite.report.lines import Group
from suite.report.machines import machine_id, machine_name
from suite.report.model.results import CurrentRecord, Results
from suite.report.timings import Timing, axis, is_timed, shared_extras, timings_of
from suite.theory.hardware import Hardware, hardware_names, load_hardware

PROJECTION, LEAST_TIME = "projection", "bound_s"
NOT_SHARED = ("attention", "hardware", "seq_len", "backend", "device", "threads")
"""Axes that two cases need not share to stand in one figure."""
MOST_GROUPS = 2
FEWEST_VARIANTS = 2


@dataclass(frozen=True, kw_only=True)
class Place:
    """A row: a machine that ran cases, or a device that is known by its specification alone."""

    name: str
    is_measured: bool
    label: str = ""
    threads: str = ""
    machine: str = ""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One variant's time on one device."""

    place: Place
    variant: str
    sized_variant: str
    span: str
    time_s: float


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One kind of case at one context."""

    tokens: int
    axes: Mapping[str, str]
    marks: Sequence[Mark]


@functools.lru_cache(maxsize=1)
def compared(results: Results) -> Mapping[Group, Compared]:
    """What was measured somewhere, beside what other devices allow: the groups with the most machines and variants, and
    of those that differ in dtype alone one."""
    measured: dict[Group, list[Timing]] = defaultdict(list)
    projected: dict[Group, list[Timing]] = defaultdict(list)
    for current in results.records:
        if is_timed(current) and current.record.evidence is Evidence.MEASURED:
            measured[group_of(current.record)].extend(timings_of(current))
    for group, timings in projected_groups(results).items():
        projected[group].extend(timings)
    telling = {group: timings for group, timings in measured.items() if any(one.seq_len for one in timings)}
    ranked = sorted(telling, key=lambda group: (*_reach(telling[group]), group))
    wanted: dict[Group, Group] = {}
    for group in ranked:
        if _is_worth_it(telling[group], projected.get(group, ())):
            wanted.setdefault(tuple(pair for pair in group if pair[0] != "dtype"), group)
    drawn = list(wanted.values())[:MOST_GROUPS]
    return {group: _compared(group, telling[group], projected.get(group, ())) for group in drawn}


def projected_groups(results: Results) -> dict[Group, list[Timing]]:
    """Projected cases that may stand in one figure, by the axes and settings that they share."""
    found: dict[Group, list[Timing]] = defaultdict(list)
    for current in results.records:
        if is_timed(current, (PROJECTION,)) and current.record.evidence is Evidence.PROJECTED:
            found[group_of(current.record)].extend(timings_of(current, LEAST_TIME))
    return {group: found[group] for group in sorted(found) if found[group]}


def group_of(record: Record) -> Group:
    axes = [(name, axis(record, name)) for name in record.case.axes if name not in NOT_SHARED]
    named = [(name, value) for name, _, value in (one.partition("=") for one in shared_extras(record))]
    return (*axes, *named)


def _reach(timings: Sequence[Timing]) -> tuple[int, int]:
    """Machines, then variants; the most first."""
    return -len({_place(one.current) for one in timings}), -len({one.variant for one in timings})


def _is_worth_it(timings: Sequence[Timing], projected: Sequence[Timing]) -> bool:
    """One variant on one machine is no comparison, unless somebody asked for its projections."""
    machines, variants = _reach(timings)
    return -machines > 1 or -variants >= FEWEST_VARIANTS or bool(projected)


def _compared(group: Group, timings: Sequence[Timing], projected: Sequence[Timing]) -> Compared:
    """At the longest of the contexts that have the most variants on the most machines."""
    cases = Counter(
        tokens for tokens, *_ in {(one.seq_len, one.variant, _place(one.current)) for one in timings} if tokens
    )
    tokens = max(cases, key=lambda tokens: (cases[tokens], tokens))
    fastest: dict[tuple[Place, str, str], Mark] = {}
    for one in sorted(_at(timings, tokens), key=lambda one: -one.interval.median):
        fastest[_place(one.current), one.sized_variant, one.span] = _mark(_place(one.current), one, one.interval.median)
    allowed: dict[tuple[Place, str, str], Mark] = {}
    for one in _at(projected, tokens):
        place = Place(name=axis(one.record, "hardware"), is_measured=False)
        allowed[place, one.sized_variant, one.span] = _mark(place, one, one.interval.median)
    for one in _at(timings, tokens):
        for place, least_s in _by_specification(one):
            allowed.setdefault((place, one.sized_variant, one.span), _mark(place, one, least_s))
    return Compared(tokens=tokens, axes=dict(group), marks=[*fastest.values(), *allowed.values()])


def _at(timings: Iterable[Timing], tokens: int) -> list[Timing]:
    return [one for one in timings if one.seq_len == tokens]


def _mark(place: Place, timing: Timing, time_s: float) -> Mark:
    return Mark(
        place=place,
        variant=timing.variant,
        sized_variant=timing.sized_variant,
        span=timing.span,
        time_s=time_s,
    )


def _place(current: CurrentRecord) -> Place:
    return Place(
        name=machine_name(current.record),
        is_measured=True,
        label=current.label,
        threads=axis(current.record, "threads"),
        machine=machine_id(current),
    )


def _by_specification(timing: Timing) -> Iterable[tuple[Place, float]]:
    flops, traffic = (constant(timing.record, timing.span, name) for name in ("flops", "traffic_bytes"))
    if flops is None or traffic is None:
        return
    for hardware in _hardware():
        ceilings = hardware.ceilings(axis(timing.record, "dtype"))
        if ceilings is not None:
            place = Place(name=hardware.name, is_measured=False)
            yield place, ceilings.bound_s(flops=flops, traffic_bytes=traffic)


@functools.cache
def _hardware() -> Sequence[Hardware]:
    return [load_hardware(name) for name in hardware_names()]
