"""The user's cache folder, and in it the folder of built kernels, which are loaded as code.

Whoever can write a kernel runs code as the user who loads it. So kernels lie with their user and not in the temporary
folder that all users share, nobody else may write there, and of each file the owner and the mode are read from what was
opened: a name may lead elsewhere by then.
"""

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

KERNELS, INDUCTOR = "SUITE_KERNELS", "TORCHINDUCTOR_CACHE_DIR"
"""Variables that name the folder of our kernels, and that of what torch compiles."""


def user_cache() -> Path:
    """The user's cache folder, by the rule of the system. Raises OSError for a user without a home."""
    given = Path(os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", ""))
    if given.is_absolute() and sys.platform != "darwin":
        return given
    try:
        return Path.home() / {"win32": "AppData/Local", "darwin": "Library/Caches"}.get(sys.platform, ".cache")
    except RuntimeError as error:
        raise OSError("this user has no home folder") from error


def kernels_folder() -> Path:
    """The folder of built kernels, made with mode 0700 where it is missing. Raises OSError where it cannot be made,
    is a link, belongs to another user, or lets others write."""
    given = os.environ.get(KERNELS)
    folder = (Path(given) if given else user_cache() / "mla-grpo-suite-kernels").absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_private(folder.lstat(), folder, "folder", stat.S_ISDIR)
    return folder


def private_content(path: Path) -> bytes:
    """The content of a file in `kernels_folder`. Raises OSError for what is no plain file, such as a link or a pipe,
    and for a file that belongs to another user or lets others write."""
    # No link is followed and no pipe is waited for. Windows has neither flag.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        check_private(os.fstat(file.fileno()), path, "file", stat.S_ISREG)
        return file.read()


def check_private(status: os.stat_result, path: Path, kind: str, is_kind: Callable[[int], bool]) -> None:
    """Raise OSError unless it is of this kind, belongs to this user and cannot be written by others."""
    mode = stat.filemode(status.st_mode)
    if not is_kind(status.st_mode):
        raise OSError(f"{path} must be a plain {kind}; got {mode}")
    # Windows keeps neither, and closes a user's folder to others.
    if sys.platform != "win32" and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
        raise OSError(f"{path} must belong to this user, and be written by nobody else; got {mode} of {status.st_uid}")
