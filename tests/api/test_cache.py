"""Answers are kept only if the operator says so, and make no difference but in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from fastapi.testclient import TestClient

from bot.api.app import create_app
from bot.api.cache import AnswerCache
from bot.engine import Bot
from bot.settings import Settings
from bot.types import Answer
from tests.conftest import Overheard

QUESTION = "How fast may a boat go in the harbour?"


@dataclass(frozen=True, slots=True)
class Counting(Overheard):
    """A bot that notes what it is asked."""

    asked: list[str] = field(default_factory=list)

    def overhear(self, question: str) -> None:
        self.asked.append(question)


@pytest.fixture
def counting(bot: Bot) -> Counting:
    return Counting(bot.encoder, bot.snapshot, bot.calibration, bot.starters)


@pytest.fixture
def keeping(counting: Counting, island: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(lambda: counting, island.model_copy(update={"answer_cache": 3}))) as client:
        yield client


def ask(client: TestClient, question: str = QUESTION, **fields: object) -> dict[str, object]:
    reply: dict[str, object] = client.post("/v1/ask", json={"question": question, **fields}).json()
    reply.pop("took_ms", None)
    return reply


def hits(client: TestClient) -> float:
    [line] = [line for line in client.get("/metrics").text.splitlines() if line.startswith("signpost_cached_answers_t")]
    return float(line.split()[1])


def test_nothing_is_kept_unless_the_operator_says_so(counting: Counting, island: Settings) -> None:
    app = create_app(lambda: counting, island)
    with TestClient(app) as client:
        assert ask(client) == ask(client)
        assert counting.asked == [QUESTION] * 2
        assert hits(client) == 0
    assert not app.state.cache._answers


def test_the_same_question_is_answered_once_and_the_same(keeping: TestClient, counting: Counting) -> None:
    assert ask(keeping) == ask(keeping) == ask(keeping, f"  {QUESTION}\u200b ")
    assert counting.asked == [QUESTION]
    assert hits(keeping) == 2
    assert 'signpost_answers_total{status="answered"} 3.0' in keeping.get("/metrics").text


@pytest.mark.parametrize(
    "changed",
    [
        {"question": "how fast may a boat go in the harbour?"},
        {"top_k": 3},
        {"explain": True},
        {"filters": {"language": ["en"]}},
        {"filters": {"document": ["ferry.txt"]}},
        {"turns": [{"question": "Where are the moorings?"}]},
        {"turns": [{"question": "", "passages": ["harbour.md#15-95"]}]},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_whatever_decides_the_answer_makes_it_another(
    keeping: TestClient, counting: Counting, changed: dict[str, object]
) -> None:
    alone = Counting(counting.encoder, counting.snapshot, counting.calibration, counting.starters)
    with TestClient(create_app(lambda: alone, keeping.app.state.settings)) as fresh:  # type: ignore[attr-defined]
        expected = ask(fresh, **changed)  # type: ignore[arg-type]
    ask(keeping)
    assert ask(keeping, **changed) == expected  # type: ignore[arg-type]
    assert len(counting.asked) == 2
    assert hits(keeping) == 0


def test_another_snapshot_is_asked_anew(keeping: TestClient, counting: Counting) -> None:
    ask(keeping)
    newer = replace(counting, snapshot=replace(counting.snapshot, id="0" * 64))
    keeping.app.state.bot = newer  # type: ignore[attr-defined]
    assert ask(keeping)["snapshot"] == "0" * 64
    assert len(counting.asked) == 2


@pytest.mark.parametrize("question", ["?!", "x" * 1_001, ""])
def test_a_refused_question_is_never_kept(keeping: TestClient, question: str) -> None:
    for _ in range(2):
        assert keeping.post("/v1/ask", json={"question": question}).status_code == 422
        assert keeping.post("/", data={"question": question}).status_code == 422
    assert not keeping.app.state.cache._answers  # type: ignore[attr-defined]
    assert hits(keeping) == 0


def test_the_answers_asked_for_longest_ago_make_room(bot: Bot) -> None:
    cache = AnswerCache(2)
    answer = bot.ask(QUESTION)
    for key in ("a", "b", "a", "c"):
        cache.answer(key, lambda: answer)
    assert [cache.answer(key, lambda: answer)[1] for key in ("a", "c", "b")] == [True, True, False]
    assert len(cache._answers) == 2


def test_a_fault_is_not_kept(bot: Bot) -> None:
    cache = AnswerCache(2)

    def fails() -> Answer:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cache.answer("a", fails)
    assert cache.answer("a", lambda: bot.ask(QUESTION)) == (bot.ask(QUESTION), False)
