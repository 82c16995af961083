"""Variants of another package, one as a README shows it, are installed, measured and reported as if they were ours."""

import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from suite.records.record import Status
from suite.records.stores.store import read_contents
from suite.report.model.labels import variant_label
from tests import forked
from tests.forked import needs_forks
from tests.report.reading import blocks_of, whole_text

ROOT = Path(__file__).parents[1]
README = (ROOT / "suite/attention/README.md").read_text(encoding="utf-8")
SECTION = README.partition("## Your own variant")[2].partition("\n## ")[0]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


def commands():
    return [shlex.split(line.removeprefix("$ ")) for block in blocks("console") for line in block.splitlines()]


def ended(command, **settings):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def readmes_variant():
    """The files that the README of suite/attention tells to write, by name."""
    written = [*blocks("python"), *blocks("yaml")]
    return {block.splitlines()[0].removeprefix("# "): block for block in written}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder for PYTHONPATH into which README's variant and the tied one were installed."""
    if not list(distributions(name="pip")):  # after an import of it setuptools leaves distutils to the standard library
        pytest.skip("needs pip, to install the package")
    pytest.importorskip("hatchling", reason="needs hatchling, to build the package")
    folder = tmp_path_factory.mktemp("foreign")
    source, target = folder / "source", folder / "target"
    shutil.copytree(ROOT / "tests" / "foreign_variant", source)
    for name, block in readmes_variant().items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block, encoding="utf-8")
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    ended([sys.executable, "-m", "pip", "install", *options, "--target", target, source])
    return target


@needs_forks
def test_foreign_variants_are_checked_measured_and_reported(installed, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    (_, *run), (_, *report) = commands()
    run = [part.replace("gqa,normed", "gqa,normed,tied").replace("//normed", "//normed,pkg://tied") for part in run]
    said = tmp_path / "said"
    for command in ([*run, "geometry=tiny", "measure=smoke"], report):
        assert forked.ended(said, *command, path=[installed]) == 0, said.read_text()

    records = {stored.record.case.axes["attention"]: stored.record for stored in read_contents([elsewhere]).stored}
    assert {name: record.status for name, record in records.items()} == dict.fromkeys(
        ("gqa", "normed", "tied"), Status.OK
    )
    values = {name: read(record) for name, record in records.items()}
    for name in ("normed", "tied"):
        assert values[name]["kernel", "relative_error"] <= values[name]["kernel", "allowed_error"]
        assert values[name]["case", "cache_bytes_counted"] == values[name]["case", "cache_bytes"]
        assert variant_label(name) in whole_text((elsewhere / "reports/index.html").read_text(encoding="utf-8"))
    assert values["tied"]["case", "cache_bytes"] == values["gqa"]["case", "cache_bytes"] / 2
    page = (elsewhere / "reports/index.html").read_text(encoding="utf-8")
    (ranking,) = blocks_of(page)["en/answers"]["own"]
    ranked = sorted(row[0] for row in ranking["table"]["rows"])
    expected = map(variant_label, ("gqa", "normed", "tied"))
    assert all(name.startswith(label) for name, label in zip(ranked, expected, strict=True))
    page = whole_text(page)
    assert "Kept by tied variants" in page  # the other package's own section, in its own words


def read(record):
    return {(reading.span, reading.metric): reading.value for reading in record.readings}
