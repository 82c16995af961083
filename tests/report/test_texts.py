"""Every sentence of the report stands in both languages, and none is left over."""

import ast
import re
import string
from pathlib import Path

import suite.report
from suite.configuration.files import languages
from suite.report.blocks import PUNCTUATION
from suite.report.page.texts import load_texts

CODE = Path(suite.report.__file__).parent
EN, ZH = load_texts("en").sentences, load_texts("zh").sentences
KEY = re.compile(r"[a-z_]+\.[\w.]*")


def placeholders(sentence):
    return sorted(name for _, name, _, _ in string.Formatter().parse(sentence) if name)


def in_the_code():
    """Return keys in the code, patterns of those put together as `rl.phase.{phase}`, and keys that are said."""
    found, patterns, said, suffixes = set(), [], set(), set()
    for path in CODE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and KEY.fullmatch(node.value):
                found.add(node.value)
            elif isinstance(node, ast.JoinedStr) and KEY.match(str(getattr(node.values[0], "value", ""))):
                patterns.append(
                    "".join(re.escape(p.value) if isinstance(p, ast.Constant) else ".+" for p in node.values)
                )
            elif isinstance(node, ast.JoinedStr) and len(node.values) == 2 and isinstance(node.values[1], ast.Constant):
                suffixes.add(node.values[1].value)  # a key that is given, and what belongs to it: `{key}_note`
            elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name, key = getattr(node.func, "id", ""), node.args[0].value
                said |= {key} if name in ("say", "column") else set()
                said |= {f"{key}.title"} if name == "section" else set()
                found |= {f"{key}.title", f"{key}.explanation"} if name == "section" else set()
    page = (CODE / "page" / "page.html").read_text(encoding="utf-8")
    scripts = "".join(path.read_text(encoding="utf-8") for path in (CODE / "page" / "scripts").glob("*.js"))
    said |= set(re.findall(r"texts\('([a-z_.]*[a-z_])'", page)) | {f"punctuation.{name}" for name in PUNCTUATION}
    found |= set(re.findall(r"\"([a-z_]+\.[a-z_.]+)\"", scripts))
    parts = [re.split(r"\$\{[^}]*\}", key) for key in re.findall(r"`([a-z_]+\.[a-z_.]*\$\{[^`]*)`", scripts)]
    patterns += [".+".join(map(re.escape, of_key)) for of_key in parts]
    found |= said | {key for key in EN if key.startswith("decide.")}  # of a script: tests/report/decide/test_data.py
    found |= {key + suffix for key in found for suffix in suffixes}
    return found, [re.compile(pattern) for pattern in patterns], said


def test_both_languages_have_the_same_keys_and_placeholders():
    assert languages("report") == ("en", "zh")
    assert list(EN) == list(ZH)
    assert {key: placeholders(text) for key, text in EN.items()} == {
        key: placeholders(text) for key, text in ZH.items()
    }


def test_no_sentence_is_left_over():
    found, patterns, _ = in_the_code()
    left = [key for key in EN if key not in found and not any(pattern.fullmatch(key) for pattern in patterns)]
    assert left == []


def test_every_sentence_that_the_code_says_is_there():
    _, _, said = in_the_code()
    assert sorted(said - set(EN)) == []
