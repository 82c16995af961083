"""What other questions of a claim leave of a supported one."""

from types import SimpleNamespace

import pytest

from suite.report.answers.claims import Standing
from suite.report.answers.decide import outcome_within
from suite.statistics.pooled import Conclusion

UNLESS_LOWER = {"lower": "contradicted"}
UNLESS_HIGHER = {"higher": "supported", "else": "depends"}


@pytest.mark.parametrize(
    ("alone", "limits", "outcome", "limiting"),
    [
        ("supported", [], "supported", []),
        ("supported", [({}, "lower")], "supported", []),
        ("supported", [(UNLESS_LOWER, "higher")], "supported", []),
        ("supported", [(UNLESS_LOWER, "lower")], "contradicted", [0]),
        ("supported", [(UNLESS_HIGHER, "higher")], "supported", []),
        ("supported", [(UNLESS_HIGHER, "open")], "depends", [0]),
        ("supported", [({}, "open"), (UNLESS_HIGHER, "open"), (UNLESS_LOWER, "lower")], "depends", [1, 2]),
        ("contradicted", [(UNLESS_HIGHER, "open")], "contradicted", []),
        ("open", [(UNLESS_LOWER, "lower")], "open", []),
    ],
)
def test_the_first_question_that_limits_a_supported_claim_sets_its_standing(alone, limits, outcome, limiting):
    answered = [({"unless": unless}, SimpleNamespace(conclusion=Conclusion(said))) for unless, said in limits]
    standing, limited_by = outcome_within(Standing(alone), answered)
    assert (standing, list(map(answered.index, limited_by))) == (Standing(outcome), limiting)
