"""Section D of the battery: what leaves the service, and what never does.

D1, D2 and D7 are in ``tests/widget/test_embedding.py``, which needs a browser. D6 is not offered: nothing that a person
asks is ever kept, so there is no log with an expiry.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import yaml
from fastapi.testclient import TestClient
from packaging.version import Version
from playwright.sync_api import Browser
from selectolax.lexbor import LexborHTMLParser

from bot.api.app import create_app
from bot.documents import read_corpus
from bot.engine import Bot, build_index, open_bot
from bot.model import PACKAGED_SHA256, find_model
from bot.settings import Settings, load_settings
from tests.api.test_routes import BODIES, REFUSED, ROUTES
from tests.battery.figures import dice, figure, long
from tests.battery.supply import parts
from tests.battery.test_documents import python
from tests.conftest import FILES, REPOSITORY, write_files
from tests.servers import running, serving

# --- D3 ---------------------------------------------------------------------------------------------------------------

TITLES = [
    "Harbour \u202erules", "\u2067Rules\u2069 of the pier", "قواعد الميناء", "כללי הנמל 2024", "A \u200f(B)\u200f C",
    "\u202d123\u202c 456", "Ferry \u2066\u202e\u2069 times", "\u061cRules", "قواعد (draft) 7",
    "\u202a\u202b\u202c\u202eAll",
]  # fmt: skip


def test_d3_bidi_title(tmp_path: Path) -> None:
    """Each title stands alone in an element that isolates its direction, and holds nothing that overrides one."""
    files = {
        f"t{at}.md": f"---\ntitle: {json.dumps(title)}\npublisher: {json.dumps(title)}\nlanguage: en\n---\n"
        f"Zebra{at} lives in stable number {at}.\n"
        for at, title in enumerate(TITLES)
    }
    settings = load_settings(corpus=write_files(tmp_path / "corpus", files), index=tmp_path / "index")
    build_index(settings)
    sound = 0
    with TestClient(create_app(lambda: open_bot(settings), settings)) as client:
        for at in range(len(TITLES)):
            asked = client.post("/", data={"question": f"Where does zebra{at} live?"}).text
            viewer = client.get(f"/documents/t{at}.md").text
            title = client.get(f"/v1/documents/t{at}.md").json()["title"]
            bare = not re.search("[\u061c\u202a-\u202e\u2066-\u2069]", asked + viewer)
            alone = all(
                any(node.text() == title and node.parent is not None for node in LexborHTMLParser(page).css("bdi"))
                and not _outside(page, title)
                for page in (asked, viewer)
            )
            sound += bare and alone
    figure("D3", "titles that leave the words around them in order", f"{sound}/{len(TITLES)}", sound == len(TITLES))


def _outside(page: str, title: str) -> list[str]:
    """The title, if it stands anywhere that is neither isolated, nor a field of its own, nor for the ear only."""
    body = LexborHTMLParser(page).body
    assert body is not None
    for node in body.css("bdi, script, textarea, .unseen"):
        node.decompose()
    return [title] if title in body.text() else []


# --- D4 ---------------------------------------------------------------------------------------------------------------


def questions_of(bot: Bot, count: int, case: str) -> list[str]:
    """Make questions of the words of the documents, some of words that stand together, some of any."""
    chance = dice(case)
    texts = [bot.snapshot.documents[record.id].text for record in bot.snapshot.documents.records]
    words = sorted({word for text in texts for word in re.findall(r"[A-Za-z]{3,}", text)})
    found = []
    for _ in range(count):
        if chance.random() < 0.7:
            near = chance.choice(texts).split()
            at = chance.randrange(len(near))
            found.append(" ".join(near[at : at + chance.randrange(2, 9)]))
        else:
            found.append(" ".join(chance.sample(words, chance.randrange(2, 6))))
    return [f"What about {words}?" for words in found]


def test_d4_attribution(shipped: Bot, tmp_path: Path) -> None:
    """Against the files themselves: their front matter is read here by PyYAML alone."""
    stated: dict[str, dict[str, Any]] = {}
    for path in (REPOSITORY / "corpus").rglob("*.md"):
        name = path.relative_to(REPOSITORY / "corpus").as_posix()
        text = path.read_text(encoding="utf-8")
        stated[name] = yaml.safe_load(text.split("---\n")[1]) if text.startswith("---\n") else {}
        stated[name]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    texts = {document.id: document.text for document in read_corpus(REPOSITORY / "corpus").documents}
    settings = load_settings(corpus=REPOSITORY / "corpus", index=tmp_path)
    wrong: list[str] = []
    quotes = anchors = resolved = 0
    seen: set[str] = set()
    with TestClient(create_app(lambda: shipped, settings)) as client:
        for question in questions_of(shipped, 1_000 if long() else 150, "D4"):
            reply = client.post("/v1/ask", json={"question": question}).json()
            quote = reply["answer"]
            if quote is not None:
                quotes += 1
                document = quote["passage"].rpartition("#")[0]
                if quote["text"] != texts[document][quote["start"] : quote["end"]]:
                    wrong.append(f"quote: {question}")
            for passage in reply["passages"]:
                cited = passage["citation"]
                own = texts[cited["document"]]
                same = passage["text"] == own[cited["start"] : cited["end"]]
                record = stated.get(cited["document"], {})
                for key in ("title", "publisher", "url", "updated", "published", "sha256"):
                    there = cited.get(key) if key != "url" else cited["links"]["source"]
                    here = record.get(key)
                    same = same and (there or None) == (str(here) if here is not None else None)
                if not same:
                    wrong.append(f"passage {passage['id']}: {question}")
                viewer = cited["links"]["viewer"]
                if viewer not in seen:
                    seen.add(viewer)
                    anchors += 1
                    page = LexborHTMLParser(client.get(viewer.partition("#")[0]).text)
                    resolved += page.css_first(f'[id="{viewer.partition("#")[2]}"]') is not None
    figure("D4", "quotes and citations that differ from the files", len(wrong), not wrong)
    assert quotes >= 20, "too few answers to say anything"
    figure("D4", "anchors that the viewer has, at least 95 %", f"{resolved}/{anchors}", resolved >= 0.95 * anchors)


@pytest.mark.browser
@pytest.mark.long
def test_d4_anchors_in_a_browser(shipped: Bot, browser: Browser, tmp_path: Path) -> None:
    settings = load_settings(corpus=REPOSITORY / "corpus", index=tmp_path)
    found = {
        cited.citation.links.viewer: cited.hit.passage.text
        for question in questions_of(shipped, 100, "D4")
        for cited in shipped.ask(question).passages
    }
    resolved = 0
    with running(create_app(lambda: shipped, settings)) as port:
        page = browser.new_page()
        for viewer in found:
            page.goto(f"http://127.0.0.1:{port}{viewer}")
            resolved += bool(page.evaluate("document.querySelector(':target') !== null"))
        page.close()
    figure("D4", "anchors that Chromium goes to, at least 95 %", f"{resolved}/{len(found)}",
           resolved >= 0.95 * len(found))  # fmt: skip


# --- D5 ---------------------------------------------------------------------------------------------------------------


def _send(port: int, method: str, path: str, body: str = "", kind: str = "", **more: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body or None, {**({"Content-Type": kind} if kind else {}), **more})
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def test_d5_log_canary(island: Settings, tmp_path: Path) -> None:
    chance = dice("D5")
    tokens = [f"zq{chance.getrandbits(64):016x}" for _ in range(1_000 if long() else 100)]
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment, os.environ["TMPDIR"] = os.environ.get("TMPDIR"), str(temporary)
    try:
        with serving(island, tmp_path, feedback="true", answer_cache="100", rate_limit="0") as service:
            address = f"203.0.113.{chance.randrange(1, 255)}"
            for number, token in enumerate(tokens):
                said = f"Where is the boat {token} in the harbour?"
                forms = {
                    0: ("/v1/ask", json.dumps({"question": said, "turns": [{"question": token}]}), "application/json"),
                    1: ("/", urlencode({"question": said}), "application/x-www-form-urlencoded"),
                    2: ("/v1/ask", json.dumps({"question": said * 40}), "application/json"),
                    3: ("/v1/ask", json.dumps({"question": said, token: 1}), "application/json"),
                    4: ("/v1/ask", f'{{"question": "{token}', "application/json"),
                    5: (f"/v1/{token}", json.dumps({"question": said}), "application/json"),
                }  # fmt: skip
                path, body, kind = forms[number % 6]
                status, _ = _send(service.port, "POST", path, body, kind, **{
                    "X-Forwarded-For": address, "User-Agent": token, "Referer": f"https://a.example/{token}",
                    "Cookie": f"a={token}",
                })  # fmt: skip
                assert status < 500
                _send(service.port, "GET", f"/documents/{token}?passage={token}")
            metrics = _send(service.port, "GET", "/metrics")[1]
            held = b""
            for process in service.processes():
                for opened in Path(f"/proc/{process}/fd").iterdir():
                    with contextlib.suppress(OSError):
                        held += opened.read_bytes() if opened.is_file() else b""
            log = service.log.read_bytes()
    finally:
        os.environ.pop("TMPDIR")
        if environment is not None:
            os.environ["TMPDIR"] = environment
    kept = [*tmp_path.rglob("*"), *island.index.rglob("*"), *island.corpus.rglob("*")]
    places = {str(path): path.read_bytes() for path in kept if path.is_file()} | {
        "metrics": metrics,
        "open files": held,
    }
    assert log.count(b"request=") >= len(tokens)
    hits = [place for place, data in places.items() if any(token.encode() in data for token in tokens)]
    figure("D5", f"places that keep any of {len(tokens)} words", len(hits), not hits)
    requests = b"\n".join(line for line in log.splitlines() if b"request=" in line)
    whole = [found for found in (address.encode(), b"127.0.0.1") if found in requests or found in metrics]
    figure("D5", "addresses of people in logs and metrics", len(whole), not whole)


# --- D7, D8 -----------------------------------------------------------------------------------------------------------


def test_d8_headers(bot: Bot, island: Settings) -> None:
    settings = island.model_copy(update={"feedback": True, "origins": ("https://host.example",)})
    checked = sound = 0
    odd: list[str] = []
    with TestClient(create_app(lambda: bot, settings)) as client:
        requests = [*((*there, BODIES.get(route)) for route, there in ROUTES.items()),
                    *((*there, None) for there in REFUSED), ("POST", "/v1/ask", {"question": ""}),
                    ("OPTIONS", "/v1/ask", None), ("HEAD", "/", None)]  # fmt: skip
        for method, path, body in requests:
            for accept in ("application/json", "text/html"):
                reply = client.request(method, path, json=body, headers={"Accept": accept})
                headers, policy = reply.headers, reply.headers.get("content-security-policy", "")
                items = {
                    "nosniff": headers.get("x-content-type-options") == "nosniff",
                    "no referrer": headers.get("referrer-policy") == "no-referrer",
                    "policy": "default-src 'none'" in policy and "unsafe" not in policy,
                    "frames": "frame-ancestors https://host.example" in policy,
                    "opener": headers.get("cross-origin-opener-policy") == "same-origin",
                    "not kept": headers.get("cache-control") == "no-store" or path.startswith("/widget/"),
                    "kind": bool(headers.get("content-type")) or not reply.content,
                    "charset": "charset=utf-8" in headers.get("content-type", "") or "html" not in
                    headers.get("content-type", ""),
                    "silent": not {"server", "x-powered-by", "set-cookie"} & set(headers),
                    "no credentials": "access-control-allow-credentials" not in headers,
                }  # fmt: skip
                checked += len(items)
                sound += sum(items.values())
                odd += [f"{method} {path} ({accept}): {name}" for name, fine in items.items() if not fine]
    assert odd == []
    figure("D8", "headers that are as they should be", f"{sound}/{checked}", sound == checked)


# --- D9 ---------------------------------------------------------------------------------------------------------------

#: Indexes, asks and serves where there is no network but loopback, and Python tells of every attempt to leave.
ALONE = """
import ctypes, json, os, socket, sys, threading
attempts = []
def hook(event, args):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        if args[0] not in ("127.0.0.1", "localhost", "testserver", None):
            attempts.append(f"{event} {args[0]}"); raise PermissionError(event)
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(args[-1], tuple):
        if not str(args[-1][0]).startswith(("127.", "::1")):
            attempts.append(f"{event} {args[-1]}"); raise PermissionError(event)
sys.addaudithook(hook)
libc = ctypes.CDLL(None)
unshared = libc.unshare(0x40000000) == 0 or libc.unshare(0x50000000) == 0
from pathlib import Path
from bot.engine import build_index, open_bot
from bot.settings import load_settings
from fastapi.testclient import TestClient
from packaging.version import Version
from bot.api.app import create_app
settings = load_settings(corpus=Path(sys.argv[1]), index=Path(sys.argv[2]))
report = build_index(settings)
bot = open_bot(settings)
with TestClient(create_app(lambda: bot, settings)) as client:
    statuses = [client.post("/v1/ask", json={"question": question}).status_code
                for question in ("How fast may a boat go?", "What does a ticket cost?", "Why is the sky blue?")]
    statuses += [client.get(path).status_code for path in ("/", "/v1/documents", "/metrics", "/openapi.json")]
print(json.dumps({"attempts": attempts, "statuses": statuses, "unshared": unshared, "documents": report.documents}))
"""


def test_d9_no_egress(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "corpus", FILES)
    chosen = {"HF_HUB_OFFLINE": "0"} | ({"SIGNPOST_ENCODER_FOLDER": str(tmp_path / "encoder")} if long() else {})
    done = python(ALONE, folder, tmp_path / "index", timeout=300, **chosen)
    assert done.returncode == 0, done.stderr[-2_000:]
    found = json.loads(done.stdout)
    assert found["documents"] == len(FILES)
    assert set(found["statuses"]) == {200}
    figure("D9", "look-ups and connections beyond this machine", len(found["attempts"]), found["attempts"] == [])


@pytest.mark.long
def test_d9_all_tests_without_a_network() -> None:
    """A cable leads from it to itself: without any, a browser tells its pages that they are offline."""
    inside = (
        "ip link set lo up && ip link add cable type veth peer name end && ip addr add 192.0.2.1/24 dev cable && "
        'ip link set cable up && ip link set end up && exec "$0" -m pytest -q --ignore=tests/battery tests'
    )
    alone = ["unshare", "--net", "--map-root-user", "sh", "-c", inside, sys.executable]
    done = subprocess.run(alone, cwd=REPOSITORY, capture_output=True, text=True, timeout=3_600)
    print(done.stdout[-10_000:])  # for when it fails
    figure("D9", "exit code of all tests without a network", done.returncode, done.returncode == 0)


# --- D10 --------------------------------------------------------------------------------------------------------------

#: Older versions of these have known faults, or are too old for what is relied on.
FLOORS = {
    "starlette": "1.3.1", "faiss-cpu": "1.15", "torch": "2.6", "transformers": "5.3", "pypdfium2": "5.15",
    "uvicorn": "0.54", "fastapi": "0.165", "pydantic": "2.14", "jinja2": "3.1.6", "python-multipart": "0.0.34",
    "pyyaml": "6.0.3", "tokenizers": "0.23",
}  # fmt: skip


def test_d10_supply() -> None:
    """What is known of the parts' faults is a look-up on the network, which no test makes."""
    found = parts()
    missing = sorted(FLOORS.keys() - found.keys())
    figure("D10", f"of {len(FLOORS)} parts with a floor, not required any more", ", ".join(missing) or "0", not missing)
    old = [f"{name} {found[name].version}" for name in FLOORS if found[name].version < Version(FLOORS[name])]
    figure("D10", f"of {len(FLOORS)} parts, older than they may be", ", ".join(old) or "0", not old)
    loose = [
        f"{name} {floor or 'any'}"
        for name in FLOORS
        if (floor := found[name].floor) is None or floor < Version(FLOORS[name])
    ]
    figure("D10", "parts of which an older version may be installed", ", ".join(loose) or "0", not loose)
    unknown = [one.name for one in found.values() if one.licence == "not stated"]
    figure("D10", f"of {len(found)} parts, those that state no licence", ", ".join(unknown) or "0", not unknown)
    strong = [f"{one.name}: {one.licence}" for one in found.values() if re.search(r"\bA?GPL|Affero", one.licence)]
    figure("D10", "parts under the GPL or AGPL", ", ".join(strong) or "0", not strong)
    model = find_model(load_settings())
    weights = sorted(model.folder.rglob("*.safetensors"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in weights)).hexdigest()
    figure("D10", "sha256 of the model's weights", digest[:16], digest == PACKAGED_SHA256 == model.sha256)
    pickled = [
        path.name for path in model.folder.rglob("*") if path.suffix in (".bin", ".pt", ".pkl", ".pickle", ".py")
    ]
    figure("D10", "files of the model that could run code", len(pickled), not pickled)


def test_d8_pages_load_nothing_from_elsewhere(bot: Bot, island: Settings) -> None:
    with TestClient(create_app(lambda: bot, island)) as client:
        pages = [client.get(path).text for path in ("/", "/documents/harbour.md", "/documents/nowhere")]
    loaded = [link for page in pages for node in LexborHTMLParser(page).css("script[src], link[href], img[src]")
              if (link := node.attributes.get("src") or node.attributes.get("href"))]  # fmt: skip
    away = [link for link in loaded if urlsplit(link).netloc]
    figure("D8", "files that the pages load from elsewhere", len(away), not away)
