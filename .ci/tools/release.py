"""Writes into a checkout what a release alone knows: its version, and where its repository is.

    python .ci/tools/release.py TAG OWNER/NAME

On PyPI's page a relative link of the README leads nowhere, so each becomes absolute, at the release's tag. A fork's
release names the fork. Nothing that is written here is committed.
"""

import argparse
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def write_release(root: Path, tag: str, repository: str) -> None:
    """Change suite/__init__.py, pyproject.toml and README.md. ValueError if one no longer has the place to change."""
    home = f"https://github.com/{repository}"
    links = {"Homepage": home, "Changelog": f"{home}/blob/{tag}/CHANGELOG.md", "Issues": f"{home}/issues"}
    urls = "\n".join(["[project.urls]", *(f'{name} = "{url}"' for name, url in links.items())])
    replace(root / "suite/__init__.py", r'^__version__ = ".*"$', f'__version__ = "{tag.removeprefix("v")}"')
    replace(root / "pyproject.toml", r"^(?=\[project\.scripts\]$)", f"{urls}\n\n")
    readme = root / "README.md"
    replace(readme, r"^(!\[[^\]]*\]\()(?![a-z]+:|#)", rf"\1https://raw.githubusercontent.com/{repository}/{tag}/")
    replace(readme, r"(\]\()(?![a-z]+:|#)", rf"\1{home}/blob/{tag}/")


def replace(path: Path, pattern: str, replacement: str) -> None:
    """Replace a pattern wherever a file has it."""
    text, count = re.subn(pattern, replacement, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if count == 0:
        raise ValueError(f"{path.name} has nothing that matches {pattern}")
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tag", help="of the release, such as v0.2.0")
    parser.add_argument("repository", metavar="OWNER/NAME")
    options = parser.parse_args()
    write_release(ROOT, options.tag, options.repository)
