"""Runs in one file: packed where they lie, or carried from a machine that is rented by the minute.

An archive comes from elsewhere: only plain files are taken out of it, below one folder, up to a size, and nothing in it
is run. A run that is merged takes no more memory than that either.
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from suite.records.record import RECORD, SAMPLES, TELEMETRY, CorruptRecordError
from suite.records.stores.closed import is_table
from suite.records.stores.files import write_whole
from suite.records.stores.tables import decoded_bytes
from suite.records.stores.walk import folders_below

MOST_PACKED_BYTES = 16 << 20
"""A size that can be carried anywhere, as through a paste or a mail."""
LARGEST_BYTES = 512 << 20
"""Of an archive once it is unpacked, and of a run that is merged, in memory. A few kilobytes can stand for more."""
TEXT_GROWTH = 35
"""Bytes that Python takes for one of JSON or YAML, at most."""
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
            tar.add(file, file.relative_to(root).as_posix(), filter=_without_user)
        for run in sorted(root.rglob(RECORD), key=lambda path: path.stat().st_mtime):
            parts = [part for part in sorted(run.parent.rglob("*")) if part.is_file()]
            if packed.tell() + sum(part.stat().st_size for part in parts) > most_bytes - ENDING_BYTES:
                left_out += 1
                continue
            for part in parts:
                tar.add(part, part.relative_to(root).as_posix(), filter=_without_user)
    write_whole(archive, packed.getvalue())
    return left_out


def _without_user(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Take the user's name out of a header, since records name none either."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def unpack(archive: Path, into: Path) -> Path:
    """Unpack an archive into a new folder, and return it. Raises CorruptRecordError for a damaged or foreign one."""
    into.mkdir(parents=True)
    try:
        with gzip.open(archive) as content, tarfile.open(fileobj=_Limited(content), mode="r|") as tar:
            for member in tar:
                if not (member.isreg() or member.isdir()) or member.issparse():
                    raise CorruptRecordError("it holds a link or another thing that is no file")
                tar.extract(member, into, filter="data")
    except tarfile.FilterError as error:
        raise CorruptRecordError("it names a place outside its own folder") from error
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise CorruptRecordError(f"it is torn, or no archive of runs ({error})") from error
    except RecursionError as error:  # each header that only says more of the next is read within the one before
        raise CorruptRecordError("it holds a chain of headers without a file") from error
    # A file where a folder should be, or a name that no file can have.
    except (OSError, ValueError, OverflowError) as error:
        raise CorruptRecordError(f"it cannot be unpacked ({type(error).__name__})") from error
    return into


class _Limited(io.RawIOBase):
    """A stream that ends in an error after LARGEST_BYTES."""

    def __init__(self, content: gzip.GzipFile) -> None:
        self._content, self._left = content, LARGEST_BYTES

    def read(self, size: int = -1, /) -> bytes:
        """Read from the stream. Raises CorruptRecordError past the limit."""
        data = self._content.read(min(self._left + 1, size) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise CorruptRecordError(f"it holds more than {LARGEST_BYTES >> 20} MiB")
        return data


def check_size(source: Path) -> None:
    """Raise CorruptRecordError for a folder in which a run, or a row group of a table, would take more
    than LARGEST_BYTES of memory."""
    for folder, names in folders_below(source, []):
        for files in ({RECORD, SAMPLES, TELEMETRY}, *({name} for name in names if is_table(name))):
            if sum(_bytes_in_memory(folder / name) for name in files & names) > LARGEST_BYTES:
                raise CorruptRecordError(f"{folder.name} would take more than {LARGEST_BYTES >> 20} MiB of memory")


def _bytes_in_memory(path: Path) -> int:
    """The most bytes that a file takes once it is read; 0 for one that cannot be, which whoever reads it names."""
    try:
        nbytes = path.lstat().st_size
        if path.name == RECORD or nbytes > LARGEST_BYTES:
            return nbytes * TEXT_GROWTH
        return decoded_bytes(path)
    except OSError:
        return 0
