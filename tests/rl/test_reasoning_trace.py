from suite.rl.reasoning_trace import corrects_itself, majority_vote, parsed_answers, reasoning_traces
from suite.rl.tasks.task import tokens

COMPLETIONS = [
    tokens(text)
    for text in ("<think>21!12</think><answer>12</answer>", "<think>12", "<answer>1</answer><answer>2</answer>", "!")
]


def test_a_trace_stands_between_its_tags():
    thoughts = reasoning_traces(COMPLETIONS)
    assert thoughts == [list("21!12"), None, None, None]
    assert corrects_itself(thoughts[0])
    assert not corrects_itself(list("12"))


def test_of_several_answers_or_none_there_is_none():
    assert parsed_answers(COMPLETIONS) == ["12", "", "", ""]


def test_the_first_of_the_commonest_answers_wins():
    assert majority_vote(["3", "1", "1", "2"], 4) == [0, 1, 1, 0]
    assert majority_vote(["3", "1", "1", "3"], 4) == [1, 0, 0, 1]
    assert majority_vote(["1", "1", "2", "2", "2", "1"], 3) == [1, 1, 0, 1, 1, 0]


def test_a_missing_answer_has_no_vote():
    assert majority_vote(["", "", "", "2"], 4) == [0, 0, 0, 1]
    assert majority_vote(["", ""], 2) == [0, 0]
