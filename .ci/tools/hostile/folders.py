"""Folders of records from strangers, each with every command that reads one."""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from suite.records.stores.pack import PACK
from suite.records.stores.store import RECORD, SAMPLES, read_blocks
from tests.records.factory import build, committed, store
from tools.hostile import mutations
from tools.hostile.attempt import CODES, Attempt, command

ROOT = Path(__file__).resolve().parents[3]
REFERENCE = ROOT / "results" / "reference" / "cpu"
AT_ONCE = 20
"""Records that are changed by chance, in one folder."""
COMMANDS: dict[str, tuple[str, ...]] = {
    "list": ("results", "list", "hostile"),
    "list as JSON": ("results", "list", "hostile", "--json"),
    "verify": ("results", "verify", "hostile"),
    "show by key": ("results", "show", "0123", "--results", "hostile"),
    "merge": ("results", "merge", "hostile", "whole", "--into", "into"),
    "pack": ("results", "pack", "hostile", "--remove"),
    "report": ("report", "--results", "hostile", "--results", "whole", "--out", "page.html"),
    "report as Markdown": ("report", "--results", "hostile", "--format", "markdown", "--out", "page.md"),
    "report as CSV": ("report", "--results", "hostile", "--format", "csv", "--out", "page.csv"),
    "load": (),
}
NAMING: dict[str, tuple[str, ...]] = {
    mutations.ALL: ("verify", "list", "merge", "report"),
    mutations.WHOLE: ("verify", "merge", "report"),
    mutations.VERIFY: ("verify",),
    mutations.NOBODY: (),
}
"""Commands that end with 4 where a run is damaged, by who must name it."""
Prepare = Callable[[Path], object]


def attempts(chance: random.Random) -> Iterator[Attempt]:
    """Every damage of the catalogue with every command, then several damages at once, without end."""
    catalogue = [*_of_runs(), *_of_folders()]
    chance.shuffle(catalogue)
    for what, prepare, names in catalogue:
        for name in COMMANDS:
            yield _attempt(name, what, prepare, is_damaged=name in NAMING[names])
    while True:
        several = chance.sample(catalogue, 3)
        name, whats = chance.choice(list(COMMANDS)), " and ".join(what for what, *_ in several)
        is_damaged = any(name in NAMING[names] for *_, names in several)
        yield _attempt(name, whats, _each([prepare for _, prepare, _ in several]), is_damaged=is_damaged)


def mutated(chance: random.Random) -> Iterator[Attempt]:
    """Committed records, each changed by chance, AT_ONCE in a folder, without end."""
    originals = [run for run, _ in committed(REFERENCE)]
    while True:
        seed = chance.randrange(1 << 30)
        name = chance.choice(list(COMMANDS))
        yield _attempt(name, f"{AT_ONCE} records changed by seed {seed}", _by_chance(originals, seed), is_damaged=False)


def _attempt(name: str, what: str, prepare: Prepare, *, is_damaged: bool) -> Attempt:
    """One command of COMMANDS on a folder that `prepare` damages; if `is_damaged`, it must end with 4."""

    def whole(folder: Path) -> None:
        store(folder / "whole", build(), build(seq_len=8192))
        store(folder / "hostile", build(), build(attention="mha"))
        prepare(folder / "hostile")

    return Attempt(
        what=f"{name}, {what}",
        run=_loaded if name == "load" else command(*COMMANDS[name]),
        prepare=whole,
        codes=(4,) if is_damaged else CODES,
        shows_texts=True,
    )


def _loaded() -> int:
    """Load the folder in Python and make every frame of it."""
    import warnings

    import suite

    warnings.simplefilter("ignore")
    runs = suite.load("hostile")
    for frame in (runs.table, runs.curves, runs.readings, runs._repr_html_):
        frame()
    return 0


def _each(several: Sequence[Prepare]) -> Prepare:
    """A function that makes one part of the folder for each damage."""

    def prepare(hostile: Path) -> None:
        for number, damage in enumerate(several):
            part = hostile / f"part{number}"
            store(part, build(), build(attention="mha"))
            damage(part)

    return prepare


def _of_runs() -> Iterator[tuple[str, Prepare, str]]:
    """Damage of one run among whole ones."""
    for what, change, names in mutations.catalogue():

        def prepare(hostile: Path, change: mutations.Change = change) -> None:
            change(sorted(hostile.iterdir())[0])

        yield what, prepare, names


def _of_folders() -> Iterator[tuple[str, Prepare, str]]:
    """Damage of what lies about the runs; one of them is broken too, so that each has something to name."""
    for what, change in FOLDERS.items():

        def prepare(hostile: Path, change: mutations.Change = change) -> None:
            (sorted(hostile.iterdir())[0] / "record.json").write_text("{")
            change(hostile)

        yield what, prepare, mutations.ALL


def _by_chance(originals: Sequence[Path], seed: int) -> Prepare:
    """A function that fills the folder with committed records, each changed by this seed."""

    def prepare(hostile: Path) -> None:
        chance = random.Random(seed)
        for number, original in enumerate(chance.sample(originals, AT_ONCE)):
            place = hostile / f"{number}" / original.name
            place.mkdir(parents=True)
            for name in (RECORD, SAMPLES):
                (place / name).write_bytes(b"".join(read_blocks(original / name)))
            mutations.by_chance(chance)(place)

    return prepare


def _deep(depth: int) -> mutations.Change:
    """The change that puts a copy of a run below `depth` nested folders."""

    def change(hostile: Path) -> None:
        run = sorted(hostile.iterdir())[1]
        here = os.open(hostile, os.O_RDONLY)
        for _ in range(depth):  # by descriptors, since no path may be so long
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        for name in os.listdir(run):  # noqa: PTH208
            copy = os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=here)
            os.write(copy, (run / name).read_bytes())
            os.close(copy)
        os.close(here)

    return change


def _named(name: bytes) -> mutations.Change:
    """The change that renames a run's folder."""

    def change(hostile: Path) -> None:
        run = sorted(hostile.iterdir())[1]
        os.rename(os.fsencode(run), os.path.join(os.fsencode(hostile), name))  # noqa: PTH104, PTH118

    return change


FOLDERS: dict[str, mutations.Change] = {
    "990 folders deep": _deep(990),
    "a link to the root": lambda hostile: (hostile / "root").symlink_to("/"),
    "a link to itself": lambda hostile: (hostile / "self").symlink_to("self"),
    "a link to its own folder": lambda hostile: (hostile / "again").symlink_to("."),
    "a pipe beside": lambda hostile: os.mkfifo(hostile / "pipe"),
    "a name with a line's end": _named(b"a\n::error::x"),
    "a name that is no UTF-8": _named(b"\xff\xfe\x80"),
    "a name that moves the cursor": _named(b"\x1b[2Jx\x07"),
    "a name that turns text round": _named("\u202egnp.exe".encode()),
    "a name of 255 bytes": _named(b"x" * 255),
    "a name that looks like an option": _named(b"--out=x"),
    "a folder that may not be read": lambda hostile: sorted(hostile.iterdir())[1].chmod(0),
    "a torn pack": lambda hostile: (hostile / PACK).write_bytes(b"PK\x05\x06" + bytes(17)),
    "a pack of noise": lambda hostile: (hostile / PACK).write_bytes(random.Random(0).randbytes(100_000)),
    "a pack that is a folder": lambda hostile: (hostile / PACK / "inner").mkdir(parents=True),
    "a pack that is a link": lambda hostile: (hostile / PACK).symlink_to("/etc/passwd"),
    "a claim that is a folder": lambda hostile: (hostile / "a" / "claim.lock").mkdir(parents=True),
    "files that are not whole yet": lambda hostile: (hostile / "record.json.part").write_text("{"),
}
