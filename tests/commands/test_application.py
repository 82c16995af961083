import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import suite
from suite import __main__ as command_line
from tests.records.factory import build, store
from tests.report.reading import blocks_of

ROOT = Path(__file__).resolve().parents[2]


def called(monkeypatch, *arguments):
    """The exit code of the command in this process."""
    monkeypatch.setattr(sys, "argv", ["suite", *arguments])
    return command_line.main()


def test_the_version_is_the_packages(monkeypatch, capsys):
    assert called(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.split() == ["mla-grpo-suite", suite.__version__]


def test_help_lists_the_commands_that_exist_and_no_other(monkeypatch, capsys):
    assert called(monkeypatch, "--help") == 0
    lines = capsys.readouterr().out.partition("Commands:")[2].splitlines()
    names = "demo run ls completion report compare doctor explain choose fit calibrate results trace gate"
    assert [line.split()[0] for line in lines if line.strip()] == names.split()


def test_every_command_calls_a_function_that_exists():
    source = Path(suite.__file__).with_name("commands") / "application.py"
    targets = re.findall(r'"(\w+)\.(\w+)"', source.read_text(encoding="utf-8"))
    assert len(targets) > 15
    for module, name in targets:
        assert callable(getattr(importlib.import_module(f"suite.commands.{module}"), name))


def test_in_a_narrow_terminal_no_help_is_cut(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    for command in ([], ["results"], ["trace"], ["gate"]):
        assert called(monkeypatch, *command, "--help") == 0
    assert called(monkeypatch) == 0
    shown = capsys.readouterr().out
    assert not [line for line in shown.splitlines() if line.endswith("...") and not line.startswith("Usage")]
    assert max(map(len, shown.splitlines())) <= 80


def test_the_command_line_lists_shows_verifies_and_merges_runs(tmp_path, monkeypatch, capsys):
    (folder,) = store(tmp_path / "a", build())
    for arguments, words in (
        (("list", str(tmp_path)), "1 runs, 0 damaged"),
        (("show", "0123", "--results", str(tmp_path)), "median of"),
        (("verify", str(tmp_path)), "0 faults"),
        (("merge", str(tmp_path / "a"), "--into", str(tmp_path / "b")), "1 runs copied"),
    ):
        assert called(monkeypatch, "results", *arguments) == 0
        assert words in capsys.readouterr().out
    (folder / "record.json").write_text("{")
    for arguments in (("list", str(tmp_path)), ("verify", str(tmp_path))):
        assert called(monkeypatch, "results", *arguments) == 4
    assert called(monkeypatch, "results", "list", str(tmp_path), "--status", "fine") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("gate nope", "Error"),
        ("explain", "Error"),
        ("explain mla --lang fr", "Error"),
        ("doctor --nope", "Error"),
        ("explain gpro", "got 'gpro'; did you mean grpo?\n"),
        ("explain mla --geometry gpt-9", "suite: "),
    ],
)
def test_what_the_command_line_does_not_know_ends_with_2(monkeypatch, capsys, arguments, words):
    assert called(monkeypatch, *arguments.split()) == 2
    captured = capsys.readouterr()
    assert (captured.out, words in captured.err) == ("", True)


def test_run_hands_even_help_and_what_follows_a_dash_to_hydra(monkeypatch, capsys):
    pytest.importorskip("hydra")
    assert called(monkeypatch, "run", "--cfg", "job", "geometry=tiny", "seq_len=77") == 0
    assert "seq_len: 77" in capsys.readouterr().out
    assert called(monkeypatch, "run", "--help") == 0
    assert "suite run -m sweep=demo" in capsys.readouterr().out
    assert called(monkeypatch, "run", "seq_len=0") == 2
    assert "seq_len" in capsys.readouterr().err


def test_runs_without_their_packages_are_refused_in_a_sentence(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "suite.commands.run", raising=False)
    monkeypatch.setitem(sys.modules, "hydra", None)  # an import of it fails
    assert called(monkeypatch, "run", "geometry=tiny") == 3
    assert capsys.readouterr().err.startswith("suite: this needs hydra, which is not installed here: pip install ")


@pytest.mark.skipif(os.name != "posix", reason="needs a pipe whose reader is gone")
def test_a_reader_that_leaves_is_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "suite", "explain", "mla"]
    with os.fdopen(writer, "w") as gone:
        ended = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    assert ended.stderr == ""
    assert ended.returncode == 130


def test_no_colour_where_none_is_wanted(monkeypatch, capsys):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    for arguments in (["--help"], ["nope"], ["explain", "gqa"]):
        called(monkeypatch, *arguments)
        assert "\x1b" not in "".join(capsys.readouterr())


def test_a_terminal_without_chinese_gets_stand_ins_and_no_error():
    command = [sys.executable, "-m", "suite", "explain", "mla", "--lang", "zh"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert "241.8" in ended.stdout


def test_report_takes_several_results_and_names_its_output(monkeypatch, capsys, tmp_path):
    for name in ("a", "b"):
        store(tmp_path / name, build())
    arguments = ["--results", str(tmp_path / "a"), "--label", "one", "--results", str(tmp_path / "b"), "--label", "two"]
    page = tmp_path / "page.html"
    assert called(monkeypatch, "report", *arguments, "--lang", "zh", "--out", str(page)) == 0
    assert str(page) in capsys.readouterr().out
    assert {line["label"] for line in blocks_of(page.read_text(encoding="utf-8"))["runs"]} == {"one", "two"}


def test_report_opens_the_page_that_it_wrote(monkeypatch, capsys, tmp_path):
    store(tmp_path / "results", build())
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or False)
    page = tmp_path / "page.html"
    asked = ["report", "--results", str(tmp_path / "results"), "--out", str(page), "--open"]
    assert called(monkeypatch, *asked, "--format", "csv") == 2
    assert "--open opens the HTML page and needs --format html; got 'csv'" in capsys.readouterr().err
    assert not page.exists()
    assert called(monkeypatch, *asked) == 0
    assert opened == [page.as_uri()]
    assert "No browser was found" in capsys.readouterr().out


def test_compare_is_reached_from_the_command_line(monkeypatch, capsys, tmp_path):
    store(tmp_path, build(), build(attention="mha"))
    assert called(monkeypatch, "compare", str(tmp_path), "--by", "attention", "--against", "mha") == 0
    assert "one launch, so not compared" in capsys.readouterr().out
    for asked in ([], ["--by", "attention", "--fail-on", "slower"], ["--by", "attention", "--fail-on", "other"]):
        assert called(monkeypatch, "compare", str(tmp_path), *asked) == 2


def test_report_of_a_damaged_run_ends_with_4_and_of_none_with_2(monkeypatch, capsys, tmp_path):
    (folder,) = store(tmp_path / "results", build())
    (folder / "record.json").write_text("{")
    arguments = ["--results", str(tmp_path / "results"), "--format", "csv", "--out", str(tmp_path / "x.csv")]
    assert called(monkeypatch, "report", *arguments) == 4
    capsys.readouterr()
    assert called(monkeypatch, "report", "--results", str(tmp_path / "nowhere")) == 2
    assert "nowhere" in capsys.readouterr().err


def test_an_impossible_output_or_name_is_one_sentence_and_code(monkeypatch, capsys, tmp_path):
    store(tmp_path / "results", build())
    results, below = str(tmp_path / "results"), str(tmp_path / "file" / "x")
    (tmp_path / "file").touch()
    for code, arguments in (
        (4, ("report", "--results", results, "--format", "csv", "--out", below)),
        (4, ("results", "merge", results, "--into", below)),
        (2, ("report", "--results", results, "--out", str(tmp_path))),
        (2, ("results", "list", "n" * 10_000)),
        (2, ("gate", "--against", "n" * 10_000)),
        (2, ("results", "show", "n" * 10_000, "--results", results)),
    ):
        assert called(monkeypatch, *arguments) == code
        said = capsys.readouterr().err
        assert said.startswith("suite")
        assert said.count("\n") == 1
        assert len(said) < 500
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "results"]
