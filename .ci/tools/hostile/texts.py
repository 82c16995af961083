"""Texts that a stranger's record or benchmark may hold, and what a reader of lines would do with them."""

import re

COMMANDS = (
    "::error file=x::",
    "  ::set-output name=a::b",
    "##[error]x",
    "a ##vso[task.complete]",
    ":::stop-commands::x",
)
SEQUENCES = (
    "\x1b[2J\x1b[31m",
    "\x1b]8;;https://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "\x9b31m\x9d8;;x\x9c",
    "\u202egnp.exe\u2066\u200f",
    "a\u2028b\u2029c\x85d\ve\ff",
    "zero\u200bwidth\ufeff\u2060\U000e0041",
    "a\r\n::error::b\n##[group]c\n\r::warning::d",
)
FORMULAS = ("=cmd|x", "+1+x", "-x", "@x", "\t=x", "\r=x", "\n=x", " =x", "＝x")
TEXTS = (*COMMANDS, *SEQUENCES, *FORMULAS, "|`a`| <b>", "x" * 150 + "::error::" + "y" * 150)
SPACED = " ".join(f"word ::error::{number} ##[error]" for number in range(20))
"""Long enough to be wrapped, anywhere."""


def is_command(line):
    """Whether a CI system obeys it: GitHub's runner trims a line and looks for `::`, or finds `##[` anywhere."""
    return line.strip().startswith("::") or re.search(r"##\w*\[", line) is not None


def harmful(text):
    """The lines that a CI system would obey, or that hold characters which are not printable."""
    lines = re.split(r"\r\n|\r|\n", text)
    return [line for line in lines if is_command(line) or not line.isprintable()]
