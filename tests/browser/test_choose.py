"""The page's chooser beside Python's: the same questions, the same answers and refusals."""

import json
import math
from pathlib import Path

import pytest
import yaml

import suite.report.page
from suite.configuration.files import read_choice, read_text
from suite.report.decide.data import decide_data
from suite.theory.devices.calibration_file import calibrated_by
from tests.browser.questions import order_of, rl_answer, rl_questions, serving_answer, serving_questions

SCRIPTS = Path(suite.report.page.__file__).parent / "scripts"
ASK = """([data, words, serving, orders, rl]) => {
  const said = (answer) => {
    const told = (why) => why && sayWhy(words, why);
    return { ...answer, why: told(answer.why), expected_why: told(answer.expected_why) };
  };
  const refused = (found) => ({ refusal: sayWhy(words, found.refusal) });
  const chosen = serving.map((question, at) => {
    const found = chooseAnswers(data, question, orders[at]);
    if (found.refusal) return refused(found);
    return { by: found.by, watts: found.watts, answers: found.answers.map(said), layouts: found.layouts.map(said) };
  });
  const fits = rl.map((question) => {
    const found = fitAnswers(data, question);
    return found.refusal ? refused(found) : { answers: found.answers };
  });
  return { chosen, fits };
}"""


def page_answers(browser, serving, rl):
    page = browser.new_page()
    for name in ("served", "choose", "fit", "reasons"):
        page.add_script_tag(content=(SCRIPTS / f"{name}.js").read_text(encoding="utf-8"))
    orders = [order_of(at) for at in range(len(serving))]
    words = {key: text for key, text in read_text("report", "en").items() if key.startswith("decide.")}
    asked = [decide_data(), words, serving, orders, rl]
    answers = page.evaluate(ASK, json.loads(json.dumps(asked)))
    page.close()
    return answers


@pytest.fixture(scope="module")
def of_page(browser):
    return page_answers(browser, serving_questions(), rl_questions())


def apart(ours, theirs, where=""):
    """Places at which two answers differ; numbers may by a billionth."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = sorted(ours.keys() | theirs.keys())
        return [place for key in keys for place in apart(ours.get(key), theirs.get(key), f"{where}.{key}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs, strict=True))
        return [place for at, both in pairs for place in apart(*both, f"{where}[{at}]")]
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (ours, theirs))
    is_same = math.isclose(ours, theirs, rel_tol=1e-9) if numbers else ours == theirs
    return [] if is_same else [f"{where}: {ours!r} and {theirs!r}"]


def differences(questions, answers, answer):
    return {
        str(asked): found for asked, theirs in zip(questions, answers, strict=True) if (found := answer(asked, theirs))
    }


def test_the_page_chooses_as_python_does(of_page):
    orders = iter(map(order_of, range(len(of_page["chosen"]))))
    asked = serving_questions()
    answers = [serving_answer(question, next(orders)) for question in asked]
    assert differences(asked, zip(answers, of_page["chosen"], strict=True), lambda _, both: apart(*both)) == {}
    every = [answer for found in answers for answer in found.get("answers", ())]
    assert {answer["variant"] for answer in every} == {"own", "mha", "gqa", "mqa", "mla"}
    assert {found.get("by") for found in answers} == {"expected", "bound", None}
    assert sum(answer["expected_s"] is not None for answer in every) > 20
    assert len({answer["expected_why"] for answer in every}) > 7


def test_both_stop_where_arithmetic_may_limit_an_unfitted_kernel(browser, tmp_path):
    """As for a calibration that says nothing of prompts: the more new tokens, the more arithmetic beside the cache."""
    content = read_choice("calibration", "h100-sxm5-80gb")
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({**content, "prefill": []}))
    plain = {"model": "llama-3.1-70b", "gpus": "4xh100", "context": 32_768}
    questions = [{**plain, "new_tokens": count} for count in range(1, 21)]
    with calibrated_by(tmp_path / "own.yaml"):
        answers = [serving_answer(question, order_of(at)) for at, question in enumerate(questions)]
        on_page = page_answers(browser, questions, [])["chosen"]
    assert [apart(*both) for both in zip(answers, on_page, strict=True)] == [[]] * len(questions)
    whys = {answer["expected_why"] for found in answers for answer in found["answers"]}
    assert any("does not say how fast this kernel computes" in (why or "") for why in whys)


def test_the_page_fits_rl_as_python_does(of_page):
    asked = rl_questions()
    answers = [rl_answer(question) for question in asked]
    assert differences(asked, zip(answers, of_page["fits"], strict=True), lambda _, both: apart(*both)) == {}
    fitting = [answer["fits"] for found in answers for answer in found.get("answers", ())]
    assert 50 < sum(fitting) < len(fitting) - 50
