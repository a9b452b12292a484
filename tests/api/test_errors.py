"""Whatever is sent, the reply is a short, documented error that repeats none of it; and nothing of it is kept."""

from __future__ import annotations

import gzip
import json
import logging
import re
from collections.abc import Iterator, Mapping

import pytest
from fastapi.testclient import TestClient

from bot.api.app import create_app
from bot.engine import Bot
from bot.settings import Settings
from tests.conftest import Overheard

#: Stands in everything hostile that is sent, and may stand in nothing that comes back.
CANARY = "xqCanaryqx"

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def client(bot: Bot, island: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(lambda: bot, island.model_copy(update={"feedback": True}))) as client:
        yield client


def body(**fields: object) -> bytes:
    return json.dumps({"question": "How fast?", **fields}).encode()


HOSTILE: Mapping[str, bytes] = {
    "nothing": b"",
    "no JSON": CANARY.encode(),
    "half of a body": body(question=CANARY)[:-3],
    "something after it": body() + CANARY.encode(),
    "not UTF-8": f'{{"question": "{CANARY} é"}}'.encode("latin-1"),
    "gzip": gzip.compress(body(question=CANARY)),
    "form fields": f"question={CANARY}".encode(),
    "a list": f'["{CANARY}"]'.encode(),
    "a string": f'"{CANARY}"'.encode(),
    "null": b"null",
    "NaN": b"NaN",
    "nothing in it": b"{}",
    "no question": b'{"top_k": 3}',
    "question: null": body(question=None),
    "question: a number": body(question=112),
    "question: NaN": b'{"question": NaN}',
    "question: a list": body(question=[CANARY]),
    "question: an object": body(question={CANARY: CANARY}),
    "question: empty": body(question=""),
    "question: blank": body(question=" \n\u200b"),
    "question: signs": body(question="?!" * 50),
    "question: a lone surrogate": b'{"question": "\\ud800 ' + CANARY.encode() + b'"}',
    "question: 1,001 characters": body(question=CANARY.ljust(1_001, "x")),
    "question: 60 kB": body(question=CANARY * 6_000),
    "question: 5 MB": body(question=CANARY * 500_000),
    "top_k: NaN": b'{"question": "a", "top_k": NaN}',
    "top_k: Infinity": b'{"question": "a", "top_k": Infinity}',
    "top_k: -Infinity": b'{"question": "a", "top_k": -Infinity}',
    "top_k: 0": body(top_k=0),
    "top_k: 21": body(top_k=21),
    "top_k: negative": body(top_k=-1),
    "top_k: 3.5": body(top_k=3.5),
    "top_k: true": body(top_k=True),
    "top_k: null": body(top_k=None),
    "top_k: text": body(top_k=CANARY),
    "top_k: a lone surrogate": b'{"question": "a", "top_k": "\\udfff' + CANARY.encode() + b'"}',
    "top_k: 4,000 digits": b'{"question": "a", "top_k": ' + b"9" * 4_000 + b"}",
    "top_k: 5,000 digits": b'{"question": "a", "top_k": ' + b"9" * 5_000 + b"}",
    "top_k: 1e999": b'{"question": "a", "top_k": 1e999}',
    "100,000 lists in each other": b'{"question": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "30,000 lists in each other": b"[" * 30_000 + b"]" * 30_000,
    "900 lists in each other": b'{"question": "a", "filters": ' + b"[" * 900 + b"]" * 900 + b"}",
    "10,000 objects in each other": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "an unknown field": body(**{CANARY: 1}),
    "an unknown field of a known name": body(publisher=CANARY),
    "1,000 unknown fields": body(**{f"{CANARY}{number}": 1 for number in range(1_000)}),
    "a long unknown field": body(**{CANARY * 5_000: 1}),
    "a field named by a lone surrogate": b'{"question": "a", "\\ud800' + CANARY.encode() + b'": 1}',
    "filters: a list": body(filters=[CANARY]),
    "filters: an unknown field": body(filters={CANARY: ["x"]}),
    "filters: text": body(filters={"publisher": CANARY}),
    "filters: a number": body(filters={"publisher": [1]}),
    "filters: a lone surrogate": b'{"question": "a", "filters": {"language": ["\\udc00' + CANARY.encode() + b'"]}}',
    "filters: a long name": body(filters={"document": [CANARY * 60]}),
    "filters: 51 names": body(filters={"document": [CANARY] * 51}),
    "turns: text": body(turns=CANARY),
    "turns: 21": body(turns=[{"question": CANARY}] * 21),
    "turns: an unknown field": body(turns=[{"question": "a", CANARY: 1}]),
    "turns: a long question": body(turns=[{"question": CANARY * 200}]),
    "turns: a wrong passage": body(turns=[{"question": "a", "passages": [{CANARY: 1}]}]),
    "explain: text": body(explain=CANARY),
    "explain: 1": body(explain=1),
}  # fmt: skip


def assert_plain_error(reply_body: bytes, status: int, documented: set[int]) -> None:
    assert status in documented
    assert len(reply_body) <= 2_048
    assert CANARY.lower() not in reply_body.decode().lower()
    problem = json.loads(reply_body)
    assert set(problem) == {"error", "detail", "request_id"}
    assert all(isinstance(value, str) and value for value in problem.values())


@pytest.mark.parametrize("address", ["/v1/ask", "/v1/feedback"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_gets_a_short_error_that_repeats_none_of_it(client: TestClient, name: str, address: str) -> None:
    headers = {**JSON, "content-encoding": "gzip"} if name == "gzip" else JSON
    reply = client.post(address, content=HOSTILE[name], headers=headers)
    assert_plain_error(reply.content, reply.status_code, {400, 413, 422})
    assert reply.json()["request_id"] == reply.headers["x-request-id"]


@pytest.mark.parametrize(
    "content",
    [body().decode().encode(encoding) for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig")]
    + [b'{"question": "a", "question": "How fast?"}'],
    ids=["UTF-16", "UTF-16-LE", "UTF-16-BE", "UTF-32", "byte order mark", "the question twice"],
)
def test_a_body_that_is_not_plain_json_in_utf8_is_refused(client: TestClient, content: bytes) -> None:
    reply = client.post("/v1/ask", content=content, headers=JSON)
    assert_plain_error(reply.content, reply.status_code, {400, 422})


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data", "", CANARY])
def test_a_body_of_another_type_is_refused(client: TestClient, content_type: str) -> None:
    reply = client.post("/v1/ask", content=body(question=CANARY), headers={"content-type": content_type})
    assert_plain_error(reply.content, reply.status_code, {415, 422})


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", f"/{CANARY}"),
        ("GET", f"/v1/{CANARY}?{CANARY}={CANARY}"),
        ("GET", f"/v1/documents/{CANARY}"),
        ("GET", f"/v1/passages/{CANARY}%230-1"),
        ("GET", f"/documents/{CANARY}?passage={CANARY}"),
        ("GET", f"/v1/documents/{CANARY * 700}"),
        ("GET", "/v1/ask"),
        ("DELETE", "/v1/documents"),
        (CANARY.upper(), "/v1/ask"),
    ],
)
def test_a_wrong_address_or_method_is_not_repeated(client: TestClient, method: str, address: str) -> None:
    reply = client.request(method, address)
    assert_plain_error(reply.content, reply.status_code, {404, 405})


def test_the_error_says_what_to_change(client: TestClient) -> None:
    def detail(content: bytes) -> str:
        reply = client.post("/v1/ask", content=content, headers=JSON)
        return f"{reply.json()['error']}: {reply.json()['detail']}"

    assert detail(body(question="x" * 1_001)) == "QuestionTooLong: a question has at most 1,000 characters"
    assert detail(body(question="?")) == "EmptyQuestion: ask a question with at least one letter or number"
    assert detail(body(top_k=99)) == "BadRequest: top_k: Input should be less than or equal to 20"
    assert detail(b"{") == "BadRequest: the body is not valid JSON"
    assert detail(b" " * 70_000) == "BodyTooLarge: a request has at most 65,536 bytes"


@pytest.mark.parametrize("charset", ["utf-8", "unicode_escape", "undefined", "idna", "utf-7", "no-such"])
def test_a_form_in_any_charset_is_answered_or_refused(client: TestClient, charset: str) -> None:
    part = b'--B\r\nContent-Disposition: form-data; name="question"\r\n\r\n\\ud800\r\n--B--\r\n'
    headers = {"content-type": f"multipart/form-data; boundary=B; charset={charset}", "accept": "text/html"}
    reply = client.post("/", content=part, headers=headers)
    assert reply.status_code in (200, 400, 422)


# --- crashes ----------------------------------------------------------------------------------------------------------


class Broken(Overheard):
    """A bot that fails with a message that holds the question."""

    def overhear(self, question: str) -> None:
        kind = {"os": OSError, "key": KeyError, "recursion": RecursionError}.get(question[:9].split()[0], RuntimeError)
        raise kind(f"cannot read /srv/signpost/{question}")


@pytest.mark.parametrize("question", [f"{kind} {CANARY}" for kind in ("os", "key", "recursion", "other")])
@pytest.mark.parametrize("page", [False, True], ids=["api", "page"])
def test_a_crash_is_one_line_in_the_log_and_tells_the_client_nothing(
    bot: Bot, island: Settings, caplog: pytest.LogCaptureFixture, question: str, page: bool
) -> None:
    with TestClient(create_app(lambda: Broken(bot.encoder, bot.snapshot), island)) as client:
        caplog.clear()
        caplog.set_level(logging.DEBUG)
        sent = {"data": {"question": question}} if page else {"json": {"question": question}}
        reply = client.post("/" if page else "/v1/ask", **sent)  # type: ignore[arg-type]
    assert_plain_error(reply.content, reply.status_code, {500})
    assert reply.json()["error"] == "InternalError"
    for leak in ("Traceback", "/srv", ".py", "Error(", "line "):
        assert leak not in reply.text
    request_id = reply.json()["request_id"]
    assert reply.headers["x-request-id"] == request_id
    [record] = [record for record in caplog.records if request_id in record.getMessage()]
    assert record.levelno == logging.ERROR
    assert re.search(r"error=\w+Error at tests\.api\.test_errors:\d+$", record.getMessage()), "says where it began"
    assert CANARY not in caplog.text
    assert "/srv" not in caplog.text


def test_a_crash_is_a_page_for_a_person(bot: Bot, island: Settings) -> None:
    with TestClient(create_app(lambda: Broken(bot.encoder, bot.snapshot), island)) as client:
        reply = client.post("/", data={"question": "How fast?"}, headers={"accept": "text/html"})
    assert reply.status_code == 500
    assert reply.headers["content-type"].startswith("text/html")


# --- nothing is kept --------------------------------------------------------------------------------------------------


def test_no_word_of_a_question_reaches_the_log_or_the_metrics(
    client: TestClient, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.WARNING, logger="httpx2")  # the client's own log names the addresses that it asks
    caplog.set_level(logging.DEBUG)
    tokens = [f"zq{number:02}xw{number * 7_919}" for number in range(50)]
    statuses = set()
    for number, token in enumerate(tokens):
        question = f"How fast may {token} go in the harbour?" if number % 2 else token
        filters = {"document": [token]} if number % 5 == 0 else {}
        turns = [{"question": token, "passages": [token]}]
        sent = {"question": question, "filters": filters, "turns": turns, "explain": True}
        for reply in (
            client.post("/v1/ask", json=sent),
            client.post("/v1/ask", json={**sent, token: 1}),
            client.post("/v1/ask", content=question, headers=JSON),
            client.post("/v1/ask", json={"question": question * 100}),
            client.post("/", data={"question": question}),
            client.post("/", data={"question": question * 100}),
            client.post("/v1/feedback", json={"status": "answered", "helpful": True, "question": token}),
            client.get(f"/documents/harbour.md?passage={token}&also={token}", headers={"accept-language": token}),
            client.get("/", headers={"origin": f"https://{token}.example", "referer": f"https://{token}.example/"}),
        ):
            statuses.add(reply.status_code)
    assert statuses == {200, 400, 422}
    output = capfd.readouterr()
    places = {"log": caplog.text, "metrics": client.get("/metrics").text, "out": output.out, "err": output.err}
    assert places["log"].count("request=") >= 300, "the log is looked at"
    for place, text in places.items():
        assert [token for token in tokens if token in text] == [], place


def test_a_log_line_tells_what_an_operator_needs(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="signpost")
    reply = client.post("/v1/ask", json={"question": "How fast?"})
    [record] = [record for record in caplog.records if record.name == "signpost"]
    request_id = reply.headers["x-request-id"]
    assert re.fullmatch(rf"request={request_id} POST /v1/ask status=200 ms=\d+\.\d", record.getMessage())
