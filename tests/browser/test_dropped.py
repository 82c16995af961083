"""What is dropped on the page, however damaged, ends in a sentence, and what is dropped later is still drawn."""

import base64
import random
import shutil

import pyarrow.parquet as pq
import pytest

from suite.records.stores.store import RECORD, SAMPLES
from tests.records.factory import build, store
from tools.hostile.mutations import by_chance, rewritten

SEED, MANY = 12, 200
LARGEST_BYTES = 1 << 20
JOINED = "Runs added to this page: 1."
SENTENCES = (
    *(
        JOINED,
        "record.json: record.json is not a record of this suite",
        "record.json: samples.parquet cannot be read (",
    ),
    "This folder has no record.json.",
)
DROP = """async (runs) => {
  const main = document.querySelector("#main");
  const until = async (isSo) => {
    const begun = performance.now();
    while (!isSo() && performance.now() - begun < 8000) await new Promise((done) => setTimeout(done, 0));
  };
  const ends = [];
  for (const files of runs) {
    document.querySelector(".told")?.remove();
    const dropped = new DataTransfer();
    for (const [name, content] of Object.entries(files))
      dropped.items.add(new File([Uint8Array.from(atob(content), (sign) => sign.charCodeAt(0))], name));
    window.dispatchEvent(new DragEvent("drop", { dataTransfer: dropped }));
    await until(() => document.querySelector(".told"));
    let end = document.querySelector(".told")?.textContent ?? "nothing was said";
    if (end.startsWith("Runs added")) {
      main.replaceChildren();
      location.hash = `#/trust/run/${JSON.parse(atob(files["record.json"])).run_key.slice(0, 12)}`;
      await until(() => main.querySelector(".run .record"));
      if (!main.querySelector(".run .record")) end = `its view is not drawn: ${main.textContent}`;
    }
    ends.push(end);
  }
  return ends;
}"""


@pytest.fixture
def run(tmp_path):
    """The folder of a run that has three timings of each span."""
    store(tmp_path / "whole", build(seq_len=512, latencies_s=(3e-3, 4e-3, 5e-3)))
    (folder,) = (path.parent for path in (tmp_path / "whole").rglob(RECORD))
    return folder


def drop(page, folders):
    """Drop one folder after another, and return what the page then says. Of one that joins, its own view is drawn."""
    return page.evaluate(DROP, [as_dropped(folder) for folder in folders])


def as_dropped(folder):
    """The run's files by name, without devices and the like, which no browser takes either."""
    paths = [folder / name for name in (RECORD, SAMPLES) if not (folder / name).is_symlink()]
    files = [path for path in paths if path.is_file() and path.stat().st_size < LARGEST_BYTES]
    return {path.name: base64.b64encode(path.read_bytes()).decode() for path in files}


def damaged(run, folder, chance):
    shutil.copytree(run, folder)
    by_chance(chance)(folder)
    return folder


def test_every_damaged_run_ends_in_a_sentence(open_page, ordinary, run, tmp_path):
    """Unhandled errors are complaints of the page (conftest.py)."""
    page, chance = open_page(ordinary, address="#/trust/runs"), random.Random(SEED)
    ends = drop(page, [damaged(run, tmp_path / str(place), chance) for place in range(MANY)])
    assert [end for end in ends if not end.startswith(SENTENCES)] == []
    assert {sentence for sentence in SENTENCES[:3] for end in ends if end.startswith(sentence)} == set(SENTENCES[:3])


def test_a_table_in_several_groups_of_rows_is_read_whole(open_page, ordinary, run, tmp_path):
    table = pq.read_table(run / SAMPLES)
    pq.write_table(table, tmp_path / "groups", row_group_size=5)
    rewritten(run, **{SAMPLES: (tmp_path / "groups").read_bytes()})
    page = open_page(ordinary, address="#/trust/runs")
    (end,) = drop(page, [run])
    assert end.startswith(JOINED)
    assert "n = 3" in page.locator(".readings").first.inner_text()
