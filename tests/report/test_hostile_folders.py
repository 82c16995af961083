"""Two hundred damaged or hostile run folders: each is named, none is fatal, and nothing in them runs anywhere."""

import csv
import io
import json
import sys

import pytest

from suite.commands.results import list_runs, merge, show, verify
from suite.records.stores.store import read_contents
from suite.report.command import report
from suite.report.page.written_tables import RUNS_IN_A_SPREADSHEET
from tests.records.factory import build, store
from tests.report import hostile_folders
from tests.report.reading import whole_text
from tests.report.test_hostile import check_harmless

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The folder of two hundred, with one good run among them; which of them can be read."""
    root = tmp_path_factory.mktemp("hostile") / "results"
    readable = hostile_folders.make(root)
    store(root, build(attention="gqa"))
    return root, readable


def test_each_is_read_or_named_as_damaged_with_a_reason(results):
    root, readable = results
    contents = read_contents([root])
    damaged = {damage.folder.name: damage.reason for damage in contents.damaged}
    assert len(readable) == hostile_folders.COUNT
    assert set(damaged) == {name for name, can_be in readable.items() if not can_be}
    assert all(damaged.values())
    assert len(contents.stored) == sum(readable.values()) + 1


def test_the_page_names_each_and_holds_no_element_of_theirs(results, tmp_path):
    root, readable = results
    path, code = report([root], [], out=tmp_path / "page.html")
    page = path.read_text(encoding="utf-8")
    assert code == 4
    named = whole_text(page)
    assert all(f'"{name}"' in named for name, can_be in readable.items() if not can_be)
    check_harmless(page)


def test_the_csv_holds_no_cell_that_a_spreadsheet_would_run(results, tmp_path):
    path, code = report([results[0]], [], format="csv", out=tmp_path / "readings.csv")
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
    assert code == 4
    assert len(rows) > hostile_folders.COUNT
    for cell in {cell for row in rows for cell in row if cell.startswith(RUNS_IN_A_SPREADSHEET)}:
        float(cell)  # a negative number, which runs nothing


def test_each_can_be_shown_alone_or_is_said_to_be_damaged(results, capsys):
    root, readable = results
    assert {name: show(str(root / name), [root]) for name in readable} == {
        name: 0 if can_be else 4 for name, can_be in readable.items()
    }
    said = capsys.readouterr()
    assert said.err.count("the run is damaged: ") == sum(not can_be for can_be in readable.values())
    assert not {"\x1b", "\u202e"} & set(said.out)


def test_the_other_commands_name_each_too_and_copy_none(results, tmp_path, capsys):
    root, readable = results
    damaged = {name for name, can_be in readable.items() if not can_be}
    assert list_runs([root], status=None, as_json=True) == 4
    listed = json.loads(capsys.readouterr().out)
    assert len(listed) == len(readable) + 1
    assert verify([root]) == 4
    said = capsys.readouterr().out
    assert all(f"/{name}: " in said for name in damaged)
    assert "\x1b" not in said
    assert merge([root], tmp_path / "all") == 4
    assert not read_contents([tmp_path / "all"]).damaged
