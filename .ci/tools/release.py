"""Writes into a checkout what a release alone knows: its version, and where its repository is.

    python .ci/tools/release.py TAG OWNER/NAME

On PyPI's page a relative link of the README leads nowhere, so each becomes absolute, at the release's tag. A fork's
release names the fork. Nothing that is written here is committed.
"""

import argparse
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TAG = re.compile(r"v?[0-9]+(\.[0-9]+)*((a|b|rc)[0-9]+)?(\.post[0-9]+)?(\.dev[0-9]+)?")
"""A version of PEP 440 behind a v. Git accepts tags with quotes in them, which would be code in suite/__init__.py."""
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")


def write_release(root: Path, tag: str, repository: str) -> None:
    """Change suite/__init__.py, pyproject.toml and README.md. Raises ValueError for a tag that is no version, a name
    that is no repository's, and a file that no longer has the place to change."""
    for name, text, pattern in (("tag", tag, TAG), ("repository", repository, REPOSITORY)):
        if not pattern.fullmatch(text):
            raise ValueError(f"{name} must match {pattern.pattern}; got {text!r}")
    home = f"https://github.com/{repository}"
    links = {"Homepage": home, "Changelog": f"{home}/blob/{tag}/CHANGELOG.md", "Issues": f"{home}/issues"}
    urls = "\n".join(["[project.urls]", *(f'{name} = "{url}"' for name, url in links.items())])
    replace(root / "suite/__init__.py", r'^__version__ = ".*"$', f'__version__ = "{tag.removeprefix("v")}"')
    replace(root / "pyproject.toml", r"^(?=\[project\.scripts\]$)", f"{urls}\n\n")
    readme = root / "README.md"
    replace(readme, r"^(!\[[^\]]*\]\()(?![a-z]+:|#)", f"https://raw.githubusercontent.com/{repository}/{tag}/")
    replace(readme, r"(\]\()(?![a-z]+:|#)", f"{home}/blob/{tag}/")


def replace(path: Path, pattern: str, replacement: str) -> None:
    """Replace a pattern wherever a file has it; what its group matched stays in front of the replacement."""

    def replaced(match: re.Match[str]) -> str:
        return "".join(match.groups()) + replacement

    text, count = re.subn(pattern, replaced, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if count == 0:
        raise ValueError(f"{path.name} has nothing that matches {pattern}")
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tag", help="of the release, such as v0.2.0")
    parser.add_argument("repository", metavar="OWNER/NAME")
    options = parser.parse_args()
    write_release(ROOT, options.tag, options.repository)
