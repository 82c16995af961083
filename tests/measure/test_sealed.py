"""Files that runs leave for themselves and each other: whole and of this key, or said to be damaged and made anew."""

import hashlib
import io
import os
import sys
import warnings

import pytest
import torch

from suite.measure.sealed import (
    FORM,
    BegunAnewWarning,
    DamagedFileError,
    cached_artifact,
    read_sealed,
    warnings_sent,
    write_sealed,
)

KEY = "a" * 64
WEIGHTS = torch.arange(1000.0)


def head(rest):
    return FORM + hashlib.sha256(rest).hexdigest().encode() + b"\n"


def old_form(weights):
    file = io.BytesIO()
    torch.save({"weights": weights}, file)
    return file.getvalue()


def pickled(path):
    """A whole file of this key that would, if it were unpickled, make a file beside itself."""

    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(path) + ".harm",)

    file = io.BytesIO()
    torch.save({"weights": Harmful()}, file)
    rest = KEY.encode() + b"\n" + file.getvalue()
    return head(rest) + rest


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


DAMAGES = {
    "empty": (lambda path, whole: b"", "is empty"),
    "cut in its first line": (lambda path, whole: whole[:40], "sha256 differs"),
    "cut behind it": (lambda path, whole: whole[: len(FORM) + 65], "sha256 differs"),
    "cut in its middle": (lambda path, whole: whole[: len(whole) // 2], "sha256 differs"),
    "a byte short": (lambda path, whole: whole[:-1], "sha256 differs"),
    "a byte long": (lambda path, whole: whole + b"\0", "sha256 differs"),
    "a bit of the digest": (lambda path, whole: flipped(whole, len(FORM) + 3), "sha256 differs"),
    "a bit of the key": (lambda path, whole: flipped(whole, len(FORM) + 70), "sha256 differs"),
    "a bit of a weight": (lambda path, whole: flipped(whole, len(whole) // 2), "sha256 differs"),
    "zeros": (lambda path, whole: bytes(len(whole)), "has no digest, so another version of the suite wrote it"),
    "the old form": (lambda path, whole: old_form(WEIGHTS), "has no digest, so another version of the suite wrote it"),
    "another key": (lambda path, whole: head(b"b\n") + b"b\n", "belongs to another case"),
    "a pickle": (lambda path, whole: pickled(path), "holds more than tensors and plain data"),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named_and_made_anew(tmp_path, damage, words):
    def made():
        return cached_artifact(tmp_path / "bases", KEY, device="cpu", make=lambda: {"weights": WEIGHTS})

    made()
    (path,) = (tmp_path / "bases").glob("*.pt")
    path.write_bytes(damage(path, path.read_bytes()))
    with pytest.raises(DamagedFileError, match=words):
        read_sealed(path, KEY)
    with pytest.warns(BegunAnewWarning, match=f"^{'a' * 16}.pt .*{words}[)]?; its work starts again$"):
        again = made()
    assert torch.equal(again["weights"], WEIGHTS)
    assert torch.equal(read_sealed(path, KEY)["weights"], WEIGHTS)
    assert {one.name for one in path.parent.iterdir()} <= {path.name, f"{'a' * 16}.lock"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_pipe_in_its_place_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / f"{'a' * 16}.pt")
    with pytest.warns(BegunAnewWarning, match="is not a regular file; its work starts again"):
        assert cached_artifact(tmp_path, KEY, device="cpu", make=lambda: {"loss": 1.5}) == {"loss": 1.5}


def test_a_whole_file_is_read_as_it_was_made_and_not_made_again(tmp_path):
    makes = iter([{"weights": WEIGHTS, "losses": [0.5]}])
    for _ in range(2):
        found = cached_artifact(tmp_path, KEY, device="cpu", make=makes.__next__)
        assert found["losses"] == [0.5]
        assert torch.equal(found["weights"], WEIGHTS)


def test_a_write_that_fails_leaves_the_file_before_it(tmp_path, monkeypatch):
    path = tmp_path / "one.pt"
    write_sealed(path, KEY, {"step": 1})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("suite.records.stores.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_sealed(path, KEY, {"step": 2})
    assert read_sealed(path, KEY) == {"step": 1}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no file's size")
def test_a_disk_without_room_is_said_as_the_system_says_it(tmp_path):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_sealed(tmp_path / "one.pt", KEY, {"weights": torch.ones(1_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_only_these_warnings_go_into_the_record():
    sent = []

    def warn():
        with warnings_sent(lambda **one: sent.append(one)):
            warnings.warn("x.pt is empty; its work starts again", BegunAnewWarning, stacklevel=1)
            warnings.warn("of another package", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="of another package") as others:
        warn()
    assert sent == [{"warning": "x.pt is empty; its work starts again"}]
    assert len(others) == 1
