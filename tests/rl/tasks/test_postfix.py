"""Writing programs: what is shown tells the function apart, and a program is judged on all cases."""

import itertools
import random

import pytest

from suite.rl.tasks.postfix import Postfix, run
from suite.rl.tasks.task import Item, draw, is_held_out, tokens

SETTINGS = {"inputs": 2, "operations": 1, "largest_constant": 3, "cases": 3, "held_out": "cases"}
POSTFIX = Postfix(SETTINGS)
ITEM = Item(prompt="p38:11;25:07;94:13=", content="xy+", answer="xy+")


def score(answer, item=ITEM):
    return POSTFIX.score(item, tokens(f"<think></think><answer>{answer}</answer>"))


@pytest.mark.parametrize("answer", ["xy+", "yx+", "x0+y+", "xyw+", "xd-x+y+", "x0y--", "xydp+"])
def test_any_program_of_the_function_is_right(answer):
    right = score(answer)
    assert right.accuracy == 1.0
    assert right.parts == {"compiles": 1.0, "cases_passed": 1.0}


def test_a_program_that_does_not_compile_passes_nothing():
    for answer in ("xy", "x+", "", "xy+="):
        wrong = score(answer)
        assert (wrong.accuracy, wrong.format) == (0.0, 1.0)
        assert wrong.parts == {"compiles": 0.0, "cases_passed": 0.0}


def test_a_program_that_fits_some_of_what_is_shown_says_how_many_and_is_not_right():
    wrong = score("y3+")
    assert wrong.accuracy == 0.0
    assert wrong.parts == {"compiles": 1.0, "cases_passed": pytest.approx(1 / 3)}


def test_a_program_that_fits_all_that_is_shown_and_not_what_is_hidden_is_not_right():
    # x + y + (x - 3)(x - 2)(x - 9) is the sum wherever the prompt looks.
    hacking = score("xy+x3-x2-x9-**+")
    assert hacking.parts == {"compiles": 1.0, "cases_passed": 1.0}
    assert hacking.accuracy == 0.0


def test_a_program_that_grows_out_of_bounds_is_wrong_and_harmless():
    assert score("x" + "d*" * 12).accuracy == 0.0


EVERY_SHAPE = [
    *itertools.product((1, 2), (1,), (3, 5), (2, 6)),
    *itertools.product((1,), (2,), (3, 5), (2, 6)),
    (2, 2, 3, 3),
]


@pytest.mark.parametrize("held_out", ["cases", "functions"])
@pytest.mark.parametrize(("inputs", "operations", "largest_constant", "cases"), EVERY_SHAPE)
def test_every_setting_draws_items_of_both_splits_that_their_answers_solve(
    inputs, operations, largest_constant, cases, held_out
):
    changed = {"inputs": inputs, "operations": operations, "largest_constant": largest_constant, "cases": cases}
    task = Postfix({**changed, "held_out": held_out})
    generator = random.Random(0)
    for side in [True, False] * 10:
        item = draw(task, generator, held_out=side)
        assert is_held_out(item.content) is side
        shown = [case.split(":") for case in item.prompt[1:-1].split(";")]
        assert len({values for values, _ in shown}) == cases
        for values, output in shown:
            given = dict(zip("xy", map(int, values), strict=False))
            assert run(item.answer, given) == int(output)
        completion = tokens(task.solution(item, generator))
        assert task.score(item, completion).accuracy == 1.0
        assert len(completion) < task.longest_completion


def test_no_other_function_of_the_task_fits_what_is_shown():
    generator = random.Random(0)
    leaves = "xy123"
    programs = [*leaves, *("".join(parts) for parts in itertools.product(leaves, leaves, "+-*"))]
    for _ in range(30):
        item = POSTFIX.item(generator)
        for program in programs:
            scored = score(program, item)
            assert scored.accuracy == float(scored.parts["cases_passed"] == 1.0), (item.prompt, program)


def test_cases_in_another_order_are_one_content_and_so_is_a_function_where_functions_are_held_out():
    by_function = Postfix({**SETTINGS, "held_out": "functions"})
    for task, about in (
        (POSTFIX, lambda item: (item.answer, *sorted(item.prompt[1:-1].split(";")))),
        (by_function, lambda item: item.answer),
    ):
        generator, contents = random.Random(0), {}
        for item in (task.item(generator) for _ in range(500)):
            contents.setdefault(about(item), set()).add(item.content)
        assert all(len(several) == 1 for several in contents.values())
        assert len(set.union(*contents.values())) == len(contents)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("inputs", 0, "1 to 2"),
        ("inputs", 3, "1 to 2"),
        ("operations", 3, "1 to 2"),
        ("operations", "1", "1 to 2"),
        ("largest_constant", 2, "3 to 5"),
        ("largest_constant", 9, "3 to 5"),
        ("cases", 1, "2 to 6"),
        ("cases", None, "2 to 6"),
    ],
)
def test_a_setting_that_makes_no_task_is_refused_by_name(name, value, allowed):
    with pytest.raises(ValueError, match=rf"task\.{name} must be a whole number from {allowed}; got"):
        Postfix({**SETTINGS, name: value})


def test_what_cannot_be_held_out_is_refused_by_name():
    with pytest.raises(ValueError, match=r"task\.held_out must be one of cases, functions; got 'prompts'"):
        Postfix({**SETTINGS, "held_out": "prompts"})
