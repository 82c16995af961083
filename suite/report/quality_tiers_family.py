"""Studies of task=tiers that belong together: the same sizes, asked in several forms and trained for longer.

A tier is always the same attributes. How often it is asked is its form's: the third tier is asked rarely where asking
is uneven, and most often where it is swapped.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from suite.report.alike import grouped
from suite.report.blocks import Text, say, say_or
from suite.report.model.results import Results
from suite.report.quality_run import ASKED, TIERS, UNEVENLY, QualityRun
from suite.report.quality_runs import (
    TIERS_TASK,
    UPDATES,
    Arm,
    Study,
    Value,
    asked_of,
    number_of,
    order,
    studies,
    titles_of,
    without_names,
)

SHARES = (0.85, 0.12, 0.03)
"""Of the questions, by tier, where they are asked unevenly (suite/quality/tasks/tiers.py)."""
MIXES = {"trained": SHARES, "evenly": (1 / 3, 1 / 3, 1 / 3), "swapped": SHARES[::-1]}
"""Ways to ask a decoder that was trained on uneven questions."""
EVENLY = "evenly"
FORMS = (UNEVENLY, EVENLY, "evenly_weighted", "swapped", "turned")


@dataclass(frozen=True, kw_only=True)
class Form:
    """One arm of a variant, and how it was trained."""

    arm: Arm
    asked: str
    times: float
    """Its updates over the family's usual ones."""

    def said(self) -> Text:
        form = say_or(f"quality_tiers.form.{self.asked}", self.asked)
        return form if self.times == 1 else say("quality_tiers.longer", form=form, times=f"{self.times:.3g}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    title: str
    main: Study
    """Asked unevenly, with the number of updates that most variants have."""
    uneven: Sequence[Study]
    """Asked unevenly, with any number of updates; `main` is one of them."""
    arms: Sequence[Arm]
    """In every form."""

    @property
    def usual_updates(self) -> float | None:
        return number_of(self.main.value(UPDATES))

    @property
    def tiers(self) -> list[str]:
        """Those that an arm has answers of."""
        return [tier for tier in TIERS if any(arm.values(tier_share(tier)) for arm in self.main.arms)]

    def forms_of(self, arm: Arm) -> list[Form]:
        """In which the arm's variant was trained, the arm's own first."""
        usual = self.usual_updates
        found = []
        for other in self.arms:
            updates = number_of(dict(other.setting).get(UPDATES, ""))
            if other.variant == arm.variant and usual and updates:
                found.append(Form(arm=other, asked=asked_of(other), times=updates / usual))
        return sorted(found, key=lambda form: (form.arm is not arm, form.times, _form_rank(form.asked)))

    @property
    def with_forms(self) -> list[tuple[Arm, list[Form]]]:
        """Variants that were trained in several forms: MHA, then latents, then others, the most forms first."""
        found = [(arm, forms) for arm in self.main.arms if len(forms := self.forms_of(arm)) > 1]
        return sorted(found, key=lambda pair: (not pair[0].is_mha, not pair[0].is_latent, -len(pair[1])))

    @property
    def looked_into(self) -> list[Arm]:
        """Whose heads are shown: MHA's, and those of latents that were trained in several forms, else of all."""
        several = [arm for arm, _ in self.with_forms if arm.is_latent]
        latents = several or [arm for arm in self.main.arms if arm.is_latent and arm.is_plain]
        return [*(arm for arm in self.main.arms if arm.is_mha), *latents]


@functools.lru_cache(maxsize=1)
def families(results: Results) -> Sequence[Family]:
    """Of each that was asked unevenly, the ones with the most variants first."""
    of_task = [study for study in studies(results) if study.task == TIERS_TASK]
    found = grouped(of_task, lambda study: without_names(study.setting, (ASKED, UPDATES)))
    titles = titles_of(list(found), has_labels=results.several)
    made = [_family(titles[key], of_key) for key, of_key in found.items()]
    return sorted(filter(None, made), key=lambda one: (-len(one.main.arms), one.title))


def tier_share(tier: str) -> Value:
    def final(run: QualityRun) -> float | None:
        return run.final(tier)

    return final


def mix_share(shares: Sequence[float]) -> Value:
    """Of questions that are asked in this mix of tiers."""

    def asked(run: QualityRun) -> float | None:
        finals = [run.final(tier) for tier in TIERS]
        known = [final for final in finals if final is not None]
        if len(known) < len(finals):
            return None
        return sum(share * final for share, final in zip(shares, known, strict=True))

    return asked


def _family(title: str, of_key: Sequence[Study]) -> Family | None:
    uneven = [study for study in of_key if not study.value(ASKED)]
    if not uneven:
        return None
    main = max(uneven, key=lambda study: (len(study.arms), sum(len(arm.runs) for arm in study.arms)))
    arms = sorted((arm for study in of_key for arm in study.arms), key=order)
    return Family(title=title, main=main, uneven=uneven, arms=arms)


def _form_rank(asked: str) -> int:
    return FORMS.index(asked) if asked in FORMS else len(FORMS)
