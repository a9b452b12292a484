"""What the widget costs the page it stands on, the CPU slowed down four times: ``python -m tests.widget.cost``.

Medians of several visits in Chromium: main-thread time and the largest shift before the panel is opened, from the click
to a painted panel with the focus in the question, to the question in the log, and from the reply to the painted answer.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from bot.settings import load_settings
from tests.widget.conftest import ARGUMENTS, CORPUS, served

VISITS, SLOWER = 9, 4

PLAIN = "<!doctype html><html lang=en><title>A page</title><h1>A page</h1>" + "<p>Some text of the page.</p>" * 50

#: Two frames after something was done it has been painted.
PAINTED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"

WATCH = """() => {
    window.shifts = 0;
    new PerformanceObserver(list => { for (const one of list.getEntries()) window.shifts += one.value; })
        .observe({ type: "layout-shift", buffered: true });
}"""

CLICKED = """async () => {
    const widget = document.querySelector("signpost-chat");
    const started = performance.now();
    widget.shadowRoot.querySelector("button").click();
    while (widget.shadowRoot.activeElement?.tagName !== "TEXTAREA") await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
    return performance.now() - started;
}"""

ASKED = """async () => {
    const root = document.querySelector("signpost-chat").shadowRoot;
    root.querySelector("textarea").value = "How many hotlines does INHOPE have?";
    const started = performance.now();
    root.querySelector("form").requestSubmit();
    const echoed = root.querySelector("li") ? performance.now() - started : Infinity;
    while (!root.querySelector("article")) await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
    const [reply] = performance.getEntriesByType("resource").filter(one => one.name.endsWith("/v1/ask"));
    return [echoed, performance.now() - reply.responseEnd];
}"""


def busy(session: CDPSession) -> float:
    """Milliseconds that the main thread has been busy."""
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return 1_000 * float(metrics["TaskDuration"])


def visit(browser: Browser, address: str) -> tuple[Page, float]:
    page = browser.new_page()
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    page.goto(address)
    page.evaluate(WATCH)
    page.wait_for_timeout(500)
    return page, busy(session)


def main() -> None:
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        settings = load_settings(corpus=CORPUS, index=Path(work) / "index", origins=("null",))
        plain, own = Path(work) / "plain.html", Path(work) / "own.html"
        with served(settings) as service:
            plain.write_text(PLAIN, encoding="utf-8")
            own.write_text(f'{PLAIN}<script src="{service}/widget/signpost-chat.js" defer></script>', encoding="utf-8")
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
            for _ in range(VISITS):
                without, idle = visit(browser, plain.as_uri())
                without.close()
                page, loaded = visit(browser, own.as_uri())
                shift = page.evaluate("() => window.shifts")
                opened = page.evaluate(CLICKED)
                echoed, painted = page.evaluate(ASKED)
                page.close()
                for name, value in {
                    "main thread before opening, more than without, ms": loaded - idle,
                    "layout shift before opening": shift,
                    "click to painted panel with focus, ms": opened,
                    "asked to question in the log, ms": echoed,
                    "reply to painted answer, ms": painted,
                }.items():
                    figures.setdefault(name, []).append(float(value))
            browser.close()
    for name, values in figures.items():
        print(f"{name}: {median(values):.1f} (of {len(values)} visits, {min(values):.1f} to {max(values):.1f})")


if __name__ == "__main__":
    main()
