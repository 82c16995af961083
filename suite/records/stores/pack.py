"""Packs: the zips that closed sweeps were kept in until they became tables. Read only; `suite results pack` converts.

A pack is a zip, `runs.zip`, in the place of the run folders that it holds, and is read as those folders.
"""

import functools
import io
import os
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from suite.records.record import FILES, OVERRIDES, PLAIN_NAME, RECORD, CorruptRecordError
from suite.records.stores.files import check_plain

PACK = "runs.zip"
OVERRIDES_FOLDER = OVERRIDES.partition("/")[0]


def run_folder(path: Path) -> Path:
    """The folder of the run that a file belongs to."""
    return path.parent.parent if path.parent.name == OVERRIDES_FOLDER else path.parent


def packed_names(folder: Path) -> Mapping[str, frozenset[str]]:
    """The files of each run in the pack of a folder, by the run's name; none without a pack. Raises CorruptRecordError
    for a torn or foreign one."""
    pack = _pack_in(folder)
    return pack[1] if pack else {}


def packed_file(path: Path) -> bytes | None:
    """The content of a run's file that lies in a pack in the place of the run's folder; None where there is none. A
    folder with a record counts in place of the pack's. Raises CorruptRecordError as `packed_names`."""
    folder = run_folder(path)
    if os.path.lexists(folder / RECORD) and not folder.is_symlink():
        return None
    pack = _pack_in(folder.parent)
    try:
        return pack[0].read(f"{folder.name}/{path.relative_to(folder).as_posix()}") if pack else None
    except KeyError:
        return None
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error, RuntimeError) as error:
        raise CorruptRecordError(f"{path.name} is torn within {PACK}") from error


def _pack_in(folder: Path) -> tuple[zipfile.ZipFile, Mapping[str, frozenset[str]]] | None:
    """The pack of a folder with the files of each run; None where there is none. Raises CorruptRecordError."""
    try:
        status = check_plain(folder / PACK)
        return _opened(folder / PACK, status.st_mtime_ns, status.st_ino)
    except FileNotFoundError:
        return None
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise CorruptRecordError(f"{PACK} is torn, or no pack of runs ({type(error).__name__})") from error


@functools.lru_cache(maxsize=2)  # runs are read in the order of their packs
def _opened(path: Path, modified_ns: int, inode: int) -> tuple[zipfile.ZipFile, Mapping[str, frozenset[str]]]:
    pack = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
    names: dict[str, set[str]] = defaultdict(set)
    for entry in pack.namelist():
        run, _, name = entry.partition("/")
        if not PLAIN_NAME.fullmatch(run) or name not in (RECORD, *FILES):
            raise CorruptRecordError(f"{PACK} holds a file that no run has")
        names[run].add(name)
    return pack, {run: frozenset(files) for run, files in names.items()}
