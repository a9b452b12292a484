"""How many are let in, and how much each may ask."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from bot.api import limits
from bot.api.app import create_app
from bot.api.limits import Admission, Allowance, RateLimit
from bot.engine import Bot
from bot.settings import Settings

QUESTION = {"question": "How fast may a boat go in the harbour?"}


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as the limits see it."""
    clock = [1_000.0]
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    return clock


# --- Allowance --------------------------------------------------------------------------------------------------------


def test_a_sixth_of_a_minute_s_questions_may_be_asked_at_once(now: list[float]) -> None:
    allowance = Allowance(60)
    assert [allowance.wait("a") for _ in range(10)] == [0.0] * 10
    assert allowance.wait("a") == pytest.approx(1.0)


def test_what_is_refused_does_not_count(now: list[float]) -> None:
    allowance = Allowance(60)
    waits = [allowance.wait("a") for _ in range(1_000)]
    assert waits.count(0.0) == 10
    assert max(waits) == pytest.approx(1.0)


def test_who_comes_back_when_told_is_let_in(now: list[float]) -> None:
    allowance = Allowance(7)
    told = 0
    for _ in range(50):
        if wait := allowance.wait("a"):
            told += 1
            now[0] += wait + 1e-6
            assert allowance.wait("a") == 0.0
    assert told > 20


@pytest.mark.parametrize("per_minute", [1, 6, 60, 600])
def test_in_an_hour_nobody_asks_more_than_is_allowed(now: list[float], per_minute: int) -> None:
    allowance = Allowance(per_minute)
    accepted = 0
    for _ in range(36_000):
        accepted += allowance.wait("a") == 0.0
        now[0] += 0.1
    assert accepted <= 60 * per_minute + max(1, per_minute / 6) + 1
    assert accepted >= 60 * per_minute * 0.95


def test_each_has_an_allowance_of_its_own(now: list[float]) -> None:
    allowance = Allowance(6)
    assert all(allowance.wait(f"client {number}") == 0.0 for number in range(200))
    assert all(allowance.wait(f"client {number}") > 0 for number in range(200))


def test_the_allowance_is_whole_again_after_a_while(now: list[float]) -> None:
    allowance = Allowance(60)
    assert sum(allowance.wait("a") == 0.0 for _ in range(100)) == 10
    now[0] += 5.0
    assert sum(allowance.wait("a") == 0.0 for _ in range(100)) == 5
    now[0] += 3_600.0
    assert sum(allowance.wait("a") == 0.0 for _ in range(100)) == 10, "nothing is saved up beyond that"


def test_forked_processes_share_one_allowance() -> None:
    allowance = Allowance(60)
    accepted = 0
    for _ in range(4):
        child = os.fork()
        if not child:
            os._exit(sum(allowance.wait("a") == 0.0 for _ in range(20)))
        accepted += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert accepted in (10, 11), "one more if a second passed meanwhile"


# --- RateLimit --------------------------------------------------------------------------------------------------------


def client_of(peer: str | None, *said: str, proxies: Sequence[str] = ()) -> str:
    limit = RateLimit(Works(), Allowance(1), proxies)
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in said]
    return limit._client({"type": "http", "client": (peer, 1) if peer is not None else None, "headers": headers})


OURS = ("10.0.0.0/8", "fd00::/8")


@pytest.mark.parametrize(
    ("peer", "said", "proxies", "client"),
    [
        ("192.0.2.7", [], (), "192.0.2.7"),
        ("192.0.2.7", ["198.51.100.1"], (), "192.0.2.7"),
        ("192.0.2.7", ["198.51.100.1"], OURS, "192.0.2.7"),
        ("10.1.1.1", ["198.51.100.1"], OURS, "198.51.100.1"),
        ("10.1.1.1", ["198.51.100.1, 10.2.2.2"], OURS, "198.51.100.1"),
        ("10.1.1.1", ["203.0.113.9, 198.51.100.1"], OURS, "198.51.100.1"),
        ("10.1.1.1", ["203.0.113.9", "198.51.100.1"], OURS, "198.51.100.1"),
        ("10.1.1.1", ["junk, 198.51.100.1"], OURS, "198.51.100.1"),
        ("10.1.1.1", ["198.51.100.1, junk"], OURS, "10.1.1.1"),
        ("10.1.1.1", [""], OURS, "10.1.1.1"),
        ("10.1.1.1", ["\xe9\x00"], OURS, "10.1.1.1"),
        ("10.1.1.1", ["10.3.3.3"], OURS, "10.1.1.1"),
        ("10.1.1.1", [], OURS, "10.1.1.1"),
        ("2001:db8:1:2:3:4:5:6", [], (), "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", [], (), "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], (), "fe80::/64"),
        ("::ffff:192.0.2.7", [], (), "192.0.2.7"),
        ("::ffff:10.1.1.1", ["198.51.100.1"], OURS, "198.51.100.1"),
        ("10.1.1.1", ["::ffff:198.51.100.1"], OURS, "198.51.100.1"),
        ("fd00::1", ["2001:db8::1"], OURS, "2001:db8::/64"),
        (None, [], OURS, ""),
        ("", ["198.51.100.1"], OURS, ""),
    ],
)
def test_the_client_is_the_last_that_no_proxy_of_ours_is(
    peer: str | None, said: list[str], proxies: Sequence[str], client: str
) -> None:
    assert client_of(peer, *said, proxies=proxies) == client


def test_who_asks_too_much_is_told_when_to_come_back(
    bot: Bot, island: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    settings = island.model_copy(update={"rate_limit": 12, "origins": ("https://a.example",)})
    with TestClient(create_app(lambda: bot, settings)) as client:
        sent = [client.post("/v1/ask", json=QUESTION, headers={"origin": "https://a.example"}) for _ in range(5)]
        assert [reply.status_code for reply in sent] == [200, 200, 429, 429, 429]
        for reply in sent[2:]:
            assert set(reply.json()) == {"error", "detail", "request_id"}
            assert 1 <= int(reply.headers["retry-after"]) <= 5
            assert reply.headers["access-control-allow-origin"] == "https://a.example"
        assert client.get("/health/ready").status_code == 200, "only questions are counted"
        assert client.get("/").status_code == 200
        page = client.post("/", data={"question": "How fast?"}, headers={"accept": "text/html"})
        assert page.status_code == 429, "a page's question counts as well"
        assert page.headers["content-type"].startswith("text/html")
        assert caplog.text.count("status=200") == 4
        assert "status=429" not in caplog.text, "a flood does not fill the log"
        counted = re.findall(r'signpost_http_requests_total\{.*status="429"\} (\d+)', client.get("/metrics").text)
        assert sum(map(int, counted)) == 4, "and is counted"


# --- Admission --------------------------------------------------------------------------------------------------------


class Works:
    """Answers when it is told to; counts who is being answered."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.now = self.most = self.done = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.go.wait()
        finally:
            self.now -= 1
        self.done += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})


async def sent_to(app: Admission, method: str = "POST") -> tuple[int, dict[str, str]]:
    replies: list[Message] = []

    async def send(message: Message) -> None:
        replies.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    scope: dict[str, Any] = {"type": "http", "method": method, "path": "/v1/ask", "headers": [], "state": {}}
    scope["state"]["request_id"] = "0" * 16
    await app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in replies[0]["headers"]}
    return replies[0]["status"], headers


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "os", SimpleNamespace(cpu_count=lambda: 1))


def test_some_work_a_crowd_waits_and_the_rest_is_sent_away_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOMENT", 10.0)

    async def scenario() -> None:
        works = Works()
        app = Admission(works)
        most = limits._WORKING_PER_CORE + limits._CROWD
        asking = [asyncio.create_task(sent_to(app)) for _ in range(most + 10)]
        await asyncio.sleep(0.05)
        refused = [task.result() for task in asking if task.done()]
        assert [status for status, _ in refused] == [503] * 10
        assert all(1 <= int(headers["retry-after"]) <= 3 for _, headers in refused)
        assert all(headers["connection"] == "close" for _, headers in refused), "back to the end of the line"
        works.go.set()
        assert [status for status, _ in await asyncio.gather(*asking)].count(200) == most
        assert works.most == limits._WORKING_PER_CORE
        assert (app._free, len(app._waiting)) == (limits._WORKING_PER_CORE, 0)

    asyncio.run(scenario())


def test_when_more_come_than_may_wait_waiting_is_over_and_begins_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOMENT", 60.0)
    monkeypatch.setattr(limits, "_PATIENCE", 600.0)

    async def scenario() -> None:
        works = Works()
        app = Admission(works)
        working = few = limits._WORKING_PER_CORE
        asking: list[asyncio.Task[tuple[int, dict[str, str]]]] = []

        async def come(count: int) -> int:
            """So many more come; how many are sent away, of all."""
            asking.extend(asyncio.create_task(sent_to(app)) for _ in range(count))
            await asyncio.sleep(0.02)
            return sum(task.done() for task in asking)

        assert await come(working + limits._CROWD) == 0, "as many as may"
        assert await come(1) == 1, "one more, and only that one"
        for _ in range(limits._CROWD):
            app._leave()  # all who waited are let in
        assert await come(3) == 4, "nobody may wait for a moment"
        app._closed_until -= 60.0
        assert await come(few) == 4, "then a few may"
        assert await come(1) == 5 + few, "and are sent away as well when more come"
        assert await come(1) == 6 + few
        app._closed_until -= 120.0
        assert await come(2 * few) == 6 + few, "after two moments twice as many may, who are answered"
        app._closed_until -= 300.0
        assert await come(limits._CROWD - 2 * few) == 6 + few, "and in the end as many as ever"
        works.go.set()
        replies = [status for status, _ in await asyncio.gather(*asking)]
        assert (replies.count(200), replies.count(503)) == (len(asking) - 6 - few, 6 + few)

    asyncio.run(scenario())


def test_who_hammers_after_a_crowd_but_is_few_enough_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_MOMENT", 0.2)

    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def scenario() -> None:
        app = Admission(answers)
        last: list[int] = []

        async def hammers(until: float) -> None:
            while time.monotonic() < until:
                status, _ = await sent_to(app)
                if time.monotonic() > until - 0.5:
                    last.append(status)
                await asyncio.sleep(0)

        crowd = [sent_to(app) for _ in range(200)]
        few = [hammers(time.monotonic() + 2) for _ in range(2 * limits._WORKING_PER_CORE)]
        await asyncio.gather(*crowd, *few)
        assert set(last) == {200}

    asyncio.run(scenario())


def test_nobody_waits_longer_than_a_client_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_PATIENCE", 0.1)

    async def scenario() -> None:
        works = Works()
        app = Admission(works)
        asking = [asyncio.create_task(sent_to(app)) for _ in range(10)]
        started = time.monotonic()
        await asyncio.wait(asking[limits._WORKING_PER_CORE :])
        assert time.monotonic() - started < 10
        assert [task.result()[0] for task in asking if task.done()] == [503] * (10 - limits._WORKING_PER_CORE)
        works.go.set()
        await asyncio.gather(*asking)
        assert (app._free, len(app._waiting)) == (limits._WORKING_PER_CORE, 0)

    asyncio.run(scenario())


def test_no_turn_is_lost_whenever_someone_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_PATIENCE", 0.02)

    async def scenario() -> None:
        works = Works()
        app = Admission(works)
        asking = [asyncio.create_task(sent_to(app)) for _ in range(20)]
        for number, task in enumerate(asking):
            await asyncio.sleep(0.001 * (number % 4))
            if number % 3 == 0:
                task.cancel()
            if number == 10:
                works.go.set()
        await asyncio.gather(*asking, return_exceptions=True)
        assert (app._free, len(app._waiting)) == (limits._WORKING_PER_CORE, 0)

    for _ in range(10):
        asyncio.run(scenario())


def test_what_is_no_question_waits_for_nobody() -> None:
    async def scenario() -> None:
        works = Works()
        app = Admission(works)
        asking = [asyncio.create_task(sent_to(app)) for _ in range(limits._WORKING_PER_CORE)]
        asking += [asyncio.create_task(sent_to(app, "GET")) for _ in range(200)]
        await asyncio.sleep(0.05)
        assert works.now == len(asking)
        works.go.set()
        await asyncio.gather(*asking)

    asyncio.run(scenario())


def test_who_reads_a_reply_slowly_takes_nobody_s_turn() -> None:
    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def scenario() -> None:
        app = Admission(answers)
        reads = asyncio.Event()

        async def send(message: Message) -> None:
            await reads.wait()

        async def receive() -> Message:
            return {"type": "http.request"}

        scope: Scope = {"type": "http", "method": "POST"}
        slow = [asyncio.create_task(app(scope, receive, send)) for _ in range(100)]
        await asyncio.sleep(0.01)
        assert await asyncio.wait_for(sent_to(app), 10) == (200, {})
        reads.set()
        await asyncio.gather(*slow)

    asyncio.run(scenario())
