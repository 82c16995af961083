"""`suite results push`: verified runs alone, nothing twice, nothing overwritten, and a dry run writes nothing."""

from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq
import pytest

from suite.commands.push import push
from suite.commands.results import verify
from suite.records.record import Status
from suite.records.stores.board import INDEX, READING_ROWS, card
from suite.records.stores.board import WITHDRAWN as WITHDRAWN_ROWS
from suite.records.stores.store import read_contents
from suite.records.stores.withdrawn import WITHDRAWN
from tests.records.factory import build, store

pytest.importorskip("fsspec", reason="needs fsspec, which torch brings")

LONG_REASON = "It broke. " * 1000


@pytest.fixture
def results(tmp_path):
    """Two whole runs of one machine and one of another, and one with a fault."""
    root = tmp_path / "results"
    elsewhere = {"machine_id": "e5f6"}
    store(root, build(), build(seq_len=8192), build(environment=elsewhere, status=Status.FAILED, reason=LONG_REASON))
    store(root / "bad", build(latencies_s=(-1.0,)))
    return root


def files_below(board):
    return {path.relative_to(board).as_posix(): path.read_bytes() for path in board.rglob("*") if path.is_file()}


def test_a_board_has_columns_the_runs_and_a_card(results, tmp_path, capsys):
    board = tmp_path / "board"
    assert push([results], str(board), dry_run=False) == 4
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].startswith("3 runs pushed, ")
    assert said.out.splitlines()[-1].endswith("; 0 were there already, 1 left out")
    assert "left out: " in said.err
    assert "samples.parquet row 12" in said.err
    kinds = [name.partition("/")[0] for name in files_below(board)]
    assert sorted(kinds) == ["README.md", *["index"] * 2, *["readings"] * 2, *["runs"] * 2]
    index = pq.read_table(board / "index")
    assert index.column_names == list(INDEX)
    assert sorted(index["machine_id"].to_pylist()) == ["a1b2c3d4", "a1b2c3d4", "e5f6"]
    assert sorted(index["reason"].to_pylist()) == ["", "", LONG_REASON[:2000]]
    readings = pq.read_table(board / "readings")
    assert {*readings.column_names} == {*READING_ROWS, "workload", "machine_id"}
    assert readings.num_rows == sum(index["readings"].to_pylist()) == 2 * 26
    assert all((board / name).is_file() for name in index["readings_file"].to_pylist() + index["runs_file"].to_pylist())
    assert verify([board / "runs"]) == 0
    assert len(read_contents([board / "runs"]).stored) == 3


def test_pushing_twice_adds_nothing_and_changes_nothing(results, tmp_path, capsys):
    board = tmp_path / "board"
    push([results], str(board), dry_run=False)
    (board / "README.md").write_text("mine")
    before = files_below(board)
    store(results, build(attention="mha"))
    push([results], str(board), dry_run=False)
    after = files_below(board)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 3
    capsys.readouterr()
    push([results], str(board), dry_run=False)
    assert capsys.readouterr().out == "0 runs pushed, 0 B; 4 were there already, 1 left out\n"
    assert files_below(board) == after


def test_what_an_interrupted_push_left_is_used(results, tmp_path, capsys):
    board = tmp_path / "board"
    push([results], str(board), dry_run=False)
    whole = files_below(board)
    for path in (board / "index").iterdir():
        path.unlink()
    capsys.readouterr()
    push([results], str(board), dry_run=False)
    assert files_below(board) == whole
    assert [line.split()[1].partition("/")[0] for line in capsys.readouterr().out.splitlines()[:-1]] == ["index"] * 2


def test_a_table_that_a_killed_push_began_is_left_aside(results, tmp_path, capsys):
    board = tmp_path / "board"
    push([results], str(board), dry_run=False)
    whole = files_below(board)
    name = next(name for name in whole if name.startswith("index/"))
    (board / name).rename(board / f"{name}.part")
    (board / f"{name}.part").write_bytes(whole[name][:10])
    assert push([results], str(board), dry_run=False) == 4
    assert "1 left out" in capsys.readouterr().out.splitlines()[-1]
    assert files_below(board) == whole


def test_pushes_at_once_put_each_run_once(results, tmp_path, capsys):
    board, half = tmp_path / "board", tmp_path / "half"
    store(half, build())
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda folder: push([folder], str(board), dry_run=False), [results, half] * 2))
    digests = pq.read_table(board / "index")["record_sha256"].to_pylist()
    assert len(digests) == len(set(digests)) == 3
    capsys.readouterr()


def test_a_dry_run_says_the_same_and_writes_nothing(results, tmp_path, capsys):
    board = tmp_path / "board"
    assert push([results], str(board), dry_run=True) == 4
    would = capsys.readouterr().out
    assert not board.exists()
    push([results], str(board), dry_run=False)
    said = capsys.readouterr().out
    assert would.replace("would put", "put").replace("would be pushed", "pushed") == said
    assert "would put README.md, " in would


def test_a_withdrawn_run_is_named_on_the_board(results, tmp_path, capsys):
    board = tmp_path / "board"
    (results / WITHDRAWN).write_text(f"- run: {build().run_key[:16]}\n  date: 2026-03-01\n  reason: It was noisy.\n")
    push([results], str(board), dry_run=False)
    assert not (board / "index").exists(), "it was withdrawn before it was ever there"
    (results / WITHDRAWN).rename(tmp_path / "aside")
    push([results], str(board), dry_run=False)
    (tmp_path / "aside").rename(results / WITHDRAWN)
    for _ in range(2):
        push([results], str(board), dry_run=False)
        (path,) = (board / "withdrawn").iterdir()
        found = pq.read_table(path).to_pylist()
        assert [(row["date"], row["reason"]) for row in found] == [("2026-03-01", "It was noisy.")] * 3
    capsys.readouterr()


def test_a_store_of_objects_is_pushed_to_as_a_folder(results, capsys):
    import fsspec

    memory = fsspec.filesystem("memory")
    push([results], "memory://a/board", dry_run=False)
    try:
        assert len(memory.find("/a/board")) == 7
        capsys.readouterr()
        push([results], "memory://a/board", dry_run=False)
        assert capsys.readouterr().out.startswith("0 runs pushed")
    finally:
        memory.rm("/a", recursive=True)


def test_a_board_of_something_else_is_left_alone(results, tmp_path, capsys):
    board = tmp_path / "board"
    (board / "index").mkdir(parents=True)
    (board / "index" / "notes.parquet").write_bytes(b"notes")
    assert push([results], str(board), dry_run=False) == 4
    assert "index/notes.parquet of the board cannot be read" in capsys.readouterr().err
    assert list(files_below(board)) == ["index/notes.parquet"]


def test_unknown_urls_and_missing_folders_are_refused(results):
    with pytest.raises(ValueError, match="nope:// is no store that fsspec knows"):
        push([results], "nope://x", dry_run=True)
    with pytest.raises(ValueError, match="results must be folders that exist"):
        push([results / "nowhere"], "memory://x", dry_run=True)


def test_the_card_says_what_every_column_holds():
    text = card().decode()
    for columns in (INDEX, READING_ROWS, WITHDRAWN_ROWS):
        assert all(f"| `{name}` | {kind} | {meaning} |" in text for name, (kind, meaning) in columns.items())
    assert text.startswith("---\nlicense: apache-2.0\n")
