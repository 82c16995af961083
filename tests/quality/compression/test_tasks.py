"""The three small tasks: what is right is what the text, the passage or the list says."""

import pytest
import torch

from suite.quality.compression.tasks import TASKS, make_tasks

WINDOW = [5, 9, 5, 7, 3, 8, 2, 6, 1, 4, 9, 0, 11, 12, 13, 14]


def right_tokens(choices):
    return [row[right] for row, right in zip(choices.candidates_QC, choices.right_Q, strict=True)]


def test_the_right_answer_is_the_token_that_follows_or_the_lists():
    tasks = make_tasks(WINDOW, step=3)
    assert tuple(tasks) == TASKS
    assert right_tokens(tasks["continuation"]) == WINDOW[1:]
    copying = tasks["copying"]
    assert list(copying.tokens_S) == WINDOW[:8] * 2
    for name in ("copying", "look_up"):
        tokens = tasks[name].tokens_S
        assert right_tokens(tasks[name]) == [tokens[place + 1] for place in tasks[name].places_Q]
    listed = tasks["look_up"].tokens_S
    pairs = dict(zip(listed[:8:2], listed[1:8:2], strict=True))
    assert len({*pairs, *pairs.values()}) == 8
    assert [pairs[listed[place]] for place in tasks["look_up"].places_Q] == right_tokens(tasks["look_up"])
    assert make_tasks(WINDOW, step=3) == tasks != make_tasks(WINDOW, step=4)


@pytest.mark.parametrize(
    ("name", "answers", "guessed"), [("continuation", 15, 3.75), ("copying", 7, 1), ("look_up", 4, 1)]
)
def test_answers_are_counted_and_guessing_is_known(name, answers, guessed):
    choices = make_tasks(WINDOW, step=0)[name]
    assert (len(choices.places_Q), answers / len(choices.candidates_QC[0])) == (answers, guessed)
    logits_SV = torch.zeros(len(choices.tokens_S), 15)
    for place, token in zip(choices.places_Q, right_tokens(choices), strict=True):
        logits_SV[place, token] = 1
    assert choices.right_answers(logits_SV) == answers
    assert choices.right_answers(-logits_SV) == 0
