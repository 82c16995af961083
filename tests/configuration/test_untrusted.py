"""The loader takes plain values of our own size, and refuses the rest before it costs anything."""

import datetime
import os
from pathlib import Path

import pytest

from suite.configuration.untrusted import parse_json, parse_yaml, read_bounded
from tools.hostile.data_files import LAUGHS, TEXTS_OF_YAML


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
        (LAUGHS, "an anchor, an alias or a tag"),
        (b"a: &b 1", "an anchor, an alias or a tag"),
        (b"!!python/name:os.system x", "an anchor, an alias or a tag"),
        (b"! x", "an anchor, an alias or a tag"),
        (b"{a: 1, a: 2}", "one key twice"),
        (b"[{a: {b: 1, b: 2}}]", "one key twice"),
        (b"[" * 33 + b"]" * 33, "more than 32 levels"),
        (b"[" + b"1," * 50_000 + b"1]", "or 50,000 values"),
        (b"[" * 3_000, "is not YAML"),
        (b"? [a]\n: 1", "is not YAML"),
        (b"--- 1\n--- 2", "is not YAML"),
        (b"\0", "is not YAML"),
    ],
    ids=range(12),
)
def test_yaml_that_is_not_plain_is_refused(text, why, as_texts):
    with pytest.raises(ValueError, match=why):
        parse_yaml(text, as_texts=as_texts)


def test_a_long_number_is_refused_before_it_is_one():
    for text in (b"1" * 41, b"0x" + b"f" * 39, b"1" + b":1" * 20):
        with pytest.raises(ValueError, match="more than 40 letters"):
            parse_yaml(b"a: " + text)
    assert parse_yaml(b"a: '" + b"1" * 41 + b"'") == {"a": "1" * 41}


@pytest.mark.parametrize("what", TEXTS_OF_YAML)
def test_no_text_ends_in_another_error(what):
    for as_texts in (False, True):
        said = ""
        try:
            parse_yaml(TEXTS_OF_YAML[what], as_texts=as_texts)
        except ValueError as error:
            said = str(error)
        assert len(said) < 400
        assert said.isprintable()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"[" + b"[]," * 100 + b"1]", "more than 100 objects and lists"),
        (b"[" + b"1," * 101 + b"1]", "more than 100 values"),
        (b"[" * 101 + b"]" * 101, "objects and lists"),
        (b"[" * 9 + b"1" * 21 + b"]" * 9, "more than 20 digits"),
        (b'{"a": 1, "a": 2}', "one key twice"),
        (b"[NaN]", "not finite"),
        (b"[1e400]", "not finite"),
        (b"\xff", "is not UTF-8"),
        (b"", "is not JSON"),
    ],
    ids=range(9),
)
def test_json_that_is_not_plain_is_refused(text, why):
    with pytest.raises(ValueError, match=why):
        parse_json(text, most_values=100)


def test_what_is_no_plain_file_is_not_opened(tmp_path):
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"abc")
    link.symlink_to(path)
    assert read_bounded(path, 3) == read_bounded(link, 3, may_be_link=True) == b"abc"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for place, most_bytes, may_be_link, why in (
        (path, 2, False, "is larger than 2 bytes"),
        (link, 3, False, "is a link"),
        (tmp_path, 3, True, "is no file"),
        (tmp_path / "pipe", 3, True, "is no file"),
        (tmp_path / "zero", 3, True, "is no file"),
    ):
        with pytest.raises(ValueError, match=why):
            read_bounded(place, most_bytes, may_be_link=may_be_link)


def test_a_file_that_says_it_is_empty_is_bounded_too():
    """Those of /proc have no size, and content."""
    with pytest.raises(ValueError, match="is larger than 5 bytes"):
        read_bounded(Path("/proc/self/status"), 5)
