"""The files that browsers load: the very bytes that the tag vouches for, cached as their names promise."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, expect
from selectolax.lexbor import LexborHTMLParser

from bot.api.app import create_app
from bot.engine import Bot
from bot.settings import Settings
from bot.widget.assets import integrity, script_tag, versioned_script
from bot.widget.words import LANGUAGES
from tests.test_cli import flat, run
from tests.widget.conftest import Site, served

FOLDER = Path(__file__).parents[2] / "bot" / "widget"
FILES: Mapping[str, str] = {
    "pages.css": "text/css; charset=utf-8",
    "pages.js": "text/javascript; charset=utf-8",
    "signpost-chat.js": "text/javascript; charset=utf-8",
    **{f"strings/{language}.json": "application/json" for language in LANGUAGES},
}
SHORT = "public, max-age=300, must-revalidate"
FOR_EVER = "public, max-age=31536000, immutable"

#: A page of somebody's site, to which the tag is added.
HOST = '<!doctype html><html lang="en"><title>Site</title><link rel="icon" href="data:,"><body><p>Hello</p>'

#: Most bytes of the widget on its way to a person.
MOST = 12_000


@pytest.fixture(scope="module")
def client(bot: Bot, island: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(lambda: bot, island)) as client:
        yield client


@pytest.fixture(scope="module")
def address(island: Settings, site: Site) -> Iterator[str]:
    """A real service of the small corpus, which the site may use."""
    with served(island.model_copy(update={"origins": (site.origin,)})) as address:
        yield address


def tag_of(address: str) -> dict[str, str]:
    """The attributes of the tag that an operator is given."""
    [script] = LexborHTMLParser(script_tag(address)).css("script")
    return {name: value or "" for name, value in script.attributes.items()}


# --- the tag vouches for the bytes ------------------------------------------------------------------------------------


def test_the_tag_s_integrity_is_that_of_what_the_service_sends(address: str) -> None:
    tag = tag_of(address)
    assert set(tag) == {"src", "integrity", "crossorigin", "defer"}
    assert tag["crossorigin"] == "anonymous", "without it a browser compares nothing"
    asked = Request(tag["src"], headers={"Origin": "https://anywhere.example"})
    with urlopen(asked) as reply:
        content = reply.read()
        assert reply.headers["Access-Control-Allow-Origin"] == "*"
        assert "Content-Encoding" not in reply.headers
    assert content == (FOLDER / "signpost-chat.js").read_bytes()
    assert tag["integrity"] == f"sha384-{base64.b64encode(hashlib.sha384(content).digest()).decode()}" == integrity()
    if openssl := shutil.which("openssl"):
        done = subprocess.run([openssl, "dgst", "-sha384", "-binary"], input=content, capture_output=True, check=True)
        assert tag["integrity"] == f"sha384-{base64.b64encode(done.stdout).decode()}"


@pytest.mark.parametrize("service", ["https://your.service", "http://localhost:8000", "https://a.example/behind/it"])
def test_the_tag_leads_to_the_service(service: str) -> None:
    assert tag_of(service)["src"] == f"{service}/widget/{versioned_script()}"


def test_the_doctor_gives_the_tag(island: Settings) -> None:
    done = run("doctor", "--corpus", island.corpus, "--index", island.index)
    assert done.code == 0
    assert flat(script_tag("https://your.service")) in flat(done.out)


def test_the_widget_is_small() -> None:
    assert 5_000 < len(gzip.compress((FOLDER / "signpost-chat.js").read_bytes(), 9)) <= MOST


@pytest.mark.browser
def test_a_browser_takes_the_script_by_its_tag_and_no_other_bytes(browser: Browser, site: Site, address: str) -> None:
    tag = script_tag(address)
    wrong = tag.replace("sha384-", "sha384-AAAA")
    with browser.new_context() as visitor:
        page = visitor.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(site.put("/tagged", HOST + tag))
        expect(page.get_by_role("button", name="Ask a question")).to_be_visible()
        assert said == []
        page.goto(site.put("/forged", HOST + wrong))
        assert page.evaluate("customElements.get('signpost-chat') === undefined")
        assert any("integrity" in text for text in said)


# --- names and caches -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_sent_as_it_is_and_asked_for_again_soon(client: TestClient, name: str) -> None:
    reply = client.get(f"/widget/{name}")
    assert reply.status_code == 200
    assert reply.content == (FOLDER / name).read_bytes()
    assert reply.headers["content-type"] == FILES[name]
    assert reply.headers["cache-control"] == SHORT
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_a_version_of_the_script_is_kept_for_ever(client: TestClient) -> None:
    content = (FOLDER / "signpost-chat.js").read_bytes()
    assert versioned_script() == f"signpost-chat.{hashlib.sha256(content).hexdigest()[:12]}.js"
    reply = client.get(f"/widget/{versioned_script()}")
    assert (reply.status_code, reply.content) == (200, content)
    assert reply.headers["content-type"] == "text/javascript; charset=utf-8"
    assert reply.headers["cache-control"] == FOR_EVER


def test_another_version_of_the_script_is_not_here(client: TestClient) -> None:
    version = versioned_script().split(".")[1]
    others = (
        "0" * 12,
        version[:-1],
        f"{version}0",
        version[::-1],
        version.upper() + "A",
        f"{version}.min",
        "",
        "latest",
    )
    for other in others:
        reply = client.get(f"/widget/signpost-chat.{other}.js")
        assert (reply.status_code, reply.headers["cache-control"]) == (404, "no-store"), other
    assert client.get(f"/widget/pages.{version}.js").status_code == 404


@pytest.mark.parametrize("name", [*FILES, versioned_script()])
def test_a_file_that_has_not_changed_is_not_sent_again(client: TestClient, name: str) -> None:
    first = client.get(f"/widget/{name}")
    tag = first.headers["etag"]
    assert re.fullmatch(r'"[!#-~]{8,}"', tag)
    again = client.get(f"/widget/{name}", headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert (again.headers["etag"], again.headers["cache-control"]) == (tag, first.headers["cache-control"])
    for other in ('"0123456789abcdef"', tag.strip('"'), tag[:-2] + '"', "", "garbage", '"' * 5_000):
        changed = client.get(f"/widget/{name}", headers={"if-none-match": other})
        assert (changed.status_code, changed.content) == (200, first.content), other


def test_each_file_has_a_tag_of_its_own(client: TestClient) -> None:
    tags = [client.get(f"/widget/{name}").headers["etag"] for name in FILES]
    assert len(set(tags)) == len(FILES)
    script = client.get("/widget/signpost-chat.js").headers["etag"]
    assert client.get(f"/widget/{versioned_script()}").headers["etag"] == script, "the same bytes under both names"


@pytest.mark.parametrize("shape", ["W/{}", '"other", {}', '{},"other"', '"other",W/{}', "*"])
def test_a_tag_that_passed_through_a_proxy_still_counts(client: TestClient, shape: str) -> None:
    """RFC 9110, 13.1.2: a list of tags, compared weakly; a proxy that compresses makes a tag weak."""
    tag = client.get("/widget/signpost-chat.js").headers["etag"]
    reply = client.get("/widget/signpost-chat.js", headers={"if-none-match": shape.format(tag)})
    assert reply.status_code == 304


@pytest.mark.parametrize("name", [*FILES, versioned_script()])
def test_a_file_s_head_can_be_asked_for_alone(client: TestClient, name: str) -> None:
    """RFC 9110, 9.1: whatever can be got has a HEAD."""
    whole, head = client.get(f"/widget/{name}"), client.head(f"/widget/{name}")
    assert (head.status_code, head.content) == (200, b"")
    for header in ("etag", "cache-control", "content-type", "content-length", "access-control-allow-origin"):
        assert head.headers[header] == whole.headers[header]


# --- the pages use them -----------------------------------------------------------------------------------------------


def test_a_page_loads_nothing_but_these_files(client: TestClient) -> None:
    for page in ("/", "/documents/harbour.md", "/nowhere"):
        tree = LexborHTMLParser(client.get(page, headers={"accept": "text/html"}).text)
        scripts = [node.attributes["src"] or "" for node in tree.css("script")]
        styles = [node.attributes["href"] or "" for node in tree.css("link[rel=stylesheet]")]
        assert styles
        for loaded in (*scripts, *styles):
            assert client.get(loaded).status_code == 200
            assert loaded.removeprefix("/widget/") in FILES
        assert all(not node.text() for node in tree.css("script")), "no script stands in a page"
        assert not tree.css("style, [style]")


@pytest.mark.browser
def test_a_press_copies_the_source_record_of_a_document(browser: Browser, address: str) -> None:
    with browser.new_context(permissions=["clipboard-read", "clipboard-write"]) as visitor:
        page = visitor.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{address}/documents/harbour.md")
        record = "Harbour rules, Port Office, 3 February 2025, https://port.example/rules"
        page.get_by_text("Copy citation").first.click()
        expect(page.get_by_role("textbox", name="Copy citation")).to_have_value(record)
        page.get_by_role("button", name="Copy citation").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == record
        assert said == []


def test_the_words_are_json(client: TestClient) -> None:
    for language in LANGUAGES:
        reply = client.get(f"/widget/strings/{language}.json")
        assert json.loads(reply.content.decode("utf-8"))["lang"] == language
