"""The figures of an evaluation, checked by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from bot.engine import Bot
from bot.errors import EvaluationError
from bot.evaluate import (
    index_ranking_set,
    judge_questions,
    load_questions,
    load_ranking_set,
    rank_questions,
    score_ranking,
)
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


# --- questions in a conversation --------------------------------------------------------------------------------------

#: What was asked before, in the shapes that public sets have; the bot's own words are not the person's.
HISTORIES = {
    "roles": [
        {"role": "system", "content": "Terns."},
        {"role": "user", "content": "where do puffins breed"},
        {"role": "assistant", "content": "Terns breed there."},
        {"role": "user", "content": "thanks"},
    ],
    "speakers": [
        {"speaker": "user", "text": "where do puffins breed", "metadata": {"author": 1}},
        {"speaker": "agent", "text": "Terns breed there."},
        {"speaker": "user", "text": "thanks"},
    ],
}
MALFORMED: tuple[object, ...] = (
    None, "user", 7, {}, {"role": "user", "content": "a"}, [None, 1, []], [{}], [{"role": "user"}],
    [{"role": "user", "content": None}], [{"role": "user", "content": ["a"]}], [{"role": ["user"], "content": "a"}],
    [{"speaker": "user", "text": 5}], [{"content": "a"}], [{"role": "USER", "content": "a"}],
)  # fmt: skip


def write_lines(path: Path, *entries: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


@pytest.mark.parametrize("shape", HISTORIES)
def test_what_the_person_asked_before_is_read_in_both_shapes(folder: Path, tmp_path: Path, shape: str) -> None:
    asked = ("where do puffins breed", "thanks")
    path = write_lines(
        tmp_path / "asked.jsonl",
        {"_id": "q1", "text": "how many?", "history": HISTORIES[shape]},
        {"_id": "q2", "text": "how fast?"},
    )
    ranking = load_ranking_set(folder, path)
    assert ranking.history == {"q1": asked, "q2": ()}
    labelled = {"id": "1", "question": "how many?", "answerable": True, "history": HISTORIES[shape]}
    [question] = load_questions(write_lines(tmp_path / "labelled.jsonl", labelled))
    assert (question.history, question.standalone) == (asked, None)


@pytest.mark.parametrize("history", MALFORMED, ids=ascii)
def test_a_history_that_is_none_is_ignored(folder: Path, tmp_path: Path, history: object) -> None:
    entry = {"_id": "q1", "text": "how many?", "history": history}
    assert load_ranking_set(folder, write_lines(tmp_path / "asked.jsonl", entry)).history == {"q1": ()}
    labelled = {"id": "1", "question": "how many?", "answerable": True, "history": history, "standalone": "How?"}
    [question] = load_questions(write_lines(tmp_path / "labelled.jsonl", labelled))
    assert (question.history, question.standalone) == ((), "How?")


def test_documents_are_ranked_for_a_follow_up_within_its_conversation(folder: Path, words: Encoder) -> None:
    write_lines(
        folder / "corpus.jsonl",
        {"_id": "terns", "text": "The terns came in May, 12 pairs in all."},
        {"_id": "puffins", "text": "Puffins breed on cliffs, in 310 pairs this year."},
    )
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tpuffins\t1\n")
    query: dict[str, object] = {"_id": "q1", "text": "and the pairs?"}

    def first(**more: object) -> str:
        write_lines(folder / "queries.jsonl", query | more)
        ranking = load_ranking_set(folder)
        [ranked] = rank_questions(ranking, index_ranking_set(ranking, words, 48), words)
        figures = score_ranking(ranking, index_ranking_set(ranking, words, 48), words)
        assert figures["hit@1"] == float(next(iter(ranked.documents)) == "puffins")
        return next(iter(ranked.documents))

    assert first() == first(history=[{"role": "assistant", "content": "where do puffins breed"}]) == "terns"
    assert first(history=[{"role": "user", "content": "where do puffins breed"}]) == "puffins"
    assert first(history=[{"speaker": "user", "text": t} for t in ("…", "where do puffins breed", "")]) == "puffins"


def test_a_follow_up_is_judged_within_its_conversation(tmp_path: Path, shipped: Bot) -> None:
    said = [{"role": "user", "content": "What does GIFCT stand for?"}, {"role": "assistant", "content": "INHOPE?"}]
    entry = {"question": "What is its purpose?", "answerable": True, "gold_quotes": ["GIFCT aims to encourage"]}
    path = write_lines(
        tmp_path / "questions.jsonl",
        {"id": "in it", "history": said, "standalone": "What is INHOPE?", **entry},
        {"id": "after nothing that is a question", "history": [{"role": "user", "content": "…"}, *said], **entry},
        {"id": "without", **entry},
        {"id": "as it would be asked alone", "standalone": "What is the purpose of GIFCT?", **entry},
    )
    judged = judge_questions(load_questions(path), shipped)
    assert [one.rank == 1 for one in judged] == [True, True, False, True]
    assert [one.answer.borrowed for one in judged] == [("GIFCT",), ("GIFCT",), (), ()]
    assert [one.answer.question for one in judged[::3]] == ["What is its purpose?", "What is the purpose of GIFCT?"]


def test_a_conversation_is_asked_turn_by_turn(tmp_path: Path, shipped: Bot) -> None:
    """The second turn is itself a follow-up: asked alone, it would show nothing that could lend its words."""
    said = [{"role": "user", "content": text} for text in ("Is Kenya a member of WeProtect?", "what about India?")]
    entry = {"id": "1", "question": "And Uganda?", "answerable": True, "gold_quotes": ["Uganda"], "history": said}
    [judged] = judge_questions(load_questions(write_lines(tmp_path / "questions.jsonl", entry)), shipped)
    assert (judged.right, judged.marked, judged.answer.borrowed) == (True, True, ("member", "WeProtect"))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("{", "line 2: is not JSON"),
        ('["a"]', "line 2: is not an object with id, question, answerable"),
        ('{"id": 1, "question": "Why?", "answerable": "false"}', "line 2: answerable is 'false', not true or false"),
        ('{"id": 1, "question": "???", "answerable": true}', "line 2: the question has no letter or number"),
    ],
)
def test_a_line_that_is_no_labelled_question_is_named(tmp_path: Path, entry: str, reason: str) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('{"id": 0, "question": "How?", "answerable": false}\n' + entry + "\n", encoding="utf-8")
    with pytest.raises(EvaluationError, match=reason):
        load_questions(path)
    with pytest.raises(EvaluationError, match="cannot be read: No such file"):
        load_questions(tmp_path / "other.jsonl")


def test_what_was_asked_before_may_be_plain_questions(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    said = '["What is INHOPE?", {"role": "user", "content": "Who?"}, {"role": "assistant", "content": "It."}, 7]'
    path.write_text(f'{{"id": 0, "question": "How?", "answerable": false, "history": {said}}}\n', encoding="utf-8")
    assert load_questions(path)[0].history == ("What is INHOPE?", "Who?")
