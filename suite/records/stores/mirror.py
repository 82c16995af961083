"""A folder of this machine with what lies below a URL: what is new is brought, what is gone there goes here too.

Only files of ours are brought, by names that stay below the folder and up to the size that their readers allow. They
are read as any stranger's are. A commit point (record.json, a pack, a judgement) is put in place after the files that
it vouches for.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from suite.configuration.untrusted import parse_json
from suite.configuration.values import clipped
from suite.records.machine.user_cache import user_cache
from suite.records.plain_text import complain
from suite.records.record import FILES, OVERRIDES, TRACE
from suite.records.stores.claim import NAME_LENGTH, alone_in
from suite.records.stores.objects import Info, ObjectStore, StoreError, open_store
from suite.records.stores.pack import PACK
from suite.records.stores.store import JUDGEMENT, LOCK, RECORD, write_whole
from suite.records.stores.withdrawn import WITHDRAWN

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


MOST_LEVELS = 32
MOST_BYTES = {
    **dict.fromkeys(FILES, 96 << 20),
    TRACE: 1 << 30,
    RECORD: 1 << 20,
    PACK: 512 << 20,
    JUDGEMENT: 16 << 20,
    WITHDRAWN: 256 << 10,
}
"""The files that are brought, and the most that their readers take."""
LONGEST_NAME = 255
"""Bytes of one part of a name on this machine's disks. A store takes 1,024."""
COMMITS = (RECORD, PACK, JUDGEMENT)
CLAIM, WRITER = re.compile(r"claim-([1-9]\d{0,5})"), "writer"
"""Objects by which a run's folder is known as begun: see suite.records.stores.folder."""
INDEX, COMING = ".index.json", ".coming"
AT_ONCE = 256
"""Files that are brought before they are put in place."""


def on_this_machine(folder: Path) -> Path:
    """Where a folder of results can be read: a store's URL is mirrored first, every other folder is itself.

    Raises ValueError for what is no URL of a store or cannot be mirrored, and StoreError where it cannot be reached.
    """
    url = url_in(folder) if is_store(folder) else mirrored_url(folder)
    return folder if url is None else refresh(open_store(url))


def existing(folders: Sequence[Path]) -> list[Path]:
    """Where folders that a person named can be read, stores mirrored first. Raises ValueError for a missing one."""
    readable = [on_this_machine(folder) for folder in folders]
    for folder in readable:
        if not folder.is_dir():
            raise ValueError(f"results must be folders that exist; got {shown(folder)!r}")
    return readable


def refresh(store: ObjectStore, keys: Collection[str] | None = None, *, again: str | None = None) -> Path:
    """Bring the mirror of a store up to date and return it; there is none where nothing lies below the URL.

    `keys`: only runs directly below it whose names begin so, by the digits of a run key that a folder's name has, and a
    pack and a list of withdrawals beside them. `again`: only those of one such, which costs a single short list where
    nothing is new. Raises ValueError for names that lead out of the folder.
    """
    mirror, private = mirror_folder(store.url), own_folder(store.url)
    wanted_keys, further = (keys, (PACK, WITHDRAWN)) if again is None else ([again], ())

    def is_asked(name: str) -> bool:
        """Whether the digits that begin a run's folder are of a wanted key, or it is the pack or the withdrawals.

        True for every name where no keys are given.
        """
        return wanted_keys is None or name.partition("/")[0].partition("-")[0] in wanted_keys or name in further

    with alone_in(private):
        objects = {name: info for name, info in store.listing(again or "").items() if is_asked(name)}
        if too_long := [name for name in objects if max(map(len, name.encode().split(b"/"))) > LONGEST_NAME]:
            complain(f"{store.url}: left out, longer than a file's name can be: {clipped(too_long)}")
            objects = {name: info for name, info in objects.items() if name not in too_long}
        wanted = store.sized({name: info for name, info in objects.items() if _file_kind(name) in MOST_BYTES})
        begun = _locks_of_begun_runs(objects)
        _check_names(store.url, [*wanted, *begun])
        files = (path for path in mirror.rglob("*") if path.is_file() or path.is_symlink())
        mirrored = {name for path in files if is_asked(name := path.relative_to(mirror).as_posix())}
        _remove_files(mirror, mirrored - wanted.keys() - begun)
        for name in begun - mirrored:
            (mirror / name).parent.mkdir(parents=True, exist_ok=True)
            (mirror / name).touch()
        index = {name: mark for name, mark in _read_index(private).items() if name in wanted or not is_asked(name)}
        # All that the store says of an object, such as its ETag and when it was written.
        shown_infos = {name: repr(sorted(info.items())).encode() for name, info in wanted.items()}
        marks = {name: hashlib.sha256(info).hexdigest()[:NAME_LENGTH] for name, info in shown_infos.items()}

        def is_new(name: str) -> bool:
            """Whether the mirror lacks the object as the store has it now."""
            with suppress(OSError):
                size = min(int(wanted[name]["size"]), MOST_BYTES[_file_kind(name)] + 1)  # a longer one is a stand-in
                return index.get(name) != marks[name] or (mirror / name).stat().st_size != size
            return True

        new = sorted(filter(is_new, wanted), key=_commits_last)
        for names in (new[at : at + AT_ONCE] for at in range(0, len(new), AT_ONCE)):
            _bring(store, {name: wanted[name] for name in names}, mirror, private / COMING)
            index |= {name: marks[name] for name in names}
            write_whole(private / INDEX, json.dumps(index).encode())
    return mirror


def _check_names(url: str, names: Sequence[str]) -> None:
    """Raise ValueError for a name that leads out of its folder, is too deep, or is a folder of another name."""
    folders = {above for name in names for above in _folders_above(name)}
    for name in names:
        parts = name.split("/")
        leads_out = any(part in ("", ".", "..") for part in parts) or re.search(r"[\\:\x00-\x1f\x7f]", name)
        if leads_out or len(parts) > MOST_LEVELS or name in folders:
            raise ValueError(f"{url} is not read: it holds an object that cannot be a file below one folder, {name!r}")


def _locks_of_begun_runs(objects: Iterable[str]) -> set[str]:
    """The names of lock files that stand for runs which were begun in the store and have no record there."""
    names = set(objects)
    folders = {
        name.rpartition("/")[0] for name in names if CLAIM.fullmatch(_last_part(name)) or _last_part(name) == WRITER
    }
    return {f"{folder}/{LOCK}" for folder in folders if folder and f"{folder}/{RECORD}" not in names}


def _file_kind(name: str) -> str:
    """The name of a run's file as MOST_BYTES has it: the last part of a name, or its last two."""
    return OVERRIDES if f"/{name}".endswith(f"/{OVERRIDES}") else _last_part(name)


def _last_part(name: str) -> str:
    """The part of a name behind its last slash."""
    return name.rpartition("/")[2]


def _folders_above(name: str) -> Iterator[str]:
    """For `a/b/c` first `a/b`, then `a`; none for a name without a slash."""
    while name := name.rpartition("/")[0]:
        yield name


def _remove_files(mirror: Path, names: Iterable[str]) -> None:
    """Remove files that the store has no longer, commit points first, and folders that are empty then."""
    for name in sorted(names, key=lambda name: (_last_part(name) not in COMMITS, name)):
        (mirror / name).unlink(missing_ok=True)
        with suppress(OSError):  # not empty yet
            for above in _folders_above(name):
                (mirror / above).rmdir()
    with suppress(OSError):
        mirror.rmdir()


def _commits_last(name: str) -> tuple[bool, str]:
    """A sort key that puts commit points behind all other files."""
    return _last_part(name) in COMMITS, name


def _bring(store: ObjectStore, coming: Mapping[str, Info], mirror: Path, into: Path) -> None:
    """Fetch objects and move each whole into the mirror, in the given order.

    `into`: a scratch folder, emptied before and gone after. One that is too large becomes a hole of a size that its
    reader refuses. Raises StoreError if a size has changed since the listing.
    """
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    places = {name: into / str(number) for number, name in enumerate(coming)}
    store.fetch({name: place for name, place in places.items() if coming[name]["size"] <= MOST_BYTES[_file_kind(name)]})
    for name, place in places.items():
        most_bytes = MOST_BYTES[_file_kind(name)]
        if coming[name]["size"] > most_bytes:
            # A file without content, which its reader refuses as too large and names so.
            place.touch()
            os.truncate(place, most_bytes + 1)
        elif place.stat().st_size != coming[name]["size"]:
            raise StoreError(f"{store.url} changed while it was read; the same command reads it again")
        (mirror / name).parent.mkdir(parents=True, exist_ok=True)
        place.replace(mirror / name)
    shutil.rmtree(into)


def _read_index(private: Path) -> dict[str, str]:
    """The marks of what was brought. A file that is torn or of another form only costs bringing it again."""
    with suppress(OSError, ValueError):
        marks = parse_json((private / INDEX).read_bytes())
        return marks if isinstance(marks, dict) else {}
    return {}
