"""What is published: wheel, sdist, the small environment that only reads, and one version everywhere."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import suite
from suite.machine.installation import install_command
from tests.gate.repositories import Repository
from tools.release import write_release

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")


def run(python, *arguments, **settings):
    command = [str(python), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **settings)


# --- the environment that only reads


def closure(names):
    """Distributions that these need, themselves included, as this environment has them."""
    requirements = pytest.importorskip("packaging.requirements", reason="needs packaging, to follow requirements")
    found, waiting = {}, list(names)
    while waiting:
        requirement = requirements.Requirement(waiting.pop())
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"needs {name} installed, to link it")
        waiting += found[name].requires or []
    return found


def top_level(distribution):
    """Files and folders of a distribution that lie directly in site-packages."""
    parts = {file.parts[0] for file in distribution.files or [] if file.suffix != ".pth"}
    return {Path(distribution.locate_file(part)) for part in parts - {"..", "__pycache__"}}


def python_with(folder, *extras):
    """A Python that has what the package needs with these extras, and no more."""
    venv.create(folder, symlinks=True, with_pip=False)
    site_packages = next(folder.glob("lib/python*/site-packages"))
    project = PYPROJECT["project"]
    needed = [*project["dependencies"], *(each for extra in extras for each in project["optional-dependencies"][extra])]
    for distribution in closure(needed).values():
        for path in top_level(distribution):
            if not (site_packages / path.name).exists():
                (site_packages / path.name).symlink_to(path)
    for name in ("suite", "conf"):
        (site_packages / name).symlink_to(ROOT / name)
    return folder / "bin/python"


@pytest.fixture
def alone(tmp_path):
    """Settings for a process that sees nothing of this checkout or environment."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COV_"))}
    return {"cwd": tmp_path, "env": environment}


COMMANDS = """
import contextlib, io, json, sys
from suite.__main__ import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["suite", *arguments]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main()
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""
"""Commands one after another, in a process that imports once what they share."""


@needs_links
def test_explain_and_report_work_where_nothing_can_run(alone, tmp_path):
    reading_python = python_with(tmp_path / "python", "report")
    (tmp_path / "empty").mkdir()
    commands = [
        ["explain", "mla"],
        ["doctor"],
        ["run", "geometry=tiny"],
        ["report", "--results", "empty", "--out", "x.html"],
    ]
    ended = run(reading_python, "-c", COMMANDS, json.dumps(commands), **alone)
    assert ended.returncode == 0, ended.stderr
    explained, examined, refused, reported = map(json.loads, ended.stdout.splitlines())
    assert explained[0] == 0, explained
    assert "241.8" in explained[1]

    assert examined[0] == 3, examined
    assert "torch is not installed" in examined[1]

    assert refused[0] == 3
    assert refused[2].startswith("suite: this needs ")
    assert refused[2].endswith(f", which is not installed here: {install_command('run')}\n")

    assert reported[0] == 0, reported
    assert (tmp_path / "x.html").stat().st_size > 0


@needs_links
def test_without_extras_each_command_says_what_it_lacks(alone, tmp_path):
    gate_python = python_with(tmp_path / "python")
    find = "import importlib.util as u; print([m for m in ('torch', 'pyarrow', 'pandas') if u.find_spec(m)])"
    assert run(gate_python, "-c", find, **alone).stdout.strip() == "[]"
    (tmp_path / "empty").mkdir()
    commands = {
        "report --results empty": "report",
        "run geometry=tiny": "run",
        "demo": "run",
    }
    for command, extra in commands.items():
        ended = run(gate_python, "-m", "suite", *command.split(), **alone)
        assert ended.returncode == 3, ended.stderr
        assert ended.stderr.startswith("suite: this needs ")
        assert ended.stderr.endswith(f", which is not installed here: {install_command(extra)}\n")
    for command in ("gate --help", "ls geometry", "doctor"):
        assert "Traceback" not in run(gate_python, "-m", "suite", *command.split(), **alone).stderr


# --- the wheel and the sdist


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist of this checkout."""
    pytest.importorskip("hatchling", reason="needs hatchling, to build")
    if not (ROOT / "README.md").exists():
        pytest.skip("this checkout has no README yet")
    folder = tmp_path_factory.mktemp("dist")
    ended = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", folder, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def configuration_files():
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / "conf").rglob("*.yaml")}


def test_the_wheel_carries_the_configuration_and_the_page(built):
    assert built[0].stat().st_size < 3e6  # as .devcontainer/README.md says
    names = set(zipfile.ZipFile(built[0]).namelist())
    assert {f"suite/{name}" for name in configuration_files()} <= names
    for kind in ("*.html", "*.h", "*.cpp", "*.gz"):
        files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "suite").rglob(kind)}
        assert files
        assert files <= names
    assert {
        "mla_grpo_suite_pytest.py",
        "suite/report/page/page.html",
        "suite/py.typed",
        "suite/texts/report/en/latency.yaml",
    } <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "conf/")) for name in names)


def test_the_sdist_carries_all_that_a_build_and_a_test_need(built):
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert configuration_files() <= names
    assert {"Makefile", "LICENSE", "README.md", "SECURITY.md", "suite/__main__.py", "tests/test_packaging.py"} <= names


def test_an_installed_wheel_runs_a_case_from_any_folder(built, tmp_path):
    pytest.importorskip("torch", reason="a run needs torch")
    pytest.importorskip("hydra", reason="a run needs Hydra")
    if not list(importlib.metadata.distributions(name="pip")):  # see tests/test_foreign_variant.py
        pytest.skip("needs pip, to install the wheel")
    target, elsewhere = tmp_path / "target", tmp_path / "elsewhere"
    elsewhere.mkdir()
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check", "--target", target]
    installed = run(sys.executable, "-m", "pip", "install", *options, built[0])
    assert installed.returncode == 0, installed.stderr
    settings = {"cwd": elsewhere, "env": {**os.environ, "PYTHONPATH": str(target), "OMP_NUM_THREADS": "1"}}
    where = run(sys.executable, "-c", "import suite; print(suite.__file__)", **settings).stdout.strip()
    assert Path(where).is_relative_to(target)
    case = ["geometry=tiny", "seq_len=64", "measure=smoke"]
    ended = run(sys.executable, "-m", "suite", "run", *case, **settings)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(list(elsewhere.glob("results/**/record.json"))) == 1


# --- one version


@pytest.mark.parametrize(
    ("tag", "repository"),
    [
        ('v1";__import__("os").system("touch${IFS}PWN");"', "us/it"),
        ("v1\n", "us/it"),
        ("v1\\g<0>", "us/it"),
        ("v1", 'us/it"\n[x]'),
        ("v1", "us"),
        ("v1", "../it/x"),
    ],
)
def test_a_tag_that_is_no_version_changes_no_file(tmp_path, tag, repository):
    (tmp_path / "suite").mkdir()
    files = [tmp_path / name for name in ("pyproject.toml", "README.md", "suite/__init__.py")]
    for file in files:
        shutil.copyfile(ROOT / file.relative_to(tmp_path), file)
    before = [file.read_bytes() for file in files]
    with pytest.raises(ValueError, match="must match"):
        write_release(tmp_path, tag, repository)
    assert [file.read_bytes() for file in files] == before


def test_a_release_has_its_tags_version_and_absolute_links(tmp_path):
    pytest.importorskip("hatchling", reason="needs hatchling, to read what a package would say")
    (tmp_path / "suite").mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "suite/__init__.py"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    write_release(tmp_path, "v7.8rc1", "us/it")
    ended = run(sys.executable, "-m", "hatchling", "metadata", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    metadata = json.loads(ended.stdout)
    assert metadata["version"] == "7.8rc1"
    assert metadata["urls"]["Homepage"] == "https://github.com/us/it"
    links = set(re.findall(r"\]\(([^)]*)\)", metadata["readme"]["text"]))
    assert "https://github.com/us/it/blob/v7.8rc1/conf/README.md" in links
    assert "https://raw.githubusercontent.com/us/it/v7.8rc1/reports/answers.png" in links
    assert not [link for link in links if not link.startswith("https://")]
    with pytest.raises(ValueError, match=r"^README\.md has nothing that matches"):
        write_release(tmp_path, "v7.8", "us/it")


def test_changelog_and_citation_name_the_package_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[(.+?)\]", changelog, re.MULTILINE)[1] == suite.__version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == suite.__version__
    assert citation["cff-version"] == "1.2.0"
    assert citation["license"] == PYPROJECT["project"]["license"]


# --- what others' code gets to run, and under which terms


WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.y*ml"))
ACTIONS = [ROOT / "action.yml", *sorted((ROOT / ".github/actions").rglob("action.yml"))]
MAY_DO = {
    ("release", "publish"): {"id-token": "write"},
    ("perf", "comment"): {"contents": "read", "pull-requests": "write"},
}
"""What jobs may do beyond reading the repository."""


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.name)
def workflow(request):
    return yaml.safe_load(request.param.read_text(encoding="utf-8"))


def steps_of(content):
    """Return the steps of a workflow or of a composite action."""
    jobs = content["jobs"].values() if "jobs" in content else [content["runs"]]
    return [step for job in jobs for step in job["steps"]]


def test_every_action_is_pinned_by_commit_and_says_its_version():
    texts = [path.read_text(encoding="utf-8") for path in (*WORKFLOWS, *ACTIONS)]
    lines = [line for text in texts for line in text.splitlines() if "uses:" in line]
    parsed = [step for text in texts for step in steps_of(yaml.safe_load(text)) if "uses" in step]
    assert len(lines) == len(parsed) > 5
    foreign = [line for line in lines if "uses: ./" not in line]  # ours lie in a checkout, which is pinned
    for line in foreign:
        assert re.fullmatch(r" *(- )?uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line
    assert len(set(map(str.lstrip, (line.partition("uses:")[2] for line in foreign)))) == len(
        {line.partition("uses:")[2].partition("@")[0] for line in foreign}
    ), "each action has one version"


def test_no_checkout_leaves_its_token_behind(workflow):
    checkouts = [step for step in steps_of(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_a_workflow_reads_and_two_jobs_alone_may_do_more(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    granted = {
        (workflow["name"], name): job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job
    }
    assert granted == {job: may for job, may in MAY_DO.items() if job[0] == workflow["name"]}


def test_who_may_comment_runs_no_code_of_a_pull_request():
    jobs = yaml.safe_load((ROOT / ".github/workflows/perf.yml").read_text(encoding="utf-8"))["jobs"]
    checkout, comment = jobs["comment"]["steps"]
    assert (
        checkout["with"]["ref"]
        == jobs["gate"]["steps"][0]["with"]["ref"]
        == "${{ github.event.pull_request.base.sha }}"
    )
    assert comment == {"uses": "./judge/.github/actions/comment"}
    assert jobs["gate"]["steps"][-1]["uses"] == "./judge"


def test_who_gets_an_identity_runs_no_code_of_ours():
    publish = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))["jobs"]["publish"]
    assert publish["environment"]["name"] == "pypi"
    assert [step["uses"].partition("@")[0] for step in publish["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_script_of_a_step_has_a_text_put_into_it(path):
    steps = steps_of(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert not [step["run"] for step in steps if "${{" in step.get("run", "")]


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_for_windows_checks_out_committed_bytes(tmp_path):
    """Else records of one commit would name another digest of its code there."""
    made, copy = Repository(tmp_path / "made"), Repository(tmp_path / "copy")
    made.write({".gitattributes": (ROOT / ".gitattributes").read_text(encoding="utf-8"), "code.py": "a = 1\n"})
    made.git("init", "--quiet")
    made.commit({})
    made.git("clone", "--quiet", "-c", "core.autocrlf=true", str(made.folder), str(copy.folder))
    assert (copy.folder / "code.py").read_bytes() == b"a = 1\n"
