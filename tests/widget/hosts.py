"""Pages that the widget is put on, and what can be seen of it there."""

from __future__ import annotations

from collections.abc import Mapping

from playwright.sync_api import Page

#: What the shipped documents answer, and what they do not.
QUESTION = "How many hotlines does INHOPE have?"
NONSENSE = "zorbing in patagonia"

#: Notes every breach of a page's content security policy.
WATCH = (
    "window.__breaches = []; addEventListener('securitypolicyviolation', (event) => __breaches.push(event.blockedURI))"
)


def tag(service: str, **data: str) -> str:
    """Return the one tag that puts the widget on a page; ``side="start"`` is its ``data-side``."""
    given = "".join(f' data-{name}="{value}"' for name, value in data.items())
    return f'<script src="{service}/widget/signpost-chat.js" defer{given}></script>'


def host(head: str = "", body: str = "", attributes: str = 'lang="en"') -> str:
    """Return somebody's page."""
    return (
        f"<!doctype html><html {attributes}><head><meta charset='utf-8'><title>A page</title>"
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"{head}</head><body>{body}</body></html>"
    )


def trusted(service: str) -> Mapping[str, str]:
    """Return the strictest policy that a page of another origin can have: two permissions, and no text as markup."""
    policy = (
        f"default-src 'self'; script-src {service}; connect-src {service}; img-src 'self' data:; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return {"Content-Security-Policy": policy}


def opened(page: Page, address: str) -> Page:
    """Go to a page and open its chat."""
    page.goto(address)
    page.locator("signpost-chat .launch").click()
    page.locator("signpost-chat textarea").first.wait_for()
    page.locator("signpost-chat .log button").first.wait_for()
    return page


def ask(page: Page, question: str = QUESTION) -> None:
    """Ask in the open chat, and wait for what comes of it."""
    turns = page.locator("signpost-chat .log li")
    known = turns.count()
    page.locator("signpost-chat textarea").first.fill(question)
    page.keyboard.press("Enter")
    turns.nth(known).locator(".status, [role=alert]").wait_for()
