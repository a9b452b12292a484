"""An evaluation -> one page that explains it: the figures, the charts, and every question, the worst first.

The page stands alone: style and charts are inside it, it loads nothing and runs nothing. Questions and documents are
other people's text and are never markup: the template escapes everything, and charts hold only numbers and our words.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bot import __version__
from bot.errors import EvaluationError
from bot.evaluate import (
    ConfidenceBin,
    Figures,
    Judged,
    RankedQuestion,
    RankingSet,
    confidence_bins,
    held_quotes,
    risk_coverage,
)
from bot.types import CitedPassage, Document

#: Documents that are listed for a question of a ranking set, and characters of a document's beginning.
_LISTED = 10
_EXCERPT = 160

_QUESTION_MEANINGS = {
    "dataset": "the file of questions",
    "questions": "questions asked",
    "answerable": "questions that the documents answer; the next four figures are shares of these",
    "hit@1": "the first passage holds the answer",
    "hit@3": "one of the first three passages holds the answer",
    "hit@5": "one of the first five passages holds the answer",
    "marked": "the sentence marked in the passage that holds the answer is the right one",
    "auroc": "probability that an answerable question is given more confidence than one that is not; 0.5 is chance",
    "expected_calibration_error": "how far, on average, the confidence is from the share of questions that the "
    "documents do answer; 0 is best",
}
_RANKING_MEANINGS = {
    "dataset": "the set of documents and questions",
    "documents": "documents in the set",
    "queries": "questions asked",
    "ndcg@5": "how well the first five documents are ordered; 1 is best",
    "ndcg@10": "how well the first ten documents are ordered; 1 is best",
    "recall@5": "share of the relevant documents that are among the first five",
    "recall@100": "share of the relevant documents that are among the first hundred",
    "hit@1": "share of questions with a relevant document in first place",
    "hit@3": "share of questions with a relevant document among the first three",
    "hit@5": "share of questions with a relevant document among the first five",
}
_STATUSES = {"answered": "answered", "unsure": "unsure, given with a request to check it", "not_found": "not found"}


# --- what became of a question ----------------------------------------------------------------------------------------


class Outcome(Enum):
    """What became of a question: how bad that is, from 5, a wrong answer, to 0, nothing wrong; and in words."""

    INVENTED = 5, "Answered, although the documents do not answer it"
    WRONG = 5, "Answered from the wrong passage"
    DOUBTFUL = 4, "Quoted with a request to check, although the documents do not answer it"
    DOUBTFUL_PASSAGE = 4, "Quoted the wrong passage, with a request to check"
    DECLINED = 3, "Declined, although the first passage answers it"
    MISSED = 2, "Declined, and the first passage does not answer it"
    SENTENCE = 1, "Right passage, but another sentence is marked"
    RIGHT = 0, "Right passage, and the right sentence is marked"
    REFUSED = 0, "Rightly declined"

    @property
    def severity(self) -> int:
        """How bad it is, 0 to 5."""
        severity, _ = self.value
        return severity

    @property
    def words(self) -> str:
        """What became of the question, as a sentence without its full stop."""
        _, words = self.value
        return words


def outcome(one: Judged) -> Outcome:
    """Say what became of a question. A wrong answer is worse than none, and one that is sure is worst."""
    status = one.answer.status
    if not one.question.answerable:
        return {"answered": Outcome.INVENTED, "unsure": Outcome.DOUBTFUL, "not_found": Outcome.REFUSED}[status]
    if not one.right:
        return {"answered": Outcome.WRONG, "unsure": Outcome.DOUBTFUL_PASSAGE, "not_found": Outcome.MISSED}[status]
    if status == "not_found":
        return Outcome.DECLINED
    return Outcome.RIGHT if one.marked else Outcome.SENTENCE


def worst_first(judged: Sequence[Judged]) -> tuple[Judged, ...]:
    """Order questions by the severity of their outcome, then by how far the confidence is from what it should be.

    It should be 1 where quoting the first passage answers the question, and 0 elsewhere. Equals stay in their order.
    """
    return tuple(sorted(judged, key=lambda one: (-outcome(one).severity, -abs(one.right - one.answer.confidence))))


# --- values for the template ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure by the name that the command prints, its value as text, and what it means."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under named columns; the first cell of a row says what the row is about."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing, what it shows in words, and the same values as a table."""

    title: str
    drawing: Markup
    explanation: str
    table: Table


@dataclass(frozen=True, slots=True)
class Tally:
    """How many questions had an outcome, and the number of the first of them on the page."""

    outcome: Outcome
    questions: int
    first: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A passage as it was shown, cut at its marked sentence. ``gold`` says whether it holds a gold quote."""

    cited: CitedPassage
    before: str
    marked: str
    after: str
    gold: bool


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question and what became of it, in words where the values alone would not speak for themselves."""

    judged: Judged
    outcome: Outcome
    status: str
    found: str
    sentence: str
    passages: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class ListedDocument:
    """A document of a ranking: its place, counted from 1, its title or beginning, and its judged grade.

    ``rank`` is ``None`` if it is not among those found, ``grade`` if nobody judged it.
    """

    id: str
    rank: int | None
    title: str
    start: str
    grade: int | None


@dataclass(frozen=True, slots=True)
class RankedList:
    """A question of a ranking set with the documents that are relevant to it, and the best ones that were found."""

    question: RankedQuestion
    relevant: tuple[ListedDocument, ...]
    best: tuple[ListedDocument, ...]


# --- pages ------------------------------------------------------------------------------------------------------------

_templates = Environment(
    loader=PackageLoader("bot"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def questions_report(figures: Figures, judged: Sequence[Judged]) -> str:
    """Return the page about labelled questions.

    :param figures: what ``question_figures`` says about the same questions; the page shows these and no others.
    """
    ordered = worst_first(judged)
    bins = confidence_bins(judged)
    charts = (_risk_coverage_chart(judged), _reliability_chart(bins, figures), _distribution_chart(bins))
    return _templates.get_template("report.html").render(
        figures=figures,
        explained=_explained(figures, _QUESTION_MEANINGS),
        kinds=_kinds_table(figures) if figures["kinds"] else None,
        tallies=_tallies(ordered),
        charts=charts,
        asked=[_asked(one) for one in ordered],
        ranked=(),
        version=__version__,
        snapshot=judged[0].answer.snapshot if judged else "",
    )


def ranking_report(figures: Figures, ranking: RankingSet, ranked: Sequence[RankedQuestion]) -> str:
    """Return the page about a BEIR-style set: the questions with the lowest nDCG@10 first.

    :param figures: what ``ranking_figures`` says about the same questions; the page shows these and no others.
    """
    documents = {document.id: document for document in ranking.documents}
    ordered = sorted(ranked, key=lambda one: one.ndcg_at_10)
    return _templates.get_template("report.html").render(
        figures=figures,
        explained=_explained(figures, _RANKING_MEANINGS),
        kinds=None,
        tallies=(),
        charts=(_ndcg_chart(ranked),),
        asked=(),
        ranked=[_ranked_list(one, ranking.qrels[one.id], documents) for one in ordered],
        version=__version__,
        snapshot="",
    )


def _explained(figures: Figures, meanings: Mapping[str, str]) -> tuple[Figure, ...]:
    return tuple(Figure(name, _number(figures[name]), meaning) for name, meaning in meanings.items())


def _kinds_table(figures: Figures) -> Table:
    """The shares by kind, and below them those of all kinds together."""
    names = ("hit@1", "hit@3", "hit@5", "marked")
    rows = [
        (kind, str(shares["questions"]), *(f"{shares[name]:.2f}" for name in names))
        for kind, shares in figures["kinds"].items()
    ]
    rows.append(("all kinds", str(figures["answerable"]), *(f"{figures[name]:.2f}" for name in names)))
    return Table("Answerable questions by kind", ("Kind", "Questions", *names), tuple(rows))


def _number(value: object) -> str:
    if value is None:
        return "not defined"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _tallies(ordered: Sequence[Judged]) -> tuple[Tally, ...]:
    outcomes = [outcome(one) for one in ordered]
    return tuple(Tally(kind, outcomes.count(kind), outcomes.index(kind) + 1) for kind in Outcome if kind in outcomes)


def _asked(one: Judged) -> AskedQuestion:
    return AskedQuestion(
        judged=one,
        outcome=outcome(one),
        status=_STATUSES[one.answer.status],
        found=_where_found(one),
        sentence=_sentence_verdict(one),
        passages=tuple(_shown(one, cited) for cited in one.answer.passages),
    )


def _where_found(one: Judged) -> str:
    if not one.question.gold:
        return "there is none to look for"
    if one.rank is None:
        return "not among the passages shown"
    return f"in passage {one.rank} of {len(one.answer.passages)}"


def _sentence_verdict(one: Judged) -> str:
    if one.rank is None:
        return "cannot be told: no passage shown holds the answer"
    return f"yes, in passage {one.rank}" if one.marked else f"no, another one is marked in passage {one.rank}"


def _shown(one: Judged, cited: CitedPassage) -> Shown:
    passage = cited.hit.passage
    sentence = passage.sentences[cited.hit.best_sentence]
    start, end = sentence.start - passage.start, sentence.end - passage.start
    return Shown(
        cited=cited,
        before=passage.text[:start],
        marked=passage.text[start:end],
        after=passage.text[end:],
        gold=bool(held_quotes(one.question, passage)),
    )


def _ranked_list(one: RankedQuestion, grades: Mapping[str, int], documents: Mapping[str, Document]) -> RankedList:
    ranks = {name: rank for rank, name in enumerate(one.documents, 1)}

    def listed(name: str) -> ListedDocument:
        document = documents.get(name)
        return ListedDocument(
            id=name,
            rank=ranks.get(name),
            title=document.source.title if document else "",
            start=excerpt(document.text) if document else "not in this set",
            grade=grades.get(name),
        )

    relevant = sorted((listed(name) for name, grade in grades.items() if grade > 0), key=_rank_and_grade)
    return RankedList(one, tuple(relevant), tuple(listed(name) for name in list(one.documents)[:_LISTED]))


def _rank_and_grade(document: ListedDocument) -> tuple[float, int]:
    return (math.inf if document.rank is None else document.rank, -(document.grade or 0))


def excerpt(text: str, length: int = _EXCERPT) -> str:
    """Return the first words of a text on one line, at most ``length`` characters, with an ellipsis if it goes on."""
    line = " ".join(text[: 4 * length].split())
    if len(line) <= length and len(text) <= 4 * length:
        return line
    cut = line[: length - 1]
    return (cut.rpartition(" ")[0] or cut) + "…"


# --- charts -----------------------------------------------------------------------------------------------------------

# Narrow, so that its words can be read on a phone, where the drawing is scaled to the width of the page.
_WIDTH, _HEIGHT = 400, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 380, 50, 234


def _x(share: float) -> float:
    return _LEFT + share * (_RIGHT - _LEFT)


def _y(share: float) -> float:
    return _BOTTOM - share * (_BOTTOM - _TOP)


def _svg(name: str, title: str, description: str, *parts: Markup) -> Markup:
    """Wrap parts in a drawing that says to those who cannot see it what it shows; ``name`` is unique on the page."""
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" aria-labelledby="{name}-title {name}-desc">'
        '<title id="{name}-title">{}</title><desc id="{name}-desc">{}</desc>{}</svg>'
    ).format(_WIDTH, _HEIGHT, title, description, Markup("").join(parts), name=name)


def _text(x: float, y: float, words: str, anchor: str = "middle") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, words)


def _line(start: tuple[float, float], end: tuple[float, float], kind: str) -> Markup:
    values = (*start, *end)
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(kind, *values)


def _bar(x: float, y: float, width: float, height: float, kind: str = "bar") -> Markup:
    values = (x, y, width, height)
    return Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(kind, *values)


def _dot(x: float, y: float) -> Markup:
    return Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(x, y)


def _curve(points: Sequence[tuple[float, float]]) -> Markup:
    return Markup('<polyline class="curve" points="{}"/>').format(" ".join(f"{x:.1f},{y:.1f}" for x, y in points))


def _axes(x_label: str, y_label: str, x_ticks: Mapping[float, str], y_ticks: Mapping[float, str]) -> Markup:
    """Draw both axes; ticks lie between 0, at the origin, and 1. The name of the upright axis stands above it."""
    parts = [_text(4, 16, y_label, "start"), _text(_x(0.5), _HEIGHT - 8, x_label)]
    for share, words in x_ticks.items():
        parts += [_line((_x(share), _BOTTOM), (_x(share), _BOTTOM + 4), "axis"), _text(_x(share), _BOTTOM + 18, words)]
    for share, words in y_ticks.items():
        parts += [
            _line((_LEFT, _y(share)), (_RIGHT, _y(share)), "grid"),
            _text(_LEFT - 6, _y(share) + 4, words, "end"),
        ]
    parts += [_line((_LEFT, _BOTTOM), (_RIGHT, _BOTTOM), "axis"), _line((_LEFT, _TOP), (_LEFT, _BOTTOM), "axis")]
    return Markup("").join(parts)


def _percent(share: float) -> str:
    return f"{share:.0%}"


_FIFTHS = [number / 5 for number in range(6)]
_CONFIDENCE_TICKS = {share: f"{share:.1f}" for share in _FIFTHS}


def _risk_coverage_chart(judged: Sequence[Judged]) -> Chart:
    points = risk_coverage(judged)
    surest = sorted((one.answer.confidence for one in judged), reverse=True)
    highest = max((risk for _, risk in points), default=0.0)
    top = next(limit for limit in (0.1, 0.25, 0.5, 1.0) if highest <= limit)
    tenths = dict.fromkeys(math.ceil(len(points) * tenth / 10) for tenth in range(1, 11)) if points else {}
    rows = tuple(
        (_percent(points[number - 1][0]), str(number), f"{surest[number - 1]:.2f}", _percent(points[number - 1][1]))
        for number in tenths
    )
    title = "Risk and coverage"
    drawing = _svg(
        "risk-coverage",
        title,
        "; ".join(f"{coverage} answered: {risk} wrong" for coverage, _, _, risk in rows),
        _axes(
            "share of questions answered, the surest first",
            "share of these whose first passage is wrong",
            {share: _percent(share) for share in _FIFTHS},
            {share: f"{share * top:.1%}".replace(".0%", "%") for share in (0, 0.2, 0.4, 0.6, 0.8, 1.0)},
        ),
        _curve([(_x(coverage), _y(risk / top)) for coverage, risk in points]),
        *(_dot(_x(points[number - 1][0]), _y(points[number - 1][1] / top)) for number in tenths),
    )
    return Chart(
        title,
        drawing,
        "If only the surest questions were answered, how often would the first passage be wrong? A question that the "
        "documents do not answer always counts as wrong. The lower the curve, the better; good confidence keeps it low "
        "on the left. The dots are the rows of the table.",
        Table(
            "Risk and coverage in tenths of the questions",
            ("Answered", "Questions", "Confidence from", "First passage wrong"),
            rows,
        ),
    )


def _reliability_chart(bins: Sequence[ConfidenceBin], figures: Figures) -> Chart:
    width = 1 / len(bins)
    filled = [held for held in bins if held.questions]
    shares = [(held, held.answerable / held.questions) for held in filled]
    title = "Reliability"
    drawing = _svg(
        "reliability",
        title,
        "; ".join(
            f"confidence {_range(held)}: {_percent(share)} of {held.questions} answerable" for held, share in shares
        ),
        _axes(
            "confidence",
            "share of questions that the documents answer",
            _CONFIDENCE_TICKS,
            {share: _percent(share) for share in _FIFTHS},
        ),
        *(_bar(_x(held.low) + 2, _y(share), _x(width) - _x(0) - 4, _BOTTOM - _y(share)) for held, share in shares),
        _line((_x(0), _y(0)), (_x(1), _y(1)), "ideal"),
        *(_dot(_x(held.confidence), _y(share)) for held, share in shares),
        _text(_LEFT - 6, _TOP - 12, "n =", "end"),
        *(_text(_x((held.low + held.high) / 2), _TOP - 12, str(held.questions)) for held in bins),
    )
    rows = tuple(
        (
            _range(held),
            str(held.questions),
            f"{held.confidence:.2f}" if held.questions else "–",
            f"{held.answerable / held.questions:.2f}" if held.questions else "–",
        )
        for held in bins
    )
    return Chart(
        title,
        drawing,
        "Does the confidence mean what it says? Each bar is the share of answerable questions among those with about "
        "the same confidence, n how many these are; its dot stands at their mean confidence. On the dashed line, "
        "confidence and share are equal: dots above it are too modest, dots below it too sure. Expected calibration "
        f"error: {_number(figures['expected_calibration_error'])}.",
        Table("Reliability in ten bins", ("Confidence", "Questions", "Mean confidence", "Share answerable"), rows),
    )


def _distribution_chart(bins: Sequence[ConfidenceBin]) -> Chart:
    above = [held.answerable for held in bins]
    below = [held.questions - held.answerable for held in bins]
    room = 16  # for the number beyond the end of a bar
    unit = (_BOTTOM - _TOP - 2 * room) / max(1, max(above) + max(below))
    base = _TOP + room + max(above) * unit
    width = _x(1 / len(bins)) - _x(0)
    parts = []
    for held, up, down in zip(bins, above, below, strict=True):
        left, middle = _x(held.low) + 2, _x(held.low) + width / 2
        if up:
            parts += [
                _bar(left, base - up * unit, width - 4, up * unit),
                _text(middle, base - up * unit - 4, str(up)),
            ]
        if down:
            parts += [
                _bar(left, base, width - 4, down * unit, "bar other"),
                _text(middle, base + down * unit + 13, str(down)),
            ]
    title = "Confidence of answerable questions and of others"
    drawing = _svg(
        "distribution",
        title,
        "; ".join(
            f"confidence {_range(held)}: {up} answerable, {down} not"
            for held, up, down in zip(bins, above, below, strict=True)
            if held.questions
        ),
        _axes("confidence", "", _CONFIDENCE_TICKS, {}),
        _text(4, 16, f"above the line: {_count(sum(above))} that the documents answer", "start"),
        _text(4, 34, f"below the line: {_count(sum(below))} that they do not answer", "start"),
        _line((_LEFT, base), (_RIGHT, base), "axis"),
        *parts,
    )
    rows = tuple((_range(held), str(up), str(down)) for held, up, down in zip(bins, above, below, strict=True))
    return Chart(
        title,
        drawing,
        "How many questions were given how much confidence. The farther to the right the bars above the line, and to "
        "the left those below it, the better the two are told apart.",
        Table("Questions by confidence", ("Confidence", "Answerable", "Not answerable"), rows),
    )


def _ndcg_chart(ranked: Sequence[RankedQuestion]) -> Chart:
    tenths = [min(9, int(one.ndcg_at_10 * 10)) for one in ranked]
    counts = [tenths.count(number) for number in range(10)]
    width, unit = _x(0.1) - _x(0), (_BOTTOM - _TOP) / max(1, *counts)
    parts = []
    for number, count in enumerate(counts):
        left, top = _x(number / 10), _BOTTOM - count * unit
        parts += [_bar(left + 2, top, width - 4, count * unit), _text(left + width / 2, top - 5, str(count))]
    labels = [f"{number / 10:.1f} to {(number + 1) / 10:.1f}" for number in range(10)]
    rows = tuple((label, str(count)) for label, count in zip(labels, counts, strict=True))
    title = "nDCG@10 of the questions"
    return Chart(
        title,
        _svg(
            "ndcg",
            title,
            "; ".join(f"nDCG@10 {label}: {count} questions" for label, count in rows if count != "0"),
            _axes("nDCG@10", "questions", _CONFIDENCE_TICKS, {}),
            *parts,
        ),
        "How many questions have their documents ordered how well. The farther to the right, the better.",
        Table("Questions by nDCG@10", ("nDCG@10", "Questions"), rows),
    )


def _range(held: ConfidenceBin) -> str:
    return f"{held.low:.1f} to {held.high:.1f}"


def _count(questions: int) -> str:
    return f"{questions} question{'' if questions == 1 else 's'}"


# --- writing ----------------------------------------------------------------------------------------------------------


def check_report_path(path: Path) -> None:
    """Find out whether a report may be written there, so that nobody waits for an evaluation in vain.

    :raises EvaluationError: naming the path and what is wrong with it.
    """
    if path.suffix.lower() not in (".html", ".htm"):  # nor will a mistaken name overwrite the questions
        raise EvaluationError(f"{path}: the name of a report ends in .html")
    if _told(path, path.is_dir):
        raise EvaluationError(f"{path}: is a folder")
    if not _told(path, path.parent.is_dir):
        raise EvaluationError(f"{path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise EvaluationError(f"{path}: the folder {path.parent} cannot be written to")


def _told(path: Path, check: Callable[[], bool]) -> bool:
    try:
        return check()
    except OSError as error:
        raise EvaluationError(f"{path}: {error.strerror or error}") from error


def write_report(path: Path, page: str) -> None:
    """Write a page so that at any moment there is either the old one or the whole new one.

    :raises EvaluationError: naming the path and what is wrong with it.
    """
    new = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        try:
            # Half of a surrogate pair, which JSON can hold, cannot be written in UTF-8.
            new.write_bytes(page.encode("utf-8", "replace"))
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise EvaluationError(f"{path}: {error.strerror or error}") from error
