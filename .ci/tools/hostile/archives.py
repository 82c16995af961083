"""Archives from strangers, for `suite results merge`."""

import gzip
import io
import random
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from suite.records.stores.archive import pack
from tests.records.factory import build, store
from tools.hostile.attempt import CODES, Attempt, command
from tools.hostile.texts import words

NAMES = (
    *words(r"../outside /etc/outside a/../../outside ./../outside C:outside C:\outside \\server\share a\..\..\outside"),
    *words(". .. / // a//b a/./b CON record.json run/record.json/x ::error::x - ~/x $HOME/x"),
    *("", " ", "x" * 300, "x/" * 1500, "d/" * 40_000, "\x1b[2J", "a\nb", "\udcff", "\u202egnp"),
)
KINDS = {
    "a symbolic link": tarfile.SYMTYPE,
    "a hard link": tarfile.LNKTYPE,
    "a pipe": tarfile.FIFOTYPE,
    "a device": tarfile.CHRTYPE,
    "a block device": tarfile.BLKTYPE,
    "a sparse file": tarfile.GNUTYPE_SPARSE,
    "an unknown kind": b"Z",
    "a folder": tarfile.DIRTYPE,
    "a contiguous file": tarfile.CONTTYPE,
}


def attempts(chance: random.Random) -> Iterator[Attempt]:
    """Every archive of the catalogue, then whole ones with bytes changed, without end."""
    yield from (_attempt(what, make) for what, make in _catalogue())
    while True:
        seed = chance.randrange(1 << 30)
        yield _attempt(f"a whole one, changed by seed {seed}", lambda folder, seed=seed: _changed(folder, seed))


def _attempt(what: str, make: Callable[[Path], bytes]) -> Attempt:
    """`suite results merge` of the archive that `make` returns for the attempt's folder."""

    def prepare(folder: Path) -> None:
        (folder / "hostile.tar.gz").write_bytes(make(folder))

    merged = command("results", "merge", "hostile.tar.gz", "--into", "into")
    return Attempt(what=what, run=merged, prepare=prepare, codes=CODES, shows_texts=True)


def _catalogue() -> Iterator[tuple[str, Callable[[Path], bytes]]]:
    """Yield what is wrong with each archive, and what makes its bytes."""
    for name in NAMES:
        yield f"a file called {name[:30]!r}", lambda _, name=name: _tar((name, tarfile.REGTYPE, b"abc"))
    for what, kind in KINDS.items():
        yield f"{what} as a record", lambda _, kind=kind: _tar(("run/record.json", kind, b""))
        yield (
            f"{what}, then a file below",
            lambda _, kind=kind: _tar(("run", kind, b""), ("run/x", tarfile.REGTYPE, b"x")),
        )
    yield "a million members", lambda _: _tar(*[("x", tarfile.REGTYPE, b"")] * 1_000_000)
    yield "a file twice", lambda _: _tar(*[("run/record.json", tarfile.REGTYPE, b"{}")] * 2)
    yield "1 GB of zeros", lambda _: _tar(("run/record.json", tarfile.REGTYPE, bytes(1 << 30)))
    yield "a size beyond all", lambda _: gzip.compress(_header("x", size=8**11 - 1))
    yield "a negative size", lambda _: gzip.compress(_header("x", size=-(1 << 60)))
    yield "a header of 2 GB for one name", lambda _: gzip.compress(_header("x", size=2 << 30, kind=tarfile.XHDTYPE))
    yield "a long header", lambda _: gzip.compress(_pax("x" * (64 << 20)))
    yield "headers one after another", lambda _: gzip.compress(_pax("y") * 20_000)
    yield "long names one after another", lambda _: gzip.compress(_long_name() * 20_000)
    yield "a header that says it is sparse", lambda _: gzip.compress(_pax("1", key="GNU.sparse.major"))
    yield (
        "a header with a size",
        lambda _: gzip.compress(_pax("99999999999999999999", key="size") + _header("x", size=3)),
    )
    yield "a header whose size is no number", lambda _: gzip.compress(_pax("x", key="size") + _header("x", size=3))
    yield "a header with a wrong time", lambda _: gzip.compress(_pax("nan", key="mtime") + _header("x", size=0))
    yield "a header with NUL in a path", lambda _: gzip.compress(_pax("a\0b", key="path") + _header("x", size=0))
    yield "a header that leads out", lambda _: gzip.compress(_pax("../outside", key="path") + _header("x", size=0))
    yield "nothing", lambda _: b""
    yield "an empty one", lambda _: gzip.compress(b"")
    yield "zeros", lambda _: gzip.compress(bytes(10_240))
    yield "zeros without an end", lambda _: gzip.compress(bytes(600 << 20))
    yield "an archive in an archive", lambda _: gzip.compress(_tar(("x", tarfile.REGTYPE, b"abc")))
    yield "no archive", lambda _: b"no archive"
    yield "a plain tar", lambda _: gzip.decompress(_tar(("x", tarfile.REGTYPE, b"abc")))
    yield "a torn one", lambda folder: _whole_archive(folder)[:-200]
    yield "one with noise behind", lambda folder: _whole_archive(folder) + b"noise"
    yield "one behind another", lambda folder: _whole_archive(folder) * 2


def _tar(*members: tuple[str, bytes, bytes]) -> bytes:
    """A compressed archive of members given as name, kind and content."""
    buffer = io.BytesIO()
    with gzip.open(buffer, "wb", compresslevel=1) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _header(name: str, *, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def _pax(value: str, key: str = "path") -> bytes:
    """A header that says one thing of the next member, by default its path."""
    line = f" {key}={value}\n".encode()
    length = len(line) + len(str(len(line)))
    length = len(line) + len(str(length))
    content = str(length).encode() + line
    return _header("pax", size=len(content), kind=tarfile.XHDTYPE) + content + bytes(-len(content) % 512)


def _long_name() -> bytes:
    """A header of GNU's form that says the next member's name."""
    return _header("././@LongLink", size=2, kind=tarfile.GNUTYPE_LONGNAME) + b"y\0" + bytes(510)


def _whole_archive(folder: Path) -> bytes:
    """An archive of two good runs."""
    store(folder / "gpu", build(), build(seq_len=8192))
    pack(folder / "gpu", [], folder / "whole.tar.gz")
    return (folder / "whole.tar.gz").read_bytes()


def _changed(folder: Path, seed: int) -> bytes:
    """Bytes changed within the compressed stream or, half the time, within what it holds."""
    chance, whole = random.Random(seed), _whole_archive(folder)
    content = bytearray(gzip.decompress(whole) if seed % 2 else whole)
    for _ in range(chance.choice((1, 3, 30))):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return gzip.compress(bytes(content)) if seed % 2 else bytes(content)
