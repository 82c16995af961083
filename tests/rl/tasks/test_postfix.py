"""Writing programs: what is shown tells the function apart, and a program is judged on all cases."""

import itertools
import random

import pytest

from suite.rl.tasks.postfix import LARGEST_VALUE, LONGEST_PROGRAM, Postfix, compiles, run
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


def test_a_program_that_fits_some_cases_is_not_right():
    wrong = score("y3+")
    assert wrong.accuracy == 0.0
    assert wrong.parts == {"compiles": 1.0, "cases_passed": pytest.approx(1 / 3)}


def test_a_program_that_fits_the_shown_cases_alone_is_wrong():
    # x + y + (x - 3)(x - 2)(x - 9) is the sum wherever the prompt looks.
    hacking = score("xy+x3-x2-x9-**+")
    assert hacking.parts == {"compiles": 1.0, "cases_passed": 1.0}
    assert hacking.accuracy == 0.0


EVERY_SHAPE = [
    *itertools.product((1, 2), (1,), (3, 5), (2, 6)),
    *itertools.product((1,), (2,), (3, 5), (2, 6)),
    (2, 2, 3, 3),
]


@pytest.mark.parametrize("held_out", ["cases", "functions"])
@pytest.mark.parametrize(("inputs", "operations", "largest_constant", "cases"), EVERY_SHAPE)
def test_every_setting_draws_solvable_items_of_both_splits(inputs, operations, largest_constant, cases, held_out):
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


def test_the_order_of_cases_does_not_change_the_content():
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
    ("program", "made"),
    [
        ("x", 3),
        ("7", 7),
        ("xy+", 11),
        ("xy-", -5),
        ("yx-", 5),
        ("xy*2+", 26),
        ("xd*", 9),
        ("xyw-", 5),
        ("xyp", 3),
        ("xdd**y-", 19),
        ("xydw-+", 3),
    ],
)
def test_a_program_makes_what_it_makes_by_hand(program, made):
    assert compiles(program, "xy")
    assert run(program, {"x": 3, "y": 8}) == made


@pytest.mark.parametrize(
    "program",
    [
        *("", "+", "x+", "xy", "d", "w", "xw", "p", "xp", "xpp", "xd", "xy++", "+xy", "xz+", "x y+"),
        *(["xy", "+"], ["x", "12", "+"], ["x", "", "+"], ["\u00b2"], ["<think>"]),
    ],
)
def test_a_faulty_program_does_not_compile(program):
    assert not compiles(program, "xy")


def test_a_program_beyond_the_bounds_makes_nothing():
    longest = "x" + "1+" * ((LONGEST_PROGRAM - 1) // 2)
    assert compiles(longest, "x")
    assert not compiles(longest + "1+", "x")
    squares = "x" + "d*" * 10
    assert compiles(squares, "x")
    assert run(squares, {"x": 9}) is None
    assert run(squares, {"x": 1}) == 1
    assert run("xd*d*", {"x": 31}) == 31**4 <= LARGEST_VALUE
    assert run("xd*d*", {"x": 32}) is None
    assert run("0xd*d*-", {"x": 32}) is None


def test_a_compiled_program_gives_one_number_or_none():
    generator, compiled = random.Random(0), 0
    for _ in range(20_000):
        program = generator.choices("xy0123456789+-*dwp", k=generator.randint(1, 12))
        if compiles(program, "xy"):
            compiled += 1
            made = run(program, {"x": generator.randrange(10), "y": generator.randrange(10)})
            assert made is None or abs(made) <= LARGEST_VALUE
    assert compiled > 500
