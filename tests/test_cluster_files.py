"""Ways onto other machines: batch scripts, manifests, image and devcontainers, as far as files alone can show."""

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from suite.run.compose.composer import compose
from suite.run.job import job_of

ROOT = Path(__file__).resolve().parents[1]
CLUSTER, CONTAINER = ROOT / ".cluster", ROOT / ".devcontainer"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SCRIPTS = sorted(CLUSTER.glob("*.sbatch"))

pytestmark = pytest.mark.skipif(not CLUSTER.exists(), reason="these files are a part of a checkout alone")


def text_of(path):
    return path.read_text(encoding="utf-8")


def read_manifest(name):
    return yaml.safe_load(text_of(CLUSTER / name))


def command_in(text):
    """Return the arguments of the `suite run` that a text has, with a folder in place of the variable, and none of a
    person's."""
    lines = text.replace("\\\n", " ").replace("${SHARED:?}", "/shared").replace('"$@"', "")
    (found,) = re.findall(r"^(?!#).*\bsuite run (.+)$", lines, re.MULTILINE)
    return shlex.split(found)


def commands():
    by_name = {path.name: command_in(text_of(path)) for path in SCRIPTS}
    return {**by_name, "rayjob.yaml": command_in(read_manifest("rayjob.yaml")["spec"]["entrypoint"])}


# --- Slurm


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_can_read_a_batch_script(script):
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_batch_script_starts_one_task_on_each_node(script):
    lines = text_of(script).splitlines()
    assert lines[0] == "#!/bin/bash"
    options = [line for line in lines if line.startswith("#SBATCH ")]
    assert lines[1 : len(options) + 1] == options, "sbatch stops reading options at the first other line"
    given = {option.partition("=")[0]: option.partition("=")[2] for line in options for option in line.split()[1:]}
    assert int(given["--nodes"]) > 1
    assert given["--ntasks-per-node"] == "1"
    assert {"--exclusive", "--requeue", "--time"} < set(given)


def test_nodes_that_share_nothing_but_a_folder_share_the_cases():
    points = compose([*commands()["slurm.sbatch"], "attention=mha", "seq_len=512,1024"])
    assert [job_of(point).spread for point in points] == [True, True]
    assert {str(point.folder) for point in points} == {"/shared/lengths"}


# --- Kubernetes


def test_whoever_joins_the_ray_job_needs_a_token():
    cluster = read_manifest("rayjob.yaml")["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    (lowest,) = re.fullmatch(r"ray>=([\d.]+),<3", *PYPROJECT["project"]["optional-dependencies"]["ray"]).groups()
    assert cluster["rayVersion"] == f"{lowest}.0"


# --- image and devcontainers


def instructions():
    """Return the instructions of the Dockerfile: a word and the rest, in order."""
    lines = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", text_of(CONTAINER / "Dockerfile"), flags=re.MULTILINE))
    return [line.split(maxsplit=1) for line in lines.splitlines() if line.strip()]


def test_what_the_image_copies_is_there_and_not_ignored():
    ignored = text_of(ROOT / ".dockerignore").splitlines()
    assert "*" in ignored
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        source
        for word, rest in instructions()
        if word == "COPY"
        for source in [part for part in rest.split() if not part.startswith("--")][:-1]
    }
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
