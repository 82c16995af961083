"""What follows from a record that may be anybody's."""

from datetime import UTC, datetime, timedelta

import pytest

from suite.records.derived import possible_time, started_at
from tests.records.factory import build


@pytest.mark.parametrize(
    "said",
    [
        "9999-12-31T23:59:59+00:00",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "2019-12-31T23:59:59+00:00",
        timedelta(days=2),
        "zzzz",
        "",
        7,
        None,
        ["2026-03-01"],
    ],
)
def test_a_time_that_cannot_be_is_older_than_any_other(said):
    said = (datetime.now(UTC) + said).isoformat() if isinstance(said, timedelta) else said
    assert started_at(build(provenance={"started_at": said})) == ""


@pytest.mark.parametrize(
    ("said", "is_read_as"),
    [
        ("2026-03-01T10:00:00+00:00", "2026-03-01T10:00:00+00:00"),
        ("2026-03-01T10:00:00+02:00", "2026-03-01T08:00:00+00:00"),
        ("2026-03-01", "2026-03-01T00:00:00+00:00"),
    ],
)
def test_times_sort_as_text_whatever_their_zone(said, is_read_as):
    assert possible_time(said) == is_read_as
