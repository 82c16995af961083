"""Places of a sweep's runs: a folder of this machine, or one in a store that several machines write into.

In a store a lock that its holder's death frees does not exist. A claim is an object there that only one can create; its
holder writes it anew every 30 s, and one that is older than 120 s, by the store's own clock, is taken over by creating
the next. Claims only save work that two would do: nothing rests on them. A run is written here first. Then its writer
creates one more object in the run's folder, and whoever does not win that goes on to the next number. So no file is
replaced and none mixed, whatever a clock or a stopped process does. The record is put last.
"""

import hashlib
import itertools
import uuid
from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

from suite.records.record import FILES, OVERRIDES
from suite.records.stores.claim import NAME_LENGTH, Claim, alone_in, claim_folder, hold, run_names
from suite.records.stores.mirror import CLAIM, WRITER, mirror_folder, mirrored_url, own_folder, refresh
from suite.records.stores.objects import ObjectStore, StoreError, open_store
from suite.records.stores.store import RECORD, SAMPLES, has_record, read_file, read_record, write_whole

RENEW_EVERY_S, STALE_AFTER_S = 30.0, 120.0
OWNER, RUNS = ".owner", ".runs"
"""The name of this machine in claims, and the folder of runs that are being written, in what it keeps of a URL."""
LONGEST_CLAIM_BYTES = 200


@dataclass(frozen=True, kw_only=True)
class LocalFolder:
    """Runs in a folder of this machine."""

    folder: Path
    """The folder of this machine in which its runs can be read."""

    @property
    def runs(self) -> Path:
        """The folder of this machine in which runs are written."""
        return self.folder

    def prepare(self, run_keys: Collection[str] | None) -> None:
        """Make runs of these keys readable, or all of them, before any is looked for. Raises ValueError where none can
        be written."""

    def look_again(self, run_key: str) -> None:
        """Make a run of this key readable that another machine may have written meanwhile."""

    def claim(self, run_key: str) -> Claim | None:
        """The folder for a new run of this key; None where another process holds it."""
        return claim_folder(self.folder, run_key)


@dataclass(frozen=True, kw_only=True)
class StoreFolder:
    """The folder of a store."""

    store: ObjectStore

    @property
    def folder(self) -> Path:
        """This machine's mirror of the store, in which its runs can be read."""
        return mirror_folder(self.store.url)

    @property
    def runs(self) -> Path:
        """The folder of this machine in which runs are written, and in which checkpoints of unfinished ones stay."""
        return own_folder(self.store.url) / RUNS

    def prepare(self, run_keys: Collection[str] | None) -> None:
        """Put what an earlier process could not, and mirror the runs of these keys, or all. Raises ValueError for a
        store that cannot be written, and StoreError for one that cannot be reached."""
        self.store.check_create()
        for folder in sorted(self.runs.glob("*")):
            self._put_what_was_left(folder)
        refresh(self.store, None if run_keys is None else {key[:NAME_LENGTH] for key in run_keys})

    def look_again(self, run_key: str) -> None:
        """Make a run of this key readable that another machine may have written, and put one that was left here."""
        self._put_what_was_left(self.runs / run_key[:NAME_LENGTH])
        refresh(self.store, again=run_key[:NAME_LENGTH])

    def claim(self, run_key: str) -> Claim | None:
        """A folder of this machine, whose run is put into the store by `publish`."""
        folder = self.runs / run_key[:NAME_LENGTH]
        folder.mkdir(parents=True, exist_ok=True)
        local = hold(folder)
        if local is None:
            return None
        with ExitStack() as released:
            released.callback(_remove_if_empty, folder)
            released.enter_context(local)
            name = None if has_record(folder) else self._claim_name(run_key[:NAME_LENGTH])
            if name is None:
                return None
            released.pop_all()
        return StoreClaim(folder=folder, lock=local.lock, runs=self, claimed=name)

    def put_run(self, folder: Path, first: str) -> str:
        """Put a whole run into the store, its record last, and return its name there: `first`, or the next number that
        is free. A run that lies there already is not put again. Raises CorruptRecordError for one that is damaged."""
        files = list(dict.fromkeys((SAMPLES, *read_record(folder, with_readings=False).files)))
        names = itertools.chain([first], run_names(first.partition("-")[0]))
        return next(name for name in names if self._put_under(name, folder, files))

    def _put_under(self, name: str, folder: Path, files: Sequence[str]) -> bool:
        """Put a run under one name, its record last; False where another run has the name."""
        record, place = read_file(folder / RECORD), f"{name}/{RECORD}"
        if has_record(self.folder / name) or self.store.has(place):
            return self.store.holds(place, record)
        if not self.store.create(f"{name}/{WRITER}", hashlib.sha256(record).hexdigest().encode()):
            return False
        # Looked for again: whoever had the name may have ended between the look and the win.
        lies_there = self.store.has(place)
        for file in files if not lies_there else ():
            self.store.put(f"{name}/{file}", read_file(folder / file))
        is_put = self.store.holds(place, record) if lies_there else self.store.create(place, record)
        self.store.remove([f"{name}/{WRITER}"])
        return is_put

    def _put_what_was_left(self, folder: Path) -> None:
        """Put a run that a process left here, unless a living one is about to put it; then remove it here."""
        claim = hold(folder) if (folder / RECORD).exists() else None
        if claim is not None:
            with claim:
                if (folder / RECORD).exists():
                    self.put_run(folder, folder.name)
                    remove_run(folder)
            _remove_if_empty(folder)

    def _claim_name(self, key: str) -> "ClaimedName | None":
        """Create a claim in the store under the first name that has no record; None where another process holds it."""
        objects = self.store.listing(key)
        for name in run_names(key):
            files = [key.removeprefix(f"{name}/") for key in objects if key.startswith(f"{name}/")]
            claims = [int(match[1]) for file in files if (match := CLAIM.fullmatch(file))]
            latest = max(claims, default=0)
            if RECORD in files or has_record(self.folder / name):
                continue
            if latest and self._is_held(f"{name}/claim-{latest}"):
                return None
            if len(files) > len(claims):  # whoever put files there died before the record
                continue
            mark = self._owner() + b" " + uuid.uuid4().hex.encode()
            claimed = ClaimedName(name=name, number=latest + 1, mark=mark)
            if not self.store.create(claimed.claim, mark):
                return None
            if not self.store.has(f"{name}/{RECORD}"):
                return claimed
            self.store.remove([claimed.claim])  # its holder ended between the two looks
            return None
        raise AssertionError("run_names has no end")

    def _is_held(self, claim: str) -> bool:
        """True if the holder of a claim is alive, as far as can be known."""
        if self.store.read(claim, LONGEST_CLAIM_BYTES).partition(b" ")[0] == self._owner():
            return False  # a process of this machine, which would hold the lock that we hold
        renewed_at = self.store.changed_at(claim)
        clock = f".clock-{uuid.uuid4().hex}"
        self.store.put(clock, b"now")
        now = self.store.changed_at(clock)
        self.store.remove([clock])
        return renewed_at is None or now is None or now - renewed_at < timedelta(seconds=STALE_AFTER_S)

    def _owner(self) -> bytes:
        """A name by chance for this machine, which tells nobody anything."""
        path = own_folder(self.store.url) / OWNER
        with alone_in(path.parent):
            if not path.exists():
                write_whole(path, uuid.uuid4().hex.encode())
            return path.read_bytes()


ResultsFolder = LocalFolder | StoreFolder
"""A place of runs, in which several processes may look for and claim them."""


def results_folder(folder: Path) -> ResultsFolder:
    """The place that a folder stands for: a store's where it is that store's mirror. Raises ValueError where the
    store's library is not installed."""
    url = mirrored_url(folder)
    return LocalFolder(folder=folder) if url is None else StoreFolder(store=open_store(url))


@dataclass(frozen=True, kw_only=True)
class ClaimedName:
    """A claim in a store: the name of the run's folder there, the claim's number in it, and its content."""

    name: str
    number: int
    mark: bytes

    @property
    def claim(self) -> str:
        """The name of the claim's object."""
        return f"{self.name}/claim-{self.number}"


@dataclass(frozen=True, kw_only=True)
class StoreClaim(Claim):
    """A claim of this machine's folder, and of a name in the store."""

    runs: StoreFolder
    claimed: ClaimedName
    renewal: "Renewal" = field(init=False)

    def __enter__(self) -> "StoreClaim":
        object.__setattr__(self, "renewal", Renewal(self.runs.store, self.claimed))
        self.renewal.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.renewal.end()
        with suppress(OSError):  # it grows stale by itself
            # With those before it, whose holders are dead or stopped.
            numbers = range(1, self.claimed.number + 1)
            self.runs.store.remove([f"{self.claimed.name}/claim-{number}" for number in numbers])
        super().__exit__(*error)
        _remove_if_empty(self.folder)

    def publish(self) -> Path:
        """Put the run into the store, then remove it here. Raises StoreError where that fails: it stays, and the next
        process that runs cases of this URL puts it."""
        try:
            name = self.runs.put_run(self.folder, self.claimed.name)
        except OSError as error:
            raise StoreError(
                f"{error}; the record is kept on this machine, and the same command puts it there"
            ) from error
        remove_run(self.folder)
        return self.runs.folder / name


class Renewal(Thread):
    """Writes a claim anew until it is told to end."""

    def __init__(self, store: ObjectStore, claimed: ClaimedName) -> None:
        super().__init__(daemon=True, name=claimed.claim)
        self._store, self._claimed, self._ended = store, claimed, Event()

    def run(self) -> None:
        """Write the claim every RENEW_EVERY_S seconds."""
        while not self._ended.wait(RENEW_EVERY_S):
            with suppress(OSError):  # the next may succeed; a claim that is lost costs a second run and no record
                self._store.put(self._claimed.claim, self._claimed.mark)

    def end(self) -> None:
        """End, and wait for a request under way: it would bring the claim back after its removal."""
        self._ended.set()
        self.join()


def remove_run(folder: Path) -> None:
    """Remove a run that lies in a store or a pack by now, its record first: half of a run is none. What else its folder
    holds stays there."""
    for file in (RECORD, *FILES):
        (folder / file).unlink(missing_ok=True)
    for emptied in ((folder / OVERRIDES).parent, folder):
        with suppress(OSError):
            emptied.rmdir()


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
