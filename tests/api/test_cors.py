"""Other sites' pages may use the API and frame the pages if the operator names them, and not otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from bot.api.app import create_app
from bot.engine import Bot, open_bot
from bot.errors import SettingsError
from bot.settings import Settings, load_settings
from bot.widget.assets import versioned_script
from tests.api.test_errors import Broken

LISTED = ("https://intranet.example", "http://localhost:8080", "null")

#: Nearly listed, and not.
STRANGERS = (
    "https://evil.example", "http://intranet.example", "https://intranet.example:8443", "https://intranet.example.evil",
    "https://a.intranet.example", "https://intranet.exampleX", "https://INTRANET.example", "https://intranet.example/",
    "http://localhost", "http://localhost:80801", "NULL", "*", "", "https://intranet.example, https://evil.example",
)  # fmt: skip

QUESTION = {"question": "How fast may a boat go in the harbour?"}

#: One request for each status that can come back: method, address, status, and its body.
REPLIES: tuple[tuple[str, str, int, bytes], ...] = (
    ("POST", "/v1/ask", 200, b'{"question": "How fast?"}'),
    ("GET", "/v1/suggestions", 200, b""),
    ("GET", "/v1/documents", 200, b""),
    ("POST", "/v1/feedback", 204, b'{"status": "answered", "helpful": true}'),
    ("POST", "/v1/ask", 400, b"{"),
    ("GET", "/v1/documents/nowhere", 404, b""),
    ("GET", "/nowhere", 404, b""),
    ("DELETE", "/v1/ask", 405, b""),
    ("POST", "/v1/ask", 413, b" " * 70_000),
    ("POST", "/v1/ask", 422, b"{}"),
)


@pytest.fixture(scope="module")
def open_to(island: Settings) -> Settings:
    return island.model_copy(update={"origins": LISTED, "feedback": True})


@pytest.fixture(scope="module")
def client(bot: Bot, open_to: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(lambda: bot, open_to)) as client:
        yield client


@pytest.fixture(scope="module")
def closed(bot: Bot, island: Settings) -> Iterator[TestClient]:
    """A service as it is without settings: no other site may use it."""
    with TestClient(create_app(lambda: bot, island.model_copy(update={"feedback": True}))) as client:
        yield client


def sent(client: TestClient, origin: str, method: str, address: str, body: bytes) -> Response:
    return client.request(method, address, content=body, headers={"origin": origin, "content-type": "application/json"})


def preflight(client: TestClient, origin: str, method: str = "POST", headers: str = "content-type") -> Response:
    asked = {"access-control-request-method": method, "access-control-request-headers": headers}
    return client.options("/v1/ask", headers={"origin": origin, **asked})


def allowed(reply: Response) -> str | None:
    """The origin that may read a reply; whoever may, a browser's cookies never come into it."""
    assert "access-control-allow-credentials" not in reply.headers
    assert len(reply.headers.get_list("access-control-allow-origin")) <= 1
    return reply.headers.get("access-control-allow-origin")


def exposed(reply: Response) -> set[str]:
    return set(reply.headers["access-control-expose-headers"].lower().split(", "))


# --- who may read a reply ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", LISTED)
@pytest.mark.parametrize(("method", "address", "status", "body"), REPLIES)
def test_a_listed_site_may_read_every_reply(
    client: TestClient, origin: str, method: str, address: str, status: int, body: bytes
) -> None:
    reply = sent(client, origin, method, address, body)
    assert reply.status_code == status
    assert allowed(reply) == origin
    assert "origin" in reply.headers["vary"].lower(), "no cache gives it to another site"
    assert {"retry-after", "x-request-id"} <= exposed(reply)


@pytest.mark.parametrize("origin", LISTED)
def test_a_listed_site_may_read_what_went_wrong(bot: Bot, open_to: Settings, origin: str) -> None:
    with TestClient(create_app(lambda: Broken(bot.encoder, bot.snapshot), open_to)) as broken:
        reply = broken.post("/v1/ask", json=QUESTION, headers={"origin": origin})
    assert (reply.status_code, reply.json()["error"]) == (500, "InternalError")
    assert allowed(reply) == origin


def test_a_listed_site_may_read_when_to_come_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = load_settings(index=tmp_path_factory.mktemp("nothing") / "index", origins=LISTED)
    with TestClient(create_app(lambda: open_bot(settings), settings)) as unready:
        reply = unready.post("/v1/ask", json=QUESTION, headers={"origin": LISTED[0]})
    assert reply.status_code == 503
    assert allowed(reply) == LISTED[0]
    assert "retry-after" in exposed(reply)
    assert int(reply.headers["retry-after"]) > 0


@pytest.mark.parametrize("origin", STRANGERS)
@pytest.mark.parametrize(("method", "address", "status", "body"), REPLIES)
def test_no_other_site_may_read_any(
    client: TestClient, origin: str, method: str, address: str, status: int, body: bytes
) -> None:
    reply = sent(client, origin, method, address, body)
    assert reply.status_code == status
    assert allowed(reply) is None


@pytest.mark.parametrize("origin", [*LISTED, *STRANGERS])
@pytest.mark.parametrize(("method", "address", "status", "body"), REPLIES)
def test_no_site_may_read_anything_unless_it_is_named(
    closed: TestClient, origin: str, method: str, address: str, status: int, body: bytes
) -> None:
    reply = sent(closed, origin, method, address, body)
    assert reply.status_code == status
    assert allowed(reply) is None
    assert allowed(preflight(closed, origin)) is None


@pytest.mark.parametrize("origin", STRANGERS)
def test_no_other_site_may_read_what_went_wrong(bot: Bot, open_to: Settings, origin: str) -> None:
    with TestClient(create_app(lambda: Broken(bot.encoder, bot.snapshot), open_to)) as broken:
        reply = broken.post("/v1/ask", json=QUESTION, headers={"origin": origin})
    assert reply.status_code == 500
    assert allowed(reply) is None


def test_a_request_from_no_site_is_answered_as_ever(client: TestClient) -> None:
    reply = client.post("/v1/ask", json=QUESTION)
    assert reply.status_code == 200
    assert allowed(reply) is None


# --- what a browser asks beforehand -----------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", LISTED)
def test_a_listed_site_may_send_a_question_as_json_and_nothing_more(client: TestClient, origin: str) -> None:
    reply = preflight(client, origin)
    assert reply.status_code == 200
    assert allowed(reply) == origin
    assert reply.headers["access-control-allow-methods"] == "GET, POST"
    assert "content-type" in reply.headers["access-control-allow-headers"].lower()
    assert not {"authorization", "cookie", "*"} & set(reply.headers["access-control-allow-headers"].lower().split(", "))
    assert preflight(client, origin, method="DELETE").status_code == 400
    assert preflight(client, origin, headers="content-type, authorization").status_code == 400


@pytest.mark.parametrize("origin", STRANGERS)
def test_no_other_site_may_send_one(client: TestClient, origin: str) -> None:
    reply = preflight(client, origin)
    assert reply.status_code == 400
    assert allowed(reply) is None


@pytest.mark.parametrize("origin", ["https://xqcanaryqx.example", LISTED[0]])
def test_what_is_asked_beforehand_is_not_repeated(client: TestClient, origin: str) -> None:
    for reply in (preflight(client, origin, "XQCANARYQX"), preflight(client, origin, "POST", "xqcanaryqx")):
        assert reply.status_code == 400
        assert "xqcanaryqx" not in f"{reply.text}{reply.headers}".lower()
        assert len(reply.content) < 200
        assert re.fullmatch("[0-9a-f]{16}", reply.headers["x-request-id"])


# --- the widget's own files -------------------------------------------------------------------------------------------

FILES = ("pages.css", "pages.js", "signpost-chat.js", versioned_script(), "strings/en.json", "strings/ar.json")


@pytest.mark.parametrize("listing", ["client", "closed"])
@pytest.mark.parametrize("origin", [*LISTED, "https://evil.example"])
@pytest.mark.parametrize("name", FILES)
def test_the_widget_s_files_may_be_read_by_any_site(
    request: pytest.FixtureRequest, listing: str, origin: str, name: str
) -> None:
    """A browser compares a script with its ``integrity`` only if the site may read it."""
    asked: TestClient = request.getfixturevalue(listing)
    reply = asked.get(f"/widget/{name}", headers={"origin": origin})
    again = asked.get(f"/widget/{name}", headers={"origin": origin, "if-none-match": reply.headers["etag"]})
    assert (reply.status_code, again.status_code) == (200, 304)
    for one in (reply, again, asked.get(f"/widget/{name}")):
        assert allowed(one) in ("*", origin)
        assert one.headers["cross-origin-resource-policy"] == "cross-origin"


# --- who may frame a page ---------------------------------------------------------------------------------------------


def framed_by(client: TestClient, address: str) -> str:
    policy = client.get(address, headers={"accept": "text/html"}).headers["content-security-policy"]
    [sites] = [part.strip() for part in policy.split(";") if part.strip().startswith("frame-ancestors ")]
    return sites.removeprefix("frame-ancestors ")


@pytest.mark.parametrize("address", ["/", "/documents/harbour.md", "/nowhere", "/v1/documents", "/widget/pages.css"])
def test_only_listed_sites_may_frame_a_page(
    client: TestClient, closed: TestClient, bot: Bot, island: Settings, address: str
) -> None:
    assert framed_by(client, address) == "https://intranet.example http://localhost:8080"
    assert framed_by(closed, address) == "'none'"
    with TestClient(create_app(lambda: bot, island.model_copy(update={"origins": ("null",)}))) as files_only:
        assert framed_by(files_only, address) == "'none'", "a page that was opened as a file has no address to name"


def test_listed_sites_change_nothing_else_of_what_a_page_may_do(client: TestClient, closed: TestClient) -> None:
    def policy(asked: TestClient) -> str:
        return re.sub("frame-ancestors [^;]*", "", asked.get("/").headers["content-security-policy"])

    assert policy(client) == policy(closed)


# --- what can be listed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    [
        "*", "https://*", "https://*.example", "https://a.example/", "https://a.example/chat", "https://a.example?x",
        "https://a.example#x", "https://user@a.example", "https://user:word@a.example", "a.example", "//a.example",
        "https:", "https://", "ftp://a.example", "file://", "javascript:alert(1)", "data:text/html", "NULL", "Null",
        "'self'", "none", "", " ", "https://a.example ", " https://a.example", "https://a.example\n", "\nnull",
        "https://A.example", "HTTPS://a.example", "https://münchen.example", "https://a.example;script-src *",
        "https://a.example, https://b.example", "https://a.example https://b.example", "https://a.example'",
        "https://a\x00.example", "https://a.example\\", "https://a_b;.example",
    ],
)  # fmt: skip
def test_what_is_no_origin_cannot_be_listed(origin: str) -> None:
    with pytest.raises(SettingsError, match=r"origins\.1"):
        load_settings(origins=("https://fine.example", origin))


@pytest.mark.parametrize(
    "origin",
    ["null", "https://a.example", "http://localhost:8080", "https://xn--mnchen-3ya.example", "http://127.0.0.1:81",
     "https://[::1]:8443", "https://a-b.c.example"],
)  # fmt: skip
def test_what_a_browser_sends_as_its_origin_can_be_listed(origin: str) -> None:
    assert load_settings(origins=(origin,)).origins == (origin,)


def test_there_is_an_end_to_the_list() -> None:
    assert load_settings().origins == ()
    assert len(load_settings(origins=tuple(f"https://a{number}.example" for number in range(50))).origins) == 50
    with pytest.raises(SettingsError, match="origins"):
        load_settings(origins=tuple(f"https://a{number}.example" for number in range(51)))
