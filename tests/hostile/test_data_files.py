"""A short sample of the hostile files that `.ci/tool hostile data_files` tries without end."""

import datetime
import random
import shutil
import sys
from dataclasses import replace
from itertools import islice

import pytest

from suite.gate.rules.acceptances import CorruptAcceptancesError, read_acceptances
from suite.gate.rules.tolerances import Tolerances, read_noise
from suite.theory.devices.calibration_file import load_calibration, read_calibration
from tools.hostile.attempt import tried
from tools.hostile.data_files import CALIBRATIONS, FILES, LAUGHS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pipes, devices and forks as Linux has them")
READERS = {
    "calibrations": read_calibration,
    "acceptances": lambda path: read_acceptances(path, datetime.date(2026, 3, 1)),
    "noise": read_noise,
    "tolerances": lambda path: Tolerances.load(path=path),
}


def refusal(read, path):
    """What a reader says against a file; nothing where it takes it."""
    try:
        read(path)
    except (ValueError, CorruptAcceptancesError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", READERS)
def test_hostile_files_are_read_or_refused_in_a_sentence(tmp_path, kind):
    """Each of the 57 kinds of calibration, and as many of the others."""
    path, sentences = tmp_path / "here" / FILES[kind].path, []
    for attempt in islice(FILES[kind].catalogue(random.Random(0)), CALIBRATIONS):
        (tmp_path / "here").mkdir()
        attempt.prepare(tmp_path / "here")
        sentences.append(refusal(READERS[kind], path))
        shutil.rmtree(tmp_path / "here")
        assert len(sentences[-1]) < 2_000, attempt.what  # one names all metrics that it may be
        assert sentences[-1].isprintable(), attempt.what
    assert sum(map(bool, sentences)) > CALIBRATIONS * 0.6


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_command_says_what_is_wrong_with_a_file(kind):
    text = b"[" + b"[]," * 300_000 + b"1]" if FILES[kind].is_json else LAUGHS
    attempt = FILES[kind].attempt("many from few bytes", FILES[kind].write(text))
    ended = tried(replace(attempt, codes=(2, 4), most_cpu_s=None))
    assert ended.faults == []
    assert ended.output.strip()


def test_a_wrong_value_does_not_become_a_time(tmp_path):
    """What 5e-324 or 1e5 in place of a share or an error gave: infinity, long after it was read."""
    kind, path = FILES["calibrations"], tmp_path / "hostile.yaml"
    for place, value in kind.values:
        kind.with_value([int(part) if part.isdigit() else part for part in place.split(".")], value)(path)
        with pytest.raises(ValueError, match="calibration must be a file of suite calibrate"):
            read_calibration(path)
    assert load_calibration("h100-sxm5-80gb") is not None
