"""What a case is called among others: its settings that differ, since an id names every one of them."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

SETTING = re.compile(r"([A-Za-z_][\w.]*)=(.*)", re.DOTALL)
NEXT_SETTING = re.compile(r" (?=[A-Za-z_][\w.]*=)")
WORD = re.compile(r"[A-Za-z][\w.+-]*")
NOT_APPLIED = "null"
SAYS_NOTHING_ALONE = {NOT_APPLIED, "true", "false", "auto", "none"}
NAMED_WHEN_ALONE = 2
"""Of a single case nothing differs: its workload and its first axis stand for it."""


def short_names(cases: Iterable[str]) -> dict[str, str]:
    """For each id the shortest name that tells it from the others; the id where it is no list of settings."""
    settings = {case: settings_of(case) for case in cases}
    telling = _telling([one for one in settings.values() if one])
    names = {
        case: " ".join(_shown(name, own[name]) for name in telling if own.get(name, NOT_APPLIED) != NOT_APPLIED) or case
        for case, own in settings.items()
    }
    seen = Counter(names.values())
    return {case: name if seen[name] == 1 else case for case, name in names.items()}


def shared_settings(cases: Iterable[str]) -> str:
    """What the short names leave out, since all cases have it; settings that do not apply are left out here too."""
    every = [settings_of(case) for case in dict.fromkeys(cases)]
    if not all(every):
        return ""
    telling = _telling(every)
    shared = {name: value for own in every for name, value in own.items() if name not in telling}
    return " ".join(f"{name}={value}" for name, value in shared.items() if value != NOT_APPLIED)


def settings_of(case: str) -> dict[str, str]:
    """The `key=value` pairs of an id; empty where it is anything else, such as the name of a test."""
    found = [SETTING.fullmatch(part) for part in NEXT_SETTING.split(case)]
    return {one[1]: one[2] for one in found if one} if all(found) else {}


def _telling(every: Sequence[Mapping[str, str]]) -> list[str]:
    names = dict.fromkeys(name for own in every for name in own)
    if len(every) == 1:
        return list(names)[:NAMED_WHEN_ALONE]
    # A setting that does not apply to some, and is the same for the others, follows from what tells them apart.
    values = {name: {own.get(name) for own in every} - {NOT_APPLIED} for name in names}
    return [name for name in names if len(values[name]) > 1]


def _shown(name: str, value: str) -> str:
    """`mla` says what it is, 4096 does not."""
    return value if WORD.fullmatch(value) and value not in SAYS_NOTHING_ALONE else f"{name}={value}"
