"""Every view, claim and table of three pages in both languages, and some runs: nothing that a reader would take for a
fault. The pages: the sample in reports/, that of a small folder of one's own beside reference records, and that of
another package's variants with a section of theirs.
"""

import json
import re
from importlib.metadata import EntryPoint

import pytest

from suite.machine.environment import machine_id
from suite.report.blocks import Answers, Card, Lead, Ruling
from suite.report.command import build_views, whole_page
from suite.report.model.results import read_results
from suite.report.page.page import page as whole
from suite.report.page.texts import LANGUAGES, SECTIONS
from tests.browser.conftest import PHONE, ordinary_records
from tests.browser.looking import go, sections, wait_until
from tests.records.factory import build, store
from tests.report.reading import blocks_of
from tests.report.rl.runs import arms
from tools.prose.readers import REFERENCE, ROOT, sample_results

FAULTY = re.compile(r"\[object|\bundefined\b|\bNaN\b|\bInfinity\b")
OPEN_ALL = "document.querySelectorAll('#main details').forEach((details) => (details.open = true))"
ALL_OPEN = "!document.querySelector('#main details.table:not(:has(table))')"
FAULTS = r"""() => {
  const found = [];
  const empty = (element) => !element?.textContent.trim();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { parentElement: holder, data } = walker.currentNode;
    if (holder.closest("script, style, pre, footer")) continue;
    if (/\[object|\bundefined\b|\bNaN\b|\bInfinity\b/.test(data)) found.push(`faulty: ${data}`);
    if (!holder.closest("code, .case, .code") && /(^|[\s(])-\d/.test(data)) found.push(`a hyphen for a minus: ${data}`);
    if (/[\p{L}\d],? …/u.test(data) && holder.closest("p, li, h1, h2, h3")) found.push(`cut: ${data}`);
  }
  for (const card of document.querySelectorAll(".card"))
    if (["h2", ".verdict", ".number strong", ".about"].some((part) => empty(card.querySelector(part))))
      found.push(`an empty card: ${card.textContent}`);
  for (const claim of document.querySelectorAll(".claim")) {
    if (empty(claim.querySelector(".evidence"))) found.push(`an empty claim: ${claim.id}`);
    for (const part of claim.querySelectorAll(".part"))
      if ([...part.children].slice(1).every(empty)) found.push(`an empty part: ${claim.id}`);
  }
  for (const code of document.querySelectorAll(".command code"))
    if (!code.textContent.startsWith("suite run ")) found.push(`no command: ${code.textContent}`);
  for (const part of document.querySelectorAll("#main h1, #main h3, #main th, #main summary"))
    if (empty(part)) found.push(`an empty ${part.tagName} in ${part.parentElement.textContent.slice(0, 80)}`);
  for (const body of document.querySelectorAll("#main tbody"))
    if (!body.children.length && !body.closest(".table").querySelector("output").textContent)
      found.push("a table without a row");
  for (const cell of document.querySelectorAll("#main td.number"))
    if (/^[+−-]?\d{5,}(\.\d+)?$|\d{7,}/.test(cell.textContent)) found.push(`a raw value: ${cell.textContent}`);
  return found;
}"""


CUT_LEGENDS = """() => [...document.querySelectorAll(".plot")].flatMap((plot) =>
  [...plot.querySelectorAll(".legendtext")]
    .filter((text) => text.getBoundingClientRect().right > plot.getBoundingClientRect().right)
    .map((text) => text.textContent))"""


def sample(_folder):
    return sample_results(), ""


def demo(folder):
    """A few cases of this machine, as a demo leaves them, beside reference records."""
    here = {"environment": {"machine_id": machine_id(), "cpu": "This processor"}}
    store(folder / "mine", *(build(attention=name, **here) for name in ("mha", "gqa", "mla")))
    return read_results([folder / "mine", REFERENCE / "cpu_rl_feedback"], ["mine", "reference"]), machine_id()


def foreign(folder):
    """Two variants that no YAML of ours has, beside one of ours, and a little training."""
    cases = [build(attention=name, seq_len=size) for name in ("normed", "tied", "gqa") for size in (64, 512)]
    store(folder / "runs", *cases, *arms({"grpo": [0.5, 0.6], "sideways": [0.4, 0.3]}))
    return read_results([folder / "runs"], []), ""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Return the page of a name, written once."""
    written = {}

    def page(make):
        if make.__name__ not in written:
            folder = tmp_path_factory.mktemp(make.__name__)
            written[make.__name__] = folder / "page.html"
            with pytest.MonkeyPatch.context() as patch:
                if make is foreign:
                    patch.syspath_prepend(ROOT / "tests" / "foreign_variant")
                    theirs = [EntryPoint(name="tied_page", value="tied_page:build", group=SECTIONS)]
                    for module in ("command", "page.texts"):
                        patch.setattr(f"suite.report.{module}.foreign_sections", lambda: theirs)
                results, here = make(folder)
                written[make.__name__].write_text(whole_page(results, here=here), encoding="utf-8")
        return written[make.__name__]

    return page


@pytest.mark.parametrize("make", [sample, demo, foreign])
def test_no_view_claim_table_or_run_shows_a_fault(open_page, pages, make):
    path = pages(make)
    content = blocks_of(path.read_text(encoding="utf-8"))
    # What figures say where a pointer hovers stands in no element.
    whole_text = json.dumps([part for name, part in content.items() if name.partition("/")[0] in LANGUAGES])
    assert FAULTY.findall(whole_text) == []
    lines, page, faults = content["runs"], open_page(path), {}
    distinct = {(line["case"].split(" ")[0], line["status"]): line["key"] for line in lines}
    runs = [("trust", f"run/{key}") for key in distinct.values()]
    for lang in LANGUAGES:
        for view, name in [("answers", ""), ("decide", ""), ("trust", "runs"), *sections(page), *runs]:
            address = f"{view}/{name}?lang={lang}"
            go(page, address)
            page.evaluate(OPEN_ALL)
            wait_until(page, ALL_OPEN)
            if found := page.evaluate(FAULTS):
                faults[address] = found[:5]
    assert faults == {}


def test_why_leads_to_the_number_of_each_card(open_page, pages):
    page = open_page(pages(sample))
    cards = blocks_of(pages(sample).read_text(encoding="utf-8"))["en/answers"]["cards"]
    rulings = [card["ruling"] for card in cards if card["ruling"]["outcome"] != "unmeasured"]
    assert page.locator(".card").count() == len(rulings) > 0
    for place, ruling in enumerate(rulings):
        go(page, "answers")
        page.locator(".card").nth(place).locator(".why a").first.click()
        page.locator(f"#section-{ruling['section']}").wait_for()
        lead = {name: text.replace("-", "−") for name, text in ruling["lead"].items() if isinstance(text, str)}
        assert all(lead[name] in page.locator(".reason").inner_text() for name in ("written", "interval", "count"))
        for name, value in ruling["lead"]["link"].items():
            assert page.locator(f".choices select[name='{name}']").input_value() == value


MARKS = """(svg) => {
  const at = (mark, name) => Number(svg.querySelector(mark)?.getAttribute(name) ?? NaN);
  return [at(".neutral", "x1"), at(".interval", "x1"), at(".interval", "x2"), at(".value", "cx")];
}"""


def test_a_lead_is_drawn_on_its_side_of_neither_way(open_page, tmp_path):
    """As far off as it says: times by their logarithm, so that twice and half are as far from one."""
    marks = [
        (Lead(about="a", written="b", value=2.0, ends=(1.5, 4.0), neutral=1.0), (1, 0.585, 2)),
        (Lead(about="a", written="b", value=0.5, ends=(0.25, 1.5), neutral=1.0), (-1, -2, 0.585)),
        (Lead(about="a", written="b", value=-3.0, ends=(-5.0, 1.0), neutral=0.0), (-3, -5, 1)),
    ]
    sure = {"claim": "A claim.", "outcome": "supported", "word": "yes", "section": "latency"}
    rulings = [Ruling(id=f"r{place}", lead=lead, **sure) for place, (lead, _) in enumerate(marks)]
    answers = Answers(cards=[Card(question="Q?", answer="A.", ruling=one) for one in rulings], rulings=rulings)
    store(tmp_path / "runs", *ordinary_records(1))
    results = read_results([tmp_path / "runs"])
    path = tmp_path / "page.html"
    path.write_text(whole(build_views(results), results, answers=answers), encoding="utf-8")
    pictures = open_page(path).locator(".card svg.lead")
    assert pictures.count() == len(marks)
    for place, (_, offsets) in enumerate(marks):
        middle, low, high, value = pictures.nth(place).evaluate(MARKS)
        unit = (middle - 8) / 1.15 / max(map(abs, offsets))
        assert middle == 120
        expected = [middle + unit * offset for offset in offsets]
        assert [value, low, high] == pytest.approx(expected, rel=1e-3)


def test_no_legend_is_cut_on_a_phone(open_page, pages):
    page = open_page(pages(sample), width=PHONE)
    for address in ("quality/compress", "quality/quality", "rl/rl_efficiency"):
        go(page, address)
        wait_until(page, "!document.querySelector('.plot:not(:has(.main-svg))')")
        assert page.locator(".legendtext").count(), address
        assert page.evaluate(CUT_LEGENDS) == [], address
