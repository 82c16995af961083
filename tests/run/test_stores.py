"""A sweep whose folder is a store: run, resumed, listed, reported and judged, by its URL wherever it is named."""

import json
from pathlib import Path

import pytest

import suite
from suite.commands.compare import compare
from suite.commands.results import list_runs, merge, pack, show, verify
from suite.commands.run import main
from suite.gate.command import gate_against
from suite.records.stores.mirror import mirror_folder
from suite.report.command import report
from suite.run.scheduler import execute
from tests.records.stores.places import CACHE, new_url, objects_at
from tests.run.listeners import Told
from tests.run.test_launchers import Only, Overtaken
from tests.run.test_side_by_side import jobs_of

PROJECTED = ("workload=projection", "hardware=h20-96gb", "dtype=bfloat16", "attention=mha,mla")
"""Cases that run nothing, and are records all the same."""


@pytest.fixture
def url(tmp_path, monkeypatch, capsys):
    """A store that holds a sweep of two runs, and a working folder of its own."""
    monkeypatch.setattr(CACHE, lambda: tmp_path / "cache")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    url = new_url()
    assert main(["-m", *PROJECTED, f"hydra.sweep.dir={url}"]) == 0
    return url


def test_a_sweep_goes_into_the_store_and_is_resumed(url, tmp_path, capsys):
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == f"records: {url}"
    assert sum(name.endswith("/record.json") for name in objects_at(url)) == 2
    assert {name.rpartition("/")[2] for name in objects_at(url)} == {"record.json", "samples.parquet", "overrides.yaml"}
    assert not list(Path.cwd().iterdir())
    before = objects_at(url)
    assert main(["-m", *PROJECTED, f"hydra.sweep.dir='{url}'"]) == 0
    again = capsys.readouterr().out
    assert "2 of 2 cases were recorded before" in again
    assert objects_at(url) == before
    assert main(["-m", *PROJECTED, "resume=false", f"hydra.sweep.dir={url}"]) == 0
    assert sum(name.endswith("-2/record.json") for name in objects_at(url)) == 2
    assert str(tmp_path / "cache") not in shown + again


def test_a_case_put_there_just_before_its_claim_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(CACHE, lambda: tmp_path / "cache")
    place, told = mirror_folder(url := new_url()), Told()
    monkeypatch.setattr(Overtaken, "into", place)
    outcome = execute(jobs_of(*PROJECTED), folder=place, resume=True, listener=told, launcher=Only(Overtaken))
    assert (outcome.exit_code(is_sweep=True), [name for name, _ in told.calls]) == (0, ["by another"] * 2)
    assert sum(name.endswith("/record.json") for name in objects_at(url)) == 2
    assert not any("claim" in name for name in objects_at(url))


def test_a_single_run_names_its_record_by_url(url, capsys):
    single = [argument.partition(",")[0] for argument in PROJECTED]
    assert main([*single, "seq_len=128", f"hydra.run.dir={url}"]) == 0
    assert f" {url}/" in capsys.readouterr().out
    assert sum(name.endswith("/record.json") for name in objects_at(url)) == 3
    assert not list(Path.cwd().iterdir())
    assert main([*single, "seq_len=128", f"hydra.run.dir={url}", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["folder"].startswith(f"{url}/")


def test_every_command_that_reads_takes_the_url(url, tmp_path, capsys):
    there = Path(url)  # as the command line makes it
    capsys.readouterr()
    assert list_runs([there], status=None, as_json=False) == 0
    above, _, first, *_ = capsys.readouterr().out.splitlines()
    assert above == f"runs in {url}:"
    assert show(first.split()[0], [there]) == show(f"{url}/{first.split()[0]}", []) == 0
    assert f"{url}/{first.split()[0]}/record.json" in capsys.readouterr().out
    assert verify([there]) == 0
    assert compare([url], by="attention", against=None, results=[], as_json=True) == 0
    assert len(suite.load(url)) == 2
    page, code = report([there], [], out=tmp_path / "page.html")
    assert code == 0
    assert str(tmp_path / "cache") not in page.read_text()
    assert merge([there], tmp_path / "here") == 0
    assert str(tmp_path / "cache") not in capsys.readouterr().out


def test_runs_are_merged_into_a_store_once(url, tmp_path, capsys):
    other = new_url()
    capsys.readouterr()
    assert merge([Path(url)], Path(other)) == merge([Path(url)], Path(other)) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"2 runs copied into {other}; 0 were there already"
    assert second == f"0 runs copied into {other}; 2 were there already"
    assert objects_at(other) == objects_at(url)


def test_what_a_store_cannot_do_is_refused(url, capsys):
    with pytest.raises(ValueError, match=f"pack works on folders of this machine; got '{url}'"):
        pack([Path(url)], remove=False)
    with pytest.raises(ValueError, match=f"results must be folders that exist; got '{url}x'"):
        report([Path(f"{url}x")], [])
    with pytest.raises(ValueError, match=f"results must be folders that exist; got '{url}x'"):
        verify([Path(f"{url}x")])
    with pytest.raises(ValueError, match=r"out must be a path of this machine; got 's3://bucket/page\.html'"):
        report([Path(url)], [], out=Path("s3://bucket/page.html"))
    with pytest.raises(ValueError, match="out must be a path of this machine; got 's3://bucket/gate'"):
        gate_against(
            against="HEAD",
            sweep="gate",
            chosen=[],
            python=None,
            seconds=1.0,
            trust_settings=False,
            inconclusive_fails=False,
            out=Path("s3://bucket/gate"),
        )
    assert main(["-m", *PROJECTED, "hydra.sweep.dir=s3://me:secret@bucket"]) == 2
    assert "secret" not in capsys.readouterr().err
    assert not list(Path.cwd().iterdir())
