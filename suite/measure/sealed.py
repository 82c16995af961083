"""Files that runs write for themselves and each other: a checkpoint, a base model. Whole, of this key, or not read.

A disk that is full, a machine that loses power and a copy that was cut off leave files behind that look like ours. So
the first line holds the sha256 digest of all that follows: the key, and what torch.save has written. It is checked
before torch sees a byte, and what is damaged is made anew, which gives the same bits, only later.
"""

import hashlib
import io
import pickle
import stat
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from suite.records.stores.files import whole_file

FORM = b"suite-sealed 1 "  # begins the first line; the digest in hexadecimal and the key's line follow
_DIGEST_LENGTH = 64
_KEY_LENGTH = 16  # letters of an artifact's key in its file's name


class DamagedFileError(Exception):
    """A fault of a file, in a few words."""


class BegunAnewWarning(UserWarning):
    """A file could not be used, and its work is done again."""


def write_sealed(path: Path, key: str, content: Mapping[str, Any]) -> None:
    """Write key, tensors and plain data with a digest, synced to disk: a reader sees all of it or none."""
    saved = io.BytesIO()
    torch.save(content, saved)
    rest: list[bytes | memoryview] = [key.encode() + b"\n", saved.getbuffer()]
    digest = hashlib.sha256()
    for part in rest:
        digest.update(part)
    with whole_file(path) as file:
        file.writelines([FORM, digest.hexdigest().encode(), b"\n", *rest])


def read_sealed(path: Path, key: str, *, device: str | None = None) -> dict[str, Any] | None:
    """The content written for this key; None without a file. Raises DamagedFileError for a damaged or other file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for without end
            raise DamagedFileError("is not a regular file")
        return _checked_content(path.read_bytes(), key, device)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedFileError(f"cannot be read ({error.strerror or error})") from error


def read_or_warn(path: Path, key: str, *, device: str | None = None) -> dict[str, Any] | None:
    """As `read_sealed`, but a file that this refuses is removed, with a BegunAnewWarning; None then too."""
    try:
        return read_sealed(path, key, device=device)
    except DamagedFileError as error:
        warnings.warn(f"{path.name} {error}; its work starts again", BegunAnewWarning, stacklevel=2)
        path.unlink()
        return None


def cached_artifact(folder: Path, key: str, *, device: str, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """What `make` gives, on the device: the first case that needs it writes it to a file in the folder, and the others
    wait for that file and read it.

    A file that is damaged is made anew, with a BegunAnewWarning.
    """
    path = folder / f"{key[:_KEY_LENGTH]}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    from filelock import FileLock  # here, since it takes a millisecond of every fork of a process that has it

    with FileLock(path.with_suffix(".lock")):
        artifact = read_or_warn(path, key, device=device)
        if artifact is None:
            write_sealed(path, key, make())
            artifact = read_sealed(path, key, device=device)
    assert artifact is not None
    return artifact


@contextmanager
def warnings_sent(send: Callable[..., None]) -> Iterator[None]:
    """Send each BegunAnewWarning inside as a warning of the run's record; other warnings go where they went before."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", BegunAnewWarning)
        showwarning = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *more: Any, **named: Any) -> None:
            if issubclass(category, BegunAnewWarning):
                send(warning=str(message))
            else:
                showwarning(message, category, *more, **named)

        warnings.showwarning = show
        yield


def _checked_content(sealed: bytes, key: str, device: str | None) -> dict[str, Any]:
    """Check form, digest and key of a sealed file, and load its content. Raises DamagedFileError."""
    if not sealed:
        raise DamagedFileError("is empty")
    if not sealed.startswith(FORM):
        raise DamagedFileError("has no digest, so another version of the suite wrote it")
    begin = len(FORM) + _DIGEST_LENGTH + 1
    rest = memoryview(sealed)[begin:]
    if sealed[len(FORM) : begin] != hashlib.sha256(rest).hexdigest().encode() + b"\n":
        raise DamagedFileError("is damaged (its sha256 differs)")
    key_end = sealed.index(b"\n", begin)
    if sealed[begin:key_end] != key.encode():
        raise DamagedFileError("belongs to another case")
    try:
        content = torch.load(io.BytesIO(rest[key_end + 1 - begin :]), weights_only=True, map_location=device)
    except (pickle.UnpicklingError, EOFError) as error:
        raise DamagedFileError("holds more than tensors and plain data") from error
    assert isinstance(content, dict)
    return content
