"""Visits to a page that carries the widget, as a person and the page's owner see them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import BrowserContext, Locator, Page, Request, Route, expect

from tests.widget.conftest import Site

#: The element that has the focus, in whatever shadow root it is, as what a person would call it.
_FOCUSED = """() => {
  let node = document.activeElement;
  while (node?.shadowRoot?.activeElement) node = node.shadowRoot.activeElement;
  return node.id && !node.getRootNode().host ? '#' + node.id
    : node.getAttribute('aria-label') || node.labels?.[0]?.textContent || node.textContent.trim();
}"""

#: Everything that the announcers are given to say, in order.
_HEAR = """() => {
  window.heard = [];
  for (const node of document.querySelectorAll('[data-signpost-announcer]'))
    new MutationObserver(() => { if (node.textContent) window.heard.push(node.textContent); })
      .observe(node, { childList: true, characterData: true, subtree: true });
}"""


def host_page(service: str, attributes: str = "", body: str = "") -> str:
    """Somebody's page, with something to focus before and after what is put between."""
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Our page</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<script src="{service}/widget/signpost-chat.js" defer {attributes}></script></head>
<body><h1>Our page</h1><p><button id="before">Before</button></p>{body}<p><button id="after">After</button></p>
</body></html>"""


@dataclass
class Visit:
    """One person in one tab."""

    context: BrowserContext
    page: Page
    service: str
    site: Site
    #: Bodies of the questions that left the browser.
    asked: list[dict[str, Any]] = field(default_factory=list)
    #: Uncaught errors and unhandled rejections.
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(error.message))

    def _note(self, request: Request) -> None:
        if request.method == "POST" and request.url.endswith("/v1/ask"):
            try:
                self.asked.append(json.loads(request.post_data or ""))
            except ValueError:
                self.errors.append(f"this is not JSON: {request.post_data}")

    def go(
        self, attributes: str = "", body: str = "", path: str = "/page", headers: dict[str, str] | None = None
    ) -> None:
        """Go to a page of the site that carries the widget."""
        address = self.site.put(path.split("#")[0], host_page(self.service, attributes, body), headers)
        self.page.goto(address + ("#" + path.split("#")[1] if "#" in path else ""))

    def begin(self, attributes: str = "", body: str = "") -> None:
        """Go to a page and open the panel, which is ready once its starter questions are there."""
        self.go(attributes, body)
        self.open()
        expect(self.page.get_by_text("For example:")).to_be_visible()
        self.page.evaluate(_HEAR)

    def hear(self) -> None:
        self.page.evaluate(_HEAR)

    @property
    def heard(self) -> list[str]:
        found: list[str] = self.page.evaluate("window.heard")
        return found

    @property
    def launcher(self) -> Locator:
        return self.page.locator("[part=launcher]")

    @property
    def input(self) -> Locator:
        return self.page.get_by_label("Your question")

    @property
    def log(self) -> Locator:
        return self.page.get_by_role("log")

    @property
    def turns(self) -> Locator:
        return self.page.locator("signpost-chat ol > li")

    @property
    def last(self) -> Locator:
        return self.turns.last

    @property
    def focused(self) -> str:
        """Name of the element that has the focus; an element of the page itself by its id, with ``#``."""
        found: str = self.page.evaluate(_FOCUSED)
        return found

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def open(self) -> None:
        self.launcher.click()
        expect(self.input).to_be_focused()

    def send(self, question: str) -> None:
        self.input.fill(question)
        self.input.press("Enter")

    def ask(self, question: str) -> dict[str, Any]:
        """Ask, wait until the answer is shown, and return what the service said."""
        before = self.turns.count()
        with self.page.expect_response("**/v1/ask") as reply:
            self.send(question)
        expect(self.turns).to_have_count(before + 1)
        expect(self.last.locator(".status")).to_be_visible()
        found: dict[str, Any] = reply.value.json()
        return found

    def tab_to(self, name: str, key: str = "Tab", most: int = 40) -> None:
        """Press a key until the focus is on what has that name."""
        seen = [self.focused]
        while seen[-1] != name and len(seen) <= most:
            self.page.keyboard.press(key)
            seen.append(self.focused)
        assert seen[-1] == name, f"{key} never led to {name!r}, only to {seen}"

    # --- the network ---

    def refuse(
        self,
        status: int,
        body: str = '{"error":"x","detail":"y","request_id":"z"}',
        wait: int | str = 0,
        of: str = "ask",
    ) -> None:
        """From now on have questions, or what else is fetched, answered like this."""
        headers = {
            "Access-Control-Allow-Origin": self.site.origin,
            "Access-Control-Expose-Headers": "Retry-After",
            "Content-Type": "application/json",
            **({"Retry-After": str(wait)} if wait else {}),
        }
        self.mend(of)
        self.page.route(f"**/v1/{of}", lambda route: route.fulfill(status=status, headers=headers, body=body))

    def cut(self) -> None:
        self.mend()
        self.page.route("**/v1/ask", lambda route: route.abort())

    def hold(self) -> list[Route]:
        """Keep questions from now on; each goes on when it is told to."""
        self.mend()
        held: list[Route] = []
        self.page.route("**/v1/ask", lambda route: held.append(route))
        return held

    def change(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the service's answers on their way."""

        def changed(route: Route) -> None:
            response = route.fetch()
            found = response.json()
            change(found)
            route.fulfill(response=response, json=found)

        self.mend()
        self.page.route("**/v1/ask", changed)

    def mend(self, of: str = "ask") -> None:
        self.page.unroute(f"**/v1/{of}")
