"""The page is self-contained, shows markup in texts as text, and says how the run ended."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from grpc_client import Explanation, WordContribution
from qtr_runtime.html.charts import ceiling, compact
from qtr_runtime.terminal import escape_control
from spark_jobs.report.page import page
from tests.qtr_runtime.test_html import Seen
from tests.spark_jobs.report.examples import HOSTILE, report, without_extras

PAGES = {
    "first run": report(first_run=True),
    "warned": report(),
    "held": report(failed=2000),
    "anyway": report(failed=2000, publish_anyway=True),
    "bare": without_extras(report()),
    "bare first": without_extras(report(first_run=True)),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_asks_for_nothing_and_runs_nothing(name: str) -> None:
    text = page(PAGES[name])
    seen = Seen(text)
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(seen.tags)
    assert not [key for key, _ in seen.attributes if key.startswith("on") or key in ("src", "href", "srcset", "action")]
    assert "url(" not in text
    assert "@import" not in text
    assert ("http-equiv", "Content-Security-Policy") in seen.attributes
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in seen.attributes


@pytest.mark.parametrize("name", PAGES)
def test_elements_are_closed_in_order_and_headings_are_named_once(name: str) -> None:
    body = page(PAGES[name]).partition("</head>")[2].removesuffix("</html>\n")
    opened: list[str] = []
    for closing, element in re.findall(r"<(/?)([a-z0-9]+)", body):
        if not closing:
            opened.append(element)
        else:
            assert opened.pop() == element
    assert opened == []
    identifiers = [value for key, value in Seen(body).attributes if key == "id"]
    assert len(identifiers) == len(set(identifiers))
    assert set(identifiers) == {value for key, value in Seen(body).attributes if key == "aria-labelledby"}


def test_hostile_texts_are_shown_and_not_obeyed() -> None:
    text = page(report())
    assert escape_control(HOSTILE) in Seen(text).text
    assert "<script" not in text
    assert "\u202e" not in text
    assert "\x1b" not in text


def test_the_words_of_explained_samples_are_coloured_and_escaped() -> None:
    whole = report()
    hostile, plain = whole.assessment.samples["irrelevant"][0], whole.assessment.samples["relevant"][0]
    explanation = Explanation(
        query=(WordContribution(HOSTILE, -1.5, 0.0),),
        title=(WordContribution("lamp", 0.5, 0.02),),
        unread_query_words=0,
        unread_title_words=7,
        score=0.1,
        label="irrelevant",
        logit=-2.2,
        baseline_logit=-1.2,
        exact=False,
        pairs=100,
        model=whole.assessment.info.ref,
    )
    text = page(replace(whole, assessment=replace(whole.assessment, explanations={hostile: explanation})))
    assert "<script" not in text
    assert 'class="against" style="--strength:70%" title="\u22121.50"' in text
    assert 'title="+0.50 ± 0.02"' in text
    assert "… 7 more that the model does not read" in Seen(text).text
    assert str(plain.title) in Seen(text).text


@pytest.mark.parametrize(
    ("name", "tone", "verdict"),
    [
        ("first run", "good", "Published"),
        ("held", "bad", "A quality gate failed: held back"),
        ("anyway", "bad", "Published although a quality gate failed"),
    ],
)
def test_the_verdict_is_at_the_top(name: str, tone: str, verdict: str) -> None:
    seen = Seen(page(PAGES[name]))
    assert ("class", tone) in seen.attributes
    assert verdict in seen.text.split("Rows in")[0]
    assert ("Nothing was published" in seen.text) == (name == "held")


def test_the_result_of_the_run_is_on_the_page() -> None:
    text = Seen(page(report(failed=2000))).text
    for words in (
        "Sunday, 1 November 2026",
        "failed_rows is 16.7%, expected at most 1%",
        "threshold 0.62",
        "against 2026-10-31, which model student 0.9.0 labelled",
        "strong",
        "query is null",
        "100 rows · INVALID_ARGUMENT",
        "Of 8 in the scoring step",
        "Not published: ",
    ):
        assert words in text, words


@pytest.mark.parametrize("most", [0, 0.3, 1, 7, 19, 20, 21, 999, 77_777, 3e6])
def test_an_axis_ends_at_a_round_number_just_above(most: float) -> None:
    top = ceiling(most)
    assert most <= top
    assert top <= max(1.0, 2 * most)
    assert len(compact(top)) <= 4
