"""Which cases a line of a file means."""

import re


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern means this text: literally, but for `*`, which stands for any text.

    fnmatch would read the brackets of `a.py::t[x-1]` as a choice of letters, so that the id would not match itself.
    """
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None
