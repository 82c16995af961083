"""Runs of workload=quality as the sections need them: which repeat each other, and which are held against each other.

Runs that differ in their seed alone repeat one arm, and two arms are paired by it: one seed is asked the same questions
in the same order, whatever the variant. Arms stand in one study where everything but the variant agrees.
"""

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from suite.records.derived import started_at
from suite.report.alike import Pairs, case_key, differing, grouped, named_in
from suite.report.blocks import Text, joined
from suite.report.facets import name_facets
from suite.report.model.results import CurrentRecord, Results
from suite.report.palette import rank
from suite.report.quality_run import (
    ASKED,
    DEFAULTS,
    HEAD_DIM,
    LATENT_NORM,
    RANK,
    RATIO_OF_RANK,
    ROPE_DIM,
    UNEVENLY,
    QualityRun,
    read_quality_run,
)

WORKLOAD, TIERS_TASK, RECALL, PLAYS = "quality", "tiers", "recall", "plays"
TASKS = (TIERS_TASK, RECALL, "two_hop", "copying", "counting", PLAYS)
"""In the order of tables; a task that is not here stands behind them."""
OF_A_VARIANT = ("attention.", HEAD_DIM)
"""Settings by which a variant is another one. Heads narrower than MHA's make a narrow cache without a latent."""
UNSAID = {("match", "heads")}
"""What a study is where its title says nothing else."""
WITHOUT_EFFECT = ("eval_every", "decode_len", "checkpoint_seconds")
"""Settings that change nothing of what is learnt."""
UPDATES = "updates"
NUMBERS = re.compile(r"(\d{1,15})")
MOST_LETTERS = 500
Value = Callable[[QualityRun], float | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Arm:
    """Runs that differ in their seed alone, by seed."""

    variant: Pairs
    """The attention variant, and sizes of its own."""
    setting: Pairs
    """Everything else."""
    runs: Sequence[QualityRun]
    failed: int
    """Seeds that did not end well."""
    is_wide: bool
    """Whether its heads are as wide as most."""

    @property
    def attention(self) -> str:
        return self.runs[0].attention

    @property
    def is_latent(self) -> bool:
        return self.attention.split("_")[0] == "mla"

    @property
    def is_mha(self) -> bool:
        """MHA as it is laid over the geometry, which the others are held against."""
        return self.attention == "mha" and self.is_wide

    @property
    def latent_rank(self) -> int | None:
        """Of the latent; where none is named, as the variant lays it over heads of this width."""
        first = self.runs[0]
        if not self.is_latent:
            return None
        named, head_dim = (whole_of(first.setting(name)) for name in (RANK, HEAD_DIM))
        return named or (head_dim and RATIO_OF_RANK * head_dim)

    @property
    def has_default_rank(self) -> bool:
        head_dim = whole_of(self.runs[0].setting(HEAD_DIM))
        return self.is_latent and head_dim is not None and self.latent_rank == RATIO_OF_RANK * head_dim

    @property
    def is_plain(self) -> bool:
        """A variant as others know it: with rotary embedding, and with its latent's norm."""
        sizes = dict(self.variant)
        return sizes.get(ROPE_DIM) != "0" and not sizes.get(LATENT_NORM)

    @property
    def cache_bytes(self) -> float | None:
        """Of a token, over all layers."""
        return self.runs[0].constant("cache_bytes_per_token")

    @property
    def parameters(self) -> float | None:
        return self.runs[0].constant("model_parameter_count")

    @property
    def decode_s(self) -> float | None:
        """Mean of the seeds' medians."""
        taken = [run.decode_s for run in self.runs if run.decode_s is not None]
        return sum(taken) / len(taken) if taken else None

    @property
    def chance(self) -> float | None:
        return self.runs[0].chance()

    @property
    def task(self) -> str:
        return self.runs[0].task

    @property
    def label(self) -> str:
        return self.runs[0].current.label

    @property
    def facets(self) -> dict[str, str]:
        return name_facets(self.runs[0].record.case.axes) | {"label": self.label}

    def by_seed(self, value: Value) -> dict[str, float]:
        """Of each seed that has it."""
        return {run.seed: found for run in self.runs if (found := value(run)) is not None}

    def values(self, value: Value) -> list[float]:
        return list(self.by_seed(value).values())


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """Arms that may be held against each other."""

    setting: Pairs
    title: str
    arms: Sequence[Arm]
    """From the widest kind of cache to the most compressed, and of a kind the widest first."""
    reference: Arm | None
    """MHA; where only match=heads has it, that one, which no matching changes."""

    @property
    def task(self) -> str:
        return self.value("task")

    @property
    def label(self) -> str:
        return self.value("label")

    @property
    def match(self) -> str:
        return self.value("match")

    def value(self, name: str) -> str:
        return dict(self.setting).get(name, "")

    @property
    def others(self) -> list[Arm]:
        return [arm for arm in self.arms if arm is not self.reference]


@functools.lru_cache(maxsize=1)
def studies(results: Results) -> Sequence[Study]:
    """Every study, task by task, those with the most arms first."""
    arms = arms_of([one for one in results.records if one.record.case.workload == WORKLOAD])
    found = grouped(arms, lambda arm: arm.setting)
    titles = titles_of(list(found), has_labels=results.several)
    references = {key: next((arm for arm in of_key if arm.is_mha), None) for key, of_key in found.items()}
    made = [
        Study(
            setting=key,
            title=titles[key],
            arms=sorted(of_key, key=order),
            reference=references[key] or references.get(with_value(key, "match", "heads")),
        )
        for key, of_key in found.items()
    ]
    labels = list(results.labels)
    return sorted(
        made, key=lambda one: (labels.index(one.label), task_rank(one.task), -len(one.arms), _by_number(one.title))
    )


def arms_of(records: Sequence[CurrentRecord]) -> list[Arm]:
    """Of records that somebody named differently and that are the same, the newest counts."""
    names = named_in((one.record for one in records), ignored=("seed", *WITHOUT_EFFECT))
    runs: dict[tuple[Pairs, str], QualityRun] = {}
    failed: Counter[Pairs] = Counter()
    for current in records:
        key = _key(current, names)
        run = read_quality_run(current)
        if run is None:
            failed[key] += 1
        elif (key, run.seed) not in runs or started_at(run.record) > started_at(runs[key, run.seed].record):
            runs[key, run.seed] = run
    by_key: dict[Pairs, list[QualityRun]] = {}
    for (key, _), run in runs.items():
        by_key.setdefault(key, []).append(run)
    widths = Counter(run.setting(HEAD_DIM) for of_key in by_key.values() for run in of_key)
    usual = widths.most_common(1)[0][0] if widths else ""
    return [
        Arm(
            variant=tuple(pair for pair in key if _is_of_variant(pair[0])),
            setting=tuple(pair for pair in key if not _is_of_variant(pair[0])),
            runs=sorted(of_key, key=lambda run: (len(run.seed), run.seed)),
            failed=failed[key],
            is_wide=of_key[0].setting(HEAD_DIM) == usual,
        )
        for key, of_key in by_key.items()
    ]


def titles_of(keys: Sequence[Pairs], *, has_labels: bool) -> dict[Pairs, Text]:
    """Each by its task, and by what else tells it from others of its task."""
    titles = {}
    for key in keys:
        said = dict(key)
        alike = [other for other in keys if dict(other).get("task") == said.get("task")]
        differ = differing(alike)
        parts = [said.get("task", "")] + ([said.get("label", "")] if has_labels else [])
        parts += [
            f"{name.removeprefix('task.')}={value}"
            for name in dict.fromkeys(name for other in alike for name, _ in other)
            if name in differ and name not in ("task", "label")
            if (value := said.get(name) or DEFAULTS.get(name, "")) and (name, value) not in UNSAID
        ]
        titles[key] = joined(" · ", filter(None, parts))
    return titles


def with_value(key: Pairs, name: str, value: str) -> Pairs:
    return tuple((one, value if one == name else other) for one, other in key)


def without_names(key: Pairs, names: Iterable[str]) -> Pairs:
    left = set(names)
    return tuple(pair for pair in key if pair[0] not in left)


def order(arm: Arm) -> tuple[tuple[int, str], float, Pairs]:
    return rank(arm.attention), -(arm.cache_bytes or 0.0), arm.variant


def task_rank(task: str) -> tuple[int, str]:
    return (TASKS.index(task) if task in TASKS else len(TASKS), task)


def asked_of(arm: Arm) -> str:
    """How task=tiers asked."""
    return dict(arm.setting).get(ASKED) or UNEVENLY


def longest_trained(found: Iterable[tuple[Study, Arm]]) -> list[tuple[Study, Arm]]:
    """Of arms that differ in their updates alone, the one with the most: what comes late is no ceiling."""
    longest: dict[tuple[Pairs, Pairs], tuple[Study, Arm]] = {}
    for study, arm in found:
        key = without_names(study.setting, [UPDATES]), arm.variant
        if key not in longest or _updates(study) > _updates(longest[key][0]):
            longest[key] = study, arm
    return list(longest.values())


def number_of(text: str) -> float | None:
    """A setting that is a number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 1e15 else None


def whole_of(text: str) -> int | None:
    """A setting that is a whole number above zero."""
    value = number_of(text)
    return int(value) if value is not None and value == int(value) and 0 < value < 1 << 31 else None


def _key(current: CurrentRecord, names: Iterable[str]) -> Pairs:
    said = without_names(case_key(current.record, names, DEFAULTS), ("seed",))
    return (*said, ("label", current.label))


def _updates(study: Study) -> float:
    return number_of(study.value(UPDATES)) or 0.0


def _by_number(title: str) -> list[tuple[float, str]]:
    """Sorts pairs=16 behind pairs=4."""
    return [(float(part), "") if part.isdecimal() else (0.0, part) for part in NUMBERS.split(title[:MOST_LETTERS])]


def _is_of_variant(name: str) -> bool:
    return name == "attention" or name.startswith(OF_A_VARIANT)
