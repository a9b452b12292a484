"""``POST /v1/ask``: the whole reply, and what the request may ask for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bot.api.app import create_app
from bot.engine import Bot
from bot.settings import Settings
from tests.conftest import FILES

QUESTION = "How fast may a boat go in the harbour?"


@pytest.fixture(scope="module")
def client(bot: Bot, island: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(lambda: bot, island)) as client:
        yield client


def ask(client: TestClient, question: str, **more: object) -> dict[str, Any]:
    reply = client.post("/v1/ask", json={"question": question, **more})
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    body: dict[str, Any] = reply.json()
    return body


def test_a_reply_holds_the_answer_and_its_source(client: TestClient, bot: Bot) -> None:
    body = ask(client, QUESTION, top_k=1)
    assert 0.5 < body.pop("confidence") <= 1
    assert body.pop("took_ms") >= 0
    assert body["passages"][0].pop("score") > 0
    assert body == {
        "status": "answered",
        "answer": {
            "text": "Boats may go at most 5 knots inside the harbour.",
            "passage": "harbour.md#15-95",
            "start": 15,
            "end": 63,
        },
        "passages": [
            {
                "id": "harbour.md#15-95",
                "text": "Boats may go at most 5 knots inside the harbour. Lights are switched on at dusk.",
                "highlights": [{"start": 0, "end": 48}],
                "citation": {
                    "document": "harbour.md",
                    "sha256": hashlib.sha256(FILES["harbour.md"].encode()).hexdigest(),
                    "start": 15,
                    "end": 95,
                    "headings": ["Harbour rules"],
                    "page": None,
                    "title": "Harbour rules",
                    "publisher": "Port Office",
                    "url": "https://port.example/rules",
                    "published": None,
                    "updated": "2025-02-03",
                    "links": {
                        "viewer": "/documents/harbour.md?passage=15-95#p15-95",
                        "source": "https://port.example/rules",
                        "source_at_passage": (
                            "https://port.example/rules"
                            "#:~:text=Boats%20may%20go%20at%20most%205%20knots%20inside%20the%20harbour."
                        ),
                    },
                },
                "scores": None,
            }
        ],
        "borrowed": [],
        "unknown_words": [],
        "corrections": [],
        "expansions": [],
        "notes": [],
        "suggestions": [],
        "support": None,
        "snapshot": bot.snapshot.id,
    }


def test_a_reply_without_an_answer_says_so_and_helps_on(client: TestClient) -> None:
    body = ask(client, "Did Zelda win the zorbing championship in Patagonia?")
    assert (body["status"], body["answer"]) == ("not_found", None)
    assert {"Zelda", "zorbing", "Patagonia"} <= set(body["unknown_words"])
    assert body["suggestions"] == [QUESTION]
    assert body["confidence"] < 0.5
    assert len(body["passages"]) == 5


@pytest.mark.parametrize(
    "question", [QUESTION, "What does a child pay for the ferry?", "Which birds breed on the cliffs?", "Moon cheese?"]
)
def test_offsets_count_code_points_of_the_document(client: TestClient, question: str) -> None:
    body = ask(client, question)
    for passage in body["passages"]:
        citation = passage["citation"]
        text = client.get(f"/v1/documents/{citation['document']}").json()["text"]
        assert text[citation["start"] : citation["end"]] == passage["text"]
        assert passage["id"] == f"{citation['document']}#{citation['start']}-{citation['end']}"
        for span in passage["highlights"]:
            assert passage["text"][span["start"] : span["end"]].strip()
    if body["answer"] is not None:
        quote, first = body["answer"], body["passages"][0]
        text = client.get(f"/v1/documents/{first['citation']['document']}").json()["text"]
        assert text[quote["start"] : quote["end"]] == quote["text"]
        assert quote["passage"] == first["id"]


def test_top_k_limits_the_passages_and_keeps_their_order(client: TestClient) -> None:
    every = [passage["id"] for passage in ask(client, QUESTION, top_k=20)["passages"]]
    assert len(every) == len(set(every)) == 5
    for top_k in range(1, 6):
        assert [passage["id"] for passage in ask(client, QUESTION, top_k=top_k)["passages"]] == every[:top_k]
    scores = [passage["score"] for passage in ask(client, QUESTION, top_k=20)["passages"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("filters", "documents"),
    [
        ({}, {"birds.html", "ferry.txt", "harbour.md"}),
        ({"publisher": [], "document": []}, {"birds.html", "ferry.txt", "harbour.md"}),
        ({"publisher": ["Port Office"]}, {"harbour.md"}),
        ({"document": ["ferry.txt", "birds.html"]}, {"birds.html", "ferry.txt"}),
        ({"language": ["en"]}, {"birds.html", "harbour.md"}),
        ({"language": ["en"], "document": ["ferry.txt", "birds.html"]}, {"birds.html"}),
        ({"publisher": ["Nobody"]}, set()),
        ({"document": ["harbour"]}, set()),
        ({"language": ["fr"]}, set()),
    ],
)
def test_filters_say_what_may_be_quoted(client: TestClient, filters: dict[str, list[str]], documents: set[str]) -> None:
    body = ask(client, QUESTION, top_k=20, filters=filters)
    assert {passage["citation"]["document"] for passage in body["passages"]} == documents
    if not documents:
        assert (body["status"], body["answer"], body["confidence"]) == ("not_found", None, 0)


def test_explain_adds_the_scores_and_changes_nothing_else(client: TestClient, bot: Bot) -> None:
    plain, explained = ask(client, QUESTION), ask(client, QUESTION, explain=True)
    question = bot.encoder.encode_question(QUESTION)[0]
    for passage in explained["passages"]:
        scores = passage.pop("scores")
        assert set(scores) == {"passage", "sentence", "lexical"}
        assert -1 <= scores["passage"] <= 1
        assert scores["lexical"] >= 0
        lines = bot.encoder.encode_passages([passage["text"][s["start"] : s["end"]] for s in passage["highlights"]])
        assert scores["sentence"] >= (lines @ question).max() - 2e-3
    assert all(passage.pop("scores") is None for passage in plain["passages"])
    assert plain.pop("took_ms") >= 0
    assert explained.pop("took_ms") >= 0
    assert explained == plain


def test_earlier_turns_are_accepted(client: TestClient) -> None:
    turns = [{"question": "Where do puffins breed?", "passages": ["birds.html#21-124"]}]
    body = ask(client, QUESTION, turns=turns)
    assert body["answer"]["text"] == "Boats may go at most 5 knots inside the harbour."
    assert body["borrowed"] == []


def test_the_same_question_gets_the_same_answer(client: TestClient) -> None:
    first = ask(client, QUESTION)
    ask(client, "Where do puffins breed?", top_k=1)
    again = ask(client, QUESTION)
    assert first.pop("took_ms") >= 0
    assert again.pop("took_ms") >= 0
    assert again == first


@pytest.mark.parametrize("question", [f"  {QUESTION}\n", QUESTION.replace(" ", "\u00a0"), f"\u202e{QUESTION}\u202c"])
def test_invisible_characters_in_a_question_make_no_difference(client: TestClient, question: str) -> None:
    assert ask(client, question)["answer"] == ask(client, QUESTION)["answer"]
