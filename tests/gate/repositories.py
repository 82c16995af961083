"""Small git repositories to compare revisions of, and a digest that shows whether anybody wrote into one."""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LIGHT_WORKER = Path(__file__).with_name("light_worker.py")
QUIET = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in {"NAME": "a", "EMAIL": "a@b.example", "DATE": "2026-01-01T00:00:00+0000"}.items()
}


@dataclass(frozen=True)
class Repository:
    folder: Path

    def git(self, *arguments: str, given: bytes = b"") -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        command = ["git", "-C", str(self.folder), *arguments]
        ended = subprocess.run(command, capture_output=True, check=True, input=given, env={**kept, **QUIET, **WHO})
        return ended.stdout.decode().strip()

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def commit(self, files: Mapping[str, str], message: str = "a change") -> str:
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def digest(self) -> str:
        """Over the name and content of every file, those in .git too."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.rglob("*")):
            content = (
                os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            )
            digest.update(os.fsencode(path.relative_to(self.folder)) + b"\0" + content + b"\0")
        return digest.hexdigest()


def repository(folder: Path) -> Repository:
    made = Repository(folder)
    folder.mkdir(parents=True)
    made.git("init", "--quiet", "--initial-branch=main")
    return made


def light(folder: Path, before: Mapping[str, object], after: Mapping[str, object]) -> Repository:
    """A repository with the cases of `before` in its HEAD and of `after` in its files, for the worker of `with_light`.

    What a case is told by is said in light_worker.py.
    """
    made = repository(folder)
    made.commit({"cases.json": json.dumps(before), ".gitignore": "results/gate/\n"})
    made.write({"cases.json": json.dumps(after)})
    return made
