"""Which settings tell cases apart, which all of them share, and what each is called beside the others.

The one home of that question: of the terminal's tables, the gate's short names, and the titles and legends of the page.
Settings are given as a mapping, or as pairs, from a name to its value as it is typed. A setting that a case lacks and
one that is empty are the same. Names keep the order in which the first case has them.

    >>> cases = [{"phase": "decode", "attention": "mha"}, {"phase": "decode", "attention": "mla"}]
    >>> list(differing(cases)), shared(cases)
    (['attention'], {'phase': 'decode'})
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from types import MappingProxyType

Settings = Mapping[str, str] | tuple[tuple[str, str], ...]

NOT_APPLIED = "null"
"""The value, in an id, of a setting that does not apply to the case."""
SAYS_NOTHING_ALONE = {NOT_APPLIED, "true", "false", "auto", "none"}
SETTINGS_OF_ONE = 2
"""Settings that name a single case, of which nothing differs: its workload and its first axis."""
SETTING = re.compile(r"([A-Za-z_][\w.]*)=(.*)", re.DOTALL)
NEXT_SETTING = re.compile(r" (?=[A-Za-z_][\w.]*=)")
WORD = re.compile(r"[A-Za-z][\w.+-]*")


def differing(cases: Iterable[Settings], *, alike_in: Collection[str] = (), ignoring: Collection[str] = ()) -> Set[str]:
    """The names of the settings whose values are not the same in all cases, in order.

    `alike_in`: only cases that agree in these settings are compared with each other. `ignoring`: values that count as
    no difference, such as the empty one: then a setting that some cases lack differs only among those that have it.
    """
    settings = [dict(case) for case in cases]
    groups = _grouped(settings, alike_in).values()
    names = dict.fromkeys(name for case in settings for name in case)

    def differs(name: str) -> bool:
        return any(len({case.get(name, "") for case in group} - {*ignoring}) > 1 for group in groups)

    return dict.fromkeys(filter(differs, names)).keys()


def differences(
    cases: Sequence[Settings], *, alike_in: Collection[str] = (), unnamed: Mapping[str, str] = MappingProxyType({})
) -> list[dict[str, str]]:
    """For each case the settings in which it differs from cases that agree with it in `alike_in`, of those that have a
    value. `unnamed`: values of settings that a case does not name.
    """
    settings = [dict(case) for case in cases]
    names = {key: differing(group) for key, group in _grouped(settings, alike_in).items()}
    values = [
        {name: case.get(name) or unnamed.get(name, "") for name in names[_key(case, alike_in)]} for case in settings
    ]
    return [{name: value for name, value in of_case.items() if value} for of_case in values]


def shared(cases: Iterable[Settings]) -> dict[str, str]:
    """The settings that all cases have, each with the one value, without those that do not apply."""
    settings = [dict(case) for case in cases]
    values = {name: value for case in settings for name, value in case.items()}
    names = differing(settings)
    return {name: value for name, value in values.items() if name not in names and value not in ("", NOT_APPLIED)}


def written(settings: Settings) -> str:
    """Settings as a command line and an id write them: `attention=mla seq_len=4096`."""
    return " ".join(f"{name}={value}" for name, value in dict(settings).items())


def settings_in(case_id: str) -> dict[str, str]:
    """The settings that an id names; none where it is no list of settings, such as the name of a test."""
    parts = [SETTING.fullmatch(part) for part in NEXT_SETTING.split(case_id)]
    return {part[1]: part[2] for part in parts if part} if all(parts) else {}


def short_names(case_ids: Iterable[str]) -> dict[str, str]:
    """For each id the shortest name that no other of them has: `mla seq_len=4096`.

    The id itself where it is no list of settings, or where its settings say too little.
    """
    settings = {case_id: settings_in(case_id) for case_id in case_ids}
    in_names = _settings_in_names([case for case in settings.values() if case])
    names = {
        case_id: " ".join(_label(name, case[name]) for name in in_names if case.get(name, NOT_APPLIED) != NOT_APPLIED)
        for case_id, case in settings.items()
    }
    counts = Counter(names.values())
    return {case_id: name if name and counts[name] == 1 else case_id for case_id, name in names.items()}


def shared_settings(case_ids: Iterable[str]) -> str:
    """The settings that these ids' short names leave out, since all share them; empty if an id is no list of
    settings."""
    settings = [settings_in(case_id) for case_id in dict.fromkeys(case_ids)]
    in_names = _settings_in_names(settings)
    values = {name: value for case in settings for name, value in case.items() if value != NOT_APPLIED}
    return written({name: value for name, value in values.items() if name not in in_names}) if all(settings) else ""


def distinct(names: Iterable[str]) -> list[str]:
    """The names with a number behind each that came before: `run`, `run (2)`."""
    numbered_names: list[str] = []
    for name in names:
        numbered = (name, *(f"{name} ({number})" for number in range(2, len(numbered_names) + 2)))
        numbered_names.append(next(text for text in numbered if text not in numbered_names))  # `run (2)` may be a name
    return numbered_names


def _settings_in_names(settings: Sequence[Settings]) -> Collection[str]:
    """The settings that short names are made of: those that differ, or of a single case its first few."""
    if len(settings) == 1:
        return list(dict(settings[0]))[:SETTINGS_OF_ONE]
    # A setting that does not apply to some, and is the same for the others, follows from what tells them apart.
    return differing(settings, ignoring=(NOT_APPLIED,))


def _label(name: str, value: str) -> str:
    return value if WORD.fullmatch(value) and value not in SAYS_NOTHING_ALONE else f"{name}={value}"


def _grouped(cases: Iterable[dict[str, str]], names: Collection[str]) -> dict[tuple[str, ...], list[dict[str, str]]]:
    """The cases by their values of these settings."""
    groups = defaultdict[tuple[str, ...], list[dict[str, str]]](list)
    for case in cases:
        groups[_key(case, names)].append(case)
    return groups


def _key(case: Mapping[str, str], names: Collection[str]) -> tuple[str, ...]:
    return tuple(case.get(name, "") for name in names)
