"""The doors at which strangers' data enters: records, tables of a closed sweep, archives that are merged, traces that
are read, and candidates of the gate. Each yields attempts without end.
"""

import gzip
import io
import json
import os
import random
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from suite.commands import traces
from suite.records.stores.closed import MANIFEST
from suite.records.stores.files import sha256
from suite.records.stores.store import READINGS, RECORD, SAMPLES, read_file, read_record
from tests.attention.test_ragged import settings
from tests.gate.pytest_benchmark import cheats
from tests.gate.repositories import repository
from tests.records.factory import build, committed, store
from tools.hostile import mutations
from tools.hostile.attempt import Attempt, command

REFERENCE = Path(__file__).resolve().parents[3] / "results" / "reference" / "cpu"
AT_ONCE = 20
"""Records that are changed in one folder."""
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
ODD_NAMES = (b"a\n::error::x", b"\xff\xfe\x80", b"\x1b[2Jx\x07", "\u202egnp.exe".encode(), b"x" * 255, b"--out=x")
BESIDE: tuple[Callable[[Path], object], ...] = (
    lambda hostile: (hostile / "root").symlink_to("/"),
    lambda hostile: (hostile / "again").symlink_to("."),
    lambda hostile: os.mkfifo(hostile / "pipe"),
    lambda hostile: (hostile / "runs.zip").write_bytes(b"PK\x05\x06" + bytes(17)),
    lambda hostile: (hostile / "runs.zip").symlink_to("/etc/passwd"),
    lambda hostile: (hostile / "record.json.part").write_text("{"),
)
"""What may lie beside the runs of a folder."""
MEMBERS = ("../outside", "/etc/outside", "runs/../../x", "a" * 300, "\x1b[2Jx", "a\n::error::x", "runs", "..", ".", "")
KINDS = (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
SEQUENCES = "2q1s9_q3s21_q1s40"


def records(chance: random.Random) -> Iterator[Attempt]:
    """Committed records changed by chance, AT_ONCE in a folder with an odd neighbour, read by a command."""
    originals = [run for run, _ in committed(REFERENCE)]
    while True:
        seed, name = chance.randrange(1 << 30), chance.choice(list(COMMANDS))

        def prepare(folder: Path, seed: int = seed) -> None:
            own_chance, hostile = random.Random(seed), folder / "hostile"
            store(folder / "whole", build(), build(seq_len=8192))
            (odd,) = store(hostile, build(attention="mha"))
            os.rename(os.fsencode(odd), os.path.join(os.fsencode(hostile), own_chance.choice(ODD_NAMES)))  # noqa: PTH104, PTH118
            own_chance.choice(BESIDE)(hostile)
            for number, original in enumerate(own_chance.sample(originals, AT_ONCE)):
                place = hostile / f"{number}" / original.name
                place.mkdir(parents=True)
                (place / RECORD).write_bytes(read_file(original / RECORD))
                mutations.rewritten(place, **{SAMPLES: READINGS.content(read_record(original).readings)})
                mutations.by_chance(own_chance)(place)

        run = _load if name == "load" else command(*COMMANDS[name])
        yield Attempt(what=f"{name}, {AT_ONCE} records changed by seed {seed}", run=run, prepare=prepare)


def _load() -> int:
    """Load the folder in Python and make every frame of it."""
    import warnings

    import suite

    warnings.simplefilter("ignore")
    runs = suite.load("hostile")
    for frame in (runs.cases, runs.table, runs.curves, runs.readings, runs._repr_html_):
        frame()
    return 0


def tables(chance: random.Random) -> Iterator[Attempt]:
    """Tables of a closed sweep, one of which is changed in its bytes, or the manifest in its values, read by a command.
    Half the time the manifest vouches for the changed table."""
    while True:
        seed, name = chance.randrange(1 << 30), chance.choice(list(COMMANDS))

        def prepare(folder: Path, seed: int = seed) -> None:
            own_chance, hostile = random.Random(seed), folder / "hostile"
            store(folder / "whole", build(), build(seq_len=8192))
            store(hostile, build(attention="mha"), build(attention="mla"))
            assert command("results", "pack", str(hostile), "--remove")() == 0
            manifest = json.loads((hostile / MANIFEST).read_bytes())
            if own_chance.random() < 0.3:
                mutations.change_values(manifest, own_chance)
            else:
                table = own_chance.choice(list(manifest["tables"].values()))
                changed = bytearray((hostile / table["file"]).read_bytes())
                mutations.change_bytes(changed, own_chance)
                (hostile / table["file"]).write_bytes(changed)
                if own_chance.random() < 0.5:
                    table["sha256"] = sha256(hostile / table["file"])
            (hostile / MANIFEST).write_text(mutations.written(manifest))

        run = _load if name == "load" else command(*COMMANDS[name])
        yield Attempt(what=f"{name}, a table changed by seed {seed}", run=run, prepare=prepare)


def archives(chance: random.Random) -> Iterator[Attempt]:
    """Archives with members of odd names and kinds, and with changed bytes before and after compression, merged."""
    while True:
        seed = chance.randrange(1 << 30)

        def prepare(folder: Path, seed: int = seed) -> None:
            own_chance, content = random.Random(seed), io.BytesIO()
            store(folder / "whole", build(), build(seq_len=8192))
            store(folder / "runs", build(attention="mha"))
            with tarfile.open(fileobj=content, mode="w") as tar:
                tar.add(folder / "runs", "runs")
                for _ in range(own_chance.choice((0, 1, 3))):
                    member = tarfile.TarInfo(own_chance.choice(MEMBERS))
                    member.type, member.linkname = own_chance.choice(KINDS), own_chance.choice(MEMBERS)
                    member.size = 1000 if member.isreg() else 0
                    tar.addfile(member, io.BytesIO(bytes(1000)))
            plain = bytearray(content.getvalue())
            if own_chance.random() < 0.5:
                mutations.change_bytes(plain, own_chance)
            packed = bytearray(gzip.compress(plain))
            if own_chance.random() < 0.2:
                mutations.change_bytes(packed, own_chance)
            (folder / "hostile.tar.gz").write_bytes(packed)

        run = command("results", "merge", "hostile.tar.gz", "whole", "--into", "into")
        yield Attempt(what=f"merge, an archive changed by seed {seed}", run=run, prepare=prepare)


def trace_files(chance: random.Random) -> Iterator[Attempt]:
    """Traces in flashinfer-bench's format, one of whose files is changed in its values or its bytes, read."""

    def run() -> int:
        return command("trace", "read", *map(str, Path("traces/workloads").rglob("*.jsonl")))()

    while True:
        seed = chance.randrange(1 << 30)

        def prepare(folder: Path, seed: int = seed) -> None:
            own_chance = random.Random(seed)
            store(folder / "runs", build(settings=settings(SEQUENCES, page_size=4, dtype="bfloat16")))
            traces.write([folder / "runs"], folder / "traces")
            file = own_chance.choice([path for path in sorted((folder / "traces").rglob("*")) if path.is_file()])
            if file.suffix in (".json", ".jsonl") and own_chance.random() < 0.7:
                content = json.loads(file.read_bytes())  # one line of JSON, or all of it
                mutations.change_values(content, own_chance)
                file.write_text(mutations.written(content))
            else:
                changed = bytearray(file.read_bytes())
                mutations.change_bytes(changed, own_chance)
                file.write_bytes(changed)

        yield Attempt(what=f"trace read, a file changed by seed {seed}", run=run, prepare=prepare)


def candidates(chance: random.Random) -> Iterator[Attempt]:
    """Slower working trees that look as fast as their honest commit: the gate must not judge them (code 3)."""
    while True:
        for what, (test, files) in chance.sample(list(cheats.CHEATS.items()), len(cheats.CHEATS)):

            def prepare(folder: Path, files: dict[str, str] = files) -> None:
                repo = repository(folder / "checkout")
                repo.commit(cheats.BASE)
                repo.write(files)

            def run(test: str = test) -> int:
                os.chdir("checkout")
                line = f"gate pytest benchmarks/test_work.py::{test} --against HEAD --seconds 5 --python"
                return command(*line.split(), sys.executable)()

            yield Attempt(what=what, run=run, prepare=prepare, codes=(3,))


DOORS = {"records": records, "tables": tables, "archives": archives, "traces": trace_files, "candidates": candidates}
