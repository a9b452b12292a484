"""B: the service under hostile, slow and far too many clients.

Each test is named after its case. Counts are checked always; what is a matter of seconds or megabytes only in the long
form, on a machine that has nothing else to do. B10 is left out, as nothing is streamed; B16 needs a machine of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from subprocess import Popen

import numpy as np
import pytest
from fastapi.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.api import patience
from bot.api.app import create_app
from bot.api.limits import Allowance
from bot.engine import Bot, build_index
from bot.publish import put_in_use
from bot.settings import MAX_QUESTION, Settings
from bot.types import Embeddings, Encoder, Progress
from tests.api.test_errors import CANARY, HOSTILE, JSON, assert_plain_error
from tests.battery.crowd import on_time
from tests.battery.drippers import dripping
from tests.battery.figures import dice, figure, figures, long
from tests.conftest import FILES, Overheard, write_files
from tests.servers import (
    Reply,
    Service,
    asked,
    connected,
    everything,
    exchange,
    parsed,
    reply_on,
    request,
    running,
    serving,
    until,
)

SITE = "https://intranet.example"
KEY = "a-key-that-nobody-else-knows-0123456789"
QUESTIONS = (
    "How fast may a boat go in the harbour?", "How many moorings are there?", "Who gives out the moorings?",
    "Where do small boats lie?", "What does a return ticket cost?", "When do puffins breed?", "How many pairs in 2023?",
    "How often does the ferry sail in winter?", "Do children pay?", "Who won the cup in 1974?",
)  # fmt: skip


def body(question: str = QUESTIONS[0], **fields: object) -> bytes:
    return json.dumps({"question": question, **fields}).encode()


ASK = request("POST", "/v1/ask", body())
HEALTH = request("GET", "/health/live")


@pytest.fixture(scope="module")
def service(island: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("service")
    chosen = {"origins": json.dumps([SITE]), "feedback": "true", "admin_key": KEY}
    with serving(island, home, **chosen) as service:
        exchange(service.port, ASK)
        yield service
        assert "Traceback" not in service.log.read_text()


def p99(seconds: Sequence[float]) -> float:
    return float(np.percentile(seconds, 99))


async def at_once(port: int, sent: Sequence[bytes], clients: int) -> list[Reply]:
    """Send requests by some clients, each one after the other; the replies in order."""
    replies = [Reply(0, {}, b"")] * len(sent)
    left = iter(enumerate(sent))

    async def client() -> None:
        for number, one in left:
            replies[number] = await asked(port, one)

    await asyncio.gather(*(client() for _ in range(clients)))
    return replies


def without_time(reply: bytes) -> bytes:
    return re.sub(rb'"took_ms":[^,}]+', b"", reply)


# --- B1 to B4: what is sent -------------------------------------------------------------------------------------------


def test_b1_schemathesis(service: Service, tmp_path: Path) -> None:
    """422 may refuse what the schema allows: that a question has a letter or a number, a schema cannot say. 413 comes
    before what else is wrong."""
    (tmp_path / "schemathesis.toml").write_text(
        '[checks.positive_data_acceptance]\nexpected-statuses = ["2xx", "401", "404", "409", "422"]\n'
        '[checks.negative_data_rejection]\nexpected-statuses = ["400", "401", "404", "405", "413", "415", "422"]\n'
    )
    seed = dice("B1").getrandbits(32)
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{service.port}/openapi.json",
         "--checks", "all", "--mode", "all", "--max-examples", "2000" if long() else "10", "--seed", str(seed),
         "--phases", "examples,coverage,fuzzing", "--generation-database", "none", "--no-color"],
        cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=3_600,
    )  # fmt: skip
    print(done.stdout)  # for when it fails
    examples = 2_000 if long() else 10
    figure("B1", f"faults with {examples:,} examples of each operation: 5xx, undocumented, against the schema",
           done.returncode, done.returncode == 0)  # fmt: skip


def test_b2_hostile_json(service: Service) -> None:
    refused = 0
    for content in HOSTILE.values():
        reply = exchange(service.port, request("POST", "/v1/ask", content))
        assert_plain_error(reply.body, reply.status, {400, 413, 422})
        refused += 1
    figure("B2", "every body gets a documented 4xx of at most 2 KiB without the input", refused, refused >= 60)


def chunked(service: Service, size: int) -> tuple[Reply, int]:
    """Send a body in chunks until it is refused; the reply, and how many bytes went."""
    head = f"POST /v1/ask HTTP/1.1\r\nHost: t\r\nOrigin: {SITE}\r\nContent-Type: application/json\r\n"
    piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    sent = 0
    with connected(service.port) as client:
        client.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            while sent < size:
                client.sendall(piece)
                sent += 65_536
            client.sendall(b"0\r\n\r\n")
        except OSError:
            pass
        try:
            return reply_on(client), sent
        except OSError:
            return Reply(0, {}, b""), sent


def test_b3_huge_question(service: Service) -> None:
    before = service.resident()  # not what one of its processes no longer shares with another
    seconds = []
    for size, status in ((1_001, 422), (60_000, 422), (65_537, 413), (5_000_000, 413)):
        sent = request("POST", "/v1/ask", body(CANARY.ljust(size, "x")))
        for _ in range(20 if long() else 1):
            started = time.perf_counter()
            reply = exchange(service.port, sent)
            if size < 100_000:
                seconds.append(time.perf_counter() - started)
            assert_plain_error(reply.body, reply.status, {status})
    reply, _ = chunked(service, 4_000_000)
    assert_plain_error(reply.body, reply.status, {413})
    reply, sent_bytes = chunked(service, 1_000_000_000)
    assert reply.status in (413, 0), "who goes on sending may miss the reply"
    figure("B3", "MiB of 1 GB that were taken, <= 8 and the buffers", sent_bytes / 2**20, sent_bytes < 24 * 2**20)
    if long():
        figure("B3", "p99 of rejections <= 20 ms", p99(seconds), p99(seconds) <= 0.020)
        more = service.resident() - before
        figure("B3", "megabytes more, <= 5", more, more <= 5)


class Noting:
    """An encoder that notes how long a text it is given."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.fingerprint, self.dim, self.max_tokens = encoder.fingerprint, encoder.dim, encoder.max_tokens
        self.longest = 0

    def _noted(self, texts: Sequence[str]) -> Sequence[str]:
        self.longest = max(self.longest, *map(len, texts))
        return texts

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._encoder.count_tokens(self._noted(texts))

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        return self._encoder.pieces(self._noted(texts))

    def encode_passages(self, texts: Sequence[str], progress: Progress | None = None) -> Embeddings:
        return self._encoder.encode_passages(self._noted(texts), progress)

    def encode_question(self, text: str) -> Embeddings:
        return self._encoder.encode_question(self._noted([text])[0])


def test_b3_the_tokenizer_never_sees_more_than_a_question(bot: Bot, island: Settings) -> None:
    noting = Noting(bot.encoder)
    with TestClient(create_app(lambda: replace(bot, encoder=noting), island)) as client:
        for size in (999, 1_000, 1_001, 5_000, 60_000):
            text = "how boat " * (size // 9) + "x" * (size % 9)
            turns = [{"question": text[:size], "passages": []}] * 20
            client.post("/v1/ask", json={"question": text})
            client.post("/v1/ask", json={"question": "and there?", "turns": turns})
            client.post("/", data={"question": text, "turns": json.dumps(turns)})
    figure("B3", "longest text that was tokenised <= 1,000 characters", noting.longest, 0 < noting.longest <= 1_000)
    assert MAX_QUESTION == 1_000


def raw(*lines: str, then: bytes = b"") -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + then


#: A request that hides in another's body; if it is answered, smuggling has succeeded.
HIDDEN = b"GET /v1/suggestions HTTP/1.1\r\nHost: t\r\n\r\n"
_POST = ("POST /v1/feedback HTTP/1.1", "Host: t")
_LENGTH = f"Content-Length: {len(HIDDEN) + 5}"
_CHUNKS = b"0\r\n\r\n" + HIDDEN

SMUGGLING = {
    "length and chunks": raw(*_POST, _LENGTH, "Transfer-Encoding: chunked", then=_CHUNKS),
    "chunks and length": raw(*_POST, "Transfer-Encoding: chunked", "Content-Length: 0", then=_CHUNKS),
    "two lengths": raw(*_POST, "Content-Length: 0", _LENGTH, then=b"x" * 5 + HIDDEN),
    "two lengths, other way": raw(*_POST, _LENGTH, "Content-Length: 0", then=HIDDEN),
    "lengths in a list": raw(*_POST, f"Content-Length: 0, {len(HIDDEN)}", then=HIDDEN),
    "plus": raw(*_POST, "Content-Length: +0", then=HIDDEN),
    "minus": raw(*_POST, "Content-Length: -1", then=HIDDEN),
    "hexadecimal": raw(*_POST, "Content-Length: 0x0", then=HIDDEN),
    "too large": raw(*_POST, "Content-Length: 18446744073709551616", then=HIDDEN),
    "length of nothing": raw(*_POST, "Content-Length: ", then=HIDDEN),
    "length in words": raw(*_POST, "Content-Length: zero", then=HIDDEN),
    "space before the colon": raw(*_POST, _LENGTH, "Transfer-Encoding : chunked", then=_CHUNKS),
    "unknown coding": raw(*_POST, _LENGTH, "Transfer-Encoding: xchunked", then=_CHUNKS),
    "coding after chunked": raw(*_POST, _LENGTH, "Transfer-Encoding: chunked, identity", then=_CHUNKS),
    "coding twice": raw(*_POST, "Transfer-Encoding: chunked", "Transfer-Encoding: cow", then=_CHUNKS),
    "vertical tab": raw(*_POST, _LENGTH, "Transfer-Encoding:\x0bchunked", then=_CHUNKS),
    "folded line": raw(*_POST, _LENGTH, "X: y", " Transfer-Encoding: chunked", then=b"x" * 5 + HIDDEN[:-5]),
    "bare line feed": raw(*_POST, _LENGTH, "X: y\nTransfer-Encoding: chunked", then=_CHUNKS),
    "bare carriage return": raw(*_POST, _LENGTH, "X: y\rTransfer-Encoding: chunked", then=_CHUNKS),
    "chunk size with a sign": raw(*_POST, "Transfer-Encoding: chunked", then=b"+0\r\n\r\n" + HIDDEN),
    "chunk size too large": raw(*_POST, "Transfer-Encoding: chunked", then=b"10000000000000000\r\n" + HIDDEN),
    "zero byte in a name": raw(*_POST, _LENGTH, "Transfer-Encoding\0: chunked", then=_CHUNKS),
    "chunks in HTTP/1.0": raw("POST /v1/feedback HTTP/1.0", _LENGTH, "Transfer-Encoding: chunked", then=_CHUNKS),
}


def sent_raw(service: Service, sent: bytes) -> bytes:
    with connected(service.port) as client:
        client.sendall(sent)
        client.settimeout(0.2)
        received = b""
        try:
            while more := client.recv(1 << 16):
                received += more
        except OSError:
            pass
        return received


@pytest.mark.parametrize("name", SMUGGLING)
def test_b4_smuggling(service: Service, name: str) -> None:
    received = sent_raw(service, SMUGGLING[name])
    refused = b"suggestions" not in received and b" 500 " not in received and received.count(b"HTTP/1.1 ") <= 1
    figure("B4", f"of {len(SMUGGLING)} ways to smuggle a request, those that succeed", 0 if refused else name, refused)


def test_b4_the_hidden_request_would_be_noticed(service: Service) -> None:
    plain = raw(*_POST, "Content-Length: 0", then=HIDDEN)
    assert b"suggestions" in sent_raw(service, plain)


ABUSE = {
    "a header of 64 KB": raw("GET / HTTP/1.1", "Host: t", "X: " + "x" * 65_536),
    "1,000 headers": raw("GET / HTTP/1.1", "Host: t", *(f"X-{number}: y" for number in range(1_000))),
    "5,000 headers": raw("GET / HTTP/1.1", "Host: t", *(f"X-{number}: y" for number in range(5_000))),
    "an address of 60 KB": raw("GET /" + "x" * 60_000 + " HTTP/1.1", "Host: t"),
    "a line feed in a value": raw("GET / HTTP/1.1", "Host: t", "X: a\nSet-Cookie: b"),
    "an encoded one in the address": raw("GET /%0d%0aSet-Cookie:%20a HTTP/1.1", "Host: t"),
    "an encoded one in an id": raw("GET /v1/documents/%0d%0aSet-Cookie:%20a?x=%0d%0aSet-Cookie:a HTTP/1.1", "Host: t"),
    "a request id of its own": raw("GET / HTTP/1.1", "Host: t", "X-Request-ID: a\x01b"),
    "no Host": raw("GET / HTTP/1.1"),
    "two Hosts": raw("GET / HTTP/1.1", "Host: a", "Host: b"),
    "a Host of signs": raw("GET / HTTP/1.1", "Host: <script>@:99999"),
    "an absolute address": raw("GET http://evil.example/ HTTP/1.1", "Host: t"),
    "an absolute address without a path": raw("GET http://evil.example HTTP/1.1", "Host: t"),
    "an address of two slashes": raw("GET //evil.example/ HTTP/1.1", "Host: t"),
    "bytes in the address": raw("GET /\xff\xfe HTTP/1.1", "Host: t"),
    "encoded bytes in the address": raw("GET /v1/documents/%ff%00%fe HTTP/1.1", "Host: t"),
    "only a query": raw("GET ?a HTTP/1.1", "Host: t"),
    "a star": raw("OPTIONS * HTTP/1.1", "Host: t"),
    "CONNECT": raw("CONNECT evil.example:443 HTTP/1.1", "Host: evil.example:443"),
    "TRACE": raw("TRACE / HTTP/1.1", "Host: t", "X-Secret: xqCanaryqx"),
    "an unknown method": raw("BREW / HTTP/1.1", "Host: t"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": raw("GET / HTTP/9.9", "Host: t"),
    "a websocket": raw("GET / HTTP/1.1", "Host: t", "Connection: Upgrade", "Upgrade: websocket"),
    "h2c": raw("GET / HTTP/1.1", "Host: t", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: A"),
    "a TLS hello": bytes.fromhex("16030100a5010000a10303") + b"\0" * 160,
    "zero bytes": b"\0" * 1_000,
    "an expectation": raw("POST /v1/ask HTTP/1.1", "Host: t", "Expect: 200-maybe", "Content-Length: 2", then=b"{}"),
    "a cookie of 20 KB": raw("GET / HTTP/1.1", "Host: t", "Cookie: a=" + "x" * 20_000),
    "bytes in headers": raw("GET / HTTP/1.1", "Host: t", "Accept-Language: \xff\xfe", "Origin: \xff", "Accept: \xff"),
    "a list of languages": raw("GET / HTTP/1.1", "Host: t", "Accept-Language: " + "en;q=0.1," * 3_000),
    "etags": raw("GET /widget/pages.css HTTP/1.1", "Host: t", "If-None-Match: " + '"a",' * 7_000),
    "a range": raw("GET /widget/pages.css HTTP/1.1", "Host: t", "Range: bytes=" + "0-1," * 5_000),
}  # fmt: skip


@pytest.mark.parametrize("name", ABUSE)
def test_b4_header_abuse(service: Service, name: str) -> None:
    received = sent_raw(service, ABUSE[name]).lower()
    head = received.partition(b"\r\n\r\n")[0]
    sound = b"http/1.1 5" not in received and b"set-cookie" not in head and b"xqcanaryqx" not in received
    figure(
        "B4", f"of {len(ABUSE)} hostile heads, those that get a 5xx or what they ask for", 0 if sound else name, sound
    )
    assert exchange(service.port, HEALTH).status == 200


@pytest.mark.parametrize(
    "path", ["/", "/v1/ask", "/v1/ask/", "/nowhere", "/documents/harbour.md", "/openapi.json", "//"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_b4_no_reply_is_built_from_host(service: Service, method: str, path: str) -> None:
    hosts = ("X-Forwarded-Host: evil.example", "Forwarded: host=evil.example", "X-Original-URL: http://evil.example/")
    sent = raw(f"{method} {path} HTTP/1.1", "Host: evil.example", *hosts, "Connection: close")
    sound = b"evil.example" not in sent_raw(service, sent)
    figure("B4", "addresses whose reply is built from Host", 0 if sound else path, sound)


# --- B5 and B6: slow clients ------------------------------------------------------------------------------------------


def all_served(replies: Sequence[Reply]) -> bool:
    return {reply.status for reply in replies} == {200}


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch, bot: Bot, island: Settings) -> Iterator[int]:
    """A service of whose patience the long form is a test; in the short form it has less."""
    if not long():
        for name, seconds in (("HEAD_SECONDS", 2.0), ("BODY_SECONDS", 5.0), ("READER_SECONDS", 5.0)):
            monkeypatch.setattr(patience, name, seconds)
    with running(create_app(lambda: bot, island), send_buffer=16_384) as port:  # so that little fills it
        yield port


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def dripped_on(request: pytest.FixtureRequest) -> tuple[int, Callable[[], int]]:
    """The port of a service, and what counts its descriptors; in the long form it has a process of its own."""
    if not long():
        return request.getfixturevalue("patient"), descriptors
    service: Service = request.getfixturevalue("service")
    return service.port, service.descriptors


def test_b5_slowloris(dripped_on: tuple[int, Callable[[], int]]) -> None:
    port, opened = dripped_on
    alone = [asyncio.run(asked(port, ASK)).seconds for _ in range(200 if long() else 5)]
    before = opened()

    async def others(dripping: Popen[str]) -> list[Reply]:
        found = []
        while dripping.poll() is None:
            found.append(await asked(port, ASK))
            await asyncio.sleep(0.05)
        return found

    with dripping(port, 500 if long() else 50, 60) as slow:
        replies = asyncio.run(others(slow))
        heads, bodies = map(max, json.loads(slow.communicate()[0]))
    figure("B5", "normal users are answered, 100 %", len(replies), all_served(replies))
    figure("B5", "seconds until every dripper is let go, before it ends", max(heads, bodies), max(heads, bodies) < 60)
    until(lambda: opened() <= before)
    figure("B5", "descriptors more than before, 0", opened() - before, opened() <= before)
    if long():
        figure("B5", "seconds until a head is given up, at most 10", heads, heads <= 10)
        figure("B5", "seconds until a body is given up, at most 15", bodies, bodies <= 15)
        ratio = p99([reply.seconds for reply in replies]) / p99(alone)
        figure("B5", "p99 of normal users against unloaded, at most 2", ratio, ratio <= 2)


async def sips(port: int, sent: bytes, freed: asyncio.Event) -> None:
    """Ask for much and read next to nothing, and stay."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        sending = asyncio.create_task(loop.sock_sendall(client, sent))
        while not freed.is_set():
            await asyncio.sleep(0.25)
            with suppress(OSError):
                client.recv(1)
        sending.cancel()
        await asyncio.wait([sending])


def test_b6_slow_reader(patient: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers of answers as well: whoever does not read them must not take anybody's turn."""
    count = 100 if long() else 10
    held, pause = [0], patience.PatientProtocol.pause_writing

    def noted(self: patience.PatientProtocol) -> None:
        held.append(self.transport.get_write_buffer_size())
        pause(self)

    monkeypatch.setattr(patience.PatientProtocol, "pause_writing", noted)
    files = request("GET", "/widget/signpost-chat.js", close=False) * 10
    answers = request("POST", "/v1/ask", body(top_k=20), close=False) * 40
    asyncio.run(asked(patient, ASK))
    before = descriptors()

    async def load() -> tuple[float, list[Reply]]:
        freed = asyncio.Event()
        slow = []
        for sent in (files, answers) * count:  # one after the other: a crowd that asks at once is B7's
            slow.append(asyncio.create_task(sips(patient, sent, freed)))
            await asyncio.sleep(0.02)
        await asyncio.sleep(1)
        while (await asked(patient, ASK)).status == 503:
            await asyncio.sleep(0.5)
        assert descriptors() >= before + 2 * len(slow), "both ends of each are here"
        started = time.monotonic()
        others = []
        while descriptors() > before + len(slow) + 8 and time.monotonic() - started < 60:
            others.append(await asked(patient, ASK))
            await asyncio.sleep(0.05)
        took = time.monotonic() - started
        freed.set()
        await asyncio.gather(*slow)
        return took, others

    took, others = asyncio.run(load())
    figure("B6", "seconds until the readers are let go, though they stay", took, took < 60)
    figure("B6", "KiB held for one reader, at most 64", max(held) / 1024, 0 < max(held) <= 64 * 1024)
    if long():
        figure("B6", "seconds until all are let go, at most 30", took, took <= 30)
    figure("B6", "normal users are answered, 100 %", len(others), all_served(others))


# --- B7 to B9: too many clients ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slow(island: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("slow")
    with serving(island, home, "tests.battery.slow", origins=json.dumps([SITE])) as service:
        yield service


def test_b7_overload_10x(slow: Service) -> None:
    overload(slow, "work is a sleep of 0.1 s")


@pytest.mark.long
def test_b7_overload_10x_of_real_work(service: Service) -> None:
    """Ten times as much as can be really worked on, from clients that share its processors."""
    overload(service, "real work")


def overload(slow: Service, work: str) -> None:
    """``unloaded`` are as many clients as are worked on at once, each with one question after the other."""
    seconds = 60 if long() else 3
    slots = 2 * (os.cpu_count() or 1)
    ask = request("POST", "/v1/ask", body(), f"Origin: {SITE}")
    started = time.monotonic()
    unloaded = [
        reply.seconds for reply in asyncio.run(at_once(slow.port, [ask] * slots * (50 if long() else 10), slots))
    ]
    peak = len(unloaded) / (time.monotonic() - started)
    before = slow.memory()

    with ThreadPoolExecutor() as clients:
        calm = clients.submit(on_time, slow.port, HEALTH, 5, seconds)
        replies, health = on_time(slow.port, ask, 10 * peak, seconds), calm.result()
    ended, again = time.monotonic(), []
    while time.monotonic() - ended < (10 if long() else 1):
        again.append((time.monotonic() - ended, asyncio.run(asked(slow.port, ask))))
    statuses = Counter(reply.status for reply in replies)
    accepted = [reply.seconds for reply in replies if reply.status == 200]
    refused = [reply for reply in replies if reply.status in (429, 503)]
    for reply in refused:
        assert int(reply.headers["retry-after"]) > 0
        assert json.loads(reply.body)["error"] == "Overloaded"
        assert reply.headers["access-control-allow-origin"] == SITE
    figures(
        "B7",
        (f"{work}: every reply is 200, 429 or 503, 0 resets", str(dict(statuses)), set(statuses) <= {200, 429, 503}),
        (f"{work}: some are accepted, most refused", len(accepted), slots <= len(accepted) < len(refused)),
        (f"{work}: /health answers, 100 %", len(health), {reply.status for reply in health} == {200}),
        (f"{work}: answered when it is over, 100 %", len(again), {reply.status for _, reply in again} == {200}),
    )
    if not long():
        return
    goodput, ratio = len(accepted) / seconds / peak, p99(accepted) / p99(unloaded)
    late, looked = p99([reply.seconds for reply in refused]), p99([reply.seconds for reply in health])
    more = slow.memory() / before
    normal = p99([reply.seconds for now, reply in again if now > 5]) / p99(unloaded)
    figures(
        "B7",
        (f"{work}: goodput against the peak, at least 0.9", goodput, goodput >= 0.9),
        (f"{work}: p99 of accepted against unloaded, at most 2", ratio, ratio <= 2),
        (f"{work}: p99 of rejections in seconds, at most 0.05", late, late <= 0.05),
        (f"{work}: p99 of /health in seconds, at most 0.1", looked, looked <= 0.1),
        (f"{work}: memory against before, at most 1.3", more, more <= 1.3),
        (f"{work}: p99 5 s after it is over against unloaded, at most 1.1", normal, normal <= 1.1),
    )


@pytest.fixture(scope="module")
def limited(island: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service behind a proxy of ours, which is whoever asks here: clients are as many as it says."""
    home = tmp_path_factory.mktemp("limited")
    with serving(island, home, rate_limit="60", proxies='["127.0.0.0/8"]') as service:
        yield service


def test_b8_rate_limit(limited: Service) -> None:
    chance = dice("B8")
    seconds, per_second = (60, 100) if long() else (2, 50)

    def from_(client: str) -> bytes:
        return request("POST", "/v1/feedback", b"{}", f"X-Forwarded-For: {client}")

    def household() -> str:
        return "2001:db8:1:2:" + ":".join(f"{chance.getrandbits(16):x}" for _ in range(4))

    async def load() -> dict[str, list[Reply]]:
        attacks: dict[str, Callable[[], bytes]] = {
            "one client": lambda: from_("192.0.2.1"),
            "spoofed": lambda: from_(f"203.0.113.{chance.randrange(256)}, 192.0.2.2"),
            "one /64": lambda: from_(household()),
        }
        found = {}
        for name, make in attacks.items():
            started = time.monotonic()
            tasks = []
            for number in range(seconds * per_second):
                await asyncio.sleep(max(0.0, started + number / per_second - time.monotonic()))
                tasks.append(asyncio.create_task(asked(limited.port, make())))
            found[name] = await asyncio.gather(*tasks)
            took = time.monotonic() - started
            let_in = sum(reply.status != 429 for reply in found[name])
            most = 10 + took + 1  # what may be asked at once, and one each second
            figure("B8", f"{name}: accepted <= limit + 5 %", let_in, let_in <= most * 1.05)
        return found

    for replies in asyncio.run(load()).values():
        assert {reply.status for reply in replies} <= {422, 404, 429}
        waits = [int(reply.headers["retry-after"]) for reply in replies if reply.status == 429]
        figure("B8", "Retry-After is right, +-1 s", max(waits), {1, 2} >= set(waits))
    others = asyncio.run(at_once(limited.port, [from_(f"198.51.100.{number}") for number in range(200)], 8))
    figure("B8", "others are served, 100 %", len(others), 429 not in {reply.status for reply in others})


def test_b8_a_million_addresses() -> None:
    chance = dice("B8")
    allowance = Allowance(60)
    count = 1_000_000 if long() else 100_000
    for _ in range(count):
        allowance.wait(str(chance.getrandbits(128)))
    size = allowance._whole_again.nbytes / 1e6
    figure("B8", f"megabytes for {count:,} clients, <= 20", size, size <= 20)
    served = sum(allowance.wait(f"somebody else {number}") == 0.0 for number in range(1_000))
    figure("B8", "others are served, 100 %", served, served == 1_000)


def aborted(port: int, clients: int) -> float:
    """Ask by some clients that all end their connection in the middle; return when they have, by the monotonic clock.

    One in four has had the beginning of its reply, half of the others have not even sent their whole question.
    """
    with ExitStack() as open_ones:
        for number in range(clients):
            client = open_ones.enter_context(connected(port))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not a goodbye
            client.sendall(request("POST", "/v1/ask", body(top_k=20))[: None if number % 2 else -3])
            if number % 4 == 1:
                client.recv(10)
    return time.monotonic()


def test_b9_disconnect(service: Service) -> None:
    exchange(service.port, ASK)
    time.sleep(0.5)
    fds = service.descriptors()
    aborted(service.port, 200)
    until(lambda: exchange(service.port, ASK).status == 200)
    until(lambda: abs(service.descriptors() - fds) <= 2)
    figure("B9", "descriptors as before, +-2", service.descriptors() - fds, abs(service.descriptors() - fds) <= 2)


class Hearing:
    """An app in whose loop a test can count the tasks."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.loop = asyncio.get_running_loop()
        await self.app(scope, receive, send)

    def tasks(self) -> int:
        assert self.loop is not None
        return len(asyncio.all_tasks(self.loop))


class Busy(Overheard):
    """A bot of whose work somebody who goes leaves some undone."""

    def overhear(self, question: str) -> None:
        time.sleep(0.05)


def test_b9_nobody_works_for_who_has_gone(bot: Bot, island: Settings) -> None:
    app = Hearing(create_app(lambda: Busy(bot.encoder, bot.snapshot), island))
    with running(app) as port:
        exchange(port, ASK)
        before = app.tasks()
        went = aborted(port, 200)
        until(lambda: app.tasks() <= before)
        took = time.monotonic() - went
        figure("B9", "tasks that are left, 0", app.tasks() - before, app.tasks() == before)
    if long():
        figure("B9", "seconds until all work for them has ended, at most 1", took, took <= 1)


# --- B11 to B13: what comes back --------------------------------------------------------------------------------------

STRANGERS = (
    "null", "https://evil.example", "http://intranet.example", "https://intranet.example:8443",
    "https://intranet.example:443", "https://intranet.example.evil.example", "https://evilintranet.example",
    "https://a.intranet.example", "https://intranetXexample", "https://intranet.exampleX", "https://INTRANET.example",
    "https://intranet.example/", "https://xn--ntranet-4za.example", "https://intranet.example@evil.example",
    "https://evil.example#https://intranet.example", "https://intranet.example.", " https://intranet.example evil", "*",
    "", "file://", "https://intranet.example, https://evil.example", "https://intranet%2eexample",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Failing(Overheard):
    """A bot that fails as it is told to."""

    def overhear(self, question: str) -> None:
        raise FAULTS[int(question.split()[0])](f"{CANARY} in /srv/signpost/secret.py, line 7")


FAULTS: tuple[type[Exception], ...] = (
    OSError, PermissionError, FileNotFoundError, ConnectionResetError, BrokenPipeError, TimeoutError, MemoryError,
    RecursionError, KeyError, IndexError, ValueError, TypeError, AttributeError, ZeroDivisionError, OverflowError,
    FloatingPointError, AssertionError, RuntimeError, NotImplementedError, NameError, ImportError, EOFError,
    BufferError, ReferenceError, SystemError,
)  # fmt: skip


@pytest.mark.parametrize("origin", [SITE, *STRANGERS])
def test_b11_cors(bot: Bot, island: Settings, origin: str) -> None:
    settings = island.model_copy(update={"origins": (SITE,), "rate_limit": 30})
    headers = {**JSON, "origin": origin}
    with (
        TestClient(create_app(lambda: bot, settings)) as client,
        TestClient(create_app(lambda: Failing(bot.encoder, bot.snapshot), settings)) as failing,
    ):
        replies = [
            client.get("/v1/documents", headers=headers),
            client.get("/v1/documents", headers={"accept": "*/*"}),
            client.get("/nowhere", headers=headers),
            client.delete("/v1/ask", headers=headers),
            client.options("/v1/ask", headers={**headers, "access-control-request-method": "POST"}),
            client.post("/v1/ask", content=body(), headers=headers),
            client.post("/v1/ask", content=b"{", headers=headers),
            client.post("/v1/ask", content=b" " * 70_000, headers=headers),
            client.post("/v1/ask", content=b"{}", headers=headers),
            failing.post("/v1/ask", content=body("0 of them"), headers=headers),
            *(client.post("/v1/ask", content=body(), headers=headers) for _ in range(2)),
        ]
    assert {200, 400, 404, 405, 413, 422, 429, 500} <= {reply.status_code for reply in replies}
    wrong = []
    for number, reply in enumerate(replies):
        allowed = SITE if origin == SITE and number != 1 else None
        sound = (
            reply.headers.get("access-control-allow-origin") == allowed
            and "origin" in reply.headers.get("vary", "").lower()
            and "access-control-allow-credentials" not in reply.headers
        )
        wrong += [] if sound else [f"{origin}: {reply.status_code} {reply.request.url}"]
    figure(
        "B11",
        f"replies that let in one of {len(STRANGERS)} strangers, or not our own",
        ", ".join(wrong) or "0",
        not wrong,
    )


def test_b12_admin_authz(service: Service) -> None:
    wrong = (
        "", "Bearer", "Bearer ", "Bearer wrong", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", f"Bearer {KEY.upper()}", KEY,
        f"bearer{KEY}", f"Basic {KEY}", f"Bearer  {KEY}", f"Bearer {KEY}, Bearer {KEY}", "Bearer \xff\xfe",
        "Bearer null",
    )  # fmt: skip
    refused = Counter[int]()
    for said in wrong:
        more = [f"Authorization: {said}"] if said else []
        refused[exchange(service.port, request("POST", "/v1/admin/reindex", b"", *more)).status] += 1
    for path in (f"?key={KEY}", f"?authorization=Bearer%20{KEY}", f"?admin_key={KEY}", f"?token={KEY}", f"/{KEY}"):
        refused[exchange(service.port, request("POST", f"/v1/admin/reindex{path}")).status] += 1
    for header in (f"X-API-Key: {KEY}", f"Cookie: key={KEY}", f"Cookie: Authorization=Bearer {KEY}"):
        refused[exchange(service.port, request("POST", "/v1/admin/reindex", b"", header)).status] += 1
    sent = request("POST", "/v1/admin/reindex", json.dumps({"key": KEY}).encode())
    refused[exchange(service.port, sent).status] += 1
    assert set(refused) <= {401, 403, 404}, refused
    figure("B12", "without the key 401 (404 where there is nothing)", str(dict(refused)), refused[404] <= 1)
    right = request("POST", "/v1/admin/reindex", b"", f"Authorization: Bearer {KEY}")
    first, second = exchange(service.port, right), exchange(service.port, right)
    assert (first.status, second.status) == (202, 409)
    until(lambda: "building the index ended" in service.log.read_text(), 120)
    assert exchange(service.port, ASK).status == 200
    figure("B12", "the key is never logged", 0, KEY not in service.log.read_text())
    assert KEY.encode() not in exchange(service.port, request("GET", "/metrics")).body


def test_b12_without_a_key_there_is_no_admin(bot: Bot, island: Settings) -> None:
    with TestClient(create_app(lambda: bot, island)) as client:
        for said in ("", "Bearer ", "Bearer None", "Bearer null", f"Bearer {KEY}"):
            assert client.post("/v1/admin/reindex", headers={"authorization": said}).status_code == 404


def test_b13_error_hygiene(bot: Bot, island: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, logger="httpx2")
    broken = 0
    with TestClient(create_app(lambda: Failing(bot.encoder, bot.snapshot), island)) as client:
        for number in range(len(FAULTS)):
            question = f"{number} {CANARY}"
            for reply in (
                client.post("/v1/ask", json={"question": question}),
                client.post("/", data={"question": question}, headers={"accept": "text/html"}),
            ):
                assert reply.status_code == 500
                for leak in ("Traceback", "/srv", ".py", "Error(", "line 7", CANARY, "uvicorn", "starlette", "python"):
                    assert leak not in f"{reply.text}{reply.headers}", leak
                lines = [line for line in caplog.text.splitlines() if reply.headers["x-request-id"] in line]
                assert len(lines) == 1
                broken += 1
    assert CANARY not in caplog.text
    figure("B13", "faults that leaked nothing and are one line in the log", broken, broken == 50)


# --- B14 to B17: for long ---------------------------------------------------------------------------------------------


def mixed(chance: random.Random) -> bytes:
    """A request as people, programs and fools send them."""
    question = chance.choice(QUESTIONS)
    asks = request("POST", "/v1/ask", body(question, top_k=chance.randint(1, 20), explain=chance.random() < 0.2))
    others = (
        request("GET", "/"), request("GET", "/v1/documents"), request("GET", "/documents/harbour.md"),
        request("GET", "/health/ready"), request("GET", "/metrics"), request("GET", "/nowhere"),
        request("POST", "/v1/ask", chance.choice(list(HOSTILE.values()))),
        request("POST", "/v1/feedback", b'{"status": "answered", "helpful": true}'),
        request("POST", "/v1/ask", body("And in winter?", turns=[{"question": question}])),
    )  # fmt: skip
    return asks if chance.random() < 0.6 else chance.choice(others)


def at_rest(service: Service) -> tuple[int, int]:
    """Descriptors and threads when nobody asks: threads that have been idle for 10 s end with the next request."""
    time.sleep(11)
    for _ in range(20):
        assert exchange(service.port, ASK).status == 200
    time.sleep(0.5)
    return service.descriptors(), service.threads()


def test_b14_soak(service: Service) -> None:
    """60 s; ``SOAK_MINUTES``, or 20 of them, in the long form."""
    chance = dice("B14")
    seconds = 60 * float(os.environ.get("SOAK_MINUTES", "20")) if long() else 60
    statuses = Counter[int]()
    timed: list[tuple[float, float]] = []
    watched: list[tuple[float, float]] = []

    async def traffic(seconds: float) -> None:
        started = time.monotonic()

        async def client() -> None:
            while (now := time.monotonic() - started) < seconds:
                reply = await asked(service.port, mixed(chance))
                statuses[reply.status] += 1
                timed.append((now, reply.seconds))

        async def watch() -> None:
            while (now := time.monotonic() - started) < seconds:
                watched.append((now, service.memory()))
                await asyncio.sleep(seconds / 200)

        await asyncio.gather(watch(), *(client() for _ in range(4)))

    asyncio.run(traffic(5))  # so that all has been loaded once
    before = at_rest(service)
    timed.clear()
    watched.clear()
    asyncio.run(traffic(seconds))
    after = at_rest(service)
    figure("B14", f"of {statuses.total():,} replies, 0 are 5xx, 0 resets", str(dict(statuses)),
           max(statuses) < 500 and not statuses[0])  # fmt: skip
    figure("B14", "descriptors more than before, 0", after[0] - before[0], after[0] <= before[0])
    figure("B14", "threads more than before, 0", after[1] - before[1], after[1] <= before[1])
    assert len(timed) > seconds
    if not long():
        return
    kept = [row for row in watched if row[0] > seconds / 3]
    slope = 3_600 * float(np.polyfit([row[0] for row in kept], [row[1] for row in kept], 1)[0])
    early = p99([took for now, took in timed if seconds / 3 < now < seconds * 2 / 3])
    late = p99([took for now, took in timed if now > seconds * 2 / 3])
    figures(
        "B14",
        ("megabytes of its own an hour after warming up, at most 1", slope, slope <= 1),
        ("p99 of the last third against the one before, at most 1.1", late / early, late / early <= 1.1),
    )


def test_b15_shutdown(island: Settings, tmp_path: Path) -> None:
    lost, drained = 0, []
    for _ in range(50 if long() else 1):
        with serving(island, tmp_path, "tests.battery.slow", workers="2") as service, ExitStack() as clients:
            # as many as one process answers before any has waited too long, should all come to it
            accepted = [clients.enter_context(connected(service.port)) for _ in range(16)]
            for client in accepted:
                client.sendall(request("GET", "/health/live", close=False))
                assert reply_on(client).status == 200
            for client in accepted:
                client.sendall(request("POST", "/v1/ask", body(), close=False))
            time.sleep(0.2)  # all are read, few are answered
            started = time.monotonic()
            service.process.send_signal(signal.SIGTERM)
            for client in accepted:
                reply = parsed(everything(client))
                lost += not (reply.status == 200 and len(reply.body) == int(reply.headers["content-length"]))
            assert service.process.wait(30) == 0
            drained.append(time.monotonic() - started)
            assert "Traceback" not in service.log.read_text()
    figure("B15", "accepted requests that were lost", lost, lost == 0)
    if long():
        figure("B15", "drained <= 10 s", max(drained), max(drained) <= 10)


def test_b15_a_worker_is_killed(island: Settings, tmp_path: Path) -> None:
    back, failed = [], 0
    with serving(island, tmp_path, workers="2") as service, connected(service.port) as client:
        for number in range(20 if long() else 1):
            first, second = until_two(service)
            os.kill(first, signal.SIGSTOP)
            with connected(service.port) as client:
                client.sendall(request("POST", "/v1/ask", body(), close=False))
                failed += reply_on(client).status != 200
                os.kill(first, signal.SIGKILL)
                started = time.monotonic()
                while first in service.workers() or len(service.workers()) < 2:
                    client.sendall(request("POST", "/v1/ask", body(), close=False))
                    failed += reply_on(client).status != 200
                assert second in service.workers(), number
            os.kill(second, signal.SIGSTOP)
            try:
                failed += exchange(service.port, ASK).status != 200
                back.append(time.monotonic() - started)
            finally:
                os.kill(second, signal.SIGCONT)
    figure("B15", "requests to the other worker that failed", failed, failed == 0)
    if long():
        figure("B15", "worker back <= 5 s", max(back), max(back) <= 5)


def until_two(service: Service) -> list[int]:
    until(lambda: len(service.workers()) == 2)
    return service.workers()


def test_b17_concurrency_truth(service: Service) -> None:
    chance = dice("B17")
    words = [*QUESTIONS, "in winter", "boats", "the lighthouse keeper", "and there?", "most", "puffins cost"]
    sent = []
    for _ in range(5_000 if long() else 192):
        question = " ".join(chance.sample(words, chance.randint(1, 2)))
        turns = [{"question": chance.choice(QUESTIONS)}] if chance.random() < 0.3 else []
        fields = {"top_k": chance.randint(1, 20), "explain": chance.random() < 0.3, "turns": turns}
        sent.append(request("POST", "/v1/ask", body(question, **fields)))
    alone = [without_time(exchange(service.port, one).body) for one in sent]
    together = asyncio.run(at_once(service.port, sent, 64))
    same = sum(without_time(reply.body) == one for reply, one in zip(together, alone, strict=True))
    figure("B17", f"answers of 64 clients at once that are the same, of {len(sent):,}", same, same == len(sent))


# --- D12: all at once -------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_d12_attack_while_sick(island: Settings, tmp_path: Path) -> None:
    """A5, B5 and B7 together: ten times too many questions, slow senders that come back, and an index in which bits
    flip whenever another snapshot is put in use; it is mended before the next. Each snapshot says something else."""
    chance, seconds, index = dice("D12"), 60, tmp_path / "index"
    changed = {"harbour.md": FILES["harbour.md"].replace("5 knots", "6 knots")}
    settings = island.model_copy(update={"index": index})
    said = {build_index(settings).snapshot: "5 knots"}
    folder = write_files(tmp_path / "corpus", {**FILES, **changed})
    said[build_index(settings.model_copy(update={"corpus": folder})).snapshot] = "6 knots"
    over, flipped = threading.Event(), 0

    def sicken() -> None:
        nonlocal flipped
        for name in cycle(said):
            path = chance.choice([path for path in (index / "snapshots" / name).rglob("*") if path.stat().st_size])
            if path.is_dir():
                continue
            sound = path.read_bytes()
            sick = bytearray(sound)
            sick[chance.randrange(len(sick))] ^= 1 << chance.randrange(8)
            for data in (bytes(sick), sound):
                other = path.with_name("other")
                other.write_bytes(data)
                other.replace(path)
                if data != sound:
                    put_in_use(index, name)
                    flipped += 1
                if over.wait(3):
                    path.write_bytes(sound)
                    return
            put_in_use(index, next(one for one in said if one != name))
            if over.wait(3):
                return
            put_in_use(index, name)
            if over.wait(3):
                return

    ask = request("POST", "/v1/ask", body(), f"Origin: {SITE}")
    with serving(settings, tmp_path, "tests.battery.slow", origins=json.dumps([SITE])) as service:
        slots = 2 * (os.cpu_count() or 1)
        started = time.monotonic()
        unloaded = asyncio.run(at_once(service.port, [ask] * slots * 20, slots))
        peak = len(unloaded) / (time.monotonic() - started)
        sickness = threading.Thread(target=sicken)
        with dripping(service.port, 500, seconds, again=True):
            sickness.start()
            replies = on_time(service.port, ask, 10 * peak, seconds)
        over.set()
        sickness.join()
        until(lambda: exchange(service.port, ask).status == 200)
        alive, log = service.process.poll() is None, service.log.read_text()
    statuses, wrong, snapshots = Counter(reply.status for reply in replies), 0, set[str]()
    for reply in replies:
        if reply.status == 200:
            answer = json.loads(reply.body)
            snapshots.add(answer["snapshot"])
            wrong += said.get(answer["snapshot"], "?") not in answer["answer"]["text"]
    noticed = log.count("is damaged")
    figures(
        "D12",
        ("every reply is 200 or 503, 0 resets", str(dict(statuses)), set(statuses) == {200, 503}),
        (f"of {statuses[200]:,} answers, those of neither snapshot or of both, 0", wrong, not wrong),
        ("snapshots that answered, old and new", len(snapshots), snapshots == set(said)),
        (f"of {flipped} flipped bits, those noticed and named", noticed, flipped - 1 <= noticed),
        ("crashes, 0", int(not alive) + log.count("Traceback"), alive and "Traceback" not in log),
    )
