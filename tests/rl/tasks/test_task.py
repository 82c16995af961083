"""The promises of every task, checked for each task of our own that has a file in conf/task."""

import random
import re
from types import SimpleNamespace

import pytest

from suite.configuration.files import choices, read_choice
from suite.rl.tasks.task import CHARACTERS, CORRECTION, HELD_OUT_OF, TAGS, Item, draw, is_held_out, make, parse, tokens

# Of documents for prompts to train on: in the asked form, and answered rightly in whatever form. 20,000 of each task
# gave 0.040 and 0.0065 (sort), 0.040 and 0.031 (addition), 0.039 and 0.024 (countdown), 0.039 and 0.032 (postfix).
SHARES = {
    "sort": ((0.03, 0.05), (0.003, 0.01)),
    "addition": ((0.03, 0.05), (0.02, 0.04)),
    "countdown": ((0.03, 0.05), (0.015, 0.035)),
    "postfix": ((0.03, 0.05), (0.02, 0.045)),
}
OF_OTHERS = {"reasoning_gym"}  # tests/parity has its promises
OF_RL = {name for name in choices("task") if read_choice("task", name).get("_target_", "").startswith("suite.rl.")}
EVERY_TASK = pytest.mark.parametrize("name", sorted(OF_RL - OF_OTHERS))


def task_named(name, **changed):
    return make({"task": {**read_choice("task", name), **changed}})


def thought_of(task, item, generator):
    solution = tokens(task.solution(item, generator))
    return solution[parse(solution).thought]


def items(task, count=200, seed=0):
    generator = random.Random(seed)
    return [task.item(generator) for _ in range(count)]


@EVERY_TASK
def test_a_solution_is_right_in_form_and_steps_and_fits(name):
    task, generator = task_named(name), random.Random(1)
    for item in items(task):
        completion = tokens(task.solution(item, generator))
        score = task.score(item, completion)
        assert (score.accuracy, score.format) == (1.0, 1.0)
        assert all(step.reward == 1.0 for step in score.steps)
        assert bool(score.steps) is task.has_steps
        assert len(completion) < task.longest_completion


@EVERY_TASK
def test_one_seed_gives_the_same_items_and_documents(name):
    def course():
        task, generator = task_named(name), random.Random(7)
        drawn = [task.item(generator) for _ in range(50)]
        return [(item, task.document(item, generator), task.solution(item, generator)) for item in drawn]

    assert course() == course()


@EVERY_TASK
def test_prompts_are_equally_long_and_of_known_characters(name):
    task, generator = task_named(name), random.Random(2)
    drawn = items(task)
    assert len({len(item.prompt) for item in drawn}) == 1
    for item in drawn:
        assert set(item.prompt) <= set(CHARACTERS)
        assert set(tokens(task.document(item, generator))) <= {*CHARACTERS, *TAGS}
        assert set(tokens(task.solution(item, generator))) <= {*CHARACTERS, *TAGS}


@EVERY_TASK
def test_both_splits_hold_256_prompts_and_share_no_content(name):
    task, generator = task_named(name), random.Random(3)
    split = {held_out: [draw(task, generator, held_out=held_out) for _ in range(600)] for held_out in (True, False)}
    for drawn in split.values():
        assert len({item.prompt for item in drawn}) >= 256
    held_out, trained_on = ({item.content for item in drawn} for drawn in split.values())
    assert not held_out & trained_on


@EVERY_TASK
def test_scorers_take_any_tokens_and_stay_within_bounds(name):
    task, generator = task_named(name), random.Random(4)
    item = task.item(generator)
    junk = [*CHARACTERS, *TAGS * 8, *item.answer * 4, "", "12", "\u00b2", "<pad>"]
    for _ in range(2000):
        completion = generator.choices(junk, k=generator.randint(0, 40))
        if generator.random() < 0.5:
            completion = ["<think>", *completion[:10], "</think>", "<answer>", *completion[10:], "</answer>"]
        score = task.score(item, completion)
        assert score.accuracy in (0.0, 1.0)
        assert score.format in (0.0, 1.0)
        ends = [step.end for step in score.steps]
        assert ends == sorted(set(ends))
        assert all(0 <= end < len(completion) for end in ends)
        assert all(0.0 <= part <= 1.0 for part in score.parts.values())


@EVERY_TASK
def test_an_answer_counts_only_in_the_only_answer_tags(name):
    task, generator = task_named(name), random.Random(5)
    for item in items(task, 20):
        right = tokens(item.answer)
        thought = tokens(task.solution(item, generator))[: -2 - len(right)]
        pair = ["<answer>", *right, "</answer>"]
        assert task.score(item, pair).accuracy == 1.0
        assert task.score(item, pair).format == 0.0
        for wrong in (
            right,
            [*thought, "<answer>", *right],
            [*thought, *pair, *pair],
            [*thought, "<answer>", *right, right[-1], "</answer>"],
            [*thought, "<answer>", " ", *right, "</answer>"],
            [*thought, "<answer>", *right[:-1], "</answer>"],
            [*thought, "<answer>", *right, ",", *right, "</answer>"],
            [*thought, "<answer>", "<think>", *right, "</answer>"],
            [*thought, "</answer>", *right, "<answer>"],
            [*thought, "<answer>", "</answer>"],
        ):
            assert task.score(item, wrong).accuracy == 0.0, wrong


@EVERY_TASK
def test_the_corpus_seldom_shows_form_or_right_answer(name):
    task, generator = task_named(name), random.Random(6)
    count = 4_000
    well_formed, right = 0.0, 0.0
    for _ in range(count):
        item = draw(task, generator, held_out=False)
        document = tokens(task.document(item, generator))
        assert len(document) < task.longest_completion
        score = task.score(item, document)
        well_formed, right = well_formed + score.format, right + score.accuracy
    (least_formed, most_formed), (least_right, most_right) = SHARES[name]
    assert least_formed < well_formed / count < most_formed
    assert least_right < right / count < most_right


@pytest.mark.parametrize("name", ["sort", "addition"])
def test_some_thoughts_may_correct_themselves_and_all_fit(name):
    plain, task, generator = task_named(name), task_named(name, corrections=0.3), random.Random(8)
    documents = [tokens(task.document(draw(task, generator, held_out=False), generator)) for _ in range(2000)]
    assert 0.26 < sum(CORRECTION in document for document in documents) / 2000 < 0.34
    assert max(map(len, documents)) < task.longest_completion
    item = task.item(generator)
    attempt = thought_of(plain, item, generator)
    twice = [*attempt, CORRECTION, *attempt]
    completion = ["<think>", *twice, "</think>", "<answer>", *item.answer, "</answer>"]
    assert len(completion) < task.longest_completion
    assert len(completion) >= plain.longest_completion
    score = task.score(item, completion)
    assert (score.accuracy, score.format, list(score.steps)) == (1.0, 1.0, [])
    assert not task.has_steps
    assert CORRECTION not in task.solution(item, generator)


def test_a_fifth_of_contents_is_held_out_on_every_machine():
    held_out = sum(is_held_out(str(number)) for number in range(5000))
    assert held_out / 5000 == pytest.approx(1 / HELD_OUT_OF, abs=0.02)
    assert [is_held_out(content) for content in ("2457", "0000", "1234")] == [False, False, False]


def test_well_formed_needs_each_tag_once_and_nothing_around():
    assert parse(tokens("<think>12</think><answer>3</answer>")).is_well_formed
    assert parse(tokens("<think></think><answer></answer>")).is_well_formed
    for text in (
        "",
        "1<think>12</think><answer>3</answer>",
        "<think>12</think>1<answer>3</answer>",
        "<think>12</think><answer>3</answer>1",
        "<think>12</think><think></think><answer>3</answer>",
        "<answer>3</answer><think>12</think>",
        "<think>12<answer>3</answer></think>",
        "<think>12</think><answer>3",
    ):
        assert not parse(tokens(text)).is_well_formed, text


def test_a_split_without_items_is_an_error():
    only = Item(prompt="a", content="2457", answer="a")
    task = SimpleNamespace(item=lambda generator: only)
    assert draw(task, random.Random(0), held_out=is_held_out("2457")) is only
    with pytest.raises(ValueError, match=r"must leave it contents of both splits; none of 10000 items is held-out"):
        draw(task, random.Random(0), held_out=True)


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("sort", {"digits": 10}, "task.digits must be a whole number from 2 to 9; got 10"),
        ("addition", {"digits": 0}, "task.digits must be a whole number from 1 to 6; got 0"),
        ("addition", {"corrections": 1.1}, "task.corrections must be a share from 0 to 1; got 1.1"),
        ("addition", {"corrections": True}, "task.corrections must be a share from 0 to 1; got True"),
        ("countdown", {"numbers": 5}, "task.numbers must be a whole number from 2 to 4; got 5"),
        ("postfix", {"inputs": 3}, "task.inputs must be a whole number from 1 to 2; got 3"),
        ("postfix", {"operations": "1"}, "task.operations must be a whole number from 1 to 2; got '1'"),
        ("postfix", {"largest_constant": 9}, "task.largest_constant must be a whole number from 3 to 5; got 9"),
        ("postfix", {"cases": None}, "task.cases must be a whole number from 2 to 6; got None"),
        ("postfix", {"held_out": "prompts"}, "task.held_out must be one of cases, functions; got 'prompts'"),
        ("sort", {"_target_": "suite.rl.tasks.nothing.Nothing"}, "cannot load 'suite.rl.tasks.nothing.Nothing'"),
    ],
)
def test_what_makes_no_task_is_refused_by_name(name, changes, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        task_named(name, **changes)


@pytest.mark.parametrize("name", SHARES)
def test_a_question_in_words_says_all_that_the_prompt_says(name):
    task = task_named(name)
    for item in items(task, count=20):
        asked = {int(number) for number in re.findall(r"\d+", task.question(item))}
        if name == "postfix":
            shown = [case.split(":") for case in item.prompt[1:-1].split(";")]
            wanted = {int(number) for values, output in shown for number in (*values, output)}
        else:
            wanted = {int(number) for number in re.findall(r"\d+", item.prompt)}
        assert asked == wanted


def test_a_line_break_is_a_token_and_breaks_the_form():
    completion = tokens("<think>1</think>\n<answer>1</answer>")
    assert "\n" in completion
    assert not parse(completion).is_well_formed
