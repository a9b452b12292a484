"""Every other address of the service, and what a client can read about all of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from fastapi.testclient import TestClient

from bot.api.app import create_app
from bot.api.routes import pages, service, v1
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
    "/health/live": ("GET", "/health/live"),
    "/health/ready": ("GET", "/health/ready"),
    "/metrics": ("GET", "/metrics"),
    "/openapi.json": ("GET", "/openapi.json"),
    "/": ("GET", "/"),
    "/documents/{document_id:path}": ("GET", "/documents/harbour.md"),
    "/widget/pages.css": ("GET", "/widget/pages.css"),
}

#: Requests that are refused.
REFUSED = (("GET", "/nowhere"), ("PUT", "/v1/ask"), ("POST", "/"), ("POST", "/v1/documents"))


@pytest.fixture(scope="module")
def client(bot: Bot, island: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(lambda: bot, island)) as client:
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
        assert found["citation"] == passage["citation"]


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


# --- what a client can read about it ----------------------------------------------------------------------------------


def operations(client: TestClient) -> dict[str, dict[str, Any]]:
    schema = client.get("/openapi.json").json()
    return {path: operation for path, methods in schema["paths"].items() for operation in methods.values()}


def test_the_schema_lists_every_address_for_programs(client: TestClient) -> None:
    spelt = {re.sub(r":path\b", "", path) for path in ROUTES}
    assert spelt - set(operations(client)) == {"/openapi.json", "/", "/documents/{document_id}", "/widget/pages.css"}
    assert set(operations(client)) <= spelt


def test_the_examples_in_the_schema_work(client: TestClient) -> None:
    components = client.get("/openapi.json").json()["components"]["schemas"]
    assert components["AskIn"]["examples"]
    for example in components["AskIn"]["examples"]:
        assert client.post("/v1/ask", json=example).status_code == 200
    assert all(field["examples"] for field in components["Problem"]["properties"].values())


def test_every_status_that_a_request_can_bring_about_is_documented(client: TestClient, unready: TestClient) -> None:
    documented = {path: set(operation["responses"]) for path, operation in operations(client).items()}
    seen: dict[str, set[str]] = {path: set() for path in documented}
    for service_in_use in (client, unready):
        for path in documented:
            spelling = next(spelt for spelt in ROUTES if spelt.replace(":path", "") == path)
            method, address = ROUTES[spelling]
            bodies = (b'{"question":"x"}', b"{", b"[]", b" " * 100_000, "\ud800".encode("utf-16-le", "surrogatepass"))
            for body in bodies if method == "POST" else [b""]:
                headers = {"content-type": "application/json"}
                reply = service_in_use.request(method, address, content=body, headers=headers)
                seen[path].add(str(reply.status_code))
    seen["/v1/documents/{document_id}"].add(str(client.get("/v1/documents/nowhere").status_code))
    seen["/v1/passages/{passage_id}"].add(str(client.get("/v1/passages/nowhere").status_code))
    assert seen["/v1/ask"] == {"200", "400", "413", "422", "503"}
    assert seen["/v1/passages/{passage_id}"] == {"200", "404", "503"}
    for path, statuses in seen.items():
        assert statuses <= documented[path], path


def test_every_documented_error_has_the_one_shape(client: TestClient) -> None:
    for path, operation in operations(client).items():
        for status, reply in operation["responses"].items():
            if status != "200":
                assert reply["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Problem"}, path


def test_a_crash_is_documented(client: TestClient) -> None:
    assert all("500" in operation["responses"] for operation in operations(client).values())


# --- headers ----------------------------------------------------------------------------------------------------------


def test_every_route_is_looked_at_below() -> None:
    ours = {getattr(route, "path", "") for router in (v1, service, pages) for route in router.routes}
    assert ours | {"/openapi.json"} == set(ROUTES)


@pytest.mark.parametrize("answering", ["client", "unready"])
@pytest.mark.parametrize("accept", ["*/*", "text/html,*/*"])
@pytest.mark.parametrize(("method", "address"), [*ROUTES.values(), *REFUSED])
def test_every_reply_has_the_headers_that_protect_a_person(
    request: pytest.FixtureRequest, answering: str, accept: str, method: str, address: str
) -> None:
    service_in_use: TestClient = request.getfixturevalue(answering)
    body = {"json": {"question": "How fast?"}} if address == "/v1/ask" else {}
    headers = service_in_use.request(method, address, headers={"accept": accept}, **body).headers  # type: ignore[arg-type]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert re.fullmatch("[0-9a-f]{16}", headers["x-request-id"])
    assert "set-cookie" not in headers
    assert "access-control-allow-origin" not in headers
    assert headers["cache-control"] == ("max-age=3600" if address.endswith(".css") else "no-store")
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert "script-src" not in policy


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
