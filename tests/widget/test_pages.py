"""The chat page and the document viewer without JavaScript: exact, and safe whatever stands in them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit
from urllib.parse import quote as percent_encode

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser, LexborNode

from bot.api.app import create_app
from bot.engine import Bot, build_index, open_bot
from bot.settings import Settings, load_settings
from bot.types import Passage
from bot.widget.pages import document_page
from tests.conftest import FILES, write_files

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
    assert LexborHTMLParser(start.text).css("signpost-chat[inline] form.ask"), "the widget takes the form's place"

    reply = client.post("/", data={"question": QUESTION})
    assert reply.status_code == 200
    assert text_of(reply.text, "h1") == "Answer"
    assert text_of(reply.text, ".asked bdi") == QUESTION
    assert text_of(reply.text, "mark") == "Boats may go at most 5 knots inside the harbour."
    card = text_of(reply.text, "article")
    for part in ("Harbour rules", "Port Office", "Updated 3 February 2025"):
        assert part in card
    links = [node.attributes["href"] for node in LexborHTMLParser(reply.text).css("article:first-of-type .links a")]
    assert links[0] == f"/documents/harbour.md?passage=15-95&of={OF}&also=107-278#p15-95"
    assert (links[1] or "").startswith("https://port.example/rules#:~:text=")
    assert text_of(reply.text, "textarea") == "", "ready for the next question"
    assert not LexborHTMLParser(reply.text).css("script, signpost-chat"), "an answer on a page needs none"


def test_without_an_answer_the_page_says_so_and_helps_on(client: TestClient) -> None:
    page = client.post("/", data={"question": "Did Zelda win the zorbing championship in Patagonia?"}).text
    assert text_of(page, "h1") == "These documents do not seem to answer this."
    unknown = text_of(page, "h1 + p bdi").removeprefix("Words that the documents never use: ").rstrip(".")
    assert {"Zelda", "zorbing", "Patagonia"} <= set(unknown.split(", "))
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


@pytest.mark.parametrize(
    "turns",
    [
        *PAYLOADS[:10],
        "{",
        "[]",
        "null",
        "[[]]",
        '[{"question": 1}]',
        '[{"question": "x", "passages": ["<script>alert(1)</script>"]}]',
        '[{"question": "\\ud800", "passages": []}]',
        json.dumps([{"question": "x"}] * 21),
        "[" * 15_000,
    ],
)
def test_a_conversation_that_cannot_be_read_or_is_hostile_changes_nothing(client: TestClient, turns: str) -> None:
    page = client.post("/", data={"question": QUESTION, "turns": turns}).text
    assert "Boats may go at most 5 knots inside the harbour." in page
    tree = LexborHTMLParser(page)
    assert tree.css("script, img, iframe, svg") == []
    carried = tree.css_first("input[name=turns]")
    assert carried is not None
    assert json.loads(carried.attributes["value"] or "")[-1]["question"] == QUESTION


def test_a_form_carries_the_last_four_turns(client: TestClient) -> None:
    said = ""
    for number in range(6):
        page = client.post("/", data={"question": f"{QUESTION} ({number})", "turns": said}).text
        carried = LexborHTMLParser(page).css_first("input[name=turns]")
        assert carried is not None
        said = carried.attributes["value"] or ""
    assert [turn["question"] for turn in json.loads(said)] == [f"{QUESTION} ({number})" for number in range(2, 6)]


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
    assert "GET /" not in reply.text, "that is for programs"
    assert reply.headers["x-request-id"] in text_of(reply.text, "main")
    assert LexborHTMLParser(reply.text).css("main a[href='/']")


# --- from citation to citation ----------------------------------------------------------------------------------------

#: Where the second part of the harbour's rules stands; the tests below look at it.
#: How the sha256 of harbour.md begins.
OF = hashlib.sha256(FILES["harbour.md"].encode()).hexdigest()[:12]
PLACE = "107-278"


def cited_links(html: str) -> dict[str, str]:
    """Where a document's page leads to: ``prev`` and ``next``, as far as it has them."""
    links = LexborHTMLParser(html).css("main a[rel=prev], main a[rel=next]")
    found = {link.attributes["rel"] or "": link.attributes["href"] or "" for link in links}
    assert len(found) == len(links)
    return found


def test_the_citations_of_an_answer_follow_one_another_as_in_the_document(shipped: Bot, island: Settings) -> None:
    with TestClient(create_app(lambda: shipped, island), headers=BROWSER) as client:
        counts = []
        for document_id in shipped.snapshot.documents:
            sent = {"question": "How do I report it?", "top_k": 20, "filters": {"document": [document_id]}}
            passages = client.post("/v1/ask", json=sent).json()["passages"]
            places = sorted((found["citation"]["start"], found["citation"]["end"]) for found in passages)
            for passage in passages[:3]:
                page = client.get(passage["citation"]["links"]["viewer"]).text
                for rel, other, expected in (("prev", "next", places), ("next", "prev", places[::-1])):
                    while rel in cited_links(page):
                        back = client.get(cited_links(page)[rel]).text
                        assert text_of(client.get(cited_links(back)[other]).text, "mark") == text_of(page, "mark")
                        page = back
                    mark = LexborHTMLParser(page).css_first("mark")
                    assert mark is not None
                    assert mark.attributes["id"] == f"p{expected[0][0]}-{expected[0][1]}"
                walked = [page]
                while "prev" in cited_links(walked[-1]):
                    walked.append(client.get(cited_links(walked[-1])["prev"]).text)
                assert len(walked) == len(places)
            counts.append(len(places))
        assert max(counts) > 3, "some answers cite several places"


def test_a_link_to_a_document_that_has_changed_marks_nothing_and_says_so(client: TestClient) -> None:
    for of, marked in ((OF, True), (OF[:4], True), ("", True), ("0" * 12, False), ("<b>", False)):
        page = client.get("/documents/harbour.md", params={"passage": PLACE, "also": "15-95", "of": of}).text
        assert ("The cited passage is marked." in text_of(page, "main")) is marked
        assert ("The document has changed since it was cited" in text_of(page, "main")) is not marked
        assert bool(LexborHTMLParser(page).css("mark")) is marked
        assert bool(cited_links(page)) is marked


def test_a_passage_that_is_cited_alone_leads_nowhere(client: TestClient) -> None:
    page = client.get("/documents/harbour.md", params={"passage": PLACE}).text
    assert cited_links(page) == {}
    assert "The cited passage is marked." in text_of(page, "main")
    assert "The cited passage is marked." not in client.get("/documents/harbour.md").text


@pytest.mark.parametrize(
    ("also", "before", "after"),
    [
        ("15-95", "15-95&also=107-278", None),
        ("270-278", None, "270-278&also=107-278"),
        ("250-278,15-95,1-5", "15-95&also=1-5,107-278,250-278", "250-278&also=1-5,15-95,107-278"),
        ("15-95,15-95,107-278", "15-95&also=107-278", None),
        ("107-200,107-278,108-278", "107-200&also=107-278,108-278", "108-278&also=107-200,107-278"),
        ("1-278", "1-278&also=107-278", None),
        ("0015-00095,<b>,95-15", "15-95&also=107-278", None),
        ("\u0661-\u0662", "1-2&also=107-278", None),
    ],
    ids=["before", "after", "any order", "twice", "overlapping", "around", "among garbage", "Arabic digits"],
)
def test_a_citation_leads_to_those_before_and_after_it(
    client: TestClient, also: str, before: str | None, after: str | None
) -> None:
    page = client.get("/documents/harbour.md", params={"passage": PLACE, "also": also}).text
    expected = {rel: place for rel, place in (("prev", before), ("next", after)) if place}
    fragment = {rel: place.split("&")[0] for rel, place in expected.items()}
    assert cited_links(page) == {
        rel: f"/documents/harbour.md?passage={place.replace('&', f'&of={OF}&')}#p{fragment[rel]}"
        for rel, place in expected.items()
    }


@pytest.mark.parametrize(
    "also",
    [
        "", ",", "," * 10_000, "a", "-", "15-", "-95", "95-15", "0-0", "15-15", "0-999999", "-1-5", "15-95-7", "15 -95",
        "15\u201395", " 15-95", "15-95\n", "15-95;1-5", "\u00b2-\u00b3", "1" * 5_000, "9" * 400 + "-" + "9" * 500,
        "999999999-9999999999", "0-18446744073709551616", "1e0-1e1", "0x1-0x5", "\x00", "\ud7ff", PLACE,
        f"{PLACE}," * 9_999, ",".join(["x"] * 10_000), ",".join(["500-600"] * 10_000), "{{7*7}}",
        "%0d%0aSet-Cookie:a=b", *PAYLOADS,
    ],
)  # fmt: skip
def test_other_places_that_are_none_change_nothing(client: TestClient, bot: Bot, also: str) -> None:
    alone = client.get("/documents/harbour.md", params={"passage": PLACE}).text
    harbour = bot.snapshot.documents["harbour.md"]
    assert document_page("Signpost", "en", harbour, PLACE, also) == alone
    reply = client.get(
        "/documents/harbour.md", params={"passage": PLACE, "also": also[:5_000]}
    )  # as long as can be sent
    assert (reply.status_code, reply.text) == (200, alone)


def test_ten_thousand_other_places_make_no_long_page(client: TestClient, bot: Bot) -> None:
    many = [f"{start}-{start + 2}" for start in range(10_000)]
    for also in (many, many[:270][::-1]):
        links = cited_links(
            document_page("Signpost", "en", bot.snapshot.documents["harbour.md"], PLACE, ",".join(also))
        )
        assert links
        for link in links.values():
            assert len(link) < 500
            assert client.get(link).status_code == 200


@settings(deadline=None, max_examples=150)
@given(
    place=st.from_regex(r"[0-9]{1,3}-[0-9]{1,3}", fullmatch=True) | st.text(max_size=20),
    also=st.lists(st.from_regex(r"[0-9]{1,4}-[0-9]{1,4}", fullmatch=True) | st.text(max_size=20), max_size=30),
)
def test_whatever_places_are_asked_for_the_page_is_the_document(bot: Bot, place: str, also: list[str]) -> None:
    shown_document = bot.snapshot.documents["harbour.md"]
    page = document_page("Signpost", "en", shown_document, place, ",".join(also))
    assert {node.tag for node in nodes(page)} <= HARBOUR_TAGS
    assert_links_are_safe(page)
    places = []
    for link in cited_links(page).values():
        asked = parse_qs(urlsplit(link).query, strict_parsing=True)
        for stretch in (*asked["passage"], *asked["also"][0].split(",")):
            start, end = map(int, stretch.split("-"))
            assert 0 <= start < end <= len(shown_document.text)
        places.append(tuple(map(int, asked["passage"][0].split("-"))))
    assert places == sorted(places), "the one before stands before the one after"


@pytest.mark.parametrize("place", ["0-13", "1-5", "5-20", "15-95", "96-106"])
def test_a_page_says_that_something_is_marked_only_if_it_is(client: TestClient, place: str) -> None:
    """Also where the stretch starts in the midst of the heading that is the page's title."""
    page = client.get("/documents/harbour.md", params={"passage": place, "also": PLACE}).text
    marked = bool(LexborHTMLParser(page).css("mark"))
    assert ("The cited passage is marked." in text_of(page, "main"), bool(cited_links(page))) == (marked, marked)


#: Every element that the page of the harbour's rules may hold.
HARBOUR_TAGS = set(
    """html head meta title link script body header main article h1 h2 bdi dl dt dd a p label textarea
    details summary div mark ul li""".split()
)


@pytest.mark.parametrize(
    ("document_id", "record"),
    [
        ("harbour.md", "Harbour rules, Port Office, 3 February 2025, https://port.example/rules"),
        ("birds.html", "Birds of the island"),
    ],
)
def test_the_source_record_of_a_document_can_be_copied(client: TestClient, document_id: str, record: str) -> None:
    page = client.get(f"/documents/{document_id}").text
    [field] = LexborHTMLParser(page).css("textarea[readonly][data-cite]")
    assert (field.text(), field.attributes["aria-label"]) == (record, "Copy citation")
    assert text_of(page, "details.cite > summary") == "Copy citation", "out of the way until it is wanted"


# --- nothing becomes markup -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ordinary(harmless: TestClient) -> set[tuple[str, ...]]:
    """Every kind of element that a chat page may hold, as a harmless run shows."""
    foreign = "Wie viele Worte gibt es hier eigentlich?"
    questions = (*HARMLESS[:5], "Zorbing in Patagonia?", foreign, "?", "number", "x" * 1_001)
    pages = [harmless.post("/", data={"question": question}).text for question in questions]
    headings = {text_of(page, "h1") for page in pages}
    assert {"Answer", "These documents do not seem to answer this.", "Ask the documents"} <= headings
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
    assert text_of(page, "h1") == text_of(page, "dd") == text_of(page, "article > div p") == expected
    assert text_of(page, "textarea") == f"{expected}, {expected}", "the source record, to be copied"
    assert_links_are_safe(page)


def test_a_cited_document_never_becomes_markup(hostile: TestClient, ordinary: set[tuple[str, ...]]) -> None:
    quoted = set()
    for payload in PAYLOADS:
        page = hostile.post("/", data={"question": f"What about {seen(payload)}?"}).text
        assert set(elements(page)) <= ordinary
        assert_links_are_safe(page)
        for card in LexborHTMLParser(page).css("article"):
            title, quote = card.css_first("h2"), card.css_first("blockquote")
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
