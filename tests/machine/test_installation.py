"""The command that installs an extra, by where the package came from: its name may be anybody's on an index."""

import json
import os
import shlex
from pathlib import Path

import pytest

from suite.machine import installation
from suite.machine.installation import install_command

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="quoted as for cmd.exe there")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Let the package be installed in a folder, with this direct_url.json or without one."""

    def place(direct_url=None):
        package, facts = tmp_path / "site" / "suite", tmp_path / "site" / "mla_grpo_suite-0.1.0.dist-info"
        package.mkdir(parents=True)
        facts.mkdir()
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: mla-grpo-suite\nVersion: 0.1.0\n")
        if direct_url is not None:
            (facts / "direct_url.json").write_text(json.dumps(direct_url))
        monkeypatch.syspath_prepend(tmp_path / "site")
        monkeypatch.setattr(installation, "PACKAGE", package)

    return place


def test_a_checkout_is_installed_from_its_folder():
    assert shlex.split(install_command("run")) == ["pip", "install", "-e", f"{ROOT}[run]"]
    assert install_command("models", folder=".") == "pip install -e '.[models]'"


@pytest.mark.parametrize(
    ("direct_url", "requirement"),
    [
        (
            {"url": "https://host/a/b.git", "vcs_info": {"vcs": "git", "commit_id": "0f1e"}},
            "mla-grpo-suite[run] @ git+https://host/a/b.git@0f1e",
        ),
        ({"url": "file:///home/a%20b/suite", "dir_info": {}}, "/home/a b/suite[run]"),
        (
            {"url": "https://host/suite-0.1.0.whl", "archive_info": {}},
            "mla-grpo-suite[run] @ https://host/suite-0.1.0.whl",
        ),
        ({"url": "file:///x/$(touch pwned)'", "dir_info": {}}, "/x/$(touch pwned)'[run]"),
        (None, "mla-grpo-suite[run]"),
    ],
    ids=["git", "folder", "wheel", "quotes", "index"],
)
def test_an_installed_package_comes_from_where_it_came(installed, direct_url, requirement):
    installed(direct_url)
    assert shlex.split(install_command("run")) == ["pip", "install", requirement]


def test_another_installed_copy_is_not_asked(installed, tmp_path, monkeypatch):
    installed({"url": "https://host/a/b.git", "vcs_info": {"vcs": "git", "commit_id": "0f1e"}})
    monkeypatch.setattr(installation, "PACKAGE", tmp_path / "other" / "suite")
    assert shlex.split(install_command("run")) == ["pip", "install", "-e", f"{tmp_path / 'other'}[run]"]
