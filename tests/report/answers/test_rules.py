"""A rule is older than the records that it rules on, or its verdict says that it is not; fresh runs decide alone."""

import hashlib
import json

import numpy as np

from suite.configuration.files import choices, read_yaml
from suite.records.derived import possible_time
from suite.report.answers.claims import claims, rule_fixed_at, verdicts_on
from suite.report.page.texts import load_texts
from suite.statistics.paired import changes
from suite.statistics.pooled import Pooled, checked_conclusion
from tests.report.quality_records import in_memory
from tests.report.rl.runs import named, run

EN = load_texts("en")
BEFORE, AFTER = "2026-01-01T00:00:00+00:00", "2026-12-02T20:00:00+00:00"
YOUNGER = "The rule was made after these records."
PRESENTATION = ("says", "on_card", "leads_card", "tells_published")
"""Fields of a question that choose what is shown, and decide nothing."""


def recipes(ours, theirs, started_at, first_seed=0, against="sft"):
    records = []
    for name, finals in (("cold_start", ours), (against, theirs)):
        for seed, final in enumerate(finals, first_seed):
            evaluated = run([0.1, final], seed=seed)
            records.append(named(evaluated, recipe=name, steps=50, started_at=started_at))
    return records


def stages_add(*records):
    return verdicts_on(in_memory(*records))["stages-add"]


HIGH, LOW = [0.90, 0.92, 0.91, 0.90, 0.92], [0.50, 0.51, 0.49, 0.50, 0.50]


def test_a_rule_younger_than_the_records_says_so():
    assert EN.render(stages_add(*recipes(HIGH, LOW, BEFORE)).flips).endswith(YOUNGER)
    assert YOUNGER not in EN.render(stages_add(*recipes(HIGH, LOW, AFTER)).flips)


def test_fresh_runs_decide_alone_whatever_they_say():
    old = recipes(HIGH, LOW, BEFORE)
    verdict = stages_add(*old, *recipes(LOW, HIGH, AFTER, first_seed=5))
    text = EN.render(verdict.flips)
    assert (EN.render(verdict.word), verdict.pairs) == ("contradicted", 5)
    assert "Decided by fresh runs" in text
    assert "Earlier records, by the same rule: supported." in text
    # Four are too few to decide; then all count, under a rule that is younger than most.
    few = stages_add(*old, *recipes(LOW[:4], HIGH[:4], AFTER, first_seed=5))
    assert EN.render(few.flips).endswith(YOUNGER)


def test_a_claim_that_was_looked_at_twice_says_so():
    old = recipes(HIGH, LOW, BEFORE, against="r1_zero")
    fresh = recipes(HIGH, LOW, AFTER, first_seed=5, against="r1_zero")
    for records in (old, [*old, *fresh]):
        verdict = verdicts_on(in_memory(*records), "cold-start-helps")["cold-start-helps"]
        assert EN.render(verdict.flips).endswith(
            "Their number was raised after a first look, so their verdict needs p < 0.0294."
        )
    assert "first look" not in EN.render(stages_add(*recipes(HIGH, LOW, BEFORE)).flips)


def test_what_chance_has_no_part_in_has_no_date():
    dated = {claim["id"] for claim in claims() if rule_fixed_at(claim)}
    assert dated == {claim["id"] for claim in claims() if claim["evidence"] in ("seeds", "launches")}
    for claim in claims():
        if "confirmed_by" in claim:
            assert claim["confirmed_by"] in choices("sweep")


def test_a_claim_whose_own_rule_changed_later_has_that_date():
    claim = next(claim for claim in claims() if claim["id"] == "stages-add")
    later = "2026-12-02T14:50:00+00:00"
    assert rule_fixed_at({**claim, "fixed": later}) == possible_time(later) > rule_fixed_at(claim)


def decided_by(trial):
    """A trial without what is only shown."""
    if isinstance(trial, dict):
        return {name: decided_by(value) for name, value in trial.items() if name not in PRESENTATION}
    return [decided_by(item) for item in trial] if isinstance(trial, list) else trial


def digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]


def conclusions():
    """What the rule in code says of a hundred made-up sets of units, with and without checks."""
    random = np.random.default_rng(0)
    words = []
    for _ in range(100):
        means = random.normal(scale=random.choice([0.0, 0.02, 0.1]), size=random.integers(1, 8))
        units = [changes(list(mean + random.normal(scale=0.03, size=6)), margin=0.02) for mean in means]
        pooled = Pooled(tuple(units))
        checks = [pooled.without(place) for place in range(len(units) if len(units) > 1 else 0)]
        words += [pooled.conclusion.value, checked_conclusion(pooled, checks).value]
    return words


def test_a_changed_rule_has_a_new_date():
    """If this fails, a rule changed: give it the time of the change under `fixed` in conf/claims.yaml, then its digest.

    A claim's own `fixed` where only its trial changed; the one at the top where the rule in code did.
    """
    digests = read_yaml("claims.yaml")["digests"]
    rules = {claim["id"]: [claim.get("fixed"), decided_by(claim["trial"])] for claim in claims() if "trial" in claim}
    in_code = [read_yaml("claims.yaml")["fixed"]["seeds"], conclusions()]
    assert digests == {"in code": digest(in_code), **{name: digest(rule) for name, rule in rules.items()}}
