"""Runs in one file, to carry them from a machine that is rented by the minute.

An archive comes from elsewhere: only plain files are taken out of it, below one folder, up to a size, and nothing in it
is run.
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from suite.records.record import CorruptRecordError
from suite.records.store import RECORD, write_whole

MOST_PACKED_BYTES = 16 << 20
"""What can be carried anywhere, as through a paste or a mail."""
MOST_UNPACKED_BYTES, MOST_FILES = 512 << 20, 100_000
ENDING_BYTES = 256 << 10
"""Left for what the compressor still holds back, and for the archive's end."""


def pack(root: Path, files: Iterable[Path], archive: Path, *, most_bytes: int = MOST_PACKED_BYTES) -> int:
    """Write the files, by their names below `root`, and every whole run there, the oldest first, into an archive.

    Returns how many runs it has no more room for. It is put in place in one step.
    """
    packed = io.BytesIO()
    left_out = 0
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for file in files:
            tar.add(file, file.relative_to(root).as_posix(), filter=_nobodys)
        for run in sorted(root.rglob(RECORD), key=lambda path: path.stat().st_mtime):
            parts = [part for part in sorted(run.parent.iterdir()) if part.is_file()]
            if packed.tell() + sum(part.stat().st_size for part in parts) > most_bytes - ENDING_BYTES:
                left_out += 1
                continue
            for part in parts:
                tar.add(part, part.relative_to(root).as_posix(), filter=_nobodys)
    write_whole(archive, packed.getvalue())
    return left_out


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Records name no user, and neither does what carries them."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def unpacked(archive: Path, into: Path) -> Path:
    """The folder `into` with the archive's files. Raises CorruptRecordError for what is damaged, or not ours."""
    into.mkdir(parents=True)
    try:
        with archive.open("rb") as file, gzip.open(file) as content:
            for name, data in _files(_Limited(content)):
                target = into.joinpath(*name.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise CorruptRecordError(f"it is torn, or no archive of runs ({error})") from error
    except (OSError, ValueError) as error:  # a file where a folder should be, or a name that no file can have
        raise CorruptRecordError(f"it cannot be unpacked ({type(error).__name__})") from error
    return into


class _Limited(io.RawIOBase):
    """A stream that ends in an error after MOST_UNPACKED_BYTES: a small archive can hold more than memory does."""

    def __init__(self, content: gzip.GzipFile) -> None:
        self._content, self._left = content, MOST_UNPACKED_BYTES

    def read(self, size: int = -1, /) -> bytes:
        data = self._content.read(min(self._left + 1, size) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise CorruptRecordError(f"it holds more than {MOST_UNPACKED_BYTES >> 20} MiB")
        return data


def _files(content: _Limited) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Name and content of each file. Raises CorruptRecordError for a name that leads out, and for what is no file."""
    with tarfile.open(fileobj=content, mode="r|") as tar:
        for number, member in enumerate(tar):
            name = PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts or "\\" in member.name or ":" in member.name:
                raise CorruptRecordError("it names a place outside its own folder")
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise CorruptRecordError("it holds a link or another thing that is no file")
            if number >= MOST_FILES:
                raise CorruptRecordError(f"it holds more than {MOST_FILES} files")
            file = tar.extractfile(member)
            assert file is not None
            yield name, file.read()
