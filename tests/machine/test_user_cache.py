"""Whose folder and whose files kernels are loaded from."""

import os
import stat
import sys
from pathlib import Path

import pytest

from suite.machine.user_cache import KERNELS, kernels_folder, private_content
from suite.records.stores.claim import locks_folder

pwd = pytest.importorskip("pwd")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps no owner and mode of this kind")
OTHER_UID = 65534
needs_root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="needs root, to act as another user"
)


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Where the folder of kernels will be."""
    monkeypatch.setenv(KERNELS, str(tmp_path / "kernels"))
    return tmp_path / "kernels"


def test_the_folder_is_its_users_alone(folder):
    old = os.umask(0o002)
    try:
        assert kernels_folder() == folder
    finally:
        os.umask(old)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert kernels_folder() == folder


@pytest.mark.skipif(sys.platform != "linux", reason="the rule of Linux")
def test_it_lies_below_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.delenv(KERNELS, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert kernels_folder().parent == tmp_path / "home" / ".cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert kernels_folder().parent == tmp_path / "cache"


def test_a_user_without_a_home_is_told_so(monkeypatch):
    def unknown(uid):
        raise KeyError(uid)

    for name in (KERNELS, "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(OSError, match=r"^this user has no home folder$"):
        kernels_folder()
    with pytest.raises(OSError, match=r"^this user has no home folder$"):
        locks_folder("sqlite:///folder/mlflow.db")


def link_elsewhere(folder):
    folder.with_name("elsewhere").mkdir(mode=0o700)
    folder.symlink_to("elsewhere")


def make_pipe(path):
    os.mkfifo(path)


def open_to(mode):
    return lambda folder: (folder.mkdir(), folder.chmod(mode))


@pytest.mark.parametrize("make", [Path.touch, make_pipe, link_elsewhere, open_to(0o770), open_to(0o1777)])
def test_a_folder_that_is_not_ours_alone_is_refused(folder, make):
    make(folder)
    with pytest.raises(OSError, match="kernels"):
        kernels_folder()


@needs_root
def test_a_folder_of_another_user_is_refused(folder):
    folder.mkdir(mode=0o700)
    os.chown(folder, OTHER_UID, OTHER_UID)
    with pytest.raises(OSError, match=f"must belong to this user.*got drwx------ of {OTHER_UID}$"):
        kernels_folder()


def test_a_plain_file_of_ours_is_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a\r\nb")
    path.chmod(0o644)
    assert private_content(path) == b"a\r\nb"


@pytest.mark.parametrize("kind", ["absent", "folder", "pipe", "link", "open to the group"])
def test_what_is_no_file_of_ours_alone_is_not_read(tmp_path, kind):
    path, other = tmp_path / "file", tmp_path / "other"
    other.write_bytes(b"a file")
    {
        "absent": lambda: None,
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "link": lambda: path.symlink_to(other),
        "open to the group": lambda: (path.write_bytes(b"a file"), path.chmod(0o660)),
    }[kind]()
    with pytest.raises(OSError, match=r"file|Is a directory"):
        private_content(path)


@needs_root
def test_a_file_of_another_user_is_not_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a file")
    os.chown(path, OTHER_UID, OTHER_UID)
    with pytest.raises(OSError, match=f"of {OTHER_UID}$"):
        private_content(path)
