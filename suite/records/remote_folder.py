"""A folder at any URL that fsspec knows, to which files are only ever added: none is overwritten and none removed."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from suite.records.store import write_whole

EXTRA = "pip install 'mla-grpo-suite[board]'"


class RemoteFolder:
    """A folder behind a URL, as `hf://datasets/OWNER/NAME`, `s3://BUCKET/FOLDER` or a path of this machine."""

    def __init__(self, url: str) -> None:
        """Raises ValueError for a URL that fsspec does not know, or whose package is not installed."""
        try:
            from fsspec.core import url_to_fs
            from fsspec.implementations.local import LocalFileSystem

            self._files, root = url_to_fs(url)
        except ImportError as error:
            raise ValueError(f"to={url!r} needs a package that is not installed: {EXTRA} ({error})") from error
        except ValueError as error:
            raise ValueError(f"to must be a URL that fsspec knows, as hf://datasets/OWNER/NAME; got {url!r}") from error
        self._root, self._is_local = root.rstrip("/"), isinstance(self._files, LocalFileSystem)

    def names(self, folder: str) -> list[str]:
        """Return the names of all files below a folder of it, from its root on; none where there is no such folder."""
        self._files.invalidate_cache()
        try:
            with self._failing_as_files_do(folder):
                found = self._files.find(self._path(folder))
        except FileNotFoundError:
            return []
        return sorted(path[path.index(f"{self._root}/") + len(self._root) + 1 :] for path in found)

    def size(self, name: str) -> int | None:
        """Return the bytes of a file; None where there is none."""
        try:
            with self._failing_as_files_do(name):
                return int(self._files.info(self._path(name))["size"])
        except FileNotFoundError:
            return None

    def read(self, name: str, most_bytes: int) -> bytes:
        """Return a file's content. Raises OSError for one of more than `most_bytes`."""
        if (nbytes := self.size(name)) is not None and nbytes > most_bytes:
            raise OSError(errno.EFBIG, f"it has {nbytes} bytes, of at most {most_bytes}", name)
        with self._failing_as_files_do(name):
            content: bytes = self._files.cat_file(self._path(name))
        return content

    def add(self, name: str, content: bytes) -> None:
        """Write a file that is not there. Raises OSError where one is, which stays as it is.

        On this machine it is put in place in one step, as object stores do of themselves.
        """
        if self.size(name) is not None:
            raise OSError(errno.EEXIST, "it is there already, and is left as it is", name)
        path = self._path(name)
        if self._is_local:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            write_whole(Path(path), content)
            return
        files: Any = self._files
        with self._failing_as_files_do(name):
            files.makedirs(path.rpartition("/")[0], exist_ok=True)
            files.pipe_file(path, content)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _failing_as_files_do(self, name: str) -> Iterator[None]:
        """Raise OSError for what a store's own package raises, which is of a kind of its own in each."""
        try:
            yield
        except OSError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise OSError(errno.EIO, said, name) from error
