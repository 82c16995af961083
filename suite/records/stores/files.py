"""Plain files that are written whole, in one step, and read in blocks."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from suite.records.record import CorruptRecordError

PART = ".part"
"""Ends the name of a file until it is whole."""
BLOCK_BYTES = 1 << 20


@contextmanager
def whole_file(path: Path, *, mark: str = "") -> Iterator[IO[bytes]]:
    """Open a file beside `path` that takes its place in one step at the block's end: whoever looks sees all of it or
    none. Two processes that write one `path` at once must hold a lock or have a `mark` each.

    Raises OSError for what cannot be written, and leaves nothing behind then; also for a place that a folder, a device
    or a pipe has taken, which stays. A link is replaced, not followed: nothing outside a run's folder is touched.
    """
    if os.path.lexists(path) and not (path.is_symlink() or path.is_file()):
        raise OSError(errno.EINVAL, "it is no plain file, so it is left as it is", str(path))
    part = path.with_name(path.name + mark + PART)
    part.unlink(missing_ok=True)  # it may be a link
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # before its name: a power cut would leave the name of an empty file
        part.replace(path)
    except BaseException:  # an interruption too: it is raised on, and nothing stays that it left half-written
        part.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes | Iterable[bytes], *, mark: str = "") -> None:
    """Put a file in place as `whole_file` does, with this content."""
    with whole_file(path, mark=mark) as file:
        file.writelines([content] if isinstance(content, bytes) else content)


def write_named(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file that a person named, in one step. Of a link, what it points to is written, and the link stays."""
    place = Path(os.path.realpath(path))
    if place.is_symlink():
        raise OSError(errno.ELOOP, "its links lead in a circle", str(path))  # Windows has no words of its own for it
    write_whole(place, content, mark=f".{os.getpid()}")


def check_plain(path: Path, *, may_be_link: bool = False) -> os.stat_result:
    """The status of a plain file. Raises CorruptRecordError for a link, which may lead anywhere, and for a pipe or a
    folder, and OSError for what is not there. `may_be_link`: a person named it, or keeps it elsewhere."""
    status = path.stat() if may_be_link else path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise CorruptRecordError(f"{path.name} is {'a link' if stat.S_ISLNK(status.st_mode) else 'no file'}")
    return status


def file_blocks(path: Path, *, may_be_link: bool = False) -> Iterator[bytes]:
    """Yield the content of a plain file in blocks. Raises as `check_plain`."""
    check_plain(path, may_be_link=may_be_link)
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def read_plain(path: Path) -> bytes:
    """The content of a file that a person named, or keeps elsewhere. Raises CorruptRecordError for what cannot be
    read."""
    try:
        return b"".join(file_blocks(path, may_be_link=True))
    except OSError as error:
        raise CorruptRecordError(f"{path.name} cannot be read ({type(error).__name__})") from error


def sha256(path: Path) -> str:
    """The sha256 of a plain file. Raises as `check_plain`."""
    digest = hashlib.sha256()
    for block in file_blocks(path):
        digest.update(block)
    return digest.hexdigest()
