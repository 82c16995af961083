"""`suite report`: read results, build what was asked for, write it in one step."""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path

from suite.configuration.files import locate, read_yaml
from suite.machine.environment import machine_id
from suite.records.stores.closed import MANIFEST
from suite.records.stores.files import write_named
from suite.records.stores.store import RECORD
from suite.report.answers.answers import build_answers, card_headlines, forests
from suite.report.blocks import Figure, Section, Table
from suite.report.decide.data import decide_data
from suite.report.model.results import KEPT, RESULTS, Results, read_results
from suite.report.model.run import LABEL
from suite.report.page.page import page
from suite.report.page.texts import Texts, foreign_sections, load_texts
from suite.report.page.written_tables import markdown, tables_csv
from suite.theory.devices.calibration_file import calibrated_by

DONE, BROKEN = 0, 4
DEFAULT_VIEW = "trust"  # of sections of other packages that name none


@contextmanager
def _garbage_collector_off() -> Iterator[None]:
    """Switch Python's garbage collector off: it took a tenth of a report's time, and there are no cycles to free."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_garbage_collector_off()
def report(
    results: Sequence[Path],
    labels: Sequence[str],
    *,
    format: str = "html",
    lang: str = "en",
    out: Path | None = None,
    calibration: Path | None = None,
    read: Results | None = None,
) -> tuple[Path, int]:
    """Write the report; gives its path and the exit code: 4 where a run's folder is damaged, else 0.

    `labels` name the results folders in their order; without any, each folder's own name does. Without `results`,
    `default_folders` are read. `calibration`: a file of `suite calibrate`. `read`: the results, where they are in
    memory already. Raises ValueError, in one sentence, for a format, language, folder, label or file that does not fit.
    """
    if format not in WRITERS:
        raise ValueError(f"format must be one of {', '.join(WRITERS)}; got {format!r}")
    default, write = WRITERS[format]
    path = out or Path("reports") / default
    if path.exists() and not path.is_file():
        raise ValueError(f"out must be a file, not a folder or a device; got {str(path)!r}")
    load_texts(lang)  # refuses a language that is not there before anything is read
    read = read or read_results(results or default_folders(), labels)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A foreign record may hold half a surrogate pair, which UTF-8 cannot write.
    with calibrated_by(calibration):
        write_named(path, (part.encode(errors="replace") for part in write(read, lang)))
    return path, BROKEN if read.damaged else DONE


def default_folders() -> list[Path]:
    """Each folder below results/ but the committed ones; results/ itself without any, or if runs lie directly in it."""
    folders = [path for path in sorted(RESULTS.glob("*")) if path.is_dir() and path.name not in KEPT]
    runs_lie_directly_here = (RESULTS / MANIFEST).exists() or any((folder / RECORD).exists() for folder in folders)
    return [RESULTS] if runs_lie_directly_here or not folders else folders


def build_views(results: Results, here: str = "") -> dict[str, list[Section]]:
    """Build the sections that have something to say, by the views of conf/report.yaml.

    Those of other packages come last, in the view that they name, or else in Trust. A section opens on its leading
    figures, then on the estimates that decide its claims, and then on the person's own runs; each view on the first
    section that shows any. `here`: as of `build_answers`.
    """
    views = {view: list(dotted) for view, dotted in read_yaml("report.yaml")["views"].items()}
    foreign = [point.value.replace(":", ".") for point in foreign_sections()]
    names = [*chain.from_iterable(views.values()), *foreign]
    built = {name: section for name in names if (section := locate(name)(results))}
    if results.references and results.own.records:
        built = {name: _own_blocks_first(section, locate(name), results) for name, section in built.items()}
    by_section = forests(results, here)
    for name, section in built.items():
        first, others = section.figures[: section.leading], section.figures[section.leading :]
        figures = [*first, *by_section.get(section.id, ()), *others]
        headlines = [*card_headlines(results, here, section.claim), *section.headlines]
        built[name] = replace(section, figures=figures, headlines=headlines)
    sections = {view: [built[name] for name in listed if name in built] for view, listed in views.items()}
    for section in (built[name] for name in foreign if name in built):
        sections[section.view if section.view in sections else DEFAULT_VIEW].append(section)
    return {
        view: in_view if view == DEFAULT_VIEW else _own_section_first(in_view, results)
        for view, in_view in sections.items()
    }


def _own_section_first(sections: Sequence[Section], results: Results) -> list[Section]:
    """Move the first section that shows a run of the person's own to the front; the others keep their order."""
    own_labels = results.own.labels if results.own.records else []
    for section in sections:
        if any(block.facets.get(LABEL) in own_labels for block in _figures_and_tables(section)):
            return [section, *(other for other in sections if other is not section)]
    return list(sections)


def _figures_and_tables(section: Section) -> list[Figure | Table]:
    return [*section.figures, *section.tables]


def _own_blocks_first(section: Section, build: Callable[[Results], Section | None], results: Results) -> Section:
    """Put the person's figures and tables before those of the reference records, and take headlines from them alone.

    For the headlines the section is built again, from the person's own results.
    """

    def is_reference(block: Figure | Table) -> bool:
        return block.facets.get(LABEL) in results.references

    if not any(map(is_reference, _figures_and_tables(section))):
        return section
    own_section = build(results.own)
    return replace(
        section,
        figures=sorted(section.figures, key=is_reference),
        tables=sorted(section.tables, key=is_reference),
        headlines=own_section.headlines if own_section else section.headlines,
    )


def render_sections(results: Results, texts: Texts) -> list[Section]:
    """Build all sections, those that hold only tables first, and render them in the language of `texts`."""
    tables = [section for name in read_yaml("report.yaml")["tables_only"] if (section := locate(name)(results))]
    return [
        texts.section(section)
        for section in (*tables, *chain.from_iterable(build_views(results, machine_id()).values()))
    ]


def whole_page(results: Results, *, here: str, lang: str = "en") -> str:
    """The page as one HTML text. `here`: the id of the machine whose records are called this machine's."""
    return page(
        build_views(results, here),
        results,
        answers=build_answers(results, here),
        decide=decide_data(),
        lang=lang,
    )


def _markdown(results: Results, lang: str) -> Iterable[str]:
    wanted = read_yaml("report.yaml")["markdown"]
    return [markdown([section for section in render_sections(results, load_texts(lang)) if section.id in wanted])]


# By format: the file's default name, and what gives its text in parts, from results and language.
WRITERS: dict[str, tuple[str, Callable[[Results, str], Iterable[str]]]] = {
    "html": ("index.html", lambda results, lang: [whole_page(results, here=machine_id(), lang=lang)]),
    "markdown": ("index.md", _markdown),
    "csv": ("index.csv", lambda results, lang: tables_csv(render_sections(results, load_texts(lang)))),
}
