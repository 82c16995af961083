"""What was measured over what was projected for the same model and settings, and what an allocator held over both."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from suite.records.derived import noted
from suite.report.rl_memory import Holding, said, setting_text
from suite.report.rl_memory_setups import Arm, Setup

SAME_COUNTS = ("policy_parameter_count", "critic_parameter_count")
SAME_SETTINGS = (
    "attention",
    "num_generations",
    "prompts_per_step",
    "micro_batch",
    "kl_coef",
    "critic",
    "update_order",
    "optimiser",
    "logits_chunk",
    "dtype",
)
"""In what a run and its projection agree, where both say it."""
OF_A_RUN = {
    "checkpointing": "false",
    "reference": "device",
    "reward_model": "none",
    "engine": "shared",
    "shards": "1",
}
"""What a run has that does not say otherwise."""
OTHERWISE = {"micro_batch": "minibatch", "dtype": "precision"}
"""What holds where a setting is not given: a whole minibatch at once, and a projection's word for its dtype."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Check:
    """One phase of a run."""

    setup: Setup
    arm: Arm
    phase: str
    projection: Holding | None
    """Of the same model and settings, its tokens aside, which a run samples as they come."""

    @property
    def projected(self) -> float | None:
        held = self.projection.phases.get(self.phase) if self.projection else None
        return held.peak if held else None

    @property
    def projected_tokens(self) -> str:
        """A prompt and its completion in the projection."""
        return said(self.projection.record, "seq_len") if self.projection else ""

    @property
    def measured(self) -> float:
        return self.arm.holding.phases[self.phase].peak

    @property
    def allocator(self) -> float | None:
        return self.arm.holding.phases[self.phase].allocator


def checks(found: Sequence[Setup]) -> list[Check]:
    """Of runs that have a projection or an allocator to be held against; a projection for each that fits."""
    projections = [arm.holding for setup in found if not setup.is_measured for arm in setup.arms]
    rows = [
        Check(setup=setup, arm=arm, phase=phase, projection=projection)
        for setup in found
        if setup.is_measured
        for arm in setup.arms
        for projection in _projections(arm.holding, projections)
        for phase in arm.holding.phases
    ]
    return [row for row in rows if row.projected is not None or row.allocator is not None]


def _projections(run: Holding, projections: Iterable[Holding]) -> Sequence[Holding | None]:
    """Those of the same model and settings; the one that is none where there are none."""
    return [one for one in projections if one.algorithm == run.algorithm and _is_same(run, one)] or [None]


def _is_same(run: Holding, projection: Holding) -> bool:
    counts = [[noted(one.record, "case", name) for one in (run, projection)] for name in SAME_COUNTS]
    if counts[0][0] is None or any(measured != projected for measured, projected in counts):
        return False
    pairs = [(_setting(run, name), _setting(projection, name)) for name in SAME_SETTINGS]
    pairs += [(_setting(run, name) or usual, _setting(projection, name)) for name, usual in OF_A_RUN.items()]
    alike = all(ours == theirs for ours, theirs in pairs if ours and theirs)
    return alike and _setting(run, "lora_rank") == _setting(projection, "lora_rank")


def _setting(holding: Holding, name: str) -> str:
    """By the case, or by what its record resolved."""
    for one in filter(None, (name, OTHERWISE.get(name))):
        value = holding.record.settings.get(one)
        if text := said(holding.record, one) or setting_text(value):
            return text
    return ""
