"""Whatever a text holds, it moves no cursor, begins no command and stays on its line."""

import json

import pytest

from suite.machine.plain_text import complain, in_markdown, json_text, one_line, say, without_log_commands
from tools.hostile.texts import COMMANDS, SPACED, TEXTS, harmful


@pytest.mark.parametrize("text", [*TEXTS, SPACED])
def test_what_is_printed_is_a_line_that_nobody_obeys(text, capsys):
    say(one_line(text))
    complain(text)
    for told in capsys.readouterr():
        assert told.endswith("\n")
        assert told.count("\n") == 1
        assert harmful(told.removesuffix("\n")) == []


@pytest.mark.parametrize("text", [*COMMANDS, "a\n::error::b\n \t##[x]"])
def test_a_line_stays_as_long_and_is_changed_once(text):
    told = without_log_commands(text)
    assert len(told) == len(text)
    assert without_log_commands(told) == told


@pytest.mark.parametrize("text", ["tests/x.py::test_y", "aten::add", "## A title", "a [1/2]", "\x1b[31mslower\x1b[0m"])
def test_other_lines_stay_as_they_are(text):
    assert without_log_commands(text) == text


@pytest.mark.parametrize("text", TEXTS)
def test_json_says_the_same_without_a_command(text):
    written = json_text({"reason": text})
    assert json.loads(written) == {"reason": text}
    assert harmful(written) == []


@pytest.mark.parametrize("text", TEXTS)
def test_a_cell_of_markdown_stays_one(text):
    cell = in_markdown(text)
    assert harmful(cell.replace("::", "")) == []
    assert "|" not in cell.replace("\\|", "")
