"""The notebooks of reports/notebooks run, and print what they hold."""

import nbformat
import pytest

from tools.notebooks import FOLDER, executed

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PICTURE = "image/png"
"""Drawn where Chromium is, when a notebook is written."""


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def forms(cell):
    """What kinds of output a cell has."""
    return {form for output in cell.outputs for form in output.get("data", {"text": ""})} - {PICTURE}


def text(cell):
    return "".join(output.get("text") or output.data.get("text/plain", "") for output in cell.outputs)


def test_there_are_three():
    assert len(NOTEBOOKS) == 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_prints_what_it_holds(path):
    """A cell that is tagged `measured` prints other numbers on each machine."""
    written, run = (code_cells(notebook) for notebook in (nbformat.read(path, as_version=4), executed(path)))
    assert [cell.execution_count for cell in written] == [*range(1, len(written) + 1)]
    for before, after in zip(written, run, strict=True):
        assert forms(before) == forms(after)
        if "measured" not in before.metadata.get("tags", []):
            assert text(before) == text(after)
