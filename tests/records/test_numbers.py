import pytest

from suite.records.numbers import bytes_iec, duration


@pytest.mark.parametrize(
    ("value", "text"),
    [(1000, "1,000 B"), (1023, "1,020 B"), (1024, "1.00 KiB"), (1.5 * 1024, "1.50 KiB"), (1024**2 - 1, "1.00 MiB")],
)
def test_bytes_have_three_digits_and_the_unit_that_they_reach(value, text):
    assert bytes_iec(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (9.6, "10 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3599.6, "1 h 0 min")],
)
def test_a_duration_is_rounded_before_its_unit_is_chosen(seconds, text):
    assert duration(seconds) == text
