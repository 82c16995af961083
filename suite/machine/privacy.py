"""Keeps paths, names of people and machines, and secrets out of what is written and forwarded, and leaves facts alone.

A fact is what the suite itself wrote, such as an operator's, a device's or a package's name, and a setting is what
somebody chose. Both are compared, so no variable that happens to hold the same word may change them: they lose only
what is private wherever it is found. A free text quotes what a program said, which may be anything, and loses what is
private here besides.
"""

import getpass
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PureWindowsPath
from typing import Any

FREE_TEXTS = (
    "reason",
    "notes",
    "warnings",
    "stderr",
    "traceback",
    "failure",
    "why",
    "missing",
    "gpus_unread",
    "cuda_graph",
)
"""The keys under which records and judgements quote what a person or a program said."""
PATH_SETTINGS = ("checkpoint", "calibration_file")
"""Settings that may hold a path, which then may be a relative one."""
SHORTEST_SECRET = 8
"""Shorter values of variables ("1", "en_US") are words that mean nothing by themselves."""
UNMISTAKABLE = re.compile(r"(?=.*[A-Za-z])(?=.*[0-9])\S{12,}")
"""A value with letters and digits that is no word."""
ANYBODY = ("root", "user", "runner", "ubuntu", "docker", "admin", "localhost")
"""Names of users and hosts that name nobody."""
SECRET_NAME = re.compile(
    r"(?:TOKEN|SECRET|PASSW(?:OR)?D|PASSPHRASE|CREDENTIAL|APIKEY)S?(?:_|$)"
    r"|(?<!CACHE)(?:^|_)KEYS?(?:_|$)|(?:^|_)(?:PASS|AUTH|PAT)(?:_|$)|_PWD$",
    re.IGNORECASE,
)
TOKEN = re.compile(
    r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{30,}"
    r"|sk-[\w-]{20,}|xox[abeprs]-[\w-]{10,}|pypi-[\w-]{40,}|AIza[\w-]{35}|(?:AKIA|ASIA)[A-Z0-9]{16}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
    r"|(?i:(?<=\bbearer )[\w.~+/=-]{16,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*+(?:-----END [A-Z ]*PRIVATE KEY-----)?"
)
"""Secrets that services give out, by their shape."""
SHORTEST_TOKEN = 15
"""Letters of the shortest text that TOKEN finds something in: most facts have fewer, and are not searched."""
LONGEST_KEPT, MOST_KEPT = 200, 10_000  # letters of a fact that is kept once it was cleaned, and how many are
NUMBERS = (bool, int, float)
_FLAG = r"(?<=[\s'\"=,]-[A-Za-z])|(?<=^-[A-Za-z])"
"""A compiler's flag that a folder follows with nothing between."""
_PART = r"(?:\\[^\\/]|[^\s/\\'\"`<>|])++"
_WINDOWS_PART = r"[^\s\\/:*?\"'`<>|]"
_ON_WINDOWS = rf"(?:[\\/]++(?:{_WINDOWS_PART}++(?=/)|[^\\/:*?\"'`<>|\r\n]++(?=\\)))*+[\\/]++{_WINDOWS_PART}*+"
PATH = re.compile(
    r"(?P<url>\b[A-Za-z][\w+.-]+://[^\s'\"`<>|]*+)"
    r"|(?<=['\"`])~?(?:/++[^'\"`/\r\n]++){2,}+/*+(?=['\"`])"  # in quotes it may have spaces
    rf"|(?:(?<![\w.)\]/])|(?<=[\w.)\]]/)|{_FLAG})(?:/++{_PART}){{2,}}+/*+"
    rf"|(?:(?<![\w~])|{_FLAG})~(?:[A-Za-z_][\w.-]*+)?(?:[\\/]++{_PART})++/*+"
    rf"|(?:(?<![\w./\\])|{_FLAG})(?:\.\.[\\/]++)++(?:{_PART}[\\/]*+)*+"
    rf"|(?:\b|{_FLAG})[A-Za-z]:{_ON_WINDOWS}"
    rf"|(?:(?<![\w\\])|{_FLAG})\\{{2,}}+{_WINDOWS_PART}++{_ON_WINDOWS}"
)
"""A path in a text, or an address, which is none unless it leads to a file."""
_SIGNED = re.compile(r"(?<=://)[^/@\s]*:[^/\s]*@")
_PERSONAL = re.compile(r"(?<=://)(?!git@|<secret>@)[^/@\s]+@\S*")
"""The account on a machine in an address, as ssh://alice@host.corp/x. A service's git@ is nobody's."""


def scrub(text: str, *, is_ours: bool = True) -> str:
    """A free text without paths, secrets and the names of the user and the host.

    `is_ours`: it was written on this machine. Another's may have this one's names as words, and loses only what is
    private beyond doubt.
    """
    return Scrubber(is_ours=is_ours).clean_text(text)


def without_paths(text: str) -> str:
    """A fact or a setting with paths cut to their last part, and without what is a secret beyond doubt."""
    return Scrubber().clean_fact(text)


def clean_setting(name: str, text: str) -> str:
    """A setting's value as by `without_paths`; where the setting may be a path (PATH_SETTINGS), its last part."""
    return Scrubber().clean_setting(name, text)


def scrubbed(value: Any, *, is_free: bool = False, is_ours: bool = True) -> Any:
    """A copy of plain data with every text in it as it may leave this machine; keys are ours and stay. `is_free`: all
    texts in it are free ones, as they always are below a key of FREE_TEXTS. `is_ours`: see `scrub`."""
    return Scrubber(is_ours=is_ours).clean_data(value, is_free=is_free)


class Scrubber:
    """Cleans texts of the secrets and names that this process has when it is made.

    Make one for many texts: to look the names up in the environment takes longer than to clean a short text.
    """

    def __init__(self, *, is_ours: bool = False) -> None:
        named = [(name, os.environ[name]) for name in os.environ if SECRET_NAME.search(name)]
        # A longer one comes before one that it holds.
        secrets = sorted((pair for pair in named if len(pair[1]) >= SHORTEST_SECRET), key=lambda pair: -len(pair[1]))
        # A variable named like a secret may hold a word or a model's name too.
        self._unmistakable = [pair for pair in secrets if UNMISTAKABLE.fullmatch(pair[1])]
        self._secrets = secrets if is_ours else self._unmistakable
        self._names = list(_private_names()) if is_ours else []
        self._facts: dict[str, str] = {}

    def clean_text(self, text: str) -> str:
        """A free text without paths, secrets and private names."""
        text = PATH.sub(_shorten_path, _replace_secrets(self._secrets, text))
        for private, stand_in in self._names:
            text = re.sub(rf"\b{re.escape(private)}\b", stand_in, text)
        return text

    def clean_fact(self, text: str) -> str:
        """A fact without paths and unmistakable secrets."""
        if (known := self._facts.get(text)) is not None:  # records of one machine have the same ones
            return known
        clean = _replace_secrets(self._unmistakable, text)
        if "/" in clean or "\\" in clean or ".." in clean:
            clean = _last_part(clean) if _is_path(clean) else PATH.sub(_shorten_path, clean)
        if len(text) <= LONGEST_KEPT and len(self._facts) < MOST_KEPT:
            self._facts[text] = clean
        return clean

    def clean_setting(self, name: str, text: str) -> str:
        """A setting likewise; of one of PATH_SETTINGS that is a path, the last part."""
        is_path = name.rpartition(".")[2] in PATH_SETTINGS and re.search(r"[\\/]", text)
        return _last_part(text) if is_path and "://" not in text else self.clean_fact(text)

    def clean_data(self, value: Any, *, is_free: bool) -> Any:
        """A copy of plain data, whose texts are cleaned by the key that they lie under."""
        if isinstance(value, str):
            return self.clean_text(value) if is_free else self.clean_fact(value)
        if value is None or isinstance(value, NUMBERS):
            return value
        if isinstance(value, dict | Mapping):  # a dict first: any other class is asked for its ancestors
            return {
                key: self.clean_setting(str(key), item)
                if isinstance(item, str) and not is_free and key not in FREE_TEXTS
                else self.clean_data(item, is_free=is_free or key in FREE_TEXTS)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.clean_data(item, is_free=is_free) for item in value]
        return value


def _replace_secrets(secrets: Iterable[tuple[str, str]], text: str) -> str:
    for name, value in secrets:
        text = text.replace(value, f"<{name}>")
    return TOKEN.sub("<secret>", text) if len(text) >= SHORTEST_TOKEN else text


def _private_names() -> Iterator[tuple[str, str]]:
    """Yield this machine's names for its user and itself that name somebody, each with what stands in its place."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = ""
    host = platform.node()
    for private, stand_in in ((user, "<user>"), (host, "<host>"), (host.partition(".")[0], "<host>")):
        if len(private) >= 4 and private not in ANYBODY:  # shorter ones are parts of words
            yield private, stand_in


def _is_path(text: str) -> bool:
    """Whether a text as a whole, spaces and all, is a path that says where something lies."""
    parts = re.split(r"[\\/]", text)
    leads = ".." in parts or (len(parts) > 1 and re.fullmatch(r"~(?:[A-Za-z_][\w.-]*)?", parts[0]) is not None)
    is_absolute = text.startswith("/") or PureWindowsPath(text).is_absolute()
    return "\n" not in text and "://" not in text and (leads or is_absolute)


def _shorten_path(match: re.Match[str]) -> str:
    """The stand-in for a match of PATH: the path's last part, or the address without its account."""
    text = match.group()
    scheme, _, rest = text.partition("://")
    leads = rest.startswith("/") or (scheme.lower() == "file" and re.search(r"[\\/]", rest) is not None)
    if match["url"] and not leads:
        return _PERSONAL.sub("<user>@<host>", _SIGNED.sub("<secret>@", text))
    return _last_part(rest if match["url"] else text)


def _last_part(path: str) -> str:
    parts = [part for part in re.split(r"[\\/]+", path) if part]
    is_home = len(parts) > 1 and parts[-2].lower() in ("home", "users") and len(parts) <= 3
    return "<path>" if is_home or not parts else f"<path>/{parts[-1]}"
