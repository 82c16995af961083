"""Measured duels of GQA and MLA: pairs of records that agree in everything but the variant."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from suite.records.derived import ceilings_of, constant
from suite.records.record import Evidence, Record
from suite.report.model.results import Results
from suite.report.timings import PLAUSIBLE_S, Timing, axis, extras, groups, shared_extras
from suite.statistics.intervals import comparable_interval

MATCH = "heads"
ALWAYS_SHOWN = ("attention", "geometry", "dtype", "query_len", "seq_len")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """GQA's and MLA's kernel timings of one case, alike in everything else."""

    gqa: Timing
    mla: Timing

    @property
    def measured(self) -> float:
        return self.gqa.interval.median / self.mla.interval.median

    @property
    def ends(self) -> tuple[float, float]:
        """The ratio's least and greatest value within both medians' intervals, as far as these may be compared."""
        gqa, mla = comparable_interval(self.gqa.interval), comparable_interval(self.mla.interval)
        return gqa.low / mla.high, gqa.high / mla.low

    @property
    def predicted(self) -> float | None:
        gqa_s, mla_s = _kernel_bound_s(self.gqa.record), _kernel_bound_s(self.mla.record)
        return None if gqa_s is None or mla_s is None else gqa_s / mla_s

    @property
    def record(self) -> Record:
        """What both records share may be read from either."""
        return self.mla.record


def measured_pairs(results: Results) -> list[Pair]:
    """Every measured decode case that both GQA and MLA have, by its axes and context; each in all its own sizes."""
    sides: dict[tuple[str, ...], dict[str, list[Timing]]] = defaultdict(lambda: defaultdict(list))
    for timing in (timing for timings in groups(results).values() for timing in timings):
        record = timing.record
        is_fit = axis(record, "phase") == "decode" and axis(record, "match") == MATCH and timing.seq_len is not None
        if timing.span == "kernel" and record.evidence is Evidence.MEASURED and is_fit:
            shared = [f"{name}={value}" for name, value in record.case.axes.items() if name != "attention"]
            sides[(timing.label, *shared, *shared_extras(record))][timing.variant].append(timing)
    pairs = [Pair(gqa=gqa, mla=mla) for side in sides.values() for gqa, mla in product(side["gqa"], side["mla"])]
    return sorted(pairs, key=lambda pair: (*series_of(pair), pair.mla.seq_len or 0))


def series_of(pair: Pair) -> tuple[str, ...]:
    """What a pair shares with pairs at other contexts. Numbers are padded, so that they sort as numbers."""
    axes = {name: axis(pair.record, name).rjust(9) for name in pair.record.case.axes if name != "seq_len"}
    order = [axes.pop(name, "") for name in ("geometry", "dtype", "tp", "query_len")]
    return (*order, *axes.values(), *extras(pair.gqa.record), *extras(pair.mla.record), pair.mla.label)


def _kernel_bound_s(record: Record) -> float | None:
    """The kernel's least time at the ceilings that its own run measured, where it did."""
    ceilings = ceilings_of(record, "kernel")
    flops, traffic = constant(record, "kernel", "flops"), constant(record, "kernel", "traffic_bytes")
    if ceilings is None or flops is None or traffic is None:
        return None
    bound_s = ceilings.bound_s(flops=flops, traffic_bytes=traffic)
    return bound_s if PLAUSIBLE_S[0] < bound_s < PLAUSIBLE_S[1] else None


def told_apart(pairs: Sequence[Pair]) -> list[str]:
    """For each pair what else tells it from the others, and threads where they are several."""
    told = [{**pair.record.case.axes, **_present(pair.gqa.record), **_present(pair.mla.record)} for pair in pairs]
    names = [name for name in dict.fromkeys(name for one in told for name in one) if name not in ALWAYS_SHOWN]
    differing = [name for name in names if len({str(one.get(name)) for one in told}) > 1]
    return [
        ", ".join(
            f"{name}={one[name]}"
            for name in names
            if one.get(name) is not None and (name in differing or (name == "threads" and one[name] != 1))
        )
        for one in told
    ]


def _present(record: Record) -> dict[str, str]:
    return {name: str(value) for name, value in record.case.extras.items() if value is not None}


def heads_of(pair: Pair) -> tuple[float | None, float | None]:
    """Query heads, and GQA's key-value heads, of one rank: by what its cache is of MHA's with as many heads."""
    geometry = pair.gqa.record.settings.get("geometry")
    heads = geometry.get("num_heads") if isinstance(geometry, Mapping) else None
    tp = pair.gqa.record.case.axes.get("tp")
    kept, kept_mha = (constant(pair.gqa.record, "case", name) for name in ("cache_bytes", "cache_bytes_mha"))
    if not isinstance(heads, int) or not isinstance(tp, int) or tp < 1 or not 0 < heads < 1 << 31:
        return None, None
    return heads // tp, None if kept is None or kept_mha is None else heads // tp * kept / kept_mha
