import pytest

from suite.records.numbers import bytes_iec


@pytest.mark.parametrize(
    ("value", "text"),
    [(1000, "1,000 B"), (1023, "1,020 B"), (1024, "1.00 KiB"), (1.5 * 1024, "1.50 KiB"), (1024**2 - 1, "1.00 MiB")],
)
def test_bytes_have_three_digits_and_the_unit_that_they_reach(value, text):
    assert bytes_iec(value) == text
