"""The zips in which closed sweeps were kept until they became tables. `suite results pack` unpacks them."""

import zipfile
import zlib
from pathlib import Path

from suite.records.record import FILES, PLAIN_NAME, RECORD, CorruptRecordError
from suite.records.stores.files import check_plain, write_whole

OLD_ZIP = "runs.zip"


def unpack_old_zip(path: Path) -> None:
    """Write the runs of a zip into folders beside it, each record last, and remove the zip then. A run that lies there
    stays as it is. Raises CorruptRecordError for a torn or foreign zip."""
    try:
        check_plain(path)
        with zipfile.ZipFile(path) as packed:
            for name in sorted(packed.namelist(), key=lambda name: name.endswith(RECORD)):
                run, _, file = name.partition("/")
                if not PLAIN_NAME.fullmatch(run) or file not in (RECORD, *FILES):
                    raise CorruptRecordError(f"{OLD_ZIP} holds a file that no run has")
                folder = path.parent / run
                if folder.is_symlink():
                    raise CorruptRecordError(f"{run}, which {OLD_ZIP} holds too, is a link")
                if not (folder / RECORD).exists():
                    (folder / file).parent.mkdir(parents=True, exist_ok=True)
                    write_whole(folder / file, packed.read(name))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise CorruptRecordError(f"{OLD_ZIP} cannot be unpacked ({type(error).__name__})") from error
    path.unlink()
