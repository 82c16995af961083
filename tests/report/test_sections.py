"""Numbers as every section writes them."""

import pytest

from suite.records import numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (numbers.seconds(1.4712e-3), "1.47 ms"),
        (numbers.seconds(9.996e-4), "1.00 ms"),
        (numbers.seconds(12.5), "12.5 s"),
        (numbers.seconds(4e-7), "400 ns"),
        (numbers.seconds_range(9.4e-4, 1.1e-3), "0.940–1.10 ms"),
        (numbers.bytes_iec(9.4 * 2**20), "9.40 MiB"),
        (numbers.bytes_iec(0), "0 B"),
        (numbers.percent(0.1406), "14 %"),
        (numbers.percent(0.004), "0.40 %"),
    ],
)
def test_numbers_read_well(text, expected):
    assert text == expected
