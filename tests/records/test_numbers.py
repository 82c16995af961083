import pytest

from suite.records import numbers
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (numbers.seconds(1.4712e-3), "1.47 ms"),
        (numbers.seconds(9.996e-4), "1.00 ms"),
        (numbers.seconds(12.5), "12.5 s"),
        (numbers.seconds(4e-7), "400 ns"),
        (numbers.seconds_range(9.4e-4, 1.1e-3), "0.940–1.10 ms"),
        (bytes_iec(9.4 * 2**20), "9.40 MiB"),
        (bytes_iec(0), "0 B"),
        (numbers.percent(0.1406), "14%"),
        (numbers.percent(0.004), "0.40%"),
    ],
)
def test_numbers_read_well(text, expected):
    assert text == expected
