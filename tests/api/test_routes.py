"""Every other address of the service, and what a client can read about all of them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from fastapi.testclient import TestClient

from bot.api.app import create_app
from bot.api.pages import pages
from bot.api.reindex import admin
from bot.api.routes import service, v1
from bot.engine import Bot, build_index, open_bot
from bot.settings import Settings, load_settings
from tests.conftest import FILES, write_files

#: One request for each address, by the address as the routes spell it.
ROUTES = {
    "/v1/ask": ("POST", "/v1/ask"),
    "/v1/documents": ("GET", "/v1/documents"),
    "/v1/documents/{document_id:path}": ("GET", "/v1/documents/harbour.md"),
    "/v1/passages/{passage_id:path}": ("GET", "/v1/passages/harbour.md%2315-95"),
    "/v1/suggestions": ("GET", "/v1/suggestions"),
    "/v1/feedback": ("POST", "/v1/feedback"),
    "/v1/admin/reindex": ("POST", "/v1/admin/reindex"),
    "/health/live": ("GET", "/health/live"),
    "/health/ready": ("GET", "/health/ready"),
    "/metrics": ("GET", "/metrics"),
    "/openapi.json": ("GET", "/openapi.json"),
    "/": ("GET", "/"),
    "/documents/{document_id:path}": ("GET", "/documents/harbour.md"),
    "/widget/{name}": ("GET", "/widget/pages.css"),
    "/widget/strings/{language}.json": ("GET", "/widget/strings/en.json"),
}
#: What is sent to an address that takes something.
BODIES = {
    "/v1/ask": {"question": "How fast?"},
    "/v1/feedback": {"status": "answered", "helpful": True},
    "/v1/admin/reindex": {},
}

#: Requests that are refused.
REFUSED = (
    ("GET", "/nowhere"),
    ("GET", "/widget/nothing.js"),
    ("PUT", "/v1/ask"),
    ("POST", "/"),
    ("POST", "/v1/documents"),
)

#: What a page may do: load and send to its own origin, and nothing else. No text becomes markup, nobody frames it.
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "connect-src": "'self'",
    "style-src": "'self'",
    "img-src": "data:",
    "form-action": "'self'",
    "base-uri": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
    "frame-ancestors": "'none'",
}


@pytest.fixture(scope="module")
def client(bot: Bot, island: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(lambda: bot, island)) as client:
        yield client


@pytest.fixture
def counting(bot: Bot, island: Settings) -> Iterator[TestClient]:
    """A service that counts whether answers helped; each test has one of its own, with counters at nought."""
    with TestClient(create_app(lambda: bot, island.model_copy(update={"feedback": True}))) as client:
        yield client


@pytest.fixture(scope="module")
def unready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service whose index was never built."""
    settings = load_settings(index=tmp_path_factory.mktemp("nothing") / "index")
    with TestClient(create_app(lambda: open_bot(settings), settings)) as client:
        yield client


def test_the_documents_are_listed_with_what_they_state(client: TestClient, bot: Bot) -> None:
    body = client.get("/v1/documents").json()
    assert body["snapshot"] == bot.snapshot.id
    assert [document["id"] for document in body["documents"]] == sorted(FILES)
    assert body["documents"][2] == {
        "id": "harbour.md",
        "sha256": hashlib.sha256(FILES["harbour.md"].encode()).hexdigest(),
        "title": "Harbour rules",
        "publisher": "Port Office",
        "url": "https://port.example/rules",
        "published": None,
        "updated": "2025-02-03",
        "retrieved": None,
        "language": "en",
        "licence": None,
        "verbatim": True,
        "characters": 278,
    }


def test_a_document_is_its_record_and_its_text(client: TestClient) -> None:
    body = client.get("/v1/documents/ferry.txt").json()
    assert body.pop("text") == FILES["ferry.txt"].strip()
    assert body["characters"] == len(FILES["ferry.txt"].strip())
    assert body == client.get("/v1/documents").json()["documents"][1]


def test_every_passage_that_is_shown_can_be_fetched(client: TestClient) -> None:
    reply = client.post("/v1/ask", json={"question": "What may boats do?", "top_k": 20}).json()
    assert len(reply["passages"]) == 5
    for passage in reply["passages"]:
        found = client.get(f"/v1/passages/{quote(passage['id'], safe='/')}").json()
        assert (found["id"], found["text"]) == (passage["id"], passage["text"])
        for citation in (found["citation"], passage["citation"]):
            del citation["links"]["source_at_passage"]  # leads to the passage here, to its marked sentence there
        other = urlsplit(passage["citation"]["links"].pop("viewer"))
        own = urlsplit(found["citation"]["links"].pop("viewer"))
        told = f"&of={found['citation']['sha256'][:12]}"
        assert own.query == f"passage={passage['id'].rpartition('#')[2]}{told}"
        assert (own.path, own.query, own.fragment) == (other.path, other.query.split("&also=")[0], other.fragment)
        assert found["citation"] == passage["citation"]


def test_a_citation_names_the_language_of_its_document(client: TestClient) -> None:
    reply = client.post("/v1/ask", json={"question": "What may boats do?", "top_k": 20}).json()
    languages = {found["citation"]["document"]: found["citation"]["language"] for found in reply["passages"]}
    assert languages == {"harbour.md": "en", "ferry.txt": None, "birds.html": "en"}


def test_a_viewer_link_leads_to_the_answer_s_other_passages_of_the_document(client: TestClient) -> None:
    reply = client.post("/v1/ask", json={"question": "What may boats do?", "top_k": 20}).json()
    places: dict[str, set[str]] = {}
    for passage in reply["passages"]:
        places.setdefault(passage["citation"]["document"], set()).add(passage["id"].rpartition("#")[2])
    assert max(map(len, places.values())) > 1
    for passage in reply["passages"]:
        asked = parse_qs(urlsplit(passage["citation"]["links"]["viewer"]).query)
        others = set(asked["also"][0].split(",")) if "also" in asked else set()
        assert {*asked["passage"], *others} == places[passage["citation"]["document"]]
        assert asked["passage"][0] not in others


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("/v1/documents/nowhere.md", "DocumentNotFound"),
        ("/v1/documents/", "DocumentNotFound"),
        ("/v1/documents/..%2F..%2Fetc%2Fpasswd", "DocumentNotFound"),
        ("/v1/documents/harbour.md%00", "DocumentNotFound"),
        ("/v1/documents/%FF%FE", "DocumentNotFound"),
        ("/v1/passages/harbour.md", "PassageNotFound"),
        ("/v1/passages/harbour.md%230-1", "PassageNotFound"),
        ("/documents/nowhere.md", "DocumentNotFound"),
        ("/nowhere", "NotFound"),
        ("/docs", "NotFound"),
        ("/widget/../../pyproject.toml", "NotFound"),
        ("/widget/pages.py", "NotFound"),
        ("/widget/..%2Fpages.py", "NotFound"),
        ("/widget/templates%2Fbase.html", "NotFound"),
        ("/widget/strings", "NotFound"),
        ("/widget/strings/nl.json", "NotFound"),
        ("/widget/strings/EN.json", "NotFound"),
        ("/widget/strings/.json", "NotFound"),
        ("/widget/strings/..%2F..%2Fcalibration.json", "NotFound"),
        ("/widget/strings/%FF.json", "NotFound"),
    ],
)
def test_what_is_not_there_is_a_404_that_names_the_error(client: TestClient, address: str, error: str) -> None:
    reply = client.get(address)
    assert (reply.status_code, reply.json()["error"]) == (404, error)


def test_the_suggestions_are_answered(client: TestClient) -> None:
    suggestions = client.get("/v1/suggestions").json()["suggestions"]
    assert suggestions == ["How fast may a boat go in the harbour?"]
    for question in suggestions:
        assert client.post("/v1/ask", json={"question": question}).json()["status"] == "answered"


def test_a_chat_window_gets_all_that_it_needs_to_begin(client: TestClient, bot: Bot, island: Settings) -> None:
    plain = {"name": "Signpost", "greeting": None, "limit": 1_000, "feedback": False}
    assert client.get("/v1/suggestions").json() == {"suggestions": list(bot.starters), **plain}
    told = {"name": "Pier", "greeting": "Moin <b>", "feedback": True}
    with TestClient(create_app(lambda: bot, island.model_copy(update=told))) as other:
        assert other.get("/v1/suggestions").json() == {"suggestions": list(bot.starters), "limit": 1_000, **told}


def test_health_says_that_it_runs_and_from_what_it_answers(client: TestClient, bot: Bot) -> None:
    assert client.get("/health/live").json()["status"] == "live"
    ready = {"status": "ready", "snapshot": bot.snapshot.id, "documents": 3, "passages": 5}
    assert client.get("/health/ready").json() == ready


def counters(client: TestClient) -> dict[str, float]:
    lines = [line for line in client.get("/metrics").text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_metrics_count_requests_and_answers(bot: Bot, island: Settings) -> None:
    with TestClient(create_app(lambda: bot, island)) as client:
        for question in ("How fast may a boat go in the harbour?", "Zorbing?", "What does a ticket cost?", " "):
            client.post("/v1/ask", json={"question": question})
        client.post("/", data={"question": "How fast may a boat go in the harbour?"})
        client.get("/v1/documents/harbour.md")
        client.get("/v1/documents/nowhere.md")
        client.get("/nowhere/at/all")
        client.request("BREW", "/nowhere")
        count = counters(client)
    requests = "signpost_http_requests_total"
    assert count[f'{requests}{{method="POST",route="/v1/ask",status="200"}}'] == 3
    assert count[f'{requests}{{method="POST",route="/v1/ask",status="422"}}'] == 1
    assert count[f'{requests}{{method="GET",route="/v1/documents/{{document_id:path}}",status="200"}}'] == 1
    assert count[f'{requests}{{method="GET",route="/v1/documents/{{document_id:path}}",status="404"}}'] == 1
    assert count[f'{requests}{{method="GET",route="none",status="404"}}'] == 1
    assert count[f'{requests}{{method="other",route="none",status="404"}}'] == 1
    assert sum(value for name, value in count.items() if name.startswith("signpost_answers_total")) == 4
    assert count['signpost_answers_total{status="answered"}'] >= 2
    assert count['signpost_answers_total{status="not_found"}'] == 1


# --- whether an answer helped -----------------------------------------------------------------------------------------


def feedback_counters(client: TestClient) -> dict[str, float]:
    return {name: value for name, value in counters(client).items() if "feedback_total" in name}


def test_whether_an_answer_helped_is_counted_by_its_status(counting: TestClient) -> None:
    assert feedback_counters(counting) == {}
    sent = [(status, said) for status in ("answered", "unsure", "not_found") for said in (True, False, None)]
    for number, (status, said) in enumerate(sent, 1):
        for _ in range(number):
            reply = counting.post("/v1/feedback", json={"status": status, "helpful": said})
            assert (reply.status_code, reply.content) == (204, b"")
    words = {True: "yes", False: "no", None: "withdrawn"}
    assert feedback_counters(counting) == {
        f'signpost_feedback_total{{helpful="{words[said]}",status="{status}"}}': number
        for number, (status, said) in enumerate(sent, 1)
    }


def test_what_helped_is_not_counted_unless_the_operator_counts(client: TestClient) -> None:
    reply = client.post("/v1/feedback", json=BODIES["/v1/feedback"])
    assert (reply.status_code, reply.json()["error"]) == (404, "NotFound")
    assert feedback_counters(client) == {}


@pytest.mark.parametrize(
    "sent",
    [
        {}, [], None, "answered", {"status": "answered"}, {"helpful": True}, {"status": None, "helpful": True},
        {"status": "Answered", "helpful": True}, {"status": "answered ", "helpful": True},
        {"status": ["answered"], "helpful": True}, {"status": "zq17", "helpful": True},
        {"status": "answered", "helpful": "yes"}, {"status": "answered", "helpful": "true"},
        {"status": "answered", "helpful": 1}, {"status": "answered", "helpful": 0},
        {"status": "answered", "helpful": "zq17"}, {"status": "answered", "helpful": [True]},
        {"status": "answered", "helpful": True, "question": "zq17"},
        {"status": "answered", "helpful": True, "comment": "zq17"},
        {"status": "answered", "helpful": True, "zq17": 1},
    ],
)  # fmt: skip
def test_nothing_else_can_be_said_about_an_answer(counting: TestClient, sent: object) -> None:
    reply = counting.post("/v1/feedback", json=sent)
    assert reply.status_code == 422
    assert "zq17" not in reply.text
    assert feedback_counters(counting) == {}
    assert "zq17" not in counting.get("/metrics").text
    assert counting.get("/v1/feedback").status_code == 405


# --- without a snapshot -----------------------------------------------------------------------------------------------


def test_a_service_without_a_snapshot_says_why(unready: TestClient) -> None:
    assert unready.get("/health/live").status_code == 200
    assert unready.get("/metrics").status_code == 200
    reply = unready.get("/health/ready")
    assert reply.status_code == 503
    assert "no index has been built yet" in reply.json()["detail"]


@pytest.mark.parametrize(
    "address", ["/v1/documents", "/v1/documents/a", "/v1/passages/a", "/v1/suggestions", "/", "/documents/a"]
)
def test_a_service_without_a_snapshot_asks_to_come_back_later(unready: TestClient, address: str) -> None:
    reply = unready.get(address)
    assert reply.status_code == 503
    assert int(reply.headers["retry-after"]) > 0
    assert set(reply.json()) == {"error", "detail", "request_id"}


def test_a_question_without_a_snapshot_is_asked_to_come_back_later(unready: TestClient) -> None:
    reply = unready.post("/v1/ask", json={"question": "Where am I?"})
    assert reply.status_code == 503
    assert int(reply.headers["retry-after"]) > 0


def test_a_service_without_a_snapshot_keeps_its_folders_to_itself(
    unready: TestClient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for reply in (unready.get("/health/ready"), unready.get("/"), unready.post("/v1/ask", json={"question": "Hm?"})):
        assert reply.status_code == 503
        assert str(tmp_path_factory.getbasetemp()) not in reply.text


# --- another snapshot -------------------------------------------------------------------------------------------------


def comes(client: TestClient, snapshot: str) -> list[int]:
    """Ask until a snapshot answers; the statuses of all that was asked meanwhile."""
    statuses: list[int] = []
    deadline = time.monotonic() + 30
    while client.get("/health/ready").json().get("snapshot") != snapshot:
        statuses.append(client.post("/v1/ask", json={"question": "How many moorings are there?"}).status_code)
        assert time.monotonic() < deadline, "the new snapshot is not followed"
        time.sleep(0.05)
    return statuses


def test_a_new_snapshot_is_followed_and_nobody_notices(tmp_path: Path) -> None:
    settings = load_settings(corpus=write_files(tmp_path / "corpus", FILES), index=tmp_path / "index")
    first = build_index(settings).snapshot
    with TestClient(create_app(lambda: open_bot(settings), settings)) as client:
        assert client.get("/health/ready").json()["snapshot"] == first
        write_files(settings.corpus, {"tides.md": "# Tides\n\nHigh tide comes 50 minutes later each day.\n"})
        second = build_index(settings).snapshot
        assert second != first
        assert set(comes(client, second)) <= {200}
        reply = client.post("/v1/ask", json={"question": "How much later does high tide come each day?"}).json()
        assert (reply["snapshot"], reply["passages"][0]["citation"]["document"]) == (second, "tides.md")


def test_what_is_put_in_use_while_the_service_starts_is_followed(tmp_path: Path) -> None:
    settings = load_settings(corpus=write_files(tmp_path / "corpus", FILES), index=tmp_path / "index")
    build_index(settings)
    kept = [open_bot(settings)]  # as a worker has it that is begun again
    write_files(settings.corpus, {"tides.md": "# Tides\n\nHigh tide comes 50 minutes later each day.\n"})
    second = build_index(settings).snapshot
    with TestClient(create_app(lambda: kept.pop() if kept else open_bot(settings), settings)) as client:
        assert set(comes(client, second)) <= {200}


def test_a_service_without_a_snapshot_takes_the_first_that_is_built(tmp_path: Path) -> None:
    settings = load_settings(corpus=write_files(tmp_path / "corpus", FILES), index=tmp_path / "index")
    with TestClient(create_app(lambda: open_bot(settings), settings)) as client:
        assert client.get("/health/ready").status_code == 503
        comes(client, build_index(settings).snapshot)
        assert client.post("/v1/ask", json={"question": "How many moorings are there?"}).json()["status"] == "answered"


def test_a_new_snapshot_that_is_damaged_leaves_the_one_before_in_use(tmp_path: Path) -> None:
    settings = load_settings(corpus=write_files(tmp_path / "corpus", FILES), index=tmp_path / "index")
    first = build_index(settings).snapshot
    with TestClient(create_app(lambda: open_bot(settings), settings)) as client:
        apart = settings.model_copy(update={"index": Path(shutil.copytree(settings.index, tmp_path / "apart"))})
        write_files(settings.corpus, {"tides.md": "# Tides\n\nHigh tide comes 50 minutes later each day.\n"})
        second = build_index(apart).snapshot
        (apart.index / "snapshots" / second / "passages.faiss").unlink()
        shutil.copytree(apart.index / "snapshots" / second, settings.index / "snapshots" / second)
        shutil.copy(apart.index / "current", settings.index / "current")
        time.sleep(2.5)
        assert client.post("/v1/ask", json={"question": "How many moorings are there?"}).json()["snapshot"] == first


# --- what a client can read about it ----------------------------------------------------------------------------------


def operations(client: TestClient) -> dict[str, dict[str, Any]]:
    schema = client.get("/openapi.json").json()
    return {path: operation for path, methods in schema["paths"].items() for operation in methods.values()}


def test_the_schema_lists_every_address_for_programs(client: TestClient) -> None:
    spelt = {re.sub(r":path\b", "", path) for path in ROUTES}
    for_people = {"/", "/documents/{document_id}", "/widget/{name}", "/widget/strings/{language}.json"}
    assert spelt - set(operations(client)) == {"/openapi.json", *for_people}
    assert set(operations(client)) <= spelt


def test_the_examples_in_the_schema_work(client: TestClient) -> None:
    components = client.get("/openapi.json").json()["components"]["schemas"]
    assert components["AskIn"]["examples"]
    for example in components["AskIn"]["examples"]:
        assert client.post("/v1/ask", json=example).status_code == 200
    assert all(field["examples"] for field in components["Problem"]["properties"].values())


def test_every_status_that_a_request_can_bring_about_is_documented(
    client: TestClient, unready: TestClient, counting: TestClient
) -> None:
    documented = {path: set(operation["responses"]) for path, operation in operations(client).items()}
    seen: dict[str, set[str]] = {path: set() for path in documented}
    for service_in_use in (client, unready, counting):
        for path in documented:
            spelling = next(spelt for spelt in ROUTES if spelt.replace(":path", "") == path)
            method, address = ROUTES[spelling]
            broken = (b"{", b"[]", b" " * 100_000, "\ud800".encode("utf-16-le", "surrogatepass"))
            for body in (json.dumps(BODIES[path]).encode(), *broken) if method == "POST" else [b""]:
                headers = {"content-type": "application/json"}
                reply = service_in_use.request(method, address, content=body, headers=headers)
                seen[path].add(str(reply.status_code))
    seen["/v1/documents/{document_id}"].add(str(client.get("/v1/documents/nowhere").status_code))
    seen["/v1/passages/{passage_id}"].add(str(client.get("/v1/passages/nowhere").status_code))
    assert seen["/v1/ask"] == {"200", "400", "413", "422", "503"}
    assert seen["/v1/passages/{passage_id}"] == {"200", "404", "503"}
    assert seen["/v1/feedback"] == {"204", "400", "404", "413", "422"}
    for path, statuses in seen.items():
        assert statuses <= documented[path], path


def test_every_documented_error_has_the_one_shape(client: TestClient) -> None:
    for path, operation in operations(client).items():
        for status, reply in operation["responses"].items():
            if status not in ("200", "202", "204"):
                assert reply["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Problem"}, path


def test_a_crash_is_documented(client: TestClient) -> None:
    assert all("500" in operation["responses"] for operation in operations(client).values())


# --- headers ----------------------------------------------------------------------------------------------------------


def test_every_route_is_looked_at_below() -> None:
    ours = {getattr(route, "path", "") for router in (v1, admin, service, pages) for route in router.routes}
    assert ours | {"/openapi.json"} == set(ROUTES)


@pytest.mark.parametrize("answering", ["client", "unready"])
@pytest.mark.parametrize("accept", ["*/*", "text/html,*/*"])
@pytest.mark.parametrize(("method", "address"), [*ROUTES.values(), *REFUSED])
def test_every_reply_has_the_headers_that_protect_a_person(
    request: pytest.FixtureRequest, answering: str, accept: str, method: str, address: str
) -> None:
    service_in_use: TestClient = request.getfixturevalue(answering)
    sent = BODIES.get(address) if method == "POST" else None
    reply = service_in_use.request(method, address, headers={"accept": accept}, json=sent)
    headers = reply.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert re.fullmatch("[0-9a-f]{16}", headers["x-request-id"])
    assert "set-cookie" not in headers
    file = address.startswith("/widget/") and reply.status_code == 200
    assert headers.get("access-control-allow-origin") == ("*" if file else None)
    assert headers["cache-control"] == ("public, max-age=300, must-revalidate" if file else "no-store")
    assert headers["cross-origin-opener-policy"] == "same-origin"
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy == POLICY


def test_each_request_has_an_id_of_its_own(client: TestClient) -> None:
    assert len({client.get("/health/live").headers["x-request-id"] for _ in range(20)}) == 20


def test_only_web_addresses_are_given_as_links(tmp_path: Path) -> None:
    addresses = [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", " javascript:alert(1)", "vbscript:x",
        "data:text/html,x", "blob:https://a.example/1", "file:///etc/passwd", "//evil.example/x", "https://", "/rel",
        "https://user@evil.example/", "https:\\\\evil.example", "https://a.example/\u202egpj", "https://a.example/<b>",
        "https://a.example/fine?x=1&y=2#z",
    ]  # fmt: skip
    text = "---\nurl: {}\nverbatim: true\n---\n\nNumber {} is a fine number.\n"
    files = {f"{n:02}.md": text.format(repr(address), n) for n, address in enumerate(addresses)}
    settings = load_settings(corpus=write_files(tmp_path / "corpus", files), index=tmp_path / "index")
    build_index(settings)
    with TestClient(create_app(lambda: open_bot(settings), settings)) as client:
        documents = client.get("/v1/documents").json()["documents"]
        urls = [document["url"] for document in documents if document["url"] is not None]
        assert urls == [addresses[-1]]
        reply = client.post("/v1/ask", json={"question": "What is a fine number?", "top_k": 20}).json()
        for passage in reply["passages"]:
            links = passage["citation"]["links"]
            for link in (links["source"], links["source_at_passage"]):
                assert link is None or urlsplit(link).scheme == "https"


@pytest.mark.parametrize(
    "path",
    ["/v1/documents", "/v1/documents/harbour.md", "/v1/passages/harbour.md%2315-95", "/v1/suggestions", "/health/live",
     "/health/ready", "/metrics"],
)  # fmt: skip
def test_what_can_be_got_has_a_head(client: TestClient, path: str) -> None:
    whole, head = client.get(path), client.head(path)
    assert (whole.status_code, head.status_code) == (200, 200)
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert client.head("/v1/ask").status_code == 405
    assert "head" not in client.get("/openapi.json").json()["paths"].get(path, {})
