"""``POST /v1/ask``: the whole reply, and what the request may ask for."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bot.api.app import create_app
from bot.engine import Bot, build_index, open_bot
from bot.settings import Settings, load_settings
from tests.conftest import FILES, write_files

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
    sha256 = hashlib.sha256(FILES["harbour.md"].encode()).hexdigest()
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
                    "sha256": sha256,
                    "start": 15,
                    "end": 95,
                    "headings": ["Harbour rules"],
                    "page": None,
                    "title": "Harbour rules",
                    "publisher": "Port Office",
                    "url": "https://port.example/rules",
                    "published": None,
                    "updated": "2025-02-03",
                    "language": "en",
                    "links": {
                        "viewer": f"/documents/harbour.md?passage=15-95&of={sha256[:12]}#p15-95",
                        "source": "https://port.example/rules",
                        "source_at_passage": (
                            "https://port.example/rules"
                            "#:~:text=Boats%20may%20go%20at%20most%205%20knots%20inside%20the%20harbour."
                        ),
                    },
                },
                "elsewhere": [],
                "scores": None,
            }
        ],
        "borrowed": [],
        "unknown_words": [],
        "corrections": [],
        "expansions": [],
        "notes": [],
        "suggestions": [],
        "explanation": None,
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


def test_explain_adds_scores_and_reasons_and_changes_nothing_else(client: TestClient, bot: Bot) -> None:
    plain, explained = ask(client, QUESTION), ask(client, QUESTION, explain=True)
    question = bot.encoder.encode_question(QUESTION)[0]
    for passage in explained["passages"]:
        scores = passage.pop("scores")
        assert set(scores) == {"passage", "sentence", "lexical", "around_passage", "around_lexical", "bonus"}
        assert all(-1 <= scores[name] <= 1 for name in scores)
        assert min(scores["lexical"], scores["around_lexical"], scores["bonus"]) >= 0
        parts = (scores[name] for name in ("passage", "sentence", "lexical", "around_passage", "around_lexical"))
        weighted = sum(weight * part for weight, part in zip((0.225, 0.12, 0.41, 0.08, 0.165), parts, strict=True))
        assert passage["score"] == pytest.approx(weighted + scores["bonus"], abs=1e-4)
        lines = bot.encoder.encode_passages([passage["text"][s["start"] : s["end"]] for s in passage["highlights"]])
        assert scores["sentence"] >= (lines @ question).max() - 2e-3
    assert all(passage.pop("scores") is None for passage in plain["passages"])
    explanation = explained.pop("explanation")
    assert plain.pop("explanation") is None
    assert len(explanation["matched"]) == len(explained["passages"])
    assert {"boat", "harbour"} <= set(explanation["matched"][0]) <= {"fast", "boat", "go", "harbour"}
    signals = {**explanation["signals"], "constant": 1.0}
    alike = signals.pop("likeness")
    assert alike == pytest.approx(min(bot.snapshot.likeness, 0.7))
    mixed_and_alike = (bot.calibration.mixed, 1 - alike), (bot.calibration.alike, alike)
    exponent = sum(
        share * weights[name] * value for weights, share in mixed_and_alike for name, value in signals.items()
    )
    assert 1 / (1 + math.exp(-exponent)) == pytest.approx(explained["confidence"])
    assert set(signals) == set(bot.calibration.mixed) == set(bot.calibration.alike)
    assert f"at least {bot.calibration.answered_from}" in explanation["reasons"][0]
    assert plain.pop("took_ms") >= 0
    assert explained.pop("took_ms") >= 0
    assert explained == plain


def test_a_question_of_many_words_borrows_nothing(client: TestClient) -> None:
    turns = [{"question": "Where do puffins breed?", "passages": ["birds.html#21-124"]}]
    body = ask(client, f"{QUESTION} And where is the limit marked?", turns=turns)
    assert body["answer"]["text"] == "Boats may go at most 5 knots inside the harbour."
    assert body["borrowed"] == []


MOORINGS = "How many moorings are there for visitors?"


def turn_of(question: str, body: dict[str, Any]) -> dict[str, object]:
    return {"question": question, "passages": [passage["id"] for passage in body["passages"]]}


@pytest.mark.parametrize("written", [MOORINGS, f"  {MOORINGS}\n", MOORINGS.replace(" ", "\u00a0"), f"\u202e{MOORINGS}"])
def test_a_follow_up_is_read_with_the_turn_before_and_says_so(client: TestClient, written: str) -> None:
    turns = [turn_of(written, ask(client, MOORINGS))]
    body = ask(client, "who gives them out?", turns=turns)
    assert body["borrowed"] == ["moorings", "visitors"]
    assert body["answer"]["text"] == "The harbour master, Ida Brandt, gives them out each morning."
    turns.append(turn_of("who gives them out?", body))
    assert ask(client, "and when?", turns=turns)["borrowed"] == ["gives", "moorings", "visitors"]


@pytest.mark.parametrize(
    "turns",
    [
        [],
        [{"question": MOORINGS}],
        [{"question": MOORINGS, "passages": []}],
        [{"question": MOORINGS, "passages": ["harbour.md#0-1", "#", "../../etc/passwd#0-9", "", "ferry.txt"]}],
        [{"question": "", "passages": ["harbour.md#107-278"]}],
    ],
)
def test_turns_that_showed_nothing_that_is_here_change_nothing(
    client: TestClient, turns: list[dict[str, object]]
) -> None:
    plain, told = ask(client, "who gives them out?"), ask(client, "who gives them out?", turns=turns)
    assert plain.pop("took_ms") >= 0
    assert told.pop("took_ms") >= 0
    assert told == plain


def test_filters_hold_for_a_follow_up_too(client: TestClient) -> None:
    turns = [turn_of(MOORINGS, ask(client, MOORINGS))]
    body = ask(client, "who gives them out?", turns=turns, filters={"document": ["ferry.txt"]})
    assert {passage["citation"]["document"] for passage in body["passages"]} == {"ferry.txt"}


CANARY = "xqCanaryqx"


@pytest.mark.parametrize(
    ("turns", "status"),
    [
        ([{"question": CANARY}] * 20, 200),
        ([{"question": CANARY}] * 21, 422),
        ([{"question": CANARY.ljust(1_000, "x")}], 200),
        ([{"question": CANARY.ljust(1_001, "x")}], 422),
        ([{"question": "a", "passages": [CANARY] * 20}], 200),
        ([{"question": "a", "passages": [CANARY] * 21}], 422),
        ([{"question": "a", "passages": [CANARY.ljust(500, "x")]}], 200),
        ([{"question": "a", "passages": [CANARY.ljust(501, "x")]}], 422),
        ([{"question": "a", "passages": CANARY}], 422),
        ([{"question": "a", "passages": None}], 422),
        ([{"question": None}], 422),
        ([{"passages": [CANARY]}], 422),
        ([{"question": "a", "answer": CANARY}], 422),
        ([CANARY], 422),
        (None, 422),
        ([{"question": f"\ud800{CANARY}"}], 422),
        ([{"question": "a", "passages": [f"\udfff{CANARY}"]}], 422),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_turns_have_limits_and_a_refusal_repeats_nothing(client: TestClient, turns: object, status: int) -> None:
    content = json.dumps({"question": "who gives them out?", "turns": turns})
    reply = client.post("/v1/ask", content=content, headers={"content-type": "application/json"})
    assert reply.status_code == status
    assert CANARY.lower() not in reply.text.lower()
    if status != 200:
        assert set(reply.json()) == {"error", "detail", "request_id"}


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


@pytest.mark.parametrize(
    "question", [QUESTION, "What does a child pay?", "Did Zelda win?", "Wie schnell ist das Boot?"]
)
def test_the_confidence_does_not_depend_on_how_many_passages_are_asked_for(client: TestClient, question: str) -> None:
    bodies = [ask(client, question, top_k=top_k) for top_k in (1, 3, 5, 20)]
    assert len({(body["confidence"], body["status"]) for body in bodies}) == 1


def test_what_other_documents_say_in_the_same_words_is_cited_exactly(tmp_path: Path) -> None:
    said = "Boats may go at most 5 knots inside the harbour. Lights are switched on at dusk."
    files = {**FILES, "leaflet.md": f"---\ntitle: A leaflet\n---\n\n# Welcome\n\n{said}\n"}
    settings = load_settings(corpus=write_files(tmp_path / "corpus", files), index=tmp_path / "index")
    build_index(settings)
    with TestClient(create_app(lambda: open_bot(settings), settings)) as client:
        body = ask(client, QUESTION)
        first = body["passages"][0]
        [other] = first["elsewhere"]
        assert {first["citation"]["document"], other["document"]} == {"harbour.md", "leaflet.md"}
        assert set(other) == set(first["citation"])
        document = client.get(f"/v1/documents/{other['document']}").json()
        assert document["text"][other["start"] : other["end"]] == said
        assert (other["sha256"], other["title"]) == (document["sha256"], document["title"])
        assert client.get(other["links"]["viewer"]).status_code == 200
        everywhere = [*body["passages"][1:]]
        assert all(passage["text"] != said for passage in everywhere)
        assert all(passage["elsewhere"] == [] for passage in everywhere)


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Wie viele moorings gibt es für visitors?", "German"),
        ("كم عدد moorings للزوار؟", "Arabic"),
        ("moorings はいくつありますか", "Japanese"),
    ],
)
def test_a_foreign_question_says_why_it_is_not_answered(
    client: TestClient, bot: Bot, island: Settings, question: str, language: str
) -> None:
    body = ask(client, question, explain=True)
    assert body["status"] != "answered"
    assert language in body["notes"][0]
    [reason] = [reason for reason in body["explanation"]["reasons"] if language in reason]
    assert "`languages`" in reason and "`model`" in reason
    with TestClient(create_app(lambda: replace(bot, languages=()), island)) as any_language:
        body = ask(any_language, question, explain=True)
    assert body["notes"] == []
    assert not any(language in reason for reason in body["explanation"]["reasons"])
