"""Small files of data from strangers: calibrations, acceptances, noise, tolerances, lists of withdrawals, records and
judgements.

Each kind of file is made hostile in the same ways: by what lies in its place, by its text, and by one of its values.
What a command does with it may take little: a sentence, SECONDS of a CPU and GROWTH of memory.
"""

import copy
import datetime
import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from suite.configuration.files import read_choice
from suite.gate.output.files import write_judgement
from suite.gate.rules.acceptances import ACCEPTED
from suite.gate.rules.tolerances import Tolerances, read_noise
from suite.gate.verdict import Judgement
from suite.records.machine.streams import run_or_complain
from suite.records.stores.store import JUDGEMENT, RECORD
from suite.records.stores.withdrawn import WITHDRAWN
from tests.gate.judgements import judgement, timing
from tests.records.factory import build, store
from tools.hostile import mutations
from tools.hostile.attempt import CODES, Attempt, command

SECONDS, GROWTH = 5.0, 200 << 20
CALIBRATIONS, OTHERS = 57, 464
"""Attempts of the catalogue: calibrations, and files of the other kinds together."""
LAUGHS = b"schema: 1\n" + b"".join(
    b"%c: &%c [%s]\n" % (name, name, b",".join([b"*%c" % (name - 1)] * 9) if name > 97 else b"x")
    for name in range(97, 107)
)
TEXTS_OF_YAML: Mapping[str, bytes] = {
    "aliases of aliases": LAUGHS,
    "merges of merges": b"a: &a {x: 1}\n" + b"b: {<<: [*a, *a, *a], y: 2}\n" * 20,
    "one anchor": b"schema: &one 1\naccepted: []\n",
    "an alias to itself": b"&a [*a]\n",
    "a Python object": b"!!python/object/apply:os.system [id]\n",
    "bytes in base64": b"schema: !!binary Zm9v\n",
    "a set": b"schema: !!set {a, b}\n",
    "3,000 brackets": b"[" * 3_000,
    "3,000 braces": b"{a: " * 3_000,
    "100,000 dashes": b"- " * 100_000,
    "800 whole levels": b"[" * 800 + b"]" * 800,
    "40 whole levels": b"[" * 40 + b"]" * 40,
    "a key twice": b"schema: 1\nschema: 1\n",
    "a key that is a list": b"? [a, b]\n: 1\n",
    "two documents": b"--- {schema: 1}\n--- {schema: 1}\n",
    "another version": b"%YAML 9.9\n--- 1\n",
    "5,000 digits": b"schema: " + b"9" * 5_000,
    "a number to the base of 60": b"schema: 1" + b":1" * 1_000_000,
    "a long hexadecimal number": b"schema: 0x" + b"f" * 1_000_000,
    "no number": b"schema: .nan\n",
    "infinity": b"schema: .inf\n",
    "a date that is none": b"schema: 2026-99-99\n",
    "half a million values": b"[" + b"1," * 500_000 + b"1]",
    "a million lists": b"- []\n" * 700_000,
    "half a million keys": b"".join(b"%d: 1\n" % number for number in range(300_000)),
    "a text of 3 MB": b"schema: " + b"x" * 3_000_000,
    "a key of 3 MB": b"? " + b"x" * 3_000_000 + b"\n: 1\n",
    "a comment of 3 MB": b"# x\n" * 750_000,
    "half": b"schema: 1\naccepted: [",
    "a list": b"[]",
    "null": b"null",
    "a number": b"1",
    "UTF-16": "schema: 1".encode("utf-16"),
    "no UTF-8": b"schema: \xff\xfe",
    "NUL": bytes(1_000),
    "tabs": b"schema:\t1\n\taccepted: []\n",
}
TEXTS_OF_JSON: Mapping[str, bytes] = {
    "a million lists": b"[" + b"[]," * 300_000 + b"1]",
    "half a million values": b"[" + b"1," * 500_000 + b"1]",
    "a key twice": b'{"schema": 1, "schema": 1}',
    "no number": b'{"schema": NaN}',
    "infinity": b'{"schema": -Infinity}',
    "1e400": b'{"schema": 1e400}',
    "40 whole levels": b"[" * 40 + b"]" * 40,
    "half of a pair": b'{"schema": "\\ud800"}',
    "a comment": b'{"schema": 1} // x',
}
VALUES: Sequence[Any] = (
    *(None, True, -1, 0, 1.5, 2, 1e5, 1e308, 5e-324, 1 << 62, 10**19, float("inf"), float("nan")),
    *("", "1", "x" * 5_000, "\x1b[2J::error::x", "*" * 40, "2026-99-99"),
    *([], [1], [[]], {}, {"a": 1}, {0: 0}, {-1: 0.5}),
)
Prepare = Callable[[Path], object]


@dataclass(frozen=True, kw_only=True)
class FileKind:
    """One kind of file: where it lies, what a whole one holds, and who reads it."""

    path: str
    whole: Callable[[], Any]
    """Its content as plain data."""
    run: Callable[[], int]
    prepare_beside: Prepare = lambda folder: None
    """Puts what the command needs besides."""
    is_json: bool = False
    values: Sequence[tuple[str, Any]] = ()
    """Places, as decode.0.share, and values that are tried first."""
    codes: Sequence[int] = CODES

    def attempt(self, what: str, make: Prepare) -> Attempt:
        """The attempt with what `make` puts in the file's place."""

        def prepare(folder: Path) -> None:
            self.prepare_beside(folder)
            path = folder / self.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            make(path)

        return Attempt(
            what=f"{self.path}, {what}",
            run=self.run,
            prepare=prepare,
            codes=self.codes,
            shows_texts=True,
            most_cpu_s=SECONDS,
            most_growth_bytes=GROWTH,
        )

    def write(self, text: bytes) -> Prepare:
        """A function that puts this text in the file's place."""
        return lambda path: path.write_bytes(text)

    def with_value(self, place: Sequence[Any], value: Any) -> Prepare:
        """A function that writes a good file with another value at one place, given by its keys from the top."""

        def make(path: Path) -> None:
            changed = holder = copy.deepcopy(self.whole())
            for key in place[:-1]:
                holder = holder[key]
            holder[place[-1]] = value
            dumped = json.dumps(changed) if self.is_json else yaml.safe_dump(changed, allow_unicode=True)
            self.write(dumped.encode())(path)

        return make

    def catalogue(self, chance: random.Random) -> Iterator[Attempt]:
        """Every file in its place, every text, and then one value changed by chance, without end."""
        for what, make in mutations.KINDS_OF_FILE.items():
            yield self.attempt(what, make)
        for what, text in ({**mutations.TORN, **TEXTS_OF_JSON} if self.is_json else TEXTS_OF_YAML).items():
            yield self.attempt(what, self.write(text))
        places = {".".join(map(str, place)): place for place in _places(self.whole())}
        chosen = ((chance.choice(list(places)), chance.choice(VALUES)) for _ in itertools.count())
        for name, value in itertools.chain(self.values, chosen):
            yield self.attempt(f"{name} is {str(value)[:20]!r}", self.with_value(places[name], value))


def attempts(chance: random.Random) -> Iterator[Attempt]:
    """CALIBRATIONS calibrations, OTHERS files of the other kinds in turn, then all kinds in turn, without end."""
    calibrations, *other_kinds = (kind.catalogue(random.Random(chance.random())) for kind in FILES.values())
    yield from (next(calibrations) for _ in range(CALIBRATIONS))
    yield from (next(other_kinds[number % len(other_kinds)]) for number in range(OTHERS))
    while True:
        yield from (next(kind) for kind in (calibrations, *other_kinds))


def _places(value: Any) -> Iterator[tuple[Any, ...]]:
    """The keys that lead to every value within this one; of each list only the first row."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (key,)
        yield from ((key, *place) for place in _places(inner))


def _calibration() -> Any:
    whole = read_choice("calibration", "h100-sxm5-80gb")
    return {name: part[:1] if isinstance(part, list) else part for name, part in whole.items()}


def _entry(**values: Any) -> dict[str, Any]:
    return {"case": build().case.id, "span": "layer", "metric": "latency_s", **values}


def _accepted() -> Any:
    entry = _entry(reason="wider heads", ceiling=1.1, expires="2026-12-31", added="2026-03-01")
    return {"schema": 1, "accepted": [entry]}


def _noise() -> Any:
    return {"schema": 1, "machine": {"cpu": "A"}, "made": {"rounds": 9}, "noise": [_entry(noise=0.01)]}


def _tolerances() -> Any:
    lines = [_entry(floor=0.1, target=0.2)]
    return {"floor": 0.02, "target": 0.05, "metrics": {"energy_j": 0.1}, "cases": lines, "operators": "fail"}


def _withdrawals() -> Any:
    return [{"run": "0123456789abcdef", "date": "2026-03-01", "reason": "Another job ran.", "by": "a"}]


def _load_tolerances() -> int:
    return run_or_complain(lambda: Tolerances.load(path=Path("gate.yaml")) and 0)


def _load_noise() -> int:
    return run_or_complain(lambda: 0 * len(read_noise(Path("noise.yaml"))))


def _two_runs(folder: Path) -> None:
    store(folder / "whole", build(), build(seq_len=8192))


def _a_run(folder: Path) -> None:
    store(folder / "runs", build())


def _two_runs_and_a_judgement(folder: Path) -> None:
    _two_runs(folder)
    write_judgement(_judged(), folder / "whole" / "judged", {})


def _judged() -> Judgement:
    return judgement(timing())


NEXT_MONTH = str(datetime.date.today() + datetime.timedelta(days=30))
ACCEPT = ("gate", "accept", "a case", "--reason", "why", "--ceiling", "1.1", "--expires", NEXT_MONTH)
FILES: Mapping[str, FileKind] = {
    "calibrations": FileKind(
        path="hostile.yaml",
        whole=_calibration,
        run=command("explain", "mla", "--calibration", "hostile.yaml"),
        values=[
            ("decode.0.p90_error", 1e5),
            ("decode.0.share", 5e-324),
            ("decode.0.floor_us", "10"),
            ("decode.0.heads", "16"),
            ("measured.0.best_us", "1"),
            ("measured.0.batch", None),
            ("speedups.0.tokens", [1]),
            ("speedups.0.speedup", "2"),
            ("prefill.0.shares", {0: 0.5}),
            ("prefill.0.kernel", []),
            ("products.0.rows", "1"),
        ],
    ),
    "acceptances": FileKind(path=ACCEPTED.as_posix(), whole=_accepted, run=command(*ACCEPT)),
    "noise": FileKind(path="noise.yaml", whole=_noise, run=_load_noise),
    "tolerances": FileKind(path="gate.yaml", whole=_tolerances, run=_load_tolerances),
    "withdrawals": FileKind(
        path=f"runs/{WITHDRAWN}", whole=_withdrawals, run=command("results", "verify", "runs"), prepare_beside=_a_run
    ),
    "records": FileKind(
        path=f"runs/{'0123456789abcdef'}/{RECORD}",
        whole=lambda: build().as_json(),
        run=command("results", "verify", "runs"),
        prepare_beside=_a_run,
        is_json=True,
    ),
    "judgements": FileKind(
        path=f"whole/judged/{JUDGEMENT}",
        whole=lambda: _judged().as_json(),
        run=command("report", "--results", "whole", "--format", "markdown", "--out", "page.md"),
        prepare_beside=_two_runs_and_a_judgement,
        is_json=True,
    ),
}
