"""Labelled questions -> numbers, through the very build and search that people use.

Two kinds of sets: a BEIR-style folder (``corpus.jsonl``, ``queries.jsonl``, ``qrels.tsv``; Thakur et al. 2021), where
documents are ranked, each by its best passage; and a file of questions about the operator's own documents, where the
answer itself is judged.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import ir_measures
import numpy as np
from ir_measures import R, Success, nDCG

from bot import calibrate
from bot.conversation import converse, in_context
from bot.documents.plain import read_plain
from bot.engine import Bot
from bot.errors import EvaluationError, QuestionError, SnapshotError
from bot.publish import publish
from bot.search import search
from bot.snapshot import Snapshot, built_by, corpus_digest, current_id, open_snapshot
from bot.types import Answer, Document, Encoder, Passage, Progress, Source, Turn

#: Passages that are ranked to find the best hundred documents.
_DEPTH = 500
_DOCUMENTS = 100

#: Bins of equal width that confidence is sorted into.
_BINS = 10

_MEASURES = {
    "ndcg@5": nDCG @ 5,
    "ndcg@10": nDCG @ 10,
    "recall@5": R @ 5,
    "recall@100": R @ 100,
    "hit@1": Success @ 1,
    "hit@3": Success @ 3,
    "hit@5": Success @ 5,
}


#: What an evaluation found, by the names that ``signpost eval --json`` prints, in that order.
Figures: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RankingSet:
    """A BEIR-style set: documents, questions by id, and for each question how relevant which documents are.

    ``history`` holds, by id, what the person asked before in the same conversation, oldest first.
    """

    name: str
    documents: tuple[Document, ...]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    history: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def load_ranking_set(folder: Path, queries: Path | None = None) -> RankingSet:
    """Read a BEIR-style folder; each entry of ``corpus.jsonl`` becomes one document.

    :param queries: another file of questions; those without a judgement are left out.
    :raises EvaluationError: naming the file and line that cannot be read.
    """
    qrels: dict[str, dict[str, int]] = defaultdict(dict)
    path = folder / "qrels.tsv"
    try:
        with open(path, encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.reader(file, delimiter="\t")):
                if number and row:
                    qrels[row[0]][row[1]] = int(float(row[2]))
    except (OSError, ValueError, IndexError) as error:
        raise EvaluationError(f"{path}: {error}") from error
    corpus = folder / "corpus.jsonl"
    documents = tuple(
        _as_document(_name(corpus, entry["_id"]), str(entry.get("title") or ""), str(entry["text"]))
        for entry in _entries(corpus, "_id", "text")
    )
    asked: dict[str, str] = {}
    history: dict[str, tuple[str, ...]] = {}
    for entry in _entries(queries or folder / "queries.jsonl", "_id", "text"):
        name = str(entry["_id"])
        if name in qrels:
            asked[name] = str(entry["text"])
            history[name] = _asked_before(entry)
    if not asked:
        raise EvaluationError(f"{queries or folder / 'queries.jsonl'}: no question has a judgement in qrels.tsv")
    return RankingSet(folder.resolve().name, documents, asked, qrels, history)


def _asked_before(entry: Mapping[str, object]) -> tuple[str, ...]:
    """What the person asked before: ``history`` as plain questions, or in the shapes that public sets have."""
    said = [
        {"role": "user", "content": turn} if isinstance(turn, str) else turn
        for turn in _list(entry.get("history"))
        if isinstance(turn, str | dict)
    ]
    texts = (turn.get("content", turn.get("text")) for turn in said if turn.get("role", turn.get("speaker")) == "user")
    return tuple(text for text in texts if isinstance(text, str))


def _entries(
    path: Path, *required: str, fault_of: Callable[[Mapping[str, object]], str | None] = lambda _: None
) -> Iterator[dict[str, object]]:
    """Yield the objects in a file, one in a line.

    :param fault_of: says what is wrong with one that has all that is required.
    """
    try:
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    entry = json.loads(line)
                except ValueError as error:
                    raise EvaluationError(f"{path}, line {number}: is not JSON: {error}") from error
                if not isinstance(entry, dict) or any(key not in entry for key in required):
                    raise EvaluationError(f"{path}, line {number}: is not an object with {', '.join(required)}")
                if fault := fault_of(entry):
                    raise EvaluationError(f"{path}, line {number}: {fault}")
                yield entry
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path}: {error}") from error


def _name(path: Path, value: object) -> str:
    """Return a document's id. One that UTF-8 cannot hold, though JSON can, would end pytrec-eval and us with it."""
    name = str(value)
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise EvaluationError(f"{path}: the id {name!a} is not valid Unicode") from error
    return name


def _as_document(name: str, title: str, text: str) -> Document:
    content = read_plain(text)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return Document(name, digest, Source(title), content.text, content.blocks)


def cache_folder() -> Path:
    """Return where indexes of evaluation sets are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "signpost" / "evaluation"


def index_ranking_set(
    ranking: RankingSet, encoder: Encoder, aim: int, progress: Callable[[int], Progress] | None = None
) -> Snapshot:
    """Index a set's documents as the product does, once: the index is kept, under a name made of its content."""
    built = built_by(encoder.fingerprint, aim).model_dump_json()
    name = hashlib.sha256((corpus_digest(ranking.documents) + built).encode()).hexdigest()[:32]
    index = cache_folder() / name
    try:
        return open_snapshot(index, current_id(index), encoder, aim=aim)
    except SnapshotError:
        built_id = publish(ranking.documents, encoder, index, aim=aim, progress=progress)
        return open_snapshot(index, built_id, encoder, aim=aim)


def rank_documents(question: str, snapshot: Snapshot, encoder: Encoder, turns: Sequence[Turn] = ()) -> dict[str, float]:
    """Return the best hundred documents and their scores, each that of its best passage."""
    best: dict[str, float] = {}
    for hit in search(in_context(question, turns, snapshot, encoder), snapshot, encoder, top_k=_DEPTH):
        for passage in (hit.passage, *hit.elsewhere):
            best.setdefault(passage.document, hit.scores.total)
    return dict(list(best.items())[:_DOCUMENTS])


@dataclass(frozen=True, slots=True)
class RankedQuestion:
    """A question of a ranking set, the best hundred documents with their scores, best first, and nDCG@10, 0 to 1."""

    id: str
    text: str
    documents: Mapping[str, float]
    ndcg_at_10: float


def rank_questions(ranking: RankingSet, snapshot: Snapshot, encoder: Encoder) -> tuple[RankedQuestion, ...]:
    """Rank the documents for every question of a set, in the order of its questions.

    What was asked before in its conversation is asked first; the passages that it found are the context.
    """

    @cache
    def shown(question: str, turns: tuple[Turn, ...]) -> tuple[str, ...]:
        hits = search(in_context(question, turns, snapshot, encoder), snapshot, encoder)
        return tuple(hit.passage.id for hit in hits)

    run = {
        name: rank_documents(text, snapshot, encoder, converse(ranking.history.get(name, ()), shown))
        for name, text in ranking.queries.items()
    }
    measured = ir_measures.iter_calc([nDCG @ 10], _judgements(ranking), run)
    ndcg = {metric.query_id: float(metric.value) for metric in measured}
    return tuple(RankedQuestion(name, text, run[name], ndcg.get(name, 0.0)) for name, text in ranking.queries.items())


def _judgements(ranking: RankingSet) -> dict[str, dict[str, int]]:
    return {name: dict(ranking.qrels[name]) for name in ranking.queries}


def ranking_figures(ranking: RankingSet, ranked: Sequence[RankedQuestion]) -> Figures:
    """Return name and size of the set, and the measures, 0 to 1, averaged over its questions (with ir-measures)."""
    run = {one.id: dict(one.documents) for one in ranked}
    found = ir_measures.calc_aggregate(list(_MEASURES.values()), _judgements(ranking), run)
    sizes = {"dataset": ranking.name, "documents": len(ranking.documents), "queries": len(ranking.queries)}
    return sizes | {name: round(float(found[measure]), 4) for name, measure in _MEASURES.items()}


def score_ranking(ranking: RankingSet, snapshot: Snapshot, encoder: Encoder) -> Figures:
    """Rank the documents for every question of a set and return its ``ranking_figures``."""
    return ranking_figures(ranking, rank_questions(ranking, snapshot, encoder))


# --- labelled questions -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LabelledQuestion:
    """A question about the operator's own documents. ``gold`` are quotes that answer it; none if nothing does.

    ``history`` is what the person asked before, oldest first; ``standalone`` how it would be asked without that.
    """

    id: str
    question: str
    kind: str
    answerable: bool
    gold: tuple[str, ...]
    standalone: str | None = None
    history: tuple[str, ...] = ()


def load_questions(path: Path) -> tuple[LabelledQuestion, ...]:
    """Read labelled questions, one JSON object in a line: ``id, question, kind, answerable, gold_quotes``, and
    for a question in a conversation ``history`` and ``standalone``.

    :raises EvaluationError: naming the file and line that cannot be read.
    """
    questions = []
    for entry in _entries(path, "id", "question", "answerable", fault_of=_fault_of_question):
        quotes = entry.get("gold_quotes") or []
        gold = [quote.get("quote", "") if isinstance(quote, dict) else str(quote) for quote in _list(quotes)]
        standalone = entry.get("standalone")
        questions.append(
            LabelledQuestion(
                id=str(entry["id"]),
                question=str(entry["question"]),
                kind=str(entry.get("kind") or "other"),
                answerable=bool(entry["answerable"]),
                gold=tuple(_squeeze(quote) for quote in gold if quote),
                standalone=str(standalone) if standalone else None,
                history=_asked_before(entry),
            )
        )
    if not questions:
        raise EvaluationError(f"{path}: holds no question")
    return tuple(questions)


def _fault_of_question(entry: Mapping[str, object]) -> str | None:
    if entry["answerable"] not in (True, False):
        return f"answerable is {entry['answerable']!a}, not true or false"
    return None if any(map(str.isalnum, str(entry["question"]))) else "the question has no letter or number"


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _squeeze(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


@dataclass(frozen=True, slots=True)
class Judged:
    """One question and what became of it. ``rank`` counts from 1; ``None`` if no passage shown holds the answer.

    ``marked`` says whether the marked sentence of the passage that holds the answer is or holds the gold quote.
    """

    question: LabelledQuestion
    answer: Answer
    rank: int | None
    marked: bool

    @property
    def right(self) -> bool:
        """Whether quoting the first passage answers the question."""
        return self.rank == 1


def judge_questions(questions: Sequence[LabelledQuestion], bot: Bot) -> tuple[Judged, ...]:
    """Ask every question, what was asked before in its conversation first, and compare the answer with its gold."""

    @cache
    def shown(question: str, turns: tuple[Turn, ...]) -> tuple[str, ...]:
        try:
            return tuple(cited.hit.passage.id for cited in bot.ask(question, turns=turns).passages)
        except QuestionError:  # "…" said in between
            return ()

    def answer(question: LabelledQuestion) -> Answer:
        if question.history:
            return bot.ask(question.question, turns=converse(question.history, shown))
        return bot.ask(question.standalone or question.question)

    return tuple(_judge(question, answer(question)) for question in questions)


def _judge(question: LabelledQuestion, answer: Answer) -> Judged:
    for rank, cited in enumerate(answer.passages, 1):
        held = held_quotes(question, cited.hit.passage)
        if held:
            sentence = _squeeze(cited.hit.passage.sentence_text(cited.hit.best_sentence))
            return Judged(question, answer, rank, any(quote in sentence or sentence in quote for quote in held))
    return Judged(question, answer, None, False)


def held_quotes(question: LabelledQuestion, passage: Passage) -> tuple[str, ...]:
    """Return the gold quotes that a passage holds, or that hold the whole passage; white space does not count."""
    text = _squeeze(passage.text)
    return tuple(quote for quote in question.gold if quote in text or text in quote)


@dataclass(frozen=True, slots=True)
class KindScore:
    """How often the answer was among the first passages shown, for the questions of one kind that have one."""

    kind: str
    questions: int
    hit_at_1: float
    hit_at_3: float
    hit_at_5: float
    marked: float


def score_questions(judged: Sequence[Judged]) -> tuple[KindScore, ...]:
    """Return shares by kind of question, the kinds in order of first use, and last those over all kinds.

    Nothing if no question is answerable.
    """
    answerable = [one for one in judged if one.question.answerable]
    kinds = dict.fromkeys(one.question.kind for one in answerable)
    groups = [(kind, [one for one in answerable if one.question.kind == kind]) for kind in kinds]
    return tuple(_kind_score(kind, group) for kind, group in [*groups, ("all", answerable)] if group)


def _kind_score(kind: str, group: Sequence[Judged]) -> KindScore:
    def within(depth: int) -> float:
        return sum(one.rank is not None and one.rank <= depth for one in group) / len(group)

    return KindScore(kind, len(group), within(1), within(3), within(5), sum(one.marked for one in group) / len(group))


def auroc(judged: Sequence[Judged]) -> float | None:
    """Return the probability that an answerable question is given more confidence than one that is not.

    ``None`` if there are none of either.
    """
    sure, labels = _confidences(judged)
    return calibrate.auroc(sure, labels) if 0 < labels.sum() < len(labels) else None


def _confidences(judged: Sequence[Judged]) -> tuple[calibrate.Floats, calibrate.Floats]:
    """Each question's confidence, and 1 if the documents answer it, else 0."""
    sure = np.array([one.answer.confidence for one in judged], dtype=np.float64)
    return sure, np.array([float(one.question.answerable) for one in judged])


@dataclass(frozen=True, slots=True)
class ConfidenceBin:
    """The questions whose confidence lies from ``low`` up to ``high``, the highest bin with 1 included.

    ``confidence`` is their mean, 0 to 1, and 0 if there are none; ``answerable`` is how many the documents answer.
    """

    low: float
    high: float
    questions: int
    answerable: int
    confidence: float


def confidence_bins(judged: Sequence[Judged]) -> tuple[ConfidenceBin, ...]:
    """Sort questions into ten bins of equal width, the least sure first; none is left out because it is empty."""
    held: list[list[Judged]] = [[] for _ in range(_BINS)]
    for one in judged:
        held[min(_BINS - 1, int(one.answer.confidence * _BINS))].append(one)
    return tuple(
        ConfidenceBin(
            low=number / _BINS,
            high=(number + 1) / _BINS,
            questions=len(group),
            answerable=sum(one.question.answerable for one in group),
            confidence=sum(one.answer.confidence for one in group) / max(1, len(group)),
        )
        for number, group in enumerate(held)
    )


def calibration_error(judged: Sequence[Judged]) -> float:
    """Return the expected calibration error, 0 to 1, in ten bins of equal width (Naeini et al. 2015).

    How far, on average, the confidence is from the share of questions that the documents do answer.
    """
    gaps = (abs(held.questions * held.confidence - held.answerable) for held in confidence_bins(judged))
    return sum(gaps) / max(1, len(judged))


def risk_coverage(judged: Sequence[Judged]) -> tuple[tuple[float, float], ...]:
    """Return ``(coverage, risk)`` points: answering only the surest share, how often the first passage is wrong.

    El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification" (JMLR 2010).
    """
    surest = sorted(judged, key=lambda one: -one.answer.confidence)
    wrong, points = 0, []
    for number, one in enumerate(surest, 1):
        wrong += not one.right
        points.append((number / len(surest), wrong / number))
    return tuple(points)


def question_figures(name: str, judged: Sequence[Judged]) -> Figures:
    """Return name and size of a file of questions, and what became of them; ``None`` where nothing can be said.

    ``risk_coverage`` holds about twenty points of the curve.
    """
    scores = score_questions(judged)
    probability = auroc(judged)
    shown = [points for number, points in enumerate(risk_coverage(judged)) if number % max(1, len(judged) // 20) == 0]
    return {
        "dataset": name,
        "questions": len(judged),
        "answerable": scores[-1].questions if scores else 0,
        **(_shares(scores[-1], 4) if scores else dict.fromkeys(("hit@1", "hit@3", "hit@5", "marked"))),
        "auroc": None if probability is None else round(probability, 4),
        "expected_calibration_error": round(calibration_error(judged), 4),
        "risk_coverage": [[round(coverage, 3), round(risk, 3)] for coverage, risk in shown],
        "kinds": {kind.kind: {"questions": kind.questions, **_shares(kind, 2)} for kind in scores[:-1]},
    }


def _shares(score: KindScore, digits: int) -> dict[str, float]:
    return {
        "hit@1": round(score.hit_at_1, digits),
        "hit@3": round(score.hit_at_3, digits),
        "hit@5": round(score.hit_at_5, digits),
        "marked": round(score.marked, digits),
    }
