"""Runs the notebooks of reports/notebooks and writes what their cells printed into them: `.ci/tool notebooks [NAME]…`.

PYTHON must name the environment of `make test-notebooks`. Chromium draws the still picture beside each figure, since
GitHub does not draw Plotly's own.
"""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "reports" / "notebooks"
SECONDS_A_CELL = 600


def executed(path, *, renderer="plotly_mimetype"):
    """The notebook with the outputs of its cells, run in an empty folder. Raises CellExecutionError where a cell fails.

    `renderer`: Plotly's, by name, which says as what a figure is kept.
    """
    notebook = nbformat.read(path, as_version=4)
    os.environ["PATH"] = os.pathsep.join([str(ROOT / ".venv" / "bin"), os.environ["PATH"]])  # for the command `suite`
    os.environ |= {"PLOTLY_RENDERER": renderer, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=SECONDS_A_CELL,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        ).execute()
    notebook.metadata.pop("language_info", None)  # names the version of Python
    return notebook


def main():
    names = sys.argv[1:] or sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    for name in names:
        path = FOLDER / f"{name}.ipynb"
        nbformat.write(executed(path, renderer="plotly_mimetype+png"), path)
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
