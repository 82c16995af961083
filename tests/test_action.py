"""The GitHub action: its steps run here in their order, as a runner runs them, with a stand-in as the judge."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from suite.gate.output.comment import MOST_CHARACTERS, NO_JUDGEMENT, comment, marker
from suite.gate.output.files import write_judgement
from suite.gate.verdict import Outcome
from tests.action_runner import Runner
from tests.gate.judgements import hostile, judgement, timing
from tests.gate.repositories import Repository, repository

ROOT = Path(__file__).resolve().parents[1]
ACTION, COMMENT = ROOT / "action.yml", ROOT / ".github/actions/comment/action.yml"

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="the action is for Linux and macOS"),
    pytest.mark.skipif(not ACTION.exists(), reason="the action is a part of a checkout alone"),
]

JUDGE = """\
#!/bin/sh
[ "$*" != "-I -m suite --version" ] || exit 0
printf '%s\\0' "$@" >{record}.arguments
env -0 >{record}.environment
while [ "$1" != --out ]; do shift; done
[ -z "{summary}" ] || echo "{summary}" >"$2/summary.md"
exit {code}
"""
"""A stand-in for the judge's Python, which writes down how it was called."""


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@dataclass
class PullRequest:
    """A repository with a pull request whose merge base lies five commits back, and a runner's clone of it."""

    origin: Repository
    base: str
    head: str
    merge_base: str
    runner: Runner
    record: Path

    def arguments(self):
        """Return what the judge was called with."""
        return self.record.with_suffix(".arguments").read_text().split("\0")[:-1]

    def environment(self):
        """Return what the judge found in its environment."""
        lines = self.record.with_suffix(".environment").read_text().split("\0")[:-1]
        return dict(line.split("=", 1) for line in lines)

    def judge_says(self, code, summary="## Performance gate"):
        judge = self.runner.folder / "suite-judge"
        executable(judge / "bin/python", JUDGE.format(record=self.record, code=code, summary=summary))
        (judge / "source").write_text(f"{ROOT}\n")

    def checked_out(self, commit):
        """Fetch one commit alone, as actions/checkout does."""
        shutil.rmtree(self.runner.workspace, ignore_errors=True)
        clone = repository(self.runner.workspace)
        clone.git("remote", "add", "origin", self.origin.folder.as_uri())
        clone.git("fetch", "--quiet", "--no-tags", "--depth=1", "origin", commit)
        clone.git("checkout", "--quiet", "--detach", commit)
        return clone


HISTORY = "".join(
    f"commit refs/heads/{branch}\nmark :{mark}\ncommitter a <a@b.example> {mark} +0000\ndata 0\n"
    + (f"from :{parent}\n" if parent else "")
    + f"M 644 inline {branch}\ndata 2\n{mark:02d}\n"
    for mark, (branch, parent) in enumerate(
        [
            *(("main", mark) for mark in range(3)),
            *(("feature", mark) for mark in range(3, 8)),
            ("main", 3),
            ("main", 9),
        ],
        start=1,
    )
)
"""What `git fast-import` makes: three commits, then five on a branch and two on main."""


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    origin = repository(tmp_path_factory.mktemp("history") / "origin")
    origin.git("fast-import", "--quiet", given=HISTORY.encode())
    return origin


def with_a_python(runner):
    """Which is found first: a version manager's stand-in for each of the five names may take a tenth of a second."""
    executable(runner.folder / "bin/python3.12", "#!/bin/sh\n")
    runner.environment["PATH"] = f"{runner.folder / 'bin'}:{os.environ['PATH']}"


@pytest.fixture
def pull_request(tmp_path, history):
    shutil.copytree(history.folder, tmp_path / "origin")
    origin = Repository(tmp_path / "origin")
    base, head, merge_base = origin.git("rev-parse", "main", "feature", "main~2").splitlines()
    (tmp_path / "temp").mkdir()
    runner = Runner(folder=tmp_path / "temp", workspace=tmp_path / "work")
    runner.event = {"pull_request": {"base": {"sha": base}, "head": {"sha": head}}}
    with_a_python(runner)
    made = PullRequest(origin, base, head, merge_base, runner, tmp_path / "judge")
    made.judge_says(0)
    made.checked_out(head)
    return made


# --- the action


def test_the_merge_base_is_found_in_a_clone_of_one_commit(pull_request):
    code, outputs = pull_request.runner.run(ACTION)
    assert (code, outputs["exit-code"], outputs["verdict"]) == (0, "0", "passed"), pull_request.runner.log
    arguments = pull_request.arguments()
    assert arguments[:7] == ["-I", "-m", "suite", "gate", "pytest", "--against", pull_request.merge_base]
    assert arguments[arguments.index("--python") + 1] == "python"
    assert arguments[arguments.index("--out") + 1] == outputs["folder"]
    assert pull_request.runner.summary == "## Performance gate\n"


@pytest.mark.parametrize(("code", "word"), [(1, "worse"), (3, "cannot-judge"), (4, "broken"), (70, "broken")])
def test_the_judges_exit_code_is_the_steps(pull_request, code, word):
    pull_request.judge_says(code)
    ended, outputs = pull_request.runner.run(ACTION)
    assert (ended, outputs["exit-code"], outputs["verdict"]) == (code, str(code), word)
    kept = pull_request.runner.uses["Keep the judgement"]
    names = [Path(line).name for line in kept["path"].split()]
    assert names == ["judgement.json", "summary.md", "junit.xml"]
    assert (kept["name"], Path(kept["path"].split()[0]).parent) == ("suite-gate", Path(outputs["folder"]))


def refused(pull_request, **inputs):
    """Return the sentence of a run that ends with 3 before the judge is asked."""
    code, outputs = pull_request.runner.run(ACTION, **inputs)
    assert (code, outputs["exit-code"], outputs["verdict"]) == (3, "3", "cannot-judge"), pull_request.runner.log
    assert not list(pull_request.record.parent.glob("judge.*"))
    (sentence,) = re.findall("^::error title=gate::(.*)$", pull_request.runner.log, re.MULTILINE)
    assert f"## Performance gate: cannot judge\n\n{sentence}\n" in pull_request.runner.summary
    assert "Keep the judgement" in pull_request.runner.uses
    return sentence


def test_a_merge_commit_is_refused_with_what_to_write(pull_request):
    origin = pull_request.origin
    origin.git("checkout", "--quiet", "--detach", pull_request.base)
    origin.git("merge", "--quiet", "--no-ff", "--message", "merged", pull_request.head)
    pull_request.checked_out(origin.git("rev-parse", "HEAD"))
    assert "give actions/checkout ref: ${{ github.event.pull_request.head.sha }}" in refused(pull_request)


def test_a_run_beside_secrets_is_refused(pull_request):
    pull_request.runner.event_name = "pull_request_target"
    assert "use pull_request" in refused(pull_request)


def test_a_merge_queue_has_a_head_and_a_base(pull_request):
    shas = {"head_sha": pull_request.head, "base_sha": pull_request.base}
    pull_request.runner.event, pull_request.runner.event_name = {"merge_group": shas}, "merge_group"
    assert pull_request.runner.run(ACTION)[0] == 0
    assert pull_request.arguments()[6] == pull_request.merge_base


def test_an_event_without_a_base_needs_a_revision(pull_request):
    pull_request.runner.event, pull_request.runner.event_name = {}, "push"
    assert refused(pull_request) == "the event push has no base to compare with: give one as against"


def test_an_older_answer_does_not_pass_for_this_one(pull_request):
    folder = pull_request.runner.workspace / "out"
    folder.mkdir()
    (folder / "judgement.json").write_text("{}")
    pull_request.runner.event_name = "pull_request_target"
    refused(pull_request, out="out")
    assert not (folder / "judgement.json").exists()


def test_a_base_that_a_cut_history_hides_is_still_found(tmp_path, pull_request):
    """A short way leads to an older common commit, and the way to the newest one is longer than the first fetch."""
    origin, older, newest = pull_request.origin, pull_request.merge_base, pull_request.base
    commit = "commit refs/heads/long\ncommitter a <a@b.example> 99 +0000\ndata 0\n"
    history = f"{commit}from {newest}\n{commit * 60}{commit}merge {older}\n"
    origin.git("fast-import", "--quiet", given=history.encode())
    head = origin.git("rev-parse", "long")
    pull_request.runner.event["pull_request"]["head"]["sha"] = head
    clone = pull_request.checked_out(head)
    clone.git("fetch", "--quiet", "--depth=20", "origin", head, newest)
    assert clone.git("merge-base", head, newest) == older  # what a clone that lacks commits says
    assert pull_request.runner.run(ACTION)[0] == 0
    assert pull_request.arguments()[6] == newest


def test_a_named_revision_may_be_a_branch_of_origin(pull_request):
    assert pull_request.runner.run(ACTION, against="main")[0] == 0
    assert pull_request.arguments()[6] == pull_request.base
    for file in pull_request.record.parent.glob("judge.*"):
        file.unlink()
    assert "names no revision here and none of origin's: nowhere" in refused(pull_request, against="nowhere")


def test_no_input_becomes_a_command_or_an_option(pull_request):
    hostile_text = '$(touch hacked); `touch hacked`; "; touch hacked #'
    refused(pull_request, against=hostile_text)
    paths = f"--trust-candidate-settings\n\ntests/a b.py::test[{hostile_text}]\n"
    assert pull_request.runner.run(ACTION, paths=paths, python=hostile_text)[0] == 0
    arguments = pull_request.arguments()
    assert arguments[arguments.index("--") + 1 :] == paths.split("\n")[:1] + paths.split("\n")[2:3]
    assert arguments[arguments.index("--python") + 1] == hostile_text
    assert not list(pull_request.runner.folder.parent.rglob("hacked"))


def test_a_base_that_looks_like_an_option_is_no_option(pull_request):
    pull_request.runner.event["pull_request"]["base"]["sha"] = "--upload-pack=touch hacked; git-upload-pack"
    assert "cannot be fetched from origin" in refused(pull_request)
    assert not list(pull_request.runner.folder.parent.rglob("hacked"))


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize(("name", "code"), [("against", 3), ("form", 2)])
def test_a_line_end_in_an_input_commands_no_runner(pull_request, name, code, end):
    ended, outputs = pull_request.runner.run(ACTION, **{name: f"main{end}::error title=theirs::pwned{end}::set-env"})
    assert (ended, outputs["exit-code"]) == (code, str(code)), pull_request.runner.log
    # As the runner reads the log: any of the three ends a line, and a command may be indented.
    commands = [line for line in re.split("[\r\n]+", pull_request.runner.log) if line.lstrip().startswith("::")]
    assert [command.partition("::error title=gate::")[0] for command in commands] == [""], commands


def test_the_suites_own_form_takes_a_sweep_and_settings(pull_request):
    assert pull_request.runner.run(ACTION, form="suite", set="attention=mine\nseq_len=64", seconds="9")[0] == 0
    arguments = pull_request.arguments()
    assert "pytest" not in arguments
    assert arguments[-6:] == ["--sweep", "gate", "--set", "attention=mine", "--set", "seq_len=64"]
    assert arguments[arguments.index("--seconds") + 1] == "9"
    assert pull_request.runner.run(ACTION, form="other")[0] == 2


def test_what_is_measured_gets_no_word_with_the_runner(pull_request):
    pull_request.runner.environment["PYTHONPATH"] = "/of/the/project"
    assert pull_request.runner.run(ACTION)[0] == 0
    environment = pull_request.environment()
    assert not {f"GITHUB_{name}" for name in ("ENV", "OUTPUT", "PATH", "STATE", "STEP_SUMMARY")} & environment.keys()
    assert "a-token" not in json.dumps(environment)
    assert environment["PYTHONPATH"] == "/of/the/project"  # for the project's Python; the judge's own has -I
    assert "-I" in pull_request.arguments()


def test_a_private_repository_is_fetched_with_the_token(pull_request, tmp_path):
    real, seen = shutil.which("git"), tmp_path / "seen"
    executable(
        tmp_path / "bin/git", f'#!/bin/sh\n[ "$1" != fetch ] || echo "$GIT_CONFIG_VALUE_0" >>{seen}\nexec {real} "$@"\n'
    )
    pull_request.runner.environment["PATH"] = f"{tmp_path / 'bin'}:{pull_request.runner.environment['PATH']}"
    assert pull_request.runner.run(ACTION)[0] == 0
    assert set(seen.read_text().split("\n")) == {"AUTHORIZATION: basic eC1hY2Nlc3MtdG9rZW46YS10b2tlbg==", ""}
    assert "eC1hY2Nlc3M" not in (pull_request.runner.workspace / ".git/config").read_text()


# --- the comment


GH = """\
#!{python}
import json, os, sys
from pathlib import Path
record, arguments = Path({record!r}), sys.argv[1:]
calls = json.loads(record.read_text()) if record.exists() else []
body = json.loads(Path(arguments[-1]).read_text())["body"] if "--input" in arguments else ""
record.write_text(json.dumps([*calls, {{"arguments": arguments, "body": body, "marker": os.environ.get("MARKER")}}]))
if "--jq" in arguments:
    print({found!r})
"""


@dataclass
class Commenting:
    runner: Runner
    record: Path

    def gh_finds(self, found):
        """Let `gh` find these ids of earlier comments."""
        executable(
            self.record.with_name("bin") / "gh",
            GH.format(python=sys.executable, record=str(self.record), found=found),
        )

    def calls(self):
        return json.loads(self.record.read_text()) if self.record.exists() else []


@pytest.fixture
def commenting(tmp_path):
    runner = Runner(folder=tmp_path / "temp", workspace=tmp_path)
    executable(tmp_path / "temp/suite-judge/bin/python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "temp/suite-judge/source").write_text(f"{ROOT}\n")
    runner.event = {"pull_request": {"number": 12, "head": {"repo": {"full_name": "us/it"}}}}
    with_a_python(runner)
    runner.environment["PATH"] = f"{tmp_path / 'bin'}:{runner.environment['PATH']}"
    made = Commenting(runner, tmp_path / "calls.json")
    made.gh_finds("")
    return made


def left_by(judged, folder):
    """Return the files of a judgement, as an artifact has them."""
    write_judgement(judged, folder, {})
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_judgement_is_posted_on_the_pull_request(commenting, tmp_path):
    commenting.runner.artifact = left_by(judgement(timing(Outcome.SLOWER, 1.052)), tmp_path / "left")
    assert commenting.runner.run(COMMENT)[0] == 0, commenting.runner.log
    asked, posted = commenting.calls()
    assert asked["marker"] == marker("suite-gate")
    assert posted["arguments"][:5] == ["api", "--silent", "--method", "POST", "repos/us/it/issues/12/comments"]
    first, second, *_ = posted["body"].splitlines()
    assert (first, second) == ("<!-- suite gate: suite-gate -->", "## Performance gate: 1 result is slower or worse")
    assert "The [workflow run](https://github.example/us/it/actions/runs/7)" in posted["body"]


def test_a_fork_gets_a_sentence_and_no_comment(commenting):
    commenting.runner.event["pull_request"]["head"]["repo"]["full_name"] = "them/it"
    assert commenting.runner.run(COMMENT)[0] == 0
    assert "a pull request from a fork has no right to write one" in commenting.runner.summary
    assert not commenting.calls()


def test_what_is_no_judgement_is_not_shown(commenting):
    commenting.runner.artifact = {"judgement.json": b"[" * 100_000, "summary.md": b"@everyone /merge"}
    assert commenting.runner.run(COMMENT)[0] == 0, commenting.runner.log
    body = commenting.calls()[-1]["body"]
    assert body.startswith(f"{marker('suite-gate')}\n{NO_JUDGEMENT}")
    assert "everyone" not in body


def test_a_comment_calls_nobody_and_is_as_long_as_github_takes(tmp_path):
    worst = "@octocat ![](https://a.example) <img src=x> `x`" * 20
    many = [timing(outcome, 1.1, case=f"{n} {worst}", reason=worst) for outcome in Outcome for n in range(40)]
    write_judgement(judgement(*many, warnings=[worst] * 100), tmp_path / "many", {})
    write_judgement(hostile(), tmp_path / "hostile", {})
    longest = comment(tmp_path / "many", "gate", "https://run.example")
    assert 40_000 < len(longest) <= MOST_CHARACTERS
    assert longest.endswith(
        "\nThe [workflow run](https://run.example) has the full result, and its check has the exit code.\n"
    )
    for text in (longest, comment(tmp_path / "hostile", "gate", "https://run.example")):
        shown = "\n".join(text.splitlines()[1:-1])
        assert not re.search(r"@\w", shown)
        assert not re.search(r"(?<!\\)[`\[]|<(?!/?(details|summary)>)", shown)


# --- the Python of the judge


def test_the_judges_python_is_one_that_the_suite_supports(tmp_path):
    for name in ("python3.12", "python3.13", "python3.11", "python3"):
        executable(tmp_path / name, "#!/bin/sh\nexit 1\n")

    def found(version):
        """Return the output where the one Python that works says that it has this version."""
        told = f"import sys; sys.version_info = {version}; exec(sys.argv[1])"
        executable(tmp_path / "python", f"#!/bin/sh\nexec {sys.executable} -I -c '{told}' \"$3\"\n")
        output = tmp_path / "output"
        output.write_text("")
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "GITHUB_OUTPUT": str(output)}
        subprocess.run(["bash", ROOT / ".github/actions/judge.sh", "find"], check=True, env=environment)
        return output.read_text()

    assert found((3, 10)) == found((3, 14)) == "python=\n"
    assert found((3, 11)) == found((3, 13)) == f"python={tmp_path / 'python'}\n"


# --- the canary


# --- who reviews, and what the READMEs tell to paste


@pytest.mark.parametrize("name", ["README.md", "reports/README.zh.md", "suite/gate/README.md"])
def test_what_a_stranger_pastes_is_a_workflow_with_our_inputs(name):
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    pasted = yaml.safe_load(block)
    assert pasted["permissions"] == {"contents": "read"}
    steps = [step for job in pasted["jobs"].values() for step in job["steps"]]
    ours = {"OWNER/mla-grpo-suite@COMMIT": ACTION, "OWNER/mla-grpo-suite/.github/actions/comment@COMMIT": COMMENT}
    used = [step for step in steps if step.get("uses") in ours]
    assert used
    for step in used:
        assert step.get("with", {}).keys() <= yaml.safe_load(ours[step["uses"]].read_text())["inputs"].keys()
    assert steps[0]["with"] == {"ref": "${{ github.event.pull_request.head.sha }}", "persist-credentials": False}
    workflows = "".join(path.read_text(encoding="utf-8") for path in (ROOT / ".github/workflows").glob("*.yml"))
    for line in re.findall(r"uses: (actions/.*)", block):
        assert line in workflows
