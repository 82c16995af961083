"""What the report makes of some records is what it made of them before."""

import functools

import pytest
import yaml

from tests.records.factory import REFERENCE
from tests.report.snapshot import MADE, SNAPSHOT


@functools.cache
def snapshot():
    return yaml.load(SNAPSHOT.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@pytest.mark.skipif(not REFERENCE.exists(), reason="the records are a part of a checkout alone")
@pytest.mark.parametrize("made", MADE)
def test_sections_and_answers_say_what_they_said(made):
    """Where they are to say something else: `python -m tests.report.snapshot`, and look at what git shows."""
    before, now = snapshot()[made.__name__], made()
    assert now.keys() == before.keys()
    for section in now:
        assert now[section] == before[section], section
