"""The READMEs' pictures are drawn where Chinese characters have a font, and nowhere else."""

import shutil

import pytest

from tests.browser.conftest import NAMES, QUIET
from tools.prose.sample import NO_FONT, check_chinese_font

pytestmark = pytest.mark.skipif(not any(map(shutil.which, NAMES)), reason="needs Chromium, which is not on PATH")
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{folder}</dir><cachedir>{folder}/cache</cachedir></fontconfig>"""


def test_two_chinese_characters_are_drawn_with_other_pixels(browser):
    check_chinese_font(browser)


def test_without_a_chinese_font_nothing_is_drawn(browser, tmp_path):
    settings = tmp_path / "fonts.conf"
    settings.write_text(FONTS.format(folder=tmp_path))
    type_, path = browser.browser_type, next(filter(None, map(shutil.which, NAMES)))
    poor = type_.launch(executable_path=path, args=QUIET, env={"FONTCONFIG_FILE": str(settings)})
    try:
        with pytest.raises(SystemExit, match="fonts-noto-cjk") as refusal:
            check_chinese_font(poor)
    finally:
        poor.close()
    assert str(refusal.value) == NO_FONT
