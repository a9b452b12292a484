"""The widget and the plain pages for everybody: axe-core in every state, and what axe cannot see.

What a screen reader says, and a real on-screen keyboard, cannot be shown here (A2's manual script, A13).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from bot.widget.words import LANGUAGES, words
from tests.widget.conftest import Site
from tests.widget.hosts import NONSENSE, QUESTION, ask, host, opened, tag

pytestmark = pytest.mark.browser

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
LISTED = "Which governments are members of the WeProtect Global Alliance?"
BODY = "<header><a href='#main'>To the text</a></header><main id=main><h1>A page</h1><p>Text.</p></main>"

#: What axe cannot decide by itself, and why that is no fault: words of its message -> reason.
UNDECIDED: Mapping[str, str] = {
    "partially overlaps other elements": "it is scrolled half out of the log; its kind is decided where it is in view",
    "overlapped by another element": "it is scrolled out of the log, below the composer; decided where it is in view",
}

RUN = """async () => {
    const only = { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] };
    const rules = { "target-size": { enabled: true } };
    const found = await axe.run(document, { runOnly: only, rules, resultTypes: ["violations", "incomplete"] });
    const told = (results) => results.flatMap((one) => one.nodes.map((node) =>
        one.id + ": " + node.target.flat().join(" ") + " " + node.html.slice(0, 90) + " " + node.failureSummary));
    return JSON.stringify([told(found.violations), told(found.incomplete)]);
}"""


def faults(page: Page) -> list[str]:
    """Return what axe finds wrong, and what it could not decide and nobody has explained."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    violations: list[str]
    violations, incomplete = json.loads(page.evaluate(RUN))
    return violations + ["undecided " + one for one in incomplete if not any(known in one for known in UNDECIDED)]


def both(page: Page, state: str) -> list[str]:
    """Return what is wrong in a state, in the light and in the dark."""
    found = faults(page)
    page.emulate_media(color_scheme="dark")
    found += ["dark " + one for one in faults(page)]
    page.emulate_media(color_scheme="light")
    return [f"{state}: {one}" for one in found]


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    visitor = browser.new_context(color_scheme="light")
    visitor.set_default_timeout(5_000)
    yield visitor
    visitor.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    yield page
    page.emulate_media(media="screen", color_scheme="light", reduced_motion="no-preference", forced_colors="none")
    page.close()


def in_widget(page: Page, script: str, *values: object) -> Any:  # noqa: ANN401
    """Run a script in which ``root`` is the widget's shadow root and ``values`` are the values; JSON comes back."""
    return json.loads(
        page.evaluate(
            f"""async (values) => {{
                const root = document.querySelector("signpost-chat").shadowRoot;
                const seen = (node) => node.checkVisibility({{ visibilityProperty: true }});
                const all = (selector) => [...root.querySelectorAll(selector)].filter(seen);
                return JSON.stringify(await (async () => {{ {script} }})() ?? null);
            }}""",
            list(values),
        )
    )


# --- A1: axe-core in every state -------------------------------------------------------------------------------------


class Service:
    """Stands between the widget and the real service, and can fail, wait and change what is said."""

    def __init__(self, page: Page) -> None:
        self.mode = ""
        self.held: list[Route] = []
        page.route("**/v1/ask", self._handle)

    def _handle(self, route: Route) -> None:
        if self.mode == "held":
            self.held.append(route)
        elif self.mode == "network":
            route.abort()
        elif self.mode.isdigit():
            headers = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After"}
            route.fulfill(status=int(self.mode), json={}, headers={**headers, "Retry-After": "7"})
        elif self.mode == "unsure":
            answer = route.fetch()
            route.fulfill(response=answer, json={**answer.json(), "status": "unsure"})
        else:
            route.continue_()


def say(page: Page, text: str) -> None:
    """Put words into the field as a person does, and press Enter."""
    page.locator("signpost-chat textarea").first.fill(text)
    page.keyboard.press("Enter")


def states(page: Page, context: BrowserContext) -> Iterator[str]:
    """Lead an open, empty chat through its states, one after the other."""
    service = Service(page)
    yield "empty"
    say(page, "me@example.org")
    page.locator(".warn").wait_for()
    yield "contact details"
    page.locator("signpost-chat textarea").first.fill("x" * 1_001)
    expect(page.locator("form .warn")).to_be_visible()
    yield "too long"
    service.mode = "held"
    say(page, QUESTION)
    page.locator("li", has_text=words(page.locator(".root").get_attribute("lang") or "")["searching"]).wait_for()
    yield "asking"
    service.held.pop().continue_()
    page.locator("li .status").wait_for()
    page.locator("summary").first.click()
    yield "answered"
    for mode, question in (("unsure", "What is INHOPE?"), ("", NONSENSE), ("", LISTED)):
        service.mode = mode
        ask(page, question)
        page.locator("li").last.locator("summary").click()
        yield mode or question
    for mode in ("429", "503", "network"):
        service.mode = mode
        ask(page, QUESTION)
        yield mode
    context.set_offline(True)
    page.evaluate("dispatchEvent(new Event('offline'))")
    page.locator("form .warn").wait_for()
    yield "offline"
    context.set_offline(False)
    page.evaluate("dispatchEvent(new Event('online'))")
    page.locator(".head button").first.click()
    page.locator(".head .row button").first.wait_for()
    yield "sure"


@pytest.mark.parametrize("language", ["en", "ar"])
@pytest.mark.parametrize("inline", [False, True], ids=["floating", "inline"])
def test_axe_finds_nothing_in_any_state(
    browser: Browser, site: Site, service: str, language: str, inline: bool
) -> None:
    visitor = browser.new_context(locale=language, color_scheme="light")
    visitor.set_default_timeout(5_000)
    page = visitor.new_page()
    found: list[str] = []
    try:
        if inline:
            page.goto(service)
            page.locator("signpost-chat .log button").first.wait_for()
        else:
            direction = words(language)["dir"]
            attributes = f'lang="{language}" dir="{direction}"'
            address = site.put(f"/axe-{language}", host(body=BODY + tag(service), attributes=attributes))
            page.goto(address)
            page.locator("signpost-chat .launch").wait_for()
            found += both(page, "closed")
            opened(page, address)
        visited = []
        for state in states(page, visitor):
            visited.append(state)
            found += both(page, state)
        assert len(visited) >= 12
    finally:
        visitor.close()
    assert found == []


def test_axe_finds_nothing_on_the_plain_pages(page: Page, service: str) -> None:
    page.route("**/widget/signpost-chat.js", lambda route: route.abort())
    found = []
    for path in ("/", "/documents/inhope.md?passage=8-654#p8-654", "/nowhere"):
        page.goto(service + path)
        found += both(page, path)
    for question in (QUESTION, NONSENSE, LISTED, "?!"):
        page.goto(service)
        page.locator("#question").fill(question)
        page.locator(".ask button").click()
        for details in page.locator("summary").all():
            details.click()
        found += both(page, question)
    assert found == []


# --- A5 and A6: names and sizes --------------------------------------------------------------------------------------


@pytest.fixture
def answered(page: Page, site: Site, service: str) -> Page:
    """An open chat with an answer, all of its passages shown, and a question without one."""
    opened(page, site.put("/answered", host(body=BODY + tag(service))))
    ask(page)
    page.locator("signpost-chat summary").click()
    ask(page, NONSENSE)
    page.locator("signpost-chat li").last.locator("summary").click()
    return page


CONTROLS = "button, a, textarea, summary, [tabindex='0']"


def test_every_control_has_a_name_that_holds_its_visible_label(answered: Page) -> None:
    session = answered.context.new_cdp_session(answered)
    tree = session.send("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "link", "textbox", "log", "dialog", "article", "DisclosureTriangle", "region"}
    controls = [node for node in tree if node.get("role", {}).get("value") in roles and not node["ignored"]]
    assert len(controls) > 30
    assert [node for node in controls if not node["name"]["value"].strip()] == []
    wrong = in_widget(
        answered,
        f"""const plain = (text) => text.trim().toLowerCase();
        return all("{CONTROLS}").filter((node) => node.ariaLabel && node.localName !== "div"
            && !plain(node.ariaLabel).includes(plain(node.innerText))).map((node) => node.ariaLabel)""",
    )
    assert wrong == []
    headings = in_widget(answered, """return all("article").map((card) => card.querySelector("h3").textContent)""")
    assert len(headings) == 8 and all(re.match(r"\d\. \S", heading) for heading in headings)


def test_targets_are_large_enough(page: Page, site: Site, service: str) -> None:
    small = """return all(values[0]).map((node) => [node.textContent.slice(0, 30), node.getBoundingClientRect()])
        .filter(([, box]) => box.width < values[1] || box.height < values[1]).map(([name, box]) =>
        `${name}: ${box.width} x ${box.height}`)"""
    opened(page, site.put("/targets", host(body=BODY + tag(service))))
    main = ".launch, [part=send], .head button, .log > .column button, .cite, textarea"
    assert in_widget(page, f"return all('{main}').length") >= 8
    assert in_widget(page, small, main, 44) == []
    ask(page)
    page.locator("signpost-chat summary").click()
    ask(page, NONSENSE)
    assert in_widget(page, "return all('.cite').length") == 5
    assert in_widget(page, small, main, 44) == []
    assert in_widget(page, small, CONTROLS, 24) == []
    page.keyboard.press("Escape")
    assert in_widget(page, small, ".launch", 44) == []


# --- A7: what is seen ------------------------------------------------------------------------------------------------

RATIO = """
    const light = (colour) => { const [r, g, b] = colour.match(/[\\d.]+/g).map((one) => one / 255)
        .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const ratio = (one, other) => { const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05); };"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_focus_is_always_seen(answered: Page, scheme: str) -> None:
    answered.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    ring = f"""{RATIO}
        const node = root.activeElement;
        if (!node) return null;
        const style = getComputedStyle(node);
        const paper = getComputedStyle(root.querySelector(".panel")).backgroundColor;
        const name = node.localName + " " + node.textContent.slice(0, 20);
        return [name, style.outlineStyle, parseFloat(style.outlineWidth), ratio(style.outlineColor, paper)]"""
    answered.locator("signpost-chat .head button").first.focus()
    rings = []
    for _ in range(60):
        answered.keyboard.press("Tab")
        seen = in_widget(answered, ring)
        if seen is None:
            break
        rings.append(seen)
    assert len(rings) > 20
    assert [one for one in rings if one[1] == "none" or one[2] < 2 or one[3] < 3] == []


def test_forced_colours_lose_nothing(answered: Page) -> None:
    answered.emulate_media(forced_colors="active")
    style = "const style = (name) => getComputedStyle(root.querySelector(name));"
    marked, paper = in_widget(
        answered, f"{style} return [style('mark').backgroundColor, style('.panel').backgroundColor]"
    )
    assert marked != paper
    assert "underline" in in_widget(answered, f"{style} return style('mark').textDecorationLine")
    bare = in_widget(
        answered,
        """const framed = "button:not(.head button, .tools button, .quiet), textarea, .card, .asked, .panel";
        return all(framed).filter((node) => {
            const style = getComputedStyle(node);
            return style.borderTopStyle === "none" || parseFloat(style.borderTopWidth) < 1;
        }).map((node) => node.outerHTML.slice(0, 60))""",
    )
    assert bare == []
    send, ground = in_widget(
        answered, f"{style} return [style('[part=send]').color, style('[part=send]').backgroundColor]"
    )
    assert send != ground
    # axe takes this button's colours from its style sheet, not from the system, and says that it cannot tell
    assert [one for one in faults(answered) if 'part="send"' not in one] == []
    answered.keyboard.press("Escape")
    launch = in_widget(answered, f"{style} return [style('.launch').borderTopColor, style('.launch').backgroundColor]")
    assert launch[0] != launch[1], "the launcher has no visible edge"


def test_colours_follow_the_system_unless_they_are_pinned(page: Page, site: Site, service: str) -> None:
    colours = """const style = (name) => getComputedStyle(root.querySelector(name));
        return [style(".panel").color, style(".panel").backgroundColor, getComputedStyle(root.host).colorScheme]"""
    seen = {}
    for pinned in ("", "light", "dark"):
        chat = tag(service, theme=pinned) if pinned else tag(service)
        opened(page, site.put("/scheme", host(body=BODY + chat)))
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            seen[pinned, scheme] = in_widget(page, colours)
        page.emulate_media(color_scheme="light")
    light, dark = seen["", "light"], seen["", "dark"]
    assert all(one != other for one, other in zip(light, dark, strict=True))
    assert seen["light", "light"] == seen["light", "dark"] == light
    assert seen["dark", "light"] == seen["dark", "dark"] == dark


def test_the_match_is_marked_by_more_than_colour_and_its_link_leads_to_it(page: Page, site: Site, service: str) -> None:
    opened(page, site.put("/match", host(body=BODY + tag(service))))
    ask(page)
    marked = page.locator("signpost-chat .card mark").first
    assert "underline" in in_widget(page, "return getComputedStyle(root.querySelector('mark')).textDecorationLine")
    words_of_it = marked.inner_text()
    link = page.locator("signpost-chat .card a").first.get_attribute("href") or ""
    page.goto(link)
    assert "#p" in link
    expect(page.locator("mark", has_text=words_of_it).first).to_be_in_viewport()


def test_a_link_into_the_source_leads_to_the_quote(page: Page, site: Site, service: str) -> None:
    def fulfil(route: Route) -> None:
        answer = route.fetch()
        reply = answer.json()
        links = reply["passages"][0]["citation"]["links"]
        links["source_at_passage"] = links["source"] + "#:~:text=INHOPE%20consists%20of"
        route.fulfill(response=answer, json=reply)

    page.route("**/v1/ask", fulfil)
    opened(page, site.put("/fragment", host(body=BODY + tag(service))))
    ask(page)
    link = page.locator("signpost-chat .card a", has_text="Go to the source").first
    assert (link.get_attribute("href") or "").endswith("#:~:text=INHOPE%20consists%20of")
    assert link.get_attribute("rel") == "noopener noreferrer", "a fragment is followed only without an opener"


# --- A8: zoom and text spacing ---------------------------------------------------------------------------------------

SPACED = """const sheet = new CSSStyleSheet();
    sheet.replaceSync(`*{line-height:1.5!important;letter-spacing:.12em!important;word-spacing:.16em!important}
        p{margin-block-end:2em!important}`);
    root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];"""

#: What is wider than the window, cut off, or cannot be brought into view.
LOST = """const out = [];
    const name = (node) => node.localName + "." + node.className + " " + node.textContent.slice(0, 30);
    for (const node of all("*")) {
        if (node.closest(".unseen")) continue;
        const box = node.getBoundingClientRect();
        const style = getComputedStyle(node);
        if (box.left < -0.5 || box.right > innerWidth + 0.5) out.push("outside: " + name(node));
        if (node.scrollWidth > node.clientWidth + 1 && style.display !== "inline" && style.overflowX !== "visible")
            out.push("sideways: " + name(node));
        if (node.scrollHeight > node.clientHeight + 1 && /hidden|clip/.test(style.overflowY))
            out.push("cut off: " + name(node) + ` ${node.scrollHeight} in ${node.clientHeight}`);
    }
    for (const node of all(values[0])) {
        node.scrollIntoView({ block: "center" });
        const boxes = node.getClientRects();
        const box = boxes[boxes.length >> 1];
        const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
        const hit = root.elementFromPoint(x, y);
        if (!hit || !(node.contains(hit) || hit.contains(node))) out.push("unreachable: " + name(node));
        if (hit !== node && hit?.contains(node) && hit.matches(".panel, .root, .float"))
            out.push("under: " + name(node));
    }
    if (document.documentElement.scrollWidth > innerWidth) out.push("the page scrolls sideways");
    return out;"""
READABLE = "button, a, textarea, summary, h2, h3, mark, .asked, .status, .small, label"


@pytest.mark.parametrize("size", [(320, 640), (320, 256), (640, 400), (430, 932)], ids=str)
def test_a_small_window_and_wide_text_lose_nothing(page: Page, site: Site, service: str, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    opened(page, site.put("/small", host(body=BODY + tag(service))))
    assert in_widget(page, LOST, READABLE) == []
    ask(page, "How many hotlnes does INHPE have?")
    page.locator("signpost-chat summary").click()
    ask(page, NONSENSE)
    say(page, "me@example.org " + "long" * 240)
    assert in_widget(page, LOST, READABLE) == []
    in_widget(page, SPACED)
    assert in_widget(page, LOST, READABLE) == []
    page.locator("signpost-chat .head button").first.click()
    assert in_widget(page, LOST, READABLE) == []


@pytest.mark.parametrize("size", [(320, 640), (320, 256)], ids=str)
def test_the_chat_page_loses_nothing_when_enlarged(page: Page, service: str, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto(service)
    page.locator("signpost-chat .log button").first.wait_for()
    ask(page)
    page.locator("signpost-chat summary").click()
    in_widget(page, SPACED)
    assert in_widget(page, LOST, READABLE) == []


# --- A9: motion ------------------------------------------------------------------------------------------------------


def test_nothing_moves_for_anybody(page: Page, site: Site, service: str) -> None:
    address = site.put("/motion", host(body=BODY + tag(service)))
    moving = """root.host.open(); const seen = [];
        for (let frame = 0; frame < 20; frame++) {
            await new Promise(requestAnimationFrame);
            for (const one of [...document.getAnimations(), ...root.getAnimations()])
                seen.push(one.effect.getComputedTiming().endTime);
        }
        return seen"""
    for wanted in ("no-preference", "reduce"):
        page.emulate_media(reduced_motion="reduce" if wanted == "reduce" else "no-preference")
        page.goto(address)
        page.locator("signpost-chat .launch").wait_for()
        assert in_widget(page, moving) == []
    smooth = "return all('*').filter((node) => getComputedStyle(node).scrollBehavior !== 'auto').length"
    assert in_widget(page, smooth) == 0


# --- A10: nothing is covered -----------------------------------------------------------------------------------------

CORNER = "<button id=corner style='position:fixed;bottom:20px;right:20px;width:90px;height:50px'>Pay</button>"


def test_the_launcher_makes_way_for_what_has_the_focus(page: Page, site: Site, service: str) -> None:
    page.goto(site.put("/corner", host(body=BODY + CORNER + tag(service))))
    launch = page.locator("signpost-chat .launch")
    launch.wait_for()
    on_top = "document.elementFromPoint(innerWidth - 60, innerHeight - 45).id"
    assert page.evaluate(on_top) == "", "the launcher does not cover the button, so the test shows nothing"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator("#corner")).to_be_focused()
    assert page.evaluate(on_top) == "corner"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.localName") == "signpost-chat", (
        "the keyboard cannot reach the launcher"
    )
    expect(launch).to_be_visible()
    assert page.evaluate(on_top) == ""


def test_the_launcher_can_be_moved_and_hidden(page: Page, site: Site, service: str) -> None:
    moved = "<style>signpost-chat{--signpost-offset-x:50px;--signpost-offset-y:60px}</style>"
    page.goto(site.put("/moved", host(moved, BODY + tag(service))))
    place = "const box = root.querySelector('.launch').getBoundingClientRect(); return"
    page.locator("signpost-chat .launch").wait_for()
    assert in_widget(page, f"{place} [innerWidth - box.right, innerHeight - box.bottom]") == [50, 60]
    page.goto(site.put("/side", host(moved, BODY + tag(service, side="start"))))
    page.locator("signpost-chat .launch").wait_for()
    assert in_widget(page, f"{place} [box.left, innerHeight - box.bottom]") == [50, 60]
    page.goto(site.put("/gone", host(body=f"{BODY}<signpost-chat hidden></signpost-chat>{tag(service)}")))
    page.wait_for_function("document.querySelector('signpost-chat').shadowRoot")
    expect(page.locator("signpost-chat .launch")).to_be_hidden()


#: Chromium has no on-screen keyboard here: what the widget asks about it is answered as a telephone would.
KEYBOARD = """const view = new EventTarget();
    Object.assign(view, { scale: 1, height: innerHeight, offsetTop: 0, width: innerWidth });
    Object.defineProperty(window, "visualViewport", { value: view });"""


@pytest.mark.parametrize("width", [320, 430])
def test_an_on_screen_keyboard_never_covers_the_field(page: Page, site: Site, service: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.add_init_script(KEYBOARD)
    opened(page, site.put("/keyboard", host(body=BODY + tag(service))))
    box = "const { top, bottom } = root.querySelector('textarea').getBoundingClientRect(); return [top, bottom]"
    assert in_widget(page, box)[1] > 400
    page.evaluate("Object.assign(visualViewport, { height: 400 }).dispatchEvent(new Event('resize'))")
    top, bottom = in_widget(page, box)
    assert top >= 0 and bottom <= 400
    page.evaluate("Object.assign(visualViewport, { offsetTop: 100 }).dispatchEvent(new Event('scroll'))")
    top, bottom = in_widget(page, box)
    assert top >= 100 and bottom <= 500
    page.evaluate("Object.assign(visualViewport, { height: 800, offsetTop: 0 }).dispatchEvent(new Event('resize'))")
    assert in_widget(page, box)[1] > 400


# --- A11: languages --------------------------------------------------------------------------------------------------

#: Every text that the widget itself says, not the documents, people or settings: text, labels.
SAID = """const out = [];
    const theirs = "blockquote, mark, bdi, [lang]:not(.root), button[dir]";
    for (const node of all("*")) {
        if (node.ariaLabel) out.push(node.ariaLabel);
        if (node.closest(theirs)) continue;
        for (const text of node.childNodes) if (text.nodeType === 3 && text.data.trim()) out.push(text.data.trim());
    }
    return out;"""


def foreign(said: Sequence[str], table: Mapping[str, str]) -> list[str]:
    """Return what was said that is not in a table of words."""
    forms = ["|".join(re.sub(r"\\\{\w+\\\}", ".*", re.escape(text)) for text in table.values())]
    known = re.compile(rf"(?s:\W*(?:{forms[0]})(?:: .*)?\W*|[\d\W]+|: .*, {re.escape(table['new_tab'])})")
    return [text for text in said if not known.fullmatch(text)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_is_said_in_the_language_of_the_page(page: Page, site: Site, service: str, language: str) -> None:
    table = words(language)
    opened(page, site.put("/language", host(body=BODY + tag(service), attributes=f'lang="{language}-XX"')))
    root = page.locator("signpost-chat .root")
    expect(root).to_have_attribute("lang", language)
    expect(root).to_have_attribute("dir", table["dir"])
    said = in_widget(page, SAID)
    ask(page, "How many hotlnes does INHPE have?")
    page.locator("signpost-chat summary").click()
    ask(page, NONSENSE)
    page.locator("signpost-chat li").last.locator("summary").click()
    say(page, "me@example.org")
    said += in_widget(page, SAID)
    page.locator("signpost-chat textarea").first.fill("x" * 900)
    page.locator("signpost-chat .head button").first.click()
    said += in_widget(page, SAID)
    page.keyboard.press("Escape")
    said += in_widget(page, SAID)
    own = {
        "Signpost",
        *json.loads(
            page.evaluate("async (url) => JSON.stringify(await (await fetch(url)).json())", f"{service}/v1/suggestions")
        )["suggestions"],
    }
    assert len(set(said)) > 30
    assert foreign([text for text in said if text not in own], table) == []
    if language != "en":
        assert len(foreign([text for text in said if text not in own], words("en"))) > 20
    passages = in_widget(page, "return [...root.querySelectorAll('blockquote')].map((node) => node.lang)")
    assert set(passages) == {"en"}


def test_an_unknown_language_is_answered_in_english_and_says_so(page: Page, site: Site, service: str) -> None:
    page.goto(site.put("/unknown", host(body=BODY + tag(service), attributes='lang="tlh"')))
    page.locator("signpost-chat .launch").wait_for()
    expect(page.locator("signpost-chat .launch")).to_have_text("Ask a question")
    closed = page.locator("signpost-chat .root").get_attribute("lang")
    opened(page, page.url)
    expect(page.locator("signpost-chat .root")).to_have_attribute("lang", "en")
    expect(page.locator("signpost-chat label")).to_have_text("Your question")
    assert closed == "en", "English words are said to be in another language until the panel is opened"


@pytest.mark.parametrize("size", [(320, 640), (1280, 720)], ids=str)
def test_words_that_are_two_fifths_longer_fit(page: Page, site: Site, service: str, size: tuple[int, int]) -> None:
    def stretched(text: str) -> str:
        accents = text.translate(str.maketrans("aeioucn", "áéíöüçñ")) if "{" not in text else text
        return f"[{accents} {'ẍ' * max(1, len(text) * 2 // 5)}]"

    table = {name: text if name in ("lang", "dir") else stretched(text) for name, text in words("en").items()}
    strings = site.put("/pseudo.json", json.dumps(table), {"Content-Type": "application/json"})
    page.set_viewport_size({"width": size[0], "height": size[1]})
    opened(page, site.put("/pseudo", host(body=BODY + tag(service, strings=strings))))
    ask(page, "How many hotlnes does INHPE have?")
    page.locator("signpost-chat summary").click()
    ask(page, NONSENSE)
    say(page, "me@example.org")
    said = in_widget(page, SAID)
    assert len(said) > 30
    assert [text for text in said if "ẍ" not in text and re.search(r"[^\W\d]", text)] == ["Signpost"]
    assert in_widget(page, LOST, READABLE) == []


def test_every_language_has_the_same_words_with_the_same_gaps() -> None:
    for language in LANGUAGES[1:]:
        table = words(language)
        assert table.keys() == words("en").keys()
        for name, text in words("en").items():
            assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", table[name])), (language, name)


# --- A12: paper ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inline", [False, True], ids=["floating", "inline"])
def test_an_answer_can_be_printed(page: Page, site: Site, service: str, inline: bool) -> None:
    if inline:
        page.goto(service)
        page.locator("signpost-chat .log button").first.wait_for()
    else:
        opened(page, site.put("/print", host(body=BODY + tag(service))))
    ask(page)
    page.locator("signpost-chat summary").click()
    ask(page, LISTED)
    page.emulate_media(media="print")
    for hidden in ("form", ".head button", ".tools button", "summary"):
        expect(page.locator(f"signpost-chat {hidden}").first).to_be_hidden()
    printed = page.locator("signpost-chat .tools a").first.evaluate("node => getComputedStyle(node, '::after').content")
    assert "/documents/" in printed, "on paper an address is of use, a link is not"
    cut = in_widget(
        page,
        """const out = [];
        for (const node of all(".asked, .status, mark, blockquote, h3, .meta")) {
            const top = node.getBoundingClientRect().top + scrollY;
            if (top < 0) out.push("above the first sheet: " + node.textContent.slice(0, 40));
        }
        for (const node of all(".panel, .log, .float")) {
            const cuts = /hidden|auto|scroll/.test(getComputedStyle(node).overflowY);
            if (cuts && node.scrollHeight > node.clientHeight + 1)
                out.push("cut off: " + node.className);
        }
        return out;""",
    )
    assert cut == []


# --- that these tests can fail ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("var(--signpost-accent,#0b57a4)", "var(--signpost-accent,#9ab)", "color-contrast"),
        ('make("label", { for: id + "q", text', 'make("b", { text', "label"),
        ('role: this.$inline ? "region" : "dialog"', 'role: "row"', "aria-required-parent"),
    ],
)
def test_axe_would_see_a_fault(page: Page, site: Site, service: str, old: str, new: str, found: str) -> None:
    def altered(route: Route) -> None:
        answer = route.fetch()
        assert old in answer.text()
        route.fulfill(response=answer, body=answer.text().replace(old, new))

    page.route("**/widget/signpost-chat.js", altered)
    opened(page, site.put("/fault", host(body=BODY + tag(service))))
    assert any(fault.startswith(found + ":") for fault in faults(page))
