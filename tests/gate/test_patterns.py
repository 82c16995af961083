"""A star stands for any text, and everything else for itself."""

import pytest

from suite.gate.patterns import matches


@pytest.mark.parametrize("text", ["a.py::t[x-1]", "a?c", "", "a\nb", "(", "a|b", "*"])
def test_a_text_means_itself_and_a_star_means_all(text):
    assert matches(text, text)
    assert matches("*", text)
    assert not matches(text + "x", text)


def test_stars_stand_anywhere_and_a_line_s_end_is_any_text_too():
    assert matches("a*[x-*]", "a.py::t[x-1]")
    assert matches("*end", "two\nlines, end")
    assert not matches("a*[y-*]", "a.py::t[x-1]")
    assert not matches("A*", "a")
