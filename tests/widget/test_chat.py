"""What a person can do with the widget on somebody's page, with the real service; only faults are made."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Locator, Response, Route, ViewportSize, expect

from bot.widget.pages import long_date
from tests.widget.conftest import Site
from tests.widget.visits import Visit

pytestmark = pytest.mark.browser

HOTLINES = "How many hotlines does INHOPE have?"
QUOTE = "INHOPE consists of 54 hotlines in 50 countries."
COUNTRIES = "and in how many countries?"
MODEL = "What is the Model National Response?"
NOWHERE = "What is the price of zorbing in Patagonia?"
WARNING = "This may hold contact details."
PHONE = ViewportSize(width=390, height=780)


@pytest.fixture
def visits(browser: Browser, service: str, site: Site) -> Iterator[Callable[[ViewportSize], Visit]]:
    """Starts visits. Whatever they were, the page had no error to handle, and no cookie was left."""
    made: list[Visit] = []

    def start(viewport: ViewportSize) -> Visit:
        context = browser.new_context(viewport=viewport, permissions=[])
        context.set_default_timeout(10_000)
        made.append(Visit(context, context.new_page(), service, site))
        return made[-1]

    yield start
    left = [(visit.errors, visit.context.cookies()) for visit in made]
    for visit in made:
        visit.context.close()
    assert left == [([], [])] * len(made)


@pytest.fixture
def visit(visits: Callable[[ViewportSize], Visit]) -> Visit:
    return visits(ViewportSize(width=1000, height=800))


@pytest.fixture
def phone(visits: Callable[[ViewportSize], Visit]) -> Visit:
    return visits(PHONE)


def document(visit: Visit, name: str) -> str:
    text: str = visit.context.request.get(f"{visit.service}/v1/documents/{name}").json()["text"]
    return text


def stored(visit: Visit) -> list[int]:
    found: list[int] = visit.page.evaluate("[sessionStorage.length, localStorage.length]")
    return found


def shadow_text(visit: Visit) -> str:
    found: str = visit.page.evaluate("document.querySelector('signpost-chat').shadowRoot.textContent")
    return found


def active(visit: Visit, locator: Locator) -> bool:
    """Whether this very element has the focus, in its own tree."""
    found: bool = locator.evaluate("node => node.getRootNode().activeElement === node")
    return found


# --- C1-C3: the card -------------------------------------------------------------------------------------------------


def test_every_card_is_the_source_record_and_its_quote_is_exact(visit: Visit) -> None:
    visit.begin()
    reply = visit.ask(HOTLINES)
    assert reply["status"] == "answered"
    expect(visit.last.locator("[part=quote]")).to_have_text(QUOTE)
    first = reply["answer"]
    assert document(visit, "inhope.md")[first["start"] : first["end"]] == QUOTE

    cards = visit.last.locator("article")
    expect(cards).to_have_count(len(reply["passages"]))
    for number, (passage, card) in enumerate(zip(reply["passages"], cards.all(), strict=True), 1):
        citation = passage["citation"]
        kept = visit.context.request.get(f"{visit.service}/v1/passages/{quote(passage['id'])}").json()
        shown = card.locator("blockquote").text_content()
        assert shown == kept["text"]
        assert shown == document(visit, citation["document"])[citation["start"] : citation["end"]]
        marks = [shown[span["start"] : span["end"]] for span in passage["highlights"]]
        assert card.locator("mark").all_text_contents() == marks
        assert card.locator("h3").text_content() == f"{number}. {citation['title']}"
        meta = [part for part in card.locator(".meta > span").all_text_contents() if part not in citation["headings"]]
        day = citation["updated"] and f"Updated {long_date(date.fromisoformat(citation['updated']))}"
        assert [part for part in meta if "›" not in part] == [part for part in (citation["publisher"], day) if part]
        assert card.get_by_role("link", include_hidden=True).count() == 2
    assert cards.first.locator("mark").text_content() == QUOTE


def test_an_unsure_answer_says_so(visit: Visit) -> None:
    visit.begin()
    visit.change(lambda reply: reply.update(status="unsure"))
    visit.ask(HOTLINES)
    expect(visit.last.locator(".status")).to_have_text("This may answer your question. Please check the source.")
    expect(visit.last.locator("[part=quote]")).to_have_text(QUOTE)
    expect(visit.page.locator("[data-signpost-announcer]")).to_have_text("Possible answer. Sources: 5")


def test_what_a_source_does_not_tell_is_not_shown(visit: Visit) -> None:
    def forget(reply: dict[str, Any]) -> None:
        citation = reply["passages"][0]["citation"]
        citation.update(publisher=None, updated=None, published=None, page=None, language=None, headings=[])
        citation["links"].update(source=None, source_at_passage=None)
        reply["passages"][1]["citation"].update(updated=None, published="2019-02-03", page=7)

    visit.begin()
    visit.change(forget)
    visit.ask(HOTLINES)
    card = visit.last.locator("article").first
    expect(card.locator(".meta")).to_have_text("")
    expect(card.get_by_role("link")).to_have_count(1)
    assert card.locator("blockquote").get_attribute("lang") == "", "unknown, so not that of the page"
    assert re.findall("null|undefined|Invalid|NaN", visit.last.inner_html()) == []
    second = visit.last.locator("article").nth(1).locator(".meta")
    expect(second).to_contain_text("Published 3 February 2019")
    expect(second).to_contain_text("Page 7")


def test_marks_are_counted_in_code_points(visit: Visit) -> None:
    def write(reply: dict[str, Any]) -> None:
        reply["passages"][0].update(
            text="\U0001f41a\U0001f41a Shells 𝒂𝒓𝒆 hard. So.",
            highlights=[{"start": 3, "end": 19}, {"start": 20, "end": 23}],
        )

    visit.begin()
    visit.change(write)
    visit.ask(HOTLINES)
    card = visit.last.locator("article").first
    assert card.locator("mark").all_text_contents() == ["Shells 𝒂𝒓𝒆 hard.", "So."]
    assert card.locator("blockquote").text_content() == "\U0001f41a\U0001f41a Shells 𝒂𝒓𝒆 hard. So."


def test_the_document_opens_at_the_passage(visit: Visit) -> None:
    visit.begin()
    visit.ask(HOTLINES)
    with visit.context.expect_page() as opened:
        visit.last.get_by_role("link", name="Read it in the document").first.click()
    viewer = opened.value
    expect(viewer.get_by_role("heading", level=1)).to_have_text("INHOPE")
    assert viewer.url.startswith(f"{visit.service}/documents/inhope.md?passage=")
    expect(viewer.locator("mark", has_text=QUOTE)).to_be_in_viewport()
    assert viewer.evaluate("opener") is None


def test_a_source_link_is_of_the_web_or_there_is_none(visit: Visit) -> None:
    addresses = {
        "https://example.org/rules#:~:text=a,b": True,
        "http://example.org/": True,
        "javascript:alert(1)": False,
        " JaVaScRiPt:alert(1)": False,
        "data:text/html,<p>x": False,
        "ftp://example.org/x": False,
        "https://user:word@example.org/": False,
        "/relative": False,
    }
    visit.begin()
    for address, kept in addresses.items():

        def lead(reply: dict[str, Any], address: str = address) -> None:
            reply["passages"][0]["citation"]["links"].update(source_at_passage=address, viewer=address)

        visit.change(lead)
        visit.ask(HOTLINES)
        card = visit.last.locator("article").first
        found = card.get_by_role("link").evaluate_all(
            "nodes => nodes.map((node) => [node.href, node.rel, node.target])"
        )
        sources = [link for link in found if not link[0].startswith(f"{visit.service}/")]
        assert sources == [[address, "noopener noreferrer", "_blank"]] * kept, address
        viewer = card.get_by_role("link", name="Read it in the document")
        assert [link for link in viewer.all() if not (link.get_attribute("href") or "").startswith(visit.service)] == []


def test_citations_lead_to_their_cards_and_back(visit: Visit) -> None:
    visit.begin()
    visit.ask(HOTLINES)
    cites, cards = visit.last.locator("[part=citation]"), visit.last.locator("article")
    assert cites.all_text_contents() == ["1", "2", "3", "4", "5"]
    expect(cards).to_have_count(5)
    expect(visit.last.locator("details")).not_to_have_attribute("open", "")
    for at in (0, 4, 2):
        cites.nth(at).press("Enter")
        expect(cards.nth(at)).to_be_focused()
        expect(cards.nth(at)).to_be_in_viewport()
        title = cards.nth(at).locator("h3 bdi").text_content()
        assert cites.nth(at).get_attribute("aria-label") == f"Source {at + 1}: {title}"
        cards.nth(at).get_by_role("button", name="Back to the answer").press("Enter")
        expect(cites.nth(at)).to_be_focused()
        expect(cites.nth(at)).to_be_in_viewport()


# --- C4, C5: nothing found, and where to begin -----------------------------------------------------------------------


def test_nothing_found_says_so_and_leads_on(visit: Visit) -> None:
    visit.begin()
    reply = visit.ask(NOWHERE)
    assert reply["status"] == "not_found"
    expect(visit.last.locator(".status")).to_have_text("These documents do not seem to answer this.")
    expect(visit.last).to_contain_text("Words that the documents never use: price, zorbing, Patagonia.")
    expect(visit.last.locator("[part=quote], [part=citation]")).to_have_count(0)
    near = visit.last.locator("details")
    expect(near).not_to_have_attribute("open", "")
    expect(near.locator("summary")).to_have_text("Nearest passages, which may not help: 3")
    expect(near.locator("article")).to_have_count(3)
    expect(near.locator("article").first).not_to_be_visible()
    expect(visit.last.locator("blockquote:visible")).to_have_count(0)
    near.locator("summary").click()
    expect(near.locator("article").first).to_be_visible()
    expect(near.get_by_role("button", name="Back to the answer")).to_have_count(0)

    suggestions = reply["suggestions"]
    assert 1 <= len(suggestions) <= 4
    offered = [button for button in visit.last.locator("button").all_text_contents() if button in suggestions]
    assert offered == suggestions
    with visit.page.expect_response("**/v1/ask") as answer:
        visit.last.get_by_role("button", name=suggestions[-1]).click()
    assert answer.value.json()["status"] == "answered"
    expect(visit.turns).to_have_count(2)
    expect(visit.last.locator(".status")).to_have_text("Answer")


def test_every_starter_question_has_an_answer(visit: Visit) -> None:
    visit.begin()
    starters = visit.log.get_by_role("button").all_text_contents()
    assert 1 <= len(starters) <= 4
    for starter in starters:
        visit.button(starter).click()
        expect(visit.turns).to_have_count(1)
        expect(visit.last.locator("[part=question]")).to_contain_text(starter)
        expect(visit.last.locator(".status")).to_have_text("Answer")
        visit.button("Start over").click()
        expect(visit.turns).to_have_count(0)


def test_pressing_a_starter_question_does_not_lose_the_focus(visit: Visit) -> None:
    visit.begin()
    starter = visit.log.get_by_role("button").first
    starter.press("Enter")
    expect(visit.last.locator(".status")).to_have_text("Answer")
    assert visit.page.evaluate("document.activeElement.localName") == "signpost-chat"
    visit.page.keyboard.press("Escape")
    expect(visit.launcher).to_be_focused()


# --- C6, C7: copying, and whether it helped --------------------------------------------------------------------------


def test_a_quote_is_copied_with_its_source(visit: Visit) -> None:
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit.begin()
    source = visit.ask(HOTLINES)["passages"][0]["citation"]["links"]["source"]
    expect(visit.page.locator("[data-signpost-announcer]")).to_have_text("Answer. Sources: 5")
    visit.last.get_by_role("button", name="Copy the quote").first.click()
    expect(visit.last.locator("article").first.locator(".tools")).to_contain_text("Copied")
    expect(visit.page.locator("[data-signpost-announcer]")).to_have_text("Copied")
    copied = visit.page.evaluate("navigator.clipboard.readText()")
    assert copied == f"“{QUOTE}”\nINHOPE, eSafety Commissioner, Updated 4 March 2024\n{source}"


def test_a_quote_can_be_copied_by_hand_where_the_clipboard_is_denied(visit: Visit) -> None:
    visit.page.add_init_script(
        "navigator.clipboard.writeText = () => Promise.reject(new DOMException('', 'NotAllowedError'))"
    )
    visit.begin()
    visit.ask(HOTLINES)
    visit.last.get_by_role("button", name="Copy the quote").first.click()
    field = visit.last.get_by_label("Select and copy the text below.")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("readonly", "")
    value = field.input_value()
    assert value.startswith(f"“{QUOTE}”\nINHOPE, eSafety Commissioner")
    assert field.evaluate("node => [node.selectionStart, node.selectionEnd]") == [0, len(value)]


def test_feedback_is_counted_and_can_be_taken_back(visit: Visit) -> None:
    def counts() -> dict[str, float]:
        text = visit.context.request.get(f"{visit.service}/metrics").text()
        found = re.findall(r'^signpost_feedback_total\{(.*?status="answered".*?)\} ([\d.]+)', text, re.M)
        return {re.findall('helpful="(.*?)"', labels)[0]: float(count) for labels, count in found}

    def press(name: str) -> list[bool | None]:
        """Return the verdicts that leave the browser, each with nothing but the status of the answer."""
        sent: list[bool | None] = []

        def note(response: Response) -> None:
            if response.url.endswith("/v1/feedback") and response.request.method == "POST":
                body = json.loads(response.request.post_data or "")
                assert (response.status, body.pop("status"), list(body)) == (204, "answered", ["helpful"])
                sent.append(body["helpful"])

        visit.page.on("response", note)
        visit.button(name).click()
        visit.page.wait_for_load_state("networkidle")
        visit.page.wait_for_timeout(300)
        visit.page.remove_listener("response", note)
        pressed.append([visit.button(each).get_attribute("aria-pressed") for each in ("Helpful", "Not helpful")])
        return sent

    visit.begin()
    visit.ask(HOTLINES)
    pressed: list[list[str | None]] = []
    before = counts()
    assert visit.button("Helpful").get_attribute("aria-pressed") == "false"
    assert press("Helpful") == [True]
    assert press("Not helpful") == [None, False], "what was said before is taken back first"
    assert press("Not helpful") == [None]
    assert pressed == [["true", "false"], ["false", "true"], ["false", "false"]]
    after = counts()
    assert {name: after[name] - before.get(name, 0) for name in after} == {"yes": 1, "no": 1, "withdrawn": 2}


def test_nobody_is_asked_if_it_helped_where_nobody_counts(visit: Visit) -> None:
    def without(route: Route) -> None:
        reply = route.fetch()
        route.fulfill(response=reply, json={**reply.json(), "feedback": False})

    visit.page.route("**/v1/suggestions", without)
    visit.begin()
    visit.ask(HOTLINES)
    expect(visit.page.get_by_role("button", name="Helpful")).to_have_count(0)


# --- C8, C9: when it does not work -----------------------------------------------------------------------------------


def test_each_fault_is_told_apart_keeps_the_question_and_needs_one_press(visit: Visit) -> None:
    faults: list[tuple[str, Callable[[], object]]] = [
        ("network", visit.cut),
        ("busy", lambda: visit.refuse(429)),
        ("unready", lambda: visit.refuse(503)),
        ("failed", lambda: visit.refuse(500)),
        ("refused", lambda: visit.refuse(422)),
        ("slow", visit.hold),
    ]
    visit.page.clock.install()
    visit.begin()
    said = []
    for number, (name, fail) in enumerate(faults, 1):
        fail()
        question = f"{HOTLINES} ({name})"
        asked = len(visit.asked)
        with visit.page.expect_request("**/v1/ask"):
            visit.send(question)
        if name == "slow":
            visit.page.clock.run_for(14_900)
            expect(visit.last.get_by_role("alert")).to_have_count(0)
            visit.page.clock.run_for(200)
        alert = visit.last.get_by_role("alert")
        expect(alert).to_be_visible(timeout=2_000)
        said.append(alert.text_content())
        expect(visit.last.locator("[part=question]")).to_contain_text(question)
        if name == "refused":
            expect(visit.input).to_have_value(question)
        visit.page.clock.run_for(60_000)  # nothing is asked again of itself
        assert len(visit.asked) == asked + 1
        visit.mend()
        with visit.page.expect_response("**/v1/ask"):
            visit.last.get_by_role("button", name="Try again").click()
        expect(visit.last.locator(".status")).to_have_text("Answer")
        expect(visit.last.get_by_role("alert")).to_have_count(0)
        expect(visit.turns).to_have_count(number)
        assert visit.asked[-1] == visit.asked[-2]
        assert len(visit.asked) == asked + 2
    assert all(said)
    assert len(set(said)) == len(faults), said


def test_a_service_that_too_many_ask_is_said_to_be_busy_and_not_unready(visit: Visit) -> None:
    visit.begin()
    visit.refuse(503, body='{"error":"Overloaded","detail":"y","request_id":"z"}')
    visit.send(HOTLINES)
    expect(visit.last.get_by_role("alert")).to_contain_text("Too many")


@pytest.mark.parametrize("size", [(1280, 720), (320, 640)])
def test_what_has_the_focus_is_not_behind_the_form(visit: Visit, size: tuple[int, int]) -> None:
    """WCAG 2.4.11, of a page that is the chat, whose form stays where it can be reached."""
    page = visit.page
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto(visit.service)
    for number, question in enumerate((HOTLINES, "What does GIFCT stand for?", "Is Kenya a member of WeProtect?"), 1):
        page.locator("signpost-chat textarea").fill(question)
        page.keyboard.press("Enter")
        expect(page.locator("signpost-chat .status")).to_have_count(number)
    page.evaluate("window.scrollTo(0, 0)")
    page.mouse.click(5, 5)
    seen = 0
    for _ in range(40):
        page.keyboard.press("Tab")
        place = page.evaluate(
            """() => {
                const root = document.querySelector("signpost-chat").shadowRoot;
                const at = root.activeElement;
                if (!at || at.closest("form")) return null;
                const form = root.querySelector("form").getBoundingClientRect();
                const its = at.getBoundingClientRect();
                return [its.top, form.top];
            }"""
        )
        if place:
            seen += 1
            assert place[0] < place[1] - 10, place
    assert seen > 15


@pytest.mark.parametrize("status", [429, 503])
def test_the_time_that_the_service_names_is_waited_for(visit: Visit, status: int) -> None:
    visit.page.clock.install()
    visit.begin()
    visit.refuse(status, wait=60)
    visit.send(HOTLINES)
    alert, again = visit.last.get_by_role("alert"), visit.last.get_by_role("button")
    expect(again).to_have_text(re.compile(r"^You can try again in (60|5\d) s$"))
    said = alert.text_content()
    alert.evaluate(
        "node => new MutationObserver(() => { window.changed = true; })"
        ".observe(node, { childList: true, characterData: true, subtree: true })"
    )
    visit.mend()
    again.click(force=True)
    expect(again).to_have_attribute("aria-disabled", "true")
    visit.page.clock.run_for(20_000)
    expect(again).to_have_text(re.compile(r"^You can try again in ([34]\d) s$"))
    again.click(force=True)
    assert len(visit.asked) == 1
    visit.page.clock.run_for(41_000)
    expect(again).to_have_text("Try again")
    assert alert.text_content() == said
    assert visit.page.evaluate("window.changed") is None
    expect(alert.get_by_role("button")).to_have_count(0)
    assert len(visit.asked) == 1
    again.click()
    expect(visit.last.locator(".status")).to_have_text("Answer")
    assert len(visit.asked) == 2


def test_the_time_to_wait_may_be_a_date(visit: Visit) -> None:
    visit.begin()
    for when, told in (
        (format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True), r"^You can try again in [78]\d s$"),
        (format_datetime(datetime.now(UTC) + timedelta(days=2), usegmt=True), r"^You can try again in (600|59\d) s$"),
        ("Sun, 06 Nov 1994 08:49:37 GMT", "^Try again$"),
        ("soon", "^Try again$"),
        ("-5", "^Try again$"),
    ):
        visit.refuse(503, wait=when)
        visit.send(HOTLINES)
        expect(visit.last.get_by_role("button")).to_have_text(re.compile(told))
        visit.page.evaluate("document.querySelector('signpost-chat').restart()")


def test_an_error_is_an_alert_once(visit: Visit) -> None:
    visit.begin()
    visit.page.evaluate("""() => {
      window.alerts = 0;
      const seen = (node) => node.nodeType === 1 && [node, ...node.querySelectorAll('*')];
      new MutationObserver((records) => {
        for (const record of records) for (const node of record.addedNodes)
          for (const each of seen(node) || []) if (each.getAttribute('role') === 'alert') window.alerts += 1;
      }).observe(document.querySelector('signpost-chat').shadowRoot, { childList: true, subtree: true });
    }""")
    visit.refuse(500)
    visit.send(HOTLINES)
    expect(visit.last.get_by_role("alert")).to_be_visible()
    assert visit.page.evaluate("window.alerts") == 1
    assert visit.heard == []
    expect(visit.input).to_be_focused()


def test_going_offline_is_noticed_and_got_over(visit: Visit) -> None:
    visit.begin()
    notice = visit.page.get_by_text("You are offline. Your question is kept.")
    visit.input.fill(HOTLINES)
    visit.context.set_offline(True)
    expect(notice).to_be_visible(timeout=1_000)
    expect(visit.input).to_have_value(HOTLINES)
    visit.context.set_offline(False)
    expect(notice).to_have_count(0, timeout=1_000)
    visit.input.press("Enter")
    expect(visit.last.locator(".status")).to_have_text("Answer")


def test_a_question_that_is_sent_while_offline_is_kept(visit: Visit) -> None:
    visit.begin()
    visit.context.set_offline(True)
    visit.send(HOTLINES)
    expect(visit.last.get_by_role("alert")).to_have_text("You are offline. Your question is kept.")
    visit.context.set_offline(False)
    visit.last.get_by_role("button", name="Try again").click()
    expect(visit.last.locator(".status")).to_have_text("Answer")


def test_a_service_on_a_machine_without_a_network_is_asked(visit: Visit) -> None:
    """Browsers say that they are offline there, which is no reason not to try."""
    visit.page.add_init_script("Object.defineProperty(Navigator.prototype, 'onLine', {get: () => false})")
    visit.begin()
    visit.send(HOTLINES)
    expect(visit.last.locator(".status")).to_have_text("Answer")


def test_a_line_that_breaks_while_a_question_is_out_is_told_as_such(visit: Visit) -> None:
    visit.begin()
    held = visit.hold()
    with visit.page.expect_request("**/v1/ask"):
        visit.send(HOTLINES)
    visit.context.set_offline(True)
    held[0].abort("internetdisconnected")
    expect(visit.last.get_by_role("alert")).to_have_text("You are offline. Your question is kept.")
    visit.context.set_offline(False)
    visit.mend()
    visit.last.get_by_role("button", name="Try again").click()
    expect(visit.last.locator(".status")).to_have_text("Answer")


def test_a_service_that_is_down_is_explained(visit: Visit) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        visit.go(f'data-api="http://127.0.0.1:{taken.getsockname()[1]}"')
        visit.open()
        visit.send(HOTLINES)
        expect(visit.last.get_by_role("alert")).to_have_text("The service cannot be reached. Your question is kept.")
    expect(visit.last.get_by_role("button", name="Try again")).to_be_visible()


def test_a_page_that_forbids_the_service_is_explained(visit: Visit) -> None:
    visit.go(headers={"Content-Security-Policy": f"script-src {visit.service}; connect-src 'none'"})
    visit.open()
    visit.send(HOTLINES)
    expect(visit.last.get_by_role("alert")).to_have_text("The service cannot be reached. Your question is kept.")
    assert visit.asked == []


MALFORMED = [
    "",
    "<!doctype html><p>Please log in",
    "null",
    "7",
    '"answered"',
    "[]",
    "{}",
    '{"status": "answered"',
    '{"status": "answered"}',
    '{"status": "answered", "passages": []}',
    '{"status": "not_found", "passages": null}',
]

SPOILT: list[Callable[[dict[str, Any]], Any]] = [
    lambda reply: reply.pop("passages"),
    lambda reply: reply.pop("answer"),
    lambda reply: reply.update(passages=[]),
    lambda reply: reply.update(passages=[None]),
    lambda reply: reply.update(passages="passages"),
    lambda reply: reply.update(borrowed=None),
    lambda reply: reply.update(corrections=None),
    lambda reply: reply["passages"][0].pop("citation"),
    lambda reply: reply["passages"][0].pop("highlights"),
    lambda reply: reply["passages"][0].pop("text"),
    lambda reply: reply["passages"][0].pop("id"),
    lambda reply: reply["passages"][0].pop("elsewhere"),
    lambda reply: reply["passages"][0]["citation"].pop("links"),
    lambda reply: reply["passages"][0]["citation"].update(updated="yesterday"),
    lambda reply: reply["passages"][0]["citation"]["links"].pop("viewer"),
]


def test_a_reply_that_cannot_be_read_is_a_fault_like_others(visit: Visit) -> None:
    visit.begin()
    for number, body in enumerate(MALFORMED, 1):
        visit.refuse(200, body)
        visit.send(HOTLINES)
        expect(visit.turns).to_have_count(number)
        expect(visit.last.get_by_role("alert")).not_to_be_empty()
    visit.mend()
    visit.last.get_by_role("button", name="Try again").click()
    expect(visit.last.locator("[part=quote]")).to_have_text(QUOTE)


def test_a_reply_that_lacks_something_stops_nothing(visit: Visit) -> None:
    visit.begin()
    stopped = []
    for number, spoil in enumerate(SPOILT):
        visit.change(spoil)
        visit.send(HOTLINES)
        expect(visit.last.locator(".status, [role=alert]")).to_be_visible()  # something is said
        visit.mend()
        visit.send(MODEL)
        expect(visit.turns).to_have_count(2)
        try:
            expect(visit.last.locator(".status")).to_have_text("Answer", timeout=2_000)
        except AssertionError:
            stopped.append(number)
        visit.page.evaluate("document.querySelector('signpost-chat').restart()")
        expect(visit.turns).to_have_count(0)
    assert stopped == []


def test_a_beginning_that_cannot_be_read_is_done_without(visit: Visit) -> None:
    for body in ("", "[]", '"x"', "7", '{"suggestions":5}', '{"suggestions":[null,{"a":1}]}', "null"):
        visit.refuse(200, body, of="suggestions")
        visit.go()
        with visit.page.expect_response("**/v1/suggestions"):
            visit.open()
        visit.ask(HOTLINES)
        expect(visit.last.locator("[part=quote]")).to_have_text(QUOTE)
        assert visit.errors == [], body


@pytest.mark.parametrize("body", ["null", "{}"])
def test_asking_on_its_own_may_fail_and_the_conversation_goes_on(visit: Visit, body: str) -> None:
    visit.begin()
    visit.ask(HOTLINES)
    visit.ask(COUNTRIES)
    visit.refuse(200, body)
    visit.button("Ask it on its own").click()
    expect(visit.last.get_by_role("alert")).to_be_visible()
    visit.mend()
    visit.send(MODEL)
    expect(visit.turns).to_have_count(3)
    expect(visit.last.locator(".status")).to_have_text("Answer", timeout=3_000)


def test_an_answer_stays_when_asking_on_its_own_fails(visit: Visit) -> None:
    visit.begin()
    visit.ask(HOTLINES)
    visit.ask(COUNTRIES)
    answer = visit.last.locator("[part=quote]").text_content() or ""
    visit.button("Helpful").last.click()
    visit.cut()
    for button in ("Ask it on its own", "Try again"):
        visit.button(button).click()
        expect(visit.last.get_by_role("alert")).to_have_count(1)
        expect(visit.last.locator("[part=quote]")).to_have_text(answer)
        expect(visit.button("Helpful").last).to_have_attribute("aria-pressed", "true")
        expect(visit.button("Try again")).to_have_count(1)
    visit.mend()
    with visit.page.expect_response("**/v1/ask"):
        visit.button("Try again").click()
    expect(visit.last.get_by_role("alert")).to_have_count(0)
    expect(visit.last.locator(".status")).to_have_count(1)
    assert visit.asked[-1] == {"question": COUNTRIES, "turns": []}


@pytest.mark.parametrize("again", ["opened", "online"])
def test_a_beginning_that_failed_is_tried_again_but_not_at_once(visit: Visit, again: str) -> None:
    def retry() -> None:
        if again == "online":
            visit.page.evaluate("dispatchEvent(new Event('online'))")
        else:
            visit.page.keyboard.press("Escape")
            visit.open()

    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    visit.refuse(503, of="suggestions")
    visit.go()
    for count in (1, 2):
        with visit.page.expect_response("**/v1/suggestions"):
            visit.open() if count == 1 else retry()
        visit.page.wait_for_timeout(300)
        assert len([url for url in asked if url.endswith("/v1/suggestions")]) == count
    visit.mend("suggestions")
    retry()
    expect(visit.page.get_by_text("For example:")).to_be_visible()
    for _ in range(3):
        retry()
    visit.page.wait_for_timeout(300)
    expect(visit.page.get_by_text("For example:")).to_have_count(1)
    assert len([url for url in asked if url.endswith("/v1/suggestions")]) == 3, "what was had is not asked for again"


# --- C10-C12: starting over, limits, privacy -------------------------------------------------------------------------


def test_starting_over_forgets_all(visit: Visit) -> None:
    visit.begin("data-remember")
    visit.ask(HOTLINES)
    assert stored(visit) == [1, 0]
    visit.button("Start over").click()  # one question is quickly asked again
    expect(visit.turns).to_have_count(0)
    assert stored(visit) == [0, 0]

    visit.ask(HOTLINES)
    visit.ask(MODEL)
    visit.button("Start over").click()
    expect(visit.turns).to_have_count(2)
    expect(visit.button("Clear it")).to_be_focused()
    visit.button("Keep it").click()
    expect(visit.button("Start over")).to_be_focused()
    expect(visit.turns).to_have_count(2)
    visit.button("Start over").click()
    visit.button("Clear it").click()
    expect(visit.turns).to_have_count(0)
    expect(visit.input).to_be_focused()
    assert stored(visit) == [0, 0]
    left = shadow_text(visit) + visit.page.content()
    assert [words for words in (HOTLINES, QUOTE, MODEL, "eSafety Commissioner") if words in left] == []
    expect(visit.page.get_by_text("For example:")).to_be_visible()
    visit.ask(HOTLINES)
    assert visit.asked[-1] == {"question": HOTLINES, "turns": []}


def test_starting_over_drops_the_question_that_is_out(visit: Visit) -> None:
    visit.begin("data-remember")
    held = visit.hold()
    with visit.page.expect_request("**/v1/ask"):
        visit.send(HOTLINES)
    with visit.page.expect_event("requestfailed"):
        visit.button("Start over").click()
    visit.mend()
    visit.ask(MODEL)
    expect(visit.turns).to_have_count(1)
    expect(visit.last.locator("[part=question]")).to_contain_text(MODEL)
    assert visit.asked[-1]["turns"] == []
    assert len(held) == 1


def test_characters_are_counted_from_80_percent_on(visit: Visit) -> None:
    visit.begin()
    count = visit.page.locator("signpost-chat").get_by_text(re.compile("^Characters (left|too many): "))
    for length, text in [
        (799, None),
        (800, "Characters left: 200"),
        (801, "Characters left: 199"),
        (1_000, "Characters left: 0"),
        (1_001, "Characters too many: 1"),
    ]:
        visit.input.fill("a" + "\U0001f41a" * (length - 1))
        if text is None:
            expect(count).to_have_count(0)
        else:
            expect(count).to_have_text(text)
    described = (visit.input.get_attribute("aria-describedby") or "").split()
    assert count.get_attribute("id") in described
    visit.input.press("Enter")
    expect(visit.turns).to_have_count(0)
    assert visit.asked == []
    visit.page.wait_for_function("window.heard.at(-1) === 'Characters too many: 1'")

    longest = "a" + "\U0001f41a" * 999
    with visit.page.expect_response("**/v1/ask") as reply:
        visit.send(longest)
    assert reply.value.status == 200  # the service has the same limit
    assert visit.asked[-1]["question"] == longest
    expect(count).to_have_count(0)


def test_the_field_asks_for_no_personal_details(visit: Visit) -> None:
    visit.begin()
    line = visit.page.get_by_text("Do not share names or contact details.")
    expect(line).to_be_visible()
    assert len((line.text_content() or "").split()) <= 20
    assert line.get_attribute("id") in (visit.input.get_attribute("aria-describedby") or "").split()


def test_contact_details_are_warned_of_before_they_are_sent(visit: Visit) -> None:
    visit.begin()
    for details in ("ann@example.org", "+44 20 7946 0958", "06 12 34 56 78", "555-123-4567", "0301234567"):
        question = f"Can INHOPE reach me at {details}?"
        visit.send(question)
        expect(visit.page.get_by_text(WARNING)).to_be_visible()
        expect(visit.button("Ask anyway")).to_be_visible()
        expect(visit.input).to_have_value(question)
        expect(visit.turns).to_have_count(0)
        visit.input.fill("")
        expect(visit.page.get_by_text(WARNING)).to_have_count(0)
    assert visit.asked == []
    visit.send("Can INHOPE reach me at ann@example.org?")
    visit.button("Ask anyway").click()
    expect(visit.last.locator(".status")).to_be_visible()
    expect(visit.input).to_be_focused()
    assert [body["question"] for body in visit.asked] == ["Can INHOPE reach me at ann@example.org?"]
    expect(visit.button("Ask anyway")).to_have_count(0)


def test_a_telephone_number_is_known_however_it_is_written(visit: Visit) -> None:
    visit.begin()
    numbers = ["(555) 123-4567", "+1 (555) 123-4567", "+44 (0) 20 7946 0958", "020/79460958", "٠٦١٢٣٤٥٦٧٨"]
    passed = []
    for number in numbers:
        visit.send(f"Can INHOPE call me on {number}?")
        if not visit.page.get_by_text(WARNING).count():
            passed.append(number)
            expect(visit.last.locator(".status")).to_be_visible()
    assert passed == []


def test_numbers_that_are_no_contact_details_are_not_warned_of(visit: Visit) -> None:
    visit.begin()
    questions = [
        "Does INHOPE have 54 hotlines in 50 countries?",
        "What did INHOPE do from 2019-01-01 to 2020-12-31?",
        "What did INHOPE do in 2019-2020?",
        "Were there 36,210,368 reports to INHOPE?",
        "Is it @INHOPE on the web?",
    ]
    for number, question in enumerate(questions, 1):
        visit.send(question)
        expect(visit.turns).to_have_count(number)
        expect(visit.last.locator(".status")).to_be_visible()
    assert [body["question"] for body in visit.asked] == questions


def test_a_date_is_no_telephone_number(visit: Visit) -> None:
    visit.begin()
    dates = ["01.01.2019-31.12.2020", "2024-03-04 12:30", "2018 2019 2020", "2018-2019 2020-2021"]
    warned = []
    for when in dates:
        visit.send(f"What did INHOPE do in {when}?")
        if visit.page.get_by_text(WARNING).count():
            warned.append(when)
        else:
            expect(visit.last.locator(".status")).to_be_visible()
    assert warned == []


# --- follow-ups ------------------------------------------------------------------------------------------------------


def test_a_follow_up_shows_what_it_was_read_with_and_can_stand_alone(visit: Visit) -> None:
    visit.begin()
    first = visit.ask(HOTLINES)
    second = visit.ask(COUNTRIES)
    assert second["borrowed"] == ["hotlines", "INHOPE"]
    assert visit.asked[1] == {
        "question": COUNTRIES,
        "turns": [{"question": HOTLINES, "passages": [passage["id"] for passage in first["passages"]]}],
    }
    borrowed = visit.last.get_by_text("Read together with what you asked before: hotlines, INHOPE.")
    expect(borrowed).to_be_visible()
    with visit.page.expect_response("**/v1/ask"):
        visit.button("Ask it on its own").click()
    expect(borrowed).to_have_count(0)
    expect(visit.last.locator(".status")).to_be_visible()
    expect(visit.turns).to_have_count(2)
    assert visit.asked[2] == {"question": COUNTRIES, "turns": []}
    visit.ask(MODEL)
    assert [turn["question"] for turn in visit.asked[3]["turns"]] == [HOTLINES, COUNTRIES]


def test_at_most_four_questions_before_go_with_a_question(visit: Visit) -> None:
    visit.begin()
    questions = [f"{HOTLINES} {number}" for number in range(6)]
    replies = [visit.ask(question) for question in questions]
    assert visit.asked[-1]["turns"] == [
        {"question": question, "passages": [passage["id"] for passage in reply["passages"]]}
        for question, reply in list(zip(questions, replies, strict=True))[1:5]
    ]
    assert set(visit.asked[-1]) == {"question", "turns"}


def test_a_question_that_failed_is_no_part_of_the_conversation(visit: Visit) -> None:
    visit.begin()
    visit.cut()
    visit.send(MODEL)
    expect(visit.last.get_by_role("alert")).to_be_visible()
    visit.mend()
    visit.ask(HOTLINES)
    assert visit.asked[-1]["turns"] == []


# --- A2: what a screen reader is told --------------------------------------------------------------------------------


def test_each_answer_is_announced_once_outside_the_shadow_root(visit: Visit) -> None:
    visit.go()
    visit.open()
    announcer = visit.page.locator("body > [data-signpost-announcer]")
    expect(announcer).to_have_count(1)
    expect(announcer).to_have_text("")
    expect(announcer).to_have_attribute("aria-live", "polite")
    visit.hear()
    for number, question in enumerate([HOTLINES, HOTLINES, NOWHERE], 1):
        visit.ask(question)
        visit.page.wait_for_function(f"window.heard.length >= {number}")
    visit.page.evaluate("new Promise((go) => setTimeout(go, 300))")  # and nothing after it
    assert visit.heard == ["Answer. Sources: 5", "Answer. Sources: 5", "No answer found."]
    expect(announcer).to_have_count(1)


def test_the_log_only_grows(visit: Visit) -> None:
    visit.begin()
    expect(visit.log).to_have_attribute("aria-live", "off")
    expect(visit.log).to_have_attribute("aria-label", "Conversation")
    visit.ask(HOTLINES)
    visit.turns.first.evaluate(
        "node => { window.old = node; new MutationObserver(() => { window.changed = true; })"
        ".observe(node, { attributes: true, childList: true, characterData: true, subtree: true }); }"
    )
    visit.ask(MODEL)
    assert visit.page.evaluate("window.changed") is None
    assert visit.turns.first.evaluate("node => node === window.old")
    expect(visit.turns).to_have_count(2)
    expect(visit.last.locator("[part=question]")).to_have_text(f"You asked: {MODEL}")


def test_waiting_is_told_only_after_half_a_second(visit: Visit) -> None:
    visit.page.clock.install(time=0)
    visit.begin()
    visit.page.clock.pause_at(3_600)
    visit.page.clock.run_for(1)
    searching = visit.log.get_by_text("Looking in the documents")
    visit.ask(HOTLINES)  # quick: no time passes at all
    visit.page.clock.run_for(2_000)
    expect(searching).to_have_count(0)
    assert visit.heard == ["Answer. Sources: 5"]

    held = visit.hold()
    with visit.page.expect_request("**/v1/ask"):
        visit.send(MODEL)
    visit.page.clock.run_for(499)
    expect(searching).to_have_count(0)
    visit.page.clock.run_for(1)
    expect(searching).to_be_visible()
    visit.page.clock.run_for(3_000)
    assert visit.heard[1:] == ["Looking in the documents"]
    held[0].continue_()
    expect(visit.last.locator(".status")).to_have_text("Answer")
    expect(searching).to_have_count(0)
    visit.page.clock.run_for(1_000)
    assert visit.heard[2:] == ["Answer. Sources: 5"]


# --- A3, A4: focus and keyboard --------------------------------------------------------------------------------------


def test_opening_and_closing_move_the_focus_and_answers_do_not(visit: Visit) -> None:
    visit.begin()
    expect(visit.launcher).to_have_attribute("aria-expanded", "true")
    held = visit.hold()
    for place in (visit.input, visit.page.locator("#before")):
        with visit.page.expect_request("**/v1/ask"):
            visit.send(HOTLINES)
        place.focus()
        before = visit.focused
        held[-1].continue_()
        expect(visit.last.locator(".status")).to_have_text("Answer")
        assert visit.focused == before
        assert active(visit, place)

    visit.input.focus()
    visit.input.fill("half a quest")
    visit.page.keyboard.press("Escape")
    expect(visit.launcher).to_be_focused()
    expect(visit.launcher).to_have_attribute("aria-expanded", "false")
    expect(visit.page.get_by_role("dialog")).to_have_count(0)
    visit.page.keyboard.press("Enter")
    expect(visit.input).to_be_focused()
    expect(visit.input).to_have_value("half a quest")
    expect(visit.turns).to_have_count(2)
    visit.button("Close").click()
    expect(visit.launcher).to_be_focused()


def test_tab_leaves_the_panel(visit: Visit) -> None:
    visit.begin(body="<signpost-chat></signpost-chat>")
    visit.ask(HOTLINES)
    visit.tab_to("#after")
    expect(visit.page.get_by_role("dialog")).to_be_visible()
    visit.tab_to("#before", "Shift+Tab")
    expect(visit.page.get_by_role("dialog")).to_be_visible()


def test_a_phone_has_nothing_but_the_panel(phone: Visit) -> None:
    phone.go(body='<div inert id="off"><button id="never">Never</button></div>')
    inert = "[...document.querySelectorAll('h1, #before, #after, #never')].map((node) => !!node.closest('[inert]'))"
    assert phone.page.evaluate(inert) == [False, False, True, False]
    phone.open()
    box = phone.page.get_by_role("dialog").bounding_box()
    assert box == {"x": 0, "y": 0, **PHONE}
    assert phone.page.evaluate(inert) == [True, True, True, True]
    phone.ask(HOTLINES)
    for _ in range(25):
        phone.page.keyboard.press("Tab")
        assert not phone.focused.startswith("#")
    expect(phone.page.locator("[data-signpost-announcer]")).to_have_text("Answer. Sources: 5")
    assert phone.page.locator("[data-signpost-announcer]").evaluate("node => !node.closest('[inert]')")
    phone.input.focus()
    phone.page.keyboard.press("Escape")
    expect(phone.launcher).to_be_focused()
    assert phone.page.evaluate(inert) == [False, False, True, False]


def test_a_phone_has_nothing_but_the_panel_wherever_the_widget_stands(phone: Visit) -> None:
    phone.go(body='<main><p><button id="near">Near</button></p><signpost-chat></signpost-chat></main>')
    phone.open()
    assert phone.page.locator("#near").evaluate("node => !!node.closest('[inert]')")
    assert phone.page.locator("#before").evaluate("node => !!node.closest('[inert]')")
    phone.button("Close").click()
    assert phone.page.evaluate("document.querySelectorAll('[inert]').length") == 0


def test_f6_goes_between_question_and_log(visit: Visit) -> None:
    visit.begin()
    visit.page.keyboard.press("F6")
    expect(visit.log).to_be_focused()
    visit.page.keyboard.press("F6")
    expect(visit.input).to_be_focused()


def test_enter_sends_and_shift_enter_breaks_the_line(visit: Visit) -> None:
    visit.begin()
    visit.input.press_sequentially("How many hotlines")
    visit.page.keyboard.press("Shift+Enter")
    visit.input.press_sequentially("does INHOPE have?")
    expect(visit.input).to_have_value("How many hotlines\ndoes INHOPE have?")
    assert visit.asked == []
    visit.page.keyboard.press("Enter")
    expect(visit.last.locator("[part=quote]")).to_have_text(QUOTE)
    expect(visit.input).to_have_value("")


def test_enter_that_ends_a_composition_never_sends(visit: Visit) -> None:
    visit.begin()
    visit.input.fill(HOTLINES)
    for way in ("isComposing: true", "keyCode: 229"):
        for _ in range(10):
            visit.input.evaluate(
                "node => node.dispatchEvent(new KeyboardEvent('keydown', "
                f"{{ key: 'Enter', bubbles: true, composed: true, cancelable: true, {way} }}))"
            )
    expect(visit.input).to_have_value(HOTLINES)
    expect(visit.turns).to_have_count(0)
    assert visit.asked == []
    visit.page.keyboard.press("Enter")
    expect(visit.turns).to_have_count(1)


def test_nothing_is_sent_when_nothing_is_asked(visit: Visit) -> None:
    visit.begin()
    for blank in ("", "   ", "\n"):
        visit.send(blank)
    visit.button("Ask").click()
    expect(visit.turns).to_have_count(0)
    assert visit.asked == []


def test_a_second_question_waits_for_the_first(visit: Visit) -> None:
    visit.begin()
    held = visit.hold()
    with visit.page.expect_request("**/v1/ask"):
        visit.send(HOTLINES)
    visit.send(MODEL)
    expect(visit.input).to_have_value(MODEL)  # not lost
    held[0].continue_()
    expect(visit.last.locator(".status")).to_have_text("Answer")
    assert len(visit.asked) == 1
    visit.mend()
    visit.input.press("Enter")
    expect(visit.turns).to_have_count(2)


def test_a_keyboard_is_enough(visit: Visit) -> None:
    visit.go()
    keyboard = visit.page.keyboard
    visit.page.locator("#before").focus()
    visit.tab_to("Ask a question")
    keyboard.press("Enter")
    expect(visit.input).to_be_focused()
    keyboard.type(HOTLINES)
    keyboard.press("Enter")
    expect(visit.last.locator("[part=quote]")).to_have_text(QUOTE)
    keyboard.press("F6")
    visit.tab_to("Source 2: eSafety's international work")
    keyboard.press("Enter")
    card = visit.last.locator("article").nth(1)
    expect(card).to_be_focused()
    keyboard.press("Tab")
    assert visit.focused.startswith("Read it in the document")
    with visit.context.expect_page() as opened:
        keyboard.press("Enter")
    expect(opened.value.locator("mark").first).to_be_visible()
    opened.value.close()
    visit.tab_to("Back to the answer")
    keyboard.press("Enter")
    expect(visit.last.locator("[part=citation]").nth(1)).to_be_focused()
    visit.tab_to("Start over", "Shift+Tab")
    keyboard.press("Enter")
    expect(visit.turns).to_have_count(0)
    visit.tab_to("Close", "Shift+Tab")
    keyboard.press("Enter")
    expect(visit.launcher).to_be_focused()


def test_the_launcher_can_be_reached_from_a_control_that_it_covers(visit: Visit) -> None:
    visit.go(body='<a id="corner" href="#x" style="position:fixed;right:0;bottom:0;width:200px;height:90px">Corner</a>')
    visit.page.evaluate("document.querySelector('signpost-chat').before(document.querySelector('#corner'))")
    visit.page.locator("#after").focus()
    visit.page.keyboard.press("Tab")
    assert visit.focused == "#corner"
    at_launcher = """node => {
      const box = node.getBoundingClientRect();
      return document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2).id;
    }"""
    assert visit.launcher.evaluate(at_launcher) == "corner"  # it makes way
    visit.page.keyboard.press("Tab")
    expect(visit.launcher).to_be_focused()


# --- E5, E10: echo, and what is kept ---------------------------------------------------------------------------------


def test_a_question_is_echoed_at_once(visit: Visit) -> None:
    visit.begin()
    visit.hold()
    visit.input.fill(HOTLINES)
    echoed = visit.input.evaluate("""node => {
      node.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }));
      return [node.getRootNode().querySelector('li')?.textContent, node.value];
    }""")
    assert echoed == [f"You asked: {HOTLINES}", ""]


def test_nothing_is_ever_kept_unless_the_site_asks_for_it(visit: Visit) -> None:
    visit.begin()
    visit.ask(HOTLINES)
    visit.ask(MODEL)
    assert stored(visit) == [0, 0]
    visit.page.reload()
    visit.open()
    expect(visit.turns).to_have_count(0)


def test_a_conversation_goes_along_where_the_site_asks_for_it(visit: Visit) -> None:
    visit.begin("data-remember")
    assert stored(visit) == [0, 0]
    first = visit.ask(HOTLINES)
    assert stored(visit) == [1, 0]
    visit.go("data-remember", path="/another")
    visit.open()
    visit.hear()
    expect(visit.turns).to_have_count(1)
    expect(visit.last.locator("[part=quote]")).to_have_text(QUOTE)
    expect(visit.last.locator("article").first.locator("mark")).to_have_text(QUOTE)
    expect(visit.last.locator("[part=question]")).to_contain_text(HOTLINES)
    second = visit.ask(COUNTRIES)
    assert visit.asked[-1]["turns"] == [{"question": HOTLINES, "passages": [each["id"] for each in first["passages"]]}]
    assert second["borrowed"]
    expect(visit.page.locator("[data-signpost-announcer]")).to_have_text("Answer. Sources: 5")
    assert visit.heard == ["Answer. Sources: 5"]  # what was answered before is not read again
    visit.page.evaluate("document.querySelector('signpost-chat').restart()")
    assert stored(visit) == [0, 0]
    visit.page.reload()
    visit.open()
    expect(visit.turns).to_have_count(0)


def test_what_is_kept_may_be_spoilt(visit: Visit) -> None:
    visit.go("data-remember")
    shown = []
    for kept in ("{", "null", "7", "[null]", '[{"question":"q"}]', '[{"question":"q","reply":{}}]'):
        visit.page.evaluate("kept => sessionStorage.setItem('signpost-chat', kept)", kept)
        visit.page.reload()
        visit.open()
        if visit.turns.count():
            shown.append(kept)
    assert shown == []  # no question without its answer
    visit.ask(HOTLINES)
    assert visit.asked[-1]["turns"] == []


# --- the page's own script -------------------------------------------------------------------------------------------

_EVENTS = """window.told = [];
for (const name of ['open', 'close', 'answer'])
  document.addEventListener('signpost-' + name, (event) => window.told.push([name, event.detail ?? null]));"""


def test_a_page_can_open_and_close_it_and_hears_no_question(visit: Visit) -> None:
    visit.page.add_init_script(_EVENTS)
    visit.go(body='<a href="#signpost-chat">Ask <b>us</b></a>')
    visit.page.get_by_text("us", exact=True).click()
    expect(visit.input).to_be_focused()
    visit.ask(HOTLINES)
    visit.ask(NOWHERE)
    visit.page.evaluate("document.querySelector('signpost-chat').close()")
    expect(visit.launcher).to_be_focused()
    visit.page.evaluate("document.querySelector('signpost-chat').open()")
    expect(visit.input).to_be_focused()
    visit.page.evaluate("document.querySelector('signpost-chat').restart()")
    expect(visit.turns).to_have_count(0)
    answers = [["answer", {"status": "answered"}], ["answer", {"status": "not_found"}]]
    assert visit.page.evaluate("window.told") == [["open", None], *answers, ["close", None], ["open", None]]


def test_an_address_can_open_it(visit: Visit) -> None:
    visit.go(path="/linked#signpost-chat")
    expect(visit.input).to_be_focused()


def test_it_neither_opens_nor_takes_the_focus_of_itself(visit: Visit) -> None:
    requests: list[str] = []
    visit.page.on("request", lambda request: requests.append(request.url))
    visit.go()
    expect(visit.launcher).to_be_visible()
    expect(visit.page.get_by_role("dialog")).to_have_count(0)
    assert visit.page.evaluate("document.activeElement.localName") == "body"
    assert requests == [f"{visit.site.origin}/page", f"{visit.service}/widget/signpost-chat.js"]


def test_it_can_be_taken_off_the_page_and_put_back(visit: Visit) -> None:
    visit.begin()
    visit.ask(HOTLINES)
    visit.page.evaluate("window.widget = document.querySelector('signpost-chat'); widget.remove()")
    expect(visit.page.locator("[data-signpost-announcer]")).to_have_count(0)
    visit.page.evaluate("document.body.append(window.widget)")
    visit.open()
    expect(visit.page.locator("[data-signpost-announcer]")).to_have_count(1)
    expect(visit.turns).to_have_count(0)
    visit.ask(COUNTRIES)
    expect(visit.turns).to_have_count(1)
    assert visit.asked[-1]["turns"] == []  # what cannot be seen is not borrowed from


def test_a_kept_conversation_stands_there_once_after_it_was_taken_off(visit: Visit) -> None:
    visit.begin("data-remember")
    visit.ask(HOTLINES)
    visit.page.evaluate("window.widget = document.querySelector('signpost-chat'); widget.remove()")
    expect(visit.page.locator("[data-signpost-announcer]")).to_have_count(0)
    visit.page.evaluate("document.body.append(window.widget)")
    visit.open()
    expect(visit.turns).to_have_count(1)
    visit.ask(MODEL)
    assert [turn["question"] for turn in visit.asked[-1]["turns"]] == [HOTLINES]


def test_it_can_be_moved_within_the_page(visit: Visit) -> None:
    visit.go(body="<div id='old'><signpost-chat></signpost-chat></div><div id='new'></div>")
    expect(visit.launcher).to_be_visible()
    visit.page.evaluate("document.querySelector('#new').append(document.querySelector('signpost-chat'))")
    visit.page.evaluate("document.querySelector('#old').remove()")
    expect(visit.launcher).to_be_visible()
    visit.open()
    visit.ask(HOTLINES)
    expect(visit.page.locator("[data-signpost-announcer]")).to_have_text("Answer. Sources: 5")


def test_it_can_be_taken_off_while_it_fetches_its_words(visit: Visit) -> None:
    held: list[Route] = []
    visit.page.route("**/widget/strings/de.json", lambda route: held.append(route))
    visit.go(body='<signpost-chat lang="de"></signpost-chat>')
    with visit.page.expect_request("**/widget/strings/de.json"):
        visit.launcher.click()
    with visit.page.expect_response("**/v1/suggestions"):
        visit.page.evaluate("window.widget = document.querySelector('signpost-chat'); widget.remove()")
        held[0].continue_()
    visit.page.evaluate("new Promise((go) => setTimeout(go, 100))")
    assert visit.errors == []


def test_a_question_may_be_out_when_it_is_taken_off(visit: Visit) -> None:
    visit.begin()
    visit.hold()
    with visit.page.expect_request("**/v1/ask"):
        visit.send(HOTLINES)
    with visit.page.expect_event("requestfailed"):
        visit.page.evaluate("window.widget = document.querySelector('signpost-chat'); widget.remove()")
    visit.mend()
    visit.page.evaluate("document.body.append(window.widget)")
    visit.open()
    visit.ask(MODEL)
    expect(visit.turns).to_have_count(1)


def test_two_script_tags_make_one_widget(visit: Visit) -> None:
    visit.go(body=f'<script src="{visit.service}/widget/signpost-chat.js" defer></script>')
    expect(visit.launcher).to_have_count(1)
    expect(visit.page.locator("signpost-chat")).to_have_count(1)
    visit.open()
    expect(visit.page.locator("[data-signpost-announcer]")).to_have_count(1)
    visit.ask(HOTLINES)


def test_two_widgets_on_one_page_do_not_mix(visit: Visit) -> None:
    visit.go(body='<signpost-chat inline id="one"></signpost-chat><signpost-chat id="two"></signpost-chat>')
    one, two = visit.page.locator("#one"), visit.page.locator("#two")
    two.locator("[part=launcher]").click()
    expect(two.get_by_label("Your question")).to_be_focused()
    expect(visit.page.locator("[data-signpost-announcer]")).to_have_count(2)
    one.get_by_label("Your question").fill(HOTLINES)
    one.get_by_label("Your question").press("Enter")
    expect(one.locator("[part=quote]")).to_have_text(QUOTE)
    expect(two.locator("li")).to_have_count(0)
    two.get_by_label("Your question").fill(MODEL)
    two.get_by_label("Your question").press("Enter")
    expect(two.locator(".status")).to_have_text("Answer")
    expect(one.locator("li")).to_have_count(1)
    assert [body["turns"] for body in visit.asked] == [[], []]
    ids = visit.page.evaluate(
        "[...document.querySelectorAll('signpost-chat')].flatMap((node) => "
        "[...node.shadowRoot.querySelectorAll('[id]')].map((each) => each.id))"
    )
    assert len(ids) == len(set(ids))


def test_the_services_own_page_has_it_inline(visit: Visit) -> None:
    visit.page.goto(visit.service)
    expect(visit.log).to_be_visible()
    expect(visit.input).to_have_count(1)  # the plain form has made way
    assert visit.page.evaluate("document.activeElement.localName") == "body"
    expect(visit.launcher).to_have_count(0)
    visit.ask(HOTLINES)
    expect(visit.last.locator("[part=quote]")).to_have_text(QUOTE)
    expect(visit.last.locator("[part=quote]")).to_be_in_viewport()
    expect(visit.page.locator("[data-signpost-announcer]")).to_have_text("Answer. Sources: 5")
    visit.page.keyboard.press("Escape")
    expect(visit.log).to_be_visible()
    visit.cut()
    visit.send(MODEL)
    expect(visit.last.get_by_role("alert")).to_have_text("The service cannot be reached. Your question is kept.")
    visit.button("Start over").click()
    expect(visit.turns).to_have_count(0)
    assert stored(visit) == [0, 0]
