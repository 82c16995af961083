"""Runs in one file: packed where they lie, or carried from a machine that is rented by the minute.

An archive comes from elsewhere: only plain files are taken out of it, below one folder, up to a size, and nothing in it
is run.
"""

import gzip
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

from suite.records.record import FILES, RECORD, CorruptRecordError
from suite.records.stores.pack import LARGEST_PACK_BYTES, MOST_LEVELS, PACK, PackedFile, pack_bytes, read_pack
from suite.records.stores.store import read_blocks, whole_file, write_whole

MOST_PACKED_BYTES = 16 << 20
"""A size that can be carried anywhere, as through a paste or a mail."""
MOST_UNPACKED_BYTES, MOST_FILES = 512 << 20, 50_000
LARGEST_HEADER_BYTES = 64 << 10
"""The most bytes of a header with a long name or a time, which take hundreds."""
FURTHER = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
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


def write_pack(folder: Path, runs: Sequence[Path]) -> int:
    """Write a pack that stands for these run folders directly below one, beside what a pack there holds already.

    It is put in place in one step, once every file was read back from it and found equal. Returns its bytes. The caller
    is `alone_in` the folder. A run that only the pack has by then stays in it. Raises CorruptRecordError for a run that
    is in neither or another than the pack's, a file that cannot be read, and more than a pack may hold.
    """
    pack = folder / PACK
    content = {
        run_name: {name: b"".join(PackedFile(pack=pack, entry=entry).blocks()) for name, entry in files.items()}
        for run_name, files in (read_pack(pack) if os.path.lexists(pack) else {}).items()
    }
    for run in runs:
        names = [name for name in (RECORD, *FILES) if (run / name).exists()]
        files = {name: b"".join(read_blocks(run / name)) for name in names}
        if RECORD not in content.get(run.name, files):
            raise CorruptRecordError(f"{run.name} has no {RECORD} any more")
        if RECORD in files and content.setdefault(run.name, files)[RECORD] != files[RECORD]:
            raise CorruptRecordError(f"{PACK} holds another run of the name {run.name}")
    if sum(len(part) for files in content.values() for part in files.values()) > LARGEST_PACK_BYTES:
        raise CorruptRecordError(f"its runs have more than {LARGEST_PACK_BYTES >> 20} MiB, which is the most in a pack")
    with whole_file(pack) as file:
        nbytes = file.write(pack_bytes(content))
        file.flush()
        new_pack = Path(file.name)
        entries = read_pack(new_pack)
        for run_name, files in content.items():
            for name, wanted in files.items():
                if b"".join(PackedFile(pack=new_pack, entry=entries[run_name][name]).blocks()) != wanted:
                    raise CorruptRecordError(f"{run_name}/{name} was not read back as it was written")
        if os.path.lexists(pack) and not read_pack(pack).keys() <= entries.keys():
            raise CorruptRecordError(f"{PACK} was replaced meanwhile, by a process that holds no lock")
    return nbytes


def _without_user(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Take the user's name out of a header, since records name none either."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def unpack(archive: Path, into: Path) -> Path:
    """Unpack an archive into a new folder, and return it. Raises CorruptRecordError for a damaged or foreign one."""
    into.mkdir(parents=True)
    try:
        if archive.stat().st_size > MOST_UNPACKED_BYTES:
            raise CorruptRecordError(f"it is larger than {MOST_UNPACKED_BYTES >> 20} MiB")
        with archive.open("rb") as file, gzip.open(file) as content:
            for name, member in _plain_files(_Limited(content)):
                target = into.joinpath(*name.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as copy:
                    shutil.copyfileobj(member, copy)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise CorruptRecordError(f"it is torn, or no archive of runs ({error})") from error
    except RecursionError as error:  # each header that only says more of the next is read within the one before
        raise CorruptRecordError("it holds a chain of headers without a file") from error
    # A file where a folder should be, or a name that no file can have.
    except (OSError, ValueError, OverflowError) as error:
        raise CorruptRecordError(f"it cannot be unpacked ({type(error).__name__})") from error
    return into


class _Limited(io.RawIOBase):
    """A stream that ends in an error after MOST_UNPACKED_BYTES: a small archive can hold more than memory does."""

    def __init__(self, content: gzip.GzipFile) -> None:
        self._content, self._left = content, MOST_UNPACKED_BYTES

    def read(self, size: int = -1, /) -> bytes:
        """Read from the stream. Raises CorruptRecordError past the limit."""
        data = self._content.read(min(self._left + 1, size) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise CorruptRecordError(f"it holds more than {MOST_UNPACKED_BYTES >> 20} MiB")
        return data


class _Member(tarfile.TarInfo):
    """A header, of which those that only say more of the next one are read whole, so that their size is bounded."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        """Go on behind a header, by the method that tarfile lets a subclass override; newer Pythons do not call
        `frombuf`. Raises CorruptRecordError for a header for all files, and a further header that is too large."""
        if self.type == tarfile.XGLTYPE or (self.type in FURTHER and self.size > LARGEST_HEADER_BYTES):
            raise CorruptRecordError(f"it holds a header for all files, or of more than {LARGEST_HEADER_BYTES} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]


def _plain_files(content: _Limited) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    """Yield name and content of each file, without folders.

    Raises CorruptRecordError for a name that leads out of the archive, and for a link or a device.
    """
    with tarfile.open(fileobj=content, mode="r|", tarinfo=_Member) as tar:
        for number, member in enumerate(tar):
            tar.members = []  # type: ignore[attr-defined]  # else it keeps every header
            name = PurePosixPath(member.name)
            if number >= MOST_FILES:
                raise CorruptRecordError(f"it holds more than {MOST_FILES} files and folders")
            if name.is_absolute() or ".." in name.parts or "\\" in member.name or ":" in member.name:
                raise CorruptRecordError("it names a place outside its own folder")
            if len(name.parts) > MOST_LEVELS:
                raise CorruptRecordError(f"it holds folders more than {MOST_LEVELS} levels deep")
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise CorruptRecordError("it holds a link or another thing that is no file")
            file = tar.extractfile(member)
            assert file is not None
            yield name, file
