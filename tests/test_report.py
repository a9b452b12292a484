"""The report of an evaluation: its figures checked another way, its order, and texts of others that stay text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from selectolax.lexbor import LexborHTMLParser, LexborNode
from typer.testing import CliRunner

from bot.cli import app
from bot.engine import Bot
from bot.errors import EvaluationError
from bot.evaluate import (
    Judged,
    LabelledQuestion,
    RankedQuestion,
    RankingSet,
    confidence_bins,
    judge_questions,
    load_ranking_set,
    question_figures,
    ranking_figures,
    risk_coverage,
)
from bot.report import (
    Outcome,
    check_report_path,
    excerpt,
    outcome,
    questions_report,
    ranking_report,
    worst_first,
    write_report,
)
from bot.settings import Settings
from bot.types import Document, Source, Status

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=//evil.example/x.png onerror=alert(1)>',
    "</title></style></svg><h1>Owned</h1>",
    "{{ 7 * 7 }} {% raw %} &lt;b&gt;",
    "<!-- never closed",
    "half of a pair \ud800",
)
KNOTS = LabelledQuestion("1", "How fast may a boat go in the harbour?", "fact", True, ("at most 5 knots",))
QUESTIONS = (
    KNOTS,
    LabelledQuestion("2", "How many moorings are there?", "number", True, ("There are 42 moorings",)),
    LabelledQuestion("3", "Where do puffins breed?", "fact", True, ("nowhere at all",)),
    LabelledQuestion("4", "Did Zelda win the zorbing championship?", "off topic", False, ()),
)


@pytest.fixture(scope="module")
def judged(bot: Bot) -> tuple[Judged, ...]:
    return judge_questions(QUESTIONS, bot)


def made(
    one: Judged, confidence: float, status: Status, rank: int | None, *, answerable: bool = True, marked: bool = True
) -> Judged:
    """The same question with another fate; its id says which."""
    name = f"{status} {confidence} {rank} {answerable} {marked}"
    return Judged(
        replace(one.question, id=name, answerable=answerable, gold=one.question.gold if answerable else ()),
        replace(one.answer, confidence=confidence, status=status),
        rank,
        marked and rank is not None,
    )


def page_of(judged: tuple[Judged, ...]) -> LexborHTMLParser:
    return LexborHTMLParser(questions_report(question_figures("set", judged), judged))


def rows(page: LexborHTMLParser, caption: str) -> list[list[str]]:
    """The cells below the head of the table that has a caption beginning so."""
    [table] = [table for table in page.css("table") if caption in text_of(table, "caption")]
    return [[cell.text().strip() for cell in row.css("th, td")] for row in table.css("tbody tr")]


def text_of(page: LexborHTMLParser | LexborNode, selector: str) -> str:
    node = page.css_first(selector)
    assert node is not None, selector
    return node.text()


def facts(article: LexborNode) -> dict[str, str]:
    """What an article says about its question, by name."""
    values = [" ".join(node.text().split()) for node in article.css("dl > dd")]
    return dict(zip((node.text() for node in article.css("dl > dt")), values, strict=True))


def elements(html: str) -> Iterator[LexborNode]:
    root = LexborHTMLParser(html).root
    assert root is not None
    for node in root.traverse(include_text=False):
        if not (node.tag or "!").startswith(("-", "!")):
            yield node


def assert_stands_alone(html: str) -> None:
    ids = []
    for node in elements(html):
        assert node.tag not in ("script", "img", "iframe", "object", "embed", "base", "form", "image", "use"), node.html
        for name, value in node.attributes.items():
            assert not name.startswith("on")
            assert name not in ("src", "srcset", "style", "action", "data", "xlink:href")
            assert name != "href" or re.match("#|data:,$", value or ""), value
        if node.attributes.get("id"):
            ids.append(node.attributes["id"])
    assert len(ids) == len(set(ids)), "an address leads to one place"
    page = LexborHTMLParser(html)
    assert all(re.search(r"url\(|@import", style.text()) is None for style in page.css("style"))
    links = [(node.attributes["href"] or "")[1:] for node in page.css("a")]
    assert links
    assert set(links) <= set(ids)


def assert_accessible(html: str) -> None:
    page = LexborHTMLParser(html)
    ids = {node.attributes["id"]: node for node in page.css("[id]")}
    assert len(page.css("h1")) == 1
    levels = [int((node.tag or "")[1]) for node in page.css("h1, h2, h3, h4, h5, h6")]
    assert all(lower <= upper + 1 for upper, lower in pairwise(levels)), "no level is left out"
    for table in page.css("table"):
        assert text_of(table, "caption").strip()
        assert all(head.attributes.get("scope") in ("col", "row") for head in table.css("th"))
        assert all(row.css_first("th[scope=row]") is not None for row in table.css("tbody tr"))
    for drawing in page.css("svg"):
        assert drawing.attributes["role"] == "img"
        names = (drawing.attributes["aria-labelledby"] or "").split()
        assert [ids[name].tag for name in names] == ["title", "desc"]
        assert all(ids[name].text().strip() for name in names)
    for figure in page.css("figure"):
        assert figure.css_first("svg") is not None
        assert figure.css_first("figcaption") is not None
        assert figure.css_first("details table") is not None


# --- what became of a question ----------------------------------------------------------------------------------------


def test_outcomes_tell_every_fate_apart(judged: tuple[Judged, ...]) -> None:
    one = judged[0]
    fates = [
        (made(one, 0.9, "answered", None, answerable=False), Outcome.INVENTED),
        (made(one, 0.9, "answered", None), Outcome.WRONG),
        (made(one, 0.9, "answered", 2), Outcome.WRONG),
        (made(one, 0.4, "unsure", None, answerable=False), Outcome.DOUBTFUL),
        (made(one, 0.4, "unsure", 3), Outcome.DOUBTFUL_PASSAGE),
        (made(one, 0.1, "not_found", 1), Outcome.DECLINED),
        (made(one, 0.1, "not_found", 2), Outcome.MISSED),
        (made(one, 0.9, "answered", 1, marked=False), Outcome.SENTENCE),
        (made(one, 0.4, "unsure", 1), Outcome.RIGHT),
        (made(one, 0.9, "answered", 1), Outcome.RIGHT),
        (made(one, 0.1, "not_found", None, answerable=False), Outcome.REFUSED),
    ]
    assert [outcome(fate) for fate, _ in fates] == [expected for _, expected in fates]
    assert {expected for _, expected in fates} == set(Outcome)


def test_the_worst_comes_first(judged: tuple[Judged, ...]) -> None:
    one = judged[0]
    expected = (
        made(one, 0.95, "answered", None, answerable=False),
        made(one, 0.9, "answered", 2),
        made(one, 0.6, "answered", None, answerable=False),
        made(one, 0.45, "unsure", 4),
        made(one, 0.4, "unsure", None, answerable=False),
        made(one, 0.1, "not_found", 1),
        made(one, 0.3, "not_found", 1),
        made(one, 0.3, "not_found", None),
        made(one, 0.6, "answered", 1, marked=False),
        made(one, 0.55, "answered", 1),
        made(one, 0.2, "not_found", None, answerable=False),
        made(one, 0.99, "answered", 1),
    )
    assert worst_first(expected[::-1]) == expected
    shown = [
        re.findall(r"\(id (.*?)\)", facts(article)["Kind"])[0] for article in page_of(expected[::-1]).css("article")
    ]
    assert shown == [fate.question.id for fate in expected]


# --- labelled questions -----------------------------------------------------------------------------------------------


def test_a_question_is_told_whole(judged: tuple[Judged, ...]) -> None:
    page = page_of(judged)
    articles = {facts(article)["Kind"][-2]: article for article in page.css("article")}
    knots = facts(articles["1"])
    answer = judged[0].answer
    assert answer.quote is not None
    assert text_of(articles["1"], "h3 bdi") == KNOTS.question
    assert knots["Status"] == f"answered; confidence {answer.confidence:.2f}"
    assert knots["Kind"] == "fact; answerable (id 1)"
    assert knots["Quoted"] == f"{answer.quote.text}harbour.md: Harbour rules"
    assert knots["Gold quotes"] == "at most 5 knots"
    assert knots["Gold found"] == f"in passage 1 of {len(answer.passages)}"
    assert knots["Right sentence marked"] == "yes, in passage 1"
    shown = articles["1"].css("details > ol > li")
    assert [text_of(item, "blockquote") for item in shown] == [cited.hit.passage.text for cited in answer.passages]
    assert text_of(shown[0], "mark") == answer.quote.text
    assert "holds a gold quote" in shown[0].text()
    assert "open" not in articles["1"].css("details")[0].attributes

    assert facts(articles["3"])["Gold found"] == "not among the passages shown"
    zelda = facts(articles["4"])
    assert zelda["Quoted"].startswith("nothing; words that the documents never use: ")
    assert "zorbing" in zelda["Quoted"]
    assert "Gold quotes" not in zelda


def test_what_was_searched_for_and_notes_are_told(bot: Bot) -> None:
    spelt = LabelledQuestion("1", "and puffins?", "typo", True, ("Puffins breed",), "Where do pufins breed?")
    [one] = judge_questions([spelt], bot)
    assert one.answer.corrections
    told = facts(page_of((replace(one, answer=replace(one.answer, notes=("A note.",))),)).css("article")[0])
    [changed] = one.answer.corrections
    assert told["Searched for"] == f"“{changed.searched}” instead of “{changed.written}” (spelling)"
    assert told["Asked as"] == "Where do pufins breed?"
    assert told["Notes"] == "A note."


def test_tables_and_drawings_agree_with_a_count_by_hand(judged: tuple[Judged, ...]) -> None:
    one = judged[0]
    few = (
        made(one, 0.95, "answered", 1),
        made(one, 0.92, "answered", 2),
        made(one, 0.65, "answered", None, answerable=False),
        made(one, 0.05, "not_found", None, answerable=False),
        made(one, 1.0, "answered", 1),
    )
    page = page_of(few)
    reliability = {row[0]: row[1:] for row in rows(page, "Reliability")}
    assert len(reliability) == 10
    assert reliability["0.9 to 1.0"] == ["3", f"{(0.95 + 0.92 + 1) / 3:.2f}", "1.00"]
    assert reliability["0.6 to 0.7"] == ["1", "0.65", "0.00"]
    assert reliability["0.0 to 0.1"] == ["1", "0.05", "0.00"]
    assert reliability["0.1 to 0.2"] == ["0", "–", "–"]
    error = (abs(2.87 - 3) + 0.65 + 0.05) / 5
    assert dict(figures_of(page))["expected_calibration_error"] == f"{error:.4f}"
    assert any(f"Expected calibration error: {error:.4f}." in node.text() for node in page.css("figcaption"))

    distribution = {row[0]: row[1:] for row in rows(page, "Questions by confidence")}
    assert distribution["0.9 to 1.0"] == ["3", "0"]
    assert distribution["0.6 to 0.7"] == ["0", "1"]
    # The surest are right, right, wrong, wrong (not answerable), wrong (not answerable).
    assert rows(page, "Risk and coverage") == [
        ["20%", "1", "1.00", "0%"],
        ["40%", "2", "0.95", "0%"],
        ["60%", "3", "0.92", "33%"],
        ["80%", "4", "0.65", "50%"],
        ["100%", "5", "0.05", "60%"],
    ]
    [curve] = page.css("polyline")
    points = [tuple(map(float, point.split(","))) for point in (curve.attributes["points"] or "").split()]
    assert len(points) == 5
    across, up = points[-1][0] - points[0][0], points[0][1] - points[-1][1]
    risks = [(points[0][1] - y) / up for _, y in points]
    assert across / 4 == pytest.approx(points[1][0] - points[0][0], abs=0.1)
    assert risks == pytest.approx([risk / 0.6 for _, risk in risk_coverage(few)], abs=0.01)
    outcomes = {row[0]: row[1] for row in rows(page, "What became")}
    assert outcomes == {
        Outcome.INVENTED.words: "1", Outcome.WRONG.words: "1", Outcome.RIGHT.words: "2", Outcome.REFUSED.words: "1",
    }  # fmt: skip


def figures_of(page: LexborHTMLParser) -> list[tuple[str, str]]:
    table = page.css("table")[0]
    return [(text_of(row, "code"), text_of(row, "td").strip()) for row in table.css("tbody tr")]


def assert_figures_are(page: LexborHTMLParser, printed: dict[str, Any]) -> None:
    """Every plain figure stands on the page, in the same order, and the shares by kind."""
    expected = [
        (name, "not defined" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value))
        for name, value in printed.items()
        if not isinstance(value, dict | list)
    ]
    assert figures_of(page) == expected
    kinds = printed.get("kinds")
    if kinds:
        *shown, total = rows(page, "by kind")
        assert [row[0] for row in shown] == list(kinds)
        assert [list(map(float, row[1:])) for row in shown] == [list(shares.values()) for shares in kinds.values()]
        assert total[:2] == ["all kinds", str(printed["answerable"])]


def test_bins_hold_every_question_once(judged: tuple[Judged, ...]) -> None:
    edges = tuple(made(judged[0], number / 10, "answered", 1) for number in range(11))
    assert [held.questions for held in confidence_bins(edges)] == [1] * 9 + [2]
    assert [held.questions for held in confidence_bins(())] == [0] * 10


@pytest.mark.parametrize("answerable", [True, False])
def test_a_file_may_hold_only_one_sort_of_question(judged: tuple[Judged, ...], answerable: bool) -> None:
    few = tuple(one for one in judged if one.question.answerable == answerable)
    figures = question_figures("set", few)
    html = questions_report(figures, few)
    page = LexborHTMLParser(html)
    assert_figures_are(page, figures)
    assert_stands_alone(html)
    assert_accessible(html)
    assert dict(figures_of(page))["auroc"] == "not defined"
    assert (figures["hit@1"] is None) == (not answerable)
    assert len(page.css("article")) == len(few)


def test_texts_of_others_stay_text(judged: tuple[Judged, ...]) -> None:
    one = judged[0]
    cited = one.answer.passages[0]

    def written(text: str) -> Judged:
        passage = replace(cited.hit.passage, document=text, headings=(text,))
        shown = replace(cited, hit=replace(cited.hit, passage=passage))
        assert one.answer.quote is not None
        answer = replace(
            one.answer,
            passages=(shown,),
            quote=replace(one.answer.quote, text=text),
            notes=(text,),
            unknown_words=(text,),
        )
        question = replace(one.question, id=text, question=text, kind=text, gold=(text,), standalone=text)
        return replace(one, question=question, answer=answer)

    def shape(texts: tuple[str, ...]) -> tuple[str, list[tuple[str, ...]]]:
        evil = tuple(map(written, texts))
        html = questions_report(question_figures(texts[0], evil), evil)
        return html, [(node.tag or "", *sorted(node.attributes)) for node in elements(html)]

    html, evil = shape(HOSTILE)
    _, harmless = shape(tuple(f"plain words {number}" for number in range(len(HOSTILE))))
    assert evil == harmless
    assert_stands_alone(html)
    page = LexborHTMLParser(html)
    assert {text_of(article, "h3 bdi") for article in page.css("article")} >= set(HOSTILE[:5])
    assert HOSTILE[0] in text_of(page, "title")
    assert HOSTILE[0] in text_of(page, "h1")


def test_documents_of_others_stay_text(tmp_path: Path) -> None:
    names = HOSTILE[:5]
    ranking = RankingSet(
        "<b>set</b>",
        tuple(Document(name, "0", Source(text), text, ()) for name, text in zip(names, HOSTILE[1:], strict=True)),
        dict(zip(names, HOSTILE[1:], strict=True)),
        {name: {HOSTILE[1]: 2, "gone": 1} for name in names},
    )
    found = {name: 1 - number / 10 for number, name in enumerate(names)}
    ranked = tuple(RankedQuestion(name, ranking.queries[name], found, 0.5) for name in names)
    html = ranking_report(ranking_figures(ranking, ranked), ranking, ranked)
    assert_stands_alone(html)
    assert not LexborHTMLParser(html).css("b, h1 h1")
    write_report(tmp_path / "page.html", html)
    assert "half of a pair ?" in (tmp_path / "page.html").read_text(encoding="utf-8")


# --- ranking sets -----------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve documents: the harbour's answers its question, the birds' stands nowhere near its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "set"
    folder.mkdir()
    texts = {"d1": "Boats may go at most five knots inside the harbour.", "d2": "Puffins breed on the western cliffs."}
    texts |= {f"d{number}": f"Ferry number {number} sails at {number} in the morning." for number in range(3, 13)}
    (folder / "corpus.jsonl").write_text(
        "".join(
            json.dumps({"_id": name, "title": f"Title {name}", "text": text}) + "\n" for name, text in texts.items()
        )
    )
    queries = {"q1": "How fast may boats go in the harbour?", "q2": "When does the ferry sail?"}
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": name, "text": text}) + "\n" for name, text in queries.items())
    )
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td2\t1\nq2\tlost\t1\n")
    return folder


def test_a_ranking_is_told_question_by_question(folder: Path) -> None:
    ranking = load_ranking_set(folder)
    order = [document.id for document in ranking.documents]
    best = {name: 1 - number / 100 for number, name in enumerate(order)}
    second = 1 / math.log2(3) / (1 + 1 / math.log2(3))
    ranked = (RankedQuestion("q1", "boats", best, 1.0), RankedQuestion("q2", "ferry", best, second))
    figures = ranking_figures(ranking, ranked)
    assert figures["ndcg@10"] == pytest.approx((1 + second) / 2, abs=1e-4)
    html = ranking_report(figures, ranking, ranked)
    assert_stands_alone(html)
    assert_accessible(html)
    page = LexborHTMLParser(html)
    assert_figures_are(page, figures)
    worst, good = page.css("article")
    assert text_of(worst, "h3 bdi") == "ferry"
    assert f"nDCG@10 {second:.4f}" in text_of(worst, ".outcome")
    assert f"nDCG@10 {1:.4f}" in text_of(good, ".outcome")
    relevant, listed = worst.css("table")
    assert [text_of(row, "th") for row in relevant.css("tbody tr")] == ["2", "not found"]
    assert "Title d2" in relevant.text()
    assert "lost" in relevant.text()
    assert len(listed.css("tbody tr")) == 10
    judgements = [row.css("td")[1].text().strip() for row in good.css("table")[1].css("tbody tr")]
    assert judgements == ["relevant, grade 2", "not relevant", *["not judged"] * 8]
    assert [row[1] for row in rows(page, "Questions by nDCG@10")] == ["0", "0", "0", "1", *["0"] * 5, "1"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("short\n text", "short text"),
        ("one two three", "one two…"),
        ("x" * 20, "x" * 9 + "…"),
        ("one" + " " * 90 + "two", "one…"),
    ],
)
def test_an_excerpt_ends_with_a_word(text: str, shown: str) -> None:
    assert excerpt(text, 10) == shown


# --- the command ------------------------------------------------------------------------------------------------------


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl"
    lines = [
        {"id": q.id, "question": q.question, "kind": q.kind, "answerable": q.answerable, "gold_quotes": list(q.gold)}
        for q in QUESTIONS
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_eval_writes_a_page_with_the_figures_that_it_prints(tmp_path: Path, questions: Path, island: Settings) -> None:
    report = tmp_path / "report.html"
    report.write_text("an older one")
    code, out, err = run("eval", questions, "--index", island.index, "--report", report, "--json")
    assert (code, err) == (0, f"report written to {report}\n")
    [line] = out.splitlines()
    printed = json.loads(line)
    html = report.read_text(encoding="utf-8")
    assert_figures_are(LexborHTMLParser(html), printed)
    assert_stands_alone(html)
    assert_accessible(html)
    assert list(printed) == [
        "dataset", "questions", "answerable", "hit@1", "hit@3", "hit@5", "marked", "auroc",
        "expected_calibration_error", "risk_coverage", "kinds",
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["questions.jsonl", "report.html"]
    assert run("eval", questions, "--index", island.index, "--json") == (0, out, "")
    plain = run("eval", questions, "--index", island.index, "--report", report)
    assert plain[0] == 0
    assert f"{printed['expected_calibration_error']:.4f}" in plain[1]
    assert report.read_text(encoding="utf-8") == html


def test_eval_of_a_folder_writes_the_page_too(tmp_path: Path, folder: Path, island: Settings) -> None:
    report = tmp_path / "report.html"
    code, out, err = run("eval", folder, "--index", island.index, "--report", report, "--json")
    assert code == 0
    assert err.splitlines()[-1] == f"report written to {report}"
    printed = json.loads(out.splitlines()[-1])
    html = report.read_text(encoding="utf-8")
    assert_figures_are(LexborHTMLParser(html), printed)
    values = [float(value) for value in re.findall(r'class="outcome">nDCG@10 ([\d.]+)', html)]
    assert values == sorted(values)
    assert sum(values) / 2 == pytest.approx(printed["ndcg@10"], abs=1e-4)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("report.txt", "ends in .html"),
        ("questions.jsonl", "ends in .html"),
        ("none/report.html", "does not exist"),
        ("folder.html", "is a folder"),
        ("x" * 300 + ".html", "too long"),
    ],
)
def test_a_report_that_cannot_be_written_is_a_fault_in_one_line(
    tmp_path: Path, questions: Path, island: Settings, name: str, reason: str
) -> None:
    (tmp_path / "folder.html").mkdir()
    before = questions.read_bytes()
    code, out, err = run("eval", questions, "--index", island.index, "--report", tmp_path / name)
    assert (code, out) == (1, "")
    [line] = err.splitlines()
    assert line.startswith(f"signpost: {tmp_path / name}: ")
    assert reason in line
    assert questions.read_bytes() == before


def test_no_report_is_written_if_the_evaluation_fails(tmp_path: Path, island: Settings) -> None:
    (tmp_path / "broken.jsonl").write_text("not json\n")
    report = tmp_path / "report.html"
    code, out, err = run("eval", tmp_path / "broken.jsonl", "--index", island.index, "--report", report)
    assert (code, out) == (1, "")
    assert "broken.jsonl" in err
    assert not report.exists()


def test_a_page_that_fails_to_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    (target / "not empty").mkdir(parents=True)
    with pytest.raises(EvaluationError, match=r"page\.html"):
        write_report(target, "text")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(EvaluationError, match="is a folder"):
        check_report_path(target)
