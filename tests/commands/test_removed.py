"""What left answers with one sentence that names what takes its place."""

import subprocess
import sys

import pytest

from suite.configuration.removed import STORING

STORED = f"suite: {STORING} was removed: copy the folder"


@pytest.mark.parametrize(
    ("line", "begin"),
    [
        ("results push results --to board", "suite: results push was removed: publish the folder"),
        ("ls --watch results", "suite: ls --watch was removed: each run shows"),
        ("report --overwrite", "suite: report --overwrite was removed: the page"),
        ("report --format readings --out readings.csv", "suite: report --format readings was removed: in Python"),
        ("gate history --metric latency_s", "suite: gate history was removed: collect"),
        ("gate pytest tests --clock=instructions", "suite: gate --clock was removed: the gate judges by time"),
        ("run workload=rl_conformance", "suite run: workload=rl_conformance was removed: suite/rl/README.md"),
        ("run -m backend=sdpa,sglang", "suite run: backend=sglang was removed: it never ran"),
        ("results list s3://me:secret@bucket/demo", STORED),
        ("report --results=gs://bucket/demo", STORED),
        ("results merge results --into hf://datasets/me/mine", STORED),
        ("run -m sweep=demo hydra.sweep.dir='s3://me:secret@bucket'", STORED),
    ],
)
def test_what_left_names_its_replacement(line, begin, tmp_path):
    ended = subprocess.run([sys.executable, "-m", "suite", *line.split()], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith(begin)
    assert len(ended.stderr.splitlines()) == 1
    assert "secret" not in ended.stderr
    assert not list(tmp_path.iterdir())


def test_a_stores_url_in_a_file_is_refused_too(tmp_path, monkeypatch, capsys):
    from suite.commands.run import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "stored.yaml").write_text(
        "# @package _global_\nhydra: {sweep: {dir: 's3://bucket/demo'}, sweeper: {params: {attention: mla}}}\n"
    )
    assert main(["-m", "--config-dir", str(tmp_path), "sweep=stored"]) == 2
    assert capsys.readouterr().err.startswith(f"suite run: {STORING} was removed")
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]
