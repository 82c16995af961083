"""`suite report`: read results, build what was asked for, write it in one step."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from suite.configuration.files import locate, read_yaml
from suite.records.pack import PACK
from suite.records.store import RECORD, write_named
from suite.report.blocks import Section
from suite.report.model.results import Results, read_results
from suite.report.page.csv import readings_csv, tables_csv
from suite.report.page.markdown import markdown
from suite.report.page.page import page
from suite.report.page.texts import Texts, foreign_sections, load_texts

DONE, BROKEN = 0, 4
RESULTS = Path("results")
KEPT = ("baseline", "reference")
"""Folders of records that were committed, from other machines: shown when they are asked for."""


def report(
    results: Sequence[Path], labels: Sequence[str], *, format: str = "html", lang: str = "en", out: Path | None = None
) -> tuple[Path | None, int]:
    """Write the report and return where it went and the exit code: 4 where a run's folder is damaged, else 0.

    `labels` name the results folders in their order; without any, each folder's own name does.
    Raises ValueError, in one sentence, for a format, language, folder or label that does not fit.
    """
    if format not in WRITERS:
        raise ValueError(f"format must be one of {', '.join(WRITERS)}; got {format!r}")
    default, write = WRITERS[format]
    path = out or Path("reports") / default
    if path.exists() and not path.is_file():
        raise ValueError(f"out must be a file, not a folder or a device; got {str(path)!r}")
    texts = load_texts(lang)
    read = read_results(results, labels)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A foreign record may hold half a surrogate pair, which UTF-8 cannot write.
    write_named(path, (part.encode(errors="replace") for part in write(read, texts)))
    return path, BROKEN if read.damaged else DONE


def default_folders() -> list[Path]:
    """Return what is shown when no folder is named: each folder below results/ but the kept ones."""
    folders = [path for path in sorted(RESULTS.glob("*")) if path.is_dir() and path.name not in KEPT]
    runs_lie_directly_here = (RESULTS / PACK).exists() or any((folder / RECORD).exists() for folder in folders)
    return [RESULTS] if runs_lie_directly_here or not folders else folders


def build_sections(results: Results) -> list[Section]:
    """Build the sections that have something to say: those of conf/report.yaml, then those of other packages."""
    dotted = [*read_yaml("report.yaml")["sections"], *(point.value.replace(":", ".") for point in foreign_sections())]
    return [section for name in dotted if (section := locate(name)(results))]


def render_sections(results: Results, texts: Texts) -> list[Section]:
    """Build the sections and render them in a language."""
    return [texts.section(section) for section in build_sections(results)]


def _markdown(results: Results, texts: Texts) -> Iterable[str]:
    wanted = read_yaml("report.yaml")["markdown"]
    return [markdown([section for section in render_sections(results, texts) if section.id in wanted])]


WRITERS: dict[str, tuple[str, Callable[[Results, Texts], Iterable[str]]]] = {
    "html": ("index.html", lambda results, texts: [page(render_sections(results, texts), results, texts)]),
    "markdown": ("index.md", _markdown),
    "csv": ("index.csv", lambda results, texts: tables_csv(render_sections(results, texts))),
    "readings": ("readings.csv", lambda results, _: readings_csv(results)),
}
