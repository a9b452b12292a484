"""The widget on other people's pages: one tag, no trace, no clash, and nothing of any text ever runs.

Row E12 (two versions of every browser, Safari 16.4, Firefox 115) cannot be shown here: the machine has one Chromium.
"""

from __future__ import annotations

import base64
import gzip
import json
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Request, Route, expect

from bot.settings import load_settings
from bot.widget.assets import script_tag
from tests.conftest import write_files
from tests.widget.conftest import Site, served
from tests.widget.hosts import NONSENSE, QUESTION, WATCH, ask, host, opened, tag, trusted

pytestmark = pytest.mark.browser

Reply = dict[str, Any]


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One visitor for the tests that leave nothing behind them."""
    visitor = browser.new_context(reduced_motion="reduce")
    visitor.set_default_timeout(5_000)
    yield visitor
    visitor.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page on which no error may be thrown."""
    page = context.new_page()
    page.add_init_script(WATCH)
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    yield page
    page.close()
    assert thrown == []


@pytest.fixture
def stranger(browser: Browser) -> Iterator[BrowserContext]:
    """A visitor who was never here."""
    visitor = browser.new_context()
    visitor.set_default_timeout(5_000)
    yield visitor
    visitor.close()


@pytest.fixture(scope="module")
def reply(service: str) -> Reply:
    """A real reply of the service, to be changed."""
    body = json.dumps({"question": QUESTION}).encode()
    wanted = urllib.request.Request(f"{service}/v1/ask", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(wanted) as answer:
        found: Reply = json.load(answer)
    return found


def answering(page: Page, replies: Callable[[], Reply]) -> None:
    """Put other replies in the place of the service's."""

    def fulfil(route: Route) -> None:
        headers = {"Access-Control-Allow-Origin": "*", "Content-Type": "application/json"}
        route.fulfill(status=200, headers=headers, body=json.dumps(replies()))

    page.route("**/v1/ask", fulfil)


# --- one tag, its weight and its traces ------------------------------------------------------------------------------


def test_one_tag_on_a_blank_page_is_all_it_takes(page: Page, site: Site, service: str) -> None:
    opened(page, site.put("/blank", f"<!doctype html><title>A page</title>{tag(service)}"))
    ask(page)
    expect(page.locator(".card mark").first).to_contain_text("54 hotlines in 50 countries")
    assert page.locator("signpost-chat").count() == 1


def test_the_script_is_at_most_12_kb_when_packed(service: str) -> None:
    with urllib.request.urlopen(f"{service}/widget/signpost-chat.js") as answer:
        assert len(gzip.compress(answer.read(), 9)) <= 12_000


#: All places where a page can keep something in a browser.
KEPT = """async () => JSON.stringify([Object.keys(localStorage), Object.keys(sessionStorage), document.cookie,
    (await indexedDB.databases()).map((one) => one.name), await caches.keys(),
    (await navigator.serviceWorker.getRegistrations()).length])"""
NOTHING = '[[],[],"",[],[],0]'


def test_before_it_is_opened_it_loads_one_file_and_never_leaves_a_trace(
    stranger: BrowserContext, site: Site, service: str
) -> None:
    page = stranger.new_page()
    asked: list[str] = []
    stranger.on("request", lambda request: asked.append(request.url))
    address = site.put("/traces", host(body="<main>Text</main>" + tag(service)))
    page.goto(address)
    page.locator("signpost-chat .launch").wait_for()
    page.wait_for_load_state("networkidle")
    assert asked == [address, f"{service}/widget/signpost-chat.js", "data:,"] or asked == [
        address,
        f"{service}/widget/signpost-chat.js",
    ]
    assert page.evaluate(KEPT) == NOTHING

    opened(page, address)
    assert page.evaluate(KEPT) == NOTHING
    ask(page)
    ask(page, NONSENSE)
    assert page.evaluate(KEPT) == NOTHING
    page.locator(".head button").first.click()
    page.locator(".head .row button").first.click()
    assert page.evaluate(KEPT) == NOTHING
    assert stranger.cookies() == []
    assert [url for url in asked if not url.startswith((service, site.origin, "data:,"))] == []


def test_where_it_may_remember_only_the_tabs_own_storage_is_used_and_only_after_a_question(
    stranger: BrowserContext, site: Site, service: str
) -> None:
    page = opened(stranger.new_page(), site.put("/remember", host(body=tag(service, remember=""))))
    assert page.evaluate(KEPT) == NOTHING
    ask(page)
    assert page.evaluate(KEPT) == '[[],["signpost-chat"],"",[],[],0]'
    page.locator(".head button").first.click()
    assert page.evaluate(KEPT) == NOTHING
    assert stranger.cookies() == []


def test_it_adds_no_name_to_the_page(page: Page, site: Site, service: str) -> None:
    names = "() => JSON.stringify(Object.getOwnPropertyNames(window).filter((name) => !name.startsWith('__')))"
    page.goto(site.put("/names-without", host(body="<main>Text</main>")))
    before = page.evaluate(names)
    opened(page, site.put("/names", host(body="<main>Text</main>" + tag(service))))
    ask(page)
    assert set(json.loads(page.evaluate(names))) - set(json.loads(before)) <= {"0"}


# --- content security policy and Subresource Integrity ---------------------------------------------------------------


def test_two_permissions_are_all_that_a_strict_page_must_give(page: Page, site: Site, service: str) -> None:
    opened(page, site.put("/strict", host(body=tag(service)), dict(trusted(service))))
    ask(page)
    ask(page, NONSENSE)
    page.locator("signpost-chat summary").first.click()
    page.get_by_role("button", name="Copy the quote").first.click()
    assert page.evaluate("window.__breaches.join()") == ""
    assert page.evaluate("() => { try { document.body.innerHTML = 'x' } catch (error) { return error.name } }") == (
        "TypeError"
    ), "the page does not require Trusted Types, so the test shows nothing"


@pytest.mark.parametrize("path", ["/", "/documents/inhope.md?passage=8-654#p8-654"])
def test_the_services_own_pages_keep_to_their_policy(page: Page, service: str, path: str) -> None:
    page.goto(service + path)
    if path == "/":
        page.locator("signpost-chat .log button").first.wait_for()
        ask(page)
        page.get_by_role("button", name="Copy the quote").first.click()
    else:
        page.locator("summary").click()
        page.locator("details button").click()
    assert page.evaluate("window.__breaches.join()") == ""


def test_a_policy_that_forbids_the_service_leaves_the_page_alone(page: Page, site: Site, service: str) -> None:
    policy = {"Content-Security-Policy": f"default-src 'self'; script-src {service}"}
    page.goto(site.put("/forbidden", host(body=tag(service)), policy))
    page.locator("signpost-chat .launch").click()
    page.locator("signpost-chat textarea").first.fill(QUESTION)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")


def test_the_tag_with_a_digest_works_and_refuses_a_script_with_one_byte_changed(
    page: Page, site: Site, service: str
) -> None:
    page_text = host(body="<button id=own onclick='this.textContent=1'>0</button>" + script_tag(service))
    address = site.put("/digest", page_text)
    opened(page, address)
    ask(page)

    def altered(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.body().replace(b"Ask a question", b"Ask a_question", 1))

    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.route("**/widget/signpost-chat.*.js", altered)
    page.goto(address)
    page.locator("#own").click()
    expect(page.locator("#own")).to_have_text("1")
    assert page.evaluate("customElements.get('signpost-chat') === undefined")
    assert page.locator("signpost-chat").count() == 0
    assert any("integrity" in text for text in complaints), complaints


# --- clashes ---------------------------------------------------------------------------------------------------------

OWN = """<main id="own"><h1>Heading</h1><h2>Second</h2><p>A <a href="#x">link</a> and <mark>a mark</mark>.</p>
<section class="panel card"><button class="main launch">A button</button><textarea>Text</textarea></section>
<ol><li>One</li><li>Two</li></ol><div class="root float log">A box</div></main>"""

#: What the pages of others do to everything on them; ``head`` and, where it matters, what stands in the body.
HOSTILE: Mapping[str, tuple[str, str]] = {
    "tailwind": (
        """<style>*,::before,::after{box-sizing:border-box;border:0 solid #e5e7eb;--tw-ring:0 0 #0000}
        html{line-height:1.5;font-family:ui-serif,serif;tab-size:4}body{margin:0;line-height:inherit}
        h1,h2,h3{font-size:inherit;font-weight:inherit}a{color:inherit;text-decoration:inherit}
        blockquote,h1,h2,h3,p,ol{margin:0;padding:0}ol{list-style:none}textarea{resize:vertical}
        button,textarea{font-family:inherit;font-size:100%;font-weight:inherit;line-height:inherit;color:inherit;
        margin:0;padding:0;background:transparent}img,svg{display:block}[hidden]{display:none}</style>""",
        "",
    ),
    "bootstrap": (
        """<style>:root{--bs-body-color:#212529;--ink:red;--paper:red;--line:red;--accent:red;--r:9em;--x:9em;--y:9em}
        body{margin:0;font:400 1.3rem/1.9 Georgia,serif;color:#d63384;background:#222;text-align:center;
        letter-spacing:.2em;word-spacing:.5em;text-transform:uppercase;text-indent:3em;visibility:visible}
        .card{display:flex;min-width:0;border-radius:.4rem}.row{display:flex;margin:0 -15px}.row>*{width:100%}
        .main,.small,.panel,.float{float:left;font-size:2em}label{display:inline-block;margin:9px}</style>""",
        "",
    ),
    "unset": ("<style>*{all:unset!important}</style>", ""),
    "hidden": (
        "<style>div,button,section,article,form,ol,li,p,signpost-chat,*:not(html):not(body):not(main):not(main *)"
        "{display:none!important;visibility:hidden!important;opacity:0!important}</style>",
        "",
    ),
    "small rem": ("<style>html{font-size:62.5%}body{font-size:1.6rem}</style>", ""),
    "important": (
        """<style>*:not(html){font-size:50px!important;color:red!important;direction:rtl!important;unicode-bidi:bidi-override!important;
        background:lime!important;margin:9px!important;padding:9px!important;float:left!important;width:77px!important;
        height:77px!important;transform:rotate(9deg)!important;
        letter-spacing:1em!important;text-transform:uppercase!important;line-height:4!important;filter:invert(1)!important;
        position:absolute!important;z-index:-1!important;clip-path:circle(1px)!important;pointer-events:none!important;
        user-select:none!important;cursor:none!important;transition:all 9s!important;
        animation:x 9s!important} signpost-chat,main *{writing-mode:vertical-rl!important}</style>""",
        "",
    ),
    "overlay": (
        "",
        '<div style="position:fixed;inset:0;z-index:2147483647;background:rgb(250 0 0)"></div>',
    ),
    "elements": (
        """<style>button,textarea,p,a,h2,h3,label,mark,ol,li,span,bdi,form,header,article,blockquote,details,summary
        {border:9px solid lime!important;background:navy!important;color:lime!important;padding:2em!important;
        font:900 40px/3 fantasy!important;margin:2em!important;width:100%!important;max-width:9px!important}</style>""",
        "",
    ),
    "transformed": (
        """<style>body{transform:translate(40px,30px) scale(.5);filter:grayscale(1);opacity:.5;perspective:1px;
        overflow:hidden;contain:paint;clip-path:inset(100px);width:200px;height:100px;will-change:transform}</style>""",
        "",
    ),
    "prototype": (
        """<script>
        Array.prototype.toJSON = function () { return "[" + this.join() + "]" };
        String.prototype.toJSON = function () { return "''" };
        Object.prototype.toJSON = function () { return "{}" };
        Object.prototype.extra = function () { throw new Error("extra") };
        Object.prototype.once = undefined;
        Array.prototype.each = Array.prototype.forEach;
        Array.prototype.extra = Array.prototype.last = function () { throw new Error("last") };
        Array.prototype.reduce = function () { throw new Error("reduce") };
        Array.from = function () { throw new Error("from") };
        Array.prototype.toString = function () { return "array" };
        Element.prototype.remove = function () { throw new Error("remove") };
        Element.prototype.hide = Element.prototype.show = function () { throw new Error("x") };
        window.$ = window.$$ = () => { throw new Error("$") };
        </script>""",
        "",
    ),
    "named": (
        "",
        """<form id="signpost-chat" name="script"><input name="customElements"></form><img id="fetch" alt="">
        <a id="JSON" name="URL"></a><button id="t1q" name="launch">x</button><signpost name="panel"></signpost>""",
    ),
}

#: Every computed value and the place of everything in the widget, as lines of text.
SEEN = """(scope) => {
    const root = scope === "widget" ? document.querySelector("signpost-chat").shadowRoot : document;
    const whole = document.documentElement;
    const lines = scope === "widget" ? [] : [whole.scrollHeight + " high, " + whole.scrollWidth + " wide"];
    for (const node of root.querySelectorAll("*")) {
        if (node.matches("head *, signpost-chat, [data-signpost-announcer], script, .root:not(main *)")) continue;
        const style = getComputedStyle(node);
        const box = node.getBoundingClientRect();
        let line = node.localName + "." + node.className + " " + [box.x, box.y, box.width, box.height].join(" ");
        for (let at = 0; at < style.length; at++)
            if (!style[at].startsWith("--")) line += ";" + style[at] + ":" + style.getPropertyValue(style[at]);
        lines.push(line);
    }
    return lines.join("\\n");
}"""


def differences(one: str, other: str) -> list[str]:
    """Return where two pictures of ``SEEN`` differ, in a few words each."""
    found = [f"{one.count(chr(10))} lines, not {other.count(chr(10))}"] if one.count("\n") != other.count("\n") else []
    for left, right in zip(one.split("\n"), other.split("\n"), strict=False):
        pairs = zip(left.split(";"), right.split(";"), strict=False)
        found += [f"{left[:30]}: {here} -> {there}" for here, there in pairs if here != there]
    return found[:20]


def picture(page: Page, address: str) -> tuple[str, str, bytes, bytes]:
    """Return how the widget looks on a page, closed and with an answer: what is computed, and the very pixels."""
    page.goto(address)
    page.locator("signpost-chat .launch").wait_for()
    closed = page.evaluate(SEEN, "widget")
    launcher = inside(page, "signpost-chat .launch")
    page.locator("signpost-chat .launch").click()
    page.locator("signpost-chat .log button").first.wait_for()
    ask(page)
    page.locator("signpost-chat summary").first.click()
    return closed, page.evaluate(SEEN, "widget"), launcher, inside(page, "signpost-chat .panel")


def inside(page: Page, selector: str) -> bytes:
    """A picture of what lies within an element's rounded corners."""
    box = page.locator(selector).bounding_box()
    assert box is not None
    box["x"] += page.evaluate("scrollX")
    box["y"] += page.evaluate("scrollY")
    edge = 12
    clip = (box["x"] + edge, box["y"] + edge, box["width"] - 2 * edge, box["height"] - 2 * edge)
    shot = {"clip": dict(zip(("x", "y", "width", "height"), clip, strict=True)), "animations": "disabled"}
    before, now = b"", page.screenshot(**shot)  # type: ignore[arg-type]
    while before != now:  # until it is painted to the end
        page.wait_for_timeout(100)
        before, now = now, page.screenshot(**shot)  # type: ignore[arg-type]
    return now


@pytest.fixture(scope="module")
def plain(context: BrowserContext, site: Site, service: str) -> tuple[str, str, bytes, bytes]:
    """How the widget looks where nobody interferes."""
    page = context.new_page()
    found = picture(page, site.put("/plain", host(body=OWN + tag(service))))
    page.close()
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_it_looks_the_same_on_every_page(
    context: BrowserContext, page: Page, site: Site, service: str, plain: tuple[str, str, bytes, bytes], name: str
) -> None:
    head, body = HOSTILE[name]
    seen = picture(page, site.put("/hostile", host(head, OWN + body + tag(service))))
    assert differences(plain[0], seen[0]) == []
    assert differences(plain[1], seen[1]) == []
    assert unlike(context, plain[2], seen[2]) == 0, "the launcher's pixels differ"
    assert unlike(context, plain[3], seen[3]) == 0, "the panel's pixels differ"


def unlike(context: BrowserContext, one: bytes, other: bytes) -> int:
    """Return how many pixels of two pictures differ, by more than the two levels of 255 that painting may round."""
    page = context.new_page()
    pictures = ["data:image/png;base64," + base64.b64encode(picture).decode() for picture in (one, other)]
    found: int = page.evaluate(
        """async (addresses) => {
            const [one, other] = await Promise.all(addresses.map(async (address) => {
                const image = Object.assign(new Image(), { src: address });
                await image.decode();
                const { width, height } = image;
                const canvas = new OffscreenCanvas(width, height).getContext("2d");
                canvas.drawImage(image, 0, 0);
                return canvas.getImageData(0, 0, width, height);
            }));
            if (one.width !== other.width || one.height !== other.height) return -1;
            let differ = 0;
            for (let at = 0; at < one.data.length; at += 4)
                if ([0, 1, 2].some((part) => Math.abs(one.data[at + part] - other.data[at + part]) > 2)) differ++;
            return differ;
        }""",
        pictures,
    )
    page.close()
    return found


FULL = "<style>body{margin:0}main{height:100vh;overflow:auto}</style>"
#: Pages whose layout notices one more thing in the body.
LAYOUTS: Mapping[str, str] = {
    "as high as the window": FULL,
    "column with a gap": "<style>body{display:flex;flex-direction:column;gap:40px}</style>",
    "spread": "<style>body{display:flex;justify-content:space-evenly;margin:0}</style>",
    "grid": "<style>body{display:grid;gap:40px;grid-auto-rows:100px;margin:0}</style>",
    "stacked": "<style>body>*+*{margin-top:50px}body>*{padding:9px;border:1px solid}</style>",
}


@pytest.mark.parametrize("name", [*HOSTILE, *LAYOUTS])
def test_nothing_of_the_page_moves_or_changes(page: Page, site: Site, service: str, name: str) -> None:
    head, body = HOSTILE[name] if name in HOSTILE else (LAYOUTS[name], "")
    page.goto(site.put("/own", host(head, OWN + body)))
    before = page.evaluate(SEEN, "page")
    page.goto(site.put("/own", host(head, OWN + body + tag(service))))
    page.locator("signpost-chat .launch").wait_for()
    assert differences(before, page.evaluate(SEEN, "page")) == []
    page.locator("signpost-chat .launch").click()
    page.locator("signpost-chat .log button").first.wait_for()
    ask(page)
    assert differences(before, page.evaluate(SEEN, "page")) == []


@pytest.mark.parametrize("name", ["unset", "hidden", "important", "elements"])
def test_the_announcer_can_speak_on_every_page(page: Page, site: Site, service: str, name: str) -> None:
    """What is not displayed is not read out (the region stands in the page itself, where its styles reach it)."""
    head, body = HOSTILE[name]
    page.goto(site.put("/announcer", host(head, OWN + body + tag(service))))
    page.locator("signpost-chat .launch").click()
    page.locator("signpost-chat textarea").wait_for()
    region = "getComputedStyle(document.querySelector('[data-signpost-announcer]'))"
    assert page.evaluate(f"{region}.display") != "none"
    assert page.evaluate(f"{region}.visibility") == "visible"


# --- themes ----------------------------------------------------------------------------------------------------------

#: property -> where it shows, what is read there, a value, what is then read.
THEME: Mapping[str, tuple[str, str, str, str]] = {
    "ink": (".panel", "color", "#010203", "rgb(1, 2, 3)"),
    "paper": (".panel", "backgroundColor", "#fdfcfb", "rgb(253, 252, 251)"),
    "soft": (".asked", "backgroundColor", "#f1f2f3", "rgb(241, 242, 243)"),
    "line": ("textarea", "borderTopColor", "#010203", "rgb(1, 2, 3)"),
    "accent": ("[part=send]", "backgroundColor", "#010203", "rgb(1, 2, 3)"),
    "on-accent": ("[part=send]", "color", "#fdfcfb", "rgb(253, 252, 251)"),
    "mark": ("mark", "backgroundColor", "#fdfcfb", "rgb(253, 252, 251)"),
    "mark-ink": ("mark", "color", "#010203", "rgb(1, 2, 3)"),
    "radius": (".card", "borderTopLeftRadius", "3px", "3px"),
    "offset-x": (".panel", "right", "33px", "33px"),
    "offset-y": (".panel", "bottom", "33px", "33px"),
    "font": (".panel", "fontFamily", "monospace", "monospace"),
    "shadow": (".panel", "boxShadow", "none", "none"),
    "width": (".panel", "width", "333px", "333px"),
    "height": (".panel", "height", "333px", "333px"),
    "warn": (".warn", "color", "#010203", "rgb(1, 2, 3)"),
}
DARK = "ink paper soft line accent on-accent mark mark-ink warn".split()
PARTS = "launcher panel header log help composer input send question answer citation quote card mark link".split()


def computed(page: Page, selector: str, name: str) -> str:
    """Return a computed value of something in the widget."""
    node = f"document.querySelector('signpost-chat').shadowRoot.querySelector('{selector}')"
    return str(page.evaluate(f"getComputedStyle({node}).{name}"))


def restyle(page: Page, css: str) -> None:
    """Give the page a style sheet of its own, in the place of the one that it was given before."""
    page.evaluate(
        """(css) => { document.querySelector("#theme")?.remove();
        document.head.appendChild(Object.assign(document.createElement("style"), {id: "theme", textContent: css})) }""",
        css,
    )


def test_every_documented_property_and_part_can_be_set_without_important(page: Page, site: Site, service: str) -> None:
    assert len(THEME) >= 12 and len(PARTS) >= 8
    opened(page, site.put("/theme", host(body=tag(service))))
    ask(page)
    page.locator("textarea").first.fill("me@example.org")
    page.keyboard.press("Enter")
    page.locator(".warn").first.wait_for()
    for name, (selector, read, value, expected) in THEME.items():
        assert computed(page, selector, read) != expected, name
        restyle(page, f"signpost-chat {{ --signpost-{name}: {value} }}")
        assert computed(page, selector, read) == expected, name
        restyle(page, f":root {{ --signpost-{name}: {value} }}")
        assert computed(page, selector, read) == expected, name
    for part in PARTS:
        restyle(page, f"signpost-chat::part({part}) {{ background-color: rgb(1, 2, 3) }}")
        assert computed(page, f"[part={part}]", "backgroundColor") == "rgb(1, 2, 3)", part
    page.emulate_media(color_scheme="dark")
    for name in DARK:
        selector, read, value, expected = THEME[name]
        restyle(page, f"signpost-chat {{ --signpost-dark-{name}: {value} }}")
        assert computed(page, selector, read) == expected, f"dark-{name}"
    page.emulate_media(color_scheme="light")


@pytest.mark.parametrize(
    ("theme", "warned"),
    [
        ("", []),
        ("--signpost-ink: #777", ["ink on paper"]),
        ("--signpost-accent: #9cf", ["accent on paper", "on-accent on accent"]),
        ("--signpost-ink: oklch(0.2 0 0); --signpost-paper: oklch(1 0 0)", []),
        ("--signpost-ink: oklch(0.8 0 0); --signpost-paper: oklch(1 0 0)", ["ink on paper"]),
    ],
)
def test_a_theme_that_cannot_be_read_is_warned_of(
    page: Page, site: Site, service: str, theme: str, warned: list[str]
) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    opened(page, site.put("/contrast", host(f"<style>signpost-chat {{ {theme} }}</style>", tag(service))))
    assert said == [f"signpost-chat: the contrast of {name} is below 4.5" for name in warned]


# --- hostile texts ---------------------------------------------------------------------------------------------------


def hostile_texts() -> list[str]:
    """Return texts that did harm somewhere: each would set ``__hit``, load something, or break what is around it."""
    tags = "img svg body iframe video audio details input marquee object select math form button x-y embed".split()
    events = ("error", "load", "toggle open", "focus autofocus", "animationstart")
    texts = [f"<{name} src=x on{event}=__hit=1>" for name in tags for event in events]
    ends = "script style title textarea bdi blockquote mark button h3 p a template noscript option svg".split()
    texts += [f"</{name}><script>__hit=1</script>" for name in ends]
    texts += [f"{quote} onmouseover={quote}__hit=1{quote} autofocus onfocus={quote}__hit=1" for quote in "'\"`"]
    texts += (
        "${__hit=1} {{__hit=1}} {{constructor.constructor('__hit=1')()}} #{__hit=1} <%=__hit=1%> [[__hit=1]]".split()
    )
    texts += "{%print(7*7)%} {{7*7}} {n} {searched} {written} {words} $& $1 $` %s %00 %3Cscript%3E".split()
    texts += "__proto__ constructor toString hasOwnProperty null undefined NaN [object-Object] true -1".split()
    texts += [
        "<script>__hit=1</script>",
        "<ScRiPt>__hit=1</sCrIpT>",
        "<script src=https://evil.example/x.js></script>",
        "<scr\x00ipt>__hit=1</script>",
        "<<script>script>__hit=1<</script>/script>",
        "<svg><script>__hit=1</script></svg>",
        "<svg><animate onbegin=__hit=1 attributeName=x dur=1s>",
        "<svg><use href='data:image/svg+xml,<svg onload=__hit=1>'></svg>",
        "<math><mtext><table><mglyph><style><img src=x onerror=__hit=1>",
        "<template><img src=x onerror=__hit=1></template>",
        "<a href=javascript:__hit=1>x</a>",
        "<form action=javascript:__hit=1><button>x",
        "<button formaction=javascript:__hit=1>x",
        "<iframe srcdoc='<script>parent.__hit=1</script>'></iframe>",
        "<base href=https://evil.example/>",
        "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
        "<link rel=stylesheet href=https://evil.example/x.css>",
        "<style>*{display:none!important}</style>",
        "<style>@import 'https://evil.example/x.css'</style>",
        "*{display:none} x{background:url(https://evil.example/x)}",
        "expression(__hit=1)",
        "<plaintext>",
        "<!--",
        "--><img src=x onerror=__hit=1>",
        "<![CDATA[<img src=x onerror=__hit=1>]]>",
        "]]><script>__hit=1</script>",
        "<?xml version='1.0'?><x onload=__hit=1/>",
        "&lt;script&gt;__hit=1&lt;/script&gt;",
        "&#60;img src=x onerror=__hit=1&#62;",
        "&amp;lt;img&amp;gt;",
        "\\u003cimg src=x onerror=__hit=1\\u003e",
        "\\x3cscript\\x3e__hit=1\\x3c/script\\x3e",
        "＜script＞__hit=1＜/script＞",
        "javascript:__hit=1",
        "JaVaScRiPt:__hit=1//",
        "data:text/html,<script>__hit=1</script>",
        "vbscript:__hit=1",
        "[x](javascript:__hit=1)",
        "![x](https://evil.example/x.png)",
        "<https://evil.example/>",
        "https://evil.example/",
        "[x]: https://evil.example 'x'",
        "'; DROP TABLE passages; --",
        "../../../../etc/passwd",
        "\u202egnp.exe\u202c",
        "\u2067reversed\u2066 and back\u2069\u2069",
        "\u202d\u202e\u202a\u202b never closed",
        "שלום <b onclick=__hit=1>עולם</b>",
        "مرحبا <script>__hit=1</script>",
        "a\x00b",
        "\x00\x01\x02\x07\x08\x1b[31mred\x1b[0m",
        "one\u2028two\u2029three",
        "\ufeff\u200b\u200c\u200d\u2060 unseen",
        "Z\u0351\u036b\u0343\u036a\u0302A\u0300\u0301\u0302\u0303\u0304L\u0317\u0318\u0319\u031a\u031bG\u0334\u0335O"
        * 8,
        "e" + "\u0301" * 400,
        "long" * 120,
        "👩‍👩‍👧‍👦" * 40,
        "\U000e0041\U000e0042 tag characters",
        "﷽" * 40,
        "\r\n\r\nSet-Cookie: x=1",
        "\t\t\v\f",
        "on=1 style=position:fixed;inset:0",
    ]
    return list(dict.fromkeys(texts))


TEXTS = hostile_texts()

#: What a widget and our pages are made of.
MADE_OF = (
    "div section header h2 h3 button ol ul li p span bdi blockquote mark details summary article a form label textarea"
).split()

#: What in the widget should not be there, and which of some texts are not.
FOUND = """([names, texts]) => {
    const root = document.querySelector("signpost-chat").shadowRoot;
    const odd = [];
    for (const node of root.querySelectorAll("*")) {
        if (!names.includes(node.localName)) odd.push(node.outerHTML.slice(0, 99));
        for (const name of node.getAttributeNames())
            if (/^on|^src|action$|^style$/.test(name) && node.getAttribute(name)) odd.push(name + "=");
    }
    const said = root.textContent;
    return JSON.stringify([odd, JSON.parse(texts).filter((text) => !said.includes(text)), window.__hit === undefined]);
}"""


def assert_only_text(page: Page, texts: list[str]) -> None:
    """Everything that was said stands there as text, and nothing else does."""
    found = json.loads(page.evaluate(FOUND, [MADE_OF, json.dumps(texts)]))
    assert found == [[], [], True]


@pytest.fixture
def watched(stranger: BrowserContext, service: str, site: Site) -> Iterator[Page]:
    """A page on which nothing may run, be asked for, or be said in a box."""
    page = stranger.new_page()
    page.add_init_script(WATCH)
    bad: list[str] = []
    stranger.on("page", lambda page: bad.append(f"a window: {page.url}"))
    page.on("pageerror", lambda error: bad.append(str(error)))

    def said(dialog: Dialog) -> None:
        bad.append(dialog.message)
        dialog.dismiss()

    def asked(request: Request) -> None:
        if not request.url.startswith((f"{service}/", f"{site.origin}/", "data:,", "http://127.0.0.1:")):
            bad.append(request.url)

    stranger.on("dialog", said)
    stranger.on("request", asked)
    yield page
    assert bad == []


def with_texts(reply: Reply, at: int) -> tuple[Reply, list[str]]:
    """Return a reply with a hostile text in every field, others each time, and those that must be read in it."""

    def text(number: int) -> str:
        return TEXTS[(at + number) % len(TEXTS)]

    passages = []
    said = []
    for number in range(20):
        passage = json.loads(json.dumps(reply["passages"][0]))
        title, publisher, heading, words = (text(number * 4 + field) for field in range(4))
        passage |= {"id": text(number), "text": words, "highlights": [{"start": 1, "end": 3}]}
        passage["citation"] |= {
            "title": title,
            "publisher": publisher,
            "headings": [heading + "\u2603"],
            "language": text(number + 1),
            "page": text(number + 2),
            "document": text(number + 3),
            "updated": None,
            "published": None,
        }
        passage["elsewhere"] = [passage["citation"] | {"title": text(number + 4)}]
        passages.append(passage)
        said += [title, publisher, heading, words, text(number + 2), text(number + 4)]
    some = [text(number) for number in range(20)]
    changes = [{"written": one, "searched": one} for one in some]
    return {
        **reply,
        "status": "answered",
        "answer": {"text": text(7), "passage": text(8), "start": 0, "end": 3},
        "passages": passages,
        "notes": some,
        "corrections": changes,
        "expansions": changes,
        "borrowed": some,
        "suggestions": some,
        "unknown_words": some,
    }, [*said, *some, text(7)]


def test_whatever_a_service_replies_is_shown_as_text(watched: Page, site: Site, service: str, reply: Reply) -> None:
    assert len(TEXTS) >= 150
    current: list[Reply] = []
    answering(watched, lambda: current[0])
    hostile = {"suggestions": TEXTS[:4], "name": TEXTS[80], "greeting": TEXTS[0], "limit": "<b>", "feedback": "yes"}

    def introduce(route: Route) -> None:
        route.fulfill(json=hostile, headers={"Access-Control-Allow-Origin": "*"})

    watched.route("**/v1/suggestions", introduce)
    opened(watched, site.put("/replies", host(body=tag(service)), dict(trusted(service))))
    assert_only_text(watched, [*TEXTS[:4], TEXTS[80]])
    for at in range(0, len(TEXTS), 40):
        for status in ("answered", "not_found", TEXTS[at]):
            changed, said = with_texts(reply, at)
            current[:] = [{**changed, "status": status}]
            ask(watched)
            assert_only_text(watched, said if status == "answered" else TEXTS[at : at + 4])
        for details in watched.locator("summary").all()[:2]:
            details.click()
        watched.locator(".cite").first.hover()
        watched.locator(".head button").first.click()  # start over
        if watched.locator(".head .row button").first.is_visible():
            watched.locator(".head .row button").first.click()
    assert watched.evaluate("window.__breaches.join()") == ""


@pytest.mark.parametrize("field", ["updated", "page", "headings", "highlights", "links", "answer", "passages", "notes"])
def test_a_reply_of_the_wrong_shape_is_an_error_that_is_told(
    watched: Page, site: Site, service: str, reply: Reply, field: str
) -> None:
    shapes: list[object] = [TEXTS[0], 7, None, [], {}, [None], [[TEXTS[0]]]]
    current: list[Reply] = []
    answering(watched, lambda: current[0])
    opened(watched, site.put("/shapes", host(body=tag(service)), dict(trusted(service))))
    for shape in shapes:
        changed = json.loads(json.dumps(reply))
        place = changed if field in ("answer", "passages", "notes") else changed["passages"][0]
        (place if field in place else place["citation"])[field] = shape
        current[:] = [changed]
        ask(watched)
    assert_only_text(watched, [])


#: No address of a link, as far as a reply is concerned.
NEVER = [
    *(f"{scheme}:__hit=1" for scheme in ("javascript", "JAVASCRIPT", "JaVaScRiPt", "vbscript", "livescript", "mocha")),
    *(f"{blank}javascript:__hit=1" for blank in (" ", "\t", "\n", "\r\n", "\x00", "\x01", "\x1f", "\u00a0", "\u2028")),
    *("java\tscript:__hit=1", "java\nscript:__hit=1", "j\x00avascript:__hit=1", "javascript\t:__hit=1"),
    *("javascript://https://fine.example/%0a__hit=1", "javascript:/*https://fine.example/*/__hit=1"),
    *("&#106;avascript:__hit=1", "&#x6A;avascript:__hit=1", "javascript&colon;__hit=1", "%6aavascript:__hit=1"),
    *("ｊavascript:__hit=1", "jаvascript:__hit=1", "ʲavascript:__hit=1", "ｈttps://evil.example/"),
    *("data:text/html,<script>__hit=1</script>", "data:text/html;base64,PHNjcmlwdD4=", "DATA:,x", "data:"),
    *("blob:https://evil.example/1", "file:///etc/passwd", "ftp://evil.example/x", "ws://evil.example", "about:blank"),
    *("filesystem:https://evil.example/x", "view-source:https://evil.example/", "intent://evil.example#Intent;end"),
    *(
        "//evil.example/x",
        "\\\\evil.example\\x",
        "/\\evil.example",
        "///evil.example",
        "\t//evil.example",
        "/x",
        "x.md",
    ),
    *(
        "?q=1",
        "#x",
        "..",
        "",
        " ",
        "\x00",
        "null",
        "https://",
        "https://user:pw@evil.example/",
        "http://a@evil.example",
    ),
    *(
        "https://:pw@evil.example/",
        "https://fine.example@evil.example/",
        "https://[::1",
        "https",
    ),
    *("https://evil.example:99999/", "https://<script>/", "mailto:a@example.org", "tel:1", "chrome://settings"),
]
#: Addresses that a browser makes into a plain one, whatever they look like.
MENDED = [
    *(
        "https:/evil.example/x",
        "https:evil.example",
        "HTTPS://EVIL.EXAMPLE/",
        "https:\\\\evil.example\\x",
        " http://a.b ",
    ),
    *("https://evil.example/" + "x" * 60_000, 'https://evil.example/"><img src=x onerror=__hit=1>', "ht\ntps://a.b/"),
    *(
        "https://evil.example/?q=javascript:__hit=1",
        "https://xn--80ak6aa92e.com/",
        "https://аррӏе.com/",
        "http://0x7f.1/",
    ),
]

#: Every link of the widget as [words, address as written, address as the browser sees it, its guards].
LINKS = """() => JSON.stringify(
    [...document.querySelector("signpost-chat").shadowRoot.querySelectorAll("li:last-child a")].map(
    (a) => [a.textContent, a.getAttribute("href"), a.href, a.rel + " " + a.target, a.username + a.password]))"""


@pytest.mark.parametrize("field", ["source", "source_at_passage", "viewer"])
def test_no_address_of_a_reply_becomes_a_link_to_anything_but_the_web(
    watched: Page, site: Site, service: str, reply: Reply, field: str
) -> None:
    assert len(NEVER) + len(MENDED) >= 60
    current: list[Reply] = []
    answering(watched, lambda: current[0])
    opened(watched, site.put("/links", host(body=tag(service)), dict(trusted(service))))
    addresses = [*NEVER, *MENDED]
    for at in range(0, len(addresses), 20):
        changed = json.loads(json.dumps(reply))
        changed["passages"] = []
        for address in addresses[at : at + 20]:
            passage = json.loads(json.dumps(reply["passages"][0]))
            links = {"viewer": "/documents/fine.md", "source": None, "source_at_passage": None, field: address}
            passage["citation"]["links"] = links
            passage["elsewhere"] = [passage["citation"]]
            changed["passages"].append(passage)
        current[:] = [changed]
        ask(watched)
        links = json.loads(watched.evaluate(LINKS))
        assert len(links) >= len(changed["passages"]) * (field != "viewer")
        for words, written, href, guards, credentials in links:
            if written is None:
                continue  # words that lead nowhere
            assert written == href, "an address that a base could change"
            assert written.startswith(("https://", "http://"))
            assert credentials == ""
            assert guards == "noopener noreferrer _blank"
            if not words.startswith("Go to the source"):
                assert written.startswith(f"{service}/"), written
        if field != "viewer":
            led = sum(words.startswith("Go to the source") for words, *_ in links)
            assert led == sum(address in MENDED for address in addresses[at : at + 20]), links
    assert watched.evaluate("window.__breaches.join()") == ""


# --- hostile documents, settings and questions, on a service of their own --------------------------------------------


_DOCUMENTS = 64


def hostile_documents() -> Mapping[str, str]:
    """Return documents whose every field is hostile; each has a name of its own by which it can be asked for."""
    addresses = [*NEVER, *MENDED][::2] + NEVER[1::2]
    files = {}
    for at in range(_DOCUMENTS):
        title, publisher, licence, heading, words = (TEXTS[(at * 5 + field) % len(TEXTS)] for field in range(5))
        front: dict[str, object] = {
            "title": title,
            "publisher": publisher,
            "licence": licence,
            "url": addresses[at][:2_500],
        }
        front = {name: value for name, value in front.items() if str(value).isprintable()} | {"verbatim": True}
        lines = "\n".join(f"{name}: {json.dumps(value)}" for name, value in front.items())
        body = f"# {heading}\n\nZebra{at} lives in stable {at}. {words}\n\n- {title}\n\n```\n{publisher}\n```\n"
        files[f"zebra{at}.{('md', 'txt')[at % 2]}"] = f"---\n{lines}\n---\n\n{body}".replace("\x00", "")
    return files


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Iterator[str]:
    """The address of a service in which nothing is well meant."""
    home = tmp_path_factory.mktemp("hostile")
    settings = load_settings(
        corpus=write_files(home / "corpus", hostile_documents()),
        index=home / "index",
        origins=(site.origin,),
        name="</title><script>__hit=1</script><img src=x onerror=__hit=1>",
        greeting="</bdi><img src=x onerror=__hit=1>{{7*7}} \u202ereversed",
        suggestions=tuple(f"Where does zebra{at} live? <img src=x onerror=__hit=1>" for at in range(4)),
    )
    with served(settings) as address:
        yield address


def test_hostile_documents_settings_and_questions_are_only_text_in_the_widget(
    watched: Page, site: Site, hostile: str
) -> None:
    opened(watched, site.put("/documents", host(body=tag(hostile)), dict(trusted(hostile))))
    starter = watched.locator("signpost-chat .log button").first
    expect(watched.locator("h2")).to_contain_text("</title><script>__hit=1</script>")
    expect(starter).to_contain_text("<img src=x onerror=__hit=1>")
    assert_only_text(watched, ["</bdi><img src=x onerror=__hit=1>{{7*7}}"])
    starter.click()
    watched.locator(".card").first.wait_for()
    for at in range(0, len(hostile_documents()), 4):
        ask(watched, f"Where does zebra{at} live?")
        assert watched.locator("li").last.locator(".card").count() >= 1
    assert_only_text(watched, [])
    for text in TEXTS:
        if text.strip():
            ask_quickly(watched, text)
    assert_only_text(watched, [text.strip() for text in TEXTS if text.isprintable()])
    assert watched.evaluate("window.__breaches.join()") == ""


def ask_quickly(page: Page, question: str) -> None:
    """Ask as ``ask`` does, with one message to the browser."""
    page.evaluate(
        """async (question) => {
            const root = document.querySelector("signpost-chat").shadowRoot;
            const field = root.querySelector("textarea");
            const known = root.querySelectorAll(".log li").length;
            field.value = question;
            field.dispatchEvent(new InputEvent("input"));
            const press = () => field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", cancelable: true }));
            press();
            const sure = root.querySelector("[role=status] button");
            if (sure) sure.click();
            for (let tries = 0; tries < 500; tries++) {
                const turn = root.querySelectorAll(".log li")[known];
                if (turn?.querySelector(".status, [role=alert]")) return;
                await new Promise((go) => setTimeout(go, 5));
            }
            throw new Error("no reply to " + question);
        }""",
        question,
    )


#: The same question of a page that is not the widget's.
ON_PAGE = """([names, texts]) => {
    const odd = [];
    for (const node of document.body.querySelectorAll("*")) {
        const ours = node.matches("input[type=hidden]");
        if (!ours && !names.includes(node.localName)) odd.push(node.outerHTML.slice(0, 99));
        for (const name of node.getAttributeNames()) if (/^on|^src|^style$/.test(name)) odd.push(name + "=");
        const leads = node.getAttribute("href") ?? node.getAttribute("action");
        const fine = /^(https?:\\/\\/|\\/(?![\\/\\\\]))/i.test(leads ?? "/") && !node.username && !node.password;
        if (!fine) odd.push(leads);
    }
    const fields = [...document.querySelectorAll("textarea")];
    const said = document.body.textContent + fields.map((field) => field.value).join();
    return JSON.stringify([odd, JSON.parse(texts).filter((text) => !said.includes(text)), window.__hit === undefined]);
}"""
OF_PAGES = [*MADE_OF, *"main h1 h4 h5 h6 dl dt dd pre".split()]


def test_hostile_documents_and_questions_are_only_text_on_the_plain_pages(watched: Page, hostile: str) -> None:
    watched.route("**/widget/signpost-chat.js", lambda route: route.abort())

    def assert_plain(texts: list[str]) -> None:
        found = json.loads(watched.evaluate(ON_PAGE, [[*OF_PAGES, "signpost-chat"], json.dumps(texts)]))
        assert found == [[], [], True], watched.url

    for name in hostile_documents():
        watched.goto(f"{hostile}/documents/{name}")
        assert_plain([])
    watched.goto(f"{hostile}/documents/%3Cscript%3E__hit=1%3C/script%3E")
    assert_plain([])
    asked = [text for text in TEXTS if text.isprintable() and len(text) < 150]
    watched.goto(hostile)
    assert_plain(["</title><script>__hit=1</script><img src=x onerror=__hit=1>", "<img src=x onerror=__hit=1>"])
    for at in range(0, len(asked), 12):
        several = asked[at : at + 12]
        question = f"zebra{at} " + " ".join(several)
        assert len(question) <= 1_000, "split it further"
        watched.locator("#question").fill(question)
        with watched.expect_navigation():
            watched.locator(".ask button").click()
        assert_plain(several)
    assert watched.evaluate("window.__breaches.join()") == ""


def test_no_document_has_a_source_that_is_not_on_the_web(hostile: str) -> None:
    with urllib.request.urlopen(f"{hostile}/v1/documents") as answer:
        urls = {document["url"] for document in json.load(answer)["documents"]} - {None}
    assert urls.isdisjoint(NEVER)
    assert all(Path(url).parts[0].lower() in ("http:", "https:") for url in urls)


# --- that these tests can fail ---------------------------------------------------------------------------------------


def test_a_widget_that_set_markup_would_be_noticed(
    stranger: BrowserContext, site: Site, service: str, reply: Reply
) -> None:
    page = stranger.new_page()
    old, new = "node.textContent = value", "node.innerHTML = value"

    def altered(route: Route) -> None:
        answer = route.fetch()
        assert old in answer.text()
        route.fulfill(response=answer, body=answer.text().replace(old, new))

    page.route("**/widget/signpost-chat.js", altered)
    answering(page, lambda: with_texts(reply, 0)[0])
    opened(page, site.put("/mutant", host(body=tag(service))))
    ask(page)
    page.wait_for_function("window.__hit === 1")
    with pytest.raises(AssertionError):
        assert_only_text(page, [])
