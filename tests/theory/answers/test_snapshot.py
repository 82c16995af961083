"""What was answered to many questions is still answered."""

import json

import pytest

from tests.theory.answers.snapshot import SNAPSHOT, answered

LINES = [json.loads(line) for line in SNAPSHOT.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("workload", ["serve", "train", "capacity", "layers"])
def test_the_same_questions_have_the_same_answers(workload):
    """Where they are to have others: `python -m tests.theory.answers.snapshot`, and look at what git shows."""
    lines = [(asked, answer) for kind, asked, answer in LINES if kind == workload]
    assert len(lines) > 40
    assert [asked for asked, answer in lines if answered(workload, asked) != answer] == []
