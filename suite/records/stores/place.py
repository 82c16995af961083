"""URLs of stores and the folders of this machine that mirror them, of which people are shown the URL.

Folders are given as paths, on command lines and to Hydra, and a URL that became a path has lost a slash
(`s3:/bucket/folder`). It is known by that all the same. A folder of the mirror says itself what it mirrors, so that no
process needs to be told.
"""

import hashlib
import os
import re
from pathlib import Path

from suite.records.machine.user_cache import user_cache

STORES = ("mla-grpo-suite", "stores")
MIRROR, OWN = "mirror", "own"
"""Below the user's cache: what stores hold, and what this machine keeps for itself of each."""
URL = re.compile(r"([A-Za-z][A-Za-z0-9+-]+(?:::.*?)?):/+(.*)", re.DOTALL)
"""A scheme has two letters at least, and is none of Windows' drives. fsspec chains several, as simplecache::s3://…."""
PART = re.compile(r"\w[\w.=+-]{0,199}", re.ASCII)
"""A part of a URL, which is a folder's name here. None begins with a dot: names of our own do."""
OF_THIS_MACHINE = ("file", "local")


def is_store(place: str | Path) -> bool:
    """True if a folder's name is a store's URL, or was one before it became a path."""
    return URL.fullmatch(_text(place)) is not None


def url_in(place: str | Path) -> str:
    """The URL of a place for which `is_store` holds, as it is written.

    Raises ValueError for one of another form, which it does not repeat: it may hold a password.
    """
    match = URL.fullmatch(_text(place))
    assert match is not None, "is_store comes first"
    scheme, parts = match[1].lower(), match[2].rstrip("/").split("/")
    if scheme in OF_THIS_MACHINE:
        raise ValueError(f"{scheme}:// names a folder of this machine: name the folder itself")
    if "::" in scheme or not all(PART.fullmatch(part) for part in parts):
        first = scheme.partition("::")[0]
        raise ValueError(
            f"a store must be {first}://BUCKET/FOLDER, in names of letters, digits and . _ = + -, and without a user, "
            "a password or a signature, which the store's own library takes from the environment"
        )
    return f"{scheme}://{'/'.join(parts)}"


def mirror_folder(url: str) -> Path:
    """The folder of this machine that mirrors what lies below a URL, whether it is there or not."""
    return _store_folder(MIRROR, url)


def own_folder(url: str) -> Path:
    """The folder of what belongs to a URL and stays here, such as runs that are not in the store yet. Its names
    begin with a dot."""
    return _store_folder(OWN, url)


def locks_folder(thing: str | Path) -> Path:
    """The folder of this user's lock on a file or a URL, for `alone_in`: what lies beside it may be somebody's
    checkout, which gets no further file, or a server's."""
    name = thing if isinstance(thing, str) else os.path.realpath(thing)
    # One of 256 for all: two things that share one only wait for each other.
    return user_cache().joinpath(STORES[0], "locks", hashlib.sha256(os.fsencode(name)).hexdigest()[:2])


def mirrored_url(folder: Path) -> str | None:
    """The URL that a folder of any machine's mirror stands for; None for every other folder."""
    parts, mark = folder.parts, (*STORES, MIRROR)
    for at in range(len(parts) - len(mark) - 1):
        if parts[at : at + len(mark)] == mark:
            scheme, *names = parts[at + len(mark) :]
            return f"{scheme}://{'/'.join(names)}"
    return None


def shown(place: Path) -> str:
    """A path as people are shown it: of what lies in a store the URL, and never where its mirror is."""
    if (url := mirrored_url(place)) is not None:
        return url
    match = URL.fullmatch(_text(place))
    return f"{match[1].lower()}://{match[2]}" if match else str(place)


def check_is_here(out: Path | None) -> None:
    """Raise ValueError for a store's URL where a page or a judgement is written."""
    if out is not None and is_store(out):
        raise ValueError(f"out must be a path of this machine; got {shown(out)!r}")


def _text(place: str | Path) -> str:
    return place if isinstance(place, str) else place.as_posix()


def _store_folder(kind: str, url: str) -> Path:
    """The folder of MIRROR or OWN for a URL, below the user's cache."""
    scheme, _, names = url.partition("://")
    return user_cache().joinpath(*STORES, kind, scheme, *names.split("/"))
