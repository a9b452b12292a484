"""The figures of an evaluation, checked by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from bot.engine import Bot
from bot.errors import EvaluationError
from bot.evaluate import index_ranking_set, judge_questions, load_questions, load_ranking_set, score_ranking
from bot.types import Encoder, Progress


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    documents = {
        "d1": "Boats may go at most five knots inside the harbour.",
        "d2": "Puffins breed on the western cliffs.",
        "d3": "Boats lie at the north pier. Puffins were never seen there.",
    }
    queries = {"q1": "puffins on cliffs", "q2": "how fast may boats go", "q3": "unjudged"}
    (tmp_path / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": name, "title": "", "text": text}) + "\n" for name, text in documents.items())
    )
    (tmp_path / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": name, "text": text}) + "\n" for name, text in queries.items())
    )
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td2\t1\nq1\td3\t1\nq2\td3\t1\n")
    return tmp_path


def test_documents_are_ranked_and_scored(folder: Path, words: Encoder) -> None:
    ranking = load_ranking_set(folder)
    snapshot = index_ranking_set(ranking, words, 48)
    scores = score_ranking(ranking, snapshot, words)
    # q1 finds d2 then d3, which are all there are; q2 finds d1 before d3, so d3 is second.
    second = 1 / math.log2(3)
    assert scores == {
        "dataset": folder.name,
        "documents": 3,
        "queries": 2,
        "ndcg@5": pytest.approx((1 + second) / 2, abs=1e-4),
        "ndcg@10": pytest.approx((1 + second) / 2, abs=1e-4),
        "recall@5": 1.0,
        "recall@100": 1.0,
        "hit@1": 0.5,
        "hit@3": 1.0,
        "hit@5": 1.0,
    }


def test_an_index_is_built_once(folder: Path, words: Encoder) -> None:
    ranking = load_ranking_set(folder)
    builds: list[int] = []

    def told(total: int) -> Progress:
        builds.append(total)
        return lambda done: None

    first = index_ranking_set(ranking, words, 48, told)
    second = index_ranking_set(ranking, words, 48, told)
    assert len(builds) == 1
    assert first.id == second.id


@pytest.mark.parametrize("line", ["not json", "[]", '{"_id": "d1"}'])
def test_a_broken_line_is_named(folder: Path, line: str) -> None:
    (folder / "corpus.jsonl").write_text(line + "\n")
    with pytest.raises(EvaluationError, match=r"corpus\.jsonl"):
        load_ranking_set(folder)


def test_an_id_that_is_no_unicode_is_refused(folder: Path) -> None:
    (folder / "corpus.jsonl").write_text(json.dumps({"_id": "d\ud800", "text": "words"}) + "\n")
    with pytest.raises(EvaluationError, match=r"corpus\.jsonl: the id 'd\\ud800'"):
        load_ranking_set(folder)


def test_labelled_questions_are_judged_by_their_quotes(tmp_path: Path, bot: Bot) -> None:
    path = tmp_path / "questions.jsonl"
    entries = [
        {"id": "1", "question": "How fast may boats go?", "kind": "fact", "answerable": True,
         "gold_quotes": [{"doc": "harbour.md", "quote": "at most  5 knots"}]},
        {"id": "2", "question": "How fast may boats go?", "answerable": True, "gold_quotes": ["9 knots"]},
        {"id": "3", "question": "Who won?", "answerable": False},
    ]  # fmt: skip
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    judged = judge_questions(load_questions(path), bot)
    assert [(one.rank, one.marked, one.right) for one in judged] == [
        (1, True, True), (None, False, False), (None, False, False),
    ]  # fmt: skip
