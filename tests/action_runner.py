"""A runner of composite actions, so that a test runs the very steps of `action.yml` in their order, without GitHub."""

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.gate.repositories import QUIET


@dataclass
class Runner:
    """A runner of composite actions, as far as these two need one."""

    folder: Path
    """A folder for temporary files of the run."""
    workspace: Path
    event: dict = field(default_factory=dict)
    event_name: str = "pull_request"
    environment: dict = field(default_factory=dict)
    summary: str = ""
    log: str = ""
    uses: dict = field(default_factory=dict)
    """Inputs of the other actions that were reached, by name of the step."""
    artifact: dict = field(default_factory=dict)
    """Files that an artifact brings where one is fetched, by name."""

    def run(self, action, **inputs):
        """Run the steps and return the exit code of the first that failed, and the action's outputs."""
        content = yaml.safe_load(action.read_text(encoding="utf-8"))
        github = {"event": self.event, "token": "a-token", "repository": "us/it"}
        contexts = {"github": github, "inputs": {}, "steps": {}}
        defaults = {name: given.get("default", "") for name, given in content["inputs"].items()}
        assert inputs.keys() <= defaults.keys()
        contexts["inputs"] = {name: filled(value, contexts) for name, value in {**defaults, **inputs}.items()}
        failed = 0
        for step in content["runs"]["steps"]:
            condition = step.get("if", "")
            if (failed and "always()" not in condition) or not holds(condition, contexts):
                continue
            if "uses" in step:
                self.uses[step["name"]] = given = {key: filled(text, contexts) for key, text in step["with"].items()}
                for name, left in self.artifact.items() if "download-artifact" in step["uses"] else ():
                    Path(given["path"], name).write_bytes(left)
                continue
            code, outputs = self._run(step, action.parent, contexts)
            contexts["steps"][step.get("id", "")] = {"outputs": outputs}
            failed = failed or code
        outputs = {name: filled(given["value"], contexts) for name, given in content.get("outputs", {}).items()}
        return failed, outputs

    def _run(self, step, action, contexts):
        given = {name: filled(value, contexts) for name, value in step.get("env", {}).items()}
        files = {f"GITHUB_{name}": self.folder / f"file-{name}" for name in ("OUTPUT", "STEP_SUMMARY", "ENV", "PATH")}
        for file in files.values():
            file.write_text("")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "GITHUB_"))},
            **QUIET,
            **{name: str(file) for name, file in files.items()},
            "RUNNER_TEMP": str(self.folder),
            "RUNNER_OS": "Linux",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(action),
            "GITHUB_EVENT_NAME": self.event_name,
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_REPOSITORY": "us/it",
            "GITHUB_RUN_ID": "7",
            **given,
            **self.environment,
        }
        ended = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.workspace / filled(step.get("working-directory", "."), contexts),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.log += ended.stdout + ended.stderr
        self.summary += files["GITHUB_STEP_SUMMARY"].read_text()
        pairs = [line.partition("=") for line in files["GITHUB_OUTPUT"].read_text().splitlines()]
        return ended.returncode, {name: value for name, _, value in pairs}


def filled(text, contexts):
    """Put the values of expressions into a text."""
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: str(value(found[1], contexts)), str(text))


def value(expression, contexts):
    """Return what a path, or the first of several that is not empty, leads to."""
    for path in expression.split("||"):
        found = contexts
        for name in path.strip().split("."):
            found = (found or {}).get(name, "")
        if found != "":
            return found
    return ""


def holds(condition, contexts):
    for term in filter(None, condition.split(" && ")):
        if term != "always()":
            path, sign, text = re.fullmatch(r"(\S+) ([!=]=) '(.*)'", term).groups()
            if (value(path, contexts) == text) != (sign == "=="):
                return False
    return True
