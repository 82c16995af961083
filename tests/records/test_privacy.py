"""Nothing private that lies about a run reaches its record."""

import platform

import pytest

from suite.records.privacy import scrub
from tests.records.factory import build, store

SECRET = "hunter2-hunter2"


@pytest.fixture
def planted(monkeypatch):
    monkeypatch.setenv("SERVICE_TOKEN", SECRET)
    monkeypatch.setattr("getpass.getuser", lambda: "someuser")
    return f"cannot open /home/someuser/work/model.bin as someuser on {platform.node()} with {SECRET}"


def test_a_planted_path_user_and_secret_are_in_no_file_of_a_run(tmp_path, planted):
    record = build(
        provenance={"warnings": [planted], "nested": {"deep": [planted]}}, environment={"note": planted, "cpu": planted}
    )
    (folder,) = store(tmp_path, record)
    for path in folder.iterdir():
        content = path.read_bytes()
        assert SECRET.encode() not in content
        assert b"/home" not in content
        assert b"someuser" not in content


def test_a_scrubbed_path_keeps_its_last_part_since_that_helps(planted):
    assert "<path>/model.bin" in scrub(planted)


def test_a_secret_that_holds_another_is_replaced_whole(planted, monkeypatch):
    monkeypatch.setenv("A_TOKEN", SECRET[:8])
    assert scrub(f"with {SECRET}") == "with <SERVICE_TOKEN>"


def test_windows_paths_are_scrubbed_too():
    assert scrub(r"cannot open C:\Users\me\data.txt") == "cannot open <path>/data.txt"


def test_units_and_ratios_are_no_paths():
    text = "12 FLOP/s, 3 B/s, n/a, 1/2"
    assert scrub(text) == text
