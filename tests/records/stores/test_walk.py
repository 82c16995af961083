"""Folders that anybody may have made are walked as far as results go, and what is not walked is named."""

import os
from pathlib import Path

from suite.records.stores import walk
from suite.records.stores.walk import MOST_LEVELS, folders_below


def named(root):
    """Names of the folders that are walked, and of those that are not with why."""
    damaged = []
    walked = [folder.relative_to(root).as_posix() for folder, _ in folders_below(root, damaged)]
    return walked, {damage.folder.relative_to(root).as_posix(): damage.reason for damage in damaged}


def test_folders_are_walked_in_order_and_no_link_is_followed(tmp_path):
    (tmp_path / "b" / "inner").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "b")
    assert named(tmp_path) == ([".", "a", "b", "b/inner"], {})
    assert dict(folders_below(tmp_path, []))[tmp_path] == {"a", "b", "link"}


def test_folders_too_deep_are_named_and_the_rest_is_walked(tmp_path):
    (tmp_path / "e").mkdir()
    (tmp_path / "/".join(["d"] * (MOST_LEVELS + 3))).mkdir(parents=True)
    walked, damaged = named(tmp_path)
    assert len(walked) == MOST_LEVELS + 2
    assert walked[-1] == "e"
    assert damaged == {"/".join(["d"] * MOST_LEVELS): f"folders lie more than {MOST_LEVELS} levels deep"}


def test_a_folder_of_too_many_entries_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(walk, "MOST_ENTRIES", 5)
    (tmp_path / "full").mkdir()
    (tmp_path / "other").mkdir()
    for number in range(6):
        (tmp_path / "full" / str(number)).touch()
    assert named(tmp_path) == ([".", "other"], {"full": "the folder holds more than 5 entries, and is not read"})


def test_all_entries_together_have_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(walk, "MOST_IN_ALL", 5)
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    walked, damaged = named(tmp_path)
    assert walked == [".", "a", "b"]
    assert damaged == {".": "more than 5 entries lie below it; from 'c' on they are not read"}


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def failing(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    assert named(tmp_path) == (["."], {"closed": "the folder cannot be listed (PermissionError)"})
