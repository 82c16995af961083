"""How to install an extra of this package. Its name may be anybody's on an index, so it is not asked for by name."""

import json
import os
import shlex
import subprocess
from importlib.metadata import distributions
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from suite.configuration.files import PACKAGE

NAME = "mla-grpo-suite"


def install_command(extra: str, folder: str = "") -> str:
    """The command that brings an extra, from where this package came: a checkout, a folder, a git URL or an index.

    `folder`: what stands for the folder of a checkout, as `.` in a record, which holds no paths.
    """
    # Another copy may be installed beside the one that runs.
    packages = [
        package for package in distributions(name=NAME) if Path(str(package.locate_file("suite"))).resolve() == PACKAGE
    ]
    origin = json.loads((packages[0].read_text("direct_url.json") if packages else None) or "{}")
    url, vcs = origin.get("url", ""), origin.get("vcs_info")
    local = url2pathname(urlsplit(url).path) if "dir_info" in origin else ""
    if not packages or (PACKAGE.parent / "pyproject.toml").is_file():
        arguments = ["-e", f"{folder or PACKAGE.parent}[{extra}]"]
    elif local:
        arguments = [f"{folder or local}[{extra}]"]
    else:
        place = f"{vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else url
        arguments = [f"{NAME}[{extra}]{' @ ' * bool(place)}{place}"]
    # cmd.exe knows no single quotes.
    return (subprocess.list2cmdline if os.name == "nt" else shlex.join)(["pip", "install", *arguments])
