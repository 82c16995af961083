"""Beside reference records a page opens on one's own: their ranking first, and their figure in every section."""

import pytest

from suite.report.command import report
from tests.browser.looking import chosen, figure_of
from tests.records.factory import build, store


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """One's own runs of one context, in another type than the reference records, which have three contexts."""
    folder = tmp_path_factory.mktemp("beside") / "results"
    store(folder / "mine", *(build(attention=name, dtype="float32") for name in ("gqa", "mla", "my_own")))
    store(
        folder / "reference/cpu",
        *(build(attention=name, seq_len=size) for size in (64, 512, 4096) for name in ("gqa", "mla", "mha")),
    )
    folders = [folder / "mine", folder / "reference/cpu"]
    path, _ = report(folders, ["mine", "reference CPU"], out=folder / "page.html")
    return path


def test_the_first_view_ranks_ones_own_runs(open_page, beside):
    page = open_page(beside)
    assert page.locator(".own > details").count() == 1
    names = page.locator(".own tbody tr td:first-child").all_inner_texts()
    assert sorted(names) == ["GQA", "MLA", "MY (own)"]
    page.locator(".own summary", has_text="Command that measures it again").click()
    assert "suite run -m" in page.locator(".own .command code").inner_text()


def test_a_section_opens_on_ones_own_runs(open_page, beside):
    page = open_page(beside)
    figure_of(page, "latency")
    assert chosen(page, "label") == "mine"
    assert chosen(page, "dtype") == "float32"
