"""What is made of results is made once, and no other results are answered with it."""

from dataclasses import replace

from suite.report.model.results import cached_by_results
from tests.records.factory import build
from tests.report.quality_records import in_memory


def test_results_hold_what_was_made_of_them():
    made = []

    @cached_by_results
    def make(results, kind="usual"):
        made.append((results, kind))
        return len(made)

    results = in_memory(build())
    assert (make(results), make(results, "other"), make(results), make(results, "other")) == (1, 2, 1, 2)
    assert make(replace(results)) == 3
    assert [kind for _, kind in made] == ["usual", "other", "usual"]
