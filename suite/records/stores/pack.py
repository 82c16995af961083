"""The runs of a folder in one file, so that a clone has hundreds of files and not thousands, and the walk over both.

A pack is a zip, `runs.zip`, in the place of the run folders that it holds. It is read as those folders, under their
names and with their checks, and nothing of it is written to the disk. Only what `pack_bytes` makes is read.
"""

import contextlib
import functools
import io
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from suite.records.record import FILES, OVERRIDES, PLAIN_NAME, RECORD, CorruptRecordError

PACK = "runs.zip"
OVERRIDES_FOLDER = OVERRIDES.partition("/")[0]
NEVER_LATER = (1980, 1, 1, 0, 0, 0)
BLOCK_BYTES = 1 << 20
Runs = Mapping[str, Mapping[str, zipfile.ZipInfo]]
"""The files of each run, by the run's name and their own."""


@dataclass(frozen=True, kw_only=True)
class PackedFile:
    pack: Path
    entry: zipfile.ZipInfo

    @property
    def nbytes(self) -> int:
        """Bytes of the file itself, unpacked."""
        return self.entry.file_size

    def blocks(self) -> Iterator[bytes]:
        """Yield the content. Raises CorruptRecordError, at its end at the latest, for what is not as it was written."""
        name, header = self.entry.filename.rpartition("/")[2], self.entry.FileHeader()
        crc, left = 0, self.entry.compress_size
        with self.pack.open("rb") as file:
            file.seek(self.entry.header_offset)
            if file.read(len(header)) != header:
                newer = packed_file(self.pack.parent / self.entry.filename)
                if newer is None or newer.entry is self.entry:
                    raise CorruptRecordError(f"{name} is torn within {PACK}")
                yield from newer.blocks()  # another process has replaced the pack since its index was read
                return
            while left:
                block = file.read(left if self._is_deflated else min(left, BLOCK_BYTES))
                left -= len(block)
                try:
                    inflate = zlib.decompressobj(-zlib.MAX_WBITS).decompress
                    content = inflate(block, self.nbytes + 1) if self._is_deflated else block
                except zlib.error as error:
                    raise CorruptRecordError(f"{name} is torn within {PACK}") from error
                crc = zlib.crc32(content, crc)
                if not block or (not left and crc != self.entry.CRC):
                    raise CorruptRecordError(f"{name} is torn within {PACK}")
                yield content

    @property
    def _is_deflated(self) -> bool:
        return self.entry.compress_type == zipfile.ZIP_DEFLATED


def pack_bytes(runs: Mapping[str, Mapping[str, bytes]]) -> bytes:
    """The pack of these files, by run and name; equal files make equal packs."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as pack:
        for run, files in sorted(runs.items()):
            for name, content in sorted(files.items()):
                entry = zipfile.ZipInfo(f"{run}/{name}", NEVER_LATER)
                entry.create_system, entry.external_attr = 3, (stat.S_IFREG | 0o644) << 16  # Unix, wherever it is made
                deflated = zipfile.ZIP_DEFLATED if name == RECORD else zipfile.ZIP_STORED
                pack.writestr(entry, content, compress_type=deflated, compresslevel=9)
    return buffer.getvalue()


def packed_file(path: Path) -> PackedFile | None:
    """A run's file that lies in a pack in the place of the run's folder; None where there is none.

    A folder with a record counts in place of the pack's. One without is what a killed `pack --remove` left of it, since
    no run is begun under a name that the pack has. Raises CorruptRecordError for a pack that cannot be read.
    """
    folder = path.parent.parent if path.parent.name == OVERRIDES_FOLDER else path.parent
    pack = folder.parent / PACK
    has_own = os.path.lexists(folder / RECORD) and not folder.is_symlink()
    if has_own or not os.path.lexists(pack):
        return None
    entry = read_pack(pack).get(folder.name, {}).get(path.relative_to(folder).as_posix())
    return None if entry is None else PackedFile(pack=pack, entry=entry)


def names_in_pack(folder: Path) -> frozenset[str]:
    """The names of a run's files in the pack beside its folder; none where that has no such run, or is torn,
    which whoever lists the pack itself names."""
    with contextlib.suppress(CorruptRecordError):
        return frozenset(read_pack(folder.parent / PACK).get(folder.name, ()))
    return frozenset()


def read_pack(path: Path) -> Runs:
    """The files of each run in a pack. Raises CorruptRecordError for a torn or foreign one."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise CorruptRecordError(f"{PACK} is {'a link' if stat.S_ISLNK(status.st_mode) else 'no file'}")
        return _index(path, status.st_size, status.st_mtime_ns, status.st_ino)
    except OSError as error:
        raise CorruptRecordError(f"{PACK} cannot be read ({type(error).__name__})") from error
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        if os.path.lexists(path) and not os.path.samestat(path.lstat(), status):  # replaced since it was looked at
            return read_pack(path)
        raise CorruptRecordError(f"{PACK} is torn, or no pack of runs") from error


@functools.lru_cache(maxsize=64)  # by what changes when a pack is replaced
def _index(path: Path, nbytes: int, modified_ns: int, inode: int) -> Runs:
    """Read the pack's index. Raises CorruptRecordError and zipfile's errors for what is no pack of ours."""
    with zipfile.ZipFile(path) as pack:
        entries = pack.infolist()
    runs: dict[str, dict[str, zipfile.ZipInfo]] = {}
    for entry in entries:
        run, _, name = entry.filename.partition("/")
        _check_entry(entry, run, name)
        if runs.setdefault(run, {}).setdefault(name, entry) is not entry:
            raise CorruptRecordError(f"{PACK} holds {name} of one run twice")
    if any(RECORD not in files for files in runs.values()):
        raise CorruptRecordError(f"{PACK} holds files of a run without its {RECORD}")
    return runs


def _check_entry(entry: zipfile.ZipInfo, run: str, name: str) -> None:
    """Raise CorruptRecordError unless the entry is a file of a run, compressed as ours are."""
    if not PLAIN_NAME.fullmatch(run) or name not in (RECORD, *FILES):
        raise CorruptRecordError(f"{PACK} holds a file that no run has")
    is_stored = entry.compress_type == zipfile.ZIP_STORED and entry.file_size == entry.compress_size
    if entry.flag_bits or not (is_stored or entry.compress_type == zipfile.ZIP_DEFLATED):
        raise CorruptRecordError(f"{PACK} is not compressed as ours are")


@dataclass(frozen=True, kw_only=True)
class Damage:
    folder: Path
    reason: str


def folders_below(root: Path, damaged: list[Damage]) -> Iterator[tuple[Path, frozenset[str]]]:
    """Yield each folder, `root` first, and the names in it. Links are not followed; a folder that is not read is named
    in `damaged`, and the rest goes on. A run that `pack --remove` takes meanwhile is yielded once: what its folder has
    no longer, the pack has had since before."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            names, inner = _listed(folder)
        except OSError as error:
            if packed_names := names_in_pack(folder):
                yield folder, packed_names
            else:
                damaged.append(Damage(folder=folder, reason=f"the folder cannot be listed ({type(error).__name__})"))
            continue
        packed = {} if PACK in inner else _packed_in(folder, frozenset(inner), damaged)
        waiting += [folder / name for name in sorted(inner, reverse=True)]
        yield folder, names if RECORD in names else names_in_pack(folder) or names
        yield from packed.items()


def _packed_in(folder: Path, inner: frozenset[str], damaged: list[Damage]) -> dict[Path, frozenset[str]]:
    """Files of each folder that a pack stands for, without folders that also lie beside it: those are listed. A pack
    that cannot be read, and a folder that holds another run than the pack's, goes into `damaged`."""
    if not os.path.lexists(folder / PACK):
        return {}
    try:
        runs = read_pack(folder / PACK)
    except CorruptRecordError as error:
        damaged.append(Damage(folder=folder / PACK, reason=str(error)))
        return {}
    for name in runs.keys() & inner:
        if not _is_copy(folder / name / RECORD, runs[name][RECORD]):
            reason = f"{PACK} beside it holds another run of this name, which is not read"
            damaged.append(Damage(folder=folder / name, reason=reason))
    return {folder / name: frozenset(files) for name, files in runs.items() if name not in inner}


def _is_copy(path: Path, packed: zipfile.ZipInfo) -> bool:
    """Whether the record in the folder is the packed one, by size and checksum; also where the folder has none."""
    try:
        status = path.lstat()
        has_size = stat.S_ISREG(status.st_mode) and status.st_size == packed.file_size
        return has_size and zlib.crc32(path.read_bytes()) == packed.CRC
    except OSError as error:
        return isinstance(error, FileNotFoundError)  # without a record nothing hides the pack's


def _listed(folder: Path) -> tuple[frozenset[str], list[str]]:
    """The names of all entries and of the folders among them."""
    with os.scandir(folder) as scan:
        entries = list(scan)
    return frozenset(entry.name for entry in entries), [
        entry.name for entry in entries if entry.is_dir(follow_symlinks=False)
    ]
