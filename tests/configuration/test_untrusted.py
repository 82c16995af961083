"""JSON and YAML become plain values, and what is no such text is refused in a few words."""

import datetime

import pytest

from suite.configuration.untrusted import parse_json, parse_yaml


def test_plain_yaml_is_read_as_it_is_written():
    text = b"a: 1\nb: [1.5, x, '2', 2026-01-02, ~, true]\nc: {d: e}\n"
    assert parse_yaml(text) == {"a": 1, "b": [1.5, "x", "2", datetime.date(2026, 1, 2), None, True], "c": {"d": "e"}}
    assert parse_yaml(b"- {run: 0123, date: 2026-01-02, by: ~}", as_texts=True) == [
        {"run": "0123", "date": "2026-01-02", "by": "~"}
    ]
    assert parse_yaml(b"# nothing\n") is None


@pytest.mark.parametrize("as_texts", [False, True])
@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{a: 1, a: 2}", "one key twice"),
        (b"[{a: {b: 1, b: 2}}]", "one key twice"),
        (b"[" * 900, "is not YAML"),
        (b"schema: 1\naccepted: [", "is not YAML"),
        (b"schema:\t1\n\taccepted: []\n", "is not YAML"),
        (b"? [a]\n: 1", "is not YAML"),
        (b"--- 1\n--- 2", "is not YAML"),
        (b"\0", "is not YAML"),
        (b"a: \xff\xfe", "is not YAML"),
        (b"a: *b", "is not YAML"),
    ],
    ids=range(10),
)
def test_what_is_no_yaml_is_refused(text, why, as_texts):
    with pytest.raises(ValueError, match=why) as error:
        parse_yaml(text, as_texts=as_texts)
    assert len(str(error.value)) < 400
    assert str(error.value).isprintable()


def test_no_tag_of_yaml_runs_anything():
    with pytest.raises(ValueError, match="is not YAML"):
        parse_yaml(b"!!python/object/apply:os.system [exit]")
    assert parse_yaml(b"!!python/object/apply:os.system [exit]", as_texts=True) == ["exit"]


def test_a_date_that_is_none_is_refused():
    with pytest.raises(ValueError, match="is not YAML"):
        parse_yaml(b"date: 2026-99-99")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"[" * 100_000, "too many levels"),
        (b"[" + b"1" * 21 + b"]", "more than 20 digits"),
        (b'{"a": 1, "a": 2}', "one key twice"),
        (b"[NaN]", "not finite"),
        (b"[1e400]", "not finite"),
        (b"\xff", "is not UTF-8"),
        (b"", "is not JSON"),
        (b'{"schema": 1, "case": {', "is not JSON"),
    ],
    ids=range(8),
)
def test_what_is_no_plain_json_is_refused(text, why):
    with pytest.raises(ValueError, match=why):
        parse_json(text)
