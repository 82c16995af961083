"""The stack machine by hand, its bounds, and that what compiles never takes from an empty stack."""

import random

import pytest

from suite.rl.tasks.postfix import LARGEST_VALUE, LONGEST_PROGRAM, compiles, run


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
    "program", ["", "+", "x+", "xy", "d", "w", "xw", "p", "xp", "xpp", "xd", "xy++", "+xy", "xz+", "x y+"]
)
def test_what_lacks_values_or_leaves_several_or_knows_no_such_token_does_not_compile(program):
    assert not compiles(program, "xy")


@pytest.mark.parametrize("program", [["xy", "+"], ["x", "12", "+"], ["x", "", "+"], ["\u00b2"], ["<think>"]])
def test_tokens_of_several_characters_or_none_do_not_compile(program):
    assert not compiles(program, "xy")


def test_an_input_that_the_function_does_not_have_does_not_compile():
    assert compiles("xy+", "xy")
    assert not compiles("xy+", "x")


def test_a_program_beyond_the_bounds_of_length_or_value_makes_nothing():
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


def test_whatever_compiles_runs_to_one_number_within_bounds_or_to_none():
    generator, compiled = random.Random(0), 0
    for _ in range(20_000):
        program = generator.choices("xy0123456789+-*dwp", k=generator.randint(1, 12))
        if compiles(program, "xy"):
            compiled += 1
            made = run(program, {"x": generator.randrange(10), "y": generator.randrange(10)})
            assert made is None or abs(made) <= LARGEST_VALUE
    assert compiled > 500
